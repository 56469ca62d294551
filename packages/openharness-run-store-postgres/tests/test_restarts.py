"""A server that goes, and comes back."""

from __future__ import annotations

import asyncio
import collections
import contextlib
import os
import random
import secrets
import signal
import time
from typing import TYPE_CHECKING

import asyncpg
import attrs
import pytest

from openharness.core import RunQuery, RunRecord, StoreBusyError, StoreError, StoreOpenError
from openharness.run_store_postgres import PostgresRunStore

if TYPE_CHECKING:
    from collections.abc import Callable

    from openharness.testing.postgres import PostgresServer

LONG = os.environ.get("OPENHARNESS_LONG") == "1"


@pytest.fixture
def new_store(own_server: PostgresServer) -> Callable[..., PostgresRunStore]:
    """Return what makes a store on the server that may be stopped, on tables of this test."""
    schema = f"test_{secrets.token_hex(8)}"

    def new(**options: object) -> PostgresRunStore:
        return PostgresRunStore(own_server.dsn, schema=schema, **options)  # type: ignore[arg-type]

    return new


@attrs.frozen
class Verdict:
    """What was acknowledged and is not there, what is there otherwise, and index entries that are there twice."""

    lost: list[str]
    strange: list[str]
    duplicates: list[str]


async def restart_under_load(
    server: PostgresServer, store: PostgresRunStore, *, ways: list[str], up: tuple[float, float], down: float
) -> tuple[dict[str, int], float]:
    """Save and read from many tasks while the server is stopped and started again; nobody may see an error.

    Returns:
        What was acknowledged, each run with the number that its last save wrote; and the longest time in seconds from
        the return of the server to the next acknowledged save.
    """
    acknowledged: dict[str, int] = {}
    last = 0.0
    ended = False

    async def write(task: int) -> None:
        nonlocal last
        number = 0
        while not ended:
            number += 1
            # Every run is saved twice, so that a save that came late would be seen.
            run_id = f"r-{task}-{number // 2}"
            await store.save_run(RunRecord(run_id, created_at=number, state=number, metadata={"n": number}))
            acknowledged[run_id] = number
            last = time.monotonic()
            await asyncio.sleep(0)

    async def read() -> None:
        while not ended:
            run = await store.get_run(f"r-{random.randrange(16)}-{random.randrange(200)}")
            assert run is None or run.state in range(402)
            await asyncio.sleep(0.005)

    slowest = 0.0
    async with asyncio.TaskGroup() as group:
        for task in range(16):
            group.create_task(write(task))
        for _ in range(4):
            group.create_task(read())
        for how in ways:
            await asyncio.sleep(random.uniform(*up))
            await asyncio.to_thread(server.stop, how)  # type: ignore[arg-type]
            await asyncio.sleep(random.uniform(0, down))
            await asyncio.to_thread(server.start)
            back = time.monotonic()
            async with asyncio.timeout(50):
                while last < back:  # noqa: ASYNC110 - what is waited for is any of many
                    await asyncio.sleep(0.01)
            slowest = max(slowest, last - back)
        ended = True
    return acknowledged, slowest


async def judge(store: PostgresRunStore, server: PostgresServer, acknowledged: dict[str, int]) -> Verdict:
    """Each run should be there once, as its last acknowledged save wrote it; and so should the entries that find it."""
    runs = {run.id: run.state async for run in store.iter_runs()}
    connection = await asyncpg.connect(server.dsn)
    names = store._names
    entries = await connection.fetch(f"SELECT run_id, key, value FROM {names('run_metadata')}")  # noqa: S608 - our own
    await connection.close()
    found = collections.Counter((run_id, key, value) for run_id, key, value in entries)
    expected = {(run_id, "n", str(number)) for run_id, number in acknowledged.items()}
    return Verdict(
        lost=[run_id for run_id, number in acknowledged.items() if runs.get(run_id) != number],
        strange=[*(runs.keys() - acknowledged.keys()), *map(str, found.keys() ^ expected)],
        duplicates=[entry[0] for entry, times in found.items() if times > 1],
    )


