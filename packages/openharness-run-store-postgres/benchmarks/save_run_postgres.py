"""What saving a run to PostgreSQL costs, as ratios to what the driver allows and to LangGraph's checkpointer.

    python benchmarks/save_run_postgres.py [--rounds 5] [--seconds 0.6] [--dsn DSN]

Compared are, at 1, 16 and 64 concurrent tasks, a state of 1 KiB, in one process and interleaved:

* ``store``: `PostgresRunStore.save_run` as users call it;
* ``commit each``: asyncpg with one upsert and one commit a save into the same tables, a pool of as many connections as
  tasks;
* ``limit``: one asyncpg connection that upserts ready-made rows, 64 a statement, through ``unnest``, into the same tables;
* ``bare limit``: the same into a table with an index by time alone: no checksums, no index of metadata;
* ``peer``: `AsyncPostgresSaver.aput` of LangGraph, one connection, and a pool of as many as tasks; the better counts.

Without ``--dsn`` a server of this machine's is started, whose commits wait for the disk (``fsync`` is on) like those of
any server; client and server share the processors. Numbers are medians of the rounds with the lowest and the highest.
Ratios are of rates; the CPU time is that of the client.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import json
import statistics
import time
from typing import TYPE_CHECKING, Any

import asyncpg
from langgraph.checkpoint.base import create_checkpoint, empty_checkpoint
from langgraph.checkpoint.postgres.aio import AsyncPostgresSaver
from psycopg.rows import dict_row
from psycopg_pool import AsyncConnectionPool

from openharness.core import RunRecord
from openharness.core.values import MAX_BYTES
from openharness.postgres import Names
from openharness.run_store_postgres import PostgresRunStore
from openharness.run_store_postgres._rows import run_to_row
from openharness.run_store_postgres._writing import Writing
from openharness.testing.postgres import PostgresServer

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

TASKS = (1, 16, 64)
AT_ONCE = 64
STEP = {"source": "loop", "step": 1, "parents": {}}
BARE = """
CREATE TABLE bare (id text PRIMARY KEY, created_at bigint, completed_at bigint, status text, error text, recording_id text,
    parent_run_id text, metadata jsonb, state json);
CREATE INDEX ON bare (created_at)
"""
BARE_SAVE = """
INSERT INTO bare SELECT * FROM unnest($1::text[], $2::bigint[], $3::bigint[], $4::text[], $5::text[], $6::text[],
    $7::text[], $8::jsonb[], $9::json[]) ON CONFLICT (id) DO UPDATE SET created_at = excluded.created_at,
    completed_at = excluded.completed_at, status = excluded.status, error = excluded.error, state = excluded.state,
    metadata = excluded.metadata, recording_id = excluded.recording_id, parent_run_id = excluded.parent_run_id
"""
_numbers = itertools.count()


def make_run() -> RunRecord:
    """A completed run with a state of 1 KiB, two keys of metadata, and an id that sorts by time."""
    number = next(_numbers)
    state: dict[str, Any] = {"input": "", "items": [{"name": f"item {item}", "value": item} for item in range(4)]}
    state["input"] = ("The quick brown fox jumps over the lazy dog. " * 25)[: 1024 - len(json.dumps(state))]
    return RunRecord(
        f"run_{number:022d}",
        created_at=1_763_850_000_000 + number,
        completed_at=1_763_850_001_000 + number,
        state=state,
        metadata={"tenant": f"t{number % 50}", "batch": number // 100},
    )


async def drive(
    tasks: int, seconds: float, save: Callable[[RunRecord], Awaitable[object]], *, rows: int = 1
) -> dict[str, float]:
    """Let tasks save one run after the other for a while."""
    saved = 0
    run = make_run()
    end = time.perf_counter() + seconds

    async def worker() -> None:
        nonlocal saved
        while time.perf_counter() < end:
            number = next(_numbers)
            object.__setattr__(run, "id", f"run_{number:022d}")
            await save(run)
            saved += rows

    await asyncio.gather(*(worker() for _ in range(min(tasks, 4))))
    saved, end = 0, time.perf_counter() + seconds
    begun, cpu = time.perf_counter(), time.process_time()
    await asyncio.gather(*(worker() for _ in range(tasks)))
    elapsed, cpu = time.perf_counter() - begun, time.process_time() - cpu
    return {"rate": saved / elapsed, "cpu": cpu / saved * 1e6}


async def bench_store(dsn: str, tasks: int, seconds: float) -> dict[str, float]:
    """The store."""
    async with PostgresRunStore(dsn, schema="bench") as store:
        return await drive(tasks, seconds, store.save_run)


async def bench_commit_each(dsn: str, tasks: int, seconds: float) -> dict[str, float]:
    """One statement and one commit a save."""
    statement = Writing(Names(schema="bench")).save
    async with asyncpg.create_pool(dsn, min_size=tasks, max_size=tasks) as pool:

        async def save(run: RunRecord) -> None:
            row = run_to_row(run, max_bytes=MAX_BYTES)
            await pool.execute(statement, *([value] for value in row))

        return await drive(tasks, seconds, save)


async def bench_limit(dsn: str, tasks: int, seconds: float) -> dict[str, float]:
    """Ready-made rows, 64 a statement."""
    del tasks
    return await _bench_unnest(dsn, seconds, Writing(Names(schema="bench")).save, bare=False)


async def bench_bare_limit(dsn: str, tasks: int, seconds: float) -> dict[str, float]:
    """The same into a table of nothing but the columns."""
    del tasks
    return await _bench_unnest(dsn, seconds, BARE_SAVE, bare=True)


async def _bench_unnest(dsn: str, seconds: float, statement: str, *, bare: bool) -> dict[str, float]:
    row = run_to_row(make_run(), max_bytes=MAX_BYTES)
    if bare:
        row = (*row[:8], row[-1])
    connection = await asyncpg.connect(dsn)

    async def save(_: RunRecord) -> None:
        columns: list[Any] = [[value] * AT_ONCE for value in row]
        columns[0] = [f"run_{next(_numbers):022d}" for _ in range(AT_ONCE)]
        await connection.execute(statement, *columns)

    try:
        return await drive(1, seconds, save, rows=AT_ONCE)
    finally:
        await connection.close()


async def bench_peer(dsn: str, tasks: int, seconds: float) -> dict[str, float]:
    """LangGraph's checkpointer, on one connection."""
    async with AsyncPostgresSaver.from_conn_string(dsn) as saver:
        return await _bench_saver(saver, tasks, seconds)


