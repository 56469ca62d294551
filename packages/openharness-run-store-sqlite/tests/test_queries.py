"""Queries as SQL: what they find, what they may cost, and that nothing users give becomes SQL."""

from __future__ import annotations

import asyncio
import random
import sqlite3
from typing import TYPE_CHECKING, Any

import pytest

from openharness.core import InMemoryRunStore, RunQuery, RunRecord, RunStatus
from openharness.core.storage import rarest_first
from openharness.run_store_sqlite import SqliteRunStore, _query

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

HOSTILE = [
    "x' OR '1'='1", "'; DROP TABLE runs; --", '"', "'", "`", "[id]", "a.b", "$.a", "a,b", "%", "_", "*", "?", ":x", "@x",
    "key')) UNION SELECT * FROM runs --", "\\", "\\u0041", "\n", "\x01", "ü", "日本語", "😀", "", " ", "\ufeff", "\u2028",
    "json_each", "null", "true", "1", '{"a":1}', "x" * 5_000,
]  # fmt: skip


async def test_keys_and_values_are_only_data(path: Path, sql: Callable[..., list[Any]]) -> None:
    """Each hostile key and value finds exactly its own run, and the tables are what they were."""
    async with SqliteRunStore(path) as store:
        runs = [RunRecord(f"k{n:03}", created_at=n, state=None, metadata={key: n}) for n, key in enumerate(HOSTILE)]
        runs += [
            RunRecord(f"v{n:03}", created_at=n, state=None, metadata={"v": value}) for n, value in enumerate(HOSTILE)
        ]
        await asyncio.gather(*(store.save_run(run) for run in runs))
        for number, text in enumerate(HOSTILE):
            assert [run.id for run in await store.list_runs(RunQuery(metadata={text: number}))] == [f"k{number:03}"]
            assert [run.id for run in await store.list_runs(RunQuery(metadata={"v": text}))] == [f"v{number:03}"]
            assert await store.count_runs(RunQuery(metadata={text: number, "v": text})) == 0
        for run in runs:
            assert await store.get_run(run.id) == run
            await store.delete_run(run.id)
    assert sql("SELECT (SELECT count(*) FROM runs), (SELECT count(*) FROM run_metadata)") == [(0, 0)]


async def test_ids_are_only_data(path: Path) -> None:
    """Hostile ids are saved, found by prefix and deleted like any other."""
    ids = [text for text in HOSTILE if text.strip() == text and text.isprintable() and 0 < len(text.encode()) <= 200]
    async with SqliteRunStore(path) as store:
        for run_id in ids:
            await store.save_run(RunRecord(run_id, created_at=1, state=run_id))
        for run_id in ids:
            found = await store.get_run(run_id)
            assert found is not None
            assert found.state == run_id
            expected = sorted((other for other in ids if other.startswith(run_id)), key=str.encode, reverse=True)
            assert [run.id for run in await store.list_runs(RunQuery(id_prefix=run_id))] == expected
        for run_id in ids:
            await store.delete_run(run_id)
        assert await store.count_runs() == 0


async def test_numbers_bools_and_null_are_compared_as_json(path: Path) -> None:
    """1 equals 1.0 and 1e0, and not True or "1"; large integers keep all their digits."""
    values: list[Any] = [1, True, "1", None, "null", 2**53, 2**53 + 1, 0.1, "0.1", 1e21, -0.0]
    async with SqliteRunStore(path) as store:
        for number, value in enumerate(values):
            await store.save_run(RunRecord(f"r{number:02}", created_at=1, state=None, metadata={"v": value}))
        for number, value in enumerate(values):
            assert [run.id for run in await store.list_runs(RunQuery(metadata={"v": value}))] == [f"r{number:02}"]
        assert [run.id for run in await store.list_runs(RunQuery(metadata={"v": 1.0}))] == ["r00"]
        assert [run.id for run in await store.list_runs(RunQuery(metadata={"v": 0}))] == ["r10"]


