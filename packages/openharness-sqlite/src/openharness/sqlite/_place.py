"""Whether the path still leads to the file that was opened.

SQLite goes on with a file that somebody has deleted or replaced: what is written to it then is gone when it is closed.
"""

from __future__ import annotations

import os
import sqlite3
from typing import TYPE_CHECKING, Final, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

__all__ = ("Place",)

_Identity: TypeAlias = "tuple[int, int] | None"
_NOTHING: Final = (0, 0)


class Place:
    """The file at a path, which is looked at and never opened.

    Args:
        path: The path.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file: _Identity = None

    def open(self, opener: Callable[[], sqlite3.Connection]) -> sqlite3.Connection:
        """Open the file, and keep in mind which one it is.

        Raises:
            sqlite3.OperationalError: It was replaced meanwhile, so that nobody knows which one was opened.
        """
        self._file = None
        before = self._look()
        connection = opener()
        self._file = self._look() if before == _NOTHING else before
        try:
            self.check()
        except sqlite3.OperationalError:
            connection.close()
            raise
        return connection

    def check(self) -> None:
        """See that it is the same file; does nothing before `open`.

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
        except (FileNotFoundError, NotADirectoryError):
            return _NOTHING
        except OSError:
            return self._file  # What may not be looked at need not have changed.
        return (found.st_dev, found.st_ino)
