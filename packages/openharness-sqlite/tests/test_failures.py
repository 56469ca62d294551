"""Errors of SQLite as ours."""

from __future__ import annotations

import sqlite3

import pytest

from openharness.core import (
    StoreBusyError,
    StoreClosedError,
    StoreCorruptError,
    StoreError,
    StoreFullError,
    StoreOpenError,
    StoreReadOnlyError,
)
from openharness.sqlite._failures import concerns_one_row, is_busy, store_error


def error(code: int, message: str = "what SQLite said") -> sqlite3.Error:
    """An error as SQLite raises it."""
    made = sqlite3.OperationalError(message)
    made.sqlite_errorcode = code
    return made


@pytest.mark.parametrize(
    "code,kind",
    [
        (sqlite3.SQLITE_BUSY, StoreBusyError),
        (sqlite3.SQLITE_BUSY_SNAPSHOT, StoreBusyError),
        (sqlite3.SQLITE_LOCKED_SHAREDCACHE, StoreBusyError),
        (sqlite3.SQLITE_FULL, StoreFullError),
        (sqlite3.SQLITE_IOERR_WRITE, StoreFullError),
        (sqlite3.SQLITE_READONLY_DIRECTORY, StoreReadOnlyError),
        (sqlite3.SQLITE_READONLY_DBMOVED, StoreOpenError),
        (sqlite3.SQLITE_CANTOPEN_ISDIR, StoreOpenError),
        (sqlite3.SQLITE_CORRUPT_INDEX, StoreCorruptError),
        (sqlite3.SQLITE_NOTADB, StoreCorruptError),
        (sqlite3.SQLITE_IOERR_SHORT_READ, StoreCorruptError),
        (sqlite3.SQLITE_IOERR_FSYNC, StoreError),
        (sqlite3.SQLITE_NOMEM, StoreError),
    ],
)
def test_each_code_has_its_error(code: int, kind: type[StoreError]) -> None:
    """The class says what can be done, the message keeps what SQLite said."""
    made = store_error(error(code), store="the store")
    assert type(made) is kind
    assert made.store == "the store"
    assert "what SQLite said" in str(made)
    assert is_busy(error(code)) == (kind is StoreBusyError)
    assert concerns_one_row(error(code)) == (kind is StoreFullError)


def test_errors_of_the_driver_are_store_errors_too() -> None:
    """What did not come from SQLite keeps its text, and may concern one row; of our own errors each caller gets a copy."""
    assert type(store_error(ValueError("odd"), store="s")) is StoreError
    assert concerns_one_row(OverflowError())
    mine = StoreClosedError("closed")
    again = store_error(mine, store="s")
    assert again is not mine
    assert (type(again), str(again)) == (StoreClosedError, "closed")
    assert not concerns_one_row(mine)
