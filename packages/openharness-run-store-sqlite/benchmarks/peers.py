"""Saving, listing and reading runs against the checkpointer of LangGraph on SQLite, in one process and one run.

    python benchmarks/peers.py [--rounds 3] [--seconds 0.5] [--runs 1000000] [--directory DIR]

The rows are those of the goals: W2 and W4 save states of 1 KiB and of 20 KiB at 1, 16 and 256 tasks, W3 looks at one
task, R1 lists the newest 50 by a metadata key among many runs, R3 reads one run while 64 tasks save. Both are durable
(WAL, synchronous FULL). The peer's state is one channel of a checkpoint, put into a thread of its own; what it lists is
the newest checkpoint of each of as many threads. Its ``alist`` has no range of time, and each of its rows carries less
(no time of its own, no checksums, no index of metadata), so that the comparison is about what a user waits for.

It needs ``langgraph-checkpoint-sqlite``, which is installed for the benchmarks alone (the dependency group ``peers``).
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import random
import sqlite3
import statistics
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from langgraph.checkpoint.base import create_checkpoint, empty_checkpoint
from langgraph.checkpoint.sqlite.aio import AsyncSqliteSaver
from list_runs import fill, make_run, timed
from save_run import TASKS, bench_store, drive, fsync_price, make_state
from save_run import make_run as make_saved_run

from openharness.core import RunQuery, RunRecord
from openharness.run_store_sqlite import SqliteRunStore

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

STEP = {"source": "loop", "step": 1, "parents": {}}


def make_checkpoint(state: object) -> Any:
    """A checkpoint whose one channel holds the state."""
    checkpoint = create_checkpoint(empty_checkpoint(), None, 1)
    checkpoint["channel_values"] = {"state": state}
    checkpoint["channel_versions"] = {"state": 1}
    return checkpoint


def thread(run_id: str) -> Any:
    """The place of a run in the checkpointer."""
    return {"configurable": {"thread_id": run_id, "checkpoint_ns": ""}}


async def bench_peer(path: Path, tasks: int, seconds: float, new: Callable[[], RunRecord]) -> dict[str, float]:
    """`AsyncSqliteSaver.aput`, a thread for each run."""
    checkpoint = make_checkpoint(new().state)
    async with AsyncSqliteSaver.from_conn_string(str(path)) as saver:
        await saver.setup()

        async def save(run: RunRecord) -> None:
            await saver.aput(thread(run.id), checkpoint, STEP, {"state": 1})  # pyright: ignore[reportArgumentType]

        return await drive(tasks, seconds, save, new)


def compare_saving(directory: Path, rounds: int, seconds: float, size: int) -> None:
    """W2, W3 and W4."""
    state = make_state(size)
    runs = [make_saved_run(state, 0) for _ in range(50_000)]
    new = itertools.cycle(runs).__next__
    found: dict[tuple[str, int], list[dict[str, float]]] = {}
    for _ in range(rounds):
        with tempfile.TemporaryDirectory(dir=directory) as folder:
            for tasks in TASKS:
                for name, bench in (("ours", bench_store), ("peer", bench_peer)):
                    result = asyncio.run(bench(Path(folder) / f"{name}{tasks}.db", tasks, seconds, new))
                    found.setdefault((name, tasks), []).append(result)
    print(f"save a state of {size:,} bytes in {directory} (fsync of 4 KiB: {fsync_price(directory):,.0f} us)")
    for tasks in TASKS:
        middle = {
            name: {
                key: statistics.median(result[key] for result in found[name, tasks]) for key in ("rate", "p50", "cpu")
            }
            for name in ("ours", "peer")
        }
        ours, peer = middle["ours"], middle["peer"]
        print(
            f"  {tasks:3} tasks: {ours['rate']:>9,.0f} /s, peer {peer['rate']:>7,.0f} /s: {ours['rate'] / peer['rate']:6.1f} x; "
            f"p50 {ours['p50']:.2f} and {peer['p50']:.2f} ms; cpu {ours['cpu']:.0f} and {peer['cpu']:.0f} us"
        )


async def fill_peer(path: Path, count: int) -> None:
    """As many threads with one checkpoint each: the row that the peer writes, with other ids and metadata."""
    async with AsyncSqliteSaver.from_conn_string(str(path)) as saver:
        await saver.setup()
        await saver.aput(thread("0"), make_checkpoint(make_run(0).state), STEP, {"state": 1})  # pyright: ignore[reportArgumentType]
    connection = sqlite3.connect(path, isolation_level=None)
    names = [row[1] for row in connection.execute("PRAGMA table_info(checkpoints)")]
    row = dict(zip(names, connection.execute("SELECT * FROM checkpoints").fetchone(), strict=True))
    connection.execute("DELETE FROM checkpoints")
    connection.execute("PRAGMA synchronous = OFF")
    connection.execute("BEGIN")
    values = (
        tuple(
            {
                **row,
                "thread_id": f"run_{number:022d}",
                "checkpoint_id": f"{number:032x}",
                "metadata": b'{"tenant":"t%d","rare":%d}' % (number % 50, number % 10_000),
            }.values()
        )
        for number in range(count)
    )
    connection.executemany(f"INSERT INTO checkpoints VALUES ({', '.join('?' * len(names))})", values)  # noqa: S608
    connection.execute("COMMIT")
    connection.close()


async def compare_listing(ours: Path, theirs: Path, count: int) -> None:
    """R1: the newest 50 of one tenant of 50."""
    query = RunQuery(metadata={"tenant": "t7"}, created_after=count * 1000 // 2, limit=50)
    async with SqliteRunStore(ours) as store, AsyncSqliteSaver.from_conn_string(str(theirs)) as saver:

        async def peer_list() -> None:
            found = [found async for found in saver.alist(None, filter={"tenant": "t7"}, limit=50)]
            assert len(found) == 50

        async def our_list() -> None:
            assert len(await store.list_runs(query)) == 50

        mine = statistics.median(await timed(our_list, 100))
        times: list[float] = []
        for _ in range(3):
            begun = time.perf_counter()
            await peer_list()
            times.append((time.perf_counter() - begun) * 1e3)
        peer = statistics.median(times)
        print(
            f"newest 50 of a tenant among {count:,}: {mine:.3f} ms, peer {peer:,.1f} ms: {peer / mine:,.0f} x (goal 1,000 at 1 M)"
        )


async def percentile(
    save: Callable[[int], Awaitable[object]], read: Callable[[], Awaitable[object]], times: int
) -> tuple[float, float]:
    """The median and the 99th percentile of a read, in milliseconds, while 64 tasks save."""
    stop = False

    async def saving(task: int) -> None:
        number = task
        while not stop:
            await save(number)
            number += 64

    tasks = [asyncio.ensure_future(saving(10_000_000 + task)) for task in range(64)]
    sample = await timed(read, times)
    stop = True
    await asyncio.gather(*tasks)
    return statistics.median(sample), sample[int(len(sample) * 0.99)]


async def compare_reading(ours: Path, theirs: Path, count: int) -> None:
    """R3: one run by its id while 64 tasks save."""
    chance = random.Random(5)
    checkpoint = make_checkpoint(make_run(0).state)
    async with SqliteRunStore(ours) as store, AsyncSqliteSaver.from_conn_string(str(theirs)) as saver:
        mine = await percentile(
            lambda number: store.save_run(make_run(number)),
            lambda: store.get_run(f"run_{chance.randrange(count):022d}"),
            400,
        )
        peer = await percentile(
            lambda number: saver.aput(thread(f"run_{number}"), checkpoint, STEP, {"state": 1}),  # pyright: ignore[reportArgumentType]
            lambda: saver.aget_tuple(thread(f"run_{chance.randrange(count):022d}")),
            200,
        )
    print(
        f"get one of {count:,} while 64 tasks save: p50 {mine[0]:.2f} p99 {mine[1]:.2f} ms, peer p50 {peer[0]:.1f} "
        f"p99 {peer[1]:.1f} ms: 1/{peer[1] / mine[1]:.0f} (goal 1/10)"
    )


def main() -> None:
    """Measure everything."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=0.5)
    parser.add_argument("--runs", type=int, default=1_000_000)
    parser.add_argument("--directory", type=Path, default=Path.cwd())
    options = parser.parse_args()
    for size in (1024, 20 * 1024):
        compare_saving(options.directory, options.rounds, options.seconds, size)
    with tempfile.TemporaryDirectory(dir=options.directory) as folder:
        ours, theirs = Path(folder) / "ours.db", Path(folder) / "theirs.db"
        fill(ours, options.runs)
        asyncio.run(fill_peer(theirs, options.runs))
        asyncio.run(compare_listing(ours, theirs, options.runs))
        asyncio.run(compare_reading(ours, theirs, options.runs))


if __name__ == "__main__":
    main()
