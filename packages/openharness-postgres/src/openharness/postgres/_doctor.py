"""The examination of a store on PostgreSQL: what is known of its server, and every checksum in its tables.

It has a connection of its own, in a transaction that only reads. Whatever is wrong becomes a finding.
"""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING, Any, Final

import asyncpg
import attrs

from openharness.core import DoctorReport, Finding, Severity, StoreError, StoreVersionError
from openharness.postgres._connecting import connect, new_label
from openharness.postgres._driver import transaction
from openharness.postgres._environment import ENVIRONMENT, environment_facts, environment_findings
from openharness.postgres._examination import Examination
from openharness.postgres._failures import store_error
from openharness.postgres._objects import expected_objects, missing_objects
from openharness.postgres._schema import UNHURRIED, check_version, found_version, lift_limits

if TYPE_CHECKING:
    from collections.abc import Sequence

    from openharness.postgres._connecting import Settings
    from openharness.postgres._driver import Connection

__all__ = ("doctor",)

_CLOSING: Final = 5.0

_TROUBLE: Final = (
    OSError,
    StoreError,
    asyncio.IncompleteReadError,
    asyncpg.PostgresError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,
)
"""What makes a store unusable."""

_AMCHECK: Final = (
    "SELECT nspname, has_function_privilege(pg_proc.oid, 'EXECUTE') AS is_allowed FROM pg_catalog.pg_extension "
    "JOIN pg_catalog.pg_namespace ON pg_namespace.oid = extnamespace "
    "JOIN pg_catalog.pg_proc ON pronamespace = extnamespace AND proname = 'bt_index_check' AND pronargs = 2 "
    "WHERE extname = 'amcheck'"
)
_TREES: Final = (
    "SELECT index.oid, index.relname::text AS name FROM pg_catalog.pg_index "
    "JOIN pg_catalog.pg_class AS index ON index.oid = indexrelid JOIN pg_catalog.pg_am ON pg_am.oid = index.relam "
    "JOIN pg_catalog.pg_class AS kept ON kept.oid = indrelid "
    "JOIN pg_catalog.pg_namespace ON pg_namespace.oid = kept.relnamespace "
    "WHERE nspname = $1 AND kept.relname = ANY ($2::text[]) AND amname = 'btree' AND indisvalid"
)


async def doctor(settings: Settings, *, synchronous_commit: str | None) -> DoctorReport:
    """Examine the tables of a store and their server, and report what is wrong instead of raising it.

    Args:
        settings: How the store connects, and what it keeps.
        synchronous_commit: The setting on the connection that writes; None where there is none, for that on a new one.
    """
    # With the settings of the store, so that what is in force here is in force there. Some statements compare whole tables.
    settings = attrs.evolve(settings, command_timeout=max(UNHURRIED, settings.command_timeout))
    report = DoctorReport(store=settings.store, engine="PostgreSQL")
    try:
        connection = await connect(settings, new_label())
    except _TROUBLE as error:
        return _unusable(report, error)
    try:
        return await _examine(connection, settings, report, synchronous_commit)
    finally:
        try:
            await connection.close(timeout=_CLOSING)
        except _TROUBLE:
            connection.terminate()
        except BaseException:
            connection.terminate()
            raise


def _unusable(report: DoctorReport, error: Exception) -> DoctorReport:
    told = store_error(error, store="")
    finding = Finding(Severity.ERROR, "unusable", f"The store cannot be read: {told}")
    return attrs.evolve(report, findings=(*report.findings, finding))


async def _examine(
    connection: Connection, settings: Settings, report: DoctorReport, synchronous_commit: str | None
) -> DoctorReport:
    examination = Examination(connection, settings.names)
    try:
        (row,) = await connection.fetch(ENVIRONMENT)
        found: dict[str, Any] = dict(row)
        if synchronous_commit is not None:
            found["synchronous_commit"] = synchronous_commit
        report = attrs.evolve(report, engine_version=found["server_version"])
        examination.facts |= environment_facts(found)
        examination.findings += environment_findings(found)
        async with transaction(connection, isolation="repeatable_read", readonly=True):
            await _look_at_tables(examination, settings)
    except _TROUBLE as error:
        report = attrs.evolve(report, facts=examination.facts, findings=examination.findings)
        return _unusable(report, error)
    examination.end()
    return attrs.evolve(report, facts=examination.facts, findings=examination.findings)


async def _look_at_tables(examination: Examination, settings: Settings) -> None:
    connection, names, schema = examination.connection, settings.names, settings.schema
    examination.facts["schema"] = names.schema
    # The server's limits are not meant for what reads everything.
    await lift_limits(connection)
    try:
        version = await found_version(connection, schema, names, store="")
        await check_version(connection, schema, names, store="")
    except StoreVersionError as error:
        examination.findings.append(Finding(Severity.ERROR, "newer-version", str(error)))
        return
    examination.facts[f"schema version of {schema.component}"] = version
    expected = expected_objects(schema, names, version=version or schema.version)
    sizes, findings = await missing_objects(connection, names, expected)
    if version == 0:
        _tell_of_nothing(examination, schema.component, list(sizes))
        return
    if version < schema.version:
        examination.findings.append(
            Finding(
                Severity.INFO,
                "older-version",
                f"The tables of {schema.component} have version {version}; the next store that opens them brings them "
                f"to {schema.version}.",
            )
        )
    examination.findings += findings
    examination.facts["bytes"] = sum(sizes.values())
    await _check_trees(examination, expected.tables)
    if schema.examine is not None and len(sizes) == len(expected.tables):
        await schema.examine(examination)


def _tell_of_nothing(examination: Examination, component: str, others: Sequence[str]) -> None:
    if others:
        examination.findings.append(
            Finding(
                Severity.ERROR,
                "foreign-tables",
                f"There are tables that are not the store's, but have its names: {', '.join(others)}.",
                advice="Give the store another schema or prefix.",
            )
        )
    else:
        message = f"There are no tables of {component} in the schema yet; the first use of a store creates them."
        examination.findings.append(Finding(Severity.INFO, "no-tables", message))


async def _check_trees(examination: Examination, tables: Sequence[str]) -> None:
    """Let the extension amcheck look at every index, where it is installed: also at whether it has every row."""
    connection = examination.connection
    rows = await connection.fetch(_AMCHECK)
    examination.facts["amcheck"] = bool(rows) and rows[0]["is_allowed"]
    if not examination.facts["amcheck"]:
        return
    place = '"' + rows[0]["nspname"].replace('"', '""') + '"'
    for index in await connection.fetch(_TREES, examination.names.schema, list(tables)):
        with contextlib.suppress(asyncpg.ReadOnlySQLTransactionError):  # on a standby it may be refused
            try:
                async with transaction(connection):
                    await connection.execute(f"SELECT {place}.bt_index_check({index['oid']}::oid::regclass, true)")
            except (asyncpg.DataCorruptedError, asyncpg.IndexCorruptedError) as error:
                examination.findings.append(
                    Finding(
                        Severity.ERROR,
                        "damaged-index",
                        f"The index {index['name']} is damaged: {error}",
                        advice=f'`REINDEX INDEX {examination.names.quoted_schema}."{index["name"]}"` makes it anew.',
                    )
                )
