"""What a schema consists of in the database, and what of it is not there or not as it was made."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

import attrs

from openharness.core import Finding, Severity

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from openharness.postgres._driver import Connection
    from openharness.postgres._names import Names
    from openharness.postgres._schema import Schema

__all__ = ("Objects", "expected_objects", "missing_objects")

_STATEMENT: Final = re.compile(
    r"\s*(CREATE|DROP)\s+(?:OR\s+REPLACE\s+)?(?:UNIQUE\s+)?(TABLE|INDEX|TRIGGER|FUNCTION)\s+(?:IF\s+(?:NOT\s+)?EXISTS\s+)?"
    r'(?:"(?:[^"]|"")*"\.)?"([^"]+)"'
)

_TABLES: Final = (
    "SELECT pg_class.oid, relname::text AS name, relpersistence::text AS persistence, "
    "pg_catalog.pg_total_relation_size(pg_class.oid::regclass) AS bytes, "
    "has_table_privilege(pg_class.oid, 'SELECT') AND has_table_privilege(pg_class.oid, 'INSERT') "
    "AND has_table_privilege(pg_class.oid, 'UPDATE') AND has_table_privilege(pg_class.oid, 'DELETE') AS is_allowed, "
    "pg_catalog.row_security_active(pg_class.oid) AS is_filtered, "
    "EXISTS (SELECT FROM pg_catalog.pg_constraint WHERE conrelid = pg_class.oid AND contype = 'p') AS has_key "
    "FROM pg_catalog.pg_class JOIN pg_catalog.pg_namespace ON pg_namespace.oid = relnamespace "
    "WHERE nspname = $1 AND relname = ANY ($2::text[]) AND relkind = 'r'"
)
_INDEXES: Final = (
    "SELECT index.relname::text AS name, indisvalid AND indisready AND indislive AS is_valid, indisunique AS is_unique "
    "FROM pg_catalog.pg_index JOIN pg_catalog.pg_class AS index ON index.oid = indexrelid "
    "WHERE indrelid = ANY ($1::oid[])"
)
_TRIGGERS: Final = (
    "SELECT tgname::text AS name, tgenabled::text AS enabled FROM pg_catalog.pg_trigger "
    "WHERE tgrelid = ANY ($1::oid[]) AND NOT tgisinternal"
)
_FUNCTIONS: Final = (
    "SELECT proname::text AS name FROM pg_catalog.pg_proc JOIN pg_catalog.pg_namespace ON pg_namespace.oid = pronamespace "
    "WHERE nspname = $1"
)


@attrs.frozen(kw_only=True)
class Objects:
    """The names of what is in a schema of the database for one store, without the schema.

    Attributes:
        tables: The tables; each has a primary key.
        indexes: The indexes beside those of primary keys.
        triggers: The triggers.
        functions: The functions.
    """

    tables: tuple[str, ...]
    indexes: tuple[str, ...]
    triggers: tuple[str, ...]
    functions: tuple[str, ...]


def expected_objects(schema: Schema, names: Names, *, version: int) -> Objects:
    """Return what there is after the migrations up to a version, as these say it themselves."""
    found: dict[str, dict[str, None]] = {"TABLE": {}, "INDEX": {}, "TRIGGER": {}, "FUNCTION": {}}
    for migration in schema.migrations[:version]:
        for statement in migration(names):
            match = _STATEMENT.match(statement)
            if match is None:
                continue
            verb, kind, name = match.groups()
            if verb == "CREATE":
                found[kind][name] = None
            else:
                found[kind].pop(name, None)
    tables, indexes, triggers, functions = (tuple(of_kind) for of_kind in found.values())
    return Objects(tables=tables, indexes=indexes, triggers=triggers, functions=functions)


async def missing_objects(
    connection: Connection, names: Names, expected: Objects
) -> tuple[dict[str, int], list[Finding]]:
    """Return the tables that are there with their sizes in bytes, and what is missing or not as it was made."""
    rows = await connection.fetch(_TABLES, names.schema, list(expected.tables))
    tables = {row["name"]: row for row in rows}
    findings = [
        Finding(
            Severity.ERROR,
            "missing-table",
            f"The table {name} is not there.",
            advice="Restore the tables from a backup.",
        )
        for name in expected.tables
        if name not in tables
    ]
    for name, row in tables.items():
        findings += _about_table(
            name, persistence=row["persistence"], is_allowed=row["is_allowed"], is_filtered=row["is_filtered"]
        )
    oids = [row["oid"] for row in rows]
    indexes = {row["name"]: row for row in await connection.fetch(_INDEXES, oids)}
    findings += [
        Finding(
            Severity.ERROR,
            "missing-index",
            f"The table {name} has no primary key any more: what must be there once may be there twice.",
            advice="Make it again as the store made it; `ALTER TABLE … ADD PRIMARY KEY` refuses what is there twice.",
        )
        for name, row in tables.items()
        if not row["has_key"]
    ]
    findings += _missing("index", expected.indexes, indexes, Severity.WARNING, "Queries read whole tables instead.")
    for name, row in indexes.items():
        if not row["is_valid"]:
            findings.append(
                Finding(
                    Severity.ERROR if row["is_unique"] else Severity.WARNING,
                    "invalid-index",
                    f"The index {name} is not valid: it was not completed, and is not used for queries.",
                    advice=f'`REINDEX INDEX {names.quoted_schema}."{name}"` makes it anew; drop it if it is not the store\'s.',
                )
            )
    triggers = {row["name"]: row["enabled"] for row in await connection.fetch(_TRIGGERS, oids)}
    functions = {row["name"] for row in await connection.fetch(_FUNCTIONS, names.schema)}
    stale = "What finds rows by other rows goes wrong with the next save."
    findings += _missing("trigger", expected.triggers, triggers, Severity.ERROR, stale)
    findings += _missing("function", expected.functions, functions, Severity.ERROR, stale)
    findings += [
        Finding(
            Severity.ERROR,
            "disabled-trigger",
            f"The trigger {name} is disabled. {stale}",
            advice="`ALTER TABLE … ENABLE TRIGGER` enables it.",
        )
        for name, enabled in triggers.items()
        # O: as ever; A: always. D and R do nothing for the stores.
        if name in expected.triggers and enabled not in ("O", "A")
    ]
    return {name: row["bytes"] for name, row in tables.items()}, findings


def _about_table(name: str, *, persistence: str, is_allowed: bool, is_filtered: bool) -> Iterator[Finding]:
    if is_filtered:
        yield Finding(
            Severity.WARNING,
            "row-security",
            f"Policies decide which rows of the table {name} the role sees; the others are missing without a word, here too.",
            advice="Give each tenant a schema, or the role BYPASSRLS.",
        )
    if persistence != "p":
        yield Finding(
            Severity.WARNING,
            "unlogged-table",
            f"The table {name} is unlogged: after a crash of the server it is empty.",
            advice="`ALTER TABLE … SET LOGGED` makes it durable.",
        )
    if not is_allowed:
        yield Finding(
            Severity.WARNING,
            "forbidden",
            f"The role may not both read and write the table {name}.",
            advice="Grant it SELECT, INSERT, UPDATE and DELETE.",
        )


def _missing(
    kind: str, expected: Sequence[str], found: object, severity: Severity, consequence: str
) -> Iterator[Finding]:
    for name in expected:
        if name not in found:  # type: ignore[operator]
            yield Finding(
                severity,
                f"missing-{kind}",
                f"The {kind} {name} is not there. {consequence}",
                advice="Make it again as the store made it, or restore the tables from a backup.",
            )
