"""A recording as the source of arrivals, and as what the replay is compared with."""

from __future__ import annotations

import contextlib
from collections import deque
from typing import TYPE_CHECKING

import attrs

from openharness.core.engine._drift import DriftReport, same_end, same_place, same_signal
from openharness.core.engine._recorded import RecordedRun, arrival_of, folded_of
from openharness.core.engine._redacting import same_but_for_numbers
from openharness.core.errors import OpenHarnessError, RecordingEndedError, ReplayDriftError
from openharness.core.log import _names as names
from openharness.core.log import is_arrival

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from openharness.core.engine._arrivals import Arrival
    from openharness.core.records import Signal

__all__ = ("Transcript",)


class Transcript(RecordedRun):
    """Reads a recording one step at a time: an arrival, and what followed from it.

    Args:
        recording_id: The recording, for reports.
        signals: Its signals in order; only one step of them is held at a time.
        continues: Whether the run goes on where the recording ends, also in the middle of a step.

    Attributes:
        count: How many signals were compared.
        renumbered: Whether placeholders had other numbers than in the recording.
    """

    def __init__(self, recording_id: str, signals: AsyncIterator[Signal], *, continues: bool = False) -> None:
        super().__init__(recording_id)
        self._signals = signals
        self._continues = continues
        self._expected: deque[Signal] = deque()
        self._ahead: Signal | None = None
        self._begun = False
        self.count = 0
        self.renumbered = False

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

    async def open(self) -> Signal | None:
        """Read the first signal and return it; None where the recording is empty.

        Raises:
            CorruptRecordError: It is not what a recording begins with.
        """
        self._begun = True
        self._ahead = await anext(self._signals, None)
        if self._ahead is not None:
            self.inspect_first(self._ahead)
        return self._ahead

    def upcoming(self) -> list[Signal]:
        """Return what was read and not compared yet: the rest of the present step, and the next arrival."""
        return [*self._expected, *([] if self._ahead is None else [self._ahead])]

    @property
    def folded(self) -> int:
        """How many signals at the beginning were taken over from another run, and are not run again."""
        return 0 if self.count else folded_of(self._ahead)

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
                raise self.damaged(signal, "what was taken over from another run must end with a whole step")
            self.inspect(signal)
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
                self.inspect(following)
                self._ahead = following
                break
            self._expected.append(following)
        self.note_injected(signal)
        return arrival_of(signal)

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
            raise RecordingEndedError(self.recording_id, seq=self.count, state=None)
        if recorded is None or not (same_signal(recorded, actual) or self._is_alike(recorded, actual)):
            if recorded is not None:
                self._expected.appendleft(recorded)
            # What the step should have caused is over; the next thing the recording has is the next arrival.
            # What is reported may be written down: by the rules of now, not only by those of the recording.
            shown = attrs.evolve(actual, payload=self.mask(actual.payload))
            raise self._drift(actual.seq, recorded or self._ahead, shown)
        self.count += 1
        return recorded

    def _is_alike(self, recorded: Signal, actual: Signal) -> bool:
        """Tell whether a signal is the recorded one, apart from what is volatile, numbers of placeholders, and words."""
        if same_but_for_numbers(recorded, actual):
            self.renumbered = True
            return True
        return same_place(recorded, actual) and (
            same_end(recorded, actual) or (bool(self.volatile) and self.volatile.same(recorded, actual))
        )

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
            recording_id=self.recording_id,
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

    def _drift(self, seq: int, recorded: Signal | None, actual: Signal | None) -> ReplayDriftError:
        report = DriftReport.between(self.recording_id, seq, recorded, actual, log=self.log, reducers=self.reducers)
        return ReplayDriftError(report)
