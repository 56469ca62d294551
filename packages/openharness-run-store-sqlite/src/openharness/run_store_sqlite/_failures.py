"""What SQLite says, in the words of the stores: one error class for each thing a caller can do about it."""

from __future__ import annotations

import sqlite3
from typing import Final

from openharness.core import (
    StoreBusyError,
    StoreCorruptError,
    StoreError,
    StoreFullError,
    StoreOpenError,
    StoreReadOnlyError,
)

__all__ = ("concerns_one_row", "is_busy", "store_error")

_BUSY: Final = frozenset({sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED})
_CORRUPT: Final = frozenset({sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_FORMAT})
_REFUSED: Final = frozenset({sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_PERM, sqlite3.SQLITE_AUTH})
# A quota, a limit on the size of files and some full disks are reported as a failed write.
_FULL: Final = frozenset({sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR_WRITE})
_CUT_OFF: Final = frozenset({sqlite3.SQLITE_IOERR_SHORT_READ, sqlite3.SQLITE_IOERR_CORRUPTFS})
# The file was replaced or deleted while it was open, which has nothing to do with permissions.
_MOVED: Final = sqlite3.SQLITE_READONLY_DBMOVED


def is_busy(error: BaseException) -> bool:
    """Tell whether another connection held the lock, so that the same statement may work a moment later."""
    return isinstance(error, sqlite3.Error) and _primary(_code(error)) in _BUSY


def concerns_one_row(error: BaseException) -> bool:
    """Tell whether a statement over several rows may have failed for one of them, or for their number."""
    if not isinstance(error, sqlite3.Error):
        return True
    code = _code(error)
    if code in _FULL or _primary(code) in _FULL:
        return True
    return _primary(code) in {-1, sqlite3.SQLITE_TOOBIG, sqlite3.SQLITE_CONSTRAINT, sqlite3.SQLITE_MISMATCH}


def store_error(error: BaseException, *, store: str) -> StoreError:
    """Return the error a caller gets; each call makes a new one, as each caller raises its own.

    Args:
        error: What the driver raised.
        store: What the store calls itself.
    """
    if isinstance(error, StoreError):
        return error
    code = _code(error)
    primary = _primary(code)
    said = f"SQLite says: {error}" if isinstance(error, sqlite3.Error) else f"the driver says: {error!r}"
    if primary in _BUSY:
        return StoreBusyError(
            "another process held the lock of the file for longer than busy_timeout. Nothing was written; try again, "
            f"or give a longer busy_timeout ({said}).",
            store=store,
        )
    if code in _FULL or primary in _FULL:
        return StoreFullError(
            "nothing more can be written: the disk, a quota or a limit on the size of files is full. What was saved "
            f"before is safe. Free some room and try again ({said}).",
            store=store,
        )
    if code == _MOVED:
        return StoreOpenError(f"the file was moved or deleted while it was open ({said}).", store=store)
    if primary == sqlite3.SQLITE_READONLY:
        return StoreReadOnlyError(
            "the file or its folder may only be read, and SQLite needs to write both (beside the file it keeps "
            f"-wal and -shm). Give write permission, or copy the file to where you have it ({said}).",
            store=store,
        )
    if primary in _REFUSED:
        return StoreOpenError(
            "the file cannot be opened. Its folder must exist, both must be readable and writable, and the path must "
            f"not be a folder ({said}).",
            store=store,
        )
    if primary in _CORRUPT or code in _CUT_OFF:
        return StoreCorruptError(
            f"the file is damaged, or is no SQLite database. Restore it from a backup; `sqlite3 FILE .recover` saves what can be read ({said}).",
            store=store,
        )
    if primary == sqlite3.SQLITE_ERROR and "no such" in str(error):
        return StoreCorruptError(f"the file lacks tables or columns that its version has ({said}).", store=store)
    return StoreError(f"the statement failed; nothing was written ({said}).", store=store)


def _code(error: BaseException) -> int:
    """The extended result code; -1 where the driver raised the error without asking SQLite."""
    code = getattr(error, "sqlite_errorcode", None)
    return code if isinstance(code, int) else -1


def _primary(code: int) -> int:
    return code if code < 0 else code & 0xFF
