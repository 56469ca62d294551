"""A store's life in one event loop of one process: the connection that writes, and the one that reads.

Reading has a connection of its own, which sees what was committed when it begins and never waits behind a batch.
"""

from __future__ import annotations

import asyncio
import os
import threading
from functools import partial
from typing import TYPE_CHECKING, TypeVar, cast

from openharness.sqlite._channel import Channel, reported
from openharness.sqlite._exit import stop_at_exit
from openharness.sqlite._failures import store_error
from openharness.sqlite._opening import open_reader, open_writer
from openharness.sqlite._turns import turn_of
from openharness.sqlite._writer import GroupWriter

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Callable, Coroutine

    from openharness.sqlite._opening import Settings
    from openharness.sqlite._statement import Row, Statement

__all__ = ("Session",)

T = TypeVar("T")


class Session:
    """The open connections of one store. Made inside of the event loop it belongs to.

    Args:
        settings: How the file is opened.
    """

    def __init__(self, settings: Settings) -> None:
        self.loop = asyncio.get_running_loop()
        self.process = os.getpid()
        self._thread = threading.current_thread()
        self._settings = settings
        turn = turn_of(settings.path)
        self._writing = Channel(partial(open_writer, settings), busy_timeout=settings.busy_timeout, turn=turn)
        self._reading = Channel(partial(open_reader, settings), busy_timeout=settings.busy_timeout)
        self._tasks: set[asyncio.Task[None]] = set()
        self._closing: asyncio.Task[None] | None = None
        self.writer = GroupWriter(self._writing, store=settings.store)
        stop_at_exit(self)

    @property
    def is_open(self) -> bool:
        """Whether there is anything to close."""
        return self._writing.is_open or self._reading.is_open

    async def open(self) -> None:
        """Open the file, creating it where needed.

        Raises:
            StoreError: It cannot be opened.
        """
        await self._begin(self._open)

    async def read(self, statement: Statement) -> list[Row]:
        """Return the rows of a query.

        Raises:
            StoreError: It failed.
        """
        return await self._begin(partial(self._read, statement))

    async def call(self, function: Callable[[sqlite3.Connection], T]) -> T:
        """Call a function with the connection that reads, on its thread, and return its result. See `Channel.call`.

        Raises:
            StoreError: It failed.
        """
        return await self._begin(partial(self._call, function))

    async def synchronous(self) -> str | None:
        """Return what ``PRAGMA synchronous`` is on the connection that writes; None where it is not open.

        Raises:
            StoreError: It failed.
        """
        return await self._begin(self._synchronous)

    async def _synchronous(self) -> str | None:
        if not self._writing.is_open:
            return None
        ((value,),) = await self._writing.run("PRAGMA synchronous")
        return ("OFF", "NORMAL", "FULL", "EXTRA")[cast("int", value)]

    async def close(self) -> None:
        """Wait for what was begun and close both connections; every caller waits for the same closing."""
        while self._closing is None or self._closing.cancelled():
            self._closing = self.loop.create_task(self._close(), name="openharness: close a store")
            # A caller that is cancelled does not cancel the closing.
            await asyncio.wait((self._closing,))
        await asyncio.wait((self._closing,))
        self._closing.result()

    def stop(self) -> list[asyncio.Future[object] | None]:
        """Close both connections without the event loop: their threads finish what they have and end.

        Returns:
            What to wait for, where there is a running event loop to wait in.
        """
        self._settings.abandoned.set()
        self._reading.interrupt()
        return [channel.stop() for channel in (self._reading, self._writing)]

    def in_use(self) -> bool:
        """Tell whether the event loop runs on in a thread that the interpreter waits for."""
        return self.loop.is_running() and self._thread.is_alive() and not self._thread.daemon

    def _begin(self, work: Callable[[], Coroutine[None, None, T]]) -> asyncio.Future[T]:
        """Do work in a task of its own, and return a future for the caller, who may be cancelled."""
        done: asyncio.Future[T] = self.loop.create_future()
        task = self.loop.create_task(self._report(work, done))
        self._tasks.add(task)
        task.add_done_callback(partial(self._ended, done))
        return done

    async def _report(self, work: Callable[[], Coroutine[None, None, T]], done: asyncio.Future[T]) -> None:
        try:
            result = await work()
        except Exception as error:  # noqa: BLE001 - whatever it is, it belongs to the caller
            if not done.done():
                done.set_exception(store_error(error, store=self._settings.store))
        else:
            if not done.done():
                done.set_result(result)

    def _ended(self, done: asyncio.Future[T], task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        # A task that is cancelled before its first step has run nothing of its own.
        if task.cancelled():
            done.cancel()

    async def _open(self) -> None:
        await self._writing.open()

    async def _read(self, statement: Statement) -> list[Row]:
        await self._writing.open()
        await self._reading.open()
        return await self._reading.run(statement.sql, statement.parameters)

    async def _call(self, function: Callable[[sqlite3.Connection], T]) -> T:
        await self._writing.open()
        await self._reading.open()
        return await self._reading.call(function)

    async def _close(self) -> None:
        try:
            await self.writer.drain()
            while self._tasks:
                await asyncio.wait(tuple(self._tasks))
            # The last one to be closed copies the write-ahead log into the database, so it must be the one that may.
            await self._reading.close()
            await self._writing.close()
        except asyncio.CancelledError:
            # The loop is being shut down. The threads must have reported to it before it is closed.
            await reported(*self.stop())
            raise
