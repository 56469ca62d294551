"""What became of each thing that was to be copied."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, TypeAlias

import attrs

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ("CopiedItem", "CopyProgress", "CopyReport", "CopyStatus", "Tally")

CopyStatus: TypeAlias = Literal["copied", "skipped", "failed"]
"""What became of it."""


@attrs.frozen
class CopiedItem:
    """One thing that was to be copied.

    Attributes:
        id: The run, the recording, or the fixture name.
        status: ``"copied"``: it is in the target now, or there is more of it than before. ``"skipped"``: it was there
            already, just so. ``"failed"``: it is not, for the reason given; what the target has is as it was, or is a
            beginning that is continued the next time.
        reason: Why it failed; None otherwise.
    """

    id: str
    status: CopyStatus
    reason: str | None = None

    def __str__(self) -> str:
        """Say it in a line."""
        return f"{self.id}: {self.status}" + (f" ({self.reason})" if self.reason else "")


CopyProgress: TypeAlias = "Callable[[CopiedItem], object]"
"""Is told of each item when it is done."""


@attrs.frozen(kw_only=True)
class CopyReport:
    """What a copy did; its text is for people.

    Attributes:
        copied: How many were copied.
        skipped: How many were there already.
        failed: Those that were not copied, each with its reason.
    """

    copied: int
    skipped: int
    failed: tuple[CopiedItem, ...]

    @property
    def is_complete(self) -> bool:
        """Whether all that was to be copied is in the target now."""
        return not self.failed

    def __str__(self) -> str:
        """Say what failed, a line each, and how many were copied and skipped."""
        counts = f"{self.copied} copied, {self.skipped} skipped, {len(self.failed)} failed"
        return "\n".join([*map(str, self.failed), counts])


class Tally:
    """Counts items as they are done."""

    def __init__(self, progress: CopyProgress | None) -> None:
        self._progress = progress
        self._copied = self._skipped = 0
        self._failed: list[CopiedItem] = []

    def add(self, item: CopiedItem) -> None:
        """Count one."""
        self._copied += item.status == "copied"
        self._skipped += item.status == "skipped"
        if item.status == "failed":
            self._failed.append(item)
        if self._progress is not None:
            self._progress(item)

    def report(self) -> CopyReport:
        """Return what was counted."""
        return CopyReport(copied=self._copied, skipped=self._skipped, failed=tuple(self._failed))
