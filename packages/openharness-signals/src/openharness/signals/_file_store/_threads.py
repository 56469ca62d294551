"""Blocking work off the event loop: in order where it must be, and never left half awaited."""

from __future__ import annotations

import asyncio
import contextvars
from typing import TYPE_CHECKING, Any, TypeVar
from weakref import WeakKeyDictionary

import attrs

from openharness.core.errors import StoreClosedError

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ("Worker",)

T = TypeVar("T")


@attrs.define(eq=False)
class _Queue:
    """The units of work of one key, on one event loop."""

    lock: asyncio.Lock = attrs.field(factory=asyncio.Lock)
    users: int = 0


@attrs.define(eq=False)
class _OnLoop:
    """What belongs to one event loop: neither locks nor futures can be shared between two."""

    queues: dict[str, _Queue] = attrs.field(factory=dict[str, _Queue])
    running: set[asyncio.Future[Any]] = attrs.field(factory=set["asyncio.Future[Any]"])


class Worker:
    """Runs functions in threads of the running event loop, those of one key one after the other.

    A function that has begun is awaited to its end, also by a task that is cancelled meanwhile: nothing it does happens
    after its caller went on. One that has not begun when its task is cancelled never will. The threads are the event
    loop's own: they end with it, and keep no interpreter from ending.

    Args:
        store: The store as it names itself, for errors.
    """

    def __init__(self, store: str) -> None:
        self._store = store
        self._loops: WeakKeyDictionary[asyncio.AbstractEventLoop, _OnLoop] = WeakKeyDictionary()
        self._closed = False

    async def run(self, work: Callable[[], T], *, key: str | None = None) -> T:
        """Run a function in a thread and return what it returns.

        Args:
            work: The function.
            key: Functions of the same key run in the order in which they were given; without one, at any time.

        Raises:
            StoreClosedError: The worker was closed.
        """
        self.check_open()
        here = self._loops.setdefault(asyncio.get_running_loop(), _OnLoop())
        if key is None:
            return await _finish(here, work)
        queue = here.queues.setdefault(key, _Queue())
        queue.users += 1
        try:
            async with queue.lock:
                self.check_open()
                return await _finish(here, work)
        finally:
            queue.users -= 1
            if queue.users == 0:
                del here.queues[key]

    async def close(self) -> None:
        """Wait for what has begun; what has not is refused. Closing twice, or at once, is no error."""
        self._closed = True
        here = self._loops.setdefault(asyncio.get_running_loop(), _OnLoop())
        while here.running:
            await asyncio.wait(here.running)

    def check_open(self) -> None:
        """Refuse to work once closed.

        Raises:
            StoreClosedError: The worker was closed.
        """
        if self._closed:
            raise StoreClosedError("the store was closed; make a new one.", store=self._store)


async def _finish(here: _OnLoop, work: Callable[[], T]) -> T:
    context = contextvars.copy_context()
    # A future and not a task: when a program ends, asyncio cancels every task it finds.
    future = asyncio.get_running_loop().run_in_executor(None, context.run, work)
    here.running.add(future)
    future.add_done_callback(here.running.discard)
    cancelled: asyncio.CancelledError | None = None
    while not future.done():
        try:
            await asyncio.wait([future])
        except asyncio.CancelledError as error:
            cancelled = error
    if cancelled is not None:
        future.exception()  # Looked at, so that nobody reports it as forgotten.
        raise cancelled
    return future.result()
