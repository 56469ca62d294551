"""What searching inside of recordings costs, among 10^5 and 10^6 signals, and against reading the signals.

    python benchmarks/search.py [--small 1000] [--large 10000] [--signals 100] [--directory DIR]

Two files are filled with recordings of 100 signals, payloads of about 300 bytes; in one recording of a thousand a tool is
followed by an error, in every one by its result. The same questions are asked of both files. Each line gives the median
processor time of a question in both, and the ratio; the last compares with `SignalStore.search_recordings` as it is by
default, which reads the signals whose names match. Whether it grows: a rare sequence takes what its recordings take, a
page of a frequent one what a page takes, whatever else is in the file.
"""

from __future__ import annotations

import argparse
import asyncio
import sqlite3
import statistics
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from openharness.core import RecordingQuery, Signal, SignalStore
from openharness.core.storage import encode_entries, new_header
from openharness.core.values import MAX_BYTES
from openharness.signal_store_sqlite import SqliteSignalStore
from openharness.signal_store_sqlite._writing import Tables

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

TEXT = "a sentence of a model's answer " * 8
RARE = 1000


def names(number: int, count: int) -> list[str]:
    """The names of the signals of a recording."""
    found = ["harness:start"]
    while len(found) < count - 3:
        found += ["agent:activated", "provider:start", "text:delta", "tool:call", "tool:result", "text:complete"]
    end = ["agent:error", "harness:end"] if number % RARE == RARE // 2 else ["agent:completed", "harness:end"]
    return [*found[: count - 2], *end]


async def fill(path: Path, recordings: int, count: int) -> None:
    """Write so many recordings, as quickly as one connection can."""
    async with SqliteSignalStore(path, durability="process"):
        pass
    connection = sqlite3.connect(path, isolation_level=None)
    connection.execute("PRAGMA foreign_keys = ON")
    connection.text_factory = bytes
    tables = Tables(connection, store="bench")
    connection.execute("BEGIN IMMEDIATE")
    for number in range(recordings):
        header = new_header(
            run_id=f"run-{number}",
            name=None,
            tags=(),
            metadata={"tenant": number % 50},
            resumed_from=None,
            max_bytes=MAX_BYTES,
        )
        tables.create(header)
        signals = [
            Signal(f"run/{seq}", name=name, payload={"text": TEXT, "n": seq}, timestamp=seq, seq=seq)
            for seq, name in enumerate(names(number, count))
        ]
        tables.append(header.id, encode_entries(signals, max_bytes=MAX_BYTES))
        if number % 500 == 499:
            connection.execute("COMMIT")
            connection.execute("BEGIN IMMEDIATE")
    connection.execute("COMMIT")
    connection.close()


async def cost(ask: Callable[[], Awaitable[Any]], times: int) -> float:
    """The median processor time of a call in milliseconds."""
    found: list[float] = []
    for number in range(times + 2):
        begun = time.process_time()
        await ask()
        if number >= 2:
            found.append((time.process_time() - begun) * 1e3)
    return statistics.median(found)


async def questions(path: Path, times: int) -> dict[str, float]:
    """Return the milliseconds of each question."""
    async with SqliteSignalStore(path) as store:
        rare = ["tool:*", "agent:error"]
        (first,) = (
            await store.search_recordings(["tool:call", "tool:result"], RecordingQuery(order="oldest", limit=1))
        )[:1]
        deep = RecordingQuery(
            limit=50, cursor=(await store.list_recordings(RecordingQuery(order="oldest", limit=60)))[-1].cursor
        )
        asked: dict[str, Callable[[], Awaitable[Any]]] = {
            "one rare, 1 wanted": lambda: store.search_recordings(rare, RecordingQuery(limit=1)),
            "a rare and a metadata key": lambda: store.search_recordings(
                rare, RecordingQuery(limit=1, metadata={"tenant": RARE // 2 % 50})
            ),
            "a frequent, first page of 50": lambda: store.search_recordings(
                ["tool:call", "tool:result"], RecordingQuery(limit=50)
            ),
            "a frequent, last page of 50": lambda: store.search_recordings(["tool:call", "tool:result"], deep),
            "three globs, page of 50": lambda: store.search_recordings(
                ["agent:*", "**:start", "text:*"], RecordingQuery(limit=50)
            ),
            "a name that is nowhere": lambda: store.search_recordings(["tool:*", "none:*"]),
            "newest 50 by metadata": lambda: store.list_recordings(RecordingQuery(limit=50, metadata={"tenant": 7})),
            "info of one": lambda: store.get_recording_info(first.info.id),
        }
        return {name: await cost(ask, times) for name, ask in asked.items()}


async def against_reading(path: Path) -> tuple[float, float]:
    """The same search of the rarest through the indexes, and by reading signals."""
    async with SqliteSignalStore(path) as store:
        patterns = ["tool:*", "agent:error"]
        indexed = await cost(lambda: store.search_recordings(patterns), 5)
        reading = await cost(lambda: SignalStore.search_recordings(store, patterns), 1)
        assert await store.search_recordings(patterns) == await SignalStore.search_recordings(store, patterns)
        return indexed, reading


async def main() -> None:
    """Fill, ask and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--small", type=int, default=1_000)
    parser.add_argument("--large", type=int, default=10_000)
    parser.add_argument("--signals", type=int, default=100)
    parser.add_argument("--times", type=int, default=15)
    parser.add_argument("--directory", type=Path, default=Path.cwd())
    options = parser.parse_args()
    print(
        f"SQLite {sqlite3.sqlite_version}; {options.small * options.signals:,} and {options.large * options.signals:,} "
        f"signals in {options.small:,} and {options.large:,} recordings"
    )
    with tempfile.TemporaryDirectory(dir=options.directory) as folder:
        answers: list[dict[str, float]] = []
        for count in (options.small, options.large):
            path = Path(folder) / f"{count}.db"
            await fill(path, count, options.signals)
            answers.append(await questions(path, options.times))
        small, large = answers
        for name, milliseconds in small.items():
            print(f"  {name:32} {milliseconds:8.3f} ms  {large[name]:8.3f} ms  {large[name] / milliseconds:6.2f} x")
        indexed, reading = await against_reading(Path(folder) / f"{options.small}.db")
        print(
            f"  all rare ones, {options.small:,} recordings: {indexed:.2f} ms, by reading signals {reading / indexed:,.0f} x"
        )


if __name__ == "__main__":
    asyncio.run(main())
