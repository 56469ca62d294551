"""What a reporter is, and how it is told of a recording."""

from __future__ import annotations

import abc
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from typing import Self

    from openharness.core.records import Recording, RecordingInfo, Signal

__all__ = ("Reporter", "report_recording")


class Reporter(abc.ABC):
    """Takes signals one by one and tells of them. A context manager, which closes it.

    It is a function of a signal, so it is subscribed as it is: ``harness.subscribe("**", reporter)``. It may be told of
    several runs, also of runs that go on at the same time: a run is known by the id that its signals begin with. In a
    replay that is the id of the recorded run; two replays of one recording at the same time need a reporter each.

    A reporter that was told of a run while it went on has the same to say as one that is told of the recording.
    """

    @abc.abstractmethod
    def __call__(self, signal: Signal) -> None:
        """Take the next signal of a run."""

    def introduce(self, info: RecordingInfo) -> None:
        """Take what is known of a run beyond its signals, before they come. The default has no use for it."""

    def close(self) -> None:
        """Say what is left to be said, also of runs that have not ended. Closing twice is no error."""

    def __enter__(self) -> Self:
        """Return the reporter."""
        return self

    def __exit__(self, *exc_info: object) -> None:
        """Close it."""
        self.close()


def report_recording(recording: Recording, *reporters: Reporter) -> None:
    """Tell reporters of a recorded run, from its first signal to its last. It closes none of them.

    Args:
        recording: The run.
        reporters: Who is told.
    """
    for reporter in reporters:
        reporter.introduce(recording.info)
    for signal in recording.signals:
        for reporter in reporters:
            reporter(signal)
