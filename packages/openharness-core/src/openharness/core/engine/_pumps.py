"""The tasks of a run that wait for the outside, and how they are stopped."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING

from openharness.core.engine._redacting import log_failure

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

    from openharness.core.redaction import Redactor

__all__ = ("Pumps",)

_log = logging.getLogger("openharness")


class Pumps:
    """Tasks that put what comes from outside on the queue of a run.

    Args:
        redactor: Keeps secrets out of what is logged.

    Attributes:
        stopped: Whether they were told to stop.
    """

    def __init__(self, redactor: Redactor) -> None:
        self._redactor = redactor
        self._tasks: set[asyncio.Task[None]] = set()
        self._cancelled_at = 0.0
        self.stopped = False

    @property
    def busy(self) -> bool:
        """Whether any of them has not ended."""
        return bool(self._tasks)

    def start(self, work: Coroutine[None, None, None], name: str, *, lost: Callable[[str], None]) -> None:
        """Begin a task.

        Args:
            work: What it does.
            name: What it is called in log lines.
            lost: Called with the reason when nothing of the work will arrive any more, though it was not stopped: the
                run must hear of it, which would wait for it for ever.
        """
        task = asyncio.get_running_loop().create_task(work, name=f"openharness {name}")
        self._tasks.add(task)
        task.add_done_callback(lambda ended: self._ended(ended, lost))

    def _ended(self, task: asyncio.Task[None], lost: Callable[[str], None]) -> None:
        self._tasks.discard(task)
        if task.cancelled():
            if not self.stopped:
                lost("the task of the call was cancelled, and not by the run")  # As users' code can.
            return
        error = task.exception()
        if isinstance(error, Exception) and not self.stopped:
            lost(f"what became of the call cannot be told ({type(error).__name__})")
        if error is not None:
            told = (
                "%s failed to tell what became of it"
                if isinstance(error, Exception)
                else "%s raised what is no Exception"
            )
            log_failure(self._redactor, told, task.get_name(), error=error, level=logging.ERROR)

    def is_cancelled(self) -> bool:
        """Tell whether it was this task that was cancelled, and not something that it waited for."""
        task = asyncio.current_task()
        return self.stopped or (task is not None and task.cancelling() > 0)

    def cancel(self) -> None:
        """Cancel everything, without waiting for it."""
        if not self.stopped:
            self._cancelled_at = asyncio.get_running_loop().time()
        self.stopped = True
        for task in self._tasks:
            task.cancel()

    async def stop(self, timeout: float) -> None:
        """Wait until what was cancelled has given back what it holds, at most ``timeout`` seconds."""
        tasks = set(self._tasks)
        if not tasks:
            return
        _, pending = await asyncio.wait(tasks, timeout=timeout)
        waited = asyncio.get_running_loop().time() - self._cancelled_at
        for task in pending:
            _log.warning("%s did not stop within %.3g s of being cancelled", task.get_name(), waited)
