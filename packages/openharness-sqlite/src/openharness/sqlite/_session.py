"""A store's life in one event loop of one process: the connection that writes, and the one that reads.

Reading has a connection of its own, which sees what was committed when it begins and never waits behind a batch.
"""

from __future__ import annotations

import asyncio
import threading
from functools import partial
from typing import TYPE_CHECKING, TypeVar, cast

from openharness.core.storage import StoreSession
from openharness.sqlite._channel import Channel, reported
from openharness.sqlite._exit import stop_at_exit, stop_now
from openharness.sqlite._failures import store_error
from openharness.sqlite._guard import Guard
from openharness.sqlite._opening import open_reader, open_writer
from openharness.sqlite._place import Place
from openharness.sqlite._turns import turn_of
from openharness.sqlite._writer import GroupWriter

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Callable

    from openharness.sqlite._opening import Settings
    from openharness.sqlite._statement import Row, Statement

__all__ = ("Session",)

T = TypeVar("T")


class Session(StoreSession):
    """The open connections of one store. Made inside of the event loop it belongs to.

    Args:
        settings: How the file is opened.
    """

    def __init__(self, settings: Settings) -> None:
        super().__init__()
        self._thread = threading.current_thread()
        self._settings = settings
        self._place = Place(settings.path)
        self._write_guard, self._read_guard = (Guard(settings.schema, store=settings.store) for _ in range(2))
        self._writing = Channel(
            self._open_writer,
            busy_timeout=settings.busy_timeout,
            guard=self._write_guard,
            place=self._place,
            turn=turn_of(settings.path),
        )
        self._reading = Channel(
            self._open_reader, busy_timeout=settings.busy_timeout, guard=self._read_guard, place=self._place
        )
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
        await self.begin(self._open)

    async def read(self, statement: Statement) -> list[Row]:
        """Return the rows of a query.

        Raises:
            StoreError: It failed.
        """
        return await self.begin(partial(self._read, statement))

    async def call(self, function: Callable[[sqlite3.Connection], T]) -> T:
        """Call a function with the connection that reads, on its thread, and return its result. See `Channel.call`.

        Raises:
            StoreError: It failed.
        """
        return await self.begin(partial(self._call, function))

    async def synchronous(self) -> str | None:
        """Return what ``PRAGMA synchronous`` is on the connection that writes; None where it is not open.

        Raises:
            StoreError: It failed.
        """
        return await self.begin(self._synchronous)

    async def _synchronous(self) -> str | None:
        if not self._writing.is_open:
            return None
        ((value,),) = await self._writing.run("PRAGMA synchronous")
        return ("OFF", "NORMAL", "FULL", "EXTRA")[cast("int", value)]

    async def close_all(self) -> None:
        """Wait for what was begun and close both connections."""
        try:
            await self.writer.drain()
            await self.drain()
            # The last one to be closed copies the write-ahead log into the database, so it must be the one that may.
            await self._reading.close()
            await self._writing.close()
        except asyncio.CancelledError:
            # The loop is being shut down. The threads must have reported to it before it is closed.
            await self.leave()
            raise

    async def leave(self) -> None:
        """Close both connections without the event loop, and wait until their threads have ended."""
        await reported(*self.stop())

    def give_up(self) -> None:
        """Close both connections, wherever this is called. See `stop_now`."""
        stop_now(self)

    def store_error(self, error: Exception) -> Exception:
        """Return what callers are told of an error."""
        return store_error(error, store=self._settings.store)

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

    def _open_writer(self) -> sqlite3.Connection:
        connection = self._place.open(partial(open_writer, self._settings))
        self._write_guard.watch(connection)
        return connection

    def _open_reader(self) -> sqlite3.Connection:
        connection = open_reader(self._settings)
        self._read_guard.watch(connection)
        return connection

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
