"""What is particular to recordings in SQLite: shared transactions, pages, the index of names, damage, full disks."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import attrs
import pytest

from openharness.core import (
    Blob,
    CorruptRecordError,
    RecordingConflictError,
    RecordingFinalizedError,
    RecordingNotFoundError,
    SignalSource,
    StoreFullError,
    digest,
)
from openharness.core.plugins import open_signal_store
from openharness.signal_store_sqlite import SqliteSignalStore, _reading
from openharness.sqlite import Channel, _opening

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from openharness.core import Signal

Make = Any


async def loaded(store: SqliteSignalStore, recording_id: str) -> list[Signal]:
    """Return the signals of a recording that must be there."""
    recording = await store.load_recording(recording_id)
    assert recording is not None
    return list(recording.signals)


async def test_a_url_opens_it(path: Path) -> None:
    """``sqlite:`` is this store's scheme, with the store's options."""
    async with open_signal_store(f"sqlite:///{path}?durability=process") as store:
        assert isinstance(store, SqliteSignalStore)
        assert store.filename == path


# --- Group commit -----------------------------------------------------------------------------------------------------


@pytest.fixture
def trips(monkeypatch: pytest.MonkeyPatch) -> list[object]:
    """Return the list that grows with every trip to the thread of a connection."""
    seen: list[object] = []
    honest = Channel.call

    async def call(self: Channel, function: Callable[[sqlite3.Connection], Any]) -> Any:
        seen.append(function)
        return await honest(self, function)

    monkeypatch.setattr(Channel, "call", call)
    return seen


async def test_appends_at_once_share_a_transaction(path: Path, make: Make, trips: list[object]) -> None:
    """What many runs append at the same time, and what else they ask for, is one transaction."""
    async with SqliteSignalStore(path) as store:
        ids = [await store.create_recording(run_id=f"run-{number}") for number in range(20)]
        trips.clear()
        await asyncio.gather(
            *(store.append(one, make(3)) for one in ids), *(store.finalize(one, outcome="completed") for one in ids)
        )
        assert len(trips) == 1
        trips.clear()
        await store.publish(ids[0], "fixture")
        assert len(trips) == 1
        assert {info.outcome for info in await store.list_recordings()} == {"completed"}


async def test_one_that_may_not_disturbs_nobody(path: Path, make: Make, trips: list[object]) -> None:
    """In one transaction, appends that are refused get their own error, and all others are written."""
    async with SqliteSignalStore(path) as store:
        ids = [await store.create_recording(run_id=f"run-{number}") for number in range(4)]
        await store.finalize(ids[3], outcome="failed")
        trips.clear()
        results = await asyncio.gather(
            store.append(ids[0], make(2)),
            store.append(ids[1], make(2, start=5)),
            store.append("rec_unknown", make(2)),
            store.append(ids[3], make(2)),
            store.append(ids[2], make(2)),
            store.append(ids[0], make(1, start=2)),
            store.append(ids[0], make(1, name="other:name")),
            return_exceptions=True,
        )
        assert len(trips) == 1
        assert [type(result) for result in results] == [
            type(None), RecordingConflictError, RecordingNotFoundError, RecordingFinalizedError, type(None), type(None),
            RecordingConflictError,
        ]  # fmt: skip
        assert [len(await loaded(store, one)) for one in ids] == [3, 0, 2, 0]


async def test_a_row_that_cannot_be_written_fails_alone(path: Path, make: Make, sql: Callable[..., list[Any]]) -> None:
    """When SQLite refuses a row, nothing of its append is there, and those that shared the transaction succeed."""
    async with SqliteSignalStore(path) as store:
        ids = [await store.create_recording(run_id=f"run-{number}") for number in range(3)]
        sql("CREATE TRIGGER picky BEFORE INSERT ON signals WHEN new.name = 'bad' BEGIN SELECT raise(ABORT, 'no'); END")
        bad = [*make(1), attrs.evolve(make(2)[1], name="bad")]
        results = await asyncio.gather(
            store.append(ids[0], make(2)),
            store.append(ids[1], bad),
            store.append(ids[2], make(2)),
            return_exceptions=True,
        )
        assert [result is None for result in results] == [True, False, True]
        assert [len(await loaded(store, one)) for one in ids] == [2, 0, 2]


@pytest.mark.parametrize("pauses", range(1, 5))
async def test_work_goes_on_when_somebody_cancels_every_task(path: Path, make: Make, pauses: int) -> None:
    """Tasks of the store that are cancelled from outside finish what they were at, once: nothing is done twice."""
    async with SqliteSignalStore(path) as store:
        one = await store.create_recording(run_id="run")
        before = asyncio.all_tasks()
        work = [
            asyncio.ensure_future(store.append(one, make(3))),
            asyncio.ensure_future(store.finalize(one, outcome="completed", duration_ms=5)),
        ]
        for _ in range(pauses):
            await asyncio.sleep(0)
        for task in asyncio.all_tasks() - set(work) - before:
            task.cancel()
        results = await asyncio.wait_for(asyncio.gather(*work, return_exceptions=True), 50)
        assert {type(result) for result in results} <= {type(None), asyncio.CancelledError}
        await store.append(one, make(1)) if results[1] is not None else None
        info = (await store.list_recordings())[0]
        assert (info.outcome == "completed") >= (results[1] is None)


# --- Pages and names --------------------------------------------------------------------------------------------------


@pytest.fixture
def pages(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Return the list of how many rows each page had."""
    seen: list[int] = []
    honest = _reading._some

    def some(connection: sqlite3.Connection, sql: str, parameters: Sequence[Any]) -> tuple[list[Any], bool]:
        rows, is_last = honest(connection, sql, parameters)
        seen.append(len(rows))
        return rows, is_last

    monkeypatch.setattr(_reading, "_some", some)
    return seen


