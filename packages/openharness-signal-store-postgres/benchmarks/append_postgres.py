"""What recording to PostgreSQL costs, as ratios to what the driver allows and to LangGraph's checkpointer.

    python benchmarks/append_postgres.py [--rounds 5] [--seconds 0.6] [--signals 100000] [--dsn DSN]

Compared are, at 1, 16 and 64 concurrent tasks, appends of three signals of about 300 bytes, in one process and interleaved:

* ``store``: `PostgresSignalStore.append` as users call it, each task to a recording of its own;
* ``commit each``: asyncpg with one statement of three ready-made rows and one commit an append, into the same table, a pool
  of as many connections as tasks: no recording is kept in step;
* ``limit``: one asyncpg connection that inserts ready-made rows through ``unnest``, those of 64 appends a statement, into
  the same table;
* ``aput_writes``: `AsyncPostgresSaver.aput_writes` of LangGraph with three values, one connection, and a pool of as many as
  tasks; the better counts;
* ``aput``: its `aput` of a checkpoint with one changed channel of that size, likewise.

Then a recording of 100,000 signals is loaded: `PostgresSignalStore.load_recording`, and asyncpg that fetches the same rows
and decodes their payloads.

Without ``--dsn`` a server of this machine's is started, whose commits wait for the disk (``fsync`` is on) like those of
any server; client and server share the processors. Numbers are medians of the rounds with the lowest and the highest.
Ratios are of rates; the CPU time is that of the client.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import statistics
import time
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import asyncpg
import msgspec
from langgraph.checkpoint.base import create_checkpoint, empty_checkpoint
from langgraph.checkpoint.postgres.aio import AsyncPostgresSaver
from psycopg.rows import dict_row
from psycopg_pool import AsyncConnectionPool

from openharness.core import Signal, SignalSource
from openharness.core.storage import EncodedSignal, encode_entries
from openharness.core.values import MAX_BYTES
from openharness.postgres import Names
from openharness.signal_store_postgres import PostgresSignalStore
from openharness.signal_store_postgres._rows import SIGNAL_COLUMNS, signal_to_row
from openharness.testing.postgres import PostgresServer

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Awaitable, Callable

TASKS = (1, 16, 64)
AN_APPEND = 3
AT_ONCE = 64
SIGNALS = Names(schema="bench")("signals")
TYPES = {"recording": "bigint", "seq": "bigint", "timestamp": "bigint", "checksum": "bigint"}
COLUMNS = ("recording", *SIGNAL_COLUMNS)
INSERT = (
    f"INSERT INTO {SIGNALS} ({', '.join(COLUMNS)}) SELECT * FROM unnest("  # noqa: S608 - names of our own
    + ", ".join(f"${number}::{TYPES.get(name, 'text')}[]" for number, name in enumerate(COLUMNS, 1))
    + ")"
)
SELECT = f"SELECT {', '.join(SIGNAL_COLUMNS)} FROM {SIGNALS} WHERE recording = $1 ORDER BY seq"  # noqa: S608
STEP: Any = {"source": "loop", "step": 1, "parents": {}}
# Numbers that the store gives to no recording.
_numbers = itertools.count(1_000_000_000)


def make_signals(start: int, count: int) -> list[Signal]:
    """Signals of about 300 bytes of JSON: a payload of four fields, and a full source."""
    return [
        Signal(
            f"run/{seq}",
            name="analysis:complete",
            payload={"agent": "analyzer", "output": "a sentence of a model's answer " * 4, "index": seq, "score": 0.5},
            timestamp=1_700_000_000_000 + seq,
            seq=seq,
            source=SignalSource("analyzer", "llamacpp", f"run/{max(seq - 1, 0)}", "analyzer#1"),
        )
        for seq in range(start, start + count)
    ]


async def drive(
    seconds: float, appenders: list[Callable[[], Awaitable[object]]], *, rows: int = AN_APPEND
) -> dict[str, float]:
    """Let tasks append for a while."""
    done = 0
    end = time.perf_counter() + seconds / 2

    async def worker(append: Callable[[], Awaitable[object]]) -> None:
        nonlocal done
        while time.perf_counter() < end:
            await append()
            done += rows

    await asyncio.gather(*map(worker, appenders))
    done, end = 0, time.perf_counter() + seconds
    begun, cpu = time.perf_counter(), time.process_time()
    await asyncio.gather(*map(worker, appenders))
    elapsed, cpu = time.perf_counter() - begun, time.process_time() - cpu
    return {"rate": done / elapsed, "cpu": cpu / done * 1e6}


async def bench_store(dsn: str, tasks: int, seconds: float) -> dict[str, float]:
    """The store."""
    async with PostgresSignalStore(dsn, schema="bench") as store:

        async def appender() -> Callable[[], Awaitable[object]]:
            recording_id = await store.create_recording(run_id="run")
            starts = itertools.count(0, AN_APPEND)
            return lambda: store.append(recording_id, make_signals(next(starts), AN_APPEND))

        return await drive(seconds, [await appender() for _ in range(tasks)])


def ready_rows(appends: int) -> list[list[Any]]:
    """The columns of as many appends, encoded beforehand."""
    encoded = encode_entries(make_signals(0, AN_APPEND), max_bytes=MAX_BYTES)
    rows = [signal_to_row("recording", entry) for entry in encoded if isinstance(entry, EncodedSignal)]
    return [[None] * AN_APPEND * appends, *(list(column) * appends for column in zip(*rows, strict=True))]


def numbered(columns: list[list[Any]]) -> list[list[Any]]:
    """The same rows, of recordings that are not there yet."""
    numbers = [next(_numbers) for _ in range(len(columns[0]) // AN_APPEND)]
    return [[number for number in numbers for _ in range(AN_APPEND)], *columns[1:]]


async def bench_commit_each(dsn: str, tasks: int, seconds: float) -> dict[str, float]:
    """One statement and one commit an append."""
    columns = ready_rows(1)
    async with asyncpg.create_pool(dsn, min_size=tasks, max_size=tasks) as pool:
        return await drive(seconds, [lambda: pool.execute(INSERT, *numbered(columns))] * tasks)


async def bench_limit(dsn: str, tasks: int, seconds: float) -> dict[str, float]:
    """Ready-made rows, those of 64 appends a statement."""
    del tasks
    columns = ready_rows(AT_ONCE)
    connection = await asyncpg.connect(dsn)
    try:
        return await drive(seconds, [lambda: connection.execute(INSERT, *numbered(columns))], rows=AN_APPEND * AT_ONCE)
    finally:
        await connection.close()


@asynccontextmanager
async def opened_saver(dsn: str, connections: int | None) -> AsyncGenerator[AsyncPostgresSaver]:
    """LangGraph's checkpointer on one connection, or on a pool."""
    if connections is None:
        async with AsyncPostgresSaver.from_conn_string(dsn) as saver:
            await saver.setup()
            yield saver
        return
    options = {"autocommit": True, "prepare_threshold": 0, "row_factory": dict_row}
    async with AsyncConnectionPool(dsn, min_size=connections, max_size=connections, kwargs=options, open=False) as pool:
        saver = AsyncPostgresSaver(pool)  # pyright: ignore[reportArgumentType]
        await saver.setup()
        yield saver


