"""A second attempt at what somebody else may copy at the same time."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from openharness.core.copying._report import CopiedItem

__all__ = ("in_two_attempts",)


async def in_two_attempts(attempt: Callable[[], Awaitable[CopiedItem]]) -> CopiedItem:
    """Return what became of one thing; where it failed, it is tried once more.

    It may have failed because somebody else copied it in that moment: then it is there by now, or can be continued.
    """
    item = await attempt()
    if item.status != "failed":
        return item
    again = await attempt()
    return item if again.status == "failed" else again
