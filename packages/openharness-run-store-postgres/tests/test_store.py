"""What the contract does not ask: tables, statements, limits, and what users do to a database."""

from __future__ import annotations

import asyncio
import gc
import secrets
import warnings
from typing import TYPE_CHECKING, Any

import asyncpg
import attrs
import pytest

from openharness.core import (
    CorruptRecordError,
    InvalidValueError,
    RunQuery,
    RunRecord,
    StoreBusyError,
    StoreClosedError,
    StoreCorruptError,
    StoreError,
    StoreOpenError,
    StoreReadOnlyError,
    StoreVersionError,
)
from openharness.core.plugins import open_run_store
from openharness.postgres import _pool
from openharness.run_store_postgres import PostgresRunStore
from openharness.run_store_postgres._schema import SCHEMA

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from openharness.postgres import Names
    from openharness.testing.postgres import PostgresPlace

NewStore = "Callable[..., PostgresRunStore]"
LIMITS = ["statement_timeout", "transaction_timeout", "idle_in_transaction_session_timeout"]

Sql = "Callable[..., Awaitable[list[Any]]]"


def make_run(run_id: str, **rest: Any) -> RunRecord:
    """A run with this id."""
    return RunRecord(run_id, **{"created_at": 1, "state": run_id, **rest})


# Group commit.


async def test_saves_of_many_tasks_share_statements(new_store: NewStore, statements: list[str]) -> None:
    """Of 64 saves at once the first goes alone and the others together; a lone save is one statement."""
    async with new_store() as store:
        await store.save_run(make_run("first"))
        statements.clear()
        await asyncio.gather(*(store.save_run(make_run(f"r{number}")) for number in range(64)))
        assert len(statements) <= 2
        statements.clear()
        await store.save_run(make_run("last"))
        assert len(statements) == 1
        assert await store.count_runs() == 66


async def test_of_several_saves_of_one_run_in_a_batch_the_last_stays(
    new_store: NewStore, statements: list[str]
) -> None:
    """Saves that are written together take effect in their order, with what finds them."""
    async with new_store() as store:
        await store.save_run(make_run("first"))
        statements.clear()
        saves = [store.save_run(make_run("a", state=number, metadata={"n": number})) for number in range(20)]
        await asyncio.gather(*saves)
        assert len(statements) <= 2
        run = await store.get_run("a")
        assert run is not None
        assert run.state == 19
        assert [await store.count_runs(RunQuery(metadata={"n": number})) for number in range(20)] == [*[0] * 19, 1]


async def test_a_row_that_the_server_refuses_fails_alone(new_store: NewStore, sql: Sql) -> None:
    """The others of its batch are saved."""
    async with new_store() as store:
        await store.save_run(make_run("first"))
        await sql("ALTER TABLE {s}.openharness_runs ADD CHECK (id <> 'bad')")
        saves = [store.save_run(make_run(run_id)) for run_id in ("a", "b", "bad", "c", "d")]
        results = await asyncio.gather(*saves, return_exceptions=True)
        assert [type(result) for result in results] == [type(None), type(None), StoreError, type(None), type(None)]
        assert {run.id for run in await store.list_runs()} == {"first", "a", "b", "c", "d"}


async def test_deadlocks_and_conflicts_are_not_seen(new_store: NewStore, sql: Sql) -> None:
    """Where the server's transactions are serializable, and so fail when they meet, saves are done again until they fit."""
    await sql("ALTER ROLE CURRENT_USER SET default_transaction_isolation = serializable")
    try:
        async with new_store() as one, new_store() as two:
            for turn in range(5):
                runs = [make_run(f"r{number}", state=turn, metadata={"turn": turn}) for number in range(10)]
                await asyncio.gather(*(store.save_run(run) for store in (one, two) for run in runs))
            assert await one.count_runs(RunQuery(metadata={"turn": 4})) == 10
            assert await sql("SELECT count(*) FROM {s}.openharness_run_metadata") == [(10,)]
    finally:
        await sql("ALTER ROLE CURRENT_USER RESET default_transaction_isolation")


