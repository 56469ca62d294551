"""What it costs that a store looks for a newer release with each write and each read: ratios of processor time.

    python benchmarks/newer_releases.py runs|signals URL [--rounds 200] [--tasks 1 16 256]

Two stores of one process take turns, in an order drawn for each round: one as it is, one that does not look. For every
number of tasks each saves runs, or appends two signals to a recording of each task; then one task reads. Told are the
median of the ratios of the rounds, with its standard error, and the ratio of the lowest quarters, which neighbours on the
machine disturb less; ``none / none`` is the same of two stores that both do not look, so says what chance alone does.

URL is that of a folder for SQLite, ``sqlite:////dev/shm``, where a sync costs nothing and so the ratio is the highest; or
of a PostgreSQL server, whose own time is in no figure, so that the time on the clock is told as well.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import random
import secrets
import statistics
import sys
import tempfile
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from openharness.core import RunRecord, Signal
from openharness.core.plugins import open_run_store, open_signal_store

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Generator, Sequence

TEXT: Final = "The quick brown fox jumps over the lazy dog, and says why. " * 18
SAVES: Final = {1: 150, 16: 480, 256: 2560}
READS: Final = 150


class Runs:
    """Saves and reads runs."""

    def __init__(self, url: str) -> None:
        self.store = open_run_store(url)
        self._count = 0

    async def begin(self, tasks: int) -> None:
        """Open the store."""
        del tasks
        await self.write(0)

    async def write(self, task: int) -> None:
        """Save a run."""
        del task
        self._count = (self._count + 1) % 20_000
        await self.store.save_run(RunRecord(f"run_{self._count:09}", created_at=self._count, state={"text": TEXT}))

    async def read(self) -> None:
        """Read one."""
        await self.store.get_run("run_000000001")


class Signals:
    """Appends signals, and reads what is known of a recording."""

    def __init__(self, url: str) -> None:
        self.store = open_signal_store(url)
        self._recordings: list[tuple[str, list[int]]] = []

    async def begin(self, tasks: int) -> None:
        """Open the store, and create the recordings."""
        for _ in range(tasks):
            recording_id = await self.store.create_recording(run_id="run")
            self._recordings.append((recording_id, [0]))

    async def write(self, task: int) -> None:
        """Append two signals."""
        recording_id, following = self._recordings[task]
        seq, following[0] = following[0], following[0] + 2
        signals = [
            Signal(f"{n}", name="text:delta", payload={"text": TEXT[:200]}, timestamp=n, seq=n) for n in (seq, seq + 1)
        ]
        await self.store.append(recording_id, signals)

    async def read(self) -> None:
        """Read about one."""
        await self.store.get_recording_info(self._recordings[0][0])


@contextmanager
def not_looking(engine: str) -> Generator[None]:
    """Make stores that do not look: what is made and opened inside."""
    if engine == "sqlite":
        from openharness.sqlite import Schema
        from openharness.sqlite._guard import Guard

        kept: list[tuple[Any, str, Any]] = [
            (Schema, "unless_newer", Schema.unless_newer),
            (Guard, "check", Guard.check),
        ]
        changed: list[Any] = [property(lambda _: "true"), lambda *_: None]
    else:
        from openharness.postgres import Names

        kept = [(Names, "unless_newer", Names.unless_newer)]
        changed = [property(lambda _: "true")]
    for (owner, name, _), new in zip(kept, changed, strict=True):
        setattr(owner, name, new)
    try:
        yield
    finally:
        for owner, name, old in kept:
            setattr(owner, name, old)


async def timed(work: Callable[[int], Awaitable[None]], tasks: int, count: int) -> tuple[float, float]:
    """Let tasks work; return the processor time and the time of each piece of work, in microseconds."""

    async def worker(task: int) -> None:
        for _ in range(count // tasks):
            await work(task)

    clock, cpu = time.perf_counter(), time.process_time()
    await asyncio.gather(*map(worker, range(tasks)))
    return (time.process_time() - cpu) / count * 1e6, (time.perf_counter() - clock) / count * 1e6


async def measure(
    kind: type[Runs | Signals], urls: Sequence[str], engine: str, tasks: int, rounds: int
) -> dict[str, list[list[tuple[float, float]]]]:
    """Return the times of the three stores for each kind of work."""
    sides = [kind(url) for url in urls]
    found: dict[str, list[list[tuple[float, float]]]] = {"write": [[], [], []], "read": [[], [], []]}
    try:
        for number, side in enumerate(sides):
            if number == 0:
                await side.begin(tasks)
            else:
                with not_looking(engine):
                    await side.begin(tasks)
        for _ in range(rounds):
            gc.collect()
            for number in random.sample(range(3), 3):
                await turn(sides[number], number, found, engine, tasks)
    finally:
        for side in sides:
            await side.store.close()
    return found


async def turn(
    side: Runs | Signals, number: int, found: dict[str, list[list[tuple[float, float]]]], engine: str, tasks: int
) -> None:
    """Let one of the stores do its work."""

    async def read(_: int) -> None:
        await side.read()

    async def work() -> None:
        found["write"][number].append(await timed(side.write, tasks, SAVES[tasks]))
        if tasks == 1:
            found["read"][number].append(await timed(read, 1, READS))

    if number == 0:
        await work()
    else:
        with not_looking(engine):
            await work()


def told(name: str, these: Sequence[float], those: Sequence[float]) -> str:
    """Say how these compare with those."""
    ratios = [one / other for one, other in zip(these, those, strict=True)]
    error = 1.25 * statistics.stdev(ratios) / len(ratios) ** 0.5
    few = max(1, len(ratios) // 4)
    lowest = sum(sorted(these)[:few]) / sum(sorted(those)[:few])
    return f"{name}: {statistics.median(ratios):.4f} (error {error:.4f}), lowest quarters {lowest:.4f}"


def main() -> None:
    """Measure, and print a line for each number of tasks."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("kind", choices=["runs", "signals"])
    parser.add_argument("url")
    parser.add_argument("--rounds", type=int, default=200)
    parser.add_argument("--tasks", type=int, nargs="+", default=[1, 16, 256])
    options = parser.parse_args()
    kind: type[Runs | Signals] = Runs if options.kind == "runs" else Signals
    engine = "sqlite" if options.url.startswith("sqlite:") else "postgres"
    gc.freeze()
    gc.disable()
    print(f"Python {sys.version.split()[0]}, {options.kind}, {engine}, {options.rounds} rounds")
    with tempfile.TemporaryDirectory(dir=Path(options.url[9:]) if engine == "sqlite" else None) as folder:
        for tasks in options.tasks:
            if engine == "sqlite":
                urls = [f"sqlite:///{folder}/{tasks}-{number}.db" for number in range(3)]
            else:
                joint = "&" if "?" in options.url else "?"
                urls = [f"{options.url}{joint}schema=bench_{secrets.token_hex(4)}" for _ in range(3)]
            found = asyncio.run(measure(kind, urls, engine, tasks, options.rounds))
            for what, sides in found.items():
                for index, time_of in enumerate(("processor time", "time")[: 1 if engine == "sqlite" else 2]):
                    if sides[0]:
                        looks, none, control = ([one[index] for one in side] for side in sides)
                        print(
                            f"  {tasks:3} tasks, {what:5} {time_of} {statistics.median(none):7.1f} us; "
                            f"{told('looks / none', looks, none)}; {told('none / none', control, none)}"
                        )


if __name__ == "__main__":
    main()
