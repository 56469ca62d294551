"""The version of a file, and how a file of an older version becomes one of this.

``PRAGMA application_id`` tells that a file is a run store, ``PRAGMA user_version`` which version of the schema it has.
Both are written in the transaction that creates or changes the tables, so a process that dies in between leaves the
file as it was.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

import attrs

from openharness.core import StoreCorruptError, StoreVersionError

if TYPE_CHECKING:
    import sqlite3

__all__ = ("APPLICATION_ID", "Schema", "found_version", "migrate")

APPLICATION_ID: Final = 0x4F485253
"""``OHRS``: OpenHarness run store."""


@attrs.frozen(kw_only=True)
class Schema:
    """What a store keeps in its file.

    Attributes:
        kind: What the store is, for errors: ``run store``.
        migrations: The statements that lead from version n to n + 1, at index n; a new file begins at version 0.
    """

    kind: str
    migrations: tuple[Sequence[str], ...]

    @property
    def version(self) -> int:
        """The version that this code reads and writes."""
        return len(self.migrations)


def found_version(connection: sqlite3.Connection, schema: Schema, *, store: str) -> int:
    """Return the schema version of a file without changing it; 0 for an empty one.

    Args:
        connection: An open connection to the file.
        schema: What the store keeps.
        store: What the store calls itself in errors.

    Raises:
        StoreVersionError: The file is of a newer version.
        StoreCorruptError: It is a SQLite database of something else.
    """
    application_id, version, tables = _identity(connection)
    if application_id == APPLICATION_ID:
        if version > schema.version:
            raise StoreVersionError(found=version, supported=schema.version, store=store)
        if version > 0:
            return version
    if application_id == 0 and version == 0 and not tables:
        return 0
    raise StoreCorruptError(
        f"the file is a SQLite database, but not a {schema.kind} of OpenHarness (expected the application_id "
        f"{APPLICATION_ID:#x}, found {application_id:#x}; user_version {version}; tables: {', '.join(tables) or 'none'}). "
        "It was left as it is; give the store a file of its own.",
        store=store,
    )


def _identity(connection: sqlite3.Connection) -> tuple[int, int, list[str]]:
    """The application_id, the user_version and some of the tables, all of one moment: others may be creating them."""
    outside = not connection.in_transaction
    if outside:
        connection.execute("BEGIN")
    try:
        (application_id,) = connection.execute("PRAGMA application_id").fetchone()
        (version,) = connection.execute("PRAGMA user_version").fetchone()
        found = connection.execute("SELECT name FROM sqlite_schema WHERE type = 'table' LIMIT 5").fetchall()
    finally:
        if outside and connection.in_transaction:
            connection.execute("ROLLBACK")
    return application_id, version, [name for (name,) in found]


def migrate(connection: sqlite3.Connection, schema: Schema, *, store: str) -> None:
    """Create the schema, or bring an older one forward, in one transaction.

    Any number of processes may do this at once: the first that gets the write lock does the work, the others find it
    done.

    Args:
        connection: A connection in autocommit mode.
        schema: What the store keeps.
        store: What the store calls itself in errors.

    Raises:
        sqlite3.Error: Nothing was changed.
        StoreVersionError: Another process has made it a newer version meanwhile.
        StoreCorruptError: Another process has made it something else meanwhile.
    """
    connection.execute("BEGIN IMMEDIATE")
    try:
        version = found_version(connection, schema, store=store)
        for statements in schema.migrations[version:]:
            for statement in statements:
                connection.execute(statement)
        connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
        connection.execute(f"PRAGMA user_version = {schema.version}")
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise
