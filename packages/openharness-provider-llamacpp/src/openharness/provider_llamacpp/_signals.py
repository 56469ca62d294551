"""Keeps the process's own reaction to Ctrl+C while a library replaces it."""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Generator

__all__ = ("kept_signal_handlers",)

# More than `struct sigaction` takes anywhere; what is in it does not matter here.
_LARGE_ENOUGH = 512


@contextlib.contextmanager
def kept_signal_handlers() -> Generator[None, None, None]:
    """Put SIGINT and SIGTERM back afterwards as they were.

    The releases of xllamacpp for macOS on Intel install handlers of llama.cpp's server when a model is loaded, after
    which Ctrl+C ends the model's loop rather than raising KeyboardInterrupt. `signal.signal` cannot put them right: it
    works in the main thread alone, and models are loaded in another one.
    """
    if os.name != "posix":
        yield
        return
    library = ctypes.CDLL(None)
    saved: dict[int, ctypes.Array[ctypes.c_char]] = {}
    for number in map(int, (signal.SIGINT, signal.SIGTERM)):
        action = ctypes.create_string_buffer(_LARGE_ENOUGH)
        if library.sigaction(number, None, action) == 0:
            saved[number] = action
    try:
        yield
    finally:
        for number, action in saved.items():
            library.sigaction(number, action, None)
