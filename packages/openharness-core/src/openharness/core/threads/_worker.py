"""A thread that calls functions one after the other, and is waited for without blocking the event loop."""

from __future__ import annotations

import asyncio
import contextvars
import logging
import queue
import threading
from typing import TYPE_CHECKING, Any, TypeAlias, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ("Worker",)

_log = logging.getLogger("openharness")

_T = TypeVar("_T")
_Outcome: TypeAlias = "tuple[Any, BaseException | None]"
_Task: TypeAlias = "tuple[Callable[[], Any], Callable[[_Outcome], None]]"


class Worker:
    """A thread of its own: a function that never returns must keep nobody else waiting, not even the end of the program.

    The functions run in the `contextvars` of whoever made the worker. Made within an event loop, which the results go to.

    Args:
        name: What the thread is called.
    """

    def __init__(self, name: str) -> None:
        self._name = name
        self._loop = asyncio.get_running_loop()
        self._context = contextvars.copy_context()
        self._tasks: queue.SimpleQueue[_Task | None] = queue.SimpleQueue()
        threading.Thread(target=self._work, name=name, daemon=True).start()

    async def call(self, function: Callable[[], _T]) -> _T:
        """Call a function in the thread, after those before it. Who is cancelled meanwhile does not wait for it.

        Args:
            function: Called without arguments.

        Raises:
            BaseException: What the function raises.
        """
        outcome: asyncio.Future[tuple[_T, BaseException | None]] = self._loop.create_future()

        def deliver(told: tuple[_T, BaseException | None]) -> None:
            if not outcome.done():
                outcome.set_result(told)

        self._tasks.put((function, deliver))
        result, error = await outcome
        if error is not None:
            raise error
        return result

    def end(self, last: Callable[[], object] | None = None) -> None:
        """End the thread when what was called has returned. Nobody waits for that.

        Args:
            last: Called before the end; that it raises is logged.
        """
        if last is not None:
            self._tasks.put((last, self._look_at))
        self._tasks.put(None)

    def _look_at(self, told: _Outcome) -> None:
        if told[1] is not None:
            # Its words may be anything, secrets included.
            _log.warning("%s raised %s while it was closed", self._name, type(told[1]).__name__)

    def _work(self) -> None:
        while (task := self._tasks.get()) is not None:
            function, deliver = task
            told: _Outcome = (None, None)
            try:
                told = (self._context.run(function), None)
            except BaseException as error:  # noqa: BLE001 - the function may raise anything, and who waits shall get it
                told = (None, error)
            try:
                self._loop.call_soon_threadsafe(deliver, told)
            except RuntimeError:
                _log.warning("%s ended after its event loop was closed", self._name)
            # A thread that waits must hold nothing of the last task.
            del task, function, deliver, told
