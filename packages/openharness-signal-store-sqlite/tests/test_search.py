"""Recordings are found through indexes: what SQLite says it reads, and files of older versions."""

from __future__ import annotations

import contextlib
import sqlite3
from typing import TYPE_CHECKING, Any

import pytest

from openharness.core import RecordingQuery, Signal
from openharness.core.patterns import PatternSequence
from openharness.core.storage import HavingName
from openharness.signal_store_sqlite import SqliteSignalStore, _catalogue
from openharness.signal_store_sqlite._schema import SCHEMA
from openharness.signal_store_sqlite._search import FIRST_AFTER, Search

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


def plan(connection: sqlite3.Connection, sql: str, parameters: Any) -> str:
    """What SQLite says it does for a statement."""
    return " / ".join(row[3] for row in connection.execute(f"EXPLAIN QUERY PLAN {sql}", parameters).fetchall())


async def log(store: SqliteSignalStore, *names: str, **about: Any) -> str:
    """Record signals of these names."""
    recording_id = await store.create_recording(run_id="run", **about)
    signals = [
        Signal(f"run/{seq}", name=name, payload={"n": seq}, timestamp=seq, seq=seq) for seq, name in enumerate(names)
    ]
    await store.append(recording_id, signals)
    return recording_id


async def test_a_search_reads_indexes_alone(path: Path) -> None:
    """No statement of a search touches the table of signals: positions and names come from covering indexes."""
    async with SqliteSignalStore(path) as store:
        for number in range(5):
            await log(store, "tool:call", "agent:error" if number % 2 else "agent:end", metadata={"n": number})
        wanted = await store.search_recordings(["tool:*", "agent:error"], RecordingQuery(metadata={"n": 3}))
    assert len(wanted) == 1
    connection = sqlite3.connect(path)
    connection.text_factory = bytes
    seen: list[str] = []
    connection.set_trace_callback(seen.append)
    search = Search(PatternSequence(["tool:*", "agent:error"]), RecordingQuery(metadata={"n": 3}), store="test")
    while search.step(connection):
        pass
    connection.set_trace_callback(None)
    with contextlib.closing(connection):
        assert search.found == wanted
        connection.text_factory = str
        selects = [sql for sql in seen if "SELECT" in sql]
        assert any("FROM signals " in sql for sql in selects)
        for sql in selects:
            told = plan(connection, sql, ())
            for step in told.split(" / "):
                if "signals " in step:
                    assert (
                        "SEARCH signals USING COVERING INDEX signals_by_name (recording=? AND name=? AND seq>?)" in step
                    )
                assert "SCAN signal" not in step, (sql, told)
        assert "payload" not in "".join(seen)
        assert "COVERING INDEX" in plan(connection, FIRST_AFTER, (1, b"tool:call", -1))


def test_pages_are_read_in_the_order_of_an_index(path: Path) -> None:
    """Listing by time or by a metadata key sorts nothing, and finds no row twice."""
    with contextlib.closing(sqlite3.connect(path)) as connection:
        for steps in SCHEMA.migrations:
            for step in steps:
                if callable(step):
                    step(connection)
                else:
                    connection.execute(step)
        cursor = "WzE3NjcyNjg4MDAwMDAsICJhIl0="
        for query, index in (
            (RecordingQuery(limit=50), "recordings_by_time"),
            (RecordingQuery(limit=50, cursor=cursor, order="oldest", created_before=9), "recordings_by_time"),
            (RecordingQuery(limit=50, run_id="r"), "recordings_by_run"),
            (RecordingQuery(limit=50, name="f", cursor=cursor), "recordings_by_name"),
            (RecordingQuery(limit=50, metadata={"k": 1}, cursor=cursor), "PRIMARY KEY (key=? AND value=?"),
            (RecordingQuery(limit=50, metadata={"k": 1, "m": 2}, created_after=5), "PRIMARY KEY (key=? AND value=?"),
        ):
            statement = _catalogue.select_recordings(query)
            told = plan(connection, statement.sql, statement.parameters)
            assert index in told, query
            assert "TEMP B-TREE" not in told, (query, told)


