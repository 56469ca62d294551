"""Group commit in PostgreSQL: a batch is one statement and one round trip, tried again where the connection was lost."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Final, TypeAlias, TypeVar

from openharness.core.storage import GroupWriter as CoreGroupWriter
from openharness.core.storage import JobKind
from openharness.postgres._channel import Channel
from openharness.postgres._failures import concerns_one_row, store_error

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ("MAX_ROWS", "GroupWriter", "Kind")

ItemT = TypeVar("ItemT")
ResultT = TypeVar("ResultT")

MAX_ROWS: Final = 256
"""How many rows one batch writes at most, unless a single job has more."""

Kind: TypeAlias = JobKind[Channel, ItemT, ResultT]
"""A kind of job, which is given the open connection that writes. It is called again when the connection was lost, perhaps
after the commit, so it must have the same effect once or twice."""


class GroupWriter(CoreGroupWriter[Channel]):
    """Writes for any number of tasks of one event loop, in the order in which they asked.

    Args:
        channel: The connection that writes.
        store: What the store calls itself in errors.
    """

    def __init__(self, channel: Channel, *, store: str) -> None:
        super().__init__(max_rows=MAX_ROWS)
        self._channel = channel
        self._store = store

    async def write(self, kind: JobKind[Channel, Any, ResultT], items: Sequence[Any]) -> Sequence[ResultT | Exception]:
        """Let a kind write a batch, and return what it returns."""

        async def work(channel: Channel) -> Sequence[ResultT | Exception]:
            return await kind(channel, items)

        try:
            return await self._channel.patiently(work)
        except asyncio.CancelledError:
            # What the server makes of it is not known, and must have ended before the next batch.
            self._channel.drop()
            raise

    def concerns_one_row(self, error: Exception) -> bool:
        """Tell whether an error may be due to one job."""
        return concerns_one_row(error)

    def store_error(self, error: Exception) -> Exception:
        """Return what callers are told of an error."""
        return store_error(error, store=self._store)
