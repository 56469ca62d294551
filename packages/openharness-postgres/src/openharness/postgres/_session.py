"""A store's life in one event loop of one process: the connection that writes, those that read, and who listens.

Reading has connections of its own, so that it never waits behind a batch.
"""

from __future__ import annotations

import asyncio
import contextlib
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

from openharness.core.storage import StoreSession
from openharness.postgres._channel import Channel, Server
from openharness.postgres._failures import store_error
from openharness.postgres._listener import Listener
from openharness.postgres._pool import Pool
from openharness.postgres._writer import GroupWriter

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from openharness.postgres._connecting import Settings
    from openharness.postgres._driver import Row
    from openharness.postgres._listener import Told

__all__ = ("Session",)

T = TypeVar("T")


class Session(StoreSession):
    """The open connections of one store. Made inside of the event loop it belongs to.

    Args:
        settings: How it connects.
    """

    def __init__(self, settings: Settings) -> None:
        super().__init__()
        self._settings = settings
        self._server = server = Server(settings)
        self._writing = Channel(server, writes=True)
        self._reading = Pool(server, size=settings.max_connections - 1)
        self._listeners: dict[str, Listener] = {}
        self.writer = GroupWriter(self._writing, store=settings.store)

    @property
    def is_open(self) -> bool:
        """Whether there is anything to close."""
        return (
            self._writing.is_open
            or self._reading.is_open
            or any(listener.is_open for listener in self._listeners.values())
        )

    async def open(self) -> None:
        """Connect, and create the tables where needed.

        Raises:
            StoreError: It cannot be opened.
        """
        await self.begin(partial(self._reading.patiently, _nothing))

    async def fetch(self, sql: str, *arguments: object) -> list[Row]:
        """Return the rows of a query.

        Raises:
            StoreError: It failed.
        """

        async def read(channel: Channel) -> list[Row]:
            return await channel.fetch(sql, *arguments)

        return await self.read(read)

    async def read(self, work: Callable[[Channel], Awaitable[T]]) -> T:
        """Do work that only reads on a connection, and return its result; it may be done again. See `Channel.patiently`.

        Raises:
            StoreError: It failed.
        """
        return await self.begin(partial(self._reading.patiently, work))

    async def synchronous_commit(self) -> str | None:
        """Return the setting in force on the connection that writes; None where there is none.

        Raises:
            StoreError: It cannot be asked for.
        """
        if not self._writing.is_open or self.is_closing:
            return None
        rows: list[Row] = await self.writer.add(_settings, None, rows=1, size=0)
        return str(rows[0][0])

    async def listen(self, channel: str, told: Told) -> bool:
        """Listen to a channel, on a connection of its own, which comes back when it was lost.

        Args:
            channel: Its name.
            told: Called with what is said there; with None when something may have been said that nobody heard. Only
                the first one for each channel.

        Returns:
            Whether what is said from now on is heard. If not, it is tried again.
        """
        if self.is_closing:
            return False
        listener = self._listeners.get(channel)
        if listener is None:
            listener = self._listeners[channel] = Listener(self._server, channel, told)
        return await listener.ready()

    async def close_all(self) -> None:
        """Wait for what was begun and close the connections."""
        try:
            await asyncio.gather(*(listener.close() for listener in self._listeners.values()))
            await self.writer.drain()
            await self.drain()
            await self._reading.close()
            await self._writing.close()
        except asyncio.CancelledError:
            # The loop is being shut down.
            self._stop()
            raise

    def give_up(self) -> None:
        """Drop all connections, wherever this is called: the server sees them end."""
        if self.loop.is_closed():
            self._forget()
        else:
            with contextlib.suppress(RuntimeError):  # closed meanwhile
                self.loop.call_soon_threadsafe(self._stop)

    def _forget(self) -> None:
        # The driver takes leave of the server, which the transports of a closed loop cannot send any more: they tell the
        # loop, which would log it.
        handler = self.loop.get_exception_handler()
        self.loop.set_exception_handler(_keep_quiet)
        try:
            self._writing.forget()
            self._reading.forget()
            for listener in self._listeners.values():
                listener.forget()
        finally:
            self.loop.set_exception_handler(handler)

    def _stop(self) -> None:
        self._writing.stop()
        self._reading.stop()
        for listener in self._listeners.values():
            listener.stop()

    def store_error(self, error: Exception) -> Exception:
        """Return what callers are told of an error."""
        return store_error(error, store=self._settings.store)


def _keep_quiet(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    """Do not log what a loop is told."""
    del loop, context


async def _settings(channel: Channel, several: Sequence[None]) -> Sequence[list[Row]]:
    """Ask for what decides when a save returns."""
    rows = await channel.fetch("SELECT current_setting('synchronous_commit')")
    return [rows] * len(several)


async def _nothing(channel: Channel) -> None:
    """Need a connection, and do nothing with it."""
