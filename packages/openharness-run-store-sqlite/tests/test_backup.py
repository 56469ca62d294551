"""Backups: whole, of one moment, while others write; never over anything, and never half."""

# ruff: noqa: ASYNC240 - nothing else runs in the loop of a test

from __future__ import annotations

import asyncio
import contextlib
import os
import sqlite3
import subprocess
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from openharness.core import RunRecord, StoreClosedError, StoreCorruptError, StoreOpenError
from openharness.run_store_sqlite import SqliteRunStore
from openharness.sqlite import BackupExistsError, _backup, backup_sqlite

if TYPE_CHECKING:
    from collections.abc import Callable

PROGRAM = Path(__file__).parent / "programs" / "save_for_ever.py"


def run(number: int) -> RunRecord:
    """A run."""
    return RunRecord(
        f"r{number:05}", created_at=number, state={"n": number, "text": "y" * 300}, metadata={"n": number % 3}
    )


async def filled(path: Path, count: int = 200) -> None:
    """Save runs, and close."""
    async with SqliteRunStore(path) as store:
        await asyncio.gather(*(store.save_run(run(number)) for number in range(count)))


async def test_a_backup_is_a_store(path: Path, tmp_path: Path) -> None:
    """The copy is one file, opens as a store, and has every run that was saved, also those still in the log."""
    async with SqliteRunStore(path) as store:
        await asyncio.gather(*(store.save_run(run(number)) for number in range(200)))
        made = await store.backup(tmp_path / "copy.db")
        await store.save_run(run(999))
        assert made == tmp_path / "copy.db"
        assert {file.name for file in tmp_path.iterdir() if "copy" in file.name} == {"copy.db"}
        async with SqliteRunStore(made) as copy:
            assert await copy.count_runs() == 200
            assert await copy.get_run("r00007") == run(7)
            assert (await copy.doctor()).is_healthy
            await copy.save_run(run(5000))
        assert await store.get_run("r05000") is None


async def test_nothing_is_overwritten(path: Path, tmp_path: Path) -> None:
    """Whatever is at the target, a file, a folder or a link to nowhere, stays, and nothing is left beside it."""
    await filled(path, 3)
    (tmp_path / "file").write_text("mine")
    (tmp_path / "folder").mkdir()
    (tmp_path / "link").symlink_to("nowhere")
    before = sorted(tmp_path.iterdir())
    for name in ("file", "folder", "link"):
        with pytest.raises(BackupExistsError) as caught:
            await backup_sqlite(path, tmp_path / name)
        assert caught.value.path == str(tmp_path / name)
    assert (tmp_path / "file").read_text() == "mine"
    assert [file for file in sorted(tmp_path.iterdir()) if not file.name.endswith(("-wal", "-shm"))] == [
        file for file in before if not file.name.endswith(("-wal", "-shm"))
    ]
    with pytest.raises(BackupExistsError):
        await backup_sqlite(path, path)


