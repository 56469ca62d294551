"""Opening: the arguments, what is created, what is brought forward, and what is refused and left alone."""

# ruff: noqa: ASYNC240 - what a test does to the file between two uses of the store holds nobody up

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import sqlite3
import struct
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import attrs
import pytest

from openharness.core import (
    CorruptRecordError,
    InvalidValueError,
    RunRecord,
    StoreCorruptError,
    StoreOpenError,
    StoreVersionError,
)
from openharness.core.storage import checksum
from openharness.run_store_sqlite import SqliteRunStore, _store
from openharness.run_store_sqlite._schema import SCHEMA
from openharness.sqlite import APPLICATION_ID, _opening, _session

if TYPE_CHECKING:
    from collections.abc import Callable

    from openharness.sqlite import Channel

RUN = RunRecord("a", created_at=1, completed_at=2, state={"text": "hello"}, metadata={"tenant": "acme"})


async def save(path: Path, run: RunRecord = RUN) -> None:
    """Save one run, and close."""
    async with SqliteRunStore(path) as store:
        await store.save_run(run)


# --- Arguments --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "filename", ["", "   ", ":memory:", ":memory:?cache=shared", "file:runs.db", "a\0b", "folder/", b"runs.db", None, 3]
)
def test_what_is_no_file_is_refused(filename: Any) -> None:
    """SQLite would take "" and ":memory:" and lose every run; they and all that is no path are refused at once."""
    with pytest.raises(InvalidValueError, match="filename"):
        SqliteRunStore(filename)


@pytest.mark.parametrize("name,value",
    [
        ("durability", "fast"), ("durability", None),
        ("busy_timeout", -1), ("busy_timeout", float("nan")), ("busy_timeout", float("inf")),
        ("busy_timeout", True), ("busy_timeout", "5"),
        ("max_bytes", 0), ("max_bytes", True), ("max_bytes", 1.5),
    ],
)  # fmt: skip
def test_wrong_arguments_are_refused(name: str, value: Any) -> None:
    """Each error names the argument."""
    with pytest.raises(InvalidValueError) as caught:
        SqliteRunStore("runs.db", **{name: value})
    assert caught.value.name == name


@pytest.mark.parametrize(
    "name", ["plain.db", "with space.db", "per%cent.db", "what?.db", "ha#sh.db", "ünï.db", "quote'\".db", "file:x.db"]
)
async def test_any_name_of_a_file_works(tmp_path: Path, name: str) -> None:
    """Characters that mean something in URIs or SQL are only characters of the name."""
    if os.name == "nt" and set(name) & set('?":'):
        pytest.skip("not a file name on Windows")
    await save(tmp_path / name)
    assert os.listdir(tmp_path) == [name]  # noqa: PTH208 - the exact names


