"""Whether the path still leads to the file that was opened.

SQLite goes on with a file that somebody has deleted or replaced: what is written to it then is gone when it is closed.
"""

from __future__ import annotations

import os
import sqlite3
from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ("Place",)

_Identity: TypeAlias = "tuple[int, int] | None"


class Place:
    """The file at a path, which is looked at and never opened.

    Args:
        path: The path.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file: _Identity = None

    def remember(self) -> None:
        """Keep in mind which file is there: it has just been opened."""
        self._file = self._look()

    def check(self) -> None:
        """See that it is the same file; does nothing before `remember`.

        Raises:
            sqlite3.OperationalError: It is another one, or there is none; with the code that SQLite has for this.
        """
        if self._file is not None and self._look() != self._file:
            error = sqlite3.OperationalError("attempt to use a file that was moved")
            error.sqlite_errorcode = sqlite3.SQLITE_READONLY_DBMOVED
            raise error

    def _look(self) -> _Identity:
        if os.name == "nt":
            return None  # An open file can neither be deleted nor replaced there, and looking would open it.
        try:
            found = os.stat(self._path)  # noqa: PTH116 - half the price, and it is asked for each batch
        except FileNotFoundError:
            return (0, 0)
        except OSError:
            return self._file  # What may not be looked at need not have changed.
        return (found.st_dev, found.st_ino)
