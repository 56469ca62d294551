"""Where the processor time of saving a run, and of a page of 50, goes: each part by itself, in turn, in one process.

    python benchmarks/parts.py [--rounds 9] [--directory DIR]

The parts of a save by 256 tasks are those of `run_to_row` (the look at every part of the state, the encoder, the two
checksums), a row of a batch of 16 and of 128 in SQLite, and the whole; what the whole takes beyond them are the task, the
future, the queue and a share of the trip to the thread. The parts of a page are the statement, the decoding of 50 rows
and the look at the answer, and the whole, which makes the trip. Medians, with the lowest and the highest.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import itertools
import statistics
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

from list_runs import fill
from save_run import bench_store, make_run, make_state, settings

from openharness.core import RunQuery
from openharness.core.storage import encode_run, run_columns
from openharness.core.storage._run_rows import state_checksum
from openharness.core.values import MAX_BYTES, encode_json
from openharness.core.values._convert import is_plain
from openharness.run_store_sqlite import SqliteRunStore
from openharness.run_store_sqlite._query import select
from openharness.run_store_sqlite._rows import run_from_row, run_to_row
from openharness.run_store_sqlite._writing import save_statement
from openharness.sqlite import open_reader, open_writer

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

RUNS = 2_048


def each(work: Callable[[int], object], count: int) -> float:
    """Return the microseconds of processor time of one of several calls, which are given their number."""
    begun = time.process_time()
    for number in range(count):
        work(number)
    return (time.process_time() - begun) / count * 1e6


def shown(found: dict[str, list[float]]) -> None:
    """Print the parts."""
    for name, values in found.items():
        print(f"  {name:52} {statistics.median(values):8.2f} us ({min(values):.2f}-{max(values):.2f})")


def parts_of_saving(directory: Path, rounds: int, size: int) -> dict[str, list[float]]:
    """Measure what saving a run consists of."""
    state = make_state(size)
    runs = [make_run(state, 0) for _ in range(RUNS)]
    encoded = [encode_run(run) for run in runs]
    rows = [run_to_row(run, max_bytes=MAX_BYTES) for run in runs]
    new = itertools.cycle(runs).__next__
    gc.freeze()

    def insert(rows_each: int) -> float:
        statement = save_statement(rows_each)
        batches = [
            [value for row in rows[start : start + rows_each] for value in row] for start in range(0, RUNS, rows_each)
        ]
        with tempfile.TemporaryDirectory(dir=directory) as folder:
            connection = open_writer(settings(Path(folder) / "runs.db"))
            spent = each(lambda number: connection.execute(statement, batches[number]), len(batches)) / rows_each
            connection.close()
        return spent

    def whole(tasks: int) -> float:
        with tempfile.TemporaryDirectory(dir=directory) as folder:
            return asyncio.run(bench_store(Path(folder) / "runs.db", tasks, 0.3, new))["cpu"]

    parts: dict[str, Callable[[], float]] = {
        "the look at every part of the state": lambda: each(lambda n: is_plain(runs[n].state, MAX_BYTES), RUNS),
        "the same and the encoder": lambda: each(lambda n: encode_json(runs[n].state), RUNS),
        "the checksum of the state": lambda: each(lambda n: state_checksum(encoded[n].id, encoded[n].state), RUNS),
        "both checksums, and the columns": lambda: each(lambda n: run_columns(encoded[n]), RUNS),
        "run_to_row, which is all of these": lambda: each(lambda n: run_to_row(runs[n], max_bytes=MAX_BYTES), RUNS),
        "a row of a statement of 16, committed": lambda: insert(16),
        "a row of a statement of 128, committed": lambda: insert(128),
        "save_run, 16 tasks": lambda: whole(16),
        "save_run, 256 tasks": lambda: whole(256),
    }
    found: dict[str, list[float]] = {name: [] for name in parts}
    for _ in range(rounds):
        for name, measure in parts.items():
            found[name].append(measure())
    return found


async def parts_of_a_page(directory: Path, rounds: int) -> dict[str, list[float]]:
    """Measure what listing the newest 50 of a tenant consists of, with states and without."""
    found: dict[str, list[float]] = {}
    with tempfile.TemporaryDirectory(dir=directory) as folder:
        path = Path(folder) / "runs.db"
        fill(path, 20_000)
        connection = open_reader(settings(path))
        async with SqliteRunStore(path) as store:
            for _ in range(rounds):
                for states in (True, False):
                    await page(store, connection, states, found)
        connection.close()
    return found


async def page(store: SqliteRunStore, connection: object, states: bool, found: dict[str, list[float]]) -> None:
    """Measure one page several times."""
    query = RunQuery(metadata={"tenant": "t7"}, limit=50, include_state=states)
    statement = select(query)
    rows: Sequence[tuple[object, ...]] = []

    def read(_: int) -> None:
        nonlocal rows
        rows = connection.execute(statement.sql, statement.parameters).fetchall()  # type: ignore[attr-defined]

    kind = "with states" if states else "without states"
    found.setdefault(f"the statement, {kind}", []).append(each(read, 20))
    decoding = each(lambda _: [run_from_row(row, store="") for row in rows], 20)  # type: ignore[arg-type]
    found.setdefault(f"decoding its 50 rows, {kind}", []).append(decoding)
    begun = time.process_time()
    for _ in range(20):
        await store.list_runs(query)
    found.setdefault(f"list_runs, {kind}", []).append((time.process_time() - begun) / 20 * 1e6)
    begun = time.process_time()
    for _ in range(20):
        await store.get_run("none")
    found.setdefault("the trip to the thread: get_run of a run that is not there", []).append(
        (time.process_time() - begun) / 20 * 1e6
    )


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--directory", type=Path, default=Path.cwd())
    options = parser.parse_args()
    for size in (1024, 20 * 1024):
        print(f"saving a run of {size:,} bytes")
        shown(parts_of_saving(options.directory, options.rounds, size))
    print("the newest 50 of a tenant, about 1 KiB and four metadata keys each")
    shown(asyncio.run(parts_of_a_page(options.directory, options.rounds)))


if __name__ == "__main__":
    main()
