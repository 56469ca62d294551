"""What a store has open in one event loop: what was begun there ends in order, whoever is cancelled meanwhile."""

from __future__ import annotations

import abc
import asyncio
import os
from functools import partial
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

__all__ = ("StoreSession",)

T = TypeVar("T")


class StoreSession(abc.ABC):
    """A store's life in one event loop of one process. Made inside of that loop.

    A store says what it opens, and how that is closed.

    Attributes:
        loop: The event loop.
        process: The id of the process.
    """

    def __init__(self) -> None:
        self.loop = asyncio.get_running_loop()
        self.process = os.getpid()
        self._tasks: set[asyncio.Task[None]] = set()
        self._closing: asyncio.Task[None] | None = None

    @property
    @abc.abstractmethod
    def is_open(self) -> bool:
        """Whether there is anything to close."""

    @abc.abstractmethod
    async def open(self) -> None:
        """Open what the store needs, creating it where there is nothing.

        Raises:
            StoreError: It cannot be opened.
        """

    @abc.abstractmethod
    async def close_all(self) -> None:
        """Wait for what was begun, with `drain` among others, and close what is open.

        It is called once, in a task of its own, which is cancelled only where everything is: the event loop is being shut
        down. After that it is called again if somebody still asks for it.
        """

    @abc.abstractmethod
    def give_up(self) -> None:
        """Close what is open at once and without the event loop, which may be closed or run in another thread."""

    async def leave(self) -> None:
        """Close what is open from another event loop than its own; by default it is given up."""
        self.give_up()

    @abc.abstractmethod
    def store_error(self, error: Exception) -> Exception:
        """Return what a caller is told of an error that work has raised."""

    @property
    def is_closing(self) -> bool:
        """Whether somebody has asked for the end."""
        return self._closing is not None

    async def close(self) -> None:
        """Wait for what was begun and close what is open; every caller waits for the same closing."""
        while self._closing is None or self._closing.cancelled():
            self._closing = self.loop.create_task(self.close_all(), name="openharness: close a store")
            # A caller that is cancelled does not cancel the closing.
            await asyncio.wait((self._closing,))
        await asyncio.wait((self._closing,))
        self._closing.result()

    def begin(self, work: Callable[[], Coroutine[None, None, T]]) -> asyncio.Future[T]:
        """Do work in a task of its own, and return a future for the caller, who may be cancelled."""
        done: asyncio.Future[T] = self.loop.create_future()
        task = self.loop.create_task(self._report(work, done))
        self._tasks.add(task)
        task.add_done_callback(partial(self._ended, done))
        return done

    async def drain(self) -> None:
        """Wait until everything that was begun has ended."""
        while self._tasks:
            await asyncio.wait(tuple(self._tasks))

    async def _report(self, work: Callable[[], Coroutine[None, None, T]], done: asyncio.Future[T]) -> None:
        try:
            result = await work()
        except Exception as error:  # noqa: BLE001 - whatever it is, it belongs to the caller
            if not done.done():
                done.set_exception(self.store_error(error))
        else:
            if not done.done():
                done.set_result(result)

    def _ended(self, done: asyncio.Future[T], task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        # A task that is cancelled before its first step has run nothing of its own.
        if task.cancelled():
            done.cancel()