async def test_what_another_process_changes_keeps_the_metadata_right(new_store: NewStore, sql: Sql) -> None:
    """Runs that are changed, moved or deleted by SQL are found by what they are then."""
    async with new_store() as store:
        for number in range(3):
            await store.save_run(make_run(f"r{number}", metadata={"n": number}))
        await sql("""UPDATE {s}.openharness_runs SET metadata_index = '{{"n": "7"}}' WHERE id = 'r1'""")
        await sql("DELETE FROM {s}.openharness_runs WHERE id = 'r0'")
        found = await sql("SELECT run_id, key, value FROM {s}.openharness_run_metadata ORDER BY run_id")
        assert found == [("r1", "n", "7"), ("r2", "n", "2")]
        with pytest.raises(StoreCorruptError, match="does not meet the conditions"):
            await store.list_runs(RunQuery(metadata={"n": 7}))


async def test_keys_and_values_longer_than_an_index_takes(new_store: NewStore) -> None:
    """Metadata of 100 KiB that cannot be compressed is found by its key and value, and by nothing that begins alike."""
    long = secrets.token_hex(50_000)
    async with new_store() as store:
        await store.save_run(make_run("key", metadata={long: 1}))
        await store.save_run(make_run("value", metadata={"k": long}))
        await store.save_run(make_run("é" * 90, metadata={"é" * 200: "é" * 200}))
        for wanted, metadata in (("key", {long: 1}), ("value", {"k": long}), ("é" * 90, {"é" * 200: "é" * 200})):
            assert [run.id for run in await store.list_runs(RunQuery(metadata=metadata))] == [wanted]
        assert await store.count_runs(RunQuery(metadata={"k": long[:-1]})) == 0
        assert await store.count_runs(RunQuery(metadata={"é" * 199: "é" * 200})) == 0


# Reading.


@pytest.mark.parametrize(
    "query,index",
    [
        (RunQuery(limit=50), "openharness_runs_by_time"),
        (RunQuery(limit=50, created_after=500_000, order="oldest"), "openharness_runs_by_time"),
        (RunQuery(limit=50, cursor=make_run("r500", created_at=500).cursor), "openharness_runs_by_time"),
        (RunQuery(limit=50, status="failed"), "openharness_runs_by_status"),
        (RunQuery(limit=50, metadata={"tenant": "t3"}), "openharness_run_metadata_pkey"),
        (RunQuery(limit=50, metadata={"tenant": "t3"}, cursor=make_run("r5", created_at=5).cursor), "openharness_run_metadata_pkey"),
        (RunQuery(id_prefix="r77"), "openharness_runs_pkey"),
    ],
)  # fmt: skip
async def test_queries_walk_an_index(
    filled: Callable[[], Awaitable[PostgresRunStore]], sql: Sql, query: RunQuery, index: str
) -> None:
    """Whatever is asked for is found by an index, of which all but that of the rare ones is in the order of the answer."""
    store = await filled()
    statement, values = store._queries.select(query)
    plan = "\n".join(line for (line,) in await sql("EXPLAIN " + statement.replace("{", "{{"), *values))
    assert index in plan
    assert "Seq Scan" not in plan
    if query.limit is not None and query.status is None:
        assert "Sort" not in plan


async def test_many_keys_are_looked_for_one_by_one(filled: Callable[[], Awaitable[PostgresRunStore]], sql: Sql) -> None:
    """From some keys on the planner may not make joins of them, whose orders it would try for minutes."""
    store = await filled()
    statement, values = store._queries.select(RunQuery(metadata={"tenant": "t3", **{f"k{n}": n for n in range(20)}}))
    plan = "\n".join(line for (line,) in await sql("EXPLAIN " + statement.replace("{", "{{"), *values))
    assert plan.count("SubPlan") >= 16
    assert "Seq Scan" not in plan


@pytest.fixture
async def filled(new_store: NewStore, sql: Sql) -> Callable[[], Awaitable[PostgresRunStore]]:
    """Return what gives a store with 20,000 runs, made by the server."""

    async def fill() -> PostgresRunStore:
        async with new_store() as store:
            await store.count_runs()
        await sql(
            "INSERT INTO {s}.openharness_runs (id, created_at, status, metadata_index, checksum, state_checksum, state) "
            "SELECT 'r' || n, n, CASE WHEN n % 100 = 0 THEN 'failed' ELSE 'completed' END, "
            "jsonb_build_object('tenant', '\"t' || n % 50 || '\"'), '', '', '' FROM generate_series(1, 20000) AS n"
        )
        await sql("ANALYZE {s}.openharness_runs, {s}.openharness_run_metadata")
        return store

    return fill


