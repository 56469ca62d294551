"""What every replay does with a recording, however it is matched: the look at its arrivals, and what was injected."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, cast

from openharness.core.engine._arrivals import Arrival
from openharness.core.engine._flaws import flaw_of
from openharness.core.errors import CorruptRecordError
from openharness.core.log import RESERVED_PREFIXES, VolatileRules
from openharness.core.log import _names as names

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from openharness.core.engine._plan import RunPlan
    from openharness.core.records import Signal
    from openharness.core.values import JSONValue

__all__ = ("RecordedRun", "arrival_of", "folded_of")


class RecordedRun:
    """A recording that is replayed, as far as its readers have come.

    Args:
        recording_id: The recording, for reports.

    Attributes:
        injected: The signals that were injected into the run, as far as it was read.
        start: The first signal of the recording, once it was read; None where it is empty.
        log: The log that the run writes.
        volatile: What does not count.
        mask: Keeps secrets out of reports.
        reducers: Tells the patterns of the run's reducers that take signals of a name.
    """

    def __init__(self, recording_id: str) -> None:
        self.recording_id = recording_id
        self.injected: list[Signal] = []
        self.start: Signal | None = None
        self.log: Sequence[Signal] = ()
        self.volatile = VolatileRules()
        self.mask: Callable[[Any], Any] = _as_it_is
        self.reducers: Callable[[str], Sequence[str]] | None = None
        self._closed = False
        self._waiters: list[asyncio.Future[None]] = []

    def follow(self, log: Sequence[Signal], plan: RunPlan[Any]) -> None:
        """Take note of the run that is compared with this recording.

        Args:
            log: The log that the run writes.
            plan: Its agents and reducers, and what of it is volatile.
        """
        self.log = log
        self.volatile = plan.volatile
        self.reducers = plan.reducer_patterns

    async def injection(self, position: int) -> Signal | None:
        """Wait until so many signals were injected into the recorded run, and return that one; None if it never was."""
        while len(self.injected) <= position and not self._closed:
            waiter = asyncio.get_running_loop().create_future()
            self._waiters.append(waiter)
            await waiter
        return self.injected[position] if len(self.injected) > position else None

    def close(self) -> None:
        """Nothing more is read; nobody needs to wait any longer."""
        self._closed = True
        self._tell_waiters()

    def note_injected(self, signal: Signal) -> None:
        """Tell of a signal if it was injected into the recorded run."""
        if signal.source.parent is None and signal.name.split(":")[0] not in RESERVED_PREFIXES:
            self.injected.append(signal)
            self._tell_waiters()

    def inspect(self, arrival: Signal) -> None:
        """Make sure that an arrival is as the engine writes it.

        Raises:
            CorruptRecordError: It is not.
        """
        reason = flaw_of(arrival)
        if reason is not None:
            raise self.damaged(arrival, reason)

    def inspect_first(self, signal: Signal) -> None:
        """Make sure that a recording begins with this signal.

        Raises:
            CorruptRecordError: No recording does.
        """
        if signal.name != names.HARNESS_START:
            raise self.damaged(signal, f"a recording begins with {names.HARNESS_START!r}")
        self.inspect(signal)
        self.start = signal

    def damaged(self, signal: Signal, reason: str) -> CorruptRecordError:
        """Return the error for a signal that cannot be replayed."""
        return CorruptRecordError(self.recording_id, reason=f"signal {signal.seq}, {signal.name!r}: {reason}")

    def _tell_waiters(self) -> None:
        waiters, self._waiters = self._waiters, []
        for waiter in waiters:
            if not waiter.done():
                waiter.set_result(None)


def _as_it_is(payload: Any) -> Any:
    return payload


def arrival_of(signal: Signal) -> Arrival:
    """Return what came from outside when a signal was recorded."""
    call = None
    payload: Any = signal.payload
    if signal.source.activation is not None and isinstance(payload, dict):
        answers = "tool_call" if signal.name == names.TOOL_RESULT else "call"
        call = cast("dict[str, Any]", payload).get(answers)
    return Arrival(name=signal.name, payload=cast("JSONValue", payload), timestamp=signal.timestamp, call=call)


def folded_of(start: Signal | None) -> int:
    """Return how many signals at the beginning were taken over from another run, and are not run again."""
    payload: object = None if start is None else start.payload
    folded = cast("dict[str, Any]", payload).get("folded", 0) if isinstance(payload, dict) else 0
    return folded if type(folded) is int else 0
