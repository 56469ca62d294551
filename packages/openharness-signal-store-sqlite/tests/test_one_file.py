"""One file for runs and recordings: whichever store comes first, at once, newer than the other, or a stranger's."""

# ruff: noqa: ASYNC240 - what a test does to the file between two uses of the store holds nobody up

from __future__ import annotations

import asyncio
import sqlite3
import subprocess
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from openharness.core import RunRecord, StoreCorruptError, StoreError, StoreVersionError
from openharness.run_store_sqlite import SqliteRunStore
from openharness.signal_store_sqlite import SqliteSignalStore
from openharness.sqlite import APPLICATION_ID, transaction

if TYPE_CHECKING:
    from collections.abc import Callable

    from openharness.core import Signal

PROGRAM = Path(__file__).parent / "programs" / "share.py"
RUN = RunRecord("a", created_at=1, state={"text": "hello"})
FOREIGN = [
    ["CREATE TABLE customers (name)"],
    ["PRAGMA user_version = 3"],
    ["PRAGMA application_id = 0x12345"],
    ["CREATE TABLE signals (id)", "CREATE TABLE recordings (key)"],
    [f"PRAGMA application_id = {APPLICATION_ID}", "CREATE TABLE signals (id)"],
    ["CREATE TABLE openharness_schema (component TEXT, version INTEGER)"],
]


async def save(path: Path) -> None:
    """Save the run."""
    async with SqliteRunStore(path) as runs:
        await runs.save_run(RUN)


async def record(path: Path, signals: list[Signal]) -> str:
    """Record the signals."""
    async with SqliteSignalStore(path) as store:
        recording_id = await store.create_recording(run_id="run")
        await store.append(recording_id, signals)
    return recording_id


async def check(path: Path, recording_id: str, signals: list[Signal]) -> None:
    """See that both are there."""
    async with SqliteRunStore(path) as runs, SqliteSignalStore(path) as store:
        assert await runs.get_run("a") == RUN
        recording = await store.load_recording(recording_id)
        assert recording is not None
        assert list(recording.signals) == signals


@pytest.mark.parametrize("first", ["runs", "signals"])
async def test_either_store_creates_the_file_and_the_other_joins(
    path: Path, sql: Callable[..., list[Any]], make: Callable[..., list[Signal]], first: str
) -> None:
    """Whichever comes first, both work afterwards, and the file says of each which version its tables have."""
    if first == "runs":
        await save(path)
        assert sql("SELECT name FROM sqlite_schema WHERE name = 'openharness_schema'") == []
    recording_id = await record(path, make(3))
    if first == "signals":
        assert sql("PRAGMA user_version") == [(0,)]
        await save(path)
    await check(path, recording_id, make(3))
    assert sql("PRAGMA application_id") == [(APPLICATION_ID,)]
    # What a run store looked at before there was another one: files with both are still files of a run store.
    assert sql("PRAGMA user_version") == [(2,)]
    assert sql("SELECT component, version FROM openharness_schema") == [("signals", 2)]


async def test_a_newer_version_of_the_one_does_not_concern_the_other(
    path: Path, sql: Callable[..., list[Any]], make: Callable[..., list[Signal]]
) -> None:
    """Each store refuses newer tables of its own, names both versions, and changes no byte; the other one goes on."""
    recording_id = await record(path, make(3))
    await save(path)
    sql("UPDATE openharness_schema SET version = 7")
    before = path.read_bytes()
    with pytest.raises(StoreVersionError) as caught:
        await record(path, make(1))
    assert (caught.value.found, caught.value.supported) == (7, 2)
    assert path.read_bytes() == before
    await save(path)
    sql("UPDATE openharness_schema SET version = 2")
    sql("PRAGMA user_version = 7")
    before = path.read_bytes()
    with pytest.raises(StoreVersionError):
        await save(path)
    assert path.read_bytes() == before
    async with SqliteSignalStore(path) as store:
        await store.append(recording_id, make(1, start=3))
    sql("PRAGMA user_version = 2")
    await check(path, recording_id, make(4))