async def test_retention_works_in_batches(
    filled: Callable[[], Awaitable[PostgresRunStore]], new_store: NewStore, statements: list[str]
) -> None:
    """Pruning deletes some hundred runs a statement, and saves of others come in between."""
    await filled()
    async with new_store() as store:
        statements.clear()
        pruning = asyncio.ensure_future(store.prune_runs(keep_last=19_000))
        saves = 0
        while not pruning.done():
            await store.save_run(make_run("new", created_at=10**6))
            saves += 1
        assert await pruning == 1_000
        deletes = [statement for statement in statements if "DELETE" in statement]
        assert len(deletes) == 4
        assert saves > 1
        assert await store.prune_runs(older_than=2_000, status="failed", dry_run=True) == 9
        assert await store.count_runs() == 19_001


async def test_a_damaged_column_is_noticed(new_store: NewStore, sql: Sql) -> None:
    """Every column is under a checksum, also where the state is not read."""
    async with new_store() as store:
        for column, value in (
            ("created_at", "2"), ("completed_at", "3"), ("status", "'failed'"), ("error", "'e'"), ("recording_id", "'r'"),
            ("parent_run_id", "'p'"), ("metadata", "'{{}}'"), ("checksum", "'x'"), ("state_checksum", "'x'"),
        ):  # fmt: skip
            await store.save_run(make_run("a"))
            await sql(f"UPDATE {{s}}.openharness_runs SET {column} = {value}")  # noqa: S608 - our own
            with pytest.raises(CorruptRecordError, match="'a' is damaged"):
                await store.list_runs(RunQuery(include_state=False))


# Tables.


async def test_names_of_schema_and_prefix_are_only_names(openharness_postgres: PostgresPlace) -> None:
    """A schema may be called anything, and stores of two prefixes share one without knowing of each other."""
    schema = f"""a "qu'oted" $$näme\\; {openharness_postgres.schema}"""[:60]
    for prefix in ("", "one_", "two_"):
        async with PostgresRunStore(openharness_postgres.dsn, schema=schema, prefix=prefix) as store:
            await store.save_run(make_run(f"of {prefix}", metadata={"k": 1}))
            assert [run.id for run in await store.list_runs(RunQuery(metadata={"k": 1}))] == [f"of {prefix}"]
            await store.delete_run(f"of {prefix}")
            assert await store.count_runs() == 0


async def test_a_newer_version_is_refused_and_left(new_store: NewStore, sql: Sql) -> None:
    """Tables of a newer release raise StoreVersionError, which says both versions, and nothing is changed."""
    async with new_store() as store:
        await store.save_run(make_run("a"))
    await sql("UPDATE {s}.openharness_versions SET version = 9 WHERE component = 'runs'")
    for _ in range(2):
        store = new_store()
        with pytest.raises(StoreVersionError, match="version 9, this code reads up to 1"):
            await store.save_run(make_run("b"))
        await store.close()
    assert await sql("SELECT id FROM {s}.openharness_runs") == [("a",)]
    assert await sql("SELECT version FROM {s}.openharness_versions") == [(9,)]


async def test_tables_of_another_program_are_refused_and_left(new_store: NewStore, sql: Sql) -> None:
    """A table or a function of the same name that is not ours is an error that names it; nothing is made beside it."""
    await sql("CREATE SCHEMA {s}")
    await sql("CREATE TABLE {s}.openharness_run_metadata (mine text)")
    store = new_store()
    with pytest.raises(StoreCorruptError, match="openharness_run_metadata"):
        await store.save_run(make_run("a"))
    await store.close()
    tables = await sql("SELECT relname FROM pg_class WHERE relnamespace = to_regnamespace('{s}') AND relkind = 'r'")
    assert tables == [("openharness_run_metadata",)]
    await sql("DROP TABLE {s}.openharness_run_metadata")
    await sql("CREATE FUNCTION {s}.openharness_run_inserted() RETURNS integer LANGUAGE sql AS 'SELECT 1'")
    store = new_store()
    with pytest.raises(StoreCorruptError, match="openharness_run_inserted"):
        await store.save_run(make_run("a"))
    await store.close()


