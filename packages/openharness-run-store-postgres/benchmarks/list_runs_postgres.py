"""What finding runs in a large PostgreSQL table costs, and that it does not grow with the number of runs.

    python benchmarks/list_runs_postgres.py [--small 100000] [--large 1000000] [--times 100] [--dsn DSN]

Two sets of tables are filled, by a store that saves as users let it, and the same questions asked of both: the newest 50 by
metadata and time, by a rare key, by two keys, of all, a page at the first and at the last depth, one run by its id, counts,
and a dry run of pruning. Each line gives the median time of a call in both, and the ratio; the last one compares with OFFSET.
The tables are asked as they are after filling, and once more after ``ANALYZE``, which a server does by itself a minute later.

The goals are those of SQLite's: a list takes at most 1.5 times as long among 1 M runs as among 100 k; the last page at most
1.2 times the first, and a hundredth of OFFSET. Without ``--dsn`` a server of this machine's is started; client and server
share the processors, and a call's time is that of both and of the way between them.
"""

from __future__ import annotations

import argparse
import asyncio
import random
import statistics
import time
from typing import TYPE_CHECKING, Any

import asyncpg

from openharness.core import RunQuery, RunRecord
from openharness.run_store_postgres import PostgresRunStore
from openharness.testing.postgres import PostgresServer

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

STATE = {"text": "The quick brown fox jumps over the lazy dog. " * 22}
AT_ONCE = 512
WARM = 5


def make_run(number: int) -> RunRecord:
    """The run with this number, a second after the one before."""
    metadata = {"tenant": f"t{number % 50}", "rare": number % 10_000, "batch": number // 100, "model": "small"}
    return RunRecord(
        f"run_{number:022d}", created_at=number * 1000, completed_at=number * 1000, state=STATE, metadata=metadata
    )


async def fill(store: PostgresRunStore, count: int) -> float:
    """Save so many runs, and return the rate."""
    numbers = iter(range(count))

    async def worker() -> None:
        for number in numbers:
            await store.save_run(make_run(number))

    begun = time.perf_counter()
    await asyncio.gather(*(worker() for _ in range(AT_ONCE)))
    return count / (time.perf_counter() - begun)


def questions(store: PostgresRunStore, count: int) -> dict[str, Callable[[], Awaitable[Any]]]:
    """What is asked, by name."""
    chance = random.Random(3)
    last = make_run(min(60, count - 1)).cursor

    def listed(**conditions: Any) -> Callable[[], Awaitable[Any]]:
        return lambda: store.list_runs(RunQuery(limit=50, **conditions))

    return {
        "newest 50, tenant, last half": listed(metadata={"tenant": "t7"}, created_after=count * 500),
        "newest 50, rare key": listed(metadata={"rare": 77}),
        "newest 50, two keys": listed(metadata={"tenant": "t7", "model": "small"}),
        "newest 50 failed (none)": listed(status="failed"),
        "first page of 50": listed(),
        "last page of 50, cursor": listed(cursor=last),
        "last page of 50, offset": listed(offset=count - 60),
        "newest 50, no states": listed(include_state=False),
        "count of one tenant": lambda: store.count_runs(RunQuery(metadata={"tenant": "t7"})),
        "count of all completed": lambda: store.count_runs(RunQuery(status="completed")),
        "count of all failed (none)": lambda: store.count_runs(RunQuery(status="failed")),
        "prune, dry run, keep all": lambda: store.prune_runs(keep_last=count, dry_run=True),
        "get_run": lambda: store.get_run(f"run_{chance.randrange(count):022d}"),
    }


async def median_of(ask: Callable[[], Awaitable[Any]], times: int) -> float:
    """Return the median milliseconds of a call; a slow one is asked less often."""
    found: list[float] = []
    for _ in range(WARM):
        begun = time.perf_counter()
        await ask()
        found = [(time.perf_counter() - begun) * 1e3]
    for _ in range(min(times, max(3, int(5_000 / found[0])))):
        begun = time.perf_counter()
        await ask()
        found.append((time.perf_counter() - begun) * 1e3)
    return statistics.median(found[1:])


async def measure(dsn: str, small: int, large: int, times: int) -> None:
    """Fill, ask and print."""
    connection = await asyncpg.connect(dsn)
    async with PostgresRunStore(dsn, schema="small") as few, PostgresRunStore(dsn, schema="large") as many:
        for store, count in ((few, small), (many, large)):
            print(f"{count:,} runs saved by {AT_ONCE} tasks at {await fill(store, count):,.0f} /s")
        asked = (questions(few, small), questions(many, large))
        for title in ("as it is after filling", "after ANALYZE"):
            if title == "after ANALYZE":
                await connection.execute("ANALYZE")
            print(f"{title}: {small:,} and {large:,} runs of about 1 KiB, 4 metadata keys")
            answers: dict[str, tuple[float, float]] = {}
            for name in asked[0]:
                one, other = [await median_of(each[name], times) for each in asked]
                answers[name] = (one, other)
                print(f"  {name:32} {one:9.2f} ms  {other:9.2f} ms  {other / one:6.2f} x")
            pages = ("first page of 50", "last page of 50, cursor", "last page of 50, offset")
            first, deep, offset = (answers[page][1] for page in pages)
            print(
                f"  last page by cursor: {deep / first:.2f} x the first, {offset / deep:.0f} x cheaper than by offset"
            )
    await connection.close()


def main() -> None:
    """Read the arguments, find a server, and measure."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--small", type=int, default=100_000)
    parser.add_argument("--large", type=int, default=1_000_000)
    parser.add_argument("--times", type=int, default=100)
    parser.add_argument("--dsn", help="an empty database of a server that may be measured")
    options = parser.parse_args()
    sizes = (options.small, options.large, options.times)
    if options.dsn:
        asyncio.run(measure(options.dsn, *sizes))
        return
    settings = {"fsync": "on", "full_page_writes": "on", "shared_buffers": "128MB", "max_wal_size": "1GB"}
    with PostgresServer(settings) as server:
        asyncio.run(measure(server.dsn, *sizes))


if __name__ == "__main__":
    main()
