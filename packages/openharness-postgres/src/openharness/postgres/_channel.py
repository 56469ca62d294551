"""One connection, that opens itself when it is needed and comes back when it was lost.

Only the tasks of this package await a connection, never a caller's task: a caller that is cancelled leaves at once, and
its statement still ends in order.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
from typing import TYPE_CHECKING, Final, TypeVar

import asyncpg

from openharness.core import StoreClosedError
from openharness.postgres._connecting import connect, forget, new_label
from openharness.postgres._driver import transaction
from openharness.postgres._failures import is_conflict, is_crowded, is_lost
from openharness.postgres._schema import check_version, prepare

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Awaitable, Callable

    from openharness.postgres._connecting import Settings
    from openharness.postgres._driver import Connection, Row

__all__ = ("Channel", "Server")

T = TypeVar("T")

_SHORTEST_PAUSE: Final = 0.01
_LONGEST_PAUSE: Final = 0.5
_ENDING: Final = 5.0
"""Seconds that the end of a lost connection is waited for on the server, and that of one's own here."""


class Server:
    """What the connections of one store know of their server.

    Args:
        settings: How it is connected to.
    """

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.was_reached = False
        self._ready = False
        self._preparing = asyncio.Lock()

    async def open(self, label: str) -> Connection:
        """Open a connection; the first one creates the tables, or brings them forward."""
        connection = await connect(self.settings, label)
        self.was_reached = True
        try:
            async with self._preparing:
                if not self._ready:
                    settings = self.settings
                    await prepare(connection, settings.schema, settings.names, store=settings.store)
                    self._ready = True
        except BaseException:
            connection.terminate()
            raise
        return connection


class Channel:
    """A connection that opens itself, and opens itself again when it was lost.

    Args:
        server: Where to.
        writes: Whether statements of a lost connection must have ended before any of the next one begins.
    """

    def __init__(self, server: Server, *, writes: bool) -> None:
        self._server = server
        self._writes = writes
        self._connection: Connection | None = None
        self._label = new_label()
        self._lost: list[str] = []
        self._closed = False

    @property
    def is_open(self) -> bool:
        """Whether there is a connection."""
        return self._connection is not None

    async def fetch(self, sql: str, *arguments: object) -> list[Row]:
        """Run one statement and return its rows. For the work that `patiently` does, and inside `transaction`.

        Raises:
            asyncpg.PostgresError: What the server said.
        """
        return await self._current().fetch(sql, *arguments)

    @contextlib.asynccontextmanager
    async def transaction(self, *, isolation: str = "read_committed", readonly: bool = False) -> AsyncGenerator[None]:
        """Commit what is done inside, or take all of it back when it raises. A single statement does not need it.

        Args:
            isolation: ``read_committed``, ``repeatable_read`` or ``serializable``.
            readonly: Whether it only reads.
        """
        async with transaction(self._current(), isolation=isolation, readonly=readonly):
            yield

    def _current(self) -> Connection:
        if self._connection is None:
            raise asyncpg.ConnectionDoesNotExistError("there is no connection")
        return self._connection

    async def patiently(self, work: Callable[[Channel], Awaitable[T]]) -> T:
        """Do work on the open connection and return its result.

        Work that is stopped by a lost connection, or by transactions of others, is done again from its beginning, until
        `Settings.reconnect_timeout` is over; a server that was never reached is not waited for. So work must have the
        same effect once or twice: a connection may be lost just after a commit. Who writes waits as long for a server
        that takes no more connections; who reads may find another one, see `Pool`.

        Args:
            work: Gets this channel.

        Raises:
            StoreError: The tables cannot be used, or the store was closed.
            asyncpg.PostgresError: What the server said.
            OSError: The server cannot be reached.
        """
        loop = asyncio.get_running_loop()
        deadline = loop.time() + self._server.settings.reconnect_timeout
        pause = _SHORTEST_PAUSE
        while True:
            try:
                await self.open()
                return await work(self)
            except Exception as error:
                if isinstance(error, asyncpg.PostgresError) and not is_lost(error) and not is_conflict(error):
                    await self._explain()
                timed_out = isinstance(error, TimeoutError)
                if timed_out or is_lost(error) or isinstance(error, asyncpg.ReadOnlySQLTransactionError):
                    self.drop()
                if timed_out and self._lost:
                    # So that what has failed does not happen after all when its caller has gone on.
                    with contextlib.suppress(Exception):
                        await self.open()
                absent = is_lost(error) or (self._writes and is_crowded(error))
                again = is_conflict(error) or (absent and self._server.was_reached)
                if not again or loop.time() >= deadline:
                    raise
            # Not in step with the others that wait.
            await asyncio.sleep(random.uniform(pause / 2, pause))  # noqa: S311 - no secret
            pause = min(2 * pause, _LONGEST_PAUSE)

    async def _explain(self) -> None:
        """See whether a statement has failed because the tables are newer; do nothing where that cannot be known.

        Raises:
            StoreVersionError: They are.
        """
        settings = self._server.settings
        with contextlib.suppress(OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError):
            await check_version(self._current(), settings.schema, settings.names, store=settings.store)

    async def open(self) -> None:
        """Open the connection if it is not open.

        Raises:
            Exception: As `patiently`.
        """
        if self._closed:
            raise StoreClosedError("the store was closed while this was waiting; make a new one.")
        if self._connection is not None and not self._connection.is_closed():
            return
        if self._connection is not None:
            self.drop()
        connection = await self._server.open(self._label)
        try:
            await self._end_lost(connection)
        except BaseException:
            # Nothing was written through it, and nothing may be before that has succeeded.
            connection.terminate()
            raise
        self._connection = connection

    async def _end_lost(self, connection: Connection) -> None:
        """See that the statements of lost connections have ended."""
        if not self._lost:
            return
        # The server may not have noticed yet, and may still have a statement before it that was sent there. It must not be
        # executed after what is written from now on.
        rows = await connection.fetch(
            "SELECT pg_catalog.pg_terminate_backend(pid, $2::bigint) FROM pg_catalog.pg_stat_activity "
            "WHERE application_name = ANY ($1::text[]) AND pid <> pg_catalog.pg_backend_pid()",
            self._lost,
            int(_ENDING * 1000),
        )
        if not all(row[0] for row in rows):
            raise asyncpg.ConnectionDoesNotExistError("a statement of a lost connection has not ended yet")
        self._lost.clear()

    def drop(self) -> None:
        """Give up the connection, in its event loop; the next work opens another."""
        connection, self._connection = self._connection, None
        if connection is None:
            return
        connection.terminate()
        if self._writes:
            self._lost.append(self._label)
            self._label = new_label()

    async def close(self) -> None:
        """Close the connection; it is not opened again."""
        self._closed = True
        connection, self._connection = self._connection, None
        if connection is not None:
            try:
                await connection.close(timeout=_ENDING)
            except (OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError):
                connection.terminate()
            except BaseException:
                connection.terminate()
                raise

    def stop(self) -> None:
        """Drop the connection at once, in its event loop."""
        self._closed = True
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.terminate()

    def forget(self) -> None:
        """Drop the connection whose event loop is closed."""
        self._closed = True
        connection, self._connection = self._connection, None
        if connection is not None:
            forget(connection)
