"""Seeing a run to its end, also when its task is cancelled."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Final, TypeVar

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Coroutine

__all__ = ("NotStoppedError", "WorkCancelledError", "reason_of", "supervise", "within")

T = TypeVar("T")

_LAST_SECONDS: Final = 1.0


class NotStoppedError(Exception):
    """A run was told to stop, or a store to end it, and did not in time. Not a `TimeoutError`: stores raise that themselves."""


class WorkCancelledError(Exception):
    """A run was cancelled, and not by who waits for it: by a function of its own, or by who cancels all tasks."""


async def supervise(
    work: Coroutine[None, None, T],
    *,
    stopped: asyncio.Future[None],
    on_cancel: Callable[[], None],
    shutdown_timeout: float,
) -> T:
    """Run ``work`` in a task of its own and return what it returns.

    Once the run is to stop (because ``stopped`` is done, or this task was cancelled), the work has
    ``shutdown_timeout`` seconds to end by itself, however often the task is cancelled meanwhile; then it is cancelled.

    Args:
        work: The run.
        stopped: Done when the run was told to stop.
        on_cancel: Tells the run that it was cancelled.
        shutdown_timeout: Seconds.

    Raises:
        CancelledError: This task was cancelled. It is never swallowed.
        NotStoppedError: The run was told to stop and did not in time.
        WorkCancelledError: The work was cancelled, and nobody had told it to stop.
    """
    loop = asyncio.get_running_loop()
    task = loop.create_task(work, name="openharness run")
    cancelled = False
    deadline: float | None = None
    while not task.done():
        try:
            if deadline is None:
                waited: set[asyncio.Future[Any]] = {task, stopped}
                await asyncio.wait(waited, return_when=asyncio.FIRST_COMPLETED)
            else:
                await asyncio.wait({task}, timeout=deadline - loop.time())
        except asyncio.CancelledError:
            if not cancelled:
                cancelled = True
                on_cancel()
        if deadline is None and (cancelled or stopped.done()):
            deadline = loop.time() + shutdown_timeout
        elif deadline is not None and loop.time() >= deadline and not task.done():
            task.cancel()
            # A second for what it holds: providers are stopped in there.
            try:
                await asyncio.wait({task}, timeout=_LAST_SECONDS)
            except asyncio.CancelledError:
                cancelled = True
            break
    if cancelled:
        task.add_done_callback(_retrieve)
        raise asyncio.CancelledError
    if not task.done() or task.cancelled():
        task.add_done_callback(_retrieve)
        message = f"the run did not stop within {shutdown_timeout:g} s"
        # Not a CancelledError: who waits for the run was not cancelled, and would be taken for having been.
        raise WorkCancelledError if deadline is None else NotStoppedError(message)
    return task.result()


async def within(work: Awaitable[T], seconds: float, who: str) -> T:
    """Return what ``work`` returns, which is waited for so long at most, also where it does not heed a cancellation.

    Args:
        work: What is to be done.
        seconds: How long it may take; then it is cancelled. What is done at once is done also where nothing is left.
        who: Who is to answer, for the error.

    Raises:
        NotStoppedError: It took longer.
        CancelledError: This task was cancelled, and so is the work; or something that the work waited for was.
    """
    task = asyncio.ensure_future(work)
    try:
        await asyncio.wait({task}, timeout=seconds)
    except asyncio.CancelledError:
        task.cancel()
        raise
    if not task.done():
        task.cancel()
        task.add_done_callback(_retrieve)
        message = f"{who} did not answer within {seconds:.3g} s"
        raise NotStoppedError(message)
    return task.result()


def reason_of(error: BaseException) -> str:
    """Return why something that a run waited for has failed.

    A cancellation that is not the run's, such as that of a store's connection, is a failure like any other.

    Raises:
        CancelledError: The task of the run itself was cancelled.
    """
    if not isinstance(error, asyncio.CancelledError):
        return str(error)
    task = asyncio.current_task()
    if task is None or task.cancelling() > 0:
        raise error
    return "what it waited for was cancelled"


def _retrieve(task: asyncio.Future[Any]) -> None:
    """Look at the outcome, so that nobody is told of an exception that was never retrieved."""
    if not task.cancelled():
        task.exception()
