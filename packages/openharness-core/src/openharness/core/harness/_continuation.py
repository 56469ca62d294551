"""Where a recorded run can be gone on with."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, cast

import attrs

from openharness.core.engine._flaws import flaw_of
from openharness.core.errors import (
    CorruptRecordError,
    FixtureNotFoundError,
    InvalidValueError,
)
from openharness.core.log import _names as names
from openharness.core.log import is_arrival
from openharness.core.records import RecordingInfo, RecordingQuery, RunStatus, Signal, signal_id

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from openharness.core.interfaces import SignalStore

__all__ = ("Resumption", "find_fork", "find_resumption", "folded", "no_recording", "was_interactive")

_NEWEST: Final = 3
"""How many recordings are named where another one is not found."""


@attrs.frozen(kw_only=True)
class Resumption:
    """The point at which a recorded run goes on.

    Attributes:
        info: The recording.
        run_id: The run whose signals it holds.
        fields: The fields of its state.
        stop: How many of its signals stay.
        step: How many stay when only whole steps may.
        carried_out: How many are of steps that may have had effects: what was to be done by the step in which a run has
            failed was never begun.
        torn: Whether these may break off in the middle of a step, as a process leaves them that is killed.
        writable: Whether the run can be written further in this very recording: it is not finalized, and all stay.
        interactive: Whether the run took signals from outside until it was told to finish.
    """

    info: RecordingInfo
    run_id: str
    fields: list[str]
    stop: int
    step: int
    carried_out: int
    torn: bool
    writable: bool
    interactive: bool


async def find_resumption(store: SignalStore, recording_id: str) -> Resumption:
    """Return the point before what ended a run; its end where nothing did, or where nobody was told that it completed.

    Raises:
        FixtureNotFoundError: There is no such recording.
        InvalidValueError: The recording is empty, or its run has completed and the recording is finalized.
        CorruptRecordError: The recording is not as the engine writes it.
    """
    return await _find(store, recording_id, _before_the_end)


async def find_fork(store: SignalStore, recording_id: str, at: int | None) -> Resumption:
    """Return the end of the step that a signal belongs to.

    Raises:
        FixtureNotFoundError: There is no such recording.
        InvalidValueError: It has no such signal, or is empty.
        CorruptRecordError: The recording is not as the engine writes it.
    """

    def after(signals: list[Signal], _: RecordingInfo) -> tuple[int, int, int]:
        # The end of a run is not a point from which it could go on.
        length = len(signals) - (signals[-1].name == names.HARNESS_END)
        position = length - 1 if at is None else at
        if type(position) is not int or not 0 <= position < len(signals):
            raise InvalidValueError("at", value=at, expected=f"the seq of a signal, from 0 to {len(signals) - 1}")
        following = (signal.seq for signal in signals[position + 1 :] if is_arrival(signal))
        stop = min(next(following, length), length)
        return stop, stop, stop

    return await _find(store, recording_id, after)


async def no_recording(store: SignalStore, recording_id: str) -> FixtureNotFoundError:
    """Return the error for a recording that a store does not have."""
    of_run = await store.list_recordings(RecordingQuery(run_id=recording_id, limit=1))
    newest = await store.list_recordings(RecordingQuery(limit=_NEWEST))
    return FixtureNotFoundError(
        recording_id,
        existing=[info.id for info in newest],
        is_recording=True,
        run_recording=of_run[0].id if of_run else None,
    )


async def _find(
    store: SignalStore, recording_id: str, point: Callable[[list[Signal], RecordingInfo], tuple[int, int, int]]
) -> Resumption:
    # All of one moment: its run may go on, and end, while this looks.
    recording = await store.load_recording(recording_id)
    if recording is None:
        raise await no_recording(store, recording_id)
    info, signals = recording.info, list(recording.signals)
    if not signals or signals[0].name != names.HARNESS_START:
        raise InvalidValueError("recording_id", value=recording_id, expected="a recording with the beginning of a run")
    flaw = flaw_of(signals[0])
    if flaw is not None:
        raise CorruptRecordError(recording_id, reason=f"signal 0, {names.HARNESS_START!r}: {flaw}")
    run_id = signals[0].id.removesuffix("/0")
    stop, step, carried_out = point(signals, info)
    return Resumption(
        info=info,
        run_id=run_id,
        fields=list(cast("dict[str, Any]", signals[0].payload)["state"]),
        stop=stop,
        step=step,
        carried_out=carried_out,
        torn=_is_torn(signals, stop, step),
        writable=info.outcome == "incomplete" and stop == len(signals),
        interactive=was_interactive(signals[0]),
    )


def _is_torn(signals: list[Signal], stop: int, step: int) -> bool:
    """Tell whether the last step before a point may have more to cause: its process died, or a limit cut it short."""
    if stop == len(signals):
        return signals[-1].name != names.HARNESS_END
    return step == stop and signals[stop].name == names.HARNESS_LIMIT


def _before_the_end(signals: list[Signal], info: RecordingInfo) -> tuple[int, int, int]:
    end, count = signals[-1], len(signals)
    if end.name != names.HARNESS_END:
        return count, count, count
    payload: object = end.payload
    if isinstance(payload, dict) and cast("dict[str, Any]", payload).get("status") == RunStatus.COMPLETED:
        if info.outcome == "incomplete":
            # Its process died between the last signal and the end of the recording.
            return count, count, count
        raise InvalidValueError("recording_id", value=info.id, expected="the recording of a run that did not complete")
    cause = _cause(signals, end, info)
    if cause.name == names.AGENT_ERROR and cause.payload["kind"] == "provider":
        # The failing answer goes with what it caused, so that the request is sent again.
        cause = _cause(signals, cause, info)
    step = max(signal.seq for signal in signals[: cause.seq + 1] if is_arrival(signal))
    if cause.name == names.HARNESS_LIMIT:
        # What had arrived by then is kept: an answer is not paid for twice because the limit was too low.
        return cause.seq, cause.seq, step
    return cause.seq, step, step


def _cause(signals: list[Signal], signal: Signal, info: RecordingInfo) -> Signal:
    """Return the signal that caused another one."""
    position = str(signal.source.parent).rpartition("/")[2]
    if not position.isdecimal() or not 0 < int(position) < signal.seq:
        raise CorruptRecordError(info.id, reason=f"signal {signal.seq}, {signal.name!r}: nothing before it caused it")
    return signals[int(position)]


def was_interactive(start: Signal) -> bool:
    """Tell from ``harness:start`` whether the run took signals from outside until it was told to finish."""
    payload: object = start.payload
    return isinstance(payload, dict) and cast("dict[str, Any]", payload).get("interactive") is True


def folded(signals: Iterable[Signal], *, run_id: str | None = None, parent: str | None = None) -> tuple[Signal, ...]:
    """Return signals as the beginning of another log, which says that they are not to be run again.

    Args:
        signals: Whole steps from the beginning of a log.
        run_id: The run they become part of; None leaves them in their own.
        parent: The run they come from, where that is another one.
    """
    taken = list(signals)
    first = taken[0]
    taken[0] = attrs.evolve(first, payload={**first.payload, "folded": len(taken)})
    if run_id is None or parent is None:
        return tuple(taken)
    return tuple(_moved(signal, run_id, parent) for signal in taken)


def _moved(signal: Signal, run_id: str, parent: str) -> Signal:
    cause = signal.source.parent
    if cause is not None and cause.startswith(f"{parent}/"):
        cause = f"{run_id}{cause.removeprefix(parent)}"
    return attrs.evolve(signal, id=signal_id(run_id, signal.seq), source=attrs.evolve(signal.source, parent=cause))
