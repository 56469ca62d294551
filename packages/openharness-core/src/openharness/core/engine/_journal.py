"""The log a run writes as it goes: positions, ids, times, the fold, and the comparison with a recording."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from openharness.core.log import RunFold
from openharness.core.records._signal import make_signal

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from openharness.core.records import Signal, SignalSource

__all__ = ("Journal",)


class Journal:
    """Gives every signal its place.

    Attributes:
        run_id: The run whose ids the signals have.
        fold: What the log written so far means.
        signals: The whole log.
        now: The time of the present step in milliseconds since the epoch.
        check: Compares a signal with the recorded one and returns that; None where nothing is recorded.
        substitutes: Whether what ``check`` returns may differ from the signal, in parts that do not count.
    """

    def __init__(self, run_id: str, *, check: Callable[[Signal], Signal] | None = None) -> None:
        self.run_id = run_id
        self.fold = RunFold()
        self.signals: list[Signal] = []
        self.now = 0
        self.check = check
        self.substitutes = False
        self._drained = 0

    def begin_step(self, timestamp: int) -> None:
        """Set the time of all signals of the step; it never goes back."""
        self.now = max(self.now, timestamp)

    def append(self, name: str, payload: Any, source: SignalSource) -> Signal:
        """Write the next signal and return it: in a replay the recorded one, after comparing it with this.

        Raises:
            ReplayDriftError: The recording has something else here.
        """
        signals = self.signals
        seq = len(signals)
        # The id is `signal_id`, without the call.
        signal = make_signal(f"{self.run_id}/{seq}", name, payload, self.now, seq, source)
        if self.check is not None:
            signal = self.check(signal)
        signals.append(signal)
        self.fold.apply(signal)
        return signal

    def signal(self, id_: str | None) -> Signal:
        """Return a signal of this log by its id."""
        return self.signals[int(str(id_).rpartition("/")[2])]

    def adopt(self, signals: Iterable[Signal]) -> None:
        """Take over a log that another run, or another process, has written; it is durable already."""
        for signal in signals:
            self.signals.append(signal)
            self.fold.apply(signal)
            self.now = signal.timestamp
        self._drained = len(self.signals)

    def mark_durable(self, count: int) -> None:
        """Say that so many signals of the log are durable already."""
        self._drained = count

    @property
    def durable(self) -> list[Signal]:
        """The signals that were written, or are durable already."""
        return self.signals[: self._drained]

    def drain(self) -> list[Signal]:
        """Return the signals written since the last call."""
        fresh = self.signals[self._drained :]
        self._drained = len(self.signals)
        return fresh
