"""One connection to the file: its thread, its opening, and statements that are never half awaited.

Only the tasks of this package await a connection, never a caller's task. A caller that is cancelled leaves at once and
the statement still ends in order; a loop that is shut down, which cancels every task, waits for the statement that the
thread is at, because the thread reports to the loop and the loop must still be there.
"""

from __future__ import annotations

import asyncio
import random
import sqlite3
import threading
from functools import partial
from typing import TYPE_CHECKING, Any, Final, Generic, TypeVar, cast

import aiosqlite

from openharness.core import StoreClosedError
from openharness.sqlite._failures import is_busy
from openharness.sqlite._transaction import transaction

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from openharness.sqlite._guard import Guard
    from openharness.sqlite._place import Place
    from openharness.sqlite._statement import Row, Value
    from openharness.sqlite._turns import Turn

__all__ = ("Channel", "reported")

T = TypeVar("T")

_CHUNK: Final = 64
_PAUSE: Final = 0.005


class _Opening:
    """Calls the opener on the thread of the connection, and keeps what came of it.

    An opener that fails does not tell the driver, which would end the thread without waiting for it; the driver gets
    an empty database, to be closed as any other.
    """

    def __init__(self, opener: Callable[[], sqlite3.Connection]) -> None:
        self._opener = opener
        self._thread: threading.Thread | None = None
        self._begun = threading.Event()
        self.connection: sqlite3.Connection | None = None
        self.error: Exception | None = None

    def __call__(self) -> sqlite3.Connection:
        self._thread = threading.current_thread()
        self._begun.set()
        try:
            self.connection = self._opener()
        except Exception as error:  # noqa: BLE001 - it is raised where the opening is awaited
            self.error = error
            self.connection = sqlite3.connect(":memory:", check_same_thread=False)
        return self.connection

    @property
    def is_running(self) -> bool:
        """Whether the thread of the connection has yet to end."""
        return not self._begun.is_set() or (self._thread is not None and self._thread.is_alive())

    def close(self) -> None:
        """Close what was opened."""
        if self.connection is not None:
            self.connection.close()