async def test_a_relative_name_is_of_the_directory_it_was_made_in(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Changing the working directory afterwards does not change the file."""
    monkeypatch.chdir(tmp_path)
    store = SqliteRunStore(filename="runs.db")
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    async with store:
        await store.save_run(RUN)
    assert store.filename == tmp_path / "runs.db"
    assert store.filename.exists()


def test_making_a_store_touches_nothing(path: Path) -> None:
    """The file is created at the first use."""
    SqliteRunStore(path)
    assert not path.exists()


@pytest.mark.parametrize("prefix", ["sqlite:", ""])
def test_a_url_names_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, prefix: str) -> None:
    """Three slashes lead to a relative path, four to an absolute one, and options are those of the store."""
    monkeypatch.chdir(tmp_path)
    assert SqliteRunStore.from_url(f"{prefix}///runs.db").filename == tmp_path / "runs.db"
    assert SqliteRunStore.from_url(f"{prefix}///a%3Fb%20c.db").filename == tmp_path / "a?b c.db"
    if os.name != "nt":
        assert SqliteRunStore.from_url(f"{prefix}////var/runs.db").filename == Path("/var/runs.db")
    store = SqliteRunStore.from_url(f"{prefix}///runs.db?durability=process&busy_timeout=1.5&max_bytes=99")
    assert (store._durability, store._busy_timeout, store._max_bytes) == ("process", 1.5, 99)


@pytest.mark.parametrize(
    "url",
    [
        "sqlite:", "sqlite:///", "sqlite:runs.db", "sqlite://runs.db", "postgres:///x", 3,
        "sqlite:///:memory:", "sqlite:///runs.db?mode=ro", "sqlite:///runs.db?durability=fast",
        "sqlite:///runs.db?max_bytes=many", "sqlite:///runs.db?max_bytes=1&max_bytes=2", "sqlite:///runs.db?x",
    ],
)  # fmt: skip
def test_other_urls_are_refused(url: Any) -> None:
    """A URL that means nothing, or something else, is an error and not a guess."""
    with pytest.raises(InvalidValueError):
        SqliteRunStore.from_url(url)


# --- What is created --------------------------------------------------------------------------------------------------


async def test_the_file_says_what_it_is(path: Path, sql: Callable[..., list[Any]]) -> None:
    """A new file has our application_id, the version of the schema, strict tables and a write-ahead log."""
    await save(path)
    assert sql("PRAGMA application_id") == [(APPLICATION_ID,)]
    assert sql("PRAGMA user_version") == [(SCHEMA.version,)]
    assert sql("PRAGMA journal_mode") == [("wal",)]
    tables = sql("SELECT name, strict FROM pragma_table_list WHERE schema = 'main' AND name NOT LIKE 'sqlite_%'")
    # The view is the mark of its version, which older releases look for.
    assert sorted(tables) == [("openharness_runs_version_2", 0), ("run_metadata", 1), ("runs", 1)]
    assert sql("SELECT version FROM openharness_runs_version_2") == [(2,)]
    assert sql("SELECT key, value, created_at, run_id FROM run_metadata") == [("tenant", '"acme"', 1, "a")]
    assert sql("SELECT id, status, metadata, state FROM runs") == [
        ("a", "completed", '{"tenant":"acme"}', '{"text":"hello"}')
    ]


@pytest.mark.parametrize("durability,synchronous", [("full", 2), ("process", 1)])
async def test_the_durability_is_in_force(path: Path, durability: Any, synchronous: int) -> None:
    """The connection that writes is asked, not told: write-ahead log, FULL or NORMAL, foreign keys, no open transaction."""
    async with SqliteRunStore(path, durability=durability) as store:
        await store.save_run(RUN)
        assert store._session is not None
        writing: Channel = store._session._writing
        for pragma, value in [
            ("journal_mode", "wal"), ("synchronous", synchronous), ("foreign_keys", 1), ("trusted_schema", 0)
        ]:  # fmt: skip
            assert await writing.run(f"PRAGMA {pragma}") == [(value,)]
        assert writing._raw is not None
        assert not writing._raw.in_transaction


async def test_a_setting_that_does_not_take_is_an_error(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file system without what a write-ahead log needs is refused, rather than used with less durability."""
    honest = _opening._connect

    class WithoutLog(sqlite3.Connection):
        def execute(self, sql: str, *rest: Any) -> sqlite3.Cursor:
            return super().execute("SELECT 'delete'" if "journal_mode" in sql else sql, *rest)

    def connect(settings: _opening.Settings, mode: str) -> sqlite3.Connection:
        honest(settings, mode).close()
        return sqlite3.connect(settings.path, isolation_level=None, factory=WithoutLog, check_same_thread=False)

    monkeypatch.setattr(_opening, "_connect", connect)
    with pytest.raises(StoreOpenError, match=r"journal_mode.*local disk"):
        await SqliteRunStore(path).count_runs()


async def test_an_old_sqlite_is_refused(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without strict tables there is no store, and the error names both versions."""
    monkeypatch.setattr(sqlite3, "sqlite_version_info", (3, 31, 1))
    with pytest.raises(StoreOpenError, match=r"SQLite 3\.37\.0 or newer is needed"):
        await SqliteRunStore(path).count_runs()
    assert not path.exists()


async def test_nothing_but_sqlite_opens_the_file(tmp_path: Path) -> None:
    """No open() of the file or of its companions, in the whole life of a store: one close() of it would drop the locks."""
    script = f"""
import asyncio, sys
from openharness.core import RunQuery, RunRecord
from openharness.run_store_sqlite import SqliteRunStore
async def main():
    for _ in range(2):
        async with SqliteRunStore({str(tmp_path / "runs.db")!r}) as store:
            await asyncio.gather(*(store.save_run(RunRecord(f"r{{n}}", created_at=n, state=n)) for n in range(9)))
            await store.get_run("r1"); await store.list_runs(RunQuery(limit=2)); await store.delete_run("r2")
            await store.count_runs(); await store.prune_runs(keep_last=3, status="running")
opened = []
sys.addaudithook(lambda name, args: name in ("open", "os.open") and "runs.db" in str(args[0]) and opened.append(args))
asyncio.run(main())
sys.exit(str(opened) if opened else 0)
"""
    process = await asyncio.create_subprocess_exec(sys.executable, "-c", script, stderr=subprocess.PIPE)
    _, errors = await process.communicate()
    assert (process.returncode, errors) == (0, b"")


# --- Older and newer files --------------------------------------------------------------------------------------------


async def test_an_older_file_is_brought_forward(
    path: Path, sql: Callable[..., list[Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file becomes one of two versions later, with its runs, when code of that version opens it."""
    await save(path)
    later = (
        ("ALTER TABLE runs ADD COLUMN note TEXT",),
        ("UPDATE runs SET note = 'moved'", "CREATE INDEX runs_by_note ON runs (note)"),
    )
    monkeypatch.setattr(_store, "SCHEMA", attrs.evolve(SCHEMA, migrations=(*SCHEMA.migrations, *later)))
    async with SqliteRunStore(path) as store:
        assert await store.get_run("a") == RUN
        # What this code does not know is kept when it saves the run again.
        await store.save_run(RUN)
    assert sql("PRAGMA user_version") == [(SCHEMA.version + 2,)]
    assert sql("SELECT note FROM runs") == [("moved",)]


async def test_rows_of_version_1_keep_their_checksums(path: Path, sql: Callable[..., list[Any]]) -> None:
    """A row with checksums of BLAKE2b is read and checked in version 2, and has those of SHA-256 when it is saved again."""
    await save(path)
    names = "id, created_at, completed_at, status, error, recording_id, parent_run_id, metadata"
    ((state,),) = sql("SELECT state FROM runs")
    (header,) = sql(f"SELECT {names} FROM runs")  # noqa: S608 - names of our own
    of_state = checksum(RUN.id, state)
    of_header = checksum(*header, of_state)
    sql(f"UPDATE runs SET state_checksum = '{of_state}', checksum = '{of_header}'")  # noqa: S608
    sql("PRAGMA user_version = 1")
    async with SqliteRunStore(path) as store:
        assert await store.get_run(RUN.id) == RUN
    assert sql("SELECT checksum, state_checksum FROM runs") == [(of_header, of_state)]
    assert sql("PRAGMA user_version") == [(SCHEMA.version,)]
    sql("UPDATE runs SET state = state || ' '")
    async with SqliteRunStore(path) as store:
        with pytest.raises(CorruptRecordError, match="checksum of its state"):
            await store.get_run(RUN.id)
        await store.save_run(RUN)
        assert await store.get_run(RUN.id) == RUN
    ((of_header, of_state),) = sql("SELECT checksum, state_checksum FROM runs")
    assert (of_header[0], len(of_header), of_state[0], len(of_state)) == ("s", 33, "s", 33)


@pytest.mark.parametrize("broken", ["CREATE TABLE runs (x)", "not SQL"])
async def test_a_migration_that_fails_changes_nothing(
    path: Path, sql: Callable[..., list[Any]], monkeypatch: pytest.MonkeyPatch, broken: str
) -> None:
    """A step that fails takes the steps before it back, and the store works again with the old code."""
    await save(path)
    with monkeypatch.context() as patch:
        migrations = (*SCHEMA.migrations, ("ALTER TABLE runs ADD COLUMN note TEXT",), (broken,))
        patch.setattr(_store, "SCHEMA", attrs.evolve(SCHEMA, migrations=migrations))
        with pytest.raises(Exception, match="SQLite says"):
            await SqliteRunStore(path).count_runs()
    assert sql("PRAGMA user_version") == [(SCHEMA.version,)]
    assert "note" not in {row[1] for row in sql("PRAGMA table_info(runs)")}
    async with SqliteRunStore(path) as store:
        assert await store.get_run("a") == RUN


@pytest.mark.parametrize("log", ["closed", "left behind"])
async def test_a_newer_file_is_refused_and_left_as_it_is(path: Path, sql: Callable[..., list[Any]], log: str) -> None:
    """The error tells both versions, and no byte of the file changes, also when its write-ahead log is still there."""
    await save(path)
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("PRAGMA user_version = 7")
    if log == "closed":
        other.close()
    before = path.read_bytes()
    for _ in range(2):
        with pytest.raises(StoreVersionError) as caught:
            await SqliteRunStore(path).save_run(RUN)
        assert (caught.value.found, caught.value.supported) == (7, SCHEMA.version)
    assert path.read_bytes() == before
    other.close()
    assert sql("PRAGMA user_version") == [(7,)]


# --- Files that are not ours, or are broken ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    "statements",
    [
        ["CREATE TABLE customers (name)"],
        ["PRAGMA user_version = 3"],
        ["PRAGMA application_id = 0x12345"],
        ["CREATE TABLE runs (id)", "CREATE TABLE run_metadata (key)"],
        [f"PRAGMA application_id = {APPLICATION_ID}", "CREATE TABLE runs (id)"],
    ],
)
async def test_a_database_of_something_else_is_refused_and_left_as_it_is(path: Path, statements: list[str]) -> None:
    """Another program's database is never written to; the error says what was found."""
    connection = sqlite3.connect(path, isolation_level=None)
    for statement in statements:
        connection.execute(statement)
    connection.close()
    before = path.read_bytes()
    with pytest.raises(StoreCorruptError, match="not a run store"):
        await SqliteRunStore(path).save_run(RUN)
    assert path.read_bytes() == before


@pytest.mark.parametrize("content", [b"hello world, this is a text file\n" * 40, b"\0" * 4096, os.urandom(8192)])
async def test_a_file_that_is_no_database_is_refused_and_left_as_it_is(path: Path, content: bytes) -> None:
    """Text, zeros and noise are StoreCorruptError, not a new store."""
    path.write_bytes(content)
    with pytest.raises(StoreCorruptError):
        await SqliteRunStore(path).save_run(RUN)
    assert path.read_bytes() == content


async def test_an_empty_file_becomes_a_store(path: Path) -> None:
    """SQLite takes an empty file for an empty database, and so does the store."""
    path.touch()
    await save(path)
    async with SqliteRunStore(path) as store:
        assert await store.get_run("a") == RUN


async def test_a_process_that_died_while_it_created_the_file(path: Path) -> None:
    """A file with a journal that must be taken back first, as a new one has for a moment, becomes a store."""
    connection = sqlite3.connect(path)
    connection.execute("PRAGMA journal_mode = wal").close()
    connection.close()
    # The header of a rollback journal: the file was empty before, and has pages of 4,096 bytes.
    header = bytes.fromhex("d9d505f920a163d7") + struct.pack(">IIIII", 0, 7, 0, 512, 4096)
    path.with_name(f"{path.name}-journal").write_bytes(header.ljust(512, b"\0"))
    with contextlib.closing(sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True)) as reader:
        with pytest.raises(sqlite3.OperationalError) as caught:
            reader.execute("PRAGMA user_version")
        assert caught.value.sqlite_errorname == "SQLITE_READONLY_ROLLBACK"
    await save(path)
    async with SqliteRunStore(path) as store:
        assert await store.get_run("a") == RUN


