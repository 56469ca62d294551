"""Whose turn it is to write to a file, among the stores of this process.

SQLite's own lock is not fair and is waited for by trying again; that is for other processes. It also keeps SQLite before
3.51.3 from what it does wrong when two connections of one process write, and copy the log, at the same moment.
"""

from __future__ import annotations

import os
import threading
import weakref
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ("Turn", "turn_of")


class Turn:
    """Held while something is written to one file."""

    def __init__(self) -> None:
        self.lock = threading.Lock()


_guard = threading.Lock()
_turns: weakref.WeakValueDictionary[str, Turn] = weakref.WeakValueDictionary()


def turn_of(path: Path) -> Turn:
    """Return the one of this file; stores that name it differently wait for each other as other processes do."""
    with _guard:
        turn = _turns.get(str(path))
        if turn is None:
            turn = _turns[str(path)] = Turn()
        return turn


def _renew() -> None:
    """A process is forked with the locks as they are, held by threads that it does not have."""
    global _guard, _turns  # noqa: PLW0603 - both live as long as the module
    _guard = threading.Lock()
    _turns = weakref.WeakValueDictionary()


if hasattr(os, "register_at_fork"):  # not on Windows
    os.register_at_fork(after_in_child=_renew)
