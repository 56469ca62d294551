"""Appending and reading one log."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import attrs
import pytest

from openharness.core import (
    InvalidValueError,
    RecordingConflictError,
    RecordingFinalizedError,
    RecordingNotFoundError,
    RunStatus,
    SerializationError,
    Signal,
)
from openharness.testing._kit._abilities import Ability, requires
from openharness.testing._kit._same import assert_same
from openharness.testing._signal_store._base import SignalStoreCase
from openharness.testing._signal_store._samples import (
    ENDS,
    as_stored,
    found_ids,
    load,
    make_blob,
    make_request,
    make_signal,
    make_signals,
    record,
)
from openharness.testing.corpus import REFUSED_IDS

if TYPE_CHECKING:
    from collections.abc import Callable

    from openharness.core import LogEntry, SignalStore

__all__ = ("AppendTests", "FinalizeTests", "UnknownRecordingTests")


class AppendTests(SignalStoreCase):
    """`SignalStore.append` and `SignalStore.load_recording`."""

    async def test_a_new_recording_is_empty(self, store: SignalStore) -> None:
        """A recording that was only created holds no signals and no checkpoints, and is incomplete."""
        recording = await load(store, await record(store))
        assert list(recording.signals) == []
        assert list(recording.checkpoints) == []
        assert recording.info.outcome == "incomplete"

    async def test_signals_come_back_equal(self, store: SignalStore) -> None:
        """Every part of a signal comes back as it was appended, of the same type, in order."""
        signals = [
            make_signal(0, name="harness:start", payload={"state": {"z": 1, "a": [1.0, None]}, "input": None}),
            make_signal(1, name="text:delta", payload="\0\ud83d", provider="claude"),
            Signal("any id/7", name="x", timestamp=-5, seq=2),
            make_signal(3, name="analysis:complete:\xe9", payload=None),
        ]
        recording = await load(store, await record(store, *signals))
        assert_same(list(recording.signals), signals, what="signals")

    async def test_appends_add_up(self, store: SignalStore) -> None:
        """Entries appended one by one, and several at a time, make one log; an empty append adds nothing."""
        signals = make_signals(9)
        recording_id = await record(store, signals[0])
        await store.append(recording_id, [])
        await store.append(recording_id, signals[1:4])
        await store.append(recording_id, (signals[4],))
        await store.append(recording_id, signals[5:])
        assert_same(list((await load(store, recording_id)).signals), signals, what="signals")

    async def test_recordings_are_kept_apart(self, store: SignalStore) -> None:
        """Signals of two recordings, of two runs or of one, do not mix."""
        one = await record(store, *make_signals(3))
        two = await record(store, *make_signals(2, run_id="run-2"), run_id="run-2")
        again = await record(store, make_signal(payload="other"))
        assert len({one, two, again}) == 3
        assert_same(list((await load(store, one)).signals), make_signals(3), what="signals")
        assert_same(list((await load(store, two)).signals), make_signals(2, run_id="run-2"), what="signals")
        assert_same(list((await load(store, again)).signals), [make_signal(payload="other")], what="signals")

    async def test_repeating_an_append_changes_nothing(self, store: SignalStore) -> None:
        """A signal that is there already with equal content is left as it is, alone and together with new ones."""
        signals = make_signals(4)
        recording_id = await record(store, *signals[:2])
        await store.append(recording_id, signals[:2])
        await store.append(recording_id, [signals[1]])
        await store.append(recording_id, signals[1:4])
        await store.append(recording_id, signals)
        recording = await load(store, recording_id)
        assert_same(list(recording.signals), signals, what="signals")
        assert recording.info.signal_count == 4

    async def test_equal_means_what_is_stored(self, store: SignalStore) -> None:
        """A tuple that is stored as a list may be appended again as either; ``1`` is not ``True``."""
        recording_id = await record(store, make_signal(payload=(1, 2)))
        await store.append(recording_id, [make_signal(payload=[1, 2])])
        with pytest.raises(RecordingConflictError):
            await store.append(recording_id, [make_signal(payload=[True, 2])])
        assert_same(list((await load(store, recording_id)).signals), [make_signal(payload=[1, 2])], what="signals")

    @pytest.mark.parametrize(
        "change",
        [
            {"payload": "other"},
            {"name": "other"},
            {"timestamp": 1},
            {"id": "other"},
            {"source": attrs.evolve(make_signal().source, agent="other")},
        ],
        ids=lambda change: next(iter(change)),
    )
    async def test_other_content_at_a_seq_is_a_conflict(self, store: SignalStore, change: dict[str, Any]) -> None:
        """A signal that differs from the one that is there raises RecordingConflictError, with the seq."""
        signals = make_signals(3)
        recording_id = await record(store, *signals[:2])
        with pytest.raises(RecordingConflictError) as caught:
            await store.append(recording_id, [attrs.evolve(signals[1], **change), signals[2]])
        assert caught.value.recording_id == recording_id
        assert caught.value.seq == 1
        assert_same(list((await load(store, recording_id)).signals), signals[:2], what="signals")

    @pytest.mark.parametrize("seqs", [[1], [3], [2, 4], [2, 3, 5], [5, 2], [3, 2]], ids=str)
    async def test_a_gap_is_a_conflict(self, store: SignalStore, seqs: list[int]) -> None:
        """A seq that does not follow raises RecordingConflictError, and nothing of that append is there."""
        present = 0 if seqs == [1] else 2
        recording_id = await record(store, *make_signals(present))
        with pytest.raises(RecordingConflictError):
            await store.append(recording_id, [make_signal(seq, payload={"n": seq}) for seq in seqs])
        assert_same(list((await load(store, recording_id)).signals), make_signals(present), what="signals")
        await store.append(recording_id, make_signals(1, start=present))

    async def test_an_append_is_all_or_nothing(self, store: SignalStore) -> None:
        """When one entry of an append is refused, none is there, and the log goes on where it was."""
        recording_id = await record(store, make_signal(0))
        blob = make_blob("never used")
        with pytest.raises(SerializationError):
            await store.append(recording_id, [blob, make_signal(1), make_signal(2, payload={"a": float("nan")})])
        with pytest.raises(RecordingConflictError):
            await store.append(recording_id, [make_signal(1), make_signal(3)])
        recording = await load(store, recording_id)
        assert_same(list(recording.signals), [make_signal(0)], what="signals")
        assert recording.info.signal_count == 1
        await store.append(recording_id, [make_signal(1, payload="goes on")])
        assert len((await load(store, recording_id)).signals) == 2

    async def test_a_large_log(self, store: SignalStore) -> None:
        """A log of a thousand signals, appended in batches, comes back whole and in order."""
        signals = make_signals(1_000)
        recording_id = await record(store)
        for start in range(0, 1_000, 125):
            await store.append(recording_id, signals[start : start + 125])
        assert_same(list((await load(store, recording_id)).signals), signals, what="signals")

    @requires(Ability.DURABLE)
    async def test_a_new_instance_goes_on(self, store: SignalStore, reopen: Callable[[], SignalStore]) -> None:
        """After a close, another store on the same data reads the log, and takes what follows and nothing else."""
        blob = make_blob("shared")
        entries: list[LogEntry] = [make_signal(0), blob, make_request(1, [blob])]
        recording_id = await record(store, *entries, name="fixture", tags=["a"], metadata={"k": 1})
        await store.add_checkpoint(recording_id, "here", 1)
        before = await load(store, recording_id)
        await store.close()
        async with reopen() as again:
            assert_same(await load(again, recording_id), before, what="recording")
            await again.append(recording_id, [make_request(2, [blob, blob])])
            with pytest.raises(RecordingConflictError):
                await again.append(recording_id, [make_signal(0, payload="other")])
            with pytest.raises(RecordingConflictError):
                await again.append(recording_id, [make_signal(4)])
            await again.finalize(recording_id, outcome="completed", duration_ms=5)
            await again.publish(recording_id, "fixture")
        async with reopen() as once_more:
            entries.append(make_request(2, [blob, blob]))
            recording = await load(once_more, recording_id)
            assert_same(list(recording.signals), as_stored(entries), what="signals")
            assert (recording.info.outcome, recording.info.duration_ms) == ("completed", 5)
            assert_same(await once_more.find_recording("fixture"), recording.info, what="info")
            with pytest.raises(RecordingFinalizedError):
                await once_more.append(recording_id, [make_signal(3)])


class FinalizeTests(SignalStoreCase):
    """`SignalStore.finalize`."""

    @pytest.mark.parametrize("outcome", ENDS)
    async def test_the_outcome_and_duration_are_kept(self, store: SignalStore, outcome: RunStatus) -> None:
        """A finalized recording has its outcome and duration, and its signals."""
        recording_id = await record(store, *make_signals(2))
        await store.finalize(recording_id, outcome=outcome, duration_ms=1234)
        recording = await load(store, recording_id)
        assert recording.info.outcome == outcome
        assert recording.info.duration_ms == 1234
        assert_same(list(recording.signals), make_signals(2), what="signals")

    async def test_the_outcome_may_be_a_word_and_the_duration_unknown(self, store: SignalStore) -> None:
        """An outcome is also taken as its word, and no duration stays None."""
        recording_id = await record(store)
        await store.finalize(recording_id, outcome="timed_out")
        info = (await load(store, recording_id)).info
        assert (info.outcome, info.duration_ms) == (RunStatus.TIMED_OUT, None)

    async def test_a_finalized_recording_takes_no_more(self, store: SignalStore) -> None:
        """Appending to it raises RecordingFinalizedError with its outcome, and it stays as it is."""
        recording_id = await record(store, *make_signals(2))
        await store.finalize(recording_id, outcome="failed", duration_ms=1)
        before = await load(store, recording_id)
        for entry in (make_signal(2), make_blob("late"), make_signal(5)):
            with pytest.raises(RecordingFinalizedError) as caught:
                await store.append(recording_id, [entry])
            assert (caught.value.recording_id, caught.value.outcome) == (recording_id, "failed")
        assert_same(await load(store, recording_id), before, what="recording")

    async def test_repeating_it_is_no_error(self, store: SignalStore) -> None:
        """Finalizing again with the same outcome and duration changes nothing."""
        recording_id = await record(store, *make_signals(1))
        for outcome in (RunStatus.COMPLETED, "completed"):
            await store.finalize(recording_id, outcome=outcome, duration_ms=7)
        assert (await load(store, recording_id)).info.duration_ms == 7

    async def test_finalizing_otherwise_is_refused(self, store: SignalStore) -> None:
        """Another outcome, or another duration, raises RecordingFinalizedError and changes nothing."""
        recording_id = await record(store)
        await store.finalize(recording_id, outcome="completed", duration_ms=7)
        before = await load(store, recording_id)
        for outcome, duration_ms in (("failed", 7), ("completed", 8), ("completed", 0), ("completed", None)):
            with pytest.raises(RecordingFinalizedError):
                await store.finalize(recording_id, outcome=outcome, duration_ms=duration_ms)
        assert_same(await load(store, recording_id), before, what="recording")

    async def test_a_duration_is_not_added_later(self, store: SignalStore) -> None:
        """A log that was finalized without a duration is not given one by finalizing again, not even 0."""
        recording_id = await record(store)
        await store.finalize(recording_id, outcome="completed")
        before = await load(store, recording_id)
        for duration_ms in (7, 0):
            with pytest.raises(RecordingFinalizedError):
                await store.finalize(recording_id, outcome="completed", duration_ms=duration_ms)
        await store.finalize(recording_id, outcome="completed")
        assert_same(await load(store, recording_id), before, what="recording")

    @pytest.mark.parametrize("outcome", ["incomplete", "running", RunStatus.RUNNING, "unknown", "", None, 1], ids=repr)
    async def test_what_is_no_outcome_is_refused(self, store: SignalStore, outcome: Any) -> None:
        """``incomplete``, ``running`` and words that no run ends with raise InvalidValueError, and the log stays open."""
        recording_id = await record(store)
        with pytest.raises(InvalidValueError):
            await store.finalize(recording_id, outcome=outcome)
        await store.append(recording_id, [make_signal(0)])

    async def test_finalizing_one_leaves_the_others(self, store: SignalStore) -> None:
        """Other recordings of the same run stay open."""
        one, two = await record(store), await record(store)
        await store.finalize(one, outcome="completed")
        await store.append(two, [make_signal(0)])
        assert await found_ids(store, outcome="incomplete") == [two]


class UnknownRecordingTests(SignalStoreCase):
    """Recordings that do not exist, and ids that none could have."""

    async def test_an_unknown_recording_is_none_or_an_error(self, store: SignalStore) -> None:
        """Loading gives None, deleting does nothing, and every change raises RecordingNotFoundError with the id."""
        await record(store, make_signal(0))
        assert await store.load_recording("nobody") is None
        await store.delete_recording("nobody")
        for change in (
            store.append("nobody", [make_signal(0)]),
            store.finalize("nobody", outcome="completed"),
            store.publish("nobody", "fixture"),
            store.add_checkpoint("nobody", "here", 0),
        ):
            with pytest.raises(RecordingNotFoundError) as caught:
                await change
            assert caught.value.recording_id == "nobody"
        with pytest.raises(RecordingNotFoundError):
            await anext(aiter(store.iter_signals("nobody")))
        assert await store.find_recording("fixture") is None
        assert await store.load_recording("nobody") is None

    @pytest.mark.parametrize("recording_id", REFUSED_IDS, ids=ascii)
    async def test_what_can_be_no_id_is_refused(self, store: SignalStore, recording_id: Any) -> None:
        """Every method raises InvalidValueError for what could not be a recording's id."""
        for call in (
            store.load_recording(recording_id),
            store.delete_recording(recording_id),
            store.append(recording_id, [make_signal(0)]),
            store.finalize(recording_id, outcome="completed"),
            store.publish(recording_id, "fixture"),
            store.add_checkpoint(recording_id, "here", 0),
        ):
            with pytest.raises(InvalidValueError):
                await call
        with pytest.raises(InvalidValueError):
            await anext(aiter(store.iter_signals(recording_id)))

    async def test_a_deleted_recording_is_unknown(self, store: SignalStore) -> None:
        """After a delete nothing of a recording is left: not its signals, its checkpoints, its name or its entry."""
        blob = make_blob("text")
        kept = await record(store, blob, make_request(0, [blob]), name="kept")
        gone = await record(store, blob, make_request(0, [blob]), name="gone")
        await store.add_checkpoint(gone, "here", 0)
        await store.publish(gone, "gone")
        await store.publish(kept, "kept")
        await store.delete_recording(gone)
        await store.delete_recording(gone)
        assert await store.load_recording(gone) is None
        assert await store.find_recording("gone") is None
        assert await store.list_fixtures() == ["kept"]
        assert await found_ids(store) == [kept]
        with pytest.raises(RecordingNotFoundError):
            await store.append(gone, [make_signal(0)])
        assert_same(list((await load(store, kept)).signals), as_stored([blob, make_request(0, [blob])]), what="signals")
