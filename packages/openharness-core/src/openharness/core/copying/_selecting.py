"""What a query selects of a store, page by page; what is damaged is passed over, and told of."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

import attrs

from openharness.core.interfaces._examining import ItemT, examined
from openharness.core.records import RecordingQuery, RunQuery

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

    from openharness.core.records import Finding

__all__ = ("selected",)

QueryT = TypeVar("QueryT", RunQuery, RecordingQuery)


async def selected(
    listing: Callable[[QueryT], Awaitable[list[ItemT]]], query: QueryT, findings: list[Finding]
) -> AsyncIterator[ItemT]:
    """Yield what a query selects.

    Args:
        listing: Lists what a query selects, all at once.
        query: The query.
        findings: Gets a finding for each damaged record.
    """

    async def page(cursor: str | None, offset: int, limit: int) -> list[ItemT]:
        if cursor is None:
            return await listing(attrs.evolve(query, offset=query.offset + offset, limit=limit))
        return await listing(attrs.evolve(query, cursor=cursor, offset=offset, limit=limit))

    left = query.limit
    if left == 0:
        return
    async for item in examined(page, findings):
        yield item
        left = None if left is None else left - 1
        if left == 0:
            return