async def test_tables_that_were_dropped_are_an_error(new_store: NewStore, sql: Sql) -> None:
    """A store whose tables are gone says so, and does not make empty ones."""
    async with new_store() as store:
        await store.save_run(make_run("a"))
        await sql("DROP TABLE {s}.openharness_runs")
        with pytest.raises(StoreCorruptError, match="not as their version has them"):
            await store.save_run(make_run("b"))


async def test_a_database_of_another_encoding_is_refused(openharness_postgres: PostgresPlace, sql: Sql) -> None:
    """One that cannot keep every text is refused before anything is written."""
    name = openharness_postgres.schema
    await sql(f"CREATE DATABASE {name} TEMPLATE template0 ENCODING 'LATIN1' LOCALE 'C'")
    store = PostgresRunStore(openharness_postgres.dsn.replace("/postgres?", f"/{name}?"))
    with pytest.raises(StoreOpenError, match="encoding LATIN1"):
        await store.save_run(make_run("a"))
    await store.close()
    await sql(f"DROP DATABASE {name}")


async def test_a_role_that_may_only_use_what_is_there(
    new_store: NewStore, sql: Sql, openharness_postgres: PostgresPlace
) -> None:
    """Where the tables exist, a role needs no right to create; one without any right is told what it needs."""
    async with new_store() as store:
        await store.save_run(make_run("a"))
    role = openharness_postgres.schema
    await sql(f"CREATE ROLE {role} LOGIN")
    limited = PostgresRunStore(openharness_postgres.dsn.replace("postgres@", f"{role}@"), schema=role)
    with pytest.raises(StoreOpenError, match="the role may not do this"):
        await limited.get_run("a")
    await sql(f"GRANT USAGE ON SCHEMA {{s}} TO {role}")
    await sql(f"GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA {{s}} TO {role}")
    await limited.save_run(make_run("b", metadata={"k": 1}))
    await limited.delete_run("a")
    assert [run.id for run in await limited.list_runs()] == ["b"]
    await limited.close()


# Limits of time and number.


async def test_a_lock_that_is_held_for_too_long_is_an_error(
    new_store: NewStore, openharness_postgres: PostgresPlace
) -> None:
    """After command_timeout a save raises StoreBusyError; it is not done later, and the store goes on."""
    async with new_store(command_timeout=2) as store:
        await store.save_run(make_run("a", state=1))
        other = await asyncpg.connect(openharness_postgres.dsn)
        transaction = other.transaction()
        await transaction.start()
        await other.execute(f"LOCK TABLE {openharness_postgres.schema}.openharness_runs")
        with pytest.raises(StoreBusyError, match="did not answer in time"):
            await store.save_run(make_run("a", state=2))
        await transaction.rollback()
        await other.close()
        await store.save_run(make_run("b"))
        run = await store.get_run("a")
        assert run is not None
        assert run.state == 1


