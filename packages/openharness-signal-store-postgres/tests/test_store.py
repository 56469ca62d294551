"""What is particular to recordings in PostgreSQL: one round trip, pages, the index of names, damage, shared schemas."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING, Any

import asyncpg
import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from openharness.core import (
    Blob,
    CorruptRecordError,
    RecordingConflictError,
    RecordingFinalizedError,
    RecordingNotFoundError,
    RecordingQuery,
    RunRecord,
    SignalSource,
    StoreBusyError,
    digest,
)
from openharness.core.plugins import open_signal_store
from openharness.core.storage import HavingName, RecordingSearch
from openharness.postgres import Channel, _listener
from openharness.signal_store_postgres import PostgresSignalStore, _following, _reading
from openharness.signal_store_postgres._names import indexed_prefix
from openharness.signal_store_postgres._rows import indexed_name, name_from

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from openharness.core import Signal
    from openharness.postgres import Row
    from openharness.testing.postgres import PostgresPlace

    NewStore = Callable[..., PostgresSignalStore]

Make = Any
Sql = Any


async def loaded(store: PostgresSignalStore, recording_id: str) -> list[Signal]:
    """Return the signals of a recording that must be there."""
    recording = await store.load_recording(recording_id)
    assert recording is not None
    return list(recording.signals)


def test_a_url_opens_it() -> None:
    """``postgres:`` and ``postgresql:`` are this store's schemes, with the store's options."""
    for scheme in ("postgres", "postgresql"):
        store = open_signal_store(f"{scheme}://host/database?schema=agents&prefix=x_")
        assert isinstance(store, PostgresSignalStore)
        assert "agents" in repr(store)


# --- One round trip ---------------------------------------------------------------------------------------------------


async def test_appends_at_once_are_one_statement(new_store: NewStore, make: Make, statements: list[str]) -> None:
    """What many runs append at the same time, and the end of each, is one statement: nothing is asked before."""
    async with new_store() as store:
        ids = [await store.create_recording(run_id=f"run-{number}") for number in range(20)]
        statements.clear()
        await asyncio.gather(
            *(store.append(one, make(3)) for one in ids), *(store.finalize(one, outcome="completed") for one in ids)
        )
        assert len(statements) == 1
        assert {info.outcome for info in await store.list_recordings()} == {"completed"}
        assert [len(await loaded(store, one)) for one in ids] == [3] * 20


async def test_one_that_may_not_disturbs_nobody(new_store: NewStore, make: Make) -> None:
    """Appends that are refused get their own error, and all others beside them are written."""
    async with new_store() as store:
        ids = [await store.create_recording(run_id=f"run-{number}") for number in range(4)]
        await store.finalize(ids[3], outcome="failed")
        results = await asyncio.gather(
            store.append(ids[0], make(2)),
            store.append(ids[1], make(2, start=5)),
            store.append("rec_unknown", make(2)),
            store.append(ids[3], make(2)),
            store.append(ids[2], make(2)),
            store.append(ids[0], make(1, start=2)),
            store.append(ids[0], make(1, name="other:name")),
            return_exceptions=True,
        )
        assert [type(result) for result in results] == [
            type(None), RecordingConflictError, RecordingNotFoundError, RecordingFinalizedError, type(None), type(None),
            RecordingConflictError,
        ]  # fmt: skip
        assert [len(await loaded(store, one)) for one in ids] == [3, 0, 2, 0]


async def test_what_another_store_changed_is_noticed(new_store: NewStore, make: Make, statements: list[str]) -> None:
    """What a store remembers of a recording is never relied on: others append to it, finalize it and delete it."""
    async with new_store() as one, new_store() as two:
        first, second, third = [await one.create_recording(run_id="run") for _ in range(3)]
        await one.append(first, make(2))
        await two.append(first, make(2, start=2))
        # Remembered are two signals, and there are four.
        await one.append(first, make(1, start=2))
        with pytest.raises(RecordingConflictError):
            await one.append(first, make(1, start=3, name="other:name"))
        await one.append(first, make(3, start=3))
        assert await loaded(two, first) == make(6)
        await two.finalize(second, outcome="failed")
        with pytest.raises(RecordingFinalizedError):
            await one.append(second, make(1))
        await two.delete_recording(third)
        with pytest.raises(RecordingNotFoundError):
            await one.append(third, make(1))
        # Having asked once, it is remembered rightly.
        statements.clear()
        await one.append(first, make(1, start=6))
        assert len(statements) == 1


async def test_a_row_that_cannot_be_written_fails_alone(new_store: NewStore, make: Make, sql: Sql) -> None:
    """When the server refuses a row, nothing of its append is there, and those beside it succeed."""
    async with new_store() as store:
        ids = [await store.create_recording(run_id=f"run-{number}") for number in range(3)]
        await sql("ALTER TABLE openharness_signals ADD CHECK (name <> 'bad')")
        bad = [*make(1), attrs.evolve(make(2)[1], name="bad")]
        results = await asyncio.gather(
            store.append(ids[0], make(2)),
            store.append(ids[1], bad),
            store.append(ids[2], make(2)),
            return_exceptions=True,
        )
        assert [result is None for result in results] == [True, False, True]
        assert [len(await loaded(store, one)) for one in ids] == [2, 0, 2]


@pytest.mark.parametrize("committed", [True, False])
async def test_an_append_whose_answer_was_lost_is_written_once(
    new_store: NewStore, make: Make, monkeypatch: pytest.MonkeyPatch, committed: bool
) -> None:
    """A connection lost just before or after the commit: the appends, and the end, are there once and nobody fails."""
    honest = Channel.fetch
    lost = 0

    async def fetch(self: Channel, statement: str, *arguments: object) -> list[Row]:
        nonlocal lost
        if "INSERT INTO" not in statement or lost:
            return await honest(self, statement, *arguments)
        lost += 1
        if committed:
            await honest(self, statement, *arguments)
        self.drop()
        raise asyncpg.ConnectionDoesNotExistError("lost")

    async with new_store() as store:
        one, two = [await store.create_recording(run_id="run") for _ in range(2)]
        monkeypatch.setattr(Channel, "fetch", fetch)
        await asyncio.gather(
            store.append(one, make(3)),
            store.append(one, make(2, start=3)),
            store.finalize(one, outcome="completed"),
            store.append(two, make(1)),
        )
        assert lost == 1
        assert await loaded(store, one) == make(5)
        assert await loaded(store, two) == make(1)
        # Who comes later is refused all the same.
        with pytest.raises(RecordingFinalizedError):
            await store.append(one, make(1))


@pytest.mark.parametrize("pauses", range(1, 5))
async def test_work_goes_on_when_somebody_cancels_every_task(new_store: NewStore, make: Make, pauses: int) -> None:
    """Tasks of the store that are cancelled from outside leave each append whole or not at all, and the store goes on."""
    async with new_store() as store:
        one = await store.create_recording(run_id="run")
        before = asyncio.all_tasks()
        work = asyncio.ensure_future(store.append(one, make(3)))
        for _ in range(pauses):
            await asyncio.sleep(0)
        for task in asyncio.all_tasks() - {work} - before:
            task.cancel()
        await asyncio.wait_for(asyncio.gather(work, return_exceptions=True), 50)
        await store.append(one, make(3))
        assert await loaded(store, one) == make(3)


# --- Pages and names --------------------------------------------------------------------------------------------------


@pytest.fixture
def pages(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Return the list of how many rows each page of signals had."""
    seen: list[int] = []
    honest = Channel.fetch

    async def fetch(self: Channel, sql: str, *arguments: object) -> list[Row]:
        rows = await honest(self, sql, *arguments)
        if "AS page" in sql:
            seen.append(len(rows))
        return rows

    monkeypatch.setattr(Channel, "fetch", fetch)
    return seen