async def check_restarts(
    server: PostgresServer,
    store: PostgresRunStore,
    note: Callable[[str, object], None],
    *,
    ways: list[str],
    up: tuple[float, float],
    down: float,
) -> int:
    """Restart the server under load, and check that nothing was lost; return how many runs were acknowledged."""
    acknowledged, slowest = await restart_under_load(server, store, ways=ways, up=up, down=down)
    verdict = await judge(store, server, acknowledged)
    note("restarts", len(ways))
    note("acknowledged", len(acknowledged))
    note("lost", len(verdict.lost))
    note("strange", len(verdict.strange))
    note("duplicates", len(verdict.duplicates))
    note("slowest ms", round(slowest * 1_000))
    assert verdict == Verdict([], [], [])
    assert slowest < (10 if LONG else 50)
    return len(acknowledged)


@pytest.mark.slow
async def test_restarts_under_load_lose_nothing(
    own_server: PostgresServer,
    new_store: Callable[..., PostgresRunStore],
    record_property: Callable[[str, object], None],
) -> None:
    """Stopped, crashed and killed under load, the server has every acknowledged save, once, and nobody saw an error."""
    ways = ["fast", "immediate", "kill", "immediate"]
    async with new_store() as store:
        assert await check_restarts(own_server, store, record_property, ways=ways, up=(0.2, 0.6), down=0.3) > 16


@pytest.mark.slow
async def test_the_check_notices_a_server_that_acknowledges_too_early(
    own_server: PostgresServer,
    new_store: Callable[..., PostgresRunStore],
    record_property: Callable[[str, object], None],
) -> None:
    """The same check fails when the server acknowledges what it has not synced: without that it would prove nothing."""
    async with new_store() as store:
        # The tables are there before anything is lost.
        assert await store.count_runs() == 0
    connection = await asyncpg.connect(own_server.dsn)
    await connection.execute("ALTER SYSTEM SET synchronous_commit = off")
    # What waits to be written is lost in a crash.
    await connection.execute("ALTER SYSTEM SET wal_writer_delay = 10000")
    await connection.close()
    await asyncio.to_thread(own_server.restart, "fast")
    try:
        async with new_store() as store:
            lost = 0
            for _ in range(10):
                acknowledged, _ = await restart_under_load(own_server, store, ways=["kill"], up=(0.2, 0.6), down=0.1)
                lost = len((await judge(store, own_server, acknowledged)).lost)
                if lost:
                    break
    finally:
        connection = await asyncpg.connect(own_server.dsn)
        await connection.execute("ALTER SYSTEM RESET ALL")
        await connection.close()
        await asyncio.to_thread(own_server.restart, "fast")
    record_property("lost", lost)
    assert lost > 0


@pytest.mark.slow
@pytest.mark.timeout(1200)
@pytest.mark.skipif(not LONG, reason="takes ten minutes; OPENHARNESS_LONG=1 runs it")
async def test_ten_minutes_of_restarts_lose_nothing(
    own_server: PostgresServer,
    new_store: Callable[..., PostgresRunStore],
    record_property: Callable[[str, object], None],
) -> None:
    """The same, with a restart every 5 to 20 seconds for ten minutes."""
    ways = [random.choice(["fast", "immediate", "kill"]) for _ in range(45)]
    async with new_store() as store:
        await check_restarts(own_server, store, record_property, ways=ways, up=(5.0, 20.0), down=5.0)


async def test_a_server_that_stays_away_is_waited_for_and_then_missed(
    own_server: PostgresServer, new_store: Callable[..., PostgresRunStore]
) -> None:
    """After reconnect_timeout a call raises StoreOpenError; when the server is back, the same store works."""
    async with new_store(reconnect_timeout=0.3) as store:
        await store.save_run(RunRecord("a", created_at=1, state=1))
        await asyncio.to_thread(own_server.stop, "immediate")
        try:
            with pytest.raises(StoreOpenError, match="cannot be reached"):
                await store.save_run(RunRecord("b", created_at=1, state=1))
            with pytest.raises(StoreOpenError, match="cannot be reached"):
                await store.get_run("a")
        finally:
            await asyncio.to_thread(own_server.start)
        await store.save_run(RunRecord("b", created_at=1, state=1))
        assert [run.id for run in await store.list_runs(RunQuery(order="oldest"))] == ["a", "b"]


