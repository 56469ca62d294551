"""Stores that nobody closed: the process ends all the same, and says so to whoever asks."""

from __future__ import annotations

import asyncio
import gc
import os
import sqlite3
import subprocess
import sys
import threading
import time
import warnings
from functools import partial
from pathlib import Path

import aiosqlite
import pytest

from openharness.core import RunRecord
from openharness.run_store_sqlite import SqliteRunStore

PROGRAM = Path(__file__).parent / "programs" / "never_close.py"
# Seconds, on any machine; what a process might wait for takes ten minutes, or for ever.
LIMIT = 25.0
WAYS = (
    "local",
    "kept_globally",
    "in_a_cycle",
    "exception",
    "pending",
    "opening",
    "locked",
    "loop_closed",
    "daemon_thread",
    "working_thread",
    pytest.param("forked", marks=pytest.mark.skipif(not hasattr(os, "fork"), reason="fork is POSIX")),
)
# The thread that reports to a loop that is gone can only say so; that is the driver's, and tells what happened.
SAYS_SO = {"loop_closed"}


@pytest.mark.slow
@pytest.mark.parametrize("way", WAYS)
def test_the_interpreter_ends(tmp_path: Path, way: str) -> None:
    """A process that never closes its store ends without waiting for anything, with its saves in the file."""
    path = tmp_path / "runs.db"
    with subprocess.Popen(  # noqa: S603 - our own program
        [sys.executable, "-W", "ignore::DeprecationWarning", PROGRAM, path, way],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        # Whatever hangs before its last act is ended too.
        alarm = threading.Timer(30, process.kill)
        alarm.start()
        assert process.stdout is not None
        for line in process.stdout:
            if line == "done\n":
                break
        alarm.cancel()
        try:
            _, errors = process.communicate(timeout=LIMIT)
        except subprocess.TimeoutExpired:
            process.kill()
            pytest.fail(f"still running {LIMIT} s after the end of the program")
    assert process.returncode == 0, errors
    assert "Traceback" not in errors or way in SAYS_SO, errors
    connection = sqlite3.connect(path)
    assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    found = {run_id for (run_id,) in connection.execute("SELECT id FROM runs")}
    connection.close()
    if way != "opening":
        assert "first" in found
    if way == "forked":
        assert {"again", "child"} <= found


async def test_a_store_that_is_dropped_unclosed_warns_with_the_remedy(tmp_path: Path) -> None:
    """Dropping an open store is a ResourceWarning that names the store and says how to close one."""
    store = SqliteRunStore(tmp_path / "runs.db")
    await store.save_run(RunRecord("a", created_at=1, state=None))
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        del store
        gc.collect()
    # The thread of the dropped connections ends by itself.
    assert await asyncio.to_thread(threads_of_connections) == []
    messages = [str(warning.message) for warning in caught if warning.category is ResourceWarning]
    assert len(messages) == 1
    assert "runs.db" in messages[0]
    assert "async with" in messages[0]


async def test_a_store_that_was_only_made_or_is_closed_does_not_warn(tmp_path: Path) -> None:
    """Only an open file is worth a warning."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        unused = SqliteRunStore(tmp_path / "unused.db")
        closed = SqliteRunStore(tmp_path / "closed.db")
        async with closed:
            await closed.count_runs()
        del unused, closed
        gc.collect()
    assert not caught
    assert not (tmp_path / "unused.db").exists()


def threads_of_connections() -> list[threading.Thread]:
    """The threads of connections that are still there, after those that are about to end have had some time."""
    found: list[threading.Thread] = []
    for _ in range(5000):
        found = [thread for thread in threading.enumerate() if "_connection_worker_thread" in thread.name]
        if not found:
            break
        threading.Event().wait(0.01)
    return found


@pytest.mark.parametrize("pauses", range(8))
@pytest.mark.parametrize("act", ["open", "save", "read", "close"])
def test_a_loop_that_ends_in_the_middle(tmp_path: Path, act: str, pauses: int) -> None:
    """Whatever is under way when ``asyncio.run`` cancels every task: no thread stays, no error is printed, all is whole."""
    path = tmp_path / "runs.db"

    async def main() -> None:
        store = SqliteRunStore(path)
        if act != "open":
            await store.save_run(RunRecord("first", created_at=1, state=None))
        work = {"save": lambda: store.save_run(RunRecord("second", created_at=2, state=None)), "close": store.close}
        tasks = [asyncio.ensure_future(work.get(act, store.count_runs)()) for _ in range(3)]
        for _ in range(pauses):
            await asyncio.sleep(0)
        kept.append((store, tasks))

    kept: list[object] = []
    asyncio.run(main())
    store = kept[0][0]  # type: ignore[index]
    assert isinstance(store, SqliteRunStore)
    asyncio.run(store.close())
    assert threads_of_connections() == []

    async def again() -> None:
        async with SqliteRunStore(path) as other:
            assert {run.id for run in await other.list_runs()} >= (set() if act == "open" else {"first"})

    asyncio.run(again())


def test_a_loop_that_ends_while_a_store_closes_waits_for_both_connections(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Shut down while it closes the one connection, a store has ended the thread of the other one, too."""
    connections: list[aiosqlite.Connection] = []
    honest = aiosqlite.Connection.stop
    begun = asyncio.Event()
    worked: list[aiosqlite.Connection] = []

    def work_slowly(connection: aiosqlite.Connection) -> None:
        time.sleep(0.05)
        worked.append(connection)

    def stop(connection: aiosqlite.Connection) -> asyncio.Future[object] | None:
        connections.append(connection)
        connection._tx.put_nowait((None, partial(work_slowly, connection)))
        begun.set()
        return honest(connection)

    monkeypatch.setattr(aiosqlite.Connection, "stop", stop)

    async def main() -> None:
        store = SqliteRunStore(tmp_path / "runs.db")
        await store.count_runs()
        kept.append(asyncio.ensure_future(store.close()))
        await begun.wait()

    kept: list[object] = []
    asyncio.run(main())
    assert len(connections) == 2
    assert worked == connections
    for connection in connections:
        connection._thread.join(50)
        assert not connection._thread.is_alive()
