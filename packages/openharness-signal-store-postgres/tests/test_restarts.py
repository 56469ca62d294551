"""A server that goes, and comes back: those who append lose nothing, those who follow miss and repeat nothing."""

from __future__ import annotations

import asyncio
import os
import random
import secrets
from typing import TYPE_CHECKING, Any

import asyncpg
import pytest

from openharness.core import Signal
from openharness.signal_store_postgres import PostgresSignalStore, _following
from openharness.signal_store_postgres._schema import channel_name

if TYPE_CHECKING:
    from collections.abc import Callable

    from openharness.testing.postgres import PostgresServer

LONG = os.environ.get("OPENHARNESS_LONG") == "1"
NewStore = Any
Make = Any


@pytest.fixture
def new_restarted_store(own_server: PostgresServer) -> Callable[..., PostgresSignalStore]:
    """Return what makes a store on the server that may be stopped, on tables of this test."""
    schema = f"test_{secrets.token_hex(8)}"

    def new(**options: Any) -> PostgresSignalStore:
        return PostgresSignalStore(own_server.dsn, schema=schema, **options)

    return new


def signal_at(recording_id: str, seq: int) -> Signal:
    """The signal at this place; everything in it follows from the place."""
    return Signal(f"{recording_id}/{seq}", name=f"text:n{seq % 3}", payload={"n": seq}, timestamp=seq, seq=seq)


async def record_and_follow(
    server: PostgresServer, writing: PostgresSignalStore, reading: PostgresSignalStore, ways: list[str], up: float
) -> int:
    """Append from many tasks and follow from another store while the server is restarted; nobody may see an error.

    Returns:
        How many signals were acknowledged, each of which was there once, and followed once.
    """
    ended = False
    total = 0

    async def write(recording_id: str) -> None:
        nonlocal total
        seq = 0
        while not ended:
            await writing.append(recording_id, [signal_at(recording_id, seq + ahead) for ahead in range(3)])
            seq += 3
            await asyncio.sleep(random.uniform(0, 0.01))
        await writing.finalize(recording_id, outcome="completed", duration_ms=seq)
        recording = await reading.load_recording(recording_id)
        assert recording is not None
        assert recording.signals == [signal_at(recording_id, place) for place in range(seq)]
        total += seq

    async def follow(recording_id: str) -> None:
        seqs = [signal.seq async for signal in reading.follow(recording_id)]
        assert seqs == list(range(len(seqs)))
        info = await reading.get_recording_info(recording_id)
        assert info is not None
        assert info.signal_count == len(seqs) == info.duration_ms

    async with asyncio.TaskGroup() as group:
        for number in range(12):
            recording_id = await writing.create_recording(run_id=f"run-{number}")
            group.create_task(write(recording_id))
            if number < 4:
                group.create_task(follow(recording_id))
        for how in ways:
            await asyncio.sleep(random.uniform(0.5, 1) * up)
            await asyncio.to_thread(server.restart, how)  # type: ignore[arg-type]
        await asyncio.sleep(up / 2)
        ended = True
    return total


@pytest.mark.slow
@pytest.mark.timeout(1200 if LONG else 240)
async def test_restarts_under_load_lose_and_repeat_nothing(
    own_server: PostgresServer,
    new_restarted_store: Callable[..., PostgresSignalStore],
    record_property: Callable[[str, object], None],
) -> None:
    """Stopped, crashed and killed, the server has every acknowledged signal once; followers got each once, in order."""
    ways = ["fast", "kill", "immediate"] * (20 if LONG else 1)
    async with new_restarted_store() as writing, new_restarted_store() as reading:
        total = await record_and_follow(own_server, writing, reading, ways, up=5.0 if LONG else 0.5)
        assert total > 12 * 3 * len(ways)
    # The load compares each recording with what was acknowledged, and fails where they differ.
    for name, number in {"restarts": len(ways), "acknowledged": total, "lost": 0, "duplicates": 0}.items():
        record_property(name, number)