async def test_a_close_while_the_server_is_away_ends(
    own_server: PostgresServer, new_store: Callable[..., PostgresRunStore]
) -> None:
    """It waits no longer than what was begun does, which fails then."""
    store = new_store(reconnect_timeout=0.3)
    await store.save_run(RunRecord("a", created_at=1, state=1))
    await asyncio.to_thread(own_server.stop, "immediate")
    try:
        saving = asyncio.ensure_future(store.save_run(RunRecord("b", created_at=1, state=1)))
        await asyncio.sleep(0)
        async with asyncio.timeout(50):
            await store.close()
        with pytest.raises(StoreOpenError):
            await saving
    finally:
        await asyncio.to_thread(own_server.start)


async def test_idle_connections_that_were_lost_are_not_noticed(
    own_server: PostgresServer, new_store: Callable[..., PostgresRunStore]
) -> None:
    """After a restart, the first read and the first save work, although their connections are gone."""
    async with new_store(reconnect_timeout=50) as store:
        await store.save_run(RunRecord("a", created_at=1, state=1))
        assert await store.get_run("a") is not None
        await asyncio.to_thread(own_server.restart, "fast")
        await store.save_run(RunRecord("b", created_at=1, state=1))
        assert await store.count_runs() == 2


async def test_a_statement_of_a_lost_connection_ends_before_the_next_begins(
    own_server: PostgresServer, new_store: Callable[..., PostgresRunStore]
) -> None:
    """A save whose connection was lost while the server still held it is ended there, and never comes late."""
    async with new_store() as store:
        await store.save_run(RunRecord("a", created_at=1, state="first"))
        other, watching = await asyncpg.connect(own_server.dsn), await asyncpg.connect(own_server.dsn)
        transaction = other.transaction()
        await transaction.start()
        await other.execute(f"LOCK TABLE {store._names('runs')}")
        old = asyncio.ensure_future(store.save_run(RunRecord("a", created_at=1, state="old")))
        waiting = (
            "SELECT pid FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND application_name LIKE 'openharness:%'"
        )
        async with asyncio.timeout(50):
            while len(before := await watching.fetch(waiting)) != 1:  # noqa: ASYNC110 - the server tells nobody
                await asyncio.sleep(0.01)
            # The network is lost: the server does not hear of it.
            assert store._session is not None
            channel = store._session._writing
            assert channel._connection is not None
            channel._connection._transport.abort()  # type: ignore[attr-defined]
            new = asyncio.ensure_future(store.save_run(RunRecord("a", created_at=1, state="new")))
            while len(after := await watching.fetch(waiting)) != 1 or after == before:  # noqa: ASYNC110
                await asyncio.sleep(0.01)
            await transaction.rollback()
            await asyncio.gather(old, new)
        await other.close()
        await watching.close()
        run = await store.get_run("a")
        assert run is not None
        assert run.state == "new"


@pytest.mark.skipif(os.name != "posix", reason="a process is stopped by a signal")
async def test_nothing_is_written_before_a_statement_that_hangs_has_ended(
    own_server: PostgresServer, new_store: Callable[..., PostgresRunStore]
) -> None:
    """While the server cannot end a statement that was given up, saves fail; then they are done, and it never is."""
    async with new_store() as store:
        await store.save_run(RunRecord("a", created_at=1, state="first"))
    async with new_store(command_timeout=1, reconnect_timeout=0) as store:
        await store.save_run(RunRecord("a", created_at=1, state="first"))
        channel = store._current()._writing
        assert channel._connection is not None
        hanging = channel._connection.get_server_pid()
        os.kill(hanging, signal.SIGSTOP)
        try:
            for state in ("old", "next"):
                with pytest.raises(StoreBusyError):
                    await store.save_run(RunRecord("a", created_at=1, state=state))
                assert not channel.is_open
        finally:
            os.kill(hanging, signal.SIGCONT)
        async with asyncio.timeout(50):
            while True:
                with contextlib.suppress(StoreError):
                    await store.save_run(RunRecord("a", created_at=1, state="new"))
                    break
        run = await store.get_run("a")
        assert run is not None
        assert run.state == "new"
