"""The model of a signal store: what it must answer, written as plainly as possible and independent of any store."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import attrs

from openharness.core import Blob, Checkpoint, LogEntry, RecordingConflictError, RecordingFinalizedError, Signal
from openharness.testing._kit._same import first_difference
from openharness.testing._signal_store._samples import resolved

if TYPE_CHECKING:
    from collections.abc import Sequence

    from openharness.core import RecordingQuery

__all__ = ("Catalogue", "Log")


@attrs.define
class Log:
    """One recording of the model.

    Attributes:
        run_id: As in `RecordingInfo`, and so are `name`, `tags`, `outcome` and `duration_ms`.
        entries: All entries, in order.
        signals: The signals as a store gives them back.
        checkpoints: Positions by name.
    """

    run_id: str
    name: str | None
    tags: tuple[str, ...]
    entries: list[LogEntry] = attrs.field(factory=list["LogEntry"])
    signals: list[Signal] = attrs.field(factory=list[Signal])
    checkpoints: dict[str, int] = attrs.field(factory=dict[str, int])
    outcome: str = "incomplete"
    duration_ms: int | None = None

    @property
    def blobs(self) -> list[Blob]:
        """The blobs."""
        return [entry for entry in self.entries if isinstance(entry, Blob)]

    def append(self, entries: Sequence[LogEntry]) -> type[Exception] | None:
        """Append entries, all or none, and return the class of the error if they are refused."""
        if self.outcome != "incomplete":
            return RecordingFinalizedError
        signals = list(self.signals)
        data = {blob.digest: blob.data for blob in self.blobs}
        for entry in entries:
            if isinstance(entry, Blob):
                data[entry.digest] = entry.data
                continue
            if entry.seq > len(signals):
                return RecordingConflictError
            signal = resolved(entry, data)
            if entry.seq == len(signals):
                signals.append(signal)
            elif first_difference(signals[entry.seq], signal) is not None:
                return RecordingConflictError
        known = {blob.digest for blob in self.blobs}
        for entry in entries:
            # What is there already is not there twice, or appending a log again would double it.
            if (entry.digest not in known) if isinstance(entry, Blob) else (entry.seq >= len(self.signals)):
                self.entries.append(entry)
                known.update([entry.digest] if isinstance(entry, Blob) else [])
        self.signals = signals
        return None

    def finalize(self, outcome: str, duration_ms: int | None) -> type[Exception] | None:
        """Close the log, and return the class of the error if it was closed otherwise."""
        if self.outcome != "incomplete" and (self.outcome, self.duration_ms) != (outcome, duration_ms):
            return RecordingFinalizedError
        self.outcome, self.duration_ms = outcome, duration_ms
        return None

    def add_checkpoint(self, name: str, seq: int) -> type[Exception] | None:
        """Add a checkpoint, and return the class of the error if it is refused."""
        if self.checkpoints.get(name, seq) != seq or seq >= len(self.signals):
            return RecordingConflictError
        self.checkpoints[name] = seq
        return None

    def ordered_checkpoints(self) -> list[Checkpoint]:
        """Return the checkpoints as a store gives them back."""
        return [Checkpoint(name, seq) for seq, name in sorted((seq, name) for name, seq in self.checkpoints.items())]

    def facts(self) -> dict[str, Any]:
        """Return what an info must say."""
        return {
            "run_id": self.run_id,
            "name": self.name,
            "tags": self.tags,
            "outcome": self.outcome,
            "duration_ms": self.duration_ms,
            "signal_count": len(self.signals),
            "provider_types": tuple(sorted({one.source.provider for one in self.signals if one.source.provider})),
        }


@attrs.define
class Catalogue:
    """All recordings of the model.

    Attributes:
        logs: Each recording by its id.
        published: The recording that each fixture name means.
    """

    logs: dict[str, Log] = attrs.field(factory=dict[str, Log])
    published: dict[str, str] = attrs.field(factory=dict[str, str])

    def delete(self, recording_id: str) -> None:
        """Delete a recording."""
        self.logs.pop(recording_id, None)
        self.published = {name: meant for name, meant in self.published.items() if meant != recording_id}

    def matching(self, query: RecordingQuery) -> set[str]:
        """Return the ids of the recordings that meet the conditions of a query, without limit and offset."""
        return {
            recording_id
            for recording_id, log in self.logs.items()
            if (query.run_id is None or log.run_id == query.run_id)
            and (query.name is None or log.name == query.name)
            and (query.outcome is None or log.outcome in query.outcome)
            and all(tag in log.tags for tag in query.tags)
        }