async def test_rare_names_lead_to_their_recordings(path: Path) -> None:
    """A name that few recordings have is where the search begins; one that all have is not."""
    async with SqliteSignalStore(path) as store:
        for number in range(30):
            await log(store, "tool:call", *(["agent:error"] if number == 7 else []))
        assert len(await store.search_recordings(["tool:*", "agent:error"])) == 1
    statement = _catalogue.select_recordings(RecordingQuery(limit=9), [HavingName((b"agent:error",), 1, leads=True)])
    with contextlib.closing(sqlite3.connect(path)) as connection:
        assert len(connection.execute(statement.sql, statement.parameters).fetchall()) == 1
        told = plan(connection, statement.sql, statement.parameters)
    assert "SEARCH signal_names USING PRIMARY KEY (name=?)" in told
    assert "SEARCH recordings USING INTEGER PRIMARY KEY" in told


async def test_names_with_half_characters_are_found(path: Path) -> None:
    """A name that is no UTF-8 is indexed and matched as it is, and hides no other one."""
    async with SqliteSignalStore(path) as store:
        one = await log(store, "a\ud800:x", "b:y")
        two = await log(store, "a\udc00", "a\uffff:x", "b:y")
        found = await store.search_recordings(["a*:x", "b:*"])
        assert {match.info.id: match.seqs for match in found} == {one: (0, 1), two: (1, 2)}
        assert [match.seqs for match in await store.search_recordings(["**", "**", "**"])] == [(0, 1, 2)]


async def test_many_names_in_a_file(path: Path) -> None:
    """A pattern that more names match than a statement should hold is tried in each recording."""
    async with SqliteSignalStore(path) as store:
        one = await log(store, *(f"state:f{number}:changed" for number in range(700)), "agent:error")
        await log(store, "agent:error", "state:f1:changed")
        found = await store.search_recordings(["state:*:changed", "agent:error"])
        assert [(match.info.id, match.seqs) for match in found] == [(one, (0, 700))]


async def test_a_file_of_version_1_is_brought_forward(path: Path, sql: Callable[..., list[Any]]) -> None:
    """Recordings that were made before there were these indexes are found by metadata and by what followed what."""
    async with SqliteSignalStore(path) as store:
        one = await log(store, "tool:call", "agent:error", metadata={"k": 1, "l": [1], "z": "\xe9"}, tags=["t"])
        two = await log(store, "agent:error", "a\ud800", metadata={"k": 1.5})
        before = [await store.load_recording(recording_id) for recording_id in (one, two)]
    sql("DROP TABLE recording_metadata")
    sql("DROP TABLE signal_names")
    sql("UPDATE openharness_schema SET version = 1")
    async with SqliteSignalStore(path) as store:
        assert [await store.load_recording(recording_id) for recording_id in (one, two)] == before
        assert [info.id for info in await store.list_recordings(RecordingQuery(metadata={"k": 1.0, "z": "\xe9"}))] == [
            one
        ]
        assert [match.info.id for match in await store.search_recordings(["tool:*", "agent:*"])] == [one]
        assert [match.info.id for match in await store.search_recordings(["agent:*", "a*"])] == [two]
    assert sql("SELECT version FROM openharness_schema") == [(2,)]
    assert sql("SELECT key, value, id FROM recording_metadata ORDER BY value") == [
        ('"z"', '"\xe9"', one), ('"k"', "1", one), ('"k"', "1.5", two)
    ]  # fmt: skip


async def test_damaged_metadata_is_no_reason_not_to_open_an_older_file(
    path: Path, sql: Callable[..., list[Any]]
) -> None:
    """A file of version 1 with metadata that is no JSON opens; the damage shows where it is read."""
    async with SqliteSignalStore(path) as store:
        one = await log(store, "tool:call", metadata={"k": 1})
        two = await log(store, "tool:call", metadata={"k": 1})
    sql("DROP TABLE recording_metadata")
    sql("DROP TABLE signal_names")
    sql("UPDATE openharness_schema SET version = 1")
    sql("UPDATE recordings SET metadata = CAST(x'7bff' AS TEXT) WHERE id = ?", one)
    async with SqliteSignalStore(path) as store:
        assert [info.id for info in await store.list_recordings(RecordingQuery(metadata={"k": 1}))] == [two]
        with pytest.raises(Exception, match="damaged"):
            await store.list_recordings()


async def test_what_is_deleted_leaves_nothing_in_the_indexes(path: Path, sql: Callable[..., list[Any]]) -> None:
    """With a recording go its rows in every table."""
    async with SqliteSignalStore(path) as store:
        one = await log(store, "tool:call", metadata={"k": 1}, tags=["t"])
        await store.delete_recording(one)
    for (table,) in sql("SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite_%'"):
        if table != "openharness_schema":
            assert sql(f"SELECT count(*) FROM {table}") == [(0,)], table  # noqa: S608 - a name of our own