async def test_one_that_appears_meanwhile_is_not_overwritten(
    path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file that somebody else makes under the name while it is copied stays."""
    await filled(path, 3)
    honest = _backup._copy

    def slow(source: Path, temporary: Path, stop: Any) -> None:
        honest(source, temporary, stop)
        (tmp_path / "copy.db").write_text("mine")

    monkeypatch.setattr(_backup, "_copy", slow)
    with pytest.raises(BackupExistsError):
        await backup_sqlite(path, tmp_path / "copy.db")
    assert (tmp_path / "copy.db").read_text() == "mine"
    assert not list(tmp_path.glob(".copy*"))


async def test_what_cannot_be_backed_up(path: Path, tmp_path: Path) -> None:
    """No file, no folder, no database and a closed store are errors, and leave nothing."""
    with pytest.raises(StoreOpenError):
        await backup_sqlite(path, tmp_path / "copy.db")
    await filled(path, 3)
    with pytest.raises(StoreOpenError):
        await backup_sqlite(path, tmp_path / "none" / "copy.db")
    (tmp_path / "text").write_text("no database, but long enough to be looked at as one " * 20)
    with pytest.raises(StoreCorruptError):
        await backup_sqlite(tmp_path / "text", tmp_path / "copy.db")
    store = SqliteRunStore(path)
    await store.close()
    with pytest.raises(StoreClosedError):
        await store.backup(tmp_path / "copy.db")
    assert not (tmp_path / "copy.db").exists()
    assert not list(tmp_path.glob(".copy*"))


async def test_a_damaged_file_gives_no_backup(path: Path, tmp_path: Path) -> None:
    """A copy that SQLite finds damaged gets no name: it would take the place of a good one."""
    await filled(path, 400)
    data = bytearray(path.read_bytes())
    data[5 * 4096 : 5 * 4096 + 400] = os.urandom(400)
    path.write_bytes(data)
    with pytest.raises(StoreCorruptError):
        await backup_sqlite(path, tmp_path / "copy.db")
    assert not list(tmp_path.glob("*copy*"))


async def test_a_backup_that_is_cancelled_leaves_nothing(
    path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who is cancelled in the middle finds no file, and the store goes on."""
    await filled(path, 2000)
    monkeypatch.setattr(_backup, "_PAGES", 1)
    async with SqliteRunStore(path) as store:
        task = asyncio.ensure_future(store.backup(tmp_path / "copy.db"))
        while not list(tmp_path.glob(".copy*")):  # noqa: ASYNC110 - a thread makes it
            await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert not list(tmp_path.glob("*copy*"))
        await store.save_run(run(1))


async def test_the_mode_of_the_file_is_that_of_the_copy(path: Path, tmp_path: Path) -> None:
    """Who may not read the file may not read its backup."""
    await filled(path, 3)
    path.chmod(0o600)
    made = await backup_sqlite(path, tmp_path / "copy.db")
    assert made.stat().st_mode & 0o777 == 0o600


@pytest.mark.slow
async def test_a_backup_while_processes_write(path: Path, tmp_path: Path, sql: Callable[..., list[Any]]) -> None:
    """With two processes saving, every backup is whole, has what was acknowledged before it, and disturbs nobody."""
    await filled(path, 3)
    processes = [
        await asyncio.create_subprocess_exec(sys.executable, str(PROGRAM), str(path), name, stdout=subprocess.PIPE)
        for name in ("a", "b")
    ]
    try:
        acknowledged: dict[str, int] = {}
        for number in range(5):
            for name, process in zip("ab", processes, strict=True):
                assert process.stdout is not None
                for _ in range(20):
                    acknowledged[name] = int(await process.stdout.readline())
            made = await backup_sqlite(path, tmp_path / f"copy-{number}.db")
            with contextlib.closing(sqlite3.connect(made)) as connection:
                assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
                for name, least in acknowledged.items():
                    (count,) = connection.execute(
                        "SELECT count(*) FROM runs WHERE id GLOB ?", (f"{name}-*",)
                    ).fetchone()
                    assert count >= least
            async with SqliteRunStore(made) as copy:
                report = await copy.doctor()
                assert report.is_healthy, str(report)
    finally:
        for process in processes:
            process.kill()
            await process.communicate()
    assert sql("PRAGMA integrity_check") == [("ok",)]
    (count,) = sql("SELECT count(*) FROM runs WHERE id GLOB 'a-*'")[0]
    assert count >= acknowledged["a"]


async def test_nothing_but_sqlite_opens_the_file(tmp_path: Path) -> None:
    """Neither a backup nor an examination open the file or its companions themselves: closing it would drop the locks."""
    script = f"""
import asyncio, sys
from openharness.core import RunRecord
from openharness.run_store_sqlite import SqliteRunStore
async def main():
    async with SqliteRunStore({str(tmp_path / "runs.db")!r}) as store:
        await store.save_run(RunRecord("r", created_at=1, state=1))
        await store.backup({str(tmp_path / "copy.db")!r})
        assert (await store.doctor()).is_healthy
opened = []
sys.addaudithook(lambda name, args: name in ("open", "os.open") and "runs.db" in str(args[0]) and opened.append(args))
asyncio.run(main())
sys.exit(str(opened) if opened else 0)
"""
    process = await asyncio.create_subprocess_exec(sys.executable, "-c", script, stderr=subprocess.PIPE)
    _, errors = await process.communicate()
    assert (process.returncode, errors) == (0, b"")


async def test_a_backup_is_of_one_moment(path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is written between two pages of the copy is not in it, and does not make it begin again."""
    await filled(path, 400)
    monkeypatch.setattr(_backup, "_PAGES", 1)
    asked = 0

    class Writing(threading.Event):
        def is_set(self) -> bool:
            nonlocal asked
            asked += 1
            if asked <= 30:
                with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as connection:
                    connection.execute("UPDATE runs SET error = ? WHERE id = 'r00399'", (f"change {asked}",))
            return False

    _backup._back_up(path, tmp_path / "copy.db", Writing())
    assert asked > 30
    with contextlib.closing(sqlite3.connect(tmp_path / "copy.db")) as connection:
        assert connection.execute("SELECT count(*) FROM runs WHERE error IS NULL").fetchone() == (400,)
    with contextlib.closing(sqlite3.connect(path)) as connection:
        assert connection.execute("SELECT error FROM runs WHERE id = 'r00399'").fetchone() == ("change 30",)
