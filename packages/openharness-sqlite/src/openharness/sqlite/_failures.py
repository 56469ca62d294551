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
from openharness.core.storage import ErrorMeaning, caller_error

__all__ = ("concerns_one_row", "is_busy", "misled", "store_error")

_BUSY: Final[ErrorMeaning] = (
    StoreBusyError,
    (
        "another process held the lock of the file for longer than busy_timeout. Nothing was written; try again, or give "
        "a longer busy_timeout."
    ),
)
_FULL: Final[ErrorMeaning] = (
    StoreFullError,
    (
        "nothing more can be written: the disk, a quota or a limit on the size of files is full. What was saved before is "
        "safe. Free some room and try again."
    ),
)
_READ_ONLY: Final[ErrorMeaning] = (
    StoreReadOnlyError,
    (
        "the file or its folder may only be read, and SQLite needs to write to both (beside the file it keeps -wal and "
        "-shm). Give write permission, or copy the file to where you have it."
    ),
)
_MOVED: Final[ErrorMeaning] = (
    StoreOpenError,
    (
        "the file was moved, deleted or replaced while it was open; what was written since is not in the one that is there "
        "now. Make a new store."
    ),
)
_REFUSED: Final[ErrorMeaning] = (
    StoreOpenError,
    (
        "the file cannot be opened. Its folder must exist, both must be readable and writable, and the path must not be a "
        "folder."
    ),
)
_DAMAGED: Final[ErrorMeaning] = (
    StoreCorruptError,
    (
        "the file is damaged, or is no SQLite database. Restore it from a backup; `sqlite3 FILE .recover` saves what can "
        "be read."
    ),
)
_INCOMPLETE: Final[ErrorMeaning] = (StoreCorruptError, "the file lacks tables or columns that its version has.")
_UNKNOWN: Final[ErrorMeaning] = (StoreError, "the statement failed and changed nothing.")

_MEANINGS: Final[dict[int, ErrorMeaning]] = {
    sqlite3.SQLITE_BUSY: _BUSY,
    sqlite3.SQLITE_LOCKED: _BUSY,
    sqlite3.SQLITE_FULL: _FULL,
    # Quotas, limits on the size of files and some full disks are reported as a failed write.
    sqlite3.SQLITE_IOERR_WRITE: _FULL,
    sqlite3.SQLITE_READONLY: _READ_ONLY,
    sqlite3.SQLITE_READONLY_DBMOVED: _MOVED,
    sqlite3.SQLITE_CANTOPEN: _REFUSED,
    sqlite3.SQLITE_PERM: _REFUSED,
    sqlite3.SQLITE_AUTH: _REFUSED,
    sqlite3.SQLITE_CORRUPT: _DAMAGED,
    sqlite3.SQLITE_NOTADB: _DAMAGED,
    sqlite3.SQLITE_FORMAT: _DAMAGED,
    sqlite3.SQLITE_IOERR_SHORT_READ: _DAMAGED,
    sqlite3.SQLITE_IOERR_CORRUPTFS: _DAMAGED,
}
"""By extended result code, else by primary one."""

_OF_ONE_ROW: Final = frozenset({-1, sqlite3.SQLITE_TOOBIG, sqlite3.SQLITE_CONSTRAINT, sqlite3.SQLITE_MISMATCH})


def is_busy(error: BaseException) -> bool:
    """Tell whether another connection held the lock, so that the same statement may work a moment later."""
    return isinstance(error, sqlite3.Error) and _meaning(error) is _BUSY


def concerns_one_row(error: BaseException) -> bool:
    """Tell whether a statement over several rows may have failed for one of them, or for their number."""
    if isinstance(error, StoreError):
        return False
    return _meaning(error) is _FULL or _primary(_code(error)) in _OF_ONE_ROW


def store_error(error: BaseException, *, store: str) -> StoreError:
    """Return the error a caller gets; each call makes a new one, as each caller raises its own.

    Args:
        error: What the driver raised.
        store: What the store calls itself.
    """
    said = f"SQLite says: {error}" if isinstance(error, sqlite3.Error) else f"the driver says: {error!r}"
    return caller_error(error, _meaning, said=said, store=store)


def _meaning(error: BaseException) -> ErrorMeaning:
    code = _code(error)
    if code in _MEANINGS:
        return _MEANINGS[code]
    primary = _primary(code)
    if primary == sqlite3.SQLITE_ERROR and "no such" in str(error):
        return _INCOMPLETE
    return _MEANINGS.get(primary, _UNKNOWN)


def _code(error: BaseException) -> int:
    """The extended result code; -1 where the driver raised the error without asking SQLite."""
    code = getattr(error, "sqlite_errorcode", None)
    return code if isinstance(code, int) else -1


def _primary(code: int) -> int:
    return code if code < 0 else code & 0xFF


def misled(reason: str, *, store: str) -> StoreCorruptError:
    """Return the error for an index that leads to another row than the one that was asked for.

    Args:
        reason: What was found.
        store: What the store calls itself.
    """
    return StoreCorruptError(
        f"an index of the file is damaged ({reason}). `sqlite3 FILE REINDEX` makes it anew.", store=store
    )
