"""Recordings from one signal store to another."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Final

from openharness.core.copying._attempts import in_two_attempts
from openharness.core.copying._digests import about, recording_digest
from openharness.core.copying._report import CopiedItem, Tally
from openharness.core.copying._selecting import selected
from openharness.core.errors import (
    CorruptRecordError,
    RecordingConflictError,
    RecordingFinalizedError,
    RecordingNotFoundError,
    SerializationError,
)
from openharness.core.records import Recording, RecordingQuery, RunStatus
from openharness.core.storage import MessagePool, encode_signal

if TYPE_CHECKING:
    from openharness.core.copying._report import CopyProgress, CopyReport
    from openharness.core.interfaces import SignalStore
    from openharness.core.records import Finding, LogEntry

__all__ = ("copy_recordings",)

_BATCH: Final = 200
_ANY_SIZE: Final = 2**62
_ITS_OWN: Final = (
    CorruptRecordError,
    RecordingConflictError,
    RecordingFinalizedError,
    RecordingNotFoundError,
    SerializationError,
)
"""Errors that are about one recording; any other ends the copy."""


async def copy_recordings(
    source: SignalStore,
    target: SignalStore,
    query: RecordingQuery | None = None,
    *,
    fixtures: bool = True,
    progress: CopyProgress | None = None,
) -> CopyReport:
    """Copy recordings from one store to another, with their ids, times, checkpoints and fixture names.

    A recording that the target has just so is passed over. One of which the target has a beginning is continued, which
    also makes up for what was appended since the last copy. Any other recording of the same id is left as it is, and
    reported as failed; so is a fixture name that means another recording in the target. (Of two who give a name there in
    the same moment, the later one wins.) What was written is read back and compared by digest. Copying again continues
    what was interrupted, and does nothing twice. Several may copy at the same time, while others write to the source
    and delete from it.

    Each recording is held in memory while it is copied. One that is still written to is copied as far as it is.

    Args:
        source: Where they are.
        target: Where they shall be. It must be able to do `SignalStore.restore_recording`.
        query: Which; all by default. Its limit, offset, cursor and order apply.
        fixtures: Whether to publish them in the target under the names under which they are published in the source.
        progress: Told of each recording and of each name that fails or is published, when it is done.

    Returns:
        How many were copied and how many were there already, and which failed and why. Damaged recordings fail, and the
        others are copied. Fixture names count only where they fail.

    Raises:
        StoreUnsupportedError: The target cannot take over recordings of others.
        StoreError: A store cannot be used any more: it is full, closed, busy, or cannot be reached.
    """
    tally = Tally(progress)
    findings: list[Finding] = []
    there: set[str] = set()

    async for info in selected(source.list_recordings, query or RecordingQuery(), findings):
        item = await in_two_attempts(partial(_copied, source, target, info.id))
        tally.add(item)
        if item.status != "failed":
            there.add(info.id)
    for finding in findings:
        tally.add(CopiedItem(finding.record_id or "?", "failed", finding.message))
    if fixtures and there:
        for name in await source.list_fixtures():
            reason = await _published(source, target, name, there)
            if reason is not None:
                tally.add(CopiedItem(name, "failed", reason))
    return tally.report()


async def _copied(source: SignalStore, target: SignalStore, recording_id: str) -> CopiedItem:
    try:
        # The target first: others may copy too, and what they have written was in the source before.
        known = await target.load_recording(recording_id)
        recording = await source.load_recording(recording_id)
        if recording is None:
            return CopiedItem(recording_id, "failed", "it was deleted from the source meanwhile")
        wanted = recording_digest(recording)
        if known is not None and recording_digest(known) == wanted:
            return CopiedItem(recording_id, "skipped")
        reason = _obstacle(recording, known)
        if reason is not None:
            return CopiedItem(recording_id, "failed", f"{reason}; the target was left as it is")
        await _write(target, recording, known)
        written = await target.load_recording(recording_id)
        if written is None or recording_digest(written) != wanted:
            return CopiedItem(recording_id, "failed", "what was written does not read back as it should")
    except _ITS_OWN as error:
        return CopiedItem(recording_id, "failed", str(error))
    return CopiedItem(recording_id, "copied")


def _obstacle(recording: Recording, known: Recording | None) -> str | None:
    """Why a recording cannot be written to the target, as it is there; None where it can."""
    if recording.info.outcome == RunStatus.RUNNING:
        # Stores took it once.
        return "it was finalized as running, and no store takes that any more"
    return None if known is None else _contradiction(recording, known)


def _contradiction(recording: Recording, known: Recording) -> str | None:
    """Why what the target has is not the beginning of this recording; None where it is."""
    if about(recording) != about(known):
        return "the target has another recording of this id"
    if len(known.signals) > len(recording.signals):
        return f"the target has {len(known.signals)} signals of it, the source {len(recording.signals)}"
    for ours, theirs in zip(recording.signals, known.signals, strict=False):
        if encode_signal(ours, max_bytes=_ANY_SIZE) != encode_signal(theirs, max_bytes=_ANY_SIZE):
            return f"the target has another signal {theirs.seq}"
    checkpoints = {checkpoint.name: checkpoint.seq for checkpoint in recording.checkpoints}
    for checkpoint in known.checkpoints:
        if checkpoints.get(checkpoint.name) != checkpoint.seq:
            return f"the target has a checkpoint {checkpoint.name!r} at signal {checkpoint.seq}"
    if known.info.outcome != "incomplete" and (
        len(known.signals) < len(recording.signals)
        or (known.info.outcome, known.info.duration_ms) != (recording.info.outcome, recording.info.duration_ms)
    ):
        return f"the target has it as {known.info.outcome}"
    return None


async def _write(target: SignalStore, recording: Recording, known: Recording | None) -> None:
    """Write what is missing, in the order in which it was written in the first place: the outcome comes last."""
    recording_id = recording.info.id
    await target.restore_recording(recording.info)
    count = 0 if known is None else len(known.signals)
    pool = MessagePool()
    pool.adopt(recording.signals[:count])
    batch: list[LogEntry] = []
    for signal in recording.signals[count:]:
        blobs, pooled = pool.pool(signal)
        batch += [*blobs, pooled]
        if len(batch) >= _BATCH:
            await target.append(recording_id, batch)
            batch = []
    if batch:
        await target.append(recording_id, batch)
    for checkpoint in recording.checkpoints:
        await target.add_checkpoint(recording_id, checkpoint.name, checkpoint.seq)
    if recording.info.outcome != "incomplete":
        await target.finalize(recording_id, outcome=recording.info.outcome, duration_ms=recording.info.duration_ms)


async def _published(source: SignalStore, target: SignalStore, name: str, there: set[str]) -> str | None:
    """Publish what a name means in the source, and return why not if that cannot be."""
    try:
        meant = await source.find_recording(name)
        if meant is None or meant.id not in there:
            return None
        known = await target.find_recording(name)
        if known is None:
            await target.publish(meant.id, name)
        elif known.id != meant.id:
            return f"the name means the recording {known.id!r} in the target; it was left as it is"
    except _ITS_OWN as error:
        return str(error)
    return None
