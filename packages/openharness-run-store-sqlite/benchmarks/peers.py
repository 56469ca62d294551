"""Saving, loading and listing runs on SQLite, against LangGraph, the OpenAI Agents SDK, burr and DBOS, in one process.

    python benchmarks/peers.py [--rounds 3] [--saves 2000] [--runs 10000] [--directory DIR] [--files DIR] [--only saving ...]

All are durable as they come (their files are synchronised to the disk at each commit). Sections, each a table:

* ``saving``: ``--saves`` states of 1 KiB and of 20 KiB, by 1, 16 and 256 tasks (W2, W3, W4); DBOS saves a twentieth;
* ``growth``: one run by its id, the newest 50, the 50 at nine tenths of the depth, the newest 50 of one tenant (R1), and
  saves by 16 tasks, among 1,000 runs and ten times as many, up to ``--runs`` (a million take 15 minutes and 7 GB); the
  files are made in ``--files``, and those that are there are used, as filling them takes longest;
* ``load``: one run by its id while 64 tasks save (R3);
* ``memory``: bytes of Python's memory for each save that is under way (256 are) and for each run of a page, and bytes in
  the file.

Every figure is the median of the rounds, in which the stores take turns, with the lowest and the highest in brackets;
ratios are of medians, ours to the peer's. Processor time is that of the whole process; the machine's other work disturbs
it least, and less on one core (``taskset -c 1``). What a peer keeps and does is told in ``_peer_stores.py``: none of them
keeps a checksum or an index of metadata, and DBOS does much more than save a state.

It needs the dependency group ``peers``.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import itertools
import os
import platform
import random
import sqlite3
import statistics
import sys
import tempfile
import time
import tracemalloc
from contextlib import AsyncExitStack
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

try:
    from _peer_stores import PAGE, STORES, Dbos, Ours, PeerStore
except ModuleNotFoundError as error:
    sys.exit(f"{error}: the peers are not installed; `nox -s bench -- peers` installs the dependency group `peers`.")
from list_runs import make_run, timed
from save_run import TASKS, fsync_price, make_state
from save_run import make_run as make_saved_run

from openharness.run_store_sqlite import SqliteRunStore

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from openharness.core import RunRecord

SECTIONS = ("saving", "growth", "load", "memory")
FILL = 50_000
"""How many runs are added at once."""
PACKAGES = ("langgraph-checkpoint-sqlite", "openai-agents", "apache-burr", "dbos", "aiosqlite", "msgspec")


def shown(values: Sequence[float]) -> str:
    """The median, with the lowest and the highest."""
    middle, low, high = statistics.median(values), min(values), max(values)
    digits = 0 if middle >= 100 else 1 if middle >= 10 else 2
    return f"{middle:,.{digits}f} ({low:,.{digits}f}-{high:,.{digits}f})"


def ratio(ours: Sequence[float], peer: Sequence[float]) -> str:
    """How many times as much the peer takes."""
    times = statistics.median(peer) / statistics.median(ours)
    return f"{times:,.0f}" if times >= 10 else f"{times:.1f}"


def row(*cells: str) -> None:
    """Print a row of a table."""
    print("| " + " | ".join(cells) + " |", flush=True)


def heading(*cells: str) -> None:
    """Print the first rows of a table."""
    print()
    row(*cells)
    row(*["---"] * len(cells))


async def saves(
    kind: type[PeerStore], path: Path, tasks: int, count: int, new: Callable[[], RunRecord]
) -> dict[str, float]:
    """Let tasks save so many runs into a new file: a number and no time, so that a busy machine makes no sample small."""
    times: list[float] = []
    turns = iter(range(count))

    async def worker(store: PeerStore) -> None:
        for _ in turns:
            begun = time.perf_counter()
            await store.save(new())
            times.append((time.perf_counter() - begun) * 1e3)

    async with kind(path) as store:
        await asyncio.gather(*(store.save(new()) for _ in range(tasks)))
        begun, cpu = time.perf_counter(), time.process_time()
        await asyncio.gather(*(worker(store) for _ in range(tasks)))
        elapsed, cpu = time.perf_counter() - begun, time.process_time() - cpu
    times.sort()
    return {
        "rate": count / elapsed,
        "cpu": cpu / count * 1e6,
        "p50": times[count // 2],
        "p99": times[int(count * 0.99)],
    }


def compare_saving(directory: Path, rounds: int, count: int) -> None:
    """W2, W3 and W4."""
    heading("state", "tasks", "store", "saves/s", "times", "CPU us a save", "times", "p50 ms", "p99 ms")
    for size in (1024, 20 * 1024):
        state = make_state(size)
        new = itertools.cycle([make_saved_run(state, 0) for _ in range(20_000)]).__next__
        for tasks in TASKS:
            few = max(count // 20, tasks)
            found: dict[type[PeerStore], list[dict[str, float]]] = {kind: [] for kind in STORES}
            for turn in range(rounds):
                for kind in STORES[turn % len(STORES) :] + STORES[: turn % len(STORES)]:
                    with tempfile.TemporaryDirectory(dir=directory) as folder:
                        found[kind].append(
                            asyncio.run(
                                saves(kind, Path(folder) / "runs.db", tasks, few if kind is Dbos else count, new)
                            )
                        )
            ours = {key: [result[key] for result in found[Ours]] for key in found[Ours][0]}
            for kind, results in found.items():
                here = {key: [result[key] for result in results] for key in results[0]}
                row(
                    f"{size // 1024} KiB", str(tasks), kind.name,
                    shown(here["rate"]), ratio(here["rate"], ours["rate"]),
                    shown(here["cpu"]), ratio(ours["cpu"], here["cpu"]),
                    shown(here["p50"]), shown(here["p99"]),
                )  # fmt: skip


async def once(ask: Callable[[], Awaitable[object]], times: int) -> float:
    """Return the microseconds of processor time of one of several calls."""
    begun = time.process_time()
    for _ in range(times):
        await ask()
    return (time.process_time() - begun) / times * 1e6


async def save_some(store: PeerStore, first: int, count: int) -> None:
    """Save so many new runs, 16 at a time."""
    numbers = iter(range(first, first + count))

    async def worker() -> None:
        for number in numbers:
            await store.save(make_run(number))

    await asyncio.gather(*(worker() for _ in range(16)))


async def questions(
    store: PeerStore, total: int, chance: random.Random, fresh: itertools.count[int]
) -> dict[str, float]:
    """Ask everything once, and return the processor time of each answer that there is."""
    deep = total * 9 // 10
    found = {"one run": await once(lambda: store.load(chance.randrange(total)), 20)}
    pages: dict[str, Callable[[], Awaitable[Sequence[object] | None]]] = {
        "newest 50": lambda: store.page(total, 0),
        "50 at depth": lambda: store.page(total, deep),
        "50 of a tenant": store.of_tenant,
    }
    for name, ask in pages.items():
        begun = time.process_time()
        runs = await ask()
        if runs is not None:
            found[name] = (time.process_time() - begun) * 1e6
            # Among few runs a tenant has less than a page.
            assert len(runs) in range(min(PAGE, total // 50), PAGE + 1), (name, len(runs))
    first = next(fresh)
    begun = time.process_time()
    await save_some(store, first * 100, 64)
    found["save"] = (time.process_time() - begun) / 64 * 1e6
    return found


async def filled(kind: type[PeerStore], folder: Path, size: int) -> Path:
    """Return a file with so many runs, which is made unless an earlier run of the benchmark has left it there."""
    path = folder / f"{kind.name}-{size}.db"
    if not path.exists():
        unfinished = folder / f"{kind.name}-{size}.unfinished.db"
        for step in range(0, size, FILL):
            # Opened each time, so that no log of writes grows beside the file.
            async with kind(unfinished) as store:
                await store.fill(step, min(step + FILL, size))
        unfinished.rename(path)
    return path


async def compare_growth(folder: Path, rounds: int, runs: int) -> None:
    """R1, R2 and W6: the same questions among ever more runs."""
    sizes = [size for size in (1_000, 10_000, 100_000, 1_000_000) if size <= runs]
    found: dict[tuple[str, type[PeerStore], int], list[float]] = {}
    chance = random.Random(3)
    # Beyond the runs of this and of earlier runs of the benchmark.
    fresh = itertools.count(10 * runs + time.time_ns() // 1_000_000_000 % 1_000_000 * 1_000)
    for size in sizes:
        async with AsyncExitStack() as stack:
            kinds = [kind for kind in STORES if size <= kind.most]
            stores = [await stack.enter_async_context(kind(await filled(kind, folder, size))) for kind in kinds]
            for turn in range(rounds + 1):
                for store in stores[turn % len(stores) :] + stores[: turn % len(stores)]:
                    answers = await questions(store, size, chance, fresh)
                    for name, spent in answers.items():
                        if turn:  # the first round warms up
                            found.setdefault((name, type(store), size), []).append(spent)
    heading("CPU us", "store", *(f"{size:,} runs" for size in sizes), "growth", "times ours at the most runs")
    for name in ("one run", "newest 50", "50 at depth", "50 of a tenant", "save"):
        for kind in STORES:
            if (name, kind, sizes[0]) not in found:
                row(name, kind.name, *["-"] * (len(sizes) + 2))
                continue
            here = [found.get((name, kind, size)) for size in sizes]
            most = [size for size in sizes if size <= kind.most][-1]
            last = found[name, kind, most]
            row(
                name, kind.name, *(shown(values) if values else "-" for values in here),
                ratio(found[name, kind, sizes[0]], last), ratio(found[name, Ours, most], last),
            )  # fmt: skip


async def loaded(store: PeerStore, count: int, times: int) -> list[float]:
    """Return the sorted milliseconds of loading one run while 64 tasks save."""
    stop, chance, numbers = False, random.Random(5), itertools.count(10_000_000)

    async def saving() -> None:
        while not stop:
            await store.save(make_run(next(numbers)))

    tasks = [asyncio.ensure_future(saving()) for _ in range(64)]
    sample = await timed(lambda: store.load(chance.randrange(count)), times)
    stop = True
    await asyncio.gather(*tasks)
    return sample


async def compare_load(directory: Path, rounds: int, times: int) -> None:
    """R3: one run by its id while 64 tasks save."""
    count = 10_000
    found: dict[type[PeerStore], list[list[float]]] = {kind: [] for kind in STORES}
    for _ in range(rounds):
        for kind in STORES:
            with tempfile.TemporaryDirectory(dir=directory) as folder:
                async with kind(Path(folder) / "runs.db") as store:
                    await store.fill(0, count)
                    found[kind].append(await loaded(store, count, times // 10 if kind is Dbos else times))
    heading("one of 10,000 while 64 tasks save", "p50 ms", "times", "p99 ms", "times")
    middle = {kind: [sample[len(sample) // 2] for sample in samples] for kind, samples in found.items()}
    slow = {kind: [sample[int(len(sample) * 0.99)] for sample in samples] for kind, samples in found.items()}
    for kind in STORES:
        row(
            kind.name,
            shown(middle[kind]),
            ratio(middle[Ours], middle[kind]),
            shown(slow[kind]),
            ratio(slow[Ours], slow[kind]),
        )


def size_of(folder: Path) -> int:
    """Return the bytes of all files in a folder."""
    return sum(file.stat().st_size for file in folder.iterdir())


async def memory_of(kind: type[PeerStore], directory: Path) -> list[float]:
    """Return the bytes for a save under way, for a run of a page, and in the file, of 10,000 runs."""
    count, tasks = 10_000, 256
    with tempfile.TemporaryDirectory(dir=directory) as folder:
        async with kind(Path(folder) / "runs.db") as store:
            await store.fill(0, count)
            await store.load(0)
            runs = [make_run(number) for number in range(count, count + 5 * tasks)]
            await asyncio.gather(*(store.save(run) for run in runs[:tasks]))
            gc.collect()
            tracemalloc.start()
            before, _ = tracemalloc.get_traced_memory()
            for start in range(tasks, len(runs), tasks):
                await asyncio.gather(*(store.save(run) for run in runs[start : start + tasks]))
            _, peak = tracemalloc.get_traced_memory()
            gc.collect()
            # What is left behind once is no part of a page: the second one counts.
            first = await store.page(count, 0)
            gc.collect()
            one, _ = tracemalloc.get_traced_memory()
            second = await store.page(count, 0)
            gc.collect()
            two, _ = tracemalloc.get_traced_memory()
            tracemalloc.stop()
        size = size_of(Path(folder))
    return [(peak - before) / tasks, (two - one) / PAGE if first and second else 0.0, size / (count + len(runs))]


def compare_memory(directory: Path, rounds: int) -> None:
    """Bytes a run."""
    heading("bytes a run of about 1 KiB", "save under way", "in a page", "in the file")
    for kind in STORES:
        found = [asyncio.run(memory_of(kind, directory)) for _ in range(rounds)]
        row(kind.name, *(shown(values) if max(values) else "-" for values in zip(*found, strict=True)))


async def file_system(directory: Path) -> str:
    """Return what `doctor` says of the file system of a directory."""
    with tempfile.TemporaryDirectory(dir=directory) as folder:
        async with SqliteRunStore(Path(folder) / "runs.db") as store:
            await store.count_runs()
            return str((await store.doctor()).facts.get("file system"))


def main() -> None:
    """Measure everything."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--saves", type=int, default=2_000)
    parser.add_argument("--runs", type=int, default=10_000)
    parser.add_argument("--directory", type=Path, default=Path.cwd())
    parser.add_argument("--files", type=Path)
    parser.add_argument("--only", nargs="+", choices=SECTIONS, default=SECTIONS)
    options = parser.parse_args()
    cores = f"{len(os.sched_getaffinity(0))} of " if hasattr(os, "sched_getaffinity") else ""
    print(f"Python {platform.python_version()}, SQLite {sqlite3.sqlite_version}")
    print(f"{platform.system()} {platform.release()} {platform.machine()}, {cores}{os.cpu_count()} cores")
    print(", ".join(f"{name} {version(name)}" for name in PACKAGES))
    kind = asyncio.run(file_system(options.directory))
    print(f"{kind}, fsync of 4 KiB {fsync_price(options.directory):,.0f} us; {options.rounds} rounds")
    if "saving" in options.only:
        compare_saving(options.directory, options.rounds, options.saves)
    if "growth" in options.only:
        with tempfile.TemporaryDirectory(dir=options.directory) as folder:
            asyncio.run(compare_growth(options.files or Path(folder), options.rounds, options.runs))
    if "load" in options.only:
        asyncio.run(compare_load(options.directory, options.rounds, 200))
    if "memory" in options.only:
        compare_memory(options.directory, options.rounds)


if __name__ == "__main__":
    main()