async def test_a_store_whose_tables_are_gone_says_so(path: Path, sql: Callable[..., list[Any]]) -> None:
    """A file with our mark and without our tables is damaged."""
    await save(path)
    sql("DROP TABLE runs")
    async with SqliteRunStore(path) as store:
        with pytest.raises(StoreCorruptError, match="no such table"):
            await store.save_run(RUN)


async def test_a_missing_folder_and_a_folder_are_errors_that_name_the_path(tmp_path: Path) -> None:
    """The folder is not made, and a folder is not a file."""
    for wrong in (tmp_path / "missing" / "runs.db", tmp_path):
        store = SqliteRunStore(wrong)
        with pytest.raises(StoreOpenError) as caught:
            await store.save_run(RUN)
        assert str(wrong) in str(caught.value)
        await store.close()
    assert not (tmp_path / "missing").exists()


async def test_opening_is_tried_again_after_it_failed(tmp_path: Path) -> None:
    """A store whose folder appears later works from then on."""
    store = SqliteRunStore(tmp_path / "later" / "runs.db")
    with pytest.raises(StoreOpenError):
        async with store:
            pytest.fail("it cannot be opened")
    (tmp_path / "later").mkdir()
    await store.save_run(RUN)
    assert await store.get_run("a") == RUN
    await store.close()


