"""Which version the tables of a store have, and how those of an older version become those of this one.

One table, ``versions``, has a row for each kind of tables: of runs, of recordings. It is written in the transaction that
creates or changes the tables, so a process that dies in between leaves them as they were. Who brings them forward holds
an advisory lock of that transaction; those who come at the same moment wait, and find the work done.

Others may be connected to older tables meanwhile, and write. Who brings tables forward locks the one that every write
changes. So a write is committed before, or waits; and then it finds the mark that the new version has left, a view named
after it, and fails. See `Names.unless_newer`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Awaitable, Callable, Sequence
from typing import TYPE_CHECKING, Final, TypeAlias

import asyncpg
import attrs

from openharness.core import StoreCorruptError, StoreOpenError, StoreVersionError
from openharness.postgres._defects import OLDEST_SERVER
from openharness.postgres._driver import transaction
from openharness.postgres._examination import Examination
from openharness.postgres._names import Names

if TYPE_CHECKING:
    from openharness.postgres._driver import Connection

__all__ = ("UNHURRIED", "Migration", "Schema", "check_version", "found_version", "lift_limits", "prepare")

Migration: TypeAlias = Callable[[Names], Sequence[str]]
"""Returns the statements that lead from one version to the next, for tables of these names."""

UNHURRIED: Final = 6 * 3_600.0
"""Seconds that a statement may take which reads all there is, or brings it forward: as much as a large table needs."""

_LIMITS: Final = ("statement_timeout", "transaction_timeout", "idle_in_transaction_session_timeout")

_EXISTS: Final = (
    "SELECT FROM pg_catalog.pg_class JOIN pg_catalog.pg_namespace ON pg_namespace.oid = relnamespace "
    "WHERE nspname = $1 AND relname = $2"
)


@attrs.frozen(kw_only=True)
class Schema:
    """What a store keeps in the database.

    Attributes:
        component: Whose tables they are, one word: ``runs``, ``signals``.
        changed: The table that each statement that writes changes, whatever else it does.
        migrations: What leads from version n to n + 1, at index n; an empty schema is version 0.
        examine: Reads every row, and adds to the findings and the facts of an examination; None where nobody has
            written that.
    """

    component: str
    changed: str
    migrations: tuple[Migration, ...]
    examine: Callable[[Examination], Awaitable[None]] | None = None

    @property
    def version(self) -> int:
        """The version that this code reads and writes."""
        return len(self.migrations)


async def prepare(connection: Connection, schema: Schema, names: Names, *, store: str) -> None:
    """Create the tables of a store, or bring older ones forward, in one transaction; nothing, where they are right.

    Args:
        connection: A connection in no transaction.
        schema: What the store keeps.
        names: Where.
        store: What the store calls itself in errors.

    Raises:
        StoreVersionError: The tables are of a newer version, and were left as they are.
        StoreCorruptError: There are tables of these names that are none of ours; they were left as they are.
        StoreOpenError: The server is too old, or its database cannot keep all characters.
    """
    await _check_server(connection, store=store)
    if await found_version(connection, schema, names, store=store) == schema.version:
        return
    # In this mode each statement sees what was committed before it, whatever the server's default is.
    async with transaction(connection, isolation="read_committed"):
        # Of this transaction, so that it is given back however that ends, and through any pooler.
        await connection.fetch("SELECT pg_catalog.pg_advisory_xact_lock($1::bigint)", _lock_number(names))
        version = await found_version(connection, schema, names, store=store)
        if version == schema.version:
            return
        # CREATE SCHEMA IF NOT EXISTS needs the right to create one even where it exists.
        if not await connection.fetch("SELECT FROM pg_catalog.pg_namespace WHERE nspname = $1", names.schema):
            await connection.execute(f"CREATE SCHEMA {names.quoted_schema}")
        await connection.execute(
            f"CREATE TABLE IF NOT EXISTS {names('versions')} "
            '(component text COLLATE "C" PRIMARY KEY, version integer NOT NULL CHECK (version > 0))'
        )
        try:
            if version:
                await connection.execute(f"LOCK TABLE {names(schema.changed)} IN ACCESS EXCLUSIVE MODE")
            # The limits of the store and of the role are meant for a save. One that they cut short would be cut short
            # each time, and nobody could open the store any more.
            await lift_limits(connection)
            for migration in schema.migrations[version:]:
                for statement in migration(names):
                    await connection.execute(statement, timeout=UNHURRIED)
            # Nobody can be connected to the first version as an older one.
            for number in range(max(version + 1, 2), schema.version + 1):
                await connection.execute(f"CREATE OR REPLACE VIEW {names.mark(number)} AS SELECT {number} AS version")
        except (asyncpg.DuplicateTableError, asyncpg.DuplicateObjectError, asyncpg.DuplicateFunctionError) as error:
            raise StoreCorruptError(
                f"the schema {names.schema!r} holds something of the same name that is not the store's ({error}). It was "
                "left as it is; give the store another schema or prefix.",
                store=store,
            ) from error
        await connection.execute(
            f"INSERT INTO {names('versions')} (component, version) VALUES ($1, $2) "  # noqa: S608 - names of our own
            "ON CONFLICT (component) DO UPDATE SET version = excluded.version",
            schema.component,
            schema.version,
        )


async def lift_limits(connection: Connection) -> None:
    """Let the present transaction take as long as it needs, whatever the role or the database says of others."""
    # Not by SET LOCAL: older servers do not know each of them.
    await connection.fetch(
        "SELECT pg_catalog.set_config(name, '0', true) FROM pg_catalog.pg_settings WHERE name = ANY ($1::text[])",
        list(_LIMITS),
    )


async def _check_server(connection: Connection, *, store: str) -> None:
    ((number, encoding),) = await connection.fetch(
        "SELECT current_setting('server_version_num')::integer, current_setting('server_encoding')"
    )
    if number < OLDEST_SERVER:
        raise StoreOpenError(f"the server is PostgreSQL {number // 10_000}; 14 or newer is needed.", store=store)
    if encoding != "UTF8":
        raise StoreOpenError(
            f"the database has the encoding {encoding}, which cannot keep every text. Make one with ENCODING 'UTF8'.",
            store=store,
        )


async def found_version(connection: Connection, schema: Schema, names: Names, *, store: str) -> int:
    """Return which version of a store's tables there is, without changing it; 0 where there is none yet.

    Raises:
        StoreVersionError: The tables are of a newer version.
    """
    # Not by to_regclass(), which may remember for the rest of a transaction that there was none.
    if not await connection.fetch(_EXISTS, names.schema, f"{names.prefix}versions"):
        return 0
    rows = await connection.fetch(
        f"SELECT version FROM {names('versions')} WHERE component = $1",  # noqa: S608 - names of our own
        schema.component,
    )
    version: int = rows[0][0] if rows else 0
    if version > schema.version:
        raise StoreVersionError(found=version, supported=schema.version, store=store)
    return version


async def check_version(connection: Connection, schema: Schema, names: Names, *, store: str) -> None:
    """See that the tables are not newer than this code.

    Raises:
        StoreVersionError: They are.
    """
    await found_version(connection, schema, names, store=store)
    if not await connection.fetch("SELECT WHERE pg_catalog.to_regclass($1) IS NULL", names.mark(schema.version + 1)):
        # Somebody has set the version back by hand; what is in the tables is that of the newer one.
        raise StoreVersionError(found=schema.version + 1, supported=schema.version, store=store)


def _lock_number(names: Names) -> int:
    """One for each place that tables can be in, the same in every process."""
    text = f"openharness {names('versions')}"
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "big", signed=True)