async def bench_writes(dsn: str, tasks: int, seconds: float, *, pooled: bool) -> dict[str, float]:
    """`aput_writes` of three values."""
    values = [(f"channel-{seq}", make_signals(seq, 1)[0].payload) for seq in range(AN_APPEND)]
    async with opened_saver(dsn, tasks if pooled else None) as saver:

        async def append() -> None:
            number = next(_numbers)
            place: Any = {
                "configurable": {"thread_id": f"t{number}", "checkpoint_ns": "", "checkpoint_id": f"c{number}"}
            }
            await saver.aput_writes(place, values, "task")  # pyright: ignore[reportArgumentType]

        return await drive(seconds, [append] * tasks)


async def bench_puts(dsn: str, tasks: int, seconds: float, *, pooled: bool) -> dict[str, float]:
    """`aput` of a checkpoint."""
    checkpoint: Any = create_checkpoint(empty_checkpoint(), None, 1)
    checkpoint["channel_values"] = {"state": make_signals(0, 1)[0].payload}
    checkpoint["channel_versions"] = {"state": 1}
    async with opened_saver(dsn, tasks if pooled else None) as saver:

        async def append() -> None:
            thread: Any = {"configurable": {"thread_id": f"t{next(_numbers)}", "checkpoint_ns": ""}}
            await saver.aput(thread, checkpoint, STEP, {"state": 1})  # pyright: ignore[reportArgumentType]

        return await drive(seconds, [append] * tasks, rows=1)


