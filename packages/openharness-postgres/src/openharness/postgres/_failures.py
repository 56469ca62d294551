"""What the server and the driver say, in the words of the stores: one error class for each thing a caller can do."""

from __future__ import annotations

import asyncio
import ssl
from typing import Final

import asyncpg

from openharness.core import (
    StoreBusyError,
    StoreCorruptError,
    StoreError,
    StoreFullError,
    StoreOpenError,
    StoreReadOnlyError,
)
from openharness.core.storage import ErrorMeaning, caller_error

__all__ = ("concerns_one_row", "is_conflict", "is_crowded", "is_lost", "misled", "store_error")

_LOST: Final[ErrorMeaning] = (
    StoreOpenError,
    (
        "the server cannot be reached, or ended the connection. Whether what was being written is there is not known; "
        "writing it again is safe."
    ),
)
_SLOW: Final[ErrorMeaning] = (
    StoreBusyError,
    (
        "the server did not answer in time. Whether what was being written is there is not known; writing it again is "
        "safe. Look for locks in pg_locks, or give a longer command_timeout."
    ),
)
_CONFLICT: Final[ErrorMeaning] = (
    StoreBusyError,
    "other transactions stood in the way again and again. Nothing was written; try again.",
)
_CROWDED: Final[ErrorMeaning] = (
    StoreBusyError,
    "the server takes no more connections. Give a smaller max_connections, or put a pooler before the server.",
)
_FULL: Final[ErrorMeaning] = (
    StoreFullError,
    "nothing more can be written: the server's disk is full. What was saved before is safe. Free some room and try again.",
)
_BROKEN: Final[ErrorMeaning] = (
    StoreError,
    (
        "the server could not read or write its files, and changed nothing. Look for a failing disk in the server's log; "
        "doctor tells what can still be read."
    ),
)
_READ_ONLY: Final[ErrorMeaning] = (
    StoreReadOnlyError,
    (
        "the server may only be read: it is a standby, or its transactions are read-only by default. With several hosts "
        "in the URL, target_session_attrs=read-write finds the one that can be written to."
    ),
)
_REFUSED: Final[ErrorMeaning] = (
    StoreOpenError,
    "the server refuses the connection. Check user, password, database and the server's pg_hba.conf.",
)
_FORBIDDEN: Final[ErrorMeaning] = (
    StoreOpenError,
    (
        "the role may not do this. It needs to read and write the tables of the store; to create them, CREATE on their "
        "schema, or on the database where that schema is missing."
    ),
)
_INSECURE: Final[ErrorMeaning] = (
    StoreOpenError,
    "no secure connection could be made. Check sslmode, the certificates, and whether the server offers TLS.",
)
_POOLED: Final[ErrorMeaning] = (
    StoreError,
    (
        "the server does not know a statement that was prepared, and changed nothing. A pooler that cannot keep them stands "
        "before it: give statement_cache_size=0."
    ),
)
_INCOMPLETE: Final[ErrorMeaning] = (
    StoreCorruptError,
    "the tables of the store are not as their version has them. Restore them from a backup, or give the store another schema.",
)
_DAMAGED: Final[ErrorMeaning] = (StoreCorruptError, "the server found damaged data. Restore it from a backup.")
_UNKNOWN: Final[ErrorMeaning] = (StoreError, "the statement failed and changed nothing.")

_CODES: Final[dict[str, ErrorMeaning]] = {
    "08": _LOST,
    "25006": _READ_ONLY,
    "25P03": _LOST,
    "25P04": _SLOW,
    "26": _POOLED,
    "28": _REFUSED,
    "3D": _REFUSED,
    "3F": _INCOMPLETE,
    "40": _CONFLICT,
    "42501": _FORBIDDEN,
    "42703": _INCOMPLETE,
    "42883": _INCOMPLETE,
    "42P01": _INCOMPLETE,
    "42P05": _POOLED,
    "42P10": _INCOMPLETE,
    "53100": _FULL,
    "53300": _CROWDED,
    "55P03": _SLOW,
    "57014": _SLOW,
    "57P01": _LOST,
    "57P02": _LOST,
    "57P03": _LOST,
    "57P05": _LOST,
    "58030": _BROKEN,
    "XX001": _DAMAGED,
    "XX002": _DAMAGED,
}
"""By SQLSTATE, else by the class of it, which is its first two characters."""

_CLASSES_OF_ONE_ROW: Final = frozenset({"22", "23", "54"})


def is_lost(error: BaseException) -> bool:
    """Tell whether there is no connection any more, so that the same work may succeed on another one."""
    return not isinstance(error, StoreError) and _meaning(error) is _LOST


def is_conflict(error: BaseException) -> bool:
    """Tell whether transactions of others stood in the way, so that the same work may succeed a moment later."""
    return not isinstance(error, StoreError) and _meaning(error) is _CONFLICT


def is_crowded(error: BaseException) -> bool:
    """Tell whether the server had no room for another connection, so that the same work may succeed when one has ended."""
    return not isinstance(error, StoreError) and _meaning(error) is _CROWDED


def concerns_one_row(error: BaseException) -> bool:
    """Tell whether a statement over several rows may have failed for one of them, or for their size."""
    if isinstance(error, StoreError):
        return False
    return _code(error)[:2] in _CLASSES_OF_ONE_ROW or (
        isinstance(error, (asyncpg.InterfaceError, ValueError, OverflowError)) and not is_lost(error)
    )


def store_error(error: BaseException, *, store: str) -> StoreError:
    """Return the error a caller gets; each call makes a new one, as each caller raises its own.

    Args:
        error: What the driver raised.
        store: What the store calls itself.
    """
    said = f"PostgreSQL says: {error}" if _code(error) else f"the driver says: {error!r}"
    return caller_error(error, _meaning, said=said, store=store)


def _meaning(error: BaseException) -> ErrorMeaning:
    code = _code(error)
    if code:
        return _CODES.get(code) or _CODES.get(code[:2]) or _UNKNOWN
    if isinstance(error, ssl.SSLError):
        return _INSECURE
    if isinstance(error, TimeoutError):
        return _SLOW
    # A connection that is closed under a statement, or before it, or of whose end the driver has seen but a part.
    if isinstance(error, (OSError, asyncio.IncompleteReadError, asyncpg.InternalClientError)) or _is_closed(error):
        return _LOST
    return _UNKNOWN


def _is_closed(error: BaseException) -> bool:
    return (
        isinstance(error, asyncpg.InterfaceError)
        and not isinstance(error, ValueError)
        and ("clos" in str(error) or "terminat" in str(error))
    )


def _code(error: BaseException) -> str:
    """The SQLSTATE; empty where the driver raised the error without the server."""
    if isinstance(error, asyncpg.ConnectionDoesNotExistError) and isinstance(error.__cause__, asyncpg.PostgresError):
        # What the server ends a connection with. Of what it takes too long for, another one would be ended as well.
        cause = _code(error.__cause__)
        if _CODES.get(cause) is _SLOW:
            return cause
    code = getattr(error, "sqlstate", None)
    return code if isinstance(code, str) else ""


def misled(reason: str, *, store: str) -> StoreCorruptError:
    """Return the error for an index that leads to another row than the one that was asked for.

    Args:
        reason: What was found.
        store: What the store calls itself.
    """
    return StoreCorruptError(
        f"an index of the database is damaged ({reason}). `REINDEX TABLE` makes the indexes of a table anew.",
        store=store,
    )
