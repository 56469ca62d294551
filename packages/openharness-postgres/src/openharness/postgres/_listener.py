"""The connection that is told what others say (LISTEN and NOTIFY).

It comes back when it was lost, and is closed when nobody wants to be told any more.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from typing import TYPE_CHECKING, Final, TypeAlias

from openharness.postgres._connecting import forget, new_label

if TYPE_CHECKING:
    from openharness.postgres._channel import Server
    from openharness.postgres._driver import Connection

__all__ = ("Listener", "Told")

Told: TypeAlias = Callable[[str | None], None]
"""Called with what was said; with None when something may have been said that nobody heard."""

_SHORTEST_PAUSE: Final = 0.05
_LONGEST_PAUSE: Final = 30.0
"""On a standby, for one, nobody can listen; that need not be tried often."""
_PATIENCE: Final = 0.5
"""Seconds for which the first one who asks waits for the connection."""
_QUIET: Final = 30.0
"""Seconds without a word after which the connection is tried."""
_WANTED: Final = 60.0
"""Seconds for which it is kept for who has asked."""


class Listener:
    """Listens to one channel. Made inside of the event loop it belongs to.

    Args:
        server: Where to.
        channel: The name of the channel.
        told: Called with what is said there.
    """

    def __init__(self, server: Server, channel: str, told: Told) -> None:
        self._server = server
        self._channel = channel
        self._told = told
        self._label = new_label()
        self._connection: Connection | None = None
        self._task: asyncio.Task[None] | None = None
        self._tried = asyncio.Event()
        self._asked = 0.0
        self._closed = False
        self.is_listening = False

    @property
    def is_open(self) -> bool:
        """Whether there is a connection."""
        return self._connection is not None

    async def ready(self) -> bool:
        """Begin to listen, if nothing does yet, and tell whether what is said from now on is heard.

        Who goes on waiting asks again and again; a minute or two after the last time, the connection is given up.
        """
        self._asked = asyncio.get_running_loop().time()
        if not self._closed and (self._task is None or self._task.done()):
            self._tried.clear()
            self._task = asyncio.create_task(self._listen(), name="openharness: listen")
            # A server, or a pooler before it, may leave a connection without an answer; who waits asks meanwhile.
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_PATIENCE):
                    await self._tried.wait()
        return self.is_listening

    async def _listen(self) -> None:
        pause = _SHORTEST_PAUSE
        try:
            while self._is_wanted:
                with contextlib.suppress(Exception):  # who waits asks, and is told there what is wrong
                    await self._listen_once()
                # One that was heard through does not make the next one wait.
                pause = _SHORTEST_PAUSE if self.is_listening else min(2 * pause, _LONGEST_PAUSE)
                self._drop()
                await asyncio.sleep(pause)
        finally:
            self._drop()

    @property
    def _is_wanted(self) -> bool:
        return not self._closed and asyncio.get_running_loop().time() - self._asked < _WANTED

    async def _listen_once(self) -> None:
        """Listen until the connection is lost, or nobody wants to be told."""
        ended = asyncio.Event()
        connection = self._connection = await self._server.open(self._label)
        connection.add_termination_listener(lambda _: ended.set())
        await connection.add_listener(self._channel, self._hear)
        self.is_listening = True
        self._tried.set()
        # What was said before is not known.
        self._told(None)
        while not ended.is_set() and self._is_wanted:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_QUIET):
                    await ended.wait()
            if not ended.is_set():
                await connection.fetch("SELECT 1")

    def _hear(self, connection: object, process: int, channel: str, payload: object) -> None:
        del connection, process, channel
        self._told(str(payload))

    def _drop(self) -> None:
        self.is_listening = False
        self._tried.set()
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.terminate()

    async def close(self) -> None:
        """Close the connection; it is not opened again."""
        self.stop()
        if self._task is not None:
            await asyncio.wait((self._task,))

    def stop(self) -> None:
        """Drop the connection at once, in its event loop."""
        self._closed = True
        if self._task is not None:
            self._task.cancel()
        self._drop()

    def forget(self) -> None:
        """Drop the connection whose event loop is closed."""
        self._closed = True
        connection, self._connection = self._connection, None
        if connection is not None:
            forget(connection)
