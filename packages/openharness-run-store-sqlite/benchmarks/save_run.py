"""What saving a run costs, as ratios to what SQLite and asyncio allow, all measured in one process.

    python benchmarks/save_run.py [--rounds 5] [--seconds 0.5] [--latency 10] [--directory DIR ...]

Compared are, at 1, 16 and 256 concurrent tasks:

* ``store``: `SqliteRunStore.save_run` as users call it;
* ``commit each``: aiosqlite with one upsert and one commit a save, one after the other, into the same tables;
* ``one transaction``: one ``executemany`` of ready-made rows in one transaction, by sqlite3 alone;
* ``limit``: the same in transactions of 256 rows;
* ``no database``: 256 tasks that encode with the codec, queue and are woken, with nothing behind the queue;
* ``checked rows``: the same, but with what every store must do to a run before it queues it: conversion and checks of
  the values, copies, and checksums;
* ``combined limit``: 1 / (1 / limit + 1 / no database), as both fall on one interpreter lock and so add up.

Numbers are medians of the rounds with the lowest and the highest. Ratios are of rates, and of processor time, which
neighbours on the machine disturb less.

How long a save by one of 16 tasks takes at most is measured last, in ``--latency`` short samples, and told of the quiet
ones: those during which other processes took less than 0.35 of a core of those that this one may use. Where fewer than
three are quiet, the three quietest count, and the line says how quiet they were.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import itertools
import json
import os
import sqlite3
import statistics
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import aiosqlite
import msgspec

from openharness.core import RunRecord
from openharness.core.values import MAX_BYTES
from openharness.run_store_sqlite import SqliteRunStore
from openharness.run_store_sqlite._rows import run_to_row
from openharness.run_store_sqlite._schema import SCHEMA
from openharness.run_store_sqlite._writing import save_statement
from openharness.sqlite import Settings, open_writer

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

TASKS = (1, 16, 256)
READY = 100_000
_QUIET = 0.35
_SAMPLE = 0.5
_numbers = itertools.count()


def make_state(size: int) -> dict[str, Any]:
    """A state as agents leave it: some text, some structure."""
    text = "The quick brown fox jumps over the lazy dog, and says why. "
    state: dict[str, Any] = {
        "input": "",
        "score": 0.75,
        "done": True,
        "items": [{"name": f"item {number}", "value": number} for number in range(4)],
    }
    state["input"] = (text * (size // len(text) + 1))[: size - len(json.dumps(state))]
    return state


def make_run(state: dict[str, Any], keys: int) -> RunRecord:
    """A completed run with an id that sorts by time."""
    number = next(_numbers)
    metadata = {"tenant": f"t{number % 50}", "batch": number // 100, "model": "small", "rare": number % 9973}
    return RunRecord(
        f"run_{number:022d}",
        created_at=1_763_850_000_000 + number,
        completed_at=1_763_850_001_000 + number,
        state=state,
        metadata=dict(list(metadata.items())[:keys]) or None,
    )


def bare_codec(run: RunRecord) -> bytes:
    """The state as JSON, unchecked."""
    return msgspec.json.encode(run.state)


def checked_row(run: RunRecord) -> object:
    """The run as the store queues it."""
    return run_to_row(run, max_bytes=MAX_BYTES)


def settings(path: Path) -> Settings:
    """What `open_writer` needs."""
    return Settings(
        path=path, schema=SCHEMA, durability="full", busy_timeout=30.0, store="bench", abandoned=threading.Event()
    )


async def drive(
    tasks: int, seconds: float, save: Callable[[RunRecord], Awaitable[None]], new: Callable[[], RunRecord]
) -> dict[str, float]:
    """Let tasks save one run after the other for a while."""
    times: list[float] = []
    end = time.perf_counter() + seconds

    async def worker() -> None:
        while (begun := time.perf_counter()) < end:
            await save(new())
            times.append(time.perf_counter() - begun)

    begun, cpu = time.perf_counter(), time.process_time()
    await asyncio.gather(*(worker() for _ in range(tasks)))
    elapsed, cpu = time.perf_counter() - begun, time.process_time() - cpu
    times.sort()
    return {
        "rate": len(times) / elapsed,
        "cpu": cpu / len(times) * 1e6,
        "p50": times[len(times) // 2] * 1e3,
        "p99": times[int(len(times) * 0.99)] * 1e3,
    }


async def bench_store(path: Path, tasks: int, seconds: float, new: Callable[[], RunRecord]) -> dict[str, float]:
    """`SqliteRunStore.save_run` as users call it."""
    async with SqliteRunStore(path) as store:
        await store.save_run(new())
        return await drive(tasks, seconds, store.save_run, new)


async def bench_commit_each(path: Path, tasks: int, seconds: float, new: Callable[[], RunRecord]) -> dict[str, float]:
    """Bare aiosqlite: one upsert and one commit a save, one after the other."""
    open_writer(settings(path)).close()
    connection = await aiosqlite.connect(path)
    await connection.execute("PRAGMA synchronous = FULL")
    lock = asyncio.Lock()
    statement = save_statement(1)

    async def save(run: RunRecord) -> None:
        row = run_to_row(run, max_bytes=MAX_BYTES)
        async with lock:
            await connection.execute(statement, row)
            await connection.commit()

    try:
        await save(new())
        return await drive(tasks, seconds, save, new)
    finally:
        await connection.close()


async def bench_no_database(
    tasks: int, seconds: float, new: Callable[[], RunRecord], encode: Callable[[RunRecord], object]
) -> dict[str, float]:
    """Tasks that encode, queue and are woken, and nothing else."""
    waiting: list[tuple[object, asyncio.Future[None]]] = []
    loop = asyncio.get_running_loop()

    def flush() -> None:
        batch = waiting[:]
        waiting.clear()
        for _, done in batch:
            done.set_result(None)

    async def save(run: RunRecord) -> None:
        done: asyncio.Future[None] = loop.create_future()
        if not waiting:
            loop.call_soon(flush)
        waiting.append((encode(run), done))
        await done

    return await drive(tasks, seconds, save, new)


def bench_raw(path: Path, rows_each: int, seconds: float, new: Callable[[], RunRecord]) -> dict[str, float]:
    """One sqlite3 connection, ready-made rows, and so many of them in each transaction."""
    connection = open_writer(settings(path))
    statement = save_statement(1)
    count = 4096
    rows = [run_to_row(new(), max_bytes=MAX_BYTES) for _ in range(count)]
    begun, cpu, saved = time.perf_counter(), time.process_time(), 0
    for start in range(0, count, rows_each):
        connection.execute("BEGIN IMMEDIATE")
        connection.executemany(statement, rows[start : start + rows_each])
        connection.execute("COMMIT")
        saved += len(rows[start : start + rows_each])
        if time.perf_counter() - begun > 2 * seconds:
            break
    elapsed, cpu = time.perf_counter() - begun, time.process_time() - cpu
    connection.close()
    return {"rate": saved / elapsed, "cpu": cpu / saved * 1e6, "p50": 0.0, "p99": 0.0}


def fsync_price(directory: Path) -> float:
    """Return the microseconds of a 4 KiB write that reaches the disk."""
    with tempfile.NamedTemporaryFile(dir=directory) as file:
        times: list[float] = []
        for _ in range(50):
            os.pwrite(file.fileno(), b"x" * 4096, 0)
            begun = time.perf_counter()
            os.fsync(file.fileno())
            times.append(time.perf_counter() - begun)
    return statistics.median(times) * 1e6


def busy() -> float:
    """Return the seconds that the cores which this process may use have spent on others so far; 0.0 where unknown."""
    try:
        lines = Path("/proc/stat").read_text(encoding="ascii").splitlines()
    except OSError:  # not on Linux
        return 0.0
    names = {f"cpu{number}" for number in os.sched_getaffinity(0)}
    # Without the time for which a core was idle or waited for a disk; with what the host gave to other machines.
    ticks = [sum(map(int, words[1:4] + words[6:9])) for words in map(str.split, lines) if words[0] in names]
    return sum(ticks) / os.sysconf("SC_CLK_TCK") - time.process_time()


def measure_latency(directory: Path, samples: int, new: Callable[[], RunRecord]) -> str:
    """W5: say how many times as long as half of the saves of 16 tasks the slowest hundredth of them take."""
    found: list[tuple[float, float, float]] = []
    for _ in range(samples):
        with tempfile.TemporaryDirectory(dir=directory) as folder:
            begun, spent = time.perf_counter(), busy()
            result = asyncio.run(bench_store(Path(folder) / "runs.db", 16, _SAMPLE, new))
            others = max(0.0, (busy() - spent) / (time.perf_counter() - begun))
            found.append((others, result["p99"] / result["p50"], result["p50"]))
    found.sort()
    quiet = found[: max(3, sum(others < _QUIET for others, _, _ in found))]
    times, p50 = [one[1] for one in quiet], [one[2] for one in quiet]
    return (
        f"16 tasks, the quietest {len(quiet)} of {len(found)} samples, with at most {max(one[0] for one in quiet):.2f} cores "
        f"of others: p99 / p50 {statistics.median(times):.2f} ({min(times):.2f}-{max(times):.2f}), "
        f"p50 {statistics.median(p50):.3f} ms"
    )


def measure(
    directory: Path, rounds: int, seconds: float, new: Callable[[], RunRecord]
) -> dict[str, list[dict[str, float]]]:
    """Run everything in turn, beginning each round with another one."""
    results: dict[str, list[dict[str, float]]] = {}

    def note(name: str, result: dict[str, float]) -> None:
        results.setdefault(name, []).append(result)

    for round_number in range(rounds):
        with tempfile.TemporaryDirectory(dir=directory) as folder:
            jobs: list[tuple[str, Callable[[Path], dict[str, float]]]] = [
                ("one transaction", lambda path: bench_raw(path, 1 << 30, seconds, new)),
                ("limit", lambda path: bench_raw(path, 256, seconds, new)),
                ("no database", lambda _: asyncio.run(bench_no_database(256, seconds, new, bare_codec))),
                ("checked rows", lambda _: asyncio.run(bench_no_database(256, seconds, new, checked_row))),
            ]
            for tasks in TASKS:
                jobs += [
                    (
                        f"commit each {tasks}",
                        lambda path, tasks=tasks: asyncio.run(bench_commit_each(path, tasks, seconds, new)),
                    ),
                    (f"store {tasks}", lambda path, tasks=tasks: asyncio.run(bench_store(path, tasks, seconds, new))),
                ]
            turn = round_number % len(jobs)
            for number, (name, job) in enumerate(jobs[turn:] + jobs[:turn]):
                note(name, job(Path(folder) / f"{number}.db"))
    return results


def shown(values: list[float]) -> str:
    """The median with the lowest and the highest."""
    return f"{statistics.median(values):,.0f} ({min(values):,.0f}-{max(values):,.0f})"


def report(results: dict[str, list[dict[str, float]]]) -> None:
    """Print the rates and the ratios."""
    middle = {name: statistics.median(result["rate"] for result in found) for name, found in results.items()}
    for name, found in results.items():
        rates = [result["rate"] for result in found]
        p50, p99 = (statistics.median(result[key] for result in found) for key in ("p50", "p99"))
        cpu = statistics.median(result["cpu"] for result in found)
        print(f"  {name:18} {shown(rates):>32} /s   p50 {p50:8.3f} ms  p99 {p99:8.3f} ms  cpu {cpu:7.1f} us")
    cpu = {name: statistics.median(result["cpu"] for result in found) for name, found in results.items()}
    for codec in ("no database", "checked rows"):
        limit = 1 / (1 / middle["limit"] + 1 / middle[codec])
        print(
            f"  combined limit with {codec}: {limit:,.0f} /s; 256 tasks reach {middle['store 256'] / limit:.2f} of it "
            f"({(cpu['limit'] + cpu[codec]) / cpu['store 256']:.2f} by processor time)"
        )
    for tasks in TASKS:
        store, each = f"store {tasks}", f"commit each {tasks}"
        p50 = [statistics.median(result["p50"] for result in results[name]) for name in (store, each)]
        p99 = statistics.median(result["p99"] for result in results[store])
        print(
            f"  {tasks:3} tasks: {middle[store] / middle[each]:6.2f} x commit each (p50 {p50[0] / p50[1]:.2f} x), "
            f"{middle[store] / middle['one transaction']:.2f} x one transaction, p99 / p50 {p99 / p50[0]:.2f}"
        )
    print(
        f"  processor time a save at 256 tasks: {cpu['store 256'] / cpu['one transaction']:.2f} x a row of executemany"
    )


def main() -> None:
    """Measure in each directory."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=0.5)
    parser.add_argument("--state-bytes", type=int, default=1024)
    parser.add_argument("--metadata-keys", type=int, default=0)
    parser.add_argument("--latency", type=int, default=10)
    parser.add_argument("--directory", type=Path, action="append")
    options = parser.parse_args()
    directories: list[Path] = options.directory or [Path.cwd()]
    if not options.directory and Path("/dev/shm").is_dir():  # noqa: S108 - tmpfs, where fsync is free
        directories.append(Path("/dev/shm"))  # noqa: S108
    state = make_state(options.state_bytes)
    # Made beforehand, as the ready-made rows are: making a record is no part of saving it. More than one job can save.
    runs = [make_run(state, options.metadata_keys) for _ in range(READY)]
    gc.freeze()
    next_run = itertools.cycle(runs).__next__
    print(f"Python {sys.version.split()[0]}, SQLite {sqlite3.sqlite_version}, aiosqlite {aiosqlite.__version__}")
    for directory in directories:
        price = fsync_price(directory)
        print(
            f"save_run in {directory} (fsync of 4 KiB: {price:,.0f} us), state of {options.state_bytes:,} bytes, "
            f"{options.metadata_keys} metadata keys"
        )
        if options.rounds:
            report(measure(directory, options.rounds, options.seconds, next_run))
        if options.latency:
            print(f"  {measure_latency(directory, options.latency, next_run)}")


if __name__ == "__main__":
    main()
