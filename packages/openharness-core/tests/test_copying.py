"""Runs and recordings copied between stores: all of it, once, and nothing overwritten."""

from __future__ import annotations

import asyncio
import random
from typing import TYPE_CHECKING, Any

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from openharness.core import (
    Blob,
    CorruptRecordError,
    InMemoryRunStore,
    RecordingQuery,
    RunQuery,
    RunRecord,
    RunStatus,
    Signal,
    StoreFullError,
    StoreUnsupportedError,
    digest,
)
from openharness.core.copying import CopiedItem, copy_recordings, copy_runs, recording_digest, run_digest
from openharness.core.storage import MessagePool
from openharness.signals import MemorySignalStore

if TYPE_CHECKING:
    from collections.abc import Sequence

    from openharness.core import LogEntry, Recording, RecordingInfo


def run(number: int, **fields: Any) -> RunRecord:
    """A run."""
    fields = {"created_at": number, "completed_at": number + 1, "state": {"n": number, "x": 1.0}, **fields}
    return RunRecord(f"run-{number:03}", **fields)


def signals(count: int, *, start: int = 0) -> list[Signal]:
    """Signals that follow each other; every third is a request of a conversation that grows."""
    made: list[Signal] = []
    for seq in range(start, start + count):
        messages = [{"role": "user", "content": f"message {number}"} for number in range(seq // 3 + 1)]
        payload: Any = {"request": {"messages": messages, "tools": []}} if seq % 3 == 2 else {"n": seq, "z": 1.0}
        name = "provider:start" if seq % 3 == 2 else "text:delta"
        made.append(Signal(f"run/{seq}", name=name, payload=payload, timestamp=seq, seq=seq))
    return made


def pooled(several: Sequence[Signal]) -> list[LogEntry]:
    """Signals as core writes them."""
    pool = MessagePool()
    entries: list[LogEntry] = []
    for signal in several:
        blobs, stored = pool.pool(signal)
        entries += [*blobs, stored]
    return entries


async def filled() -> tuple[MemorySignalStore, list[str]]:
    """A store with recordings: the first is incomplete, the second completed and published, the third failed."""
    store = MemorySignalStore()
    ids: list[str] = []
    for number in range(3):
        recording_id = await store.create_recording(
            run_id=f"run-{number}", name=f"name-{number}", tags=["b", "a"], metadata={"z": 1.0, "a": [number]}
        )
        await store.append(recording_id, pooled(signals(20 + 300 * (number == 1))))
        await store.add_checkpoint(recording_id, "here", 3)
        if number:
            await store.finalize(recording_id, outcome="completed" if number == 1 else "failed", duration_ms=number)
        ids.append(recording_id)
    await store.publish(ids[1], "fixture")
    await store.publish(ids[1], "another name")
    return store, ids


async def loaded(store: MemorySignalStore, recording_id: str) -> Recording:
    """A recording that must be there."""
    recording = await store.load_recording(recording_id)
    assert recording is not None
    return recording


class Failing(MemorySignalStore):
    """Fails at the n-th thing that is written."""

    def __init__(self, after: int) -> None:
        super().__init__()
        self.left = after

    def count(self) -> None:
        """Fail when its turn has come."""
        self.left -= 1
        if self.left == -1:
            raise StoreFullError("no room")

    async def restore_recording(self, info: RecordingInfo) -> None:
        """Restore, or fail."""
        self.count()
        await super().restore_recording(info)

    async def append(self, recording_id: str, entries: Sequence[LogEntry]) -> None:
        """Append, or fail."""
        self.count()
        await super().append(recording_id, entries)

    async def add_checkpoint(self, recording_id: str, name: str, seq: int) -> None:
        """Mark, or fail."""
        self.count()
        await super().add_checkpoint(recording_id, name, seq)

    async def finalize(self, recording_id: str, **options: Any) -> None:
        """Finalize, or fail."""
        self.count()
        await super().finalize(recording_id, **options)

    async def publish(self, recording_id: str, name: str) -> None:
        """Publish, or fail."""
        self.count()
        await super().publish(recording_id, name)


async def test_runs_are_copied_and_copying_again_does_nothing() -> None:
    """All that a query selects is in the target afterwards, equal to the last digit; again, all is skipped."""
    source, target = InMemoryRunStore(), InMemoryRunStore()
    for number in range(300):
        await source.save_run(run(number, metadata={"k": number % 2}))
    seen: list[CopiedItem] = []
    report = await copy_runs(source, target, RunQuery(metadata={"k": 1}, include_state=False), progress=seen.append)
    assert (report.copied, report.skipped, report.failed) == (150, 0, ())
    assert report.is_complete
    assert str(report) == "150 copied, 0 skipped, 0 failed"
    assert {item.id for item in seen} == {f"run-{number:03}" for number in range(1, 300, 2)}
    report = await copy_runs(source, target)
    assert (report.copied, report.skipped) == (150, 150)
    for number in range(300):
        one, other = await source.get_run(f"run-{number:03}"), await target.get_run(f"run-{number:03}")
        assert one is not None
        assert other is not None
        assert run_digest(one) == run_digest(other)


async def test_a_page_of_runs_is_copied() -> None:
    """Limit, offset, cursor and order of the query say which."""
    source = InMemoryRunStore()
    for number in range(9):
        await source.save_run(run(number))
    for query in (
        RunQuery(limit=0),
        RunQuery(limit=2, offset=1),
        RunQuery(order="oldest", limit=3, cursor=run(4).cursor),
        RunQuery(offset=8),
    ):
        target = InMemoryRunStore()
        await copy_runs(source, target, query)
        wanted = {one.id for one in await source.list_runs(query)}
        assert {one.id for one in await target.list_runs()} == wanted


@pytest.mark.parametrize("other", [{"state": {"n": 5, "x": 1}}, {"state": {"x": 1.0, "n": 5}}, {"error": "x"}], ids=str)
async def test_another_run_is_not_overwritten(other: dict[str, Any]) -> None:
    """A run of the same id with anything else in it, be it 1 for 1.0, stays as it is and is reported."""
    source, target = InMemoryRunStore(), InMemoryRunStore()
    await source.save_run(run(5))
    await target.save_run(run(5, **other))
    report = await copy_runs(source, target)
    assert [item.id for item in report.failed] == ["run-005"]
    assert "another run" in str(report)
    assert await target.get_run("run-005") == run(5, **other)


async def test_a_run_that_went_on_is_brought_up_to_date() -> None:
    """What was copied while it ran is replaced by how it ended, but not by another run that began at another time."""
    source, target = InMemoryRunStore(), InMemoryRunStore()
    await source.save_run(run(5))
    await target.save_run(run(5, completed_at=None, state={}))
    assert (await copy_runs(source, target)).copied == 1
    assert await target.get_run("run-005") == run(5)
    await target.save_run(run(5, completed_at=None, created_at=6))
    assert len((await copy_runs(source, target)).failed) == 1


async def test_a_run_that_somebody_else_copies_too_is_there_as_it_ended() -> None:
    """A run that ends, and is copied as it ended by somebody else, between two steps of copying it ends in the target."""
    source = InMemoryRunStore()
    going_on = run(5, completed_at=None, state={})

    class Meanwhile(InMemoryRunStore):
        before = "save"
        """What somebody else is quicker than: writing, or reading back."""

        async def _copy_too(self, step: str) -> None:
            if step == self.before and (await source.get_run("run-005")) == going_on:
                await source.save_run(run(5))
                await super().save_run(run(5))

        async def save_run(self, run: RunRecord) -> None:
            await self._copy_too("save")
            await super().save_run(run)
            await self._copy_too("read back")

    for step in ("save", "read back"):
        target = Meanwhile()
        target.before = step
        await source.save_run(going_on)
        report = await copy_runs(source, target)
        assert report.is_complete, report
        assert await target.get_run("run-005") == run(5)


async def test_a_run_that_goes_on_for_ever_is_copied_as_far_as_it_is() -> None:
    """A run whose state changes whenever it is looked at does not keep the copy from coming to its end."""

    class Restless(InMemoryRunStore):
        async def get_run(self, run_id: str) -> RunRecord | None:
            found = await super().get_run(run_id)
            assert found is not None
            await self.save_run(attrs.evolve(found, state={"n": found.state["n"] + 1}))
            return found

    source, target = Restless(), InMemoryRunStore()
    await source.save_run(run(5, completed_at=None))
    assert (await copy_runs(source, target)).copied == 1
    copied = await target.get_run("run-005")
    assert copied is not None
    assert copied.state["n"] > 5


async def test_damaged_runs_fail_and_the_others_are_copied() -> None:
    """One that cannot be read, alone or in a listing, is reported; a store that fails ends the copy with its error."""

    class Damaged(InMemoryRunStore):
        async def get_run(self, run_id: str) -> RunRecord | None:
            if run_id == "run-003":
                raise CorruptRecordError(run_id, reason="its state")
            return await super().get_run(run_id)

        async def list_runs(self, query: RunQuery | None = None) -> list[RunRecord]:
            found = await super().list_runs(query)
            if any(one.id == "run-007" for one in found):
                raise CorruptRecordError("run-007", reason="its header")
            return found

    class Full(InMemoryRunStore):
        async def save_run(self, run: RunRecord) -> None:
            raise StoreFullError("no room")

    source, target = Damaged(), InMemoryRunStore()
    for number in range(10):
        await source.save_run(run(number))
    report = await copy_runs(source, target)
    assert (report.copied, sorted(item.id for item in report.failed)) == (8, ["run-003", "run-007"])
    with pytest.raises(StoreFullError):
        await copy_runs(source, Full())


async def test_recordings_are_copied_as_they_are() -> None:
    """Ids, times, signals, checkpoints, outcomes and fixture names are those of the source; again, all is skipped."""
    source, ids = await filled()
    target = MemorySignalStore()
    report = await copy_recordings(source, target)
    assert (report.copied, report.skipped, report.failed) == (3, 0, ())
    for recording_id in ids:
        one, other = await loaded(source, recording_id), await loaded(target, recording_id)
        assert one == other
        assert recording_digest(one) == recording_digest(other)
    assert await target.list_fixtures() == ["another name", "fixture"]
    assert (await target.find_recording("fixture")) == (await source.find_recording("fixture"))
    report = await copy_recordings(source, target)
    assert (report.copied, report.skipped, report.failed) == (0, 3, ())


async def test_messages_are_pooled_in_the_target_too() -> None:
    """A conversation takes about as much room in the target as in the source, also when it is copied in two parts."""
    source, ids = await filled()
    half = MemorySignalStore()
    info = (await loaded(source, ids[1])).info
    await half.restore_recording(info)
    await half.append(ids[1], pooled(signals(150)))
    for target in (MemorySignalStore(), half):
        await copy_recordings(source, target)
        sizes = [
            sum(len(signal.payload) for signal in store._logs[ids[1]].signals)
            + sum(map(len, store._logs[ids[1]].blobs.values()))
            for store in (source, target)
        ]
        assert sizes[1] < 1.2 * sizes[0]


@pytest.mark.parametrize("after", range(16))
async def test_a_copy_that_failed_anywhere_is_continued(after: int) -> None:
    """Whatever was written last, copying again completes what there is, and the result is as if nothing had happened."""
    source, ids = await filled()
    counting = Failing(1000)
    await copy_recordings(source, counting)
    target = Failing(after)
    try:
        await copy_recordings(source, target)
        failed = False
    except StoreFullError:
        failed = True
    assert failed == (after < 1000 - counting.left)
    report = await copy_recordings(source, target)
    assert report.is_complete
    for recording_id in ids:
        assert await loaded(source, recording_id) == await loaded(target, recording_id)
    assert await target.list_fixtures() == ["another name", "fixture"]


async def test_what_is_appended_later_is_copied_later() -> None:
    """A recording that is still written to is copied as far as it is, and continued with the next copy."""
    source, target = MemorySignalStore(), MemorySignalStore()
    recording_id = await source.create_recording(run_id="run")
    everything = pooled(signals(40))
    for cut in (10, 11, 30, len(everything)):
        entries = everything[:cut]
        await source.append(recording_id, entries)
        assert (await copy_recordings(source, target)).is_complete
        assert await loaded(source, recording_id) == await loaded(target, recording_id)
    await source.finalize(recording_id, outcome="completed")
    assert (await copy_recordings(source, target)).copied == 1
    assert (await loaded(target, recording_id)).info.outcome == "completed"


async def test_another_recording_is_not_touched() -> None:
    """Another header, another signal, more signals, another checkpoint or another end are reported; nothing is written."""
    source = MemorySignalStore()
    recording_id = await source.create_recording(run_id="run")
    await source.append(recording_id, signals(2))
    await source.add_checkpoint(recording_id, "a", 0)
    await source.finalize(recording_id, outcome="completed", duration_ms=1)
    info = (await loaded(source, recording_id)).info

    async def target(change: dict[str, Any], entries: list[Signal], outcome: str | None = None) -> MemorySignalStore:
        store = MemorySignalStore()
        await store.restore_recording(attrs.evolve(info, **change))
        await store.append(recording_id, entries)
        if outcome is not None:
            await store.finalize(recording_id, outcome=outcome)
        return store

    marked = await target({}, signals(2))
    await marked.add_checkpoint(recording_id, "a", 1)
    for other in (
        await target({"created_at": 5}, []),
        await target({"metadata": {}}, signals(1)),
        await target({}, [attrs.evolve(signals(1)[0], payload={"n": 0, "z": 1})]),
        await target({}, signals(3)),
        await target({}, signals(1), "completed"),
        await target({}, signals(2), "failed"),
        await target({}, signals(2), "completed"),
        marked,
    ):
        before = await loaded(other, recording_id)
        report = await copy_recordings(source, other)
        assert [item.id for item in report.failed] == [recording_id], str(report)
        assert await loaded(other, recording_id) == before


async def test_a_fixture_name_of_another_recording_stays() -> None:
    """A name that the target gives to another recording is reported, and keeps its meaning."""
    source, _ = await filled()
    target = MemorySignalStore()
    mine = await target.create_recording(run_id="mine")
    await target.publish(mine, "fixture")
    report = await copy_recordings(source, target)
    assert [item.id for item in report.failed] == ["fixture"]
    assert report.copied == 3
    assert (await target.find_recording("fixture")) == (await loaded(target, mine)).info
    assert await target.list_fixtures() == ["another name", "fixture"]
    plain = MemorySignalStore()
    await copy_recordings(source, plain, fixtures=False)
    assert await plain.list_fixtures() == []


async def test_names_of_recordings_that_are_not_copied_are_not_published() -> None:
    """Of a selection, only its own names go along."""
    source, ids = await filled()
    target = MemorySignalStore()
    report = await copy_recordings(source, target, RecordingQuery(run_id="run-2"))
    assert (report.copied, report.failed) == (1, ())
    assert await target.list_fixtures() == []
    assert [info.id for info in await target.list_recordings()] == [ids[2]]


async def test_a_log_that_was_closed_as_running_is_not_copied_and_the_others_are(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Stores took that outcome once; such a log is reported before anything of it is written."""
    source, ids = await filled()
    with monkeypatch.context() as patch:
        patch.setattr("openharness.signals._memory_store.check_finalize", lambda *given: given)
        await source.finalize(ids[0], outcome=RunStatus.RUNNING)
    target = MemorySignalStore()
    report = await copy_recordings(source, target)
    assert [(item.id, "finalized as running" in str(item.reason)) for item in report.failed] == [(ids[0], True)]
    assert {info.id for info in await target.list_recordings()} == set(ids[1:])


async def test_a_target_that_cannot_take_recordings_over_says_so() -> None:
    """Without the ability the copy ends with StoreUnsupportedError, and nothing is there."""

    class Old(MemorySignalStore):
        async def restore_recording(self, info: RecordingInfo) -> None:
            raise StoreUnsupportedError("restore_recording", store="Old()")

    source, _ = await filled()
    target = Old()
    with pytest.raises(StoreUnsupportedError, match="restore_recording"):
        await copy_recordings(source, target)
    assert await target.list_recordings() == []


async def test_what_is_written_wrong_is_noticed() -> None:
    """A target that keeps something else than it was given is caught by the digest."""

    class Rounding(MemorySignalStore):
        async def append(self, recording_id: str, entries: Sequence[LogEntry]) -> None:
            changed = [
                attrs.evolve(entry, payload={"n": entry.seq}) if isinstance(entry, Signal) and entry.seq == 1 else entry
                for entry in entries
            ]
            await super().append(recording_id, changed)

    class Forgetting(InMemoryRunStore):
        async def save_run(self, run: RunRecord) -> None:
            await super().save_run(attrs.evolve(run, state=None))

    source, ids = await filled()
    report = await copy_recordings(source, Rounding())
    assert {item.id for item in report.failed} == set(ids)
    assert "read back" in str(report)
    runs = InMemoryRunStore()
    await runs.save_run(run(1))
    assert "read back" in str(await copy_runs(runs, Forgetting()))


@pytest.mark.parametrize("step", ["restore_recording", "append", "add_checkpoint", "finalize", "load_recording"])
async def test_a_recording_that_somebody_else_copies_too_is_there_once(step: str) -> None:
    """Somebody else who copies the same, which went on meanwhile, before any step makes nothing fail and nothing twice."""
    source, ids = await filled()

    class Meanwhile(MemorySignalStore):
        """Lets somebody else copy everything before a step is done for the first time."""

        others = 0

        async def _copy_too(self, now: str) -> None:
            if now != step or self.others:
                return
            self.others += 1
            await source.append(ids[0], pooled(signals(20, start=20)))
            await source.finalize(ids[0], outcome="failed", duration_ms=9)
            assert (await copy_recordings(source, self)).is_complete

        async def restore_recording(self, info: RecordingInfo) -> None:
            await self._copy_too("restore_recording")
            await super().restore_recording(info)

        async def append(self, recording_id: str, entries: Sequence[LogEntry]) -> None:
            await self._copy_too("append")
            await super().append(recording_id, entries)

        async def add_checkpoint(self, recording_id: str, name: str, seq: int) -> None:
            await self._copy_too("add_checkpoint")
            await super().add_checkpoint(recording_id, name, seq)

        async def finalize(self, recording_id: str, **options: Any) -> None:
            await self._copy_too("finalize")
            await super().finalize(recording_id, **options)

        async def load_recording(self, recording_id: str) -> Recording | None:
            found = await super().load_recording(recording_id)
            await self._copy_too("load_recording")
            return found

    target = Meanwhile()
    report = await copy_recordings(source, target)
    assert report.is_complete, report
    assert target.others == 1
    for recording_id in ids:
        assert await target.load_recording(recording_id) == await loaded(source, recording_id)


@given(st.integers(0, 2**32), st.integers(0, 30), st.integers(0, 30))
def test_a_log_in_any_parts(seed: int, first: int, second: int) -> None:
    """However much of a log the target has, and however it is pooled there, the copy is the log."""

    async def check() -> None:
        chance = random.Random(seed)
        source, target = MemorySignalStore(), MemorySignalStore()
        recording_id = await source.create_recording(run_id="run")
        log = signals(30)
        if chance.random() < 0.5:
            # One message in two texts, of which one stands for itself.
            message = {"content": "message 0", "role": "user"}
            blob = Blob(digest(message), message)
            request = {"request": {"messages": [message, {"role": "user", "content": "message 0"}], "tools": []}}
            log[2] = attrs.evolve(log[2], payload=request)
            assert blob.digest
        await source.append(recording_id, pooled(log))
        info = (await loaded(source, recording_id)).info
        await target.restore_recording(info)
        count = min(first, second)
        await target.append(recording_id, pooled(log[:count]) if chance.random() < 0.5 else log[:count])
        report = await copy_recordings(source, target)
        assert report.is_complete
        assert await loaded(target, recording_id) == await loaded(source, recording_id)

    asyncio.run(check())
