"""Errors of the server and of the driver as ours."""

from __future__ import annotations

import ssl

import asyncpg
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
from openharness.postgres._failures import concerns_one_row, is_conflict, is_lost, store_error


@pytest.mark.parametrize(
    "error,kind",
    [
        (asyncpg.AdminShutdownError("what was said"), StoreOpenError),
        (asyncpg.CrashShutdownError("what was said"), StoreOpenError),
        (asyncpg.CannotConnectNowError("what was said"), StoreOpenError),
        (asyncpg.ConnectionDoesNotExistError("what was said"), StoreOpenError),
        (asyncpg.InterfaceError("connection is closed: what was said"), StoreOpenError),
        (asyncpg.InternalClientError("what was said"), StoreOpenError),
        (ConnectionRefusedError("what was said"), StoreOpenError),
        (asyncpg.InvalidPasswordError("what was said"), StoreOpenError),
        (asyncpg.InvalidCatalogNameError("what was said"), StoreOpenError),
        (asyncpg.InsufficientPrivilegeError("what was said"), StoreOpenError),
        (ssl.SSLCertVerificationError("what was said"), StoreOpenError),
        (asyncpg.IdleInTransactionSessionTimeoutError("what was said"), StoreOpenError),
        # The one of a transaction that took too long is not known to every release of the driver.
        (asyncpg.PostgresError.new({"S": "FATAL", "C": "25P04", "M": "what was said"}), StoreBusyError),
        (asyncpg.TooManyConnectionsError("what was said"), StoreBusyError),
        (asyncpg.QueryCanceledError("what was said"), StoreBusyError),
        (asyncpg.LockNotAvailableError("what was said"), StoreBusyError),
        (TimeoutError("what was said"), StoreBusyError),
        (asyncpg.SerializationError("what was said"), StoreBusyError),
        (asyncpg.DeadlockDetectedError("what was said"), StoreBusyError),
        (asyncpg.DiskFullError("what was said"), StoreFullError),
        (asyncpg.ReadOnlySQLTransactionError("what was said"), StoreReadOnlyError),
        (asyncpg.UndefinedTableError("what was said"), StoreCorruptError),
        (asyncpg.UndefinedColumnError("what was said"), StoreCorruptError),
        (asyncpg.DataCorruptedError("what was said"), StoreCorruptError),
        (asyncpg.IndexCorruptedError("what was said"), StoreCorruptError),
        (asyncpg.PostgresIOError("what was said"), StoreError),
        (asyncpg.CheckViolationError("what was said"), StoreError),
        (asyncpg.OutOfMemoryError("what was said"), StoreError),
        (RuntimeError("what was said"), StoreError),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Exception) else "",
)
def test_each_error_has_its_class(error: Exception, kind: type[StoreError]) -> None:
    """The class says what can be done, the message keeps what was said."""
    made = store_error(error, store="the store")
    assert type(made) is kind
    assert made.store == "the store"
    assert "what was said" in str(made)
    assert made.__cause__ is error


def test_what_is_done_again_and_what_is_done_one_by_one() -> None:
    """A lost connection and a conflict are tried again; what the server says of a row concerns that row alone."""
    assert is_lost(asyncpg.AdminShutdownError("x"))
    assert not is_lost(ssl.SSLError("x"))
    assert not is_lost(TimeoutError())
    assert is_conflict(asyncpg.DeadlockDetectedError("x"))
    assert not is_conflict(asyncpg.CheckViolationError("x"))
    assert concerns_one_row(asyncpg.CheckViolationError("x"))
    assert concerns_one_row(asyncpg.DataError("invalid input for query argument $1"))
    assert concerns_one_row(asyncpg.ProgramLimitExceededError("index row size 9999 exceeds btree version 4 maximum"))
    assert concerns_one_row(OverflowError())
    assert not concerns_one_row(asyncpg.DiskFullError("x"))
    assert not concerns_one_row(asyncpg.InterfaceError("connection is closed"))


def test_of_our_own_errors_each_caller_gets_a_copy() -> None:
    """What was raised twice would have the traceback of both."""
    mine = StoreClosedError("closed")
    again = store_error(mine, store="s")
    assert again is not mine
    assert (type(again), str(again)) == (StoreClosedError, "closed")
    assert not concerns_one_row(mine)
    assert not is_lost(mine)
    assert not is_conflict(mine)


def test_a_connection_that_the_server_ends_means_what_it_said_last() -> None:
    """What took too long would take too long again; whatever else ends a connection, another one may do."""
    for code, lost in (("25P04", False), ("57P01", True), ("XX000", True)):
        error = asyncpg.ConnectionDoesNotExistError("connection was closed")
        error.__cause__ = asyncpg.PostgresError.new({"S": "FATAL", "C": code, "M": "what was said"})
        assert is_lost(error) is lost
        assert type(store_error(error, store="s")) is (StoreOpenError if lost else StoreBusyError)


@pytest.mark.parametrize("code", ["26000", "42P05"])
def test_a_pooler_that_cannot_keep_prepared_statements(code: str) -> None:
    """The message says what to give."""
    error = asyncpg.PostgresError.new({"S": "ERROR", "C": code, "M": "what was said"})
    assert "give statement_cache_size=0" in str(store_error(error, store="s"))
