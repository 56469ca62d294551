"""Group commit: what was asked for during one commit is written by the next, as one statement.

A statement is atomic by itself, so a batch is one trip to the connection's thread and one commit, whatever the number
of its rows. Nothing waits for company: with nothing under way, a single job leaves at once.
"""

from __future__ import annotations

import asyncio
from collections import deque
from functools import cache
from typing import TYPE_CHECKING, Final, TypeAlias

from openharness.run_store_sqlite._failures import concerns_one_row, store_error
from openharness.run_store_sqlite._opening import MAX_ROWS
from openharness.run_store_sqlite._rows import COLUMNS, Row, row_size

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from openharness.run_store_sqlite._channel import Channel

__all__ = ("GroupWriter",)

_MAX_BYTES: Final = 8 * 1024 * 1024
"""How large a batch may be: so long do those wait who come just after it was begun."""

_PLACES: Final = f"({', '.join('?' * len(COLUMNS))})"
_KEPT: Final = ", ".join(f"{name} = excluded.{name}" for name in COLUMNS if name != "id")


@cache
def _save_statement(rows: int) -> str:
    values = ", ".join([_PLACES] * rows)
    # Not REPLACE: it would delete the row first, and with it the columns a newer version may have added.
    return f"INSERT INTO runs ({', '.join(COLUMNS)}) VALUES {values} ON CONFLICT (id) DO UPDATE SET {_KEPT}"  # noqa: S608 - names of our own


@cache
def _delete_statement(rows: int) -> str:
    return f"DELETE FROM runs WHERE id IN ({', '.join('?' * rows)})"  # noqa: S608 - names of our own


class _Job:
    """What one caller wants written, and where it waits."""

    __slots__ = ("done", "size", "statement", "values")

    def __init__(self, statement: Callable[[int], str], values: Row, size: int, done: asyncio.Future[None]) -> None:
        self.statement = statement
        self.values = values
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

    def save(self, row: Row) -> asyncio.Future[None]:
        """Return a future that is done when the row is durable, or has the `StoreError` that says why not."""
        return self._add(_save_statement, row, row_size(row))

    def delete(self, run_ids: Sequence[str]) -> asyncio.Future[None]:
        """Return a future that is done when no run has one of these ids; at most `MAX_ROWS` of them."""
        return self._add(_delete_statement, tuple(run_ids), 0)

    async def drain(self) -> None:
        """Wait until everything that was asked for has been written or has failed."""
        while self._work is not None:
            await asyncio.wait((self._work,))

    def _add(self, statement: Callable[[int], str], values: Row, size: int) -> asyncio.Future[None]:
        done = self._loop.create_future()
        self._jobs.append(_Job(statement, values, size, done))
        if self._work is None:
            self._begin()
        return done

    def _begin(self) -> None:
        self._work = self._loop.create_task(self._write(), name="openharness: write runs")
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
        """Take as many jobs of one kind as one statement may do, from the front."""
        batch: list[_Job] = []
        rows = size = 0
        jobs = self._jobs
        while jobs:
            job = jobs[0]
            if job.done.cancelled():
                jobs.popleft()
                continue
            wide = 1 if job.statement is _save_statement else len(job.values)
            if batch and (
                job.statement is not batch[0].statement or rows + wide > MAX_ROWS or size + job.size > _MAX_BYTES
            ):
                break
            batch.append(jobs.popleft())
            rows += wide
            size += job.size
        return batch

    async def _write_batch(self, batch: _Batch) -> None:
        try:
            await self._execute(batch)
        except asyncio.CancelledError:
            for job in batch:
                job.done.cancel()
            raise
        except Exception as error:  # noqa: BLE001 - whatever it is, it belongs to the callers
            if len(batch) > 1 and concerns_one_row(error):
                # Nothing was written. One by one, only those that cannot be written fail.
                for job in batch:
                    await self._write_batch((job,))
                return
            for job in batch:
                if not job.done.done():
                    job.done.set_exception(store_error(error, store=self._store))
                    job.done.exception()  # a caller that was cancelled just now never asks for it
            return
        for job in batch:
            if not job.done.done():
                job.done.set_result(None)

    async def _execute(self, batch: _Batch) -> None:
        values = [value for job in batch for value in job.values]
        save = batch[0].statement is _save_statement
        await self._channel.open()
        await self._channel.run(batch[0].statement(len(batch) if save else len(values)), values)
