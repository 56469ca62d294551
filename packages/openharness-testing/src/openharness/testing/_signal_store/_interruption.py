"""Cancellation: at every point where a method waits, and afterwards the store is whole and usable."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from openharness.core import RecordingQuery
from openharness.testing._kit._abilities import Ability, requires
from openharness.testing._kit._cancelling import Moment, cancel_at, every_cancellation
from openharness.testing._kit._explore import explore_chances
from openharness.testing._kit._same import assert_same
from openharness.testing._signal_store._base import SignalStoreCase
from openharness.testing._signal_store._samples import (
    as_stored,
    found_ids,
    load,
    make_blob,
    make_request,
    make_signals,
    record,
)

if TYPE_CHECKING:
    import random
    from collections.abc import Awaitable, Callable

    from openharness.core import LogEntry, Signal, SignalStore

__all__ = ("CancellationTests",)

_POINTS = (1, 1, 1, 2, 3)
"""At which of its suspensions an operation is cancelled at random; many have few."""


async def _iterate(store: SignalStore, recording_id: str) -> list[Signal]:
    return [signal async for signal in store.iter_signals(recording_id)]


_READS: dict[str, Callable[[SignalStore, str], Awaitable[object]]] = {
    "load": lambda store, recording_id: store.load_recording(recording_id),
    "iter": _iterate,
    "list": lambda store, _: store.list_recordings(),
    "find": lambda store, _: store.find_recording("fixture"),
}


class CancellationTests(SignalStoreCase):
    """A cancelled method has happened whole or not at all, raises CancelledError, and leaves the store usable."""

    async def test_a_cancelled_append(self, store: SignalStore) -> None:
        """All its entries are there or none, and repeating it brings them, once."""
        blob = make_blob("text")
        first = make_signals(2)
        more: list[LogEntry] = [make_signals(1, start=2)[0], blob, make_request(3, [blob]), *make_signals(9, start=4)]
        recording_id = await record(store, *first)

        async def afterwards() -> None:
            nonlocal recording_id
            recording = await load(store, recording_id)
            assert len(recording.signals) in (2, 13), "half an append"
            assert recording.info.signal_count == len(recording.signals)
            await store.append(recording_id, more)
            assert_same(list((await load(store, recording_id)).signals), as_stored([*first, *more]), what="signals")
            recording_id = await record(store, *first)

        await every_cancellation(lambda: store.append(recording_id, more), afterwards, patience=self.patience)

    async def test_a_cancelled_creation(self, store: SignalStore) -> None:
        """There is one empty recording more or there is none, and it can be deleted."""

        async def afterwards() -> None:
            found = await found_ids(store)
            assert len(found) <= 1
            for recording_id in found:
                recording = await load(store, recording_id)
                assert (recording.info.run_id, recording.info.tags, list(recording.signals)) == ("run-1", ("a",), [])
                await store.delete_recording(recording_id)
            assert await found_ids(store) == []

        await every_cancellation(
            lambda: store.create_recording(run_id="run-1", tags=["a"]), afterwards, patience=self.patience
        )

    async def test_a_cancelled_end(self, store: SignalStore) -> None:
        """The recording is finalized whole or still open, and finalizing again is safe."""
        recording_id = await record(store, *make_signals(2))

        async def afterwards() -> None:
            nonlocal recording_id
            info = (await load(store, recording_id)).info
            assert (info.outcome, info.duration_ms) in (("incomplete", None), ("failed", 5))
            await store.finalize(recording_id, outcome="failed", duration_ms=5)
            info = (await load(store, recording_id)).info
            assert (info.outcome, info.duration_ms) == ("failed", 5)
            recording_id = await record(store, *make_signals(2))

        await every_cancellation(
            lambda: store.finalize(recording_id, outcome="failed", duration_ms=5), afterwards, patience=self.patience
        )

    async def test_a_cancelled_publication(self, store: SignalStore) -> None:
        """The name means the recording before or the new one, never none."""
        one = await record(store, *make_signals(1), name="fixture")
        two = await record(store, *make_signals(2), name="fixture")
        await store.publish(one, "fixture")

        async def afterwards() -> None:
            found = await store.find_recording("fixture")
            assert found is not None, "the name means nothing any more"
            assert found.id in (one, two)
            await store.publish(one, "fixture")
            found = await store.find_recording("fixture")
            assert found is not None
            assert found.id == one, "what was cancelled took effect later than what followed it"

        await every_cancellation(lambda: store.publish(two, "fixture"), afterwards, patience=self.patience)

    async def test_a_cancelled_checkpoint(self, store: SignalStore) -> None:
        """The checkpoint is there or not, and adding it again is safe."""
        recording_id = await record(store, *make_signals(2))

        async def afterwards() -> None:
            nonlocal recording_id
            assert len((await load(store, recording_id)).checkpoints) <= 1
            await store.add_checkpoint(recording_id, "here", 1)
            assert len((await load(store, recording_id)).checkpoints) == 1
            recording_id = await record(store, *make_signals(2))

        await every_cancellation(
            lambda: store.add_checkpoint(recording_id, "here", 1), afterwards, patience=self.patience
        )

    async def test_a_cancelled_delete(self, store: SignalStore) -> None:
        """The recording is there whole or gone whole, its fixture name with it."""
        recording_id = ""

        async def restore() -> None:
            nonlocal recording_id
            recording_id = await record(store, *make_signals(5), name="fixture")
            await store.publish(recording_id, "fixture")

        async def afterwards() -> None:
            recording = await store.load_recording(recording_id)
            if recording is None:
                assert await found_ids(store, name="fixture") == []
                assert await store.find_recording("fixture") is None
            else:
                assert_same(list(recording.signals), make_signals(5), what="signals")
                assert_same(await store.find_recording("fixture"), recording.info, what="info")
            await store.delete_recording(recording_id)
            assert await found_ids(store) == []
            await restore()

        await restore()
        await every_cancellation(lambda: store.delete_recording(recording_id), afterwards, patience=self.patience)

    async def test_cancellations_at_random(self, store: SignalStore) -> None:
        """Of many operations at once some are cancelled, one to three times: each happens whole or not at all."""

        async def check(chance: random.Random) -> int:
            logs = {await record(store): 0 for _ in range(3)}
            cancelled = 0

            async def append(recording_id: str) -> None:
                nonlocal cancelled
                for _ in range(3):
                    start = logs[recording_id]
                    more = make_signals(chance.randint(1, 4), start=start)
                    point, moment = chance.choice(_POINTS), chance.choice(list(Moment))
                    if chance.random() < 0.7:
                        cancelled += await cancel_at(
                            lambda: store.append(recording_id, more),  # noqa: B023 - called at once
                            point=point,
                            moment=moment,
                        )
                        found = len((await load(store, recording_id)).signals)
                        assert found in (start, start + len(more)), "half an append"
                    # What was cancelled may be repeated, whether it has happened or not.
                    await store.append(recording_id, more)
                    logs[recording_id] += len(more)

            async def read(recording_id: str) -> None:
                nonlocal cancelled
                name = chance.choice(list(_READS))
                cancelled += await cancel_at(
                    lambda: _READS[name](store, recording_id),
                    point=chance.choice(_POINTS),
                    moment=chance.choice(list(Moment)),
                )

            async with self.promptly("operations of which some are cancelled"):
                await asyncio.gather(*(work(one) for one in logs for work in (append, read)))
            async with self.promptly("what follows operations of which some were cancelled"):
                for recording_id, count in logs.items():
                    assert_same(list((await load(store, recording_id)).signals), make_signals(count), what="signals")
                    await store.delete_recording(recording_id)
                assert await found_ids(store) == []
            return cancelled

        await explore_chances(self, check, counted="cancellations")

    @pytest.mark.parametrize("name", list(_READS))
    async def test_a_cancelled_read(self, store: SignalStore, name: str) -> None:
        """Reading changes nothing, and a read that is cancelled keeps nobody from writing."""
        recording_id = await record(store, *make_signals(3), name="fixture")
        await store.publish(recording_id, "fixture")
        count = 3

        async def afterwards() -> None:
            nonlocal count
            await store.append(recording_id, make_signals(1, start=count))
            count += 1
            assert_same(list((await load(store, recording_id)).signals), make_signals(count), what="signals")

        await every_cancellation(lambda: _READS[name](store, recording_id), afterwards, patience=self.patience)

    async def test_a_cancelled_close(self, store: SignalStore) -> None:
        """A close that was cancelled can be repeated, and ends."""
        await record(store, *make_signals(2))
        for point in range(1, 20):
            await self.soon(cancel_at(store.close, point=point, moment=Moment.EARLY), "a cancelled close")
        await self.soon(store.close(), "closing after a cancelled close")

    @requires(Ability.DURABLE)
    @pytest.mark.parametrize("moment", list(Moment))
    async def test_a_cancelled_first_use(
        self, store: SignalStore, reopen: Callable[[], SignalStore], moment: Moment
    ) -> None:
        """A store whose opening is cancelled, wherever, opens for the next caller."""
        recording_id = await record(store, *make_signals(2))
        await store.close()
        for point in range(1, 100):
            fresh = reopen()
            async with self.promptly(f"opening, cancelled at its suspension {point} ({moment.value}),"):
                was_cancelled = await cancel_at(fresh.list_recordings, point=point, moment=moment)
            async with self.promptly(f"the next use after an opening that was cancelled at {point} ({moment.value})"):
                assert_same(list((await load(fresh, recording_id)).signals), make_signals(2), what="signals")
                await fresh.append(recording_id, make_signals(2))
                await fresh.close()
            if not was_cancelled:
                break

    async def test_a_reading_that_is_cancelled_holds_nothing(self, store: SignalStore) -> None:
        """Cancelling a task in the middle of a reading keeps nobody from writing."""
        recording_id = await record(store, *make_signals(3))

        async def consume() -> None:
            async for _ in store.iter_signals(recording_id):
                await store.list_recordings(RecordingQuery(run_id="run-1"))

        async def afterwards() -> None:
            await store.append(recording_id, make_signals(3))
            assert await found_ids(store) == [recording_id]

        await every_cancellation(consume, afterwards, patience=self.patience)
