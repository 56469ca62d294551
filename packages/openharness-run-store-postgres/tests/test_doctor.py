"""Examinations: whatever is wrong with a server or with the tables is a finding, and nothing is changed."""

# ruff: noqa: ASYNC240 - nothing else runs in the loop of a test

from __future__ import annotations

import asyncio
import contextlib
import os
import random
import secrets
import tracemalloc
from pathlib import Path
from typing import TYPE_CHECKING, Any

import asyncpg
import attrs
import pytest

from openharness.core import RunRecord, Severity, StoreClosedError
from openharness.run_store_postgres import PostgresRunStore
from openharness.run_store_postgres._schema import SCHEMA

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from openharness.core import DoctorReport
    from openharness.postgres import Examination
    from openharness.testing.postgres import PostgresPlace, PostgresServer

    NewStore = Callable[..., PostgresRunStore]
    Sql = Callable[..., Awaitable[list[Any]]]

COUNT = 40


def codes(report: DoctorReport, severity: str = "error") -> set[str]:
    """The codes of the findings that are as bad as this."""
    return {finding.code for finding in report.of(severity)}


def make_run(number: int, size: int = 200) -> RunRecord:
    """One of the runs of these tests."""
    return RunRecord(f"r{number}", created_at=number, state={"text": "z" * size}, metadata={"k": number, "all": "x"})


async def fill(store: PostgresRunStore, count: int = COUNT) -> None:
    """Save runs."""
    await asyncio.gather(*(store.save_run(make_run(number)) for number in range(count)))


async def test_the_facts_of_healthy_tables(new_store: NewStore) -> None:
    """Server, settings in force, versions, sizes and the number of rows are told."""
    async with new_store() as store:
        await fill(store)
        report = await store.doctor()
    assert report.is_healthy, str(report)
    assert report.engine == "PostgreSQL"
    assert report.engine_version is not None
    wanted = {"server_encoding": "UTF8", "standby": False, "schema version of runs": 1, "runs": COUNT}
    assert {key: report.facts[key] for key in wanted} == wanted
    told = {"fsync", "full_page_writes", "synchronous_commit", "wal_sync_method", "data_checksums", "bytes", "amcheck"}
    assert told <= report.facts.keys()


async def test_where_there_is_nothing_nothing_is_made(new_store: NewStore, sql: Sql) -> None:
    """Before its first use a store has no tables, which is good to know, and has none afterwards."""
    report = await new_store().doctor()
    assert report.is_healthy
    assert codes(report, "info") >= {"no-tables"}
    assert await sql("SELECT FROM pg_namespace WHERE nspname = '{s}'") == []


