"""Group commit: what shares a statement, who is told what, and what waits for whom."""

# ruff: noqa: ASYNC240 - what a test does to the file between two uses of the store holds nobody up

from __future__ import annotations

import asyncio
import gc
import sqlite3
import time
from typing import TYPE_CHECKING, Any

import pytest

from openharness.core import RunRecord, SerializationError, StoreBusyError, StoreClosedError, StoreError, StoreFullError
from openharness.core.storage import _group_writer
from openharness.run_store_sqlite import SqliteRunStore, _store, _writing
from openharness.run_store_sqlite._rows import COLUMNS
from openharness.sqlite import _opening, _writer

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


def run(run_id: str, state: Any = None, **rest: Any) -> RunRecord:
    """A run that began at 1."""
    return RunRecord(run_id, created_at=1, state=state, **rest)


def inserts(statements: list[tuple[str, int]]) -> list[int]:
    """The number of rows of each statement that saved."""
    return [values // len(COLUMNS) for sql, values in statements if sql.startswith("INSERT INTO runs")]


async def test_saves_at_once_share_a_statement(path: Path, statements: list[tuple[str, int]]) -> None:
    """What is asked for while nothing or another batch is under way is written by one statement."""
    async with SqliteRunStore(path) as store:
        await asyncio.gather(*(store.save_run(run(f"run-{number}")) for number in range(100)))
        assert inserts(statements) == [100]
        assert await store.count_runs() == 100


async def test_a_lone_save_is_one_statement_and_waits_for_nobody(path: Path, statements: list[tuple[str, int]]) -> None:
    """Each of three saves, one after the other, is a statement of its own, without BEGIN and COMMIT around it."""
    async with SqliteRunStore(path) as store:
        statements.clear()
        for number in range(3):
            await store.save_run(run(f"run-{number}"))
    assert inserts(statements) == [1, 1, 1]
    assert len(statements) == 3


async def test_a_batch_is_bounded_by_rows_and_bytes(
    path: Path, statements: list[tuple[str, int]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who comes while a batch is written does not wait for more than one full batch of others."""
    monkeypatch.setattr(_writer, "MAX_ROWS", 40)
    async with SqliteRunStore(path) as store:
        await asyncio.gather(*(store.save_run(run(f"run-{number}")) for number in range(100)))
        assert inserts(statements) == [40, 40, 20]
        monkeypatch.setattr(_group_writer, "_MAX_BYTES", 10_000)
        statements.clear()
        await asyncio.gather(*(store.save_run(run(f"run-{number}", "x" * 4_000)) for number in range(5)))
        assert inserts(statements) == [2, 2, 1]


@pytest.mark.parametrize("padding", ["", "x" * 20_000])
async def test_the_last_of_several_saves_of_one_run_stays(
    path: Path, statements: list[tuple[str, int]], padding: str
) -> None:
    """Saves of one id in one batch, of small runs or of large ones, take effect in the order of their calls."""
    async with SqliteRunStore(path) as store:
        await asyncio.gather(
            *(store.save_run(run("run-1", [number, padding], metadata={"n": number})) for number in range(50))
        )
        assert inserts(statements) == ([] if padding else [50])
        found = await store.get_run("run-1")
        assert found is not None
        assert found.state == [49, padding]
        assert [found] == await store.list_runs()


async def test_saves_and_deletes_take_effect_in_the_order_of_their_calls(path: Path) -> None:
    """A delete in the middle removes what was saved before it and not what is saved after it."""
    async with SqliteRunStore(path) as store:
        await asyncio.gather(
            store.save_run(run("a", 1)),
            store.save_run(run("b", 1)),
            store.delete_run("a"),
            store.delete_run("b"),
            store.save_run(run("b", 2)),
        )
        assert [(found.id, found.state) for found in await store.list_runs()] == [("b", 2)]


async def test_what_was_called_while_the_file_was_opened_keeps_its_order(path: Path) -> None:
    """The first saves of a store are not overtaken by those that come when it is open."""
    store = SqliteRunStore(path)
    first = asyncio.ensure_future(store.save_run(run("a", 1)))
    while not path.exists():  # noqa: ASYNC110 - only the file tells
        await asyncio.sleep(0)
    second = asyncio.ensure_future(store.save_run(run("a", 2)))
    await asyncio.gather(first, second)
    found = await store.get_run("a")
    assert found is not None
    assert found.state == 2
    await store.close()


@pytest.mark.parametrize("others", [0, 40])
async def test_a_row_that_cannot_be_written_fails_alone(path: Path, sql: Callable[..., list[Any]], others: int) -> None:
    """In a batch with a row that the database refuses, its caller gets the error and all others succeed."""
    async with SqliteRunStore(path) as store:
        await store.count_runs()
        sql("CREATE TRIGGER picky BEFORE INSERT ON runs WHEN new.id = 'bad' BEGIN SELECT raise(ABORT, 'not this'); END")
        names = ["a", "b", "bad", "c", "d"]
        large = [run(f"other-{number}", "x" * 20_000) for number in range(others)]
        saves = [store.save_run(one) for one in (*map(run, names), *large)]
        results = (await asyncio.gather(*saves, return_exceptions=True))[: len(names)]
        assert [type(result) for result in results] == [type(None)] * 2 + [StoreError] + [type(None)] * 2
        assert "not this" in str(results[2])
        assert sorted(found.id for found in await store.list_runs()) == [
            "a",
            "b",
            "c",
            "d",
            *sorted(one.id for one in large),
        ]


async def test_a_value_that_cannot_be_stored_disturbs_nobody(path: Path) -> None:
    """The encoder refuses before anything is queued, so that the others do not even notice."""
    async with SqliteRunStore(path, max_bytes=1000) as store:
        results = await asyncio.gather(
            store.save_run(run("a")),
            store.save_run(run("b", float("nan"))),
            store.save_run(run("c", "x" * 1000)),
            store.save_run(run("d")),
            return_exceptions=True,
        )
        assert [type(result) for result in results] == [type(None), SerializationError, SerializationError, type(None)]
        assert await store.count_runs() == 2


async def test_the_state_is_taken_when_save_run_is_called(path: Path) -> None:
    """What the caller does to the state while the save waits is not saved."""
    state = {"list": [1]}
    async with SqliteRunStore(path) as store:
        saving = asyncio.ensure_future(store.save_run(run("a", state)))
        await asyncio.sleep(0)
        state["list"].append(2)
        await saving
        found = await store.get_run("a")
        assert found is not None
        assert found.state == {"list": [1]}


# --- Locks ------------------------------------------------------------------------------------------------------------


async def test_a_lock_that_is_given_up_in_time_is_waited_for(path: Path) -> None:
    """Another writer that holds the lock for longer than SQLite itself waits is not seen."""
    async with SqliteRunStore(path, busy_timeout=50) as store:
        await store.count_runs()
        other = sqlite3.connect(path, isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        saving = asyncio.ensure_future(store.save_run(run("a")))
        await asyncio.sleep(2.5 * _opening.BUSY_STEP)
        assert not saving.done()
        assert await store.count_runs() == 0, "reads do not wait for writers"
        other.execute("COMMIT")
        other.close()
        await saving
        assert await store.count_runs() == 1


async def test_a_lock_that_is_held_too_long_is_an_error_and_no_harm(path: Path) -> None:
    """StoreBusyError comes after the busy timeout, to each caller its own, and later saves work."""
    async with SqliteRunStore(path, busy_timeout=0.1) as store:
        await store.count_runs()
        other = sqlite3.connect(path, isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        begun = time.monotonic()
        results = await asyncio.gather(store.save_run(run("a")), store.save_run(run("b")), return_exceptions=True)
        assert [type(result) for result in results] == [StoreBusyError, StoreBusyError]
        assert results[0] is not results[1]
        assert time.monotonic() - begun >= 0.1
        other.execute("COMMIT")
        other.close()
        await store.save_run(run("c"))
        assert [found.id for found in await store.list_runs()] == ["c"]


async def test_opening_waits_for_a_lock_too(path: Path) -> None:
    """The first use of a new file waits for whoever is creating it, and gives up after the busy timeout."""
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN EXCLUSIVE")
    impatient = SqliteRunStore(path, busy_timeout=0.05)
    with pytest.raises(StoreBusyError):
        await impatient.save_run(run("a"))
    await impatient.close()
    async with asyncio.TaskGroup() as group:
        patient = SqliteRunStore(path, busy_timeout=50)
        saving = group.create_task(patient.save_run(run("a")))
        await asyncio.sleep(2 * _opening.BUSY_STEP)
        assert not saving.done()
        other.execute("COMMIT")
    other.close()
    assert await patient.count_runs() == 1
    await patient.close()


# --- A full disk ------------------------------------------------------------------------------------------------------


@pytest.fixture
def small_disk(monkeypatch: pytest.MonkeyPatch) -> Callable[[int], None]:
    """Return what limits how many pages the files of stores opened from now on may have."""
    honest = _opening._connect

    def limit(pages: int) -> None:
        def connect(settings: _opening.Settings, mode: str) -> sqlite3.Connection:
            connection = honest(settings, mode)
            connection.execute(f"PRAGMA max_page_count = {pages}").fetchall()
            return connection

        monkeypatch.setattr(_opening, "_connect", connect)

    return limit


async def test_a_full_disk_loses_nothing_and_ends_when_there_is_room(
    path: Path, small_disk: Callable[[int], None]
) -> None:
    """Saves that no longer fit are StoreFullError, what was acknowledged stays readable, and with room saving works."""
    saved: list[str] = []
    small_disk(60)
    async with SqliteRunStore(path) as store:
        for batch in range(10):
            names = [f"r{batch}-{number}" for number in range(10)]
            results = await asyncio.gather(
                *(store.save_run(run(name, "x" * 3_000)) for name in names), return_exceptions=True
            )
            saved += [name for name, result in zip(names, results, strict=True) if result is None]
            assert {type(result) for result in results} <= {type(None), StoreFullError}
        assert 20 < len(saved) < 100
        assert sorted(found.id for found in await store.list_runs()) == sorted(saved)
        await store.delete_run(saved[0])
        await store.save_run(run("fits"))
    small_disk(1_000_000)
    async with SqliteRunStore(path) as store:
        await store.save_run(run("big", "x" * 1_000_000))
        assert {found.id for found in await store.list_runs()} == {*saved[1:], "fits", "big"}


async def test_the_last_room_goes_to_those_who_fit(path: Path, small_disk: Callable[[int], None]) -> None:
    """A batch that is too large for the disk is tried row by row: the one that needs too much fails alone."""
    small_disk(30)
    async with SqliteRunStore(path) as store:
        results = await asyncio.gather(
            store.save_run(run("a")),
            store.save_run(run("huge", "x" * 200_000)),
            store.save_run(run("b")),
            return_exceptions=True,
        )
        assert [type(result) for result in results] == [type(None), StoreFullError, type(None)]


LIMITED = """
import asyncio, resource, signal, sys
from openharness.core import RunRecord, StoreFullError
from openharness.run_store_sqlite import SqliteRunStore
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
async def main():
    saved = []
    store = SqliteRunStore(sys.argv[1])
    await store.count_runs()
    resource.setrlimit(resource.RLIMIT_FSIZE, (300_000, resource.RLIM_INFINITY))
    full = 0
    for number in range(200):
        try:
            await store.save_run(RunRecord(f"r{number:03}", created_at=number, state="x" * 3000))
            saved.append(f"r{number:03}")
        except StoreFullError:
            full += 1
    assert full and saved, (full, saved)
    assert [run.id for run in await store.list_runs()] == saved[::-1]
    resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    await store.save_run(RunRecord("room", created_at=999, state="x" * 3000))
    assert [run.id for run in await store.list_runs()] == ["room", *saved[::-1]]
    await store.close()
asyncio.run(main())
"""


async def test_a_limit_on_the_size_of_files_is_a_full_disk(path: Path) -> None:
    """Where the system refuses to let a file grow: nothing acknowledged is lost, and it ends when the limit does."""
    pytest.importorskip("resource", reason="limits are POSIX")
    import sys

    process = await asyncio.create_subprocess_exec(sys.executable, "-c", LIMITED, path, stderr=asyncio.subprocess.PIPE)
    _, errors = await process.communicate()
    assert process.returncode == 0, errors.decode()


# --- Pruning ----------------------------------------------------------------------------------------------------------


async def test_pruning_goes_in_steps(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Many runs are deleted by several statements, so that others can write in between; the metadata goes with them."""
    monkeypatch.setattr(_store, "MAX_ROWS", 30)
    honest, deleted = _writing._delete_statement, list[int]()

    def delete_statement(rows: int) -> str:
        deleted.append(rows)
        return honest(rows)

    monkeypatch.setattr(_writing, "_delete_statement", delete_statement)
    async with SqliteRunStore(path) as store:
        await asyncio.gather(
            *(store.save_run(run(f"r{number:03}", completed_at=2, metadata={"n": number})) for number in range(100))
        )
        assert await store.prune_runs(keep_last=10, dry_run=True) == 90
        assert await store.count_runs() == 100
        assert await store.prune_runs(keep_last=10) == 90
        assert [found.id for found in await store.list_runs()] == [f"r{number:03}" for number in range(99, 89, -1)]
        assert deleted == [30, 30, 30]
        with sqlite3.connect(path) as connection:
            assert connection.execute("SELECT count(*) FROM run_metadata").fetchone() == (10,)
        connection.close()


# --- Being cancelled and closed ---------------------------------------------------------------------------------------


async def test_a_save_cancelled_before_it_is_taken_is_not_written(
    path: Path, statements: list[tuple[str, int]]
) -> None:
    """A caller that gives up while it still waits for its turn is left out; the others are not disturbed."""
    async with SqliteRunStore(path) as store:
        saves = [asyncio.ensure_future(store.save_run(run(f"run-{number}"))) for number in range(4)]
        await asyncio.sleep(0)
        saves[2].cancel()
        results = await asyncio.gather(*saves, return_exceptions=True)
        assert [type(result) for result in results] == [type(None)] * 2 + [asyncio.CancelledError] + [type(None)]
        assert inserts(statements) == [3]


@pytest.mark.parametrize("pauses", range(1, 6))
async def test_work_goes_on_when_somebody_cancels_every_task(path: Path, pauses: int) -> None:
    """Tasks of the store that are cancelled from outside, as at the end of a loop, finish what they were at."""
    async with SqliteRunStore(path) as store:
        await store.save_run(run("first"))
        before = asyncio.all_tasks()
        saves = [asyncio.ensure_future(store.save_run(run(f"r{number}"))) for number in range(20)]
        reads = [asyncio.ensure_future(store.list_runs()) for _ in range(5)]
        for _ in range(pauses):
            await asyncio.sleep(0)
        mine = set(saves) | set(reads) | before
        for task in asyncio.all_tasks() - mine:
            task.cancel()
        results = await asyncio.wait_for(asyncio.gather(*saves, *reads, return_exceptions=True), 50)
        saved = {f"r{number}" for number, result in enumerate(results[:20]) if result is None}
        assert saved <= {found.id for found in await store.list_runs()}
        await store.save_run(run("last"))
        assert await store.get_run("last") == run("last")


async def test_closing_at_once_closes_once(path: Path) -> None:
    """Ten concurrent closes, some cancelled, and closes afterwards all return, and what was begun is saved."""
    store = SqliteRunStore(path)
    saves = [asyncio.ensure_future(store.save_run(run(f"r{number}"))) for number in range(20)]
    await asyncio.sleep(0)
    closes = [asyncio.ensure_future(store.close()) for _ in range(10)]
    await asyncio.sleep(0)
    for close in closes[::3]:
        close.cancel()
    await asyncio.wait_for(asyncio.gather(*closes, *saves, return_exceptions=True), 50)
    assert all(save.result() is None for save in saves)
    await store.close()
    with pytest.raises(StoreClosedError):
        await store.save_run(run("late"))
    assert "closed" in repr(store)
    assert sorted(child.name for child in path.parent.iterdir()) == ["runs.db"], "the log was not merged"


async def test_a_loop_at_a_time(path: Path) -> None:
    """While its loop is open a store refuses another one; closing it from there works."""
    store = SqliteRunStore(path)
    await store.save_run(run("a"))

    def elsewhere() -> None:
        with pytest.raises(StoreClosedError, match="another event loop"):
            asyncio.run(store.count_runs())

    await asyncio.to_thread(elsewhere)
    assert await store.count_runs() == 1
    await asyncio.to_thread(lambda: asyncio.run(store.close()))
    with pytest.raises(StoreClosedError):
        await store.count_runs()


def test_one_store_for_several_loops_one_after_the_other(path: Path) -> None:
    """A store that outlives ``asyncio.run`` opens itself again in the next loop."""
    store = SqliteRunStore(path)
    for number in range(3):
        asyncio.run(store.save_run(run(f"r{number}")))
    assert asyncio.run(store.count_runs()) == 3
    asyncio.run(store.close())
    with pytest.raises(StoreClosedError):
        asyncio.run(store.count_runs())
    gc.collect()
