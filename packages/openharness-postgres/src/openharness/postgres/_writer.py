"""Group commit: what was asked for during one commit is written by the next, in one round trip.

Nothing waits for company: with nothing under way, a single job leaves at once. Jobs are of kinds, each of which knows how
to write several of its jobs at once.
"""

from __future__ import annotations

import asyncio
from collections import deque
from functools import partial
from typing import TYPE_CHECKING, Any, Final, Protocol, TypeAlias, TypeVar

from openharness.postgres._failures import concerns_one_row, store_error

if TYPE_CHECKING:
    from collections.abc import Awaitable, Sequence

    from openharness.postgres._channel import Channel

__all__ = ("MAX_ROWS", "GroupWriter", "Kind")

ItemT = TypeVar("ItemT")
ItemT_contra = TypeVar("ItemT_contra", contravariant=True)
ResultT = TypeVar("ResultT")
ResultT_co = TypeVar("ResultT_co", covariant=True)

MAX_ROWS: Final = 256
"""How many rows one batch writes at most, unless a single job has more."""

_MAX_BYTES: Final = 8 * 1024 * 1024
"""How large a batch may be: so long do those wait who come just after it was begun."""


class Kind(Protocol[ItemT_contra, ResultT_co]):
    """A kind of job. Two are the same kind when they are equal."""

    def __call__(
        self, channel: Channel, items: Sequence[ItemT_contra], /
    ) -> Awaitable[Sequence[ResultT_co | Exception]]:
        """Write what several callers want written: all of it or, if this raises, nothing.

        It is called again when the connection was lost, perhaps after the commit, so it must have the same effect once
        or twice.

        Args:
            channel: The open connection that writes.
            items: What they gave to `GroupWriter.add`, in the order in which they asked.

        Returns:
            For each of them what it gets, or the error that is its own; then nothing was written for it.
        """
        ...


class _Job:
    """What one caller wants written, and where it waits."""

    __slots__ = ("done", "item", "kind", "rows", "size")

    def __init__(self, kind: Kind[Any, Any], item: object, rows: int, size: int, done: asyncio.Future[Any]) -> None:
        self.kind = kind
        self.item = item
        self.rows = rows
        self.size = size
        self.done = done


_Batch: TypeAlias = "Sequence[_Job]"


class GroupWriter:
    """Writes for any number of tasks of one event loop, in the order in which they asked.

    Args:
        channel: The connection that writes.
        store: What the store calls itself in errors.
    """

    def __init__(self, channel: Channel, *, store: str) -> None:
        self._channel = channel
        self._store = store
        self._loop = asyncio.get_running_loop()
        self._jobs: deque[_Job] = deque()
        self._work: asyncio.Task[None] | None = None

    def add(self, kind: Kind[ItemT, ResultT], item: ItemT, *, rows: int, size: int) -> asyncio.Future[ResultT]:
        """Return a future that is done when the item is durable, or has the `StoreError` that says why not.

        Args:
            kind: Writes it, together with others of the same kind.
            item: What is to be written.
            rows: How many rows it takes.
            size: About how many bytes it takes.
        """
        done: asyncio.Future[ResultT] = self._loop.create_future()
        self._jobs.append(_Job(kind, item, rows, size, done))
        if self._work is None:
            self._begin()
        return done

    async def drain(self) -> None:
        """Wait until everything that was asked for has been written or has failed."""
        while self._work is not None:
            await asyncio.wait((self._work,))

    def _begin(self) -> None:
        self._work = self._loop.create_task(self._write(), name="openharness: write to a store")
        self._work.add_done_callback(self._ended)

    async def _write(self) -> None:
        while batch := self._next_batch():
            await self._write_batch(batch)
        # Before the callback below, so that who comes next does not wait for it.
        self._work = None

    def _ended(self, work: asyncio.Task[None]) -> None:
        if work.cancelled():
            # Somebody cancelled every task there is, perhaps before this one took its first step. Who is still waiting
            # is served by a new one.
            self._work = None
            if self._jobs:
                self._begin()

    def _next_batch(self) -> _Batch:
        """Take as many jobs of one kind as one batch may hold, from the front."""
        batch: list[_Job] = []
        rows = size = 0
        jobs = self._jobs
        while jobs:
            job = jobs[0]
            if job.done.cancelled():
                jobs.popleft()
                continue
            if batch and (job.kind != batch[0].kind or rows + job.rows > MAX_ROWS or size + job.size > _MAX_BYTES):
                break
            batch.append(jobs.popleft())
            rows += job.rows
            size += job.size
        return batch

    async def _write_batch(self, batch: _Batch) -> None:
        try:
            results: Sequence[object] = await self._channel.patiently(partial(_write_jobs, batch))
        except asyncio.CancelledError:
            # What the server makes of it is not known, and must have ended before the next batch.
            self._channel.drop()
            for job in batch:
                job.done.cancel()
            raise
        except Exception as error:  # noqa: BLE001 - whatever it is, it belongs to the callers
            if len(batch) > 1 and concerns_one_row(error):
                # Nothing was written. One by one, only those that cannot be written fail.
                for job in batch:
                    await self._write_batch((job,))
                return
            results = [store_error(error, store=self._store) for _ in batch]
        for job, result in zip(batch, results, strict=True):
            _tell(job, result)


async def _write_jobs(batch: _Batch, channel: Channel) -> Sequence[object]:
    results: Sequence[object] = await batch[0].kind(channel, [job.item for job in batch])
    return results


def _tell(job: _Job, result: object) -> None:
    if job.done.done():
        return
    if isinstance(result, Exception):
        job.done.set_exception(result)
        job.done.exception()  # a caller that was cancelled just now never asks for it
    else:
        job.done.set_result(result)
