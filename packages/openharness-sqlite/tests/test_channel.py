"""One connection: what ends with it, and what is written on it."""

from __future__ import annotations

import asyncio
import sqlite3
import time
from functools import partial

import aiosqlite
import pytest

from openharness.core import StoreReadOnlyError
from openharness.sqlite._channel import Channel
from openharness.sqlite._guard import Guard
from openharness.sqlite._schema import Schema

OLD_STOP = aiosqlite.Connection.stop


def stop_slowly(connection: aiosqlite.Connection, worked: list[aiosqlite.Connection]) -> asyncio.Future[object] | None:
    """Stop a connection whose thread has something left to do, and have the task that waits for it cancelled."""

    def work() -> None:
        time.sleep(0.05)
        worked.append(connection)

    task = asyncio.current_task()
    assert task is not None
    loop = asyncio.get_running_loop()
    loop.call_soon(task.cancel)
    loop.call_later(0.01, task.cancel)
    connection._tx.put_nowait((None, work))
    return OLD_STOP(connection)


def refuse() -> sqlite3.Connection:
    """Be an opener that fails."""
    raise StoreReadOnlyError("the file is read-only")


@pytest.mark.parametrize("act", ["open", "close"])
async def test_a_task_that_is_cancelled_while_it_closes_leaves_no_thread_behind(
    monkeypatch: pytest.MonkeyPatch, act: str
) -> None:
    """The thread has ended when the cancelled task does, so that it never reports to a loop that is gone."""
    opener = refuse if act == "open" else partial(sqlite3.connect, ":memory:", check_same_thread=False)
    connections: list[aiosqlite.Connection] = []
    worked: list[aiosqlite.Connection] = []

    def stop(connection: aiosqlite.Connection) -> asyncio.Future[object] | None:
        connections.append(connection)
        return stop_slowly(connection, worked)

    monkeypatch.setattr(aiosqlite.Connection, "stop", stop)
    channel = Channel(opener, busy_timeout=0.1)

    async def work() -> None:
        await channel.open()
        await channel.close()

    task = asyncio.ensure_future(work())
    await asyncio.wait((task,))
    assert task.cancelled()
    (connection,) = connections
    assert worked == [connection]
    connection._thread.join(50)
    assert not connection._thread.is_alive()


@pytest.mark.parametrize(
    "guard", [None, Guard(Schema(component="things", kind="store", migrations=((),)), store="test")]
)
async def test_what_is_written_is_one_transaction(guard: Guard | None) -> None:
    """What a function has written that raises is taken back, with and without tables that could be newer."""
    opener = partial(sqlite3.connect, ":memory:", check_same_thread=False, isolation_level=None)
    channel = Channel(opener, busy_timeout=0.1, guard=guard)

    def insert(connection: sqlite3.Connection, *, fail: bool) -> int:
        assert connection.in_transaction
        connection.execute("INSERT INTO things VALUES (1)")
        if fail:
            raise ValueError("no")
        return 7

    await channel.open()
    try:
        await channel.run("CREATE TABLE things (n)")
        assert await channel.write(partial(insert, fail=False)) == 7
        with pytest.raises(ValueError, match="no"):
            await channel.write(partial(insert, fail=True))
        assert await channel.run("SELECT count(*) FROM things") == [(1,)]
        assert await channel.run(f"SELECT {channel.unless_newer}") == [(1,)]
    finally:
        await channel.close()
