"""Group commit: what was asked for during one commit is written by the next, all at once.

Nothing waits for company: with nothing under way, a single job leaves at once. Jobs are of kinds, each of which knows how
to write several of its jobs at once, with one commit.
"""

from __future__ import annotations

import abc
import asyncio
from collections import deque
from typing import TYPE_CHECKING, Any, Final, Generic, Protocol, TypeAlias, TypeVar

if TYPE_CHECKING:
    from collections.abc import Awaitable, Sequence

__all__ = ("GroupWriter", "JobKind")

ConnectionT = TypeVar("ConnectionT")
ConnectionT_contra = TypeVar("ConnectionT_contra", contravariant=True)
ItemT = TypeVar("ItemT")
ItemT_contra = TypeVar("ItemT_contra", contravariant=True)
ResultT = TypeVar("ResultT")
ResultT_co = TypeVar("ResultT_co", covariant=True)

_MAX_BYTES: Final = 8 * 1024 * 1024
"""How large a batch may be: so long do those wait who come just after it was begun."""


class JobKind(Protocol[ConnectionT_contra, ItemT_contra, ResultT_co]):
    """A kind of job. Two are the same kind when they are equal."""

    def __call__(
        self, connection: ConnectionT_contra, items: Sequence[ItemT_contra], /
    ) -> Awaitable[Sequence[ResultT_co | Exception]]:
        """Write what several callers want written: all of it or, if this raises, nothing.

        Where a batch is tried again, as after a lost connection, it must have the same effect once or twice.

        Args:
            connection: The open connection that writes.
            items: What they gave to `GroupWriter.add`, in the order in which they asked.

        Returns:
            For each of them what it gets, or the error that is its own; then nothing was written for it.
        """
        ...


class _Job:
    """What one caller wants written, and where it waits."""

    __slots__ = ("done", "item", "kind", "rows", "size")

    def __init__(
        self, kind: JobKind[Any, Any, Any], item: object, rows: int, size: int, done: asyncio.Future[Any]
    ) -> None:
        self.kind = kind
        self.item = item
        self.rows = rows
        self.size = size
        self.done = done


_Batch: TypeAlias = "Sequence[_Job]"


class GroupWriter(abc.ABC, Generic[ConnectionT]):
    """Writes for any number of tasks of one event loop, in the order in which they asked.

    A store says how a batch is written. Made inside of the event loop it belongs to.

    Args:
        max_rows: How many rows one batch writes at most, unless a single job has more.
    """

    def __init__(self, *, max_rows: int) -> None:
        self._max_rows = max_rows
        self._loop = asyncio.get_running_loop()
        self._jobs: deque[_Job] = deque()
        self._work: asyncio.Task[None] | None = None

    @abc.abstractmethod
    async def write(
        self, kind: JobKind[ConnectionT, Any, ResultT], items: Sequence[Any]
    ) -> Sequence[ResultT | Exception]:
        """Let a kind write a batch, on the connection that writes, and return what it returns.

        A task is cancelled here only where everything is: the event loop is being shut down.
        """

    @abc.abstractmethod
    def concerns_one_row(self, error: Exception) -> bool:
        """Tell whether what was raised may be due to one job, so that the others of its batch are tried by themselves."""

    @abc.abstractmethod
    def store_error(self, error: Exception) -> Exception:
        """Return what callers are told of an error that `write` has raised."""

    def add(
        self, kind: JobKind[ConnectionT, ItemT, ResultT], item: ItemT, *, rows: int, size: int
    ) -> asyncio.Future[ResultT]:
        """Return a future that is done when the item is durable, or has the error that says why not.

        Args:
            kind: Writes it, together with others of the same kind.
            item: What is to be written.
            rows: How many rows it takes.
            size: About how many bytes it takes; a batch has 8 MiB, unless a single job has more.
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
            too_large = rows + job.rows > self._max_rows or size + job.size > _MAX_BYTES
            if batch and (too_large or job.kind != batch[0].kind):
                break
            batch.append(jobs.popleft())
            rows += job.rows
            size += job.size
        return batch

    async def _write_batch(self, batch: _Batch) -> None:
        try:
            results: Sequence[object] = await self.write(batch[0].kind, [job.item for job in batch])
        except asyncio.CancelledError:
            for job in batch:
                job.done.cancel()
            raise
        except Exception as error:  # noqa: BLE001 - whatever it is, it belongs to the callers
            if len(batch) > 1 and self.concerns_one_row(error):
                # Nothing was written. One by one, only those that cannot be written fail.
                for job in batch:
                    await self._write_batch((job,))
                return
            results = [self.store_error(error) for _ in batch]
        for job, result in zip(batch, results, strict=True):
            _tell(job, result)


def _tell(job: _Job, result: object) -> None:
    if job.done.done():
        return
    if isinstance(result, Exception):
        job.done.set_exception(result)
        job.done.exception()  # a caller that was cancelled just now never asks for it
    else:
        job.done.set_result(result)