async def test_a_follower_is_told(new_store: NewStore, make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    """What another store appends is heard of: it comes although the recording is hardly ever asked for."""
    monkeypatch.setattr(_following, "_LONGEST_PAUSE_OF_LISTENERS", 600.0)
    async with new_store() as writing, new_store() as reading:
        one = await writing.create_recording(run_id="run")
        followed = aiter(reading.follow(one))
        async with asyncio.timeout(50):
            for seq in range(5):
                waiting = asyncio.ensure_future(anext(followed))
                await asyncio.sleep(0.02)
                await writing.append(one, make(1, start=seq))
                assert (await waiting).seq == seq
            waiting = asyncio.ensure_future(anext(followed, None))
            await asyncio.sleep(0.02)
            await writing.finalize(one, outcome="completed")
            assert await waiting is None


async def test_a_follower_that_hears_nothing_asks(
    new_store: NewStore, make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where listening does nothing, as behind a pooler, or cannot be, every signal comes all the same."""
    for heard in (True, False):

        async def listen(*about: object, heard: bool = heard) -> bool:
            del about
            return heard

        monkeypatch.setattr("openharness.postgres.Session.listen", listen)
        async with new_store() as writing, new_store() as reading:
            one = await writing.create_recording(run_id="run")
            followed = aiter(reading.follow(one))
            waiting = asyncio.ensure_future(anext(followed))
            await asyncio.sleep(0.05)
            await writing.append(one, make(1))
            async with asyncio.timeout(50):
                assert (await waiting).seq == 0


async def test_a_listening_connection_that_is_lost_comes_back(
    new_store: NewStore, make: Make, openharness_postgres: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """When every connection of a follower is ended, what was appended meanwhile comes, and what comes then is heard of."""
    monkeypatch.setattr(_following, "_LONGEST_PAUSE_OF_LISTENERS", 600.0)
    async with new_store() as writing, new_store() as reading:
        one = await writing.create_recording(run_id="run")
        followed = aiter(reading.follow(one))
        waiting = asyncio.ensure_future(anext(followed))
        await asyncio.sleep(0.1)
        other = await asyncpg.connect(openharness_postgres.dsn)
        await other.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid <> pg_backend_pid() "
            "AND application_name LIKE 'openharness:%'"
        )
        await other.close()
        async with asyncio.timeout(50):
            for seq in range(3):
                await writing.append(one, make(1, start=seq))
                assert (await waiting).seq == seq
                waiting = asyncio.ensure_future(anext(followed))
                await asyncio.sleep(0.05)
        waiting.cancel()


async def test_nothing_is_said_where_nobody_follows(new_store: NewStore, make: Make, openharness_postgres: Any) -> None:
    """Who appends says so only while somebody follows, because the server commits those who say something in turn."""
    said: list[str] = []
    async with new_store() as store:
        one, two = [await store.create_recording(run_id="run") for _ in range(2)]
        following = asyncio.ensure_future(anext(aiter(store.follow(two))))
        listener = await asyncpg.connect(openharness_postgres.dsn)
        followed = f"SELECT followed_until FROM {store._names('recordings')} WHERE id = $1"  # noqa: S608
        async with asyncio.timeout(50):
            while await listener.fetchval(followed, two) is None:  # noqa: ASYNC110 - the server tells nobody
                await asyncio.sleep(0.01)

        def hear(_connection: object, _process: int, _channel: str, payload: object) -> None:
            said.append(str(payload))

        await listener.add_listener(channel_name(store._names), hear)
        await store.append(one, make(3))
        await store.append(two, make(1))
        await following
        async with asyncio.timeout(50):
            while not said:  # noqa: ASYNC110 - the driver tells a callback
                await asyncio.sleep(0.01)
        await listener.close()
    assert said == [two]


def test_several_event_loops_and_no_end(new_store: NewStore, make: Make, caplog: pytest.LogCaptureFixture) -> None:
    """A store that followed in one event loop, and was never closed there, follows in the next; nothing is logged."""
    store = new_store()

    async def use() -> None:
        one = await store.create_recording(run_id="run")
        following = asyncio.ensure_future(anext(aiter(store.follow(one))))
        await asyncio.sleep(0.05)
        await store.append(one, make(1))
        async with asyncio.timeout(50):
            assert (await following).seq == 0

    for _ in range(3):
        asyncio.run(use())
    asyncio.run(store.close())
    assert caplog.records == []