async def test_readers_wait_for_a_connection_and_then_give_up(
    new_store: NewStore, openharness_postgres: PostgresPlace, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With all connections in use, a read waits; after command_timeout it raises StoreBusyError. Saves go on."""
    async with new_store(max_connections=2, command_timeout=500) as store:
        await store.save_run(make_run("a"))
        session = store._current()
        other = await asyncpg.connect(openharness_postgres.dsn)

        async def hold() -> asyncio.Future[Any]:
            # One of the two connections is the writer's; the other one waits for a lock from here on.
            await other.execute("SELECT pg_advisory_lock(7)")
            holding = asyncio.ensure_future(session.fetch("SELECT pg_advisory_xact_lock(7)"))
            while not await other.fetch("SELECT 1 FROM pg_locks WHERE locktype = 'advisory' AND NOT granted"):  # noqa: ASYNC110
                await asyncio.sleep(0.01)
            return holding

        holding = await hold()
        waiting = asyncio.ensure_future(session.fetch("SELECT 1"))
        await asyncio.sleep(0)
        await store.save_run(make_run("b"))
        assert not waiting.done()
        await other.execute("SELECT pg_advisory_unlock(7)")
        assert [len(rows) for rows in await asyncio.gather(holding, waiting)] == [1, 1]

        holding = await hold()
        waiting = asyncio.ensure_future(session.fetch("SELECT 1"))
        await asyncio.sleep(0.01)
        # Both have waited for too long now, on a machine of any speed.
        loop = asyncio.get_running_loop()
        time = loop.time
        monkeypatch.setattr(loop, "time", lambda: time() + 1000)
        with pytest.raises(StoreBusyError, match="all 2 connections were in use"):
            await waiting
        with pytest.raises(StoreBusyError):
            await holding
        await other.close()
        assert await store.count_runs() == 2


async def test_connections_that_nobody_needs_are_closed(new_store: NewStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """Those that read are closed some time after their last use, also where nothing is read any more; then others come."""
    monkeypatch.setattr(_pool, "_IDLE", 0.01)
    async with new_store() as store:
        await asyncio.gather(*(store.count_runs() for _ in range(20)))
        async with asyncio.timeout(50):
            while store._session._reading.is_open:  # noqa: ASYNC110 - nobody is told
                await asyncio.sleep(0.01)
        assert await store.count_runs() == 0


async def test_a_server_that_was_never_there_is_not_waited_for(tmp_path: Any) -> None:
    """The first use raises StoreOpenError at once, whatever reconnect_timeout is; the message has no password."""
    store = PostgresRunStore(f"postgresql://user:s3cret@/db?host={tmp_path}", reconnect_timeout=1000)
    async with asyncio.timeout(50):
        with pytest.raises(StoreOpenError, match="cannot be reached") as caught:
            await store.save_run(make_run("a"))
    assert "s3cret" not in f"{caught.value} {store!r}"
    await store.close()


async def test_a_database_that_is_not_there_is_an_error(openharness_postgres: PostgresPlace) -> None:
    """The first use says what the server says."""
    store = PostgresRunStore(openharness_postgres.dsn.replace("/postgres?", "/nowhere?"))
    with pytest.raises(StoreOpenError, match='database "nowhere" does not exist'):
        await store.get_run("a")
    await store.close()


async def test_a_server_that_may_only_be_read(new_store: NewStore, sql: Sql) -> None:
    """Saves raise StoreReadOnlyError and reads work; when it may be written again, the same store does."""
    async with new_store() as store:
        await store.save_run(make_run("a"))
        assert store._session is not None
        await store._session._writing.fetch("SET default_transaction_read_only = on")
        with pytest.raises(StoreReadOnlyError, match="read-only"):
            await store.save_run(make_run("b"))
        assert await store.get_run("a") is not None
        # On a connection of its own, as after a failover.
        await store.save_run(make_run("b"))


# Life.


def test_a_store_outlives_its_event_loop(new_store: NewStore) -> None:
    """When the loop it was used in is closed, it may be used in another, and the old connections are gone."""
    store = new_store()
    for number in range(3):
        asyncio.run(store.save_run(make_run(f"r{number}")))

    async def end() -> int:
        async with store:
            rows = await store._current().fetch(
                "SELECT count(*) FROM pg_stat_activity WHERE application_name LIKE 'openharness:%' AND pid <> pg_backend_pid()"
            )
            assert rows[0][0] < 5
            return await store.count_runs()

    assert asyncio.run(end()) == 3
    gc.collect()


@pytest.mark.parametrize("how", ["used again", "closed", "dropped"])
def test_a_store_whose_event_loop_is_closed_lets_go_without_a_word(
    new_store: NewStore, caplog: pytest.LogCaptureFixture, how: str
) -> None:
    """Connections of a loop that is closed are dropped, and nothing is logged, whatever happens to the store then."""
    caplog.set_level("DEBUG")
    store = new_store()

    async def use() -> None:
        await store.save_run(make_run("a"))
        assert await store.get_run("a") is not None

    asyncio.run(use())
    caplog.clear()
    if how == "used again":
        asyncio.run(use())
    if how == "dropped":
        with pytest.warns(ResourceWarning, match="was never closed"):  # noqa: PT031
            del store, use
            gc.collect()
    else:
        asyncio.run(store.close())
    gc.collect()
    # What the loops of asyncio say of themselves.
    assert [record.message for record in caplog.records if "selector" not in record.message] == []


async def test_a_store_that_nobody_closed_warns_and_lets_go(new_store: NewStore, sql: Sql) -> None:
    """Dropped, it says so once, and its connections end."""
    store = new_store()
    await store.save_run(make_run("a"))
    assert store._session is not None
    label = store._session._writing._label
    with pytest.warns(ResourceWarning, match=r"was never closed. Use `async with PostgresRunStore"):  # noqa: PT031
        del store
        gc.collect()
    async with asyncio.timeout(50):
        while await sql("SELECT pid FROM pg_stat_activity WHERE application_name = $1", label):  # noqa: ASYNC110
            await asyncio.sleep(0.01)


async def test_a_loop_that_is_shut_down_leaves_no_task_behind(new_store: NewStore) -> None:
    """Cancelling every task there is, as the end of a program does, ends what the store does and leaves it usable."""
    async with new_store() as store:
        await store.save_run(make_run("a"))
        saves = [asyncio.ensure_future(store.save_run(make_run(f"r{number}"))) for number in range(20)]
        await asyncio.sleep(0)
        for task in asyncio.all_tasks() - {asyncio.current_task()}:
            task.cancel()
        await asyncio.gather(*saves, return_exceptions=True)
        await store.save_run(make_run("b"))
        assert {"a", "b"} <= {run.id for run in await store.list_runs()}


def test_the_child_of_a_fork_does_not_touch_the_connections(new_store: NewStore) -> None:
    """A store that was opened before a fork refuses to work in the child, and says why."""

    async def main() -> None:
        async with new_store() as store:
            await store.save_run(make_run("a"))
            assert store._session is not None
            store._session.process += 1
            with pytest.raises(StoreClosedError, match="forked"):
                await store.get_run("a")
            store._session.process -= 1

    asyncio.run(main())


# Arguments.


@pytest.mark.parametrize(
    "arguments,named",
    [
        ({"schema": ""}, "schema"),
        ({"schema": "x" * 64}, "schema"),
        ({"schema": "a\0"}, "schema"),
        ({"schema": "\ud800"}, "schema"),
        ({"schema": "pg_temp"}, "schema"),
        ({"schema": 3}, "schema"),
        ({"prefix": "Upper"}, "prefix"),
        ({"prefix": "a-b"}, "prefix"),
        ({"prefix": "x" * 33}, "prefix"),
        ({"max_connections": 1}, "max_connections"),
        ({"max_connections": True}, "max_connections"),
        ({"max_bytes": 0}, "max_bytes"),
        ({"statement_cache_size": -1}, "statement_cache_size"),
        ({"command_timeout": 0}, "command_timeout"),
        ({"connect_timeout": float("nan")}, "connect_timeout"),
        ({"reconnect_timeout": -1}, "reconnect_timeout"),
        ({"reconnect_timeout": "3"}, "reconnect_timeout"),
        ({"ssl": "please"}, "ssl"),
        ({"password": 3}, "password"),
        ({"dsn": "sqlite:///runs.db"}, "dsn"),
        ({"dsn": "host=localhost password=s3cret"}, "dsn"),
        ({"dsn": b"postgresql://"}, "dsn"),
        ({"dsn": "postgresql://\0"}, "dsn"),
    ],
)
def test_wrong_arguments_are_refused(arguments: dict[str, Any], named: str) -> None:
    """Each is an InvalidValueError that names the argument, and shows no password."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(InvalidValueError) as caught:
            PostgresRunStore(**{"dsn": "postgresql://localhost/db", **arguments})
    assert caught.value.name == named
    assert "s3cret" not in str(caught.value)


async def test_a_migration_may_take_longer_than_a_statement(
    openharness_postgres: PostgresPlace, sql: Sql, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While tables are brought forward neither the store's limit for a statement holds, nor those of the role."""
    place = openharness_postgres
    async with PostgresRunStore(place.dsn, schema=place.schema) as store:
        await store.save_run(make_run("before"))
    given: list[float | None] = []
    honest = asyncpg.Connection.execute

    async def execute(self: Any, query: str, *arguments: object, timeout: float | None = None) -> str:
        if "witness" in query:
            given.append(timeout)
        return await honest(self, query, *arguments, timeout=timeout)

    def later(names: Names) -> list[str]:
        limits = ", ".join(f"current_setting('{name}', true)" for name in LIMITS)
        return [f"CREATE TABLE {names('witness')} AS SELECT ARRAY[{limits}] AS limits"]

    monkeypatch.setattr(asyncpg.Connection, "execute", execute)
    monkeypatch.setattr(
        "openharness.run_store_postgres._store.SCHEMA",
        attrs.evolve(SCHEMA, migrations=(*SCHEMA.migrations, later)),
    )
    # The limit of a transaction is new in PostgreSQL 17.
    ((known,),) = await sql("SELECT array_agg(name) FROM pg_settings WHERE name = ANY ($1)", LIMITS)
    limited = "&".join(f"{name}=60000" for name in known)
    dsn = f"{place.dsn}{'&' if '?' in place.dsn else '?'}{limited}"
    async with PostgresRunStore(dsn, schema=place.schema, command_timeout=60) as store:
        assert await store.get_run("before") == make_run("before")
    assert [limit is not None and limit > 3_600 for limit in given] == [True]
    expected = ["0" if name in known else None for name in LIMITS]
    assert await sql("SELECT limits FROM {s}.openharness_witness") == [(expected,)]


async def test_options_in_a_url(openharness_postgres: PostgresPlace) -> None:
    """A URL may hold the options of the store beside those of libpq, under both names of the scheme."""
    url = f"{openharness_postgres.dsn}&schema={openharness_postgres.schema}&prefix=p_&max_connections=2&command_timeout=9.5"
    for scheme in ("postgresql", "postgres"):
        async with open_run_store(url.replace("postgresql", scheme, 1)) as store:
            assert isinstance(store, PostgresRunStore)
            assert store._settings.max_connections == 2
            assert store._settings.command_timeout == 9.5
            assert store._names("runs") == f'"{openharness_postgres.schema}"."p_runs"'
            await store.save_run(make_run(scheme))
            assert await store.get_run("postgresql") is not None
    for wrong in ("?schema=a&schema=b", "?max_connections=many", "?schema"):
        with pytest.raises(InvalidValueError):
            open_run_store(f"postgresql://localhost/db{wrong}")


async def test_no_two_processes_give_statements_the_same_name(
    new_store: NewStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Behind a pooler that does not know of prepared statements, one of another process is never taken for one's own."""
    names: list[str] = []
    for _ in range(2):
        # As at the start of a process.
        monkeypatch.setattr("asyncpg.connection._uid", 0)
        async with new_store() as store:
            await store.save_run(make_run("a"))
            assert await store.get_run("a") is not None
            for channel in (store._session._writing, *store._session._reading._channels):
                rows = await channel._connection.fetch("SELECT name FROM pg_prepared_statements")
                names += [row[0] for row in rows]
    assert len(names) > 4
    assert len(set(names)) == len(names)


async def test_without_prepared_statements(new_store: NewStore) -> None:
    """With statement_cache_size=0, as some poolers need it, everything works and nothing is prepared."""
    async with new_store(statement_cache_size=0) as store:
        await asyncio.gather(
            *(store.save_run(make_run(f"r{number}", metadata={"n": number % 2})) for number in range(9))
        )
        assert await store.count_runs(RunQuery(metadata={"n": 1})) == 4
        rows = await store._current().fetch("SELECT count(*) FROM pg_prepared_statements")
        assert rows[0][0] <= 1


async def test_a_password_may_be_asked_for(openharness_postgres: PostgresPlace) -> None:
    """A function gives the password of each connection, as short-lived tokens need it."""
    asked: list[int] = []

    async def token() -> str:
        asked.append(1)
        return "secret"

    place = openharness_postgres
    async with PostgresRunStore(place.dsn, schema=place.schema, password=token) as store:
        await store.save_run(make_run("a"))
        assert await store.get_run("a") is not None
    assert len(asked) == 2
