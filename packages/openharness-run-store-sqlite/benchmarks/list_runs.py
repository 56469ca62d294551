"""What finding and saving runs cost in a large file, and that it does not grow with the number of runs.

    python benchmarks/list_runs.py [--small 100000] [--large 1000000] [--directory DIR]

Files are filled, and the same questions asked of the small and the large one: the newest 50 by metadata and time, by a
rare key, of all, a page at the first and at the last depth, one run by its id, and one run by its id while 64 tasks
save. Each line gives the median processor time in both files (the machine's other work disturbs it little) and the
ratio; the lines below compare with OFFSET and with reading on the connection that writes. Then runs are saved, 256 tasks
at a time, into a file of a hundredth of the large one's size and into the large one, where ids that sort by time are
compared with ids that do not; all indexes and four metadata keys are there.

The goals: R1, a list takes at most 1.5 times as long among 1 M runs as among 100 k; R2, the last page at most 1.2 times
the first, and a hundredth of OFFSET; W6, saving among 1 M runs at 0.6 times the rate among 10 k or more, and with ids
that sort by time 1.3 times as fast as with others.
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

import attrs

from openharness.core import RunQuery, RunRecord
from openharness.core.values import MAX_BYTES
from openharness.run_store_sqlite import SqliteRunStore
from openharness.run_store_sqlite._query import select_one
from openharness.run_store_sqlite._rows import run_to_row
from openharness.run_store_sqlite._schema import SCHEMA
from openharness.run_store_sqlite._writing import save_statement
from openharness.sqlite import Settings, open_writer

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

STATE = {"text": "The quick brown fox jumps over the lazy dog. " * 22}


def make_run(number: int) -> RunRecord:
    """The run with this number, a second after the one before."""
    metadata = {"tenant": f"t{number % 50}", "rare": number % 10_000, "batch": number // 100, "model": "small"}
    return RunRecord(
        f"run_{number:022d}", created_at=number * 1000, completed_at=number * 1000, state=STATE, metadata=metadata
    )


def fill(path: Path, count: int, first: int = 0) -> None:
    """Save the runs up to this number, as quickly as one connection can."""
    settings = Settings(
        path=path, schema=SCHEMA, durability="process", busy_timeout=30.0, store="bench", abandoned=threading.Event()
    )
    connection = open_writer(settings)
    for start in range(first, count, 5_000):
        connection.execute("BEGIN IMMEDIATE")
        rows = (run_to_row(make_run(number), max_bytes=MAX_BYTES) for number in range(start, min(start + 5_000, count)))
        connection.executemany(save_statement(1), rows)
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
            "newest 50, no states": lambda: store.list_runs(RunQuery(limit=50, include_state=False)),
            "count of one tenant": lambda: store.count_runs(RunQuery(metadata={"tenant": "t7"})),
            "count of all completed": lambda: store.count_runs(RunQuery(status="completed")),
            "count of all failed (none)": lambda: store.count_runs(RunQuery(status="failed")),
            "prune, dry run, keep all": lambda: store.prune_runs(keep_last=count, dry_run=True),
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


async def saving(path: Path, new_id: Callable[[int], str], first: int, count: int) -> tuple[float, float]:
    """Return the rate of saves by 256 tasks, and the microseconds of processor time of one."""
    runs = iter([attrs.evolve(make_run(number), id=new_id(number)) for number in range(first, first + count)])
    async with SqliteRunStore(path) as store:
        await store.get_run("run")

        async def save() -> None:
            for run in runs:
                await store.save_run(run)

        begun, cpu = time.perf_counter(), time.process_time()
        await asyncio.gather(*(save() for _ in range(256)))
        return count / (time.perf_counter() - begun), (time.process_time() - cpu) / count * 1e6


def compare_saving(small: Path, large: Path, sizes: tuple[int, int], rounds: int, count: int) -> None:
    """W6: the same saves into a small and a large file, in turn."""
    chance = random.Random(7)

    def sorted_id(number: int) -> str:
        return f"run_{number:022d}"

    def random_id(_: int) -> str:
        return f"run_{chance.getrandbits(110):022x}"

    jobs = {
        f"into {sizes[0]:,} runs, ids by time": (small, sorted_id),
        f"into {sizes[1]:,} runs, ids by time": (large, sorted_id),
        f"into {sizes[1]:,} runs, random ids": (large, random_id),
    }
    found: dict[str, list[tuple[float, float]]] = {name: [] for name in jobs}
    first = 2 * sizes[1]
    for _ in range(rounds):
        for name, (path, new_id) in jobs.items():
            found[name].append(asyncio.run(saving(path, new_id, first, count)))
            first += count
    rates = [statistics.median(rate for rate, _ in results) for results in found.values()]
    costs = [statistics.median(cost for _, cost in results) for results in found.values()]
    for name, rate, cost in zip(found, rates, costs, strict=True):
        print(f"  save {name:36} {rate:9,.0f} /s  cpu {cost:7.1f} us")
    print(
        f"  large / small: {rates[1] / rates[0]:.2f} x the rate, by processor time {costs[0] / costs[1]:.2f} x (goal 0.6); "
        f"ids by time / random: {rates[1] / rates[2]:.2f} x, by processor time {costs[2] / costs[1]:.2f} x (goal 1.3)"
    )


def main() -> None:
    """Fill, ask and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--small", type=int, default=100_000)
    parser.add_argument("--large", type=int, default=1_000_000)
    parser.add_argument("--times", type=int, default=100)
    parser.add_argument("--rounds", type=int, default=5)
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
        few = options.large // 100
        fill(Path(folder) / "few.db", few)
        compare_saving(
            Path(folder) / "few.db", Path(folder) / f"{options.large}.db", (few, options.large), options.rounds, 5_120
        )


if __name__ == "__main__":
    main()
