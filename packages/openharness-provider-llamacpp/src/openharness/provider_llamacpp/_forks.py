"""Which process the models live in, and what becomes of the processes that are forked from it."""

from __future__ import annotations

import contextlib
import ctypes
import os

from openharness.core import ProviderError

__all__ = ("check_process", "is_forked", "remember_process")

_process: int | None = None


def remember_process() -> None:
    """Note that models live in this process from now on."""
    global _process  # noqa: PLW0603 - llama.cpp keeps threads for the whole process, whatever the number of models
    if _process is None:
        _process = os.getpid()
        if hasattr(os, "register_at_fork"):
            os.register_at_fork(after_in_child=_end_without_destructors)


def is_forked() -> bool:
    """Tell whether this process was forked from the one the models live in."""
    return _process is not None and _process != os.getpid()


def check_process() -> None:
    """Refuse to go on in a forked process.

    Raises:
        ProviderError: Models live in the process this one was forked from.
    """
    if is_forked():
        raise ProviderError(
            f"A model was loaded in process {_process} before it was forked into this one, which cannot run models: "
            "llama.cpp's threads stayed there. Start processes with the method 'spawn' or 'forkserver', or fork before "
            "the first request.",
            kind="forked",
        )


def _end_without_destructors() -> None:
    # At the end of a process llama.cpp joins a thread of its own, which a forked process does not have: it would hang.
    # Functions given to on_exit are called before that, and with the exit status: _exit needs nothing else. Where
    # there is no on_exit (macOS), a process forked from one with threads is not safe to begin with.
    library = ctypes.CDLL(None)
    with contextlib.suppress(AttributeError):
        library.on_exit(library["_exit"], None)
