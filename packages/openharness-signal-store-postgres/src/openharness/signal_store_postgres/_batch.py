"""What is to be written for several callers at once, by the rules of a log: a picture of the recordings, changed in memory.

Each method of `Batch` first finds out whether it may, and raises before it has changed anything. So one caller's error
takes nothing back that others want written beside it.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Collection, Iterator, Sequence
from typing import TYPE_CHECKING, Any, Literal, cast

import attrs

from openharness.core import CorruptRecordError, RecordingConflictError, RecordingFinalizedError, RecordingNotFoundError
from openharness.core.storage import (
    EncodedBlob,
    EncodedEntry,
    EncodedSignal,
    RecordingHeader,
    RecordingSummary,
    StoredRecording,
    needs_checkpoint,
    needs_finalizing,
    needs_restoring,
    plan_append,
    recording_columns,
)
from openharness.signal_store_postgres._rows import signal_from_row

if TYPE_CHECKING:
    from collections.abc import Mapping

    from openharness.core import Outcome

__all__ = ("Batch", "Job", "Known", "Log", "NotKnownError")


@attrs.define(kw_only=True, eq=False)
class Job:
    """What one caller wants done.

    Attributes:
        recording_id: The recording that it is about.
        do: Does it.
        entries: What it appends.
        checkpoint: The name of the checkpoint that it makes, if it makes one.
        needs: What must be known of the recording: ``"nothing"``, as it is new; ``"log"``, how far it has been written;
            or ``"all"``.
        again: Whether it may have been written before.
    """

    recording_id: str
    do: Callable[[Batch], None]
    entries: Sequence[EncodedEntry] = ()
    checkpoint: str | None = None
    needs: Literal["nothing", "log", "all"] = "all"
    again: bool = False


class NotKnownError(Exception):
    """Only the database can tell."""


@attrs.frozen(kw_only=True)
class Known:
    """What is remembered of a recording between two writes: right unless somebody else has changed it since.

    Attributes:
        recording: What is known of it; it has a number.
        checksum: Its checksum, which tells whether it is still so.
        blobs: Digests of blobs that it has; there may be others.
        names: Names of signals that it has; there may be others.
    """

    recording: StoredRecording
    checksum: str
    blobs: set[str] = attrs.field(factory=set[str])
    names: set[str] = attrs.field(factory=set[str])


class _Words(Collection[str]):
    """What is remembered, which may be much and is not copied, and what comes to it."""

    def __init__(self, old: set[str]) -> None:
        self.old = old
        self.new: set[str] = set()

    def add(self, word: str) -> None:
        self.new.add(word)

    def merged(self, *, most: int) -> set[str]:
        self.old.update(self.new)
        return self.old if len(self.old) <= most else set()

    def __contains__(self, word: object) -> bool:
        return word in self.old or word in self.new

    def __iter__(self) -> Iterator[str]:
        return itertools.chain(self.old, self.new)

    def __len__(self) -> int:
        return len(self.old) + len(self.new)


class Log:
    """A recording as it will be when the batch is written, and what is new in it.

    Args:
        known: What is known of it; None where it is to be made.
        rows: Rows of signals that are there, as far as they were asked for; None where they were not asked for.
        checkpoints: Likewise.

    Attributes:
        recording: What is known of it; None while there is none.
        blobs: Digests of its blobs, also of new ones.
        names: Names of its signals, also of new ones.
        new_signals: What is to be written; likewise `new_blobs`, `new_names`, `new_checkpoints` and `new_fixtures`.
        is_touched: Whether its row is to be written.
    """

    def __init__(
        self,
        known: Known | None,
        *,
        rows: Mapping[int, Sequence[Any]] | None = None,
        checkpoints: Mapping[str, int] | None = None,
    ) -> None:
        self.known = known
        self.recording = None if known is None else known.recording
        self.blobs = _Words(set() if known is None else known.blobs)
        self.names = _Words(set() if known is None else known.names)
        self.rows = rows
        self.checkpoints = None if checkpoints is None else dict(checkpoints)
        self.new_signals: dict[int, EncodedSignal] = {}
        self.new_blobs: list[EncodedBlob] = []
        self.new_names: list[str] = []
        self.new_checkpoints: list[tuple[str, int]] = []
        self.new_fixtures: list[str] = []
        self.is_touched = False

    def change(self, **changes: Any) -> None:
        """Change what is known of it."""
        recording = self.existing
        self.recording = attrs.evolve(recording, summary=attrs.evolve(recording.summary, **changes))
        self.is_touched = True

    @property
    def existing(self) -> StoredRecording:
        """What is known of it, where it exists."""
        if self.recording is None:
            raise NotKnownError
        return self.recording

    def remembered(self, number: int, *, most: int) -> Known:
        """Return what is known of it when it has been written.

        Args:
            number: Its number.
            most: How many digests and names are remembered at most.
        """
        recording = attrs.evolve(self.existing, number=number)
        return Known(
            recording=recording,
            checksum=cast("str", recording_columns(recording)[-1]),
            blobs=self.blobs.merged(most=most),
            names=self.names.merged(most=most),
        )


class Batch:
    """The recordings that several callers change.

    Args:
        logs: Each of them, also those that do not exist.
        store: What the store calls itself in errors.

    Attributes:
        logs: As above.
        again: Whether the present job may have been written before.
    """

    def __init__(self, logs: Mapping[str, Log], *, store: str) -> None:
        self.logs = logs
        self.again = False
        self._store = store

    def create(self, header: RecordingHeader) -> None:
        """Add an empty recording. See `SignalStore.restore_recording`: doing it again changes nothing."""
        log = self.logs[header.id]
        known = None if log.recording is None else log.recording.header
        if needs_restoring(known, header, store=self._store):
            log.recording = StoredRecording(number=None, header=header, summary=RecordingSummary())
            log.is_touched = True

    def append(self, recording_id: str, entries: Sequence[EncodedEntry]) -> None:
        """Append entries. See `SignalStore.append`."""
        log = self._existing(recording_id)
        summary = log.existing.summary
        position = log.existing.position(log.blobs)
        if self.again and summary.outcome != "incomplete":
            # Written before, and then finalized, both in a batch of which nobody heard that it was committed.
            if self._repeats(log, entries):
                return
            raise RecordingFinalizedError(recording_id, outcome=summary.outcome, store=self._store)
        existing = _Existing(log, recording_id, self._store)
        new = plan_append(position, entries, existing, store=self._store)
        signals = [entry for entry in new if isinstance(entry, EncodedSignal)]
        for entry in new:
            if isinstance(entry, EncodedBlob) and entry.digest not in log.blobs:
                log.blobs.add(entry.digest)
                log.new_blobs.append(entry)
                log.is_touched = True
        if signals:
            log.new_signals.update((signal.seq, signal) for signal in signals)
            for name in dict.fromkeys(signal.name for signal in signals):
                if name not in log.names:
                    log.names.add(name)
                    log.new_names.append(name)
            providers = {signal.source.provider for signal in signals if signal.source.provider is not None}
            log.change(
                signal_count=summary.signal_count + len(signals),
                provider_types=tuple(sorted({*summary.provider_types, *providers})),
            )

    def _repeats(self, log: Log, entries: Sequence[EncodedEntry]) -> bool:
        position = attrs.evolve(log.existing.position(log.blobs), outcome="incomplete")
        try:
            existing = _Existing(log, position.recording_id, self._store)
            return not plan_append(position, entries, existing, store=self._store)
        except RecordingConflictError:
            return False

    def add_checkpoint(self, recording_id: str, name: str, seq: int) -> None:
        """Give a name to a position. See `SignalStore.add_checkpoint`."""
        log = self._existing(recording_id)
        if log.checkpoints is None:
            raise NotKnownError
        if needs_checkpoint(log.existing.position(), log.checkpoints, name, seq, store=self._store):
            log.checkpoints[name] = seq
            log.new_checkpoints.append((name, seq))
            log.is_touched = True

    def finalize(self, recording_id: str, outcome: Outcome, duration_ms: int | None) -> None:
        """Close the log. See `SignalStore.finalize`."""
        log = self._existing(recording_id)
        if needs_finalizing(log.existing.position(), outcome, duration_ms, store=self._store):
            log.change(outcome=outcome, duration_ms=duration_ms)

    def publish(self, recording_id: str, name: str) -> None:
        """Make this recording what the fixture name means. See `SignalStore.publish`."""
        log = self._existing(recording_id)
        for other in self.logs.values():
            if name in other.new_fixtures:
                other.new_fixtures.remove(name)
        log.new_fixtures.append(name)
        log.is_touched = True

    def _existing(self, recording_id: str) -> Log:
        log = self.logs[recording_id]
        if log.recording is None:
            raise RecordingNotFoundError(recording_id, store=self._store)
        return log


class _Existing:
    """The signals of a log: those of the database, and those that this batch adds."""

    def __init__(self, log: Log, recording_id: str, store: str) -> None:
        self._log = log
        self._recording_id = recording_id
        self._store = store

    def __call__(self, start: int, stop: int) -> list[EncodedSignal]:
        return [self._one(seq) for seq in range(start, stop)]

    def _one(self, seq: int) -> EncodedSignal:
        new = self._log.new_signals.get(seq)
        if new is not None:
            return new
        if self._log.rows is None:
            raise NotKnownError
        row = self._log.rows.get(seq)
        if row is None:
            raise CorruptRecordError(self._recording_id, reason=f"signal {seq} is not there", store=self._store)
        return signal_from_row(row, recording_id=self._recording_id, store=self._store)