async def test_the_limits_of_a_role_do_not_end_it(
    openharness_postgres: PostgresPlace, sql: Sql, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What a role says about the time of statements and transactions, and about idle ones, does not hold for it."""
    place = openharness_postgres
    limits = ["statement_timeout", "transaction_timeout", "idle_in_transaction_session_timeout"]
    # The limit of a transaction is new in PostgreSQL 17.
    ((known,),) = await sql("SELECT array_agg(name) FROM pg_settings WHERE name = ANY ($1)", limits)

    async def examine(examination: Examination) -> None:
        for name in known:
            examination.facts[name] = await examination.connection.fetchval("SELECT current_setting($1)", name)

    monkeypatch.setattr("openharness.run_store_postgres._store.SCHEMA", attrs.evolve(SCHEMA, examine=examine))
    dsn = f"{place.dsn}{'&' if '?' in place.dsn else '?'}{'&'.join(f'{name}=60000' for name in known)}"
    async with PostgresRunStore(dsn, schema=place.schema) as store:
        report = await store.doctor()
    assert report.is_healthy, str(report)
    assert {name: report.facts[name] for name in known} == dict.fromkeys(known, "0")


async def test_a_server_that_is_not_there_and_a_store_that_was_closed() -> None:
    """The one is a finding that names it; the other is a mistake of the caller."""
    store = PostgresRunStore("postgresql://postgres@/postgres?host=/nowhere")
    report = await store.doctor()
    assert codes(report) == {"unusable"}
    await store.close()
    with pytest.raises(StoreClosedError):
        await store.doctor()


@pytest.mark.parametrize("name, value", [("synchronous_commit", "off"), ("default_transaction_read_only", "on")])
async def test_settings_of_the_database_are_told(own_server: PostgresServer, name: str, value: str) -> None:
    """What is set for the database is in force on the connections of the store, and a finding."""
    connection = await asyncpg.connect(own_server.dsn)
    try:
        await connection.execute(f"ALTER DATABASE postgres SET {name} = {value}")
        report = await PostgresRunStore(own_server.dsn, schema="nothing").doctor()
    finally:
        await connection.execute("SET default_transaction_read_only = off")
        await connection.execute(f"ALTER DATABASE postgres RESET {name}")
        await connection.close()
    wanted = {"synchronous_commit": "synchronous-commit", "default_transaction_read_only": "read-only"}[name]
    # The servers of the tests do not wait for the disk.
    assert codes(report, "warning") >= {"fsync", "full-page-writes", wanted}


async def test_the_setting_of_the_open_connection_counts(own_server: PostgresServer) -> None:
    """A connection that writes keeps its setting; what new ones would have is not told instead."""
    schema = f"test_{secrets.token_hex(8)}"
    connection = await asyncpg.connect(own_server.dsn)
    async with PostgresRunStore(own_server.dsn, schema=schema) as store:
        await fill(store, 1)
        try:
            await connection.execute("ALTER DATABASE postgres SET synchronous_commit = off")
            report = await store.doctor()
        finally:
            await connection.execute("ALTER DATABASE postgres RESET synchronous_commit")
            await connection.close()
    assert report.facts["synchronous_commit"] == "on"
    assert "synchronous-commit" not in codes(report, "warning")


async def test_a_standby_is_told(own_server: PostgresServer) -> None:
    """A server that follows another one is examined all the same, with a warning."""
    schema = f"test_{secrets.token_hex(8)}"
    async with PostgresRunStore(own_server.dsn, schema=schema) as store:
        await fill(store, 3)
    marker = Path(own_server.dsn.partition("host=")[2], "base", "standby.signal")
    own_server.stop("fast")
    marker.touch()
    own_server.start()
    try:
        report = await PostgresRunStore(own_server.dsn, schema=schema).doctor()
    finally:
        own_server.stop("fast")
        marker.unlink()
        own_server.start()
    assert report.is_healthy, str(report)
    assert "standby" in codes(report, "warning")
    assert (report.facts["standby"], report.facts["runs"]) == (True, 3)


async def test_a_role_that_may_only_read_is_told(own_server: PostgresServer) -> None:
    """Where the role may not write, that is a warning; where it may not read either, an error."""
    schema, role = (f"test_{secrets.token_hex(8)}" for _ in range(2))
    async with PostgresRunStore(own_server.dsn, schema=schema) as store:
        await fill(store, 3)
    connection = await asyncpg.connect(own_server.dsn)
    await connection.execute(f"CREATE ROLE {role} LOGIN; GRANT USAGE ON SCHEMA {schema} TO {role}")
    dsn = own_server.dsn.replace("postgres@", f"{role}@")
    assert codes(await PostgresRunStore(dsn, schema=schema).doctor()) == {"unusable"}
    await connection.execute(f"GRANT SELECT ON ALL TABLES IN SCHEMA {schema} TO {role}")
    report = await PostgresRunStore(dsn, schema=schema).doctor()
    await connection.execute(f"DROP OWNED BY {role}; DROP ROLE {role}")
    await connection.close()
    assert report.is_healthy, str(report)
    assert "forbidden" in codes(report, "warning")


async def test_rows_that_a_role_does_not_see_are_told(own_server: PostgresServer) -> None:
    """Where policies hide rows from the role, or triggers do nothing for it, that is said."""
    schema, role = (f"test_{secrets.token_hex(8)}" for _ in range(2))
    async with PostgresRunStore(own_server.dsn, schema=schema) as store:
        await fill(store, 3)
        assert "row-security" not in codes(await store.doctor(), "warning")
    connection = await asyncpg.connect(own_server.dsn)
    await connection.execute(f"CREATE ROLE {role} LOGIN; GRANT USAGE ON SCHEMA {schema} TO {role}")
    await connection.execute(f"GRANT ALL ON ALL TABLES IN SCHEMA {schema} TO {role}")
    await connection.execute(f"ALTER TABLE {schema}.openharness_runs ENABLE ROW LEVEL SECURITY")
    limited = PostgresRunStore(own_server.dsn.replace("postgres@", f"{role}@"), schema=schema)
    assert "row-security" in codes(await limited.doctor(), "warning")
    await connection.execute(f"ALTER ROLE {role} SUPERUSER; ALTER ROLE {role} SET session_replication_role = replica")
    assert codes(await limited.doctor()) == {"replica-role"}
    await connection.execute(f"DROP OWNED BY {role}; DROP ROLE {role}")
    await connection.close()


async def test_a_version_that_was_set_back_is_told(new_store: NewStore, sql: Sql) -> None:
    """Where the mark of a newer version is there, no store opens the tables, whatever their version says."""
    async with new_store() as store:
        await fill(store, 3)
    await sql("CREATE VIEW {s}.openharness_runs_version_2 AS SELECT 2 AS version")
    assert codes(await new_store().doctor()) == {"newer-version"}


async def test_rows_that_somebody_else_changed_are_told(new_store: NewStore, sql: Sql) -> None:
    """Each change of a row behind the back of the store is a finding about its run, and about no other."""
    async with new_store() as store:
        await fill(store, 10)
    for statement in (
        "UPDATE {s}.openharness_runs SET state = replace(state, 'z', 'y') WHERE id = 'r1'",
        "UPDATE {s}.openharness_runs SET created_at = created_at + 1 WHERE id = 'r2'",
        "UPDATE {s}.openharness_runs SET metadata_index = NULL WHERE id = 'r3'",
    ):
        await sql(statement)
    for _ in range(2):
        report = await new_store().doctor()
        assert sorted(str(finding.record_id) for finding in report.of("error")) == ["r1", "r2", "r3"]
        assert codes(report) == {"damaged-record"}
        assert report.facts["runs"] == 7


@pytest.mark.parametrize(
    "statement",
    [
        "DELETE FROM {s}.openharness_run_metadata WHERE run_id = 'r7'",
        "INSERT INTO {s}.openharness_run_metadata VALUES ('\"k\"', '3', 7, 'r7')",
    ],
)
async def test_metadata_that_leads_elsewhere_is_told(new_store: NewStore, sql: Sql, statement: str) -> None:
    """Entries too few or too many are an error that names the run, and what to do about it helps."""
    async with new_store() as store:
        await fill(store, 10)
    await sql(statement)
    (finding,) = (await new_store().doctor()).of("error")
    assert finding.code == "damaged-index"
    assert "r7" in finding.message
    assert finding.advice is not None
    for repair in finding.advice.split("`")[1].split("; "):
        await sql(repair)
    assert (await new_store().doctor()).is_healthy


async def test_indexes_and_triggers_that_are_gone_are_told(new_store: NewStore, sql: Sql) -> None:
    """What was dropped, disabled or made unlogged is told by its name."""
    async with new_store() as store:
        await fill(store, 10)
    before = await new_store().doctor()
    for statement in (
        "ALTER TABLE {s}.openharness_runs DROP CONSTRAINT openharness_runs_pkey",
        "DROP INDEX {s}.openharness_runs_by_time",
        "DROP TRIGGER openharness_run_inserted ON {s}.openharness_runs",
        "DROP FUNCTION {s}.openharness_run_deleted CASCADE",
        "ALTER TABLE {s}.openharness_runs DISABLE TRIGGER openharness_run_updated",
        "ALTER TABLE {s}.openharness_runs SET UNLOGGED",
    ):
        await sql(statement)
    report = await new_store().doctor()
    found = sorted((one.code, one.message.split()[2]) for one in report.findings if one not in before.findings)
    assert found == [
        ("disabled-trigger", "openharness_run_updated"),
        ("missing-function", "openharness_run_deleted"),
        ("missing-index", "openharness_runs"),
        ("missing-index", "openharness_runs_by_time"),
        ("missing-trigger", "openharness_run_deleted"),
        ("missing-trigger", "openharness_run_inserted"),
        ("unlogged-table", "openharness_runs"),
    ]
    assert report.facts["runs"] == 10


@pytest.mark.parametrize(
    "statement, wanted",
    [
        ("UPDATE {s}.openharness_versions SET version = 7", "newer-version"),
        ("DELETE FROM {s}.openharness_versions", "foreign-tables"),
        ("DROP TABLE {s}.openharness_run_metadata", "missing-table"),
    ],
)
async def test_tables_that_are_not_the_store_s_are_told(
    new_store: NewStore, sql: Sql, statement: str, wanted: str
) -> None:
    """Newer tables, tables of nobody, and tables that are not all there are not looked into."""
    async with new_store() as store:
        await fill(store, 1)
    await sql(statement)
    report = await new_store().doctor()
    assert codes(report) == {wanted}
    assert "runs" not in report.facts


async def test_an_index_that_was_not_completed_is_told(new_store: NewStore, sql: Sql) -> None:
    """What CREATE INDEX CONCURRENTLY leaves behind when it fails is not taken for an index."""
    async with new_store() as store:
        await fill(store, 3)
        with contextlib.suppress(asyncpg.UniqueViolationError):
            await sql("CREATE UNIQUE INDEX CONCURRENTLY half_made ON {s}.openharness_runs (status)")
        report = await store.doctor()
    assert codes(report) == {"invalid-index"}
    assert "half_made" in str(report)


async def test_older_tables_are_told(new_store: NewStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """Tables of an older version are examined as they are."""
    async with new_store() as store:
        await fill(store, 3)
    monkeypatch.setattr(
        "openharness.run_store_postgres._store.SCHEMA",
        attrs.evolve(SCHEMA, migrations=(*SCHEMA.migrations, lambda names: [f"CREATE TABLE {names('later')} ()"])),
    )
    report = await new_store().doctor()
    assert report.is_healthy
    assert "older-version" in codes(report, "info")
    assert report.facts["runs"] == 3


async def test_an_examination_takes_the_memory_of_a_few_rows(new_store: NewStore) -> None:
    """All rows are read, and no more than a few of them are here at a time."""
    async with new_store() as store:
        await asyncio.gather(*(store.save_run(make_run(number, size=50_000)) for number in range(200)))
        await store.doctor()
        tracemalloc.start()
        try:
            report = await store.doctor()
            _, most = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
    assert report.facts["runs"] == 200
    assert most < 100 * 50_000


# --- Damage on the disk -----------------------------------------------------------------------------------------------


async def file_of(server: PostgresServer, relation: str) -> Path:
    """Where the server keeps a table or an index, all of which is written to the disk first."""
    connection = await asyncpg.connect(server.dsn)
    await connection.execute("CHECKPOINT")
    path = await connection.fetchval("SELECT pg_relation_filepath($1::text::regclass)", relation)
    await connection.close()
    return Path(server.dsn.partition("host=")[2], "base", path)


def flip(path: Path, place: int, bit: int) -> None:
    """Change one bit of a file."""
    with path.open("r+b") as file:
        file.seek(place)
        (byte,) = file.read(1)
        file.seek(place)
        file.write(bytes([byte ^ 1 << bit]))


async def test_pages_that_cannot_be_read_cost_their_own_rows_only(own_server: PostgresServer) -> None:
    """A damaged page of a table and one of an index are told; every run on another page is counted."""
    schema = f"test_{secrets.token_hex(8)}"
    connection = await asyncpg.connect(own_server.dsn)
    await connection.execute("CREATE EXTENSION IF NOT EXISTS amcheck")
    async with PostgresRunStore(own_server.dsn, schema=schema) as store:
        await asyncio.gather(*(store.save_run(make_run(number, size=400)) for number in range(200)))
        table, index = [await file_of(own_server, f"{schema}.openharness_{name}") for name in ("runs", "runs_by_time")]
    lost = await connection.fetch(f"SELECT id FROM {schema}.openharness_runs WHERE ctid >= '(2,0)' AND ctid < '(3,0)'")  # noqa: S608
    await connection.close()
    own_server.stop("fast")
    flip(table, 2 * 8192 + 6000, 3)
    flip(index, 8192 + 100, 3)
    own_server.start()
    report = await PostgresRunStore(own_server.dsn, schema=schema).doctor()
    assert codes(report) >= {"damaged-data", "damaged-index"}
    assert "page 2 of the table openharness_runs" in str(report)
    assert "openharness_runs_by_time is damaged" in str(report)
    assert 0 < len(lost) < 100
    assert report.facts["runs"] == 200 - len(lost)
    # The server remembers that it has met them.
    report = await PostgresRunStore(own_server.dsn, schema=schema).doctor()
    assert "checksum-failures" in codes(report, "warning")


@pytest.mark.slow
async def test_bits_that_the_server_does_not_notice_are_told(own_server: PostgresServer) -> None:
    """A bit flipped anywhere in a table raises nothing; where a run no longer reads as it was saved, there is an error."""
    many = 200 if os.environ.get("OPENHARNESS_LONG") == "1" else 6
    schemas = [f"test_{secrets.token_hex(8)}" for _ in range(many)]
    paths: list[Path] = []
    for schema in schemas:
        async with PostgresRunStore(own_server.dsn, schema=schema) as store:
            await fill(store)
        paths.append(await file_of(own_server, f"{schema}.openharness_runs"))
    own_server.stop("fast")
    chance = random.Random(1)
    for path in paths:
        flip(path, chance.randrange(path.stat().st_size), chance.randrange(8))
    own_server.start()
    whole = {f"r{number}": make_run(number) for number in range(COUNT)}
    noticed = 0
    # A server that keeps no checksums of its pages, or does not look at them.
    dsn = f"{own_server.dsn}&ignore_checksum_failure=on"
    for schema in schemas:
        store = PostgresRunStore(dsn, schema=schema, reconnect_timeout=50)
        report = await store.doctor()
        assert "ignore-checksum-failure" in codes(report, "warning")
        try:
            found = {run.id: run for run in await store.list_runs()}
        except Exception:  # noqa: BLE001 - whatever it says, the table is damaged
            found = {}
        await store.close()
        assert found == whole or not report.is_healthy, str(report)
        noticed += not report.is_healthy
    assert noticed > many // 6


async def test_a_store_beside_those_who_write(openharness_postgres: PostgresPlace, new_store: NewStore) -> None:
    """An examination waits for nobody who writes, and sees one moment."""
    async with new_store() as store:
        await fill(store, 5)
        other = await asyncpg.connect(openharness_postgres.dsn)
        transaction = other.transaction()
        await transaction.start()
        await other.execute(f"DELETE FROM {store._names('runs')}")  # noqa: S608
        report = await store.doctor()
        await transaction.rollback()
        await other.close()
    assert report.is_healthy, str(report)
    assert report.facts["runs"] == 5
    assert report.of(Severity.ERROR) == ()