async def test_a_page_is_bounded_by_rows_and_bytes(
    path: Path, make: Make, pages: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """However long a recording is, no more than a page of it is in memory; and pages are read when they are needed."""
    async with SqliteSignalStore(path) as store:
        one = await store.create_recording(run_id="run")
        await store.append(one, make(1200))
        assert [signal.seq async for signal in store.iter_signals(one, start=100)] == list(range(100, 1200))
        assert pages == [500, 500, 100]
        pages.clear()
        monkeypatch.setattr(_reading, "_PAGE_BYTES", 1000)
        reading = aiter(store.iter_signals(one))
        assert (await anext(reading)).seq == 0
        assert len(pages) == 1
        assert pages[0] < 150
        assert await loaded(store, one) == make(1200)


@pytest.mark.parametrize("patterns,read", [
    ("rare:name", 12), (["rare:name", "other:name"], 24), ("rare:*", 12), ("**:name", 24), ("rare", 0),
    (["nothing:like:it"], 0), ("**", 1200),
])  # fmt: skip
async def test_names_are_found_through_the_index(
    path: Path, make: Make, pages: list[int], patterns: Any, read: int
) -> None:
    """Of a long recording only the signals that are wanted are read, whatever kind of pattern says so, in order."""
    names = {50: "rare:name", 51: "other:name"}
    signals = [attrs.evolve(signal, name=names.get(signal.seq % 100, "text:delta")) for signal in make(1200)]
    async with SqliteSignalStore(path) as store:
        one = await store.create_recording(run_id="run")
        await store.append(one, signals)
        found = [signal.seq async for signal in store.iter_signals(one, patterns=patterns)]
        assert found == sorted(found)
        assert len(found) == read
        assert sum(pages) == read


async def test_with_too_many_names_all_are_read_and_filtered(path: Path, make: Make, pages: list[int]) -> None:
    """A recording of hundreds of names, or a pattern that leaves many of them, is read through, with the same result."""
    signals = [attrs.evolve(signal, name=f"state:f{signal.seq}:changed") for signal in make(300)]
    async with SqliteSignalStore(path) as store:
        one = await store.create_recording(run_id="run")
        await store.append(one, signals)
        found = [signal.seq async for signal in store.iter_signals(one, patterns="*:f1*:changed", stop=120)]
        assert found == [seq for seq in range(120) if str(seq).startswith("1")]
        assert sum(pages) == 120


async def test_a_recording_deleted_while_it_is_read_is_not_another_one(
    path: Path, make: Make, sql: Callable[..., list[Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who still reads a deleted recording gets RecordingNotFoundError, and never the signals of the next one."""
    monkeypatch.setattr(_reading, "_PAGE_BYTES", 10)
    async with SqliteSignalStore(path) as store:
        one = await store.create_recording(run_id="run")
        await store.append(one, make(5))
        reading = aiter(store.iter_signals(one))
        await anext(reading)
        await store.delete_recording(one)
        two = await store.create_recording(run_id="run")
        await store.append(two, make(5))
        assert sql("SELECT number FROM recordings") == [(2,)]
        with pytest.raises(RecordingNotFoundError):
            _ = [signal async for signal in reading]
        assert len(await loaded(store, two)) == 5


async def test_half_a_character_in_a_name_comes_back(path: Path, make: Make) -> None:
    """What no database takes as text is kept all the same: in the name and the source of a signal."""
    odd = attrs.evolve(make(2)[1], name="half\ud800", source=SignalSource("a\udfff", None, "p\0", ""))
    async with SqliteSignalStore(path) as store:
        one = await store.create_recording(run_id="run", tags=["half\ud800"])
        await store.append(one, [*make(1), odd, *make(1, start=2)])
        await store.append(one, [odd])
        assert await loaded(store, one) == [*make(1), odd, *make(1, start=2)]
        found = [signal.seq async for signal in store.iter_signals(one, patterns=["text:*"])]
        assert found == [0, 2]
        assert (await store.list_recordings())[0].tags == ("half\ud800",)


# --- Damage -----------------------------------------------------------------------------------------------------------

DAMAGE = [
    "UPDATE signals SET timestamp = 7 WHERE seq = 1",
    "UPDATE signals SET name = 'other' WHERE seq = 1",
    "UPDATE signals SET agent = NULL WHERE seq = 1",
    "UPDATE signals SET parent = '' WHERE seq = 1",
    "UPDATE signals SET id = CAST(x'ff' AS TEXT) WHERE seq = 1",
    "UPDATE signals SET payload = '{}' WHERE seq = 1",
    "DELETE FROM signals WHERE seq = 1",
    "DELETE FROM signals WHERE seq = 2",
    "UPDATE signals SET seq = 9 WHERE seq = 2",
    "UPDATE signals SET (id, checksum, payload) = (SELECT id, checksum, payload FROM signals WHERE seq = 0) WHERE seq = 1",
    "UPDATE blobs SET data = replace(data, 'hello', 'hullo')",
    "DELETE FROM blobs",
    "UPDATE recordings SET signal_count = 2",
    "UPDATE recordings SET outcome = 'failed'",
    "UPDATE recordings SET tags = '[]'",
    "UPDATE recordings SET run_id = CAST(x'ff' AS TEXT)",
    "UPDATE checkpoints SET seq = 1",
    "UPDATE checkpoints SET name = 'there'",
]


@pytest.mark.parametrize("statement", DAMAGE)
async def test_each_row_is_covered_by_a_checksum(
    path: Path, make: Make, sql: Callable[..., list[Any]], statement: str
) -> None:
    """A value of the right type in any column, and a row that is gone or elsewhere, is CorruptRecordError."""
    data: Any = {"role": "user", "content": "hello"}
    blob = Blob(digest(data), data)
    request = attrs.evolve(make(3)[2], name="provider:start", payload={"request": {"messages": [blob.digest]}})
    async with SqliteSignalStore(path) as store:
        one = await store.create_recording(run_id="run", tags=["tag"])
        await store.append(one, [*make(2), blob, request])
        await store.add_checkpoint(one, "here", 0)
        assert len(await loaded(store, one)) == 3
        sql(statement)
        with pytest.raises(CorruptRecordError) as caught:
            await store.load_recording(one)
        assert caught.value.record_id == one
        await store.delete_recording(one)
        assert await store.list_recordings() == []


async def test_a_fixture_name_that_leads_elsewhere_is_noticed(path: Path, sql: Callable[..., list[Any]]) -> None:
    """A name that means another recording than the one that was published, or none, is CorruptRecordError."""
    async with SqliteSignalStore(path) as store:
        one, two = [await store.create_recording(run_id=run_id) for run_id in ("a", "b")]
        await store.publish(one, "rain")
        found = await store.find_recording("rain")
        assert found is not None
        assert found.id == one
        sql("UPDATE fixtures SET recording = (SELECT number FROM recordings WHERE id = ?)", two)
        with pytest.raises(CorruptRecordError):
            await store.find_recording("rain")
        await store.publish(two, "rain")
        assert await store.list_fixtures() == ["rain"]
        assert found != await store.find_recording("rain")


# --- Full, and read-only ----------------------------------------------------------------------------------------------


async def fits(store: SqliteSignalStore, recording_id: str, signals: list[Signal]) -> bool:
    """Append, and tell whether there was room."""
    try:
        await store.append(recording_id, signals)
    except StoreFullError:
        return False
    return True


async def test_a_full_disk_loses_nothing_and_ends_when_there_is_room(
    path: Path, make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Appends that no longer fit are StoreFullError and leave nothing, what fitted stays, and with room it goes on."""
    honest = _opening._connect

    def small(settings: _opening.Settings, mode: str) -> sqlite3.Connection:
        connection = honest(settings, mode)
        connection.execute("PRAGMA max_page_count = 80").fetchall()
        return connection

    with monkeypatch.context() as patch:
        patch.setattr(_opening, "_connect", small)
        async with SqliteSignalStore(path) as store:
            one = await store.create_recording(run_id="run")
            count = 0
            while await fits(store, one, make(2, start=count, payload="x" * 4000)):
                count += 2
            assert len(await loaded(store, one)) == count > 10
    async with SqliteSignalStore(path) as store:
        await store.append(one, make(2, start=count, payload="x" * 4000))
        assert await loaded(store, one) == make(count + 2, payload="x" * 4000)


READ_ONLY = """
import asyncio, os, sys
from openharness.core import StoreReadOnlyError
from openharness.signal_store_sqlite import SqliteSignalStore
import encodings.idna, openharness.core.state
async def main():
    async with SqliteSignalStore(sys.argv[1]) as store:
        (info,) = await store.list_recordings()
        assert len((await store.load_recording(info.id)).signals) == 3
        try:
            await store.create_recording(run_id="run")
        except StoreReadOnlyError as error:
            print("read only:", error)
if os.getuid() == 0:
    os.setgroups([]); os.setgid(65534); os.setuid(65534)
asyncio.run(main())
"""


@pytest.mark.skipif(os.name == "nt", reason="POSIX permissions")
async def test_a_file_that_may_only_be_read_says_so(open_folder: Path, make: Make) -> None:
    """In a read-only file recordings load and appends are StoreReadOnlyError."""
    folder = open_folder / "inner"
    folder.mkdir()
    path = folder / "runs.db"
    async with SqliteSignalStore(path) as store:
        await store.append(await store.create_recording(run_id="run"), make(3))
    path.chmod(0o444)
    folder.chmod(0o777)
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", READ_ONLY, path, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    output, errors = await process.communicate()
    assert process.returncode == 0, errors.decode()
    assert output.decode().count("read only:") == 1