@pytest.mark.parametrize("statements", FOREIGN)
async def test_a_database_of_something_else_is_refused_and_left_as_it_is(
    path: Path, make: Callable[..., list[Signal]], statements: list[str]
) -> None:
    """Another program's database is never written to by either store; the error says what was found."""
    connection = sqlite3.connect(path, isolation_level=None)
    for statement in statements:
        connection.execute(statement)
    connection.close()
    before = path.read_bytes()
    with pytest.raises(StoreCorruptError, match="not a signal store"):
        await record(path, make(1))
    with pytest.raises(StoreCorruptError, match="not a run store"):
        await save(path)
    assert path.read_bytes() == before


async def test_tables_without_their_version_are_not_taken_over(
    path: Path, sql: Callable[..., list[Any]], make: Callable[..., list[Signal]]
) -> None:
    """Where the version of the signals is lost, their tables are neither made again nor changed; runs go on."""
    await record(path, make(3))
    await save(path)
    sql("DELETE FROM openharness_schema")
    with pytest.raises(StoreError, match="already exists"):
        await record(path, make(1))
    await save(path)
    assert sql("SELECT count(*) FROM signals") == [(3,)]
    assert sql("SELECT count(*) FROM openharness_schema") == [(0,)]


async def test_both_write_at_once_in_one_process(path: Path, make: Callable[..., list[Signal]]) -> None:
    """Saves and appends of many tasks through both stores all succeed, and what they wrote is there."""
    async with SqliteRunStore(path, busy_timeout=0.0) as runs, SqliteSignalStore(path, busy_timeout=0.0) as store:

        async def one(number: int) -> None:
            recording_id = await store.create_recording(run_id=f"run-{number}")
            for start in range(0, 20, 5):
                await store.append(recording_id, make(5, start=start))
                await runs.save_run(RunRecord(f"run-{number}", created_at=start, state=start))
            await store.finalize(recording_id, outcome="completed")

        # No busy timeout: within a process the stores wait for each other in another way.
        await asyncio.gather(*(one(number) for number in range(20)))
        assert await runs.count_runs() == 20
        infos = await store.list_recordings()
        assert [(info.signal_count, info.outcome) for info in infos] == [(20, "completed")] * 20


async def test_within_a_process_the_stores_take_turns(path: Path, make: Callable[..., list[Signal]]) -> None:
    """While the one store is in the middle of a transaction the other waits, also without any busy timeout."""
    held, released = threading.Event(), threading.Event()

    def hold(connection: sqlite3.Connection) -> None:
        with transaction(connection):
            held.set()
            released.wait(50)

    async with SqliteRunStore(path, busy_timeout=0.0) as runs, SqliteSignalStore(path, busy_timeout=0.0) as store:
        assert store._session is not None
        holding = asyncio.ensure_future(store._session._writing.call(hold))
        assert await asyncio.to_thread(held.wait, 50)
        saving = asyncio.ensure_future(runs.save_run(RUN))
        await asyncio.sleep(0.02)
        assert not saving.done()
        released.set()
        await asyncio.gather(holding, saving)
        assert await runs.get_run("a") == RUN


@pytest.mark.slow
async def test_processes_create_one_file_for_both(path: Path) -> None:
    """A file that 6 processes open first at the same moment, half of them for runs, is created once for both."""
    processes = [
        await asyncio.create_subprocess_exec(
            sys.executable, PROGRAM, path, "runs" if number % 2 else "signals", str(number),
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        )
        for number in range(6)
    ]  # fmt: skip
    for process in processes:
        assert process.stdout is not None
        assert await process.stdout.readline() == b"ready\n"
    results = await asyncio.gather(*(process.communicate(b"\n") for process in processes))
    assert [(process.returncode, errors) for process, (_, errors) in zip(processes, results, strict=True)] == [
        (0, b"")
    ] * 6
    async with SqliteRunStore(path) as runs, SqliteSignalStore(path) as store:
        assert {run.id for run in await runs.list_runs()} == {"run-1", "run-3", "run-5"}
        assert {info.run_id for info in await store.list_recordings()} == {"run-0", "run-2", "run-4"}