READ_ONLY = """
import asyncio, os, sys
from openharness.core import RunRecord, StoreOpenError, StoreReadOnlyError
from openharness.run_store_sqlite import SqliteRunStore
import encodings.idna, openharness.core.state
path, what = sys.argv[1:]
async def main():
    store = SqliteRunStore(path)
    if what == "file":
        assert (await store.get_run("a")).state == {"text": "hello"}
        assert await store.count_runs() == 1
    for attempt in (store.save_run(RunRecord("b", created_at=1, state=1)), store.delete_run("a")):
        try:
            await attempt
        except StoreReadOnlyError as error:
            print("read only:", error)
        else:
            sys.exit("it could write")
    await store.close()
if os.getuid() == 0:
    os.setgroups([]); os.setgid(65534); os.setuid(65534)
asyncio.run(main())
"""


@pytest.mark.skipif(os.name == "nt", reason="POSIX permissions")
@pytest.mark.parametrize("what", ["file", "folder"])
async def test_what_may_only_be_read_says_so(open_folder: Path, what: str) -> None:
    """In a read-only file reads work and writes are StoreReadOnlyError; in a read-only folder SQLite cannot even read."""
    folder = open_folder / "inner"
    folder.mkdir()
    path = folder / "runs.db"
    await save(path)
    path.chmod(0o444)
    folder.chmod(0o777 if what == "file" else 0o555)
    script = READ_ONLY
    try:
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-c", script, path, what, stdout=subprocess.PIPE, stderr=subprocess.PIPE
        )
        output, errors = await process.communicate()
    finally:
        folder.chmod(0o777)
    assert process.returncode == 0, errors.decode()
    assert output.decode().count("read only:") == 2


