"""Group commit in SQLite: a batch is one trip to the connection's thread and one transaction."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, TypeAlias, TypeVar

from openharness.core.storage import GroupWriter as CoreGroupWriter
from openharness.core.storage import JobKind
from openharness.sqlite._channel import Channel
from openharness.sqlite._failures import concerns_one_row, store_error

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ("MAX_ROWS", "GroupWriter", "Kind")

ItemT = TypeVar("ItemT")
ResultT = TypeVar("ResultT")

MAX_ROWS: Final = 128
"""How many rows one batch writes at most, unless a single job has more. With more callers than this, one batch is encoded
while another is written: the two take about as long, and SQLite works without the interpreter's lock."""

Kind: TypeAlias = JobKind[Channel, ItemT, ResultT]
"""A kind of job, which is given the open connection that writes. It is called once, and writes with `Channel.write`, or with
one statement that has `Channel.unless_newer` as a condition."""


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
        await self._channel.open()
        return await kind(self._channel, items)

    def concerns_one_row(self, error: Exception) -> bool:
        """Tell whether an error may be due to one job."""
        return concerns_one_row(error)

    def store_error(self, error: Exception) -> Exception:
        """Return what callers are told of an error."""
        return store_error(error, store=self._store)
