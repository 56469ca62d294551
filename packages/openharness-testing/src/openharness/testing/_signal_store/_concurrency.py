"""Many tasks, and several instances, at once."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from openharness.core import RecordingConflictError, RecordingQuery
from openharness.testing._kit._abilities import Ability, requires
from openharness.testing._kit._same import assert_same
from openharness.testing._signal_store._base import SignalStoreCase
from openharness.testing._signal_store._samples import (
    as_stored,
    found_ids,
    load,
    make_blob,
    make_request,
    make_signal,
    make_signals,
    record,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from openharness.core import LogEntry, SignalStore

__all__ = ("ConcurrencyTests", "InstanceTests")


class ConcurrencyTests(SignalStoreCase):
    """Any number of tasks may use one store."""

    async def test_the_first_use_may_be_many_at_once(self, store: SignalStore) -> None:
        """A store that nobody used yet opens once, for all that come at the same time."""
        async with self.promptly("the first use of a store by many tasks"):
            made = await asyncio.gather(*(store.create_recording(run_id=f"run-{number}") for number in range(20)))
        assert len(set(made)) == 20
        assert sorted(await found_ids(store)) == sorted(made)

    async def test_recordings_grow_side_by_side(self, store: SignalStore) -> None:
        """Many recordings written at once each have their own signals, all of them, in order."""
        shared = make_blob("shared")

        async def write(number: int) -> str:
            run_id = f"run-{number}"
            recording_id = await store.create_recording(run_id=run_id, name=f"fixture-{number}")
            await store.append(recording_id, [shared])
            for seq in range(12):
                await store.append(recording_id, [make_request(seq, [shared], run_id=run_id)])
                await asyncio.sleep(0)
            await store.finalize(recording_id, outcome="completed", duration_ms=number)
            await store.publish(recording_id, f"fixture-{number}")
            return recording_id

        async with self.promptly("writing ten recordings at once"):
            made = await asyncio.gather(*(write(number) for number in range(10)))
        for number, recording_id in enumerate(made):
            entries: list[LogEntry] = [
                shared,
                *(make_request(seq, [shared], run_id=f"run-{number}") for seq in range(12)),
            ]
            recording = await load(store, recording_id)
            assert_same(list(recording.signals), as_stored(entries), what="signals")
            assert (recording.info.signal_count, recording.info.duration_ms) == (12, number)
        assert await store.list_fixtures() == sorted(f"fixture-{number}" for number in range(10))

    async def test_the_same_append_twice_at_once(self, store: SignalStore) -> None:
        """An append and its repetition under way at once both succeed, and the log has one of each signal."""
        for _ in range(5):
            recording_id = await record(store)
            async with self.promptly("appending the same twice at once"):
                await asyncio.gather(*(store.append(recording_id, make_signals(3)) for _ in range(4)))
            recording = await load(store, recording_id)
            assert_same(list(recording.signals), make_signals(3), what="signals")
            assert recording.info.signal_count == 3

    async def test_of_two_writers_of_one_log_one_wins(self, store: SignalStore) -> None:
        """Two that append different signals at the same position: one succeeds, the other raises a conflict."""
        for _ in range(5):
            recording_id = await record(store, make_signal(0))
            appends = [
                [make_signal(1, payload=writer), make_signal(2, payload=writer)] for writer in ("one", "two", "three")
            ]
            async with self.promptly("three writers of one log"):
                results = await asyncio.gather(
                    *(store.append(recording_id, entries) for entries in appends), return_exceptions=True
                )
            winners = [entries for entries, result in zip(appends, results, strict=True) if result is None]
            assert len(winners) == 1
            assert sum(isinstance(result, RecordingConflictError) for result in results) == 2
            expected = [make_signal(0), *winners[0]]
            assert_same(list((await load(store, recording_id)).signals), expected, what="signals")

    async def test_of_many_published_at_once_one_wins_whole(self, store: SignalStore) -> None:
        """A name published by several tasks at once means one of their recordings, and always some."""
        made = [await record(store, *make_signals(number), name="fixture") for number in range(1, 6)]
        await store.publish(made[0], "fixture")
        done = False

        async def watch() -> None:
            while not done:
                found = await store.find_recording("fixture")
                assert found is not None, "a name that was published means nothing for a moment"
                assert found.id in made
                assert found.signal_count == made.index(found.id) + 1
                await asyncio.sleep(0)

        async def publish() -> None:
            nonlocal done
            for _ in range(4):
                await asyncio.gather(*(store.publish(recording_id, "fixture") for recording_id in made))
            done = True

        async with self.promptly("publishing while somebody looks"), asyncio.TaskGroup() as tasks:
            tasks.create_task(publish())
            tasks.create_task(watch())
        assert await store.list_fixtures() == ["fixture"]

    async def test_a_reader_sees_whole_signals_in_order(self, store: SignalStore) -> None:
        """Reading a log while it grows gives its signals from the first, without a gap, each whole."""
        recording_id = await record(store, make_signals(1)[0])
        done = False

        async def write() -> None:
            nonlocal done
            for start in range(1, 40, 3):
                await store.append(recording_id, make_signals(3, start=start))
            done = True

        async def read() -> None:
            seen = 1
            while not done:
                signals = [signal async for signal in store.iter_signals(recording_id)]
                assert_same(signals, make_signals(len(signals)), what="signals")
                assert len(signals) >= seen, "a read went back in time"
                # An append is all or nothing, also for who reads the whole log at once.
                recording = await load(store, recording_id)
                assert len(recording.signals) % 3 == 1
                assert recording.info.signal_count == len(recording.signals)
                seen = len(recording.signals)
                await asyncio.sleep(0)

        async with self.promptly("reading a log while it grows"), asyncio.TaskGroup() as tasks:
            tasks.create_task(write())
            for _ in range(2):
                tasks.create_task(read())
        assert_same(list((await load(store, recording_id)).signals), make_signals(40), what="signals")


class InstanceTests(SignalStoreCase):
    """Several instances in one process, on the same data."""

    @requires(Ability.DURABLE, Ability.MULTI_INSTANCE)
    async def test_instances_see_each_others_work(self, store: SignalStore, reopen: Callable[[], SignalStore]) -> None:
        """What one instance acknowledged, another reads, continues and publishes at once."""
        async with reopen() as other:
            recording_id = await record(store, make_signal(0), name="fixture")
            assert len((await load(other, recording_id)).signals) == 1
            await other.append(recording_id, [make_signal(1)])
            await store.append(recording_id, [make_signal(2)])
            await other.finalize(recording_id, outcome="completed")
            await store.publish(recording_id, "fixture")
            found = await other.find_recording("fixture")
            assert found is not None
            assert (found.id, found.signal_count, found.outcome) == (recording_id, 3, "completed")
            await other.delete_recording(recording_id)
            assert await store.load_recording(recording_id) is None
            assert await store.list_recordings(RecordingQuery()) == []

    @requires(Ability.DURABLE, Ability.MULTI_INSTANCE)
    async def test_of_two_instances_that_write_one_log_one_wins(
        self, store: SignalStore, reopen: Callable[[], SignalStore]
    ) -> None:
        """Two instances that append at the same position: one succeeds, the other raises a conflict."""
        async with reopen() as other:
            recording_id = await record(store, make_signal(0))
            await load(other, recording_id)
            for seq in range(1, 6):
                async with self.promptly("two instances that write one log"):
                    results = await asyncio.gather(
                        store.append(recording_id, [make_signal(seq, payload="one")]),
                        other.append(recording_id, [make_signal(seq, payload="two")]),
                        return_exceptions=True,
                    )
                assert [result is None for result in results].count(True) == 1, results
                assert any(isinstance(result, RecordingConflictError) for result in results), results
            signals = (await load(store, recording_id)).signals
            assert [signal.seq for signal in signals] == list(range(6))
            assert_same(list((await load(other, recording_id)).signals), list(signals), what="signals")