# --- What happens to the file while it is open ------------------------------------------------------------------------


def delete(path: Path) -> None:
    """Delete the file with what is beside it."""
    for file in path.parent.glob("runs.db*"):
        file.unlink()


def move(path: Path) -> None:
    """Move it away."""
    path.rename(path.with_name("away.db"))


def restore(path: Path) -> None:
    """Put a backup in its place, as somebody does who believes that nobody uses it."""
    delete(path)
    path.with_name("backup.db").replace(path)


@pytest.mark.skipif(os.name == "nt", reason="Windows lets nobody delete or replace a file that is open")
@pytest.mark.parametrize("happens", [delete, move, restore])
async def test_nothing_is_acknowledged_that_went_with_the_file(tmp_path: Path, happens: Callable[[Path], None]) -> None:
    """A store whose file somebody took away fails from then on, as does its examination; a new one uses what is there."""
    path = tmp_path / "runs.db"
    async with SqliteRunStore(path) as store:
        await store.save_run(RUN)
        await store.get_run(RUN.id)
        await store.backup(tmp_path / "backup.db")
        happens(path)
        for asked in (store.save_run(RUN), store.get_run(RUN.id), store.prune_runs(keep_last=0), store.list_runs()):
            with pytest.raises(StoreOpenError, match="replaced while it was open"):
                await asked
        assert "cannot-write" in {finding.code for finding in (await store.doctor()).findings}
    async with SqliteRunStore(path) as store:
        assert await store.list_runs() == ([RUN] if happens is restore else [])
        await store.save_run(RUN)
        assert await store.get_run(RUN.id) == RUN


