"""Stores that nobody closed must not keep the interpreter from ending.

The thread of a connection is not a daemon, so at its end the interpreter waits for it, for ever if nobody tells it to
stop. ``atexit`` is too late, as it runs after that wait. What comes first is the end of the main thread: one daemon
thread waits for it, and then stops every connection whose event loop no longer runs.
"""

from __future__ import annotations

import os
import threading
import time
import weakref
from typing import Final, Protocol

__all__ = ("Stoppable", "stop_at_exit", "stop_now")

_PAUSE: Final = 0.02


class Stoppable(Protocol):
    """What holds threads that would keep the process alive."""

    def in_use(self) -> bool:
        """Tell whether somebody may still be working with it after the main thread has ended."""
        ...

    def stop(self) -> object:
        """Let the threads end. Called on another thread."""
        ...


_lock = threading.Lock()
_watched: weakref.WeakSet[Stoppable] = weakref.WeakSet()
_watching_process: int | None = None


def stop_at_exit(stoppable: Stoppable) -> None:
    """Stop it when the main thread has ended and it is no longer in use. Only a weak reference is kept."""
    global _watching_process  # noqa: PLW0603 - one thread a process, and a forked child has none
    with _lock:
        _watched.add(stoppable)
        if _watching_process != os.getpid():
            _watching_process = os.getpid()
            threading.Thread(target=_watch, name="openharness: stop stores at exit", daemon=True).start()


def stop_now(stoppable: Stoppable) -> None:
    """Stop it on a thread of its own.

    Stopped inside of an event loop, its threads would report to that loop, which may be gone by then.
    """
    if threading.main_thread().is_alive():
        threading.Thread(target=stoppable.stop, name="openharness: stop a store", daemon=True).start()
    else:
        # The interpreter is ending: no thread can be started any more, and no event loop of this thread runs.
        stoppable.stop()


def _watch() -> None:
    threading.main_thread().join()
    while True:
        with _lock:
            left = list(_watched)
        for stoppable in left:
            if not stoppable.in_use():
                stoppable.stop()
                with _lock:
                    _watched.discard(stoppable)
        # A thread of the user's may run an event loop for longer than the main thread lives.
        del left
        time.sleep(_PAUSE)


def _renew() -> None:
    """A process is forked with the lock as it is, and with connections that only its parent may use."""
    global _lock, _watched  # noqa: PLW0603 - both live as long as the module
    _lock = threading.Lock()
    _watched = weakref.WeakSet()


if hasattr(os, "register_at_fork"):  # not on Windows
    os.register_at_fork(after_in_child=_renew)
