"""A recording as the source of arrivals, and as what the replay is compared with."""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from typing import TYPE_CHECKING, Any, cast

import attrs

from openharness.core.engine._arrivals import Arrival
from openharness.core.engine._drift import DriftReport, same_signal
from openharness.core.engine._flaws import flaw_of
from openharness.core.engine._redacting import same_but_for_numbers
from openharness.core.errors import CorruptRecordError, OpenHarnessError, RecordingEndedError, ReplayDriftError
from openharness.core.log import RESERVED_PREFIXES, is_arrival
from openharness.core.log import _names as names

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Sequence

    from openharness.core.records import Signal
    from openharness.core.values import JSONValue

__all__ = ("Transcript",)


class Transcript:
    """Reads a recording one step at a time: an arrival, and what followed from it.

    Args:
        recording_id: The recording, for reports.
        signals: Its signals in order; only one step of them is held at a time.
        continues: Whether the run goes on where the recording ends, also in the middle of a step.

    Attributes:
        count: How many signals were compared.
        mask: Keeps secrets out of reports.
        renumbered: Whether placeholders had other numbers than in the recording.
        injected: The signals that were injected into the run, as far as it was read.
    """

    def __init__(self, recording_id: str, signals: AsyncIterator[Signal], *, continues: bool = False) -> None:
        self._recording_id = recording_id
        self._signals = signals
        self._continues = continues
        self._expected: deque[Signal] = deque()
        self._ahead: Signal | None = None
        self._begun = False
        self._log: Sequence[Signal] = ()
        self._reducers: Callable[[str], Sequence[str]] | None = None
        self.count = 0
        self.renumbered = False
        self.mask: Callable[[Any], Any] = _as_it_is
        self.injected: list[Signal] = []
        self._closed = False
        self._waiters: list[asyncio.Future[None]] = []

    async def injection(self, position: int) -> Signal | None:
        """Wait until so many signals were injected into the recorded run, and return that one; None if it never was."""
        while len(self.injected) <= position and not self._closed:
            waiter = asyncio.get_running_loop().create_future()
            self._waiters.append(waiter)
            await waiter
        return self.injected[position] if len(self.injected) > position else None

    def explain_with(self, log: Sequence[Signal], reducers: Callable[[str], Sequence[str]]) -> None:
        """Take note of what reports are made with.

        Args:
            log: The log that the run writes.
            reducers: Tells the patterns of the run's reducers that take signals of a name.
        """
        self._log = log
        self._reducers = reducers

    async def rest(self) -> list[Signal]:
        """Read what of the recording was not compared, and return it; as far as it can be read."""
        rest = [*self._expected, *([] if self._ahead is None else [self._ahead])]
        self._expected.clear()
        self._ahead = None
        # It serves a report of something else, which must not be lost.
        with contextlib.suppress(OpenHarnessError):
            async for signal in self._signals:
                rest.append(signal)  # noqa: PERF401 - what was read before the damage counts
        return rest

    def close(self) -> None:
        """Nothing more is read; nobody needs to wait any longer."""
        self._closed = True
        self._tell_waiters()

    def _tell_waiters(self) -> None:
        waiters, self._waiters = self._waiters, []
        for waiter in waiters:
            if not waiter.done():
                waiter.set_result(None)

    async def open(self) -> Signal | None:
        """Read the first signal and return it; None where the recording is empty.

        Raises:
            CorruptRecordError: It is not what a recording begins with.
        """
        self._begun = True
        self._ahead = await anext(self._signals, None)
        if self._ahead is not None:
            if self._ahead.name != names.HARNESS_START:
                raise self._damaged(self._ahead, f"a recording begins with {names.HARNESS_START!r}")
            self._inspect(self._ahead)
        return self._ahead

    def upcoming(self) -> list[Signal]:
        """Return what was read and not compared yet: the rest of the present step, and the next arrival."""
        return [*self._expected, *([] if self._ahead is None else [self._ahead])]

    @property
    def folded(self) -> int:
        """How many signals at the beginning were taken over from another run, and are not run again."""
        payload: object = None if self._ahead is None else self._ahead.payload
        if self.count or not isinstance(payload, dict):
            return 0
        folded = cast("dict[str, Any]", payload).get("folded", 0)
        return folded if type(folded) is int else 0

    async def read_folded(self) -> list[Signal]:
        """Return the signals that are not run again, and go on behind them."""
        taken: list[Signal] = []
        folded = self.folded
        signal = self._ahead
        while signal is not None and len(taken) < folded:
            taken.append(signal)
            signal = await anext(self._signals, None)
        self._ahead = signal
        if signal is not None:
            if not is_arrival(signal):
                raise self._damaged(signal, "what was taken over from another run must end with a whole step")
            self._inspect(signal)
        self.count = len(taken)
        return taken

    async def next_arrival(self) -> Arrival | None:
        """Return the next recorded arrival, or None where the recording ends.

        Raises:
            ReplayDriftError: The step before should have caused more than it did.
            CorruptRecordError: What comes next is not as the engine writes it.
        """
        self.check_step_is_complete()
        signal = self._ahead if self._begun else await self.open()
        if signal is None:
            return None
        self._expected.append(signal)
        self._ahead = None
        async for following in self._signals:
            if is_arrival(following):
                self._inspect(following)
                self._ahead = following
                break
            self._expected.append(following)
        if signal.source.parent is None and signal.name.split(":")[0] not in RESERVED_PREFIXES:
            self.injected.append(signal)
            self._tell_waiters()
        call = None
        payload: Any = signal.payload
        if signal.source.activation is not None and isinstance(payload, dict):
            answers = "tool_call" if signal.name == names.TOOL_RESULT else "call"
            call = cast("dict[str, Any]", payload).get(answers)
        return Arrival(name=signal.name, payload=cast("JSONValue", payload), timestamp=signal.timestamp, call=call)

    def check(self, actual: Signal) -> Signal:
        """Compare a signal with the next recorded one, and return the recorded one.

        Raises:
            ReplayDriftError: They differ.
            RecordingEndedError: The recording has no more signals.
        """
        recorded = self._expected.popleft() if self._expected else None
        if recorded is None and self._ahead is None and self._continues:
            return actual
        if recorded is None and self._ahead is None:
            # A recording that is whole ends with what ends the run; this one was cut in the middle of a step.
            raise RecordingEndedError(self._recording_id, seq=self.count, state=None)
        same = recorded is not None and same_signal(recorded, actual)
        if recorded is not None and not same and same_but_for_numbers(recorded, actual):
            same = self.renumbered = True
        if recorded is None or not same:
            if recorded is not None:
                self._expected.appendleft(recorded)
            # What the step should have caused is over; the next thing the recording has is the next arrival.
            # What is reported may be written down: by the rules of now, not only by those of the recording.
            shown = attrs.evolve(actual, payload=self.mask(actual.payload))
            raise self._drift(actual.seq, recorded or self._ahead, shown)
        self.count += 1
        return recorded

    def check_step_is_complete(self) -> None:
        """Make sure that the step has caused all that was recorded.

        Raises:
            ReplayDriftError: Something recorded did not happen.
        """
        if self._expected:
            raise self._drift(self._expected[0].seq, self._expected[0], None)

    def check_is_over(self) -> None:
        """Make sure that nothing of the recording is left over.

        Raises:
            ReplayDriftError: Something recorded did not happen.
        """
        self.check_step_is_complete()
        if self._ahead is not None:
            raise self._drift(self._ahead.seq, self._ahead, None)

    def stray(self, arrival: Arrival) -> ReplayDriftError:
        """Return the error for an arrival that no call of this run waits for."""
        recorded = self._expected[0] if self._expected else None
        is_retry = arrival.name == names.PROVIDER_RETRY
        agent = None if recorded is None else recorded.source.agent
        report = DriftReport(
            recording_id=self._recording_id,
            seq=self.count,
            reason=f"{arrival.name!r} arrived for {arrival.call!r}, and no call of this run waits for it",
            activation=None if recorded is None else recorded.source.activation,
            recorded=recorded,
            actual=None,
            kind="retries" if is_retry else "unused",
            subject=f"retries of agent {agent!r}" if is_retry else f"the answer to agent {agent!r}",
            agent=agent,
        )
        return ReplayDriftError(report)

    def _inspect(self, arrival: Signal) -> None:
        reason = flaw_of(arrival)
        if reason is not None:
            raise self._damaged(arrival, reason)

    def _damaged(self, signal: Signal, reason: str) -> CorruptRecordError:
        return CorruptRecordError(self._recording_id, reason=f"signal {signal.seq}, {signal.name!r}: {reason}")

    def _drift(self, seq: int, recorded: Signal | None, actual: Signal | None) -> ReplayDriftError:
        report = DriftReport.between(self._recording_id, seq, recorded, actual, log=self._log, reducers=self._reducers)
        return ReplayDriftError(report)


def _as_it_is(payload: Any) -> Any:
    return payload
