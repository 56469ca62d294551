"""Lets requests begin one after the other: so many at once, so many a minute, first come first served."""

from __future__ import annotations

import asyncio
import threading
import time
from collections import deque
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ("WINDOW", "Admission")

WINDOW: Final = 60.0
"""Seconds of the window that starts are counted in."""


class Admission:
    """A queue of those who want to begin, in any number of event loops and threads.

    Whoever is first in the queue looks for itself whether it may begin, and begins without waiting once more. So what
    is counted as a start is one, and nobody has to give back what it was given and could not use.

    Args:
        max_concurrency: How many may have begun and not ended; None means any number.
        requests_per_minute: How many may begin within any `WINDOW`; None means any number.
        clock: Seconds that never go back.
    """

    def __init__(
        self,
        *,
        max_concurrency: int | None,
        requests_per_minute: int | None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._most = max_concurrency
        self._clock = clock
        self._lock = threading.Lock()
        self._queue: deque[_Waiter] = deque()
        self._running: dict[asyncio.AbstractEventLoop, int] = {}
        # The last starts, as many as there may be in a window: the oldest of them says when there may be another.
        self._starts: deque[float] | None = None
        if requests_per_minute is not None:
            self._starts = deque(maxlen=requests_per_minute)
        self._closed_until = float("-inf")

    async def enter(self) -> asyncio.AbstractEventLoop:
        """Wait until it is this caller's turn, and count it as begun; return what `leave` is given."""
        loop = asyncio.get_running_loop()
        waiter = _Waiter(loop)
        with self._lock:
            self._forget_closed()
            self._queue.append(waiter)
        try:
            while True:
                with self._lock:
                    woken = waiter.prepare()
                    seconds = self._seconds_until(waiter)
                    if seconds == 0.0:
                        self._begin(waiter)
                        return loop
                timer = None if seconds is None else loop.call_later(seconds, _set, woken)
                try:
                    await woken
                finally:
                    if timer is not None:
                        timer.cancel()
        except BaseException:
            with self._lock:
                if waiter in self._queue:
                    self._queue.remove(waiter)
                self._wake_first()
            raise

    def leave(self, loop: asyncio.AbstractEventLoop) -> None:
        """Count one as ended that has begun."""
        with self._lock:
            left = self._running.get(loop, 0) - 1
            if left > 0:
                self._running[loop] = left
            else:
                self._running.pop(loop, None)
            self._wake_first()

    def close_for(self, seconds: float) -> None:
        """Let nobody begin for some time from now on."""
        with self._lock:
            self._closed_until = max(self._closed_until, self._clock() + seconds)

    def _seconds_until(self, waiter: _Waiter) -> float | None:
        """Return how long to wait: 0.0 for not at all, None for until somebody wakes the waiter."""
        if self._queue[0] is not waiter or (self._most is not None and sum(self._running.values()) >= self._most):
            return None
        now = self._clock()
        at = self._closed_until
        if self._starts is not None and len(self._starts) == self._starts.maxlen:
            at = max(at, self._starts[0] + WINDOW)
        return max(0.0, at - now)

    def _begin(self, waiter: _Waiter) -> None:
        self._queue.popleft()
        self._running[waiter.loop] = self._running.get(waiter.loop, 0) + 1
        if self._starts is not None:
            self._starts.append(self._clock())
        self._wake_first()

    def _wake_first(self) -> None:
        """Let the first in the queue look whether it may begin."""
        while self._queue and not self._queue[0].wake():
            self._queue.popleft()

    def _forget_closed(self) -> None:
        """Forget what was waiting and running in event loops that are closed: it will never say that it has ended."""
        for loop in [loop for loop in self._running if loop.is_closed()]:
            del self._running[loop]
            self._wake_first()
        if self._queue and self._queue[0].loop.is_closed():
            self._wake_first()


class _Waiter:
    """One who wants to begin."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.loop = loop
        self._woken: asyncio.Future[None] = loop.create_future()

    def prepare(self) -> asyncio.Future[None]:
        """Return what is done once the waiter is woken from now on."""
        if self._woken.done():
            self._woken = self.loop.create_future()
        return self._woken

    def wake(self) -> bool:
        """Wake the waiter, in whichever thread it waits; return False where it waits no more."""
        try:
            self.loop.call_soon_threadsafe(_set, self._woken)
        except RuntimeError:  # the event loop is closed
            return False
        return True


def _set(woken: asyncio.Future[None]) -> None:
    if not woken.done():
        woken.set_result(None)
