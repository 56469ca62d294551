"""Kill processes that write to a server, again and again, and look there for what they acknowledged.

    python kill_clients.py runs|signals URL CYCLES PROCESSES TASKS [ack-first]

Each cycle forks children that write from several tasks and say in a pipe what has returned: the id of a run, or how far a
recording is. All are killed after a random time. What they had sent may still be written after their death, in order and
as a whole. Somebody else then goes on where each recording ends; in the end everything must be there once, in order.
``ack-first`` is the control: a writer that acknowledges what it has only queued; it ends with the first loss.

Prints one line: kills, acknowledged, lost, damaged, more (written and not acknowledged).
"""

from __future__ import annotations

import asyncio
import os
import random
import signal
import sys
import time
from typing import TYPE_CHECKING, Any

from openharness.core import RunQuery, RunRecord, Signal
from openharness.core.plugins import open_run_store, open_signal_store
from openharness.postgres import GroupWriter

if TYPE_CHECKING:
    from collections.abc import Callable

    from openharness.core import RunStore, SignalStore

__all__ = ()

_AT_ONCE = 3
"""How many signals an append has."""


def make_run(run_id: str) -> RunRecord:
    """The run with this id; everything in it follows from the id."""
    return RunRecord(run_id, created_at=len(run_id), state={"text": run_id * 40}, metadata={"id": run_id, "n": 1})


def make_signals(recording_id: str, start: int) -> list[Signal]:
    """The signals of an append; everything in them follows from the place."""
    return [
        Signal(
            f"{recording_id}/{seq}", name=f"text:n{seq % 5}", payload={"text": f"{seq} " * 40}, timestamp=seq, seq=seq
        )
        for seq in range(start, start + _AT_ONCE)
    ]


def acknowledge_first() -> None:
    """Plant the bug: say that something is done before it is. Children only; what is made first is made honestly."""
    honest = GroupWriter.add
    parent = os.getpid()

    def add(self: GroupWriter, kind: Any, item: Any, **more: int) -> asyncio.Future[Any]:
        future = honest(self, kind, item, **more)
        # The first signals of a recording are there, so that there is something to look for.
        if os.getpid() == parent or (more["rows"] == 1 and not isinstance(item, tuple)):
            return future
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        done.set_result(None)
        return done

    GroupWriter.add = add  # type: ignore[method-assign,assignment] # pyright: ignore[reportAttributeAccessIssue]


async def save(store: RunStore, name: str, say: Callable[[str], object]) -> None:
    """Save runs for ever, each twice."""
    number = 0
    while True:
        run = make_run(f"{name}-{number // 2}")
        await store.save_run(run)
        say(run.id)
        number += 1
        await asyncio.sleep(0)


async def record(store: SignalStore, name: str, say: Callable[[str], object]) -> None:
    """Append for ever."""
    recording_id = await store.create_recording(run_id=name)
    count = 0
    while True:
        await store.append(recording_id, make_signals(recording_id, count))
        count += _AT_ONCE
        say(f"{recording_id} {count}")
        await asyncio.sleep(0)


def work(kind: str, url: str, name: str, tasks: int, pipe: int) -> None:
    """Write for ever."""

    def say(text: str) -> None:
        os.write(pipe, f"{text}\n".encode())

    async def main() -> None:
        names = [f"{name}-{task}" for task in range(tasks)]
        if kind == "runs":
            runs = open_run_store(url)
            await asyncio.gather(*(save(runs, one, say) for one in names))
        else:
            signals = open_signal_store(url)
            await asyncio.gather(*(record(signals, one, say) for one in names))

    asyncio.run(main())


def kill_some(kind: str, url: str, cycle: int, processes: int, tasks: int) -> list[str]:
    """Let processes write, kill them at a random moment, and return what they said."""
    reading, writing = os.pipe()
    children: list[int] = []
    for number in range(processes):
        child = os.fork()
        if child == 0:
            os.close(reading)
            try:
                work(kind, url, f"c{cycle}-{number}", tasks, writing)
            finally:
                os._exit(1)
        children.append(child)
    os.close(writing)
    with os.fdopen(reading) as lines:
        first = lines.readline()
        time.sleep(random.uniform(0, 0.05))
        for child in children:
            os.kill(child, signal.SIGKILL)
        said = [line.strip() for line in (first, *lines) if line.endswith("\n")]
    for child in children:
        os.waitpid(child, 0)
    return said


async def check_runs(url: str, said: list[str]) -> dict[str, int]:
    """Compare all runs with what was acknowledged, and delete them."""
    acknowledged = set(said)
    async with open_run_store(url) as store:
        runs = await store.list_runs()
        found = {run.id for run in runs}
        damaged = sum(run != make_run(run.id) for run in runs) + len(runs) - len(found)
        damaged += await store.count_runs(RunQuery(metadata={"n": 1})) != len(runs)
        await asyncio.gather(*map(store.delete_run, found))
    lost = len(acknowledged - found)
    return {"acknowledged": len(acknowledged), "lost": lost, "damaged": damaged, "more": len(found - acknowledged)}


async def check_signals(url: str, said: list[str]) -> dict[str, int]:
    """Go on with all recordings, compare them with what was acknowledged, and delete them."""
    acknowledged = {recording_id: int(count) for recording_id, count in map(str.split, said)}
    figures = {"acknowledged": sum(acknowledged.values()), "lost": 0, "damaged": 0, "more": 0}
    async with open_signal_store(url) as store:
        for info in await store.list_recordings():
            there = info.signal_count
            await store.append(info.id, make_signals(info.id, there))
            recording = await store.load_recording(info.id)
            signals = [] if recording is None else list(recording.signals)
            expected = [one for start in range(0, len(signals), _AT_ONCE) for one in make_signals(info.id, start)]
            figures["damaged"] += signals != expected or len(signals) < there + _AT_ONCE
            told = acknowledged.pop(info.id, 0)
            figures["lost"] += max(0, told - there)
            figures["more"] += max(0, there - told)
            await store.delete_recording(info.id)
    figures["lost"] += sum(acknowledged.values())
    return figures


def main(kind: str, url: str, cycles: int, processes: int, tasks: int, *, until_lost: bool) -> None:
    """Run the cycles and print what came of them."""
    check = check_runs if kind == "runs" else check_signals
    figures: dict[str, int] = dict.fromkeys(("kills", "acknowledged", "lost", "damaged", "more"), 0)
    asyncio.run(check(url, []))
    for cycle in range(cycles):
        said = kill_some(kind, url, cycle, processes, tasks)
        figures["kills"] += processes
        for name, number in asyncio.run(check(url, said)).items():
            figures[name] += number
        if until_lost and figures["lost"]:
            break
    sys.stdout.write(" ".join(f"{name}={number}" for name, number in figures.items()) + "\n")


if __name__ == "__main__":
    is_control = sys.argv[6:] == ["ack-first"]
    if is_control:
        acknowledge_first()
    main(sys.argv[1], sys.argv[2], *map(int, sys.argv[3:6]), until_lost=is_control)
