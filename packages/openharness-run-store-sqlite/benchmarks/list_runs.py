"""What finding runs costs, and that it does not grow with the number of runs.

    python benchmarks/list_runs.py [--small 10000] [--large 100000] [--directory DIR]

Two files are filled, and the same questions asked of both: the newest 50 by metadata and time, by a rare key, of all, a
page at the first and at the last depth, one run by its id, and one run by its id while 64 tasks save.
Each line gives the median processor time in both files (the machine's other work disturbs it little) and the ratio; the last lines compare with OFFSET and with reading on the
connection that writes.
"""

from __future__ import annotations

import argparse
import asyncio
import random
import sqlite3
import statistics
import tempfile
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from openharness.core import RunQuery, RunRecord
from openharness.core.values import MAX_BYTES
from openharness.run_store_sqlite import SqliteRunStore
from openharness.run_store_sqlite._opening import Settings, open_writer
from openharness.run_store_sqlite._query import select_one
from openharness.run_store_sqlite._rows import run_to_row
from openharness.run_store_sqlite._writer import _save_statement

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

STATE = {"text": "The quick brown fox jumps over the lazy dog. " * 22}


def make_run(number: int) -> RunRecord:
    """The run with this number, a second after the one before."""
    metadata = {"tenant": f"t{number % 50}", "rare": number % 10_000, "batch": number // 100, "model": "small"}
    return RunRecord(
        f"run_{number:022d}", created_at=number * 1000, completed_at=number * 1000, state=STATE, metadata=metadata
    )


def fill(path: Path, count: int) -> None:
    """Save so many runs, as quickly as one connection can."""
    settings = Settings(path=path, durability="process", busy_timeout=30.0, store="bench", abandoned=threading.Event())
    connection = open_writer(settings)
    for start in range(0, count, 5_000):
        connection.execute("BEGIN IMMEDIATE")
        rows = (run_to_row(make_run(number), max_bytes=MAX_BYTES) for number in range(start, min(start + 5_000, count)))
        connection.executemany(_save_statement(1), rows)
        connection.execute("COMMIT")
    connection.close()


async def timed(
    ask: Callable[[], Awaitable[Any]], times: int, clock: Callable[[], float] = time.perf_counter
) -> list[float]:
    """Return how long each of several calls took, in milliseconds, sorted; the first ones warm up and do not count."""
    found: list[float] = []
    for number in range(times + 5):
        begun = clock()
        await ask()
        if number >= 5:
            found.append((clock() - begun) * 1e3)
    return sorted(found)


async def questions(path: Path, count: int, times: int) -> dict[str, float]:
    """Return the median milliseconds of each question."""
    chance = random.Random(3)
    recent = count * 1000 // 2
    last = make_run(min(60, count - 1)).cursor
    async with SqliteRunStore(path) as store:
        asked: dict[str, Callable[[], Awaitable[Any]]] = {
            "newest 50, tenant, last half": lambda: store.list_runs(
                RunQuery(metadata={"tenant": "t7"}, created_after=recent, limit=50)
            ),
            "newest 50, rare key": lambda: store.list_runs(RunQuery(metadata={"rare": 77}, limit=50)),
            "newest 50, two keys": lambda: store.list_runs(
                RunQuery(metadata={"tenant": "t7", "model": "small"}, limit=50)
            ),
            "newest 50 failed (none)": lambda: store.list_runs(RunQuery(status="failed", limit=50)),
            "first page of 50": lambda: store.list_runs(RunQuery(limit=50)),
            "last page of 50, cursor": lambda: store.list_runs(RunQuery(limit=50, cursor=last)),
            "last page of 50, offset": lambda: store.list_runs(RunQuery(limit=50, offset=count - 60)),
            "get_run": lambda: store.get_run(f"run_{chance.randrange(count):022d}"),
        }
        return {name: statistics.median(await timed(ask, times, time.process_time)) for name, ask in asked.items()}


async def under_load(path: Path, count: int, times: int) -> dict[str, float]:
    """Return the 99th percentile of get_run, in milliseconds, while 64 tasks save: as it is, and on the writer."""
    chance = random.Random(4)
    stop = False
    found: dict[str, float] = {}
    async with SqliteRunStore(path) as store:

        async def save(task: int) -> None:
            number = count + task
            while not stop:
                await store.save_run(make_run(number))
                number += 64

        async def on_the_writer() -> None:
            statement = select_one(f"run_{chance.randrange(count):022d}")
            assert store._session is not None  # noqa: SLF001
            await store._session._writing.run(statement.sql, statement.parameters)  # noqa: SLF001

        saving = [asyncio.ensure_future(save(task)) for task in range(64)]
        for name, ask in {
            "own connection": lambda: store.get_run(f"run_{chance.randrange(count):022d}"),
            "on the writer": on_the_writer,
        }.items():
            sample = await timed(ask, times)
            found[name] = sample[int(len(sample) * 0.99)]
        stop = True
        await asyncio.gather(*saving)
    return found


def main() -> None:
    """Fill, ask and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--small", type=int, default=10_000)
    parser.add_argument("--large", type=int, default=100_000)
    parser.add_argument("--times", type=int, default=100)
    parser.add_argument("--directory", type=Path, default=Path.cwd())
    options = parser.parse_args()
    print(
        f"SQLite {sqlite3.sqlite_version}; {options.small:,} and {options.large:,} runs of about 1 KiB, 4 metadata keys"
    )
    with tempfile.TemporaryDirectory(dir=options.directory) as folder:
        answers: list[dict[str, float]] = []
        for count in (options.small, options.large):
            path = Path(folder) / f"{count}.db"
            fill(path, count)
            answers.append(asyncio.run(questions(path, count, options.times)))
        small, large = answers
        for name, milliseconds in small.items():
            print(f"  {name:32} {milliseconds:8.3f} ms  {large[name]:8.3f} ms  {large[name] / milliseconds:6.2f} x")
        deep, first = large["last page of 50, cursor"], large["first page of 50"]
        print(
            f"  last page by cursor: {deep / first:.2f} x the first, {large['last page of 50, offset'] / deep:.0f} x cheaper than by offset"
        )
        loaded = asyncio.run(under_load(Path(folder) / f"{options.small}.db", options.small, 2 * options.times))
        print(
            f"  get_run while 64 tasks save, p99: {loaded['own connection']:.2f} ms; "
            f"on the writer's connection {loaded['on the writer']:.2f} ms ({loaded['on the writer'] / loaded['own connection']:.1f} x)"
        )


if __name__ == "__main__":
    main()