@pytest.mark.skipif(os.name == "nt", reason="Windows lets nobody replace a file that is open")
async def test_a_save_is_not_acknowledged_when_the_file_went_during_it(tmp_path: Path) -> None:
    """A file that is taken away after a save was begun, and before it returned, makes the save fail."""
    path = tmp_path / "runs.db"
    async with SqliteRunStore(path) as store:
        await store.save_run(RUN)
        await store._current()._writing.call(lambda connection: connection.execute("SELECT 1").fetchone())
        with pytest.raises(sqlite3.OperationalError, match="moved"):
            await store._current()._writing.call(lambda _: delete(path))


@pytest.mark.skipif(os.name == "nt", reason="Windows lets nobody replace a file that is open")
async def test_a_file_that_is_replaced_while_it_is_opened_is_not_taken_for_the_new_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between opening the file and looking which one it is, somebody puts another one there: that is an error, too."""
    path = tmp_path / "runs.db"
    async with SqliteRunStore(path) as store:
        await store.save_run(RUN)
        await store.backup(tmp_path / "backup.db")
    opens = _session.open_writer

    def slowly(settings: Any) -> sqlite3.Connection:
        connection = opens(settings)
        restore(path)
        return connection

    monkeypatch.setattr(_session, "open_writer", slowly)
    store = SqliteRunStore(path)
    with pytest.raises(StoreOpenError, match="replaced while it was open"):
        await store.save_run(RUN)
    await store.close()


@pytest.mark.skipif(os.name == "nt", reason="Windows lets nobody delete a folder whose file is open")
async def test_a_file_whose_folder_became_a_file_is_gone(tmp_path: Path) -> None:
    """A path that leads through a file leads nowhere."""
    path = tmp_path / "folder" / "runs.db"
    path.parent.mkdir()
    async with SqliteRunStore(path) as store:
        await store.save_run(RUN)
        shutil.rmtree(path.parent)
        path.parent.write_text("a file")
        with pytest.raises(StoreOpenError, match="replaced while it was open"):
            await store.save_run(RUN)


async def test_a_file_that_may_not_be_looked_at_is_used_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """That the system does not tell which file it is keeps nobody from using what is open."""
    path = tmp_path / "runs.db"
    looks = os.stat

    def refuse(asked: Any, **options: Any) -> os.stat_result:
        if asked == path:
            raise PermissionError(asked)
        return looks(asked, **options)

    async with SqliteRunStore(path) as store:
        await store.save_run(RUN)
        monkeypatch.setattr(os, "stat", refuse)
        await store.save_run(RUN)
        assert await store.get_run(RUN.id) == RUN
