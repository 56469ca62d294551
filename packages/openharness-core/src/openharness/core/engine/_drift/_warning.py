"""The warning that tells of differences which did not end a replay."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Sequence

    from openharness.core.engine._drift._report import DriftReport

__all__ = ("ReplayDriftWarning",)

_MOST_TOLD: Final = 10


class ReplayDriftWarning(UserWarning):
    """A replay with ``drift="warn"`` differed from its recording.

    Attributes:
        reports: The differences, each a `DriftReport`, in the order in which they came up.
    """

    def __init__(self, reports: Sequence[DriftReport]) -> None:
        self.reports = tuple(reports)
        super().__init__(self.reports)

    def __str__(self) -> str:
        """Return the places in which the replay differs, one in a line."""
        count = len(self.reports)
        lines = [f"The replay differs from its recording in {count} {'place' if count == 1 else 'places'}:"]
        lines += [f"  {report.headline}" for report in self.reports[:_MOST_TOLD]]
        if count > _MOST_TOLD:
            lines.append(f"  … and {count - _MOST_TOLD:,} more; RunResult.drift has them all")
        return "\n".join(lines)
