"""An event loop whose time passes only when there is nothing else to do, so that an hour of waiting takes no time.

It also makes a test independent of the machine: a timer of a millisecond waits until all that can happen has happened,
however slow that is. A test has this loop with ``pytest.mark.virtual_time``, which ``conftest.py`` reads. Threads, which
take real time, have no place in such a test.
"""

from __future__ import annotations

import asyncio
import selectors
import threading
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from collections.abc import Coroutine

T = TypeVar("T")


class _Advancing(selectors.DefaultSelector):
    """Lets the time pass that it is asked to wait for."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 1000.0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        """Return what is ready; where nothing is, it is later afterwards."""
        ready = super().select(0)
        if not ready:
            if timeout is None:
                raise AssertionError("everything waits, and nothing will ever happen")
            self.now += max(timeout, 0)
        return ready


class VirtualTimeLoop(asyncio.SelectorEventLoop):
    """An event loop in which time is a number."""

    def __init__(self) -> None:
        self._selector_of_time = _Advancing()
        self._thread_of_time = threading.get_ident()
        super().__init__(self._selector_of_time)

    def time(self) -> float:
        """Return the virtual time in seconds."""
        return self._selector_of_time.now

    def compute(self, seconds: float) -> None:
        """Let time pass as in a function that computes for so long, and lets nobody else work."""
        self._selector_of_time.now += seconds

    def call_soon_threadsafe(self, *args: Any, **options: Any) -> asyncio.Handle:
        """Refuse what comes from a thread: the time may have gone on without it, or not."""
        if threading.get_ident() != self._thread_of_time:
            raise RuntimeError("a thread takes real time: this test must not be marked with virtual_time")
        return super().call_soon_threadsafe(*args, **options)


def now() -> float:
    """The time of the running event loop."""
    return asyncio.get_running_loop().time()


def run_virtual(main: Coroutine[Any, Any, T]) -> T:
    """Run to the end in virtual time."""
    with asyncio.Runner(loop_factory=VirtualTimeLoop) as runner:
        return runner.run(main)