@pytest.mark.parametrize("prefix", ["a", "ab", "\ud7ff", "\U0010ffff", "a\U0010ffff\U0010ffff", "z~", "ÿ", "😀"])
async def test_a_prefix_is_a_range(path: Path, prefix: str) -> None:
    """The range by which prefixes are looked up holds what begins with them and nothing else, to the last character."""
    ids = {
        prefix,
        prefix + "a",
        prefix + "\U0010ffff" * 3,
        prefix[:-1] + "!",
        prefix[:-1] + "\U0010fffe",
        "a",
        "b",
        "é",
    }
    ids |= {prefix[:-1] + chr(ord(prefix[-1]) - 1), prefix + "\ue000"}
    ids = {run_id for run_id in ids if run_id}
    async with SqliteRunStore(path) as store:
        await asyncio.gather(*(store.save_run(RunRecord(run_id, created_at=1, state=None)) for run_id in ids))
        found = {run.id for run in await store.list_runs(RunQuery(id_prefix=prefix))}
        assert found == {run_id for run_id in ids if run_id.startswith(prefix)}


async def test_random_queries_answer_as_the_memory_does(path: Path) -> None:
    """Every combination of conditions, order and paging gives what the in-memory store gives."""
    chance = random.Random(11)
    memory = InMemoryRunStore()
    async with SqliteRunStore(path) as store:
        for _ in range(150):
            run = RunRecord(
                f"r{chance.randrange(100):02}", created_at=chance.randrange(12), state=chance.random(),
                status=chance.choice(list(RunStatus)),
                metadata=chance.choice([None, {}, {"a": chance.randrange(3)}, {"a": chance.randrange(3), "b": "x"}]),
            )  # fmt: skip
            await asyncio.gather(memory.save_run(run), store.save_run(run))
        runs = await memory.list_runs()
        for _ in range(300):
            conditions: dict[str, Any] = {
                "status": chance.sample(list(RunStatus), chance.randrange(4)) or None,
                "created_after": chance.choice([None, chance.randrange(12)]),
                "created_before": chance.choice([None, chance.randrange(12)]),
                "metadata": chance.choice([{}, {"a": chance.randrange(3)}, {"b": "x", "a": 1}]),
                "id_prefix": chance.choice(["", "r", f"r{chance.randrange(10)}"]),
                "limit": chance.choice([None, chance.randrange(20)]),
                "offset": chance.choice([0, chance.randrange(5)]),
                "order": chance.choice(["newest", "oldest"]),
                "cursor": chance.choice([None, chance.choice(runs).cursor]),
                "include_state": chance.random() < 0.5,
            }
            query = RunQuery(**conditions)
            assert await store.list_runs(query) == await memory.list_runs(query)
            assert await store.count_runs(query) == await memory.count_runs(query)


async def test_the_metadata_follows_the_run(path: Path, sql: Callable[..., list[Any]]) -> None:
    """The side table has what the last save of each run had, and nothing of deleted runs."""
    async with SqliteRunStore(path) as store:
        await store.save_run(RunRecord("a", created_at=1, state=1, metadata={"x": 1, "y": [1], "z": None}))
        assert sql("SELECT key, value, created_at FROM run_metadata") == [("x", "1", 1), ("z", "null", 1)]
        await store.save_run(RunRecord("a", created_at=2, state=1, metadata={"x": 2}))
        assert sql("SELECT key, value, created_at FROM run_metadata") == [("x", "2", 2)]
        await store.save_run(RunRecord("a", created_at=2, state=1))
        assert sql("SELECT * FROM run_metadata") == []
        await store.save_run(RunRecord("a", created_at=2, state=1, metadata={"x": 2}))
        await store.delete_run("a")
        assert sql("SELECT * FROM run_metadata") == []


@pytest.mark.parametrize(
    "query,index",
    [
        (RunQuery(limit=5), "runs_by_time"),
        (RunQuery(created_after=5, order="oldest"), "runs_by_time"),
        (RunQuery(cursor=RunRecord("x", created_at=5, state=None).cursor), "runs_by_time"),
        (RunQuery(status="failed"), "runs_by_status"),
        (RunQuery(metadata={"a": 1}), "SEARCH wanted USING PRIMARY KEY"),
        (
            RunQuery(
                metadata={"a": 1, "b": 2}, created_after=5, cursor=RunRecord("x", created_at=9, state=None).cursor
            ),
            "wanted",
        ),
    ],
)
async def test_queries_walk_an_index(path: Path, sql: Callable[..., list[Any]], query: RunQuery, index: str) -> None:
    """Nothing common reads the whole table or sorts it."""
    async with SqliteRunStore(path):
        pass
    statement = _query.select(query)
    plan = " | ".join(row[3] for row in sql(f"EXPLAIN QUERY PLAN {statement.sql}", *statement.parameters))
    assert index in plan, plan
    assert "TEMP B-TREE" not in plan, plan
    assert "SCAN runs |" not in f"{plan} |", plan