class Channel:
    """A connection that opens itself when it is first needed.

    Args:
        opener: Opens the connection; called on the connection's own thread.
        busy_timeout: Seconds to go on trying while another process holds the lock.
        turn: What to hold while something is written; None for a connection that only reads.
        place: Where the file is. What is done to one that is no longer there counts as failed; None for one that
            nobody can take away.
        guard: Knows whether a newer release has brought the tables forward; None where there are none.
    """

    def __init__(
        self,
        opener: Callable[[], sqlite3.Connection],
        *,
        busy_timeout: float,
        guard: Guard | None = None,
        place: Place | None = None,
        turn: Turn | None = None,
    ) -> None:
        self._opener = opener
        self._busy_timeout = busy_timeout
        self._guard = guard
        self._place = place
        self._turn = turn
        self._connection: aiosqlite.Connection | None = None
        self._raw: sqlite3.Connection | None = None
        self._opening = asyncio.Lock()
        self._hurried = False

    @property
    def is_open(self) -> bool:
        """Whether there is a connection, and with it a thread."""
        return self._connection is not None

    async def open(self) -> None:
        """Open the connection if it is not open; if that fails, the next call tries again.

        Raises:
            StoreError: What the opener raised.
        """
        if self._connection is not None:
            return
        async with self._opening:
            if self._connection is None:
                self._connection = await self._connect()

    async def _connect(self) -> aiosqlite.Connection:
        opening = _Opening(self._opener)
        connection = aiosqlite.Connection(opening, _CHUNK)
        try:
            await connection
        except asyncio.CancelledError:
            # The loop is being shut down. The thread ends by itself, but not always at once, and nobody else waits for
            # it, or closes what it has opened meanwhile.
            while opening.is_running:  # noqa: ASYNC110 - a thread has no loop to set an event in
                await asyncio.sleep(_PAUSE)
            opening.close()
            raise
        if opening.error is not None:
            await reported(_stop(connection))
            raise opening.error
        self._raw = opening.connection
        return connection

    @property
    def unless_newer(self) -> str:
        """The condition that a statement must make its own that writes without `write`. See `Schema.unless_newer`."""
        return "true" if self._guard is None else self._guard.unless_newer

    async def run(self, sql: str, parameters: Sequence[Value] = ()) -> list[Row]:
        """Run one statement to its end and return its rows. Never call it from a task that is not our own.

        Raises:
            sqlite3.Error: What SQLite said; "busy" only after the busy timeout.
        """
        return await self._patiently(partial(_fetch_all, sql, parameters))

    async def call(self, function: Callable[[sqlite3.Connection], T]) -> T:
        """Call a function on the thread of the connection and return its result; no task of anybody's but ours may.

        Args:
            function: Gets the connection, in no transaction, and must leave it in none. It is called again when it was
                stopped by a lock, and not when it has returned.

        Raises:
            sqlite3.Error: What SQLite said; "busy" only after the busy timeout.
        """
        return await self._patiently(_Once(function))

    async def write(self, function: Callable[[sqlite3.Connection], T]) -> T:
        """Call a function as `call` does, inside of a transaction that writes, and return its result.

        Raises:
            StoreVersionError: A newer release has brought the tables forward; what the function did was taken back.
            sqlite3.Error: What SQLite said; "busy" only after the busy timeout.
        """
        return await self.call(partial(self._in_transaction, function))

    def _in_transaction(self, function: Callable[[sqlite3.Connection], T], connection: sqlite3.Connection) -> T:
        with transaction(connection) if self._guard is None else self._guard.transaction(connection):
            return function(connection)

    async def _patiently(self, work: Callable[[sqlite3.Connection], T]) -> T:
        loop = asyncio.get_running_loop()
        deadline = loop.time() + self._busy_timeout
        while True:
            try:
                return await self._settled(work)
            except Exception as error:
                if not is_busy(error) or self._hurried or loop.time() >= deadline:
                    raise
            try:
                # Not all at once, and not in step with the others that wait.
                await asyncio.sleep(random.uniform(0.0, 0.02))  # noqa: S311 - no secret
            except asyncio.CancelledError:
                self._hurried = True

    async def _settled(self, work: Callable[[sqlite3.Connection], T]) -> T:
        while True:
            connection, raw = self._connection, self._raw
            if connection is None or raw is None:
                raise StoreClosedError("the store was closed while this was waiting; make a new one.")
            try:
                return await _execute(connection, partial(self._in_turn, work, raw))
            except asyncio.CancelledError:
                # The loop is being shut down; the work goes on in the thread. All of ours has the same effect once or
                # twice, so asking again tells when the thread is done, and how it ended.
                self._hurried = True

    def _in_turn(self, work: Callable[[sqlite3.Connection], T], connection: sqlite3.Connection) -> T:
        try:
            if self._turn is None:
                result = work(connection)
                if self._guard is not None:
                    self._guard.check_what_was_done(connection)
            else:
                # Beforehand, since the log of a file that was replaced would be taken for that of the new one.
                self._look()
                with self._turn.lock:
                    result = work(connection)
        except Exception as error:
            # A table that is no longer there, or a row that seems damaged, may be one of a newer version.
            if self._guard is not None and not is_busy(error):
                self._guard.explain(connection)
            raise
        # And afterwards: what was written to a file that is gone must not be acknowledged.
        self._look()
        return result

    def _look(self) -> None:
        if self._place is not None:
            self._place.check()

    async def close(self) -> None:
        """Let the thread finish what it has, close the connection and end the thread."""
        async with self._opening:
            connection, self._connection, self._raw = self._connection, None, None
            if connection is not None:
                await reported(_stop(connection))

    def interrupt(self) -> None:
        """Make a statement that takes long end at once, with an error."""
        if self._raw is not None:
            self._raw.interrupt()

    def stop(self) -> asyncio.Future[object] | None:
        """Close the connection from outside of its event loop, or from none.

        The thread finishes what it has, closes the connection and ends by itself.

        Returns:
            When that has happened, if there is a running loop to wait in.
        """
        connection, self._connection, self._raw = self._connection, None, None
        return None if connection is None else _stop(connection)


async def reported(*stopped: asyncio.Future[object] | None) -> None:
    """Wait until threads have reported their end, also where the task that waits is cancelled meanwhile, even twice.

    The driver's own closing leaves at a cancellation, and the thread then reports to a loop that may be gone.

    Args:
        stopped: What `Channel.stop` returned for each.

    Raises:
        asyncio.CancelledError: The task was cancelled; the threads have ended all the same.
        sqlite3.Error: A connection could not be closed.
    """
    ends = {future for future in stopped if future is not None}
    cancelled: asyncio.CancelledError | None = None
    while not all(future.done() for future in ends):
        try:
            await asyncio.wait(ends)
        except asyncio.CancelledError as error:
            cancelled = error
    if cancelled is not None:
        raise cancelled
    for future in ends:
        future.result()


def _stop(connection: aiosqlite.Connection) -> asyncio.Future[object] | None:
    return cast("asyncio.Future[object] | None", connection.stop())  # pyright: ignore[reportUnknownMemberType]


def _execute(connection: aiosqlite.Connection, work: Callable[[], T]) -> Awaitable[T]:
    # The driver's own methods are made of this one; none of those that are public takes a function.
    execute: Callable[[Callable[[], T]], Awaitable[T]] = cast("Any", connection)._execute  # noqa: SLF001
    return execute(work)


def _fetch_all(sql: str, parameters: Sequence[Value], connection: sqlite3.Connection) -> list[Row]:
    return connection.execute(sql, parameters).fetchall()


class _Once(Generic[T]):
    """Remembers what a function returned, so that asking for it again does not do it again."""

    def __init__(self, function: Callable[[sqlite3.Connection], T]) -> None:
        self._function = function
        self._results: list[T] = []

    def __call__(self, connection: sqlite3.Connection) -> T:
        if not self._results:
            self._results.append(self._function(connection))
        return self._results[0]
