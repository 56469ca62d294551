"""Use a store for a long time and look at the memory meanwhile: ``python grow.py STORE PLACE COUNT [traced]``.

STORE is ``runs`` (SqliteRunStore; COUNT runs, each saved twice), ``signals`` (SqliteSignalStore) or ``files``
(FileSignalStore; COUNT signals, a thousand to a recording), and PLACE a folder; or ``served runs`` (PostgresRunStore) or
``served signals`` (PostgresSignalStore), and PLACE a URL. The runs are also listed, counted, pruned and read, the
recordings iterated and finalized. ``harness`` is a harness that makes COUNT runs and records them, with a subscriber that
is slow and one that raises. The last thing planted may be a leak: ``leaking`` keeps what was saved.

Prints one line of JSON: at every twentieth of the way, the resident memory in bytes, or with ``traced`` what Python has
allocated.
"""

from __future__ import annotations

import asyncio
import gc
import json
import logging
import sys
import tracemalloc
from pathlib import Path
from typing import TYPE_CHECKING, Any

from loads import make_run

from openharness.core import FunctionProvider, RunQuery, Signal, create_harness
from openharness.core.plugins import open_run_store, open_signal_store
from openharness.core.records import signal_id
from openharness.run_store_sqlite import SqliteRunStore
from openharness.signal_store_sqlite import SqliteSignalStore
from openharness.signals import FileSignalStore

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from openharness.core import ProviderRequest, RunContext, RunStore, SignalStore

_SAMPLES = 20
_AT_ONCE = 50
_KEPT_RUNS = 500
_SIGNALS_OF_A_RECORDING = 1_000
_SIGNALS_OF_AN_APPEND = 100


class Samples:
    """The memory at every twentieth of the way.

    Args:
        count: How long the way is.
        traced: Whether to ask Python instead of the system.
    """

    def __init__(self, count: int, *, traced: bool) -> None:
        self._step = count // _SAMPLES
        self._traced = traced
        self.sizes: list[int] = []

    def reached(self, done: int) -> None:
        """Look, if it is time."""
        if done >= self._step * (len(self.sizes) + 1):
            gc.collect()
            self.sizes.append(tracemalloc.get_traced_memory()[0] if self._traced else resident())


def resident() -> int:
    """Return the resident memory of this process in bytes."""
    for line in Path("/proc/self/status").read_text(encoding="ascii").splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) * 1024
    raise LookupError("VmRSS")


async def use_runs(runs: RunStore, count: int, samples: Samples, kept: list[Any] | None) -> None:
    """Save runs, and keep the latest few."""
    async with runs as store:
        for start in range(0, count, _AT_ONCE):
            ids = [f"task-{number:08}" for number in range(start, start + _AT_ONCE)]
            for version in (0, 1):
                runs = [make_run(run_id, version, 500) for run_id in ids]
                await asyncio.gather(*map(store.save_run, runs))
                if kept is not None:
                    kept += runs
            assert await store.get_run(ids[0]) is not None
            if start % (20 * _AT_ONCE) == 0:
                await store.prune_runs(keep_last=_KEPT_RUNS)
                assert len(await store.list_runs(RunQuery(metadata={"task": "task"}, limit=100))) > 0
                assert await store.count_runs() <= 2 * _KEPT_RUNS
            samples.reached(start + _AT_ONCE)


def _signals(run_id: str, start: int) -> list[Signal]:
    return [
        Signal(
            signal_id(run_id, seq),
            name="text:delta",
            payload={"call": "a#1/0/0", "text": f"word {seq}"},
            timestamp=seq,
            seq=seq,
        )
        for seq in range(start, start + _SIGNALS_OF_AN_APPEND)
    ]


async def use_signals(store: SignalStore, count: int, samples: Samples, kept: list[Any] | None) -> None:
    """Record runs, one after the other."""
    done = 0
    for number in range(count // _SIGNALS_OF_A_RECORDING):
        run_id = f"run-{number:08}"
        recording = await store.create_recording(run_id=run_id, name="grow", tags=[f"tag-{number % 7}"])
        for start in range(0, _SIGNALS_OF_A_RECORDING, _SIGNALS_OF_AN_APPEND):
            signals = _signals(run_id, start)
            await store.append(recording, signals)
            if kept is not None:
                kept += signals
            done += _SIGNALS_OF_AN_APPEND
            samples.reached(done)
        await store.finalize(recording, outcome="completed", duration_ms=1)
        async for _ in store.iter_signals(recording, start=900):
            pass
        if number % 10 == 9:
            await store.delete_recording(recording)


async def use_harness(store: SqliteSignalStore, count: int, samples: Samples, kept: list[Any] | None) -> None:
    """Run an agent again and again, while one subscriber is slow and another raises."""
    seen = failed = 0

    async def slow(signal: Signal) -> None:
        nonlocal seen
        await asyncio.sleep(0.001)
        seen += 1

    def fail(signal: Signal) -> None:
        nonlocal failed
        failed += 1
        raise RuntimeError(signal.name)

    async def model(request: ProviderRequest, context: RunContext) -> AsyncIterator[str]:
        del request, context
        for word in ("It ", "is ", "closed."):
            yield word

    harness = create_harness(provider=FunctionProvider(model), store=store)
    harness.subscribe("text:*", slow, buffer=4)
    harness.subscribe("agent:*", fail)
    agents = {"poet": harness.agent(prompt="Rhyme!", activate_on="harness:start", updates="text")}
    for done in range(1, count + 1):
        result = await harness.run_reactive(agents=agents, state={"text": ""}, fixture="grow", mode="record")
        assert result.state == {"text": "It is closed."}
        assert result.recording_id is not None
        await store.delete_recording(result.recording_id)
        if kept is not None:
            kept.append(result)
        samples.reached(done)
    assert seen >= count
    assert failed >= count


async def main(kind: str, place: str, count: int, *words: str) -> list[int]:
    """Use the store, and return the sizes."""
    folder = Path(place)
    samples = Samples(count, traced="traced" in words)
    kept: list[Any] | None = [] if "leaking" in words else None
    if kind == "runs":
        await use_runs(SqliteRunStore(folder / "store.db", durability="process"), count, samples, kept)
    elif kind == "served runs":
        await use_runs(open_run_store(place), count, samples, kept)
    elif kind == "served signals":
        async with open_signal_store(place) as served:
            await use_signals(served, count, samples, kept)
    elif kind == "harness":
        # What a subscriber raises is told in the log, with its traceback.
        logging.getLogger("openharness").setLevel(logging.CRITICAL)
        async with SqliteSignalStore(folder / "store.db", durability="process") as recordings:
            await use_harness(recordings, count, samples, kept)
    elif kind == "signals":
        async with SqliteSignalStore(folder / "store.db", durability="process") as signals:
            await use_signals(signals, count, samples, kept)
    else:
        async with FileSignalStore(folder / "recordings") as files:
            await use_signals(files, count, samples, kept)
    return samples.sizes


if __name__ == "__main__":
    if "traced" in sys.argv:
        tracemalloc.start()
    sizes = asyncio.run(main(sys.argv[1], sys.argv[2], int(sys.argv[3]), *sys.argv[4:]))
    sys.stdout.write(json.dumps(sizes) + "\n")
