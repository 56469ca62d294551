"""The connections that read: as many as there are readers at once, up to a limit."""

from __future__ import annotations

import asyncio
import random
from typing import TYPE_CHECKING, Final, TypeVar

from openharness.core import StoreBusyError
from openharness.postgres._channel import Channel, Server
from openharness.postgres._failures import is_crowded

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

__all__ = ("Pool",)

T = TypeVar("T")

_IDLE: Final = 300.0
"""Seconds after which a connection that nobody needed is closed."""
_PAUSE: Final = 0.02
"""Seconds before it is asked again whether one of the others is free, or the server has room for another."""


class Pool:
    """Channels of one server.

    Args:
        server: The server.
        size: How many there are at most.
    """

    def __init__(self, server: Server, *, size: int) -> None:
        self._server = server
        self._free = asyncio.Semaphore(size)
        # The one that was used last comes first, so that those that are not needed stay idle.
        self._idle: list[tuple[float, Channel]] = []
        self._channels: set[Channel] = set()
        self._timer: asyncio.TimerHandle | None = None
        self._closing: asyncio.Task[None] | None = None

    @property
    def is_open(self) -> bool:
        """Whether there is a connection."""
        return any(channel.is_open for channel in self._channels)

    async def patiently(self, work: Callable[[Channel], Awaitable[T]]) -> T:
        """Do work on one of the channels. See `Channel.patiently`.

        Where the server has no room for another connection, those that there are serve all, until
        `Settings.reconnect_timeout` is over.

        Raises:
            StoreBusyError: All of them were in use for too long.
        """
        settings = self._server.settings
        try:
            async with asyncio.timeout(settings.command_timeout):
                await self._free.acquire()
        except TimeoutError:
            raise StoreBusyError(
                f"all {settings.max_connections} connections were in use for {settings.command_timeout:g} s. Give a larger "
                "max_connections, or ask for less at once.",
                store=settings.store,
            ) from None
        loop = asyncio.get_running_loop()
        deadline = loop.time() + settings.reconnect_timeout
        try:
            while True:
                try:
                    return await self._work(work)
                except Exception as error:
                    if not is_crowded(error) or not self._server.was_reached or loop.time() >= deadline:
                        raise
                # Not in step with the others that wait.
                await asyncio.sleep(random.uniform(_PAUSE / 2, _PAUSE))  # noqa: S311 - no secret
        finally:
            self._free.release()

    async def _work(self, work: Callable[[Channel], Awaitable[T]]) -> T:
        channel = self._take()
        try:
            return await channel.patiently(work)
        except asyncio.CancelledError:
            # The loop is being shut down, and nobody will read what is still to come.
            channel.stop()
            self._channels.discard(channel)
            raise
        finally:
            if not channel.is_open:
                self._channels.discard(channel)
            elif channel in self._channels:
                self._idle.append((asyncio.get_running_loop().time(), channel))
                self._look_later()

    def _take(self) -> Channel:
        if self._idle:
            return self._idle.pop()[1]
        channel = Channel(self._server, writes=False)
        self._channels.add(channel)
        return channel

    def _look_later(self) -> None:
        """See to it that idle channels are closed in time, also when nobody asks for one any more."""
        if self._timer is None and self._idle:
            # No task: one that waits would be left behind by a loop that is closed.
            loop = asyncio.get_running_loop()
            self._timer = loop.call_at(max(self._idle[0][0] + _IDLE, loop.time() + _PAUSE), self._look)

    def _look(self) -> None:
        if self._closing is None or self._closing.done():
            self._closing = asyncio.get_running_loop().create_task(
                self._close_idle(), name="openharness: close connections"
            )
        self._timer = None
        self._look_later()

    async def _close_idle(self) -> None:
        oldest = asyncio.get_running_loop().time() - _IDLE
        while self._idle and self._idle[0][0] <= oldest:
            _, channel = self._idle.pop(0)
            await channel.close()
            self._channels.discard(channel)

    async def close(self) -> None:
        """Close all of them, of which none is in use."""
        self._forget_time()
        if self._closing is not None:
            await asyncio.wait((self._closing,))
        await asyncio.gather(*(channel.close() for channel in self._channels))

    def _forget_time(self) -> None:
        timer, self._timer = self._timer, None
        if timer is not None:
            timer.cancel()

    def stop(self) -> None:
        """Drop all of them, in their event loop."""
        self._forget_time()
        for channel in self._channels:
            channel.stop()

    def forget(self) -> None:
        """Drop all of them, whose event loop is closed."""
        for channel in self._channels:
            channel.forget()