async def test_the_rarest_key_is_walked(path: Path, statements: list[tuple[str, int]]) -> None:
    """Of several metadata keys the one that fewest runs have leads, in whatever order they are given."""
    async with SqliteRunStore(path) as store:
        await asyncio.gather(
            *(
                store.save_run(RunRecord(f"r{n:02}", created_at=n, state=n, metadata={"all": 1, "n": n}))
                for n in range(50)
            )
        )
        for metadata in ({"all": 1, "n": 7}, {"n": 7, "all": 1}):
            query = RunQuery(metadata=metadata)
            assert [run.id for run in await store.list_runs(query)] == ["r07"]
            counts = [50 if key == "all" else 1 for key in metadata]
            assert list(rarest_first(query, counts).metadata) == ["n", "all"]
        statements.clear()
        assert await store.count_runs(RunQuery(metadata={"all": 1, "n": 8})) == 1
        assert len(statements) == 2


async def test_a_long_listing_lets_others_work(path: Path) -> None:
    """While many records are decoded, other tasks of the loop have their turn."""
    async with SqliteRunStore(path) as store:
        await asyncio.gather(*(store.save_run(RunRecord(f"r{n:04}", created_at=n, state=n)) for n in range(1_000)))
        turns = 0

        async def count() -> None:
            nonlocal turns
            while True:
                turns += 1
                await asyncio.sleep(0)

        counting = asyncio.ensure_future(count())
        assert len(await store.list_runs()) == 1_000
        counting.cancel()
        assert turns > 5
        assert len([run async for run in store.iter_runs(RunQuery(limit=950))]) == 950


@pytest.mark.parametrize(
    "query",
    [
        RunQuery(),
        RunQuery(status="completed"),
        RunQuery(status="failed"),
        RunQuery(status=set(RunStatus) - {RunStatus.RUNNING}),
        RunQuery(status={"completed", "failed"}, created_after=3, created_before=90, id_prefix="r"),
        RunQuery(status="completed", cursor=RunRecord("r", created_at=50, state=None).cursor),
    ],
    ids=["all", "completed", "failed", "ended", "several", "cursor"],
)
async def test_counting_reads_indexes_alone(path: Path, query: RunQuery) -> None:
    """No count reads a row of a run, whichever statuses are wanted, and the number is that of the listing."""
    statuses = list(RunStatus)
    async with SqliteRunStore(path) as store:
        runs = [
            RunRecord(
                f"r{n:03}", created_at=n, state=n, status=statuses[n % 9] if n % 9 < len(statuses) else "completed"
            )
            for n in range(120)
        ]
        await asyncio.gather(*(store.save_run(run) for run in runs))
        assert await store.count_runs(query) == len(await store.list_runs(query)) > 0
    statement = _query.count(query)
    connection = sqlite3.connect(path)
    steps = [row[3] for row in connection.execute(f"EXPLAIN QUERY PLAN {statement.sql}", statement.parameters)]
    connection.close()
    touching = [step for step in steps if "runs" in step]
    assert touching
    assert all("COVERING INDEX" in step for step in touching), steps


@pytest.mark.parametrize("seed", range(20))
async def test_a_dry_run_tells_what_would_be_deleted(path: Path, seed: int) -> None:
    """For any history and any conditions, the number of a dry run is that of the runs that are deleted afterwards."""
    chance = random.Random(seed)
    async with SqliteRunStore(path) as store:
        for n in range(30):
            await store.save_run(
                RunRecord(f"r{n}", created_at=chance.randrange(12), state=n, status=chance.choice(list(RunStatus)))
            )
        options: dict[str, Any] = {"older_than": chance.randrange(14), "keep_last": chance.randrange(32)}
        for name in chance.choice([(), ("older_than",), ("keep_last",)]):
            del options[name]
        if chance.random() < 0.6:
            options["status"] = chance.sample(list(RunStatus), chance.randrange(4))
        before = await store.count_runs()
        told = await store.prune_runs(**options, dry_run=True)
        assert await store.count_runs() == before
        assert await store.prune_runs(**options) == told
        assert await store.count_runs() == before - told
