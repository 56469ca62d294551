"""A recording that is still written to is followed, signal by signal, to its end."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import strategies as st

from openharness.core import InvalidValueError, PatternError, RecordingNotFoundError, StoreClosedError
from openharness.testing._kit import _processes
from openharness.testing._kit._abilities import Ability, requires
from openharness.testing._kit._explore import explore
from openharness.testing._kit._same import assert_same
from openharness.testing._signal_store._base import SignalStoreCase
from openharness.testing._signal_store._samples import (
    as_stored,
    load,
    make_blob,
    make_request,
    make_signal,
    make_signals,
    record,
)
from openharness.testing._signal_store._scenarios import record_for_ever

if TYPE_CHECKING:
    from collections.abc import Callable

    from openharness.core import LogEntry, Signal, SignalStore

__all__ = ("FollowTests", "FollowedProcessTests")


async def _all(store: SignalStore, recording_id: str, **options: Any) -> list[Signal]:
    """Follow to the end."""
    return [signal async for signal in store.follow(recording_id, **options)]


class FollowTests(SignalStoreCase):
    """`SignalStore.follow`."""

    async def test_a_recording_that_ended_is_read_to_its_end(self, store: SignalStore) -> None:
        """All signals come, references resolved, and then the iteration ends."""
        blob = make_blob("hello")
        entries: list[LogEntry] = [*make_signals(3), blob, make_request(3, [blob])]
        recording_id = await record(store, *entries)
        await store.finalize(recording_id, outcome="failed")
        assert_same(await self.soon(_all(store, recording_id), "following"), as_stored(entries), what="signals")
        assert [signal.seq for signal in await self.soon(_all(store, recording_id, start=2))] == [2, 3]
        assert await self.soon(_all(store, recording_id, start=4)) == []
        assert await self.soon(_all(store, recording_id, start=99)) == []

    async def test_what_comes_later_comes(self, store: SignalStore) -> None:
        """Each signal comes once it is appended, in order; the end of the recording ends the iteration."""
        recording_id = await record(store, *make_signals(2))
        followed = aiter(store.follow(recording_id))
        async with self.promptly("following what is appended"):
            assert [(await anext(followed)).seq for _ in range(2)] == [0, 1]
            for seq in range(2, 8, 2):
                waiting = asyncio.ensure_future(anext(followed))
                await asyncio.sleep(0)
                assert not waiting.done()
                await store.append(recording_id, make_signals(2, start=seq))
                assert [(await waiting).seq, (await anext(followed)).seq] == [seq, seq + 1]
            waiting = asyncio.ensure_future(anext(followed))
            await asyncio.sleep(0)
            await store.finalize(recording_id, outcome="completed")
            with pytest.raises(StopAsyncIteration):
                await waiting

    async def test_signals_of_some_names(self, store: SignalStore) -> None:
        """With patterns, the others are passed over, before and after they are appended."""
        recording_id = await record(store, make_signal(0, name="tool:call"), make_signal(1))
        task = asyncio.ensure_future(_all(store, recording_id, patterns=["tool:*", "agent:error"]))
        await asyncio.sleep(0)
        await store.append(recording_id, [make_signal(2), make_signal(3, name="agent:error"), make_signal(4)])
        await store.finalize(recording_id, outcome="failed")
        assert [signal.seq for signal in await self.soon(task, "following")] == [0, 3]

    async def test_beginning_beyond_what_is_there(self, store: SignalStore) -> None:
        """Who begins at a signal that is still to come gets that one first."""
        recording_id = await record(store, *make_signals(1))
        task = asyncio.ensure_future(_all(store, recording_id, start=3))
        await asyncio.sleep(0)
        for seq in range(1, 5):
            await store.append(recording_id, make_signals(1, start=seq))
        await store.finalize(recording_id, outcome="completed")
        assert [signal.seq for signal in await self.soon(task, "following")] == [3, 4]

    async def test_what_cannot_be_followed(self, store: SignalStore) -> None:
        """No such recording, a bound that is none and a pattern that is none are errors at the first step."""
        recording_id = await record(store)
        for follow, error in (
            (store.follow("rec_none"), RecordingNotFoundError),
            (store.follow(recording_id, start=-1), InvalidValueError),
            (store.follow(recording_id, patterns="a::b"), PatternError),
        ):
            with pytest.raises(error):
                await self.soon(anext(aiter(follow)), "following what cannot be followed")

    async def test_a_recording_that_is_deleted(self, store: SignalStore) -> None:
        """Who follows a recording that is deleted gets RecordingNotFoundError."""
        recording_id = await record(store, *make_signals(1))
        followed = aiter(store.follow(recording_id))
        await anext(followed)
        waiting = asyncio.ensure_future(anext(followed))
        await asyncio.sleep(0)
        await store.delete_recording(recording_id)
        with pytest.raises(RecordingNotFoundError):
            await self.soon(waiting, "following a recording that is deleted")

    async def test_a_store_that_is_closed(self, store: SignalStore) -> None:
        """Closing the store ends who follows with StoreClosedError, and does not wait for them."""
        recording_id = await record(store, *make_signals(1))
        followed = aiter(store.follow(recording_id))
        await anext(followed)
        waiting = asyncio.ensure_future(anext(followed))
        await asyncio.sleep(0)
        await self.soon(store.close(), "closing while somebody follows")
        with pytest.raises(StoreClosedError):
            await self.soon(waiting, "following in a store that is closed")

    async def test_who_is_cancelled_leaves_at_once(self, store: SignalStore) -> None:
        """A follower that waits is cancelled at once, and the store goes on."""
        recording_id = await record(store, *make_signals(1))
        task = asyncio.ensure_future(_all(store, recording_id))
        for _ in range(3):
            await asyncio.sleep(0.002)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await self.soon(task, "a follower that is cancelled")
        await store.append(recording_id, make_signals(1, start=1))
        assert len((await load(store, recording_id)).signals) == 2

    async def test_a_reader_that_does_not_read_holds_nobody_up(self, store: SignalStore) -> None:
        """With a follower that stands still, signals are appended, the recording ends, and the reader misses nothing."""
        recording_id = await record(store, *make_signals(3))
        followed = aiter(store.follow(recording_id))
        await anext(followed)
        async with self.promptly("appending while a follower stands still"):
            for seq in range(3, 43, 4):
                await store.append(recording_id, make_signals(4, start=seq))
            await store.finalize(recording_id, outcome="completed")
        async with self.promptly("following to the end"):
            assert [signal.seq async for signal in followed] == list(range(1, 43))

    async def test_several_followers(self, store: SignalStore) -> None:
        """Several who follow at once, from different places, each get every signal once."""
        recording_id = await record(store)
        tasks = [asyncio.ensure_future(_all(store, recording_id, start=start)) for start in (0, 0, 5)]
        for seq in range(0, 12, 3):
            await asyncio.sleep(0)
            await store.append(recording_id, make_signals(3, start=seq))
        await store.finalize(recording_id, outcome="completed")
        found = await self.soon(asyncio.gather(*tasks), "following")
        assert [[signal.seq for signal in signals] for signals in found] == [
            list(range(12)),
            list(range(12)),
            list(range(5, 12)),
        ]

    async def test_random_appends_and_pauses(self, store: SignalStore) -> None:
        """However the writer and the reader take turns, the reader gets the log: nothing twice, nothing left out."""

        async def check(example: tuple[list[tuple[int, int]], int, int]) -> None:
            appends, start, lag = example
            recording_id = await record(store)
            seqs: list[int] = []

            async def read() -> None:
                async for signal in store.follow(recording_id, start=start):
                    seqs.append(signal.seq)
                    for _ in range(lag):
                        await asyncio.sleep(0)

            reader = asyncio.ensure_future(read())
            count = 0
            try:
                for size, pauses in appends:
                    await store.append(recording_id, make_signals(size, start=count))
                    count += size
                    for _ in range(pauses):
                        await asyncio.sleep(0)
                await store.finalize(recording_id, outcome="completed")
                async with self.promptly("following"):
                    await reader
            finally:
                reader.cancel()
            assert seqs == list(range(start, count))

        appends = st.lists(st.tuples(st.integers(1, 5), st.integers(0, 4)), max_size=6)
        await explore(self, st.tuples(appends, st.integers(0, 4), st.integers(0, 3)), check)


class FollowedProcessTests(SignalStoreCase):
    """`SignalStore.follow`, where another process writes."""

    @requires(Ability.DURABLE, Ability.MULTI_PROCESS)
    async def test_signals_of_another_process_that_is_killed(
        self, store: SignalStore, reopen: Callable[[], SignalStore]
    ) -> None:
        """What another process acknowledged comes while it runs; killed and continued, nothing is missed or repeated."""
        recording_id = await record(store)
        seqs: list[int] = []

        async def read() -> None:
            async for signal in store.follow(recording_id):
                seqs.append(signal.seq)  # noqa: PERF401 - they are looked at while it goes on

        reader = asyncio.ensure_future(read())
        try:
            acknowledged = 0
            async with _processes.start(record_for_ever, reopen, recording_id) as process:
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(self.startup):
                        async for line in _processes.lines(process):
                            acknowledged = int(line)
                            if acknowledged >= 30:
                                async with self.promptly("a signal of another process"):
                                    while len(seqs) < acknowledged:  # noqa: ASYNC110 - that is what is tested
                                        await asyncio.sleep(0.005)
                                process.kill()
                                break
            assert acknowledged >= 30, "the process recorded nothing"
            count = len((await load(store, recording_id)).signals)
            await store.append(recording_id, make_signals(2, start=count))
            await store.finalize(recording_id, outcome="interrupted")
            await self.soon(reader, "following to the end")
            # What the process had sent to a server may have been committed after it was killed: the same, and one more.
            whole = len((await load(store, recording_id)).signals)
        finally:
            reader.cancel()
        assert whole in (count + 2, count + 3)
        assert seqs == list(range(whole))
