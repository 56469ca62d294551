"""The rules of a log, the same for every store: what may be appended, finalized and marked, and what is found.

Nothing here knows where a log is kept, and nothing changes anything: a rule raises, or says what is to be done.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import TYPE_CHECKING, Protocol

import attrs

from openharness.core.errors import (
    InvalidValueError,
    RecordingConflictError,
    RecordingFinalizedError,
    SerializationError,
)
from openharness.core.records import Checkpoint, Outcome, RunStatus, check_id, check_outcome
from openharness.core.storage._log_entries import EncodedBlob

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from openharness.core.storage._log_entries import EncodedEntry, EncodedSignal

__all__ = (
    "ExistingSignals",
    "LogPosition",
    "check_finalize",
    "check_range",
    "needs_checkpoint",
    "needs_finalizing",
    "ordered_checkpoints",
    "plan_append",
)


class ExistingSignals(Protocol):
    """Gives the signals a log already holds; asked only when an append repeats some of them."""

    def __call__(self, start: int, stop: int, /) -> Sequence[EncodedSignal]:
        """Return the signals with ``start <= seq < stop``, all of which exist."""
        ...


@attrs.frozen
class LogPosition:
    """How far a log has been written.

    Attributes:
        recording_id: The recording.
        count: How many signals it holds.
        blobs: The digests of the blobs it holds.
        outcome: The outcome it was finalized with, or ``"incomplete"``.
        duration_ms: The duration it was finalized with; None where none was said.
    """

    recording_id: str
    count: int
    blobs: Collection[str]
    outcome: Outcome = "incomplete"
    duration_ms: int | None = None


def plan_append(
    position: LogPosition, entries: Sequence[EncodedEntry], existing: ExistingSignals, *, store: str
) -> list[EncodedEntry]:
    """Return those of the entries that are new, in their order.

    Args:
        position: How far the log has been written.
        entries: What is to be appended.
        existing: Gives the signals that are there already.
        store: The store as it names itself, for errors.

    Raises:
        RecordingFinalizedError: The log is closed.
        RecordingConflictError: A signal is there with other content, or would leave a gap.
        SerializationError: A signal refers to a blob that is neither there nor comes before it.
    """
    if position.outcome != "incomplete":
        raise RecordingFinalizedError(position.recording_id, outcome=position.outcome, store=store)
    if _follows(position.count, entries):
        return list(entries)
    plan = _Plan(position, store)
    for entry in entries:
        if isinstance(entry, EncodedBlob):
            plan.take_blob(entry)
        else:
            plan.take_signal(entry)
    if plan.repeated:
        plan.compare(existing)
    return plan.new


def _follows(following: int, entries: Sequence[EncodedEntry]) -> bool:
    """Tell whether entries are signals in order that refer to nothing, as nearly every append is."""
    for entry in entries:
        if isinstance(entry, EncodedBlob) or entry.seq != following or entry.references:
            return False
        following += 1
    return True


class _Plan:
    """An append in the making: what is new, and what repeats signals that are there."""

    def __init__(self, position: LogPosition, store: str) -> None:
        self.new: list[EncodedEntry] = []
        self.repeated: list[EncodedSignal] = []
        self._position = position
        self._store = store
        self._signals: list[EncodedSignal] = []
        self._blobs: set[str] = set()

    def take_blob(self, blob: EncodedBlob) -> None:
        if not self._has(blob.digest):
            self._blobs.add(blob.digest)
            self.new.append(blob)

    def take_signal(self, signal: EncodedSignal) -> None:
        for digest in signal.references:
            if not self._has(digest):
                where = f"{signal.name}.payload.request"
                raise SerializationError(where, value=digest, reason="the log holds no blob of this digest before it")
        ahead = signal.seq - self._position.count
        if ahead == len(self._signals):
            self._signals.append(signal)
            self.new.append(signal)
        elif ahead < 0:
            self.repeated.append(signal)
        elif ahead < len(self._signals):
            self._check_equal(self._signals[ahead], signal)
        else:
            following = self._position.count + len(self._signals)
            raise self._conflict(signal, f"the next signal must be {following}")

    def compare(self, existing: ExistingSignals) -> None:
        first = min(signal.seq for signal in self.repeated)
        known = existing(first, max(signal.seq for signal in self.repeated) + 1)
        for signal in self.repeated:
            self._check_equal(known[signal.seq - first], signal)

    def _has(self, digest: str) -> bool:
        return digest in self._position.blobs or digest in self._blobs

    def _check_equal(self, known: EncodedSignal, signal: EncodedSignal) -> None:
        if known != signal:
            raise self._conflict(
                signal, f"it is there already with other content (there: {known.name!r}, new: {signal.name!r})"
            )

    def _conflict(self, signal: EncodedSignal, reason: str) -> RecordingConflictError:
        return RecordingConflictError(self._position.recording_id, seq=signal.seq, reason=reason, store=self._store)


def check_finalize(outcome: object, duration_ms: object) -> tuple[Outcome, int | None]:
    """Return an outcome and a duration that a log can be closed with.

    Raises:
        InvalidValueError: The outcome is not the word of a `RunStatus` that a run ends with, or the duration no number of
            milliseconds.
    """
    checked = check_outcome(outcome)
    if checked in ("incomplete", RunStatus.RUNNING):
        raise InvalidValueError(
            "outcome",
            value=outcome,
            expected="how the run ended (only an open log is 'incomplete', or its run 'running')",
        )
    if duration_ms is not None and (type(duration_ms) is not int or not 0 <= duration_ms < 2**63):
        raise InvalidValueError("duration_ms", value=duration_ms, expected="milliseconds from 0 on, or None")
    return checked, duration_ms


def needs_finalizing(position: LogPosition, outcome: Outcome, duration_ms: int | None, *, store: str) -> bool:
    """Tell whether a log is still to be closed; False when it was closed just so.

    No duration and a duration are different: a log that was closed without one does not get one later.

    Args:
        position: How far the log has been written.
        outcome: The outcome it is to be closed with, from `check_finalize`; so is `duration_ms`.
        duration_ms: The duration.
        store: The store as it names itself, for errors.

    Raises:
        RecordingFinalizedError: It was closed with another outcome or duration.
    """
    if position.outcome == "incomplete":
        return True
    if (position.outcome, position.duration_ms) != (outcome, duration_ms):
        raise RecordingFinalizedError(position.recording_id, outcome=position.outcome, store=store)
    return False


def needs_checkpoint(position: LogPosition, checkpoints: Mapping[str, int], name: str, seq: int, *, store: str) -> bool:
    """Tell whether a checkpoint is to be written; False when the name stands for this position already.

    Args:
        position: How far the log has been written; it may be closed.
        checkpoints: The positions of the checkpoints it has, by name.
        name: The name of the checkpoint.
        seq: The signal it shall stand at.
        store: The store as it names itself, for errors.

    Raises:
        InvalidValueError: The name or the position is not valid.
        RecordingConflictError: The name stands for another position, or there is no such signal.
    """
    check_id(name, name="name")
    if type(seq) is not int:
        raise InvalidValueError("seq", value=seq, expected="an integer from 0 on")
    known = checkpoints.get(name)
    if known is not None and known != seq:
        reason = f"the checkpoint {name!r} stands for signal {known} already"
        raise RecordingConflictError(position.recording_id, seq=seq, reason=reason, store=store)
    if not 0 <= seq < position.count:
        reason = f"there is no such signal to place the checkpoint {name!r} at (there are {position.count})"
        raise RecordingConflictError(position.recording_id, seq=seq, reason=reason, store=store)
    return known is None


def ordered_checkpoints(checkpoints: Mapping[str, int]) -> list[Checkpoint]:
    """Return checkpoints by position, those of the same position by name."""
    return [Checkpoint(name, seq) for seq, name in sorted((seq, name) for name, seq in checkpoints.items())]


def check_range(start: object, stop: object) -> None:
    """Check the bounds of a range of signals.

    Raises:
        InvalidValueError: A bound is negative or no integer.
    """
    for name, bound in (("start", start), ("stop", stop)):
        if bound is None and name == "stop":
            continue
        if type(bound) is not int or bound < 0:
            raise InvalidValueError(name, value=bound, expected="an integer from 0 on")