async def bench_one_writes(dsn: str, tasks: int, seconds: float) -> dict[str, float]:
    """`aput_writes` on one connection."""
    return await bench_writes(dsn, tasks, seconds, pooled=False)


async def bench_pooled_writes(dsn: str, tasks: int, seconds: float) -> dict[str, float]:
    """`aput_writes` on a pool."""
    return await bench_writes(dsn, tasks, seconds, pooled=True)


async def bench_one_put(dsn: str, tasks: int, seconds: float) -> dict[str, float]:
    """`aput` on one connection."""
    return await bench_puts(dsn, tasks, seconds, pooled=False)


async def bench_pooled_put(dsn: str, tasks: int, seconds: float) -> dict[str, float]:
    """`aput` on a pool."""
    return await bench_puts(dsn, tasks, seconds, pooled=True)


BENCHES = {
    "store": bench_store,
    "commit each": bench_commit_each,
    "limit": bench_limit,
    "aput_writes": bench_one_writes,
    "aput_writes, pool": bench_pooled_writes,
    "aput": bench_one_put,
    "aput, pool": bench_pooled_put,
}


def measure_appends(dsn: str, rounds: int, seconds: float) -> None:
    """Measure appends and print what came of it."""
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
                f"  {name:17} {rates[name]:>9,.0f} rows/s ({min(each):,.0f}-{max(each):,.0f}), "
                f"client {cpu:6.1f} us a row{ratio}"
            )


async def measure_loading(dsn: str, rounds: int, count: int) -> None:
    """Measure loading and print what came of it."""
    async with PostgresSignalStore(dsn, schema="bench") as store:
        recording_id = await store.create_recording(run_id="run")
        for start in range(0, count, 1_000):
            await store.append(recording_id, make_signals(start, min(1_000, count - start)))
        found: dict[str, list[tuple[float, float]]] = {"store": [], "by hand": []}
        connection = await asyncpg.connect(dsn)
        recordings = Names(schema="bench")("recordings")
        number = await connection.fetchval(f"SELECT number FROM {recordings} WHERE id = $1", recording_id)  # noqa: S608
        decode = msgspec.json.Decoder().decode
        for _ in range(rounds):
            begun, cpu = time.perf_counter(), time.process_time()
            recording = await store.load_recording(recording_id)
            found["store"].append((time.perf_counter() - begun, time.process_time() - cpu))
            assert recording is not None
            assert len(recording.signals) == count
            del recording
            begun, cpu = time.perf_counter(), time.process_time()
            rows = [(*row[:-1], decode(row[-1])) for row in await connection.fetch(SELECT, number)]
            found["by hand"].append((time.perf_counter() - begun, time.process_time() - cpu))
            assert len(rows) == count
            del rows
        await connection.close()
    print(f"a recording of {count:,} signals is loaded")
    medians = {
        name: tuple(statistics.median(column) * 1e6 / count for column in zip(*results, strict=True))
        for name, results in found.items()
    }
    for name, (elapsed, cpu) in medians.items():
        print(f"  {name:17} {elapsed:6.1f} us a signal, client {cpu:6.1f} us")
    elapsed, cpu = (mine / theirs for mine, theirs in zip(medians["store"], medians["by hand"], strict=True))
    print(f"  the store takes {elapsed:.1f} x the time, {cpu:.1f} x of the client's processor time")


async def prepare(dsn: str) -> None:
    """Make the tables."""
    async with PostgresSignalStore(dsn, schema="bench") as store:
        await store.count_recordings()


def measure(dsn: str, options: argparse.Namespace) -> None:
    """Measure everything."""
    asyncio.run(prepare(dsn))
    measure_appends(dsn, options.rounds, options.seconds)
    asyncio.run(measure_loading(dsn, options.rounds, options.signals))


def main() -> None:
    """Read the arguments."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=0.6)
    parser.add_argument("--signals", type=int, default=100_000)
    parser.add_argument("--dsn")
    options = parser.parse_args()
    if options.dsn:
        measure(options.dsn, options)
        return
    settings = {"fsync": "on", "full_page_writes": "on", "shared_buffers": "128MB", "max_wal_size": "1GB"}
    with PostgresServer(settings) as server:
        measure(server.dsn, options)


if __name__ == "__main__":
    main()
