"""Whose tables are in a file, in which version, and how those of an older version become those of this one.

Stores of several kinds may keep their tables in one file. ``PRAGMA application_id`` tells that the file is one of
OpenHarness. Each kind has a version of its own, and opens a file whatever the version of the others: that of the tables
of runs is ``PRAGMA user_version``, as it was before there were others, and the table ``openharness_schema`` has all the
others. A file with neither is not ours, unless there is nothing in it at all.

All of that is written in the transaction that creates or changes the tables, so a process that dies in between leaves
the file as it was.

A store may have the file open while a newer release brings it forward. So each version from the second on leaves a mark,
a view named after it, and what a store writes depends on there being no mark of the version that follows its own. That is
looked for in the transaction that writes, so nothing is written to tables of a newer version. The mark is what the
release before looks for: a file that this release reads as it is need not have been changed for it.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Final

import attrs

from openharness.core import Finding, StoreCorruptError, StoreVersionError
from openharness.sqlite._transaction import transaction

__all__ = ("APPLICATION_ID", "Schema", "components_of", "found_version", "migrate")

APPLICATION_ID: Final = 0x4F485253
"""``OHRS``. The first files held runs alone, and the number stayed."""

_RUNS: Final = "runs"
"""The kind of tables whose version is ``PRAGMA user_version``."""

_CREATE_VERSIONS: Final = """
CREATE TABLE IF NOT EXISTS openharness_schema (
    component TEXT NOT NULL PRIMARY KEY,
    version INTEGER NOT NULL CHECK (version > 0)
) STRICT
"""
_SET_VERSION: Final = (
    "INSERT INTO openharness_schema (component, version) VALUES (?, ?) "
    "ON CONFLICT (component) DO UPDATE SET version = excluded.version"
)


@attrs.frozen(kw_only=True)
class Schema:
    """What a store keeps in its file.

    Attributes:
        component: Whose tables they are, one word: ``runs``, ``signals``.
        kind: What the store is, for errors: ``run store``.
        migrations: What leads from version n to n + 1, at index n; a new file begins at version 0. A step is a
            statement, or a function for what SQL cannot say: it gets the connection, inside of the transaction.
        examine: Reads every row on a connection that gives text as bytes, and yields None for each that is whole, and a
            finding for each that is not; None where nobody has written that.
    """

    component: str
    kind: str
    migrations: tuple[Sequence[str | Callable[[sqlite3.Connection], None]], ...]
    examine: Callable[[sqlite3.Connection], Iterator[Finding | None]] | None = None

    @property
    def version(self) -> int:
        """The version that this code reads and writes."""
        return len(self.migrations)

    @property
    def unless_newer(self) -> str:
        """A condition in SQL: no newer release has brought the tables forward. It reads the names of what is in the file."""
        return f"NOT EXISTS (SELECT 1 FROM main.sqlite_schema WHERE name = '{_mark(self.component, self.version + 1)}')"  # noqa: S608 - names of our own


def _mark(component: str, version: int) -> str:
    """Return the name of the view that says that tables have reached a version."""
    return f"openharness_{component}_version_{version}"


@attrs.frozen(kw_only=True)
class _Identity:
    """What a file says of itself, all of one moment: others may be creating it."""

    application_id: int
    user_version: int
    components: Mapping[str, int]
    tables: Sequence[str]


def found_version(connection: sqlite3.Connection, schema: Schema, *, store: str) -> int:
    """Return which version of a store's tables a file has, without changing it; 0 where it has none of them yet.

    Args:
        connection: An open connection to the file.
        schema: What the store keeps.
        store: What the store calls itself in errors.

    Raises:
        StoreVersionError: The tables are of a newer version.
        StoreCorruptError: It is a SQLite database of something else.
    """
    if connection.in_transaction:
        found = _identity(connection)
    else:
        with transaction(connection, "DEFERRED"):
            found = _identity(connection)
    if found.application_id == APPLICATION_ID and (found.user_version > 0 or found.components):
        version = found.user_version if schema.component == _RUNS else found.components.get(schema.component, 0)
        if version > schema.version:
            raise StoreVersionError(found=version, supported=schema.version, store=store)
        if version >= 0:
            return version
    if found.application_id == 0 and found.user_version == 0 and not found.tables:
        return 0
    tables = ", ".join(found.tables[:5]) or "none"
    raise StoreCorruptError(
        f"the file is a SQLite database, but not a {schema.kind} of OpenHarness (expected the application_id "
        f"{APPLICATION_ID:#x}, found {found.application_id:#x}; user_version {found.user_version}; tables: {tables}). "
        "It was left as it is; give the store a file of its own.",
        store=store,
    )


def components_of(connection: sqlite3.Connection) -> tuple[int, dict[str, int]]:
    """Return the application_id of a file, and the version of each kind of tables it says it has."""
    found = _identity(connection)
    components = dict(found.components)
    if found.application_id == APPLICATION_ID and found.user_version > 0:
        components[_RUNS] = found.user_version
    return found.application_id, components


def _identity(connection: sqlite3.Connection) -> _Identity:
    (application_id,) = connection.execute("PRAGMA application_id").fetchone()
    (user_version,) = connection.execute("PRAGMA user_version").fetchone()
    rows = connection.execute("SELECT name FROM sqlite_schema WHERE type = 'table'").fetchall()
    tables = [name for (name,) in rows]
    components: dict[str, int] = {}
    if application_id == APPLICATION_ID and "openharness_schema" in tables:
        components = dict(connection.execute("SELECT component, version FROM openharness_schema").fetchall())
    return _Identity(application_id=application_id, user_version=user_version, components=components, tables=tables)


def migrate(connection: sqlite3.Connection, schema: Schema, *, store: str) -> None:
    """Create the tables of a store, or bring older ones forward, in one transaction.

    Any number of processes may do this at once: the first that gets the write lock does the work, the others find it
    done. Tables of other stores in the same file are not touched.

    Args:
        connection: A connection in autocommit mode.
        schema: What the store keeps.
        store: What the store calls itself in errors.

    Raises:
        sqlite3.Error: Nothing was changed.
        StoreVersionError: Another process has made it a newer version meanwhile.
        StoreCorruptError: Another process has made it something else meanwhile.
    """
    with transaction(connection):
        version = found_version(connection, schema, store=store)
        for steps in schema.migrations[version:]:
            for step in steps:
                if callable(step):
                    step(connection)
                else:
                    connection.execute(step)
        # Nobody can have the first version open as an older one.
        for number in range(max(version + 1, 2), schema.version + 1):
            connection.execute(
                f"CREATE VIEW IF NOT EXISTS {_mark(schema.component, number)} AS SELECT {number} AS version"
            )
        connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
        if schema.component == _RUNS:
            connection.execute(f"PRAGMA user_version = {schema.version}")
        else:
            connection.execute(_CREATE_VERSIONS)
            connection.execute(_SET_VERSION, (schema.component, schema.version))