async def bench_peer_pool(dsn: str, tasks: int, seconds: float) -> dict[str, float]:
    """LangGraph's checkpointer, on a pool."""
    options = {"autocommit": True, "prepare_threshold": 0, "row_factory": dict_row}
    async with AsyncConnectionPool(dsn, min_size=tasks, max_size=tasks, kwargs=options, open=False) as pool:
        return await _bench_saver(AsyncPostgresSaver(pool), tasks, seconds)  # pyright: ignore[reportArgumentType]


async def _bench_saver(saver: AsyncPostgresSaver, tasks: int, seconds: float) -> dict[str, float]:
    await saver.setup()
    checkpoint: Any = create_checkpoint(empty_checkpoint(), None, 1)
    checkpoint["channel_values"] = {"state": make_run().state}
    checkpoint["channel_versions"] = {"state": 1}

    async def save(run: RunRecord) -> None:
        thread: Any = {"configurable": {"thread_id": run.id, "checkpoint_ns": ""}}
        await saver.aput(thread, checkpoint, STEP, {"state": 1})  # pyright: ignore[reportArgumentType]

    return await drive(tasks, seconds, save)


BENCHES = {
    "store": bench_store,
    "commit each": bench_commit_each,
    "limit": bench_limit,
    "bare limit": bench_bare_limit,
    "peer": bench_peer,
    "peer, pool": bench_peer_pool,
}


async def prepare(dsn: str) -> None:
    """Make the tables."""
    async with PostgresRunStore(dsn, schema="bench") as store:
        await store.count_runs()
    connection = await asyncpg.connect(dsn)
    await connection.execute("DROP TABLE IF EXISTS bare;" + BARE)
    await connection.close()


def measure(dsn: str, rounds: int, seconds: float) -> None:
    """Measure everything and print it."""
    asyncio.run(prepare(dsn))
    for tasks in TASKS:
        found: dict[str, list[dict[str, float]]] = {name: [] for name in BENCHES}
        for number in range(rounds):
            names = list(BENCHES)
            for name in names[number % len(names) :] + names[: number % len(names)]:
                found[name].append(asyncio.run(BENCHES[name](dsn, tasks, seconds)))
        print(f"{tasks} tasks")
        rates = {name: statistics.median(result["rate"] for result in results) for name, results in found.items()}
        for name, results in found.items():
            each = [result["rate"] for result in results]
            cpu = statistics.median(result["cpu"] for result in results)
            ratio = "" if name == "store" else f"; the store is {rates['store'] / rates[name]:.2f} x"
            print(
                f"  {name:12} {rates[name]:>9,.0f} rows/s ({min(each):,.0f}-{max(each):,.0f}), "
                f"client {cpu:6.1f} us a row{ratio}"
            )
        better = max(rates["peer"], rates["peer, pool"])
        print(f"  store / better peer: {rates['store'] / better:.1f} x")
    print("goals: 64 tasks: >= 20 x the peer, >= 4 x commit each, >= 0.65 of the limit; 16 tasks: >= 12 x and >= 2 x")


def main() -> None:
    """Read the arguments."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=0.6)
    parser.add_argument("--dsn")
    options = parser.parse_args()
    if options.dsn:
        measure(options.dsn, options.rounds, options.seconds)
        return
    settings = {"fsync": "on", "full_page_writes": "on", "shared_buffers": "128MB", "max_wal_size": "1GB"}
    with PostgresServer(settings) as server:
        measure(server.dsn, options.rounds, options.seconds)


if __name__ == "__main__":
    main()