async def test_a_page_is_bounded_by_rows_and_bytes(
    new_store: NewStore, make: Make, pages: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """However long a recording is, no more than a page of it is read at a time; and pages are read when needed."""
    async with new_store() as store:
        one = await store.create_recording(run_id="run")
        await store.append(one, make(1200))
        assert [signal.seq async for signal in store.iter_signals(one, start=100)] == list(range(100, 1200))
        assert pages == [500, 500, 100]
        pages.clear()
        monkeypatch.setattr(_reading, "_PAGE_BYTES", 1000)
        reading = aiter(store.iter_signals(one))
        assert (await anext(reading)).seq == 0
        assert len(pages) == 1
        assert pages[0] < 150
        assert [signal.seq async for signal in store.iter_signals(one, patterns="text:*")] == list(range(1200))
        assert await loaded(store, one) == make(1200)


@pytest.mark.parametrize("patterns,read", [
    ("rare:name", 12), (["rare:name", "other:name"], 24), ("rare:*", 12), ("**:name", 24), ("rare", 0),
    (["nothing:like:it"], 0), ("**", 1200),
])  # fmt: skip
async def test_names_are_found_through_the_index(
    new_store: NewStore, make: Make, pages: list[int], patterns: Any, read: int
) -> None:
    """Of a long recording only the signals that are wanted are read, whatever kind of pattern says so, in order."""
    names = {50: "rare:name", 51: "other:name"}
    signals = [attrs.evolve(signal, name=names.get(signal.seq % 100, "text:delta")) for signal in make(1200)]
    async with new_store() as store:
        one = await store.create_recording(run_id="run")
        await store.append(one, signals)
        found = [signal.seq async for signal in store.iter_signals(one, patterns=patterns)]
        assert found == sorted(found)
        assert len(found) == read
        assert sum(pages) == read


async def test_with_too_many_names_all_are_read_and_filtered(new_store: NewStore, make: Make, pages: list[int]) -> None:
    """A recording of hundreds of names, or a pattern that leaves many of them, is read through, with the same result."""
    signals = [attrs.evolve(signal, name=f"state:f{signal.seq}:changed") for signal in make(300)]
    async with new_store() as store:
        one = await store.create_recording(run_id="run")
        await store.append(one, signals)
        found = [signal.seq async for signal in store.iter_signals(one, patterns="*:f1*:changed", stop=120)]
        assert found == [seq for seq in range(120) if str(seq).startswith("1")]
        assert sum(pages) == 120


async def test_names_that_no_index_takes(new_store: NewStore, make: Make) -> None:
    """Names of any length, and with what PostgreSQL takes in no text, come back, are found and are searched for."""
    names = ["half\ud800:x", "back\\slash", "back\\u0000", "nul\0:y", "long:" + "\xe9" * 200, "long:" + "\xe9" * 199]
    signals = [
        attrs.evolve(signal, name=name, source=SignalSource("a\udfff", None, "p\0", "\\"))
        for signal, name in zip(make(len(names)), names, strict=True)
    ]
    async with new_store() as store:
        one = await store.create_recording(run_id="run", tags=["half\ud800", "t" * 5000])
        await store.append(one, signals)
        await store.append(one, signals)
        # No pattern matches names as long as this, but they are kept.
        longest = [attrs.evolve(signal, name="n" * (60_000 + signal.seq)) for signal in make(2)]
        other = await store.create_recording(run_id="other")
        await store.append(other, longest)
        assert await loaded(store, other) == longest
        assert await loaded(store, one) == signals
        for pattern, seqs in (
            ("half*:x", [0]),
            ("back*", [1, 2]),
            ("long:*", [4, 5]),
            ("nul*:**", [3]),
            ("**", [*range(6)]),
        ):
            assert [signal.seq async for signal in store.iter_signals(one, patterns=pattern)] == seqs, pattern
        assert [match.seqs for match in await store.search_recordings(["half*:*", "nul*:y", "long:*", "long:*"])] == [
            (0, 3, 4, 5)
        ]
        assert len(await store.list_recordings(RecordingQuery(tags=["t" * 5000, "half\ud800"]))) == 1


@given(st.text(st.characters(codec=None)), st.text(st.characters(codec=None)), st.integers(0, 300))
def test_an_indexed_name_keeps_what_it_begins_with(prefix: str, rest: str, filler: int) -> None:
    """Every name comes back, can be kept as UTF-8 without NUL, and is found by whatever it begins with."""
    begin = prefix + "x" * filler
    short, whole = indexed_name(begin + rest)
    assert name_from(short, whole) == begin + rest
    assert "\0" not in short
    assert len(short.encode()) <= 300
    assert short.startswith(indexed_prefix(begin))


# --- Search -----------------------------------------------------------------------------------------------------------


async def test_a_search_reads_indexes_alone(new_store: NewStore, make: Make, statements: list[str], sql: Sql) -> None:
    """No statement of a search reads a payload, and where a signal of a name stands an index alone tells."""
    async with new_store() as store:
        one = await store.create_recording(run_id="run")
        await store.append(one, [attrs.evolve(signal, name=f"tool:n{signal.seq % 7}") for signal in make(800)])
        await store.append(one, [attrs.evolve(make(1, start=800)[0], name="agent:error")])
        statements.clear()
        assert [match.seqs for match in await store.search_recordings(["tool:*", "agent:error"])] == [(0, 800)]
        searched = list(statements)
    assert "payload" not in "".join(searched)
    (first_after,) = {statement for statement in searched if '"openharness_signals"' in statement}
    await sql("VACUUM ANALYZE openharness_signals")
    plan = await sql(
        "EXPLAIN " + first_after.replace("$1", "'{1}'").replace("$2", "'{tool:n1}'").replace("$3", "'{-1}'")
    )
    assert "Index Only Scan using openharness_signals_by_name" in str(plan)


async def test_names_that_many_have_are_looked_up_for_each_recording(new_store: NewStore, sql: Sql) -> None:
    """No plan, not even one that was made for other names, collects all recordings with the names before each page."""
    async with new_store() as store:
        await store.count_recordings()
        having = [HavingName(("tool:end", "tool:start"), frequency=RecordingSearch.RARE)]
        statement, values = store._catalogue.select(RecordingQuery(limit=100), having)
        plan = str(await sql("EXPLAIN " + statement, *values))
    assert "SubPlan" in plan
    assert "Join" not in plan


async def test_what_is_deleted_leaves_nothing(new_store: NewStore, make: Make, sql: Sql) -> None:
    """With a recording go its rows in every table, whoever deletes it; a number is never given again."""
    data: Any = {"role": "user", "content": "hello"}
    blob = Blob(digest(data), data)
    async with new_store() as store:
        for by_hand in (False, True):
            one = await store.create_recording(run_id="run", metadata={"k": 1}, tags=["t"])
            await store.append(one, [blob, *make(2)])
            await store.add_checkpoint(one, "here", 0)
            await store.publish(one, "rain")
            if by_hand:
                await sql("DELETE FROM openharness_recordings")
            else:
                await store.delete_recording(one)
            for (table,) in await sql(
                "SELECT tablename FROM pg_tables WHERE schemaname = current_schema() AND tablename NOT LIKE '%versions'"
            ):
                assert await sql(f"SELECT count(*) FROM {table}") == [(0,)], table  # noqa: S608 - a name of the server's
        assert await store.list_fixtures() == []
        await store.create_recording(run_id="run")
        assert await sql("SELECT number FROM openharness_recordings") == [(3,)]


async def test_a_recording_deleted_while_it_is_read(
    new_store: NewStore, make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who still reads a deleted recording gets RecordingNotFoundError, and never the signals of another one."""
    monkeypatch.setattr(_reading, "_PAGE_BYTES", 10)
    async with new_store() as store:
        for patterns in ((), ("text:*",)):
            one = await store.create_recording(run_id="run")
            await store.append(one, make(5))
            reading = aiter(store.iter_signals(one, patterns=patterns))
            await anext(reading)
            await store.delete_recording(one)
            with pytest.raises(RecordingNotFoundError):
                _ = [signal async for signal in reading]


# --- Damage, and what is shared ---------------------------------------------------------------------------------------

DAMAGE = [
    "UPDATE openharness_signals SET timestamp = 7 WHERE seq = 1",
    "UPDATE openharness_signals SET name = 'other' WHERE seq = 1",
    "UPDATE openharness_signals SET long_name = 'other' WHERE seq = 1",
    "UPDATE openharness_signals SET agent = NULL WHERE seq = 1",
    "UPDATE openharness_signals SET parent = '' WHERE seq = 1",
    "UPDATE openharness_signals SET payload = '{}' WHERE seq = 1",
    "DELETE FROM openharness_signals WHERE seq = 1",
    "DELETE FROM openharness_signals WHERE seq = 2",
    "UPDATE openharness_signals SET seq = 9 WHERE seq = 2",
    "UPDATE openharness_blobs SET data = replace(data, 'hello', 'hullo')",
    "DELETE FROM openharness_blobs",
    "UPDATE openharness_recordings SET signal_count = 2",
    "UPDATE openharness_recordings SET outcome = 'failed'",
    "UPDATE openharness_recordings SET tags = '[]'",
    "UPDATE openharness_checkpoints SET seq = 1",
    "UPDATE openharness_checkpoints SET name = 'there'",
]


@pytest.mark.parametrize("statement", DAMAGE)
async def test_each_row_is_covered_by_a_checksum(new_store: NewStore, make: Make, sql: Sql, statement: str) -> None:
    """Another value in any column, and a row that is gone or elsewhere, is CorruptRecordError."""
    data: Any = {"role": "user", "content": "hello"}
    blob = Blob(digest(data), data)
    request = attrs.evolve(make(3)[2], name="provider:start", payload={"request": {"messages": [blob.digest]}})
    async with new_store() as store:
        one = await store.create_recording(run_id="run", tags=["tag"])
        await store.append(one, [*make(2), blob, request])
        await store.add_checkpoint(one, "here", 0)
        assert len(await loaded(store, one)) == 3
        await sql(statement)
        with pytest.raises(CorruptRecordError) as caught:
            await store.load_recording(one)
        assert caught.value.record_id == one
        await store.delete_recording(one)
        assert await store.list_recordings() == []


async def test_a_fixture_name_that_leads_elsewhere_is_noticed(new_store: NewStore, sql: Sql) -> None:
    """A name that means another recording than the one that was published, or none, is CorruptRecordError."""
    async with new_store() as store:
        one, two = [await store.create_recording(run_id=run_id) for run_id in ("a", "b")]
        await store.publish(one, "rain")
        found = await store.find_recording("rain")
        assert found is not None
        assert found.id == one
        for number in ("(SELECT number FROM openharness_recordings WHERE run_id = 'b')", "77"):
            await sql(f"UPDATE openharness_fixtures SET recording = {number}")  # noqa: S608 - our own
            with pytest.raises(CorruptRecordError):
                await store.find_recording("rain")
        await store.publish(two, "rain")
        assert await store.list_fixtures() == ["rain"]
        assert found != await store.find_recording("rain")


async def test_runs_and_recordings_in_one_schema(
    new_store: NewStore, make: Make, sql: Callable[..., Awaitable[list[Any]]], openharness_postgres: Any
) -> None:
    """Both stores make their tables in one schema at the same moment, each with a version of its own."""
    runs_module = pytest.importorskip("openharness.run_store_postgres")
    place = openharness_postgres
    async with (
        new_store() as one,
        new_store() as two,
        runs_module.PostgresRunStore(place.dsn, schema=place.schema) as runs,
    ):
        saving: asyncio.Future[None] = asyncio.ensure_future(runs.save_run(RunRecord("a", created_at=1, state=1)))
        made, _ = await asyncio.gather(one.create_recording(run_id="a"), two.create_recording(run_id="b"))
        await saving
        await two.append(made, make(1))
        assert await loaded(one, made) == make(1)
    assert await sql("SELECT component, version FROM openharness_versions ORDER BY 1") == [("runs", 1), ("signals", 1)]


async def test_a_schema_may_be_called_anything(make: Make, openharness_postgres: PostgresPlace) -> None:
    """Quotes, dollars, braces and backslashes in the name of the schema are only a name, also for what deletes rows."""
    schema = f"""{{$openharness$}} "a" 'b' \\ {openharness_postgres.schema}"""[:63]
    async with PostgresSignalStore(openharness_postgres.dsn, schema=schema) as store:
        recording_id = await store.create_recording(run_id="a")
        await store.append(recording_id, make(1))
        assert await loaded(store, recording_id) == make(1)
        await store.delete_recording(recording_id)
        assert await store.load_recording(recording_id) is None


async def test_functions_of_others_are_not_called(
    make: Make, sql: Callable[..., Awaitable[list[Any]]], openharness_postgres: PostgresPlace
) -> None:
    """Functions and operators that others may make where the role looks for names are not taken for those of the server."""
    place = openharness_postgres
    caught = "LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'called'; END $$"
    await sql(f"CREATE SCHEMA {place.schema}")
    await sql(f"CREATE FUNCTION unnest(text[]) RETURNS SETOF text {caught}")
    await sql(f"CREATE FUNCTION times(integer, interval) RETURNS interval {caught}")
    await sql("CREATE OPERATOR * (LEFTARG = integer, RIGHTARG = interval, FUNCTION = times)")
    await sql(f"CREATE FUNCTION pg_total_relation_size(oid) RETURNS bigint {caught}")
    await sql(f"CREATE FUNCTION pg_advisory_xact_lock(text) RETURNS void {caught}")
    async with PostgresSignalStore(f"{place.dsn}&search_path={place.schema}", schema=place.schema) as store:
        recording_id = await store.create_recording(run_id="a")
        data = {"role": "user"}
        await store.append(recording_id, [Blob(digest(data), data), *make(1)])
        await store.append(recording_id, make(1, start=1, name="provider:start", payload={"messages": [digest(data)]}))
        known = await store.get_recording_info(recording_id)
        assert known is not None
        waiting = asyncio.ensure_future(store.wait_for_change(known))
        await store.append(recording_id, make(1, start=2))
        await waiting
        assert len(await loaded(store, recording_id)) == 3
        assert len([signal async for signal in store.iter_signals(recording_id, patterns="text:*")]) == 2
        report = await store.doctor()
        assert not [finding for finding in report.findings if finding.severity == "error"]
        assert report.facts["signals"] == 3


async def test_who_listens_leaves_when_nobody_follows(
    new_store: NewStore, make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The connection that listens is closed some time after the last follower has left, and is there for the next one."""
    monkeypatch.setattr(_listener, "_QUIET", 0.01)
    async with new_store() as store, new_store() as other:
        recording_id = await store.create_recording(run_id="a")
        for number in range(2):
            known = await store.get_recording_info(recording_id)
            assert known is not None
            waiting = asyncio.ensure_future(store.wait_for_change(known))
            async with asyncio.timeout(50):
                while not any(one.is_listening for one in store._current()._listeners.values()):  # noqa: ASYNC110
                    await asyncio.sleep(0.01)
                await other.append(recording_id, make(1, start=number))
                await waiting
                (listener,) = store._current()._listeners.values()
                monkeypatch.setattr(_listener, "_WANTED", 0.0, raising=False)
                while listener.is_open:  # noqa: ASYNC110 - nobody is told
                    await asyncio.sleep(0.01)
            monkeypatch.setattr(_listener, "_WANTED", 50.0, raising=False)


async def test_a_transaction_that_the_server_ends_says_why(
    new_store: NewStore, make: Make, sql: Sql, openharness_postgres: PostgresPlace
) -> None:
    """An append that transaction_timeout ends raises StoreBusyError, as one that statement_timeout ends does."""
    place = openharness_postgres
    if not await sql("SELECT FROM pg_settings WHERE name = 'transaction_timeout'"):
        pytest.skip("the server has no transaction_timeout, which is new in PostgreSQL 17")
    if asyncpg.__version__.startswith("0.31."):
        pytest.skip("the driver does not tell what the server said last")
    async with new_store() as store:
        recording_id = await store.create_recording(run_id="a")
    limited = PostgresSignalStore(f"{place.dsn}&transaction_timeout=200", schema=place.schema, reconnect_timeout=0)
    other = await asyncpg.connect(place.dsn)
    async with limited, other.transaction():
        await other.execute(f"LOCK TABLE {limited._names('recordings')}")
        with pytest.raises(StoreBusyError, match="due to transaction timeout"):
            await limited.append(recording_id, make(1))
    await other.close()


async def test_who_cannot_listen_is_not_waited_for(make: Make, openharness_postgres: PostgresPlace) -> None:
    """A connection for listening that nobody answers does not keep a follower from what is appended."""
    socket = openharness_postgres.dsn.partition("host=")[2]
    if not socket:
        pytest.skip("the server that was given is not on a Unix socket")
    is_silent = False
    waiting = asyncio.Event()

    async def copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError):
            while data := await reader.read(65536):
                writer.write(data)
                await writer.drain()
        writer.close()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if is_silent:
            waiting.set()
            await reader.read()
            await reader.read()
        else:
            behind, to_behind = await asyncio.open_unix_connection(f"{socket}/.s.PGSQL.5432")
            await asyncio.gather(copy(reader, to_behind), copy(behind, writer))
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    dsn = f"postgresql://postgres@127.0.0.1:{server.sockets[0].getsockname()[1]}/postgres?sslmode=disable"
    async with PostgresSignalStore(dsn, schema=openharness_postgres.schema, connect_timeout=1000) as store:
        recording_id = await store.create_recording(run_id="a")
        known = await store.get_recording_info(recording_id)
        assert known is not None
        is_silent = True
        following = asyncio.ensure_future(store.wait_for_change(known))
        await waiting.wait()
        await store.append(recording_id, make(1))
        async with asyncio.timeout(50):
            await following
    server.close()


async def test_who_could_not_say_that_it_follows_says_so_later(
    new_store: NewStore, sql: Sql, openharness_postgres: PostgresPlace, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What keeps a follower from saying that it follows, as a right that is missing, is tried again after a while."""
    monkeypatch.setattr(_following, "_FOLLOWED", 0.1)
    place = openharness_postgres
    async with new_store() as store:
        recording_id = await store.create_recording(run_id="a")
    await sql(f"CREATE ROLE {place.schema} LOGIN")
    await sql(f"GRANT USAGE ON SCHEMA {place.schema} TO {place.schema}")
    await sql(f"GRANT SELECT ON ALL TABLES IN SCHEMA {place.schema} TO {place.schema}")
    dsn = place.dsn.replace("postgres@", f"{place.schema}@")
    async with PostgresSignalStore(dsn, schema=place.schema) as limited:
        known = await limited.get_recording_info(recording_id)
        assert known is not None
        following = asyncio.ensure_future(limited.wait_for_change(known))
        async with asyncio.timeout(50):
            while limited._following is None or not limited._following._not_told_until:  # noqa: ASYNC110
                await asyncio.sleep(0.01)
            await sql(f"GRANT UPDATE ON openharness_recordings TO {place.schema}")
            while await sql("SELECT followed_until FROM openharness_recordings") == [(None,)]:  # noqa: ASYNC110
                await asyncio.sleep(0.01)
        following.cancel()
