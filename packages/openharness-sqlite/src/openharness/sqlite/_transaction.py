"""Several statements as one."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Generator

__all__ = ("transaction",)


@contextlib.contextmanager
def transaction(
    connection: sqlite3.Connection, kind: Literal["IMMEDIATE", "DEFERRED"] = "IMMEDIATE"
) -> Generator[None]:
    """Commit what is done inside, or take all of it back when it raises.

    Args:
        connection: A connection in autocommit mode, in no transaction.
        kind: ``IMMEDIATE`` takes the write lock at once, so that what is read inside is still true when it is written;
            ``DEFERRED`` is for reading alone.
    """
    connection.execute(f"BEGIN {kind}")
    try:
        yield
        connection.execute("COMMIT")
    except BaseException:
        # SQLite may have ended it by itself.
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise
