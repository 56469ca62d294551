"""Kill processes that record, again and again: ``python kill.py FILE CYCLES PROCESSES TASKS [ack-first]``.

Each cycle forks children that append from several tasks, each to a recording of its own, and write into a pipe how far
they are once an append has returned. All are killed after a random time. Then every acknowledged signal must be there,
and every recording must load whole. ``ack-first`` is the control: a writer that acknowledges what it has only queued; it
ends with the first loss.

Prints one line: kills, acknowledged, lost, damaged.
"""

from __future__ import annotations

import asyncio
import os
import random
import signal
import sqlite3
import sys
import time
from pathlib import Path

from openharness.core import Signal
from openharness.signal_store_sqlite import SqliteSignalStore
from openharness.sqlite import GroupWriter


def make(recording_id: str, seq: int) -> Signal:
    """The signal at this place; everything in it follows from the place."""
    return Signal(f"{recording_id}/{seq}", name="text:delta", payload={"text": f"{seq} " * 40}, timestamp=seq, seq=seq)


def acknowledge_first() -> None:
    """Plant the bug: say that an append is done before it is."""
    honest = GroupWriter.add

    def add(self: GroupWriter, *about: object, **more: int) -> asyncio.Future[None]:
        future = honest(self, *about, **more)  # type: ignore[arg-type]
        if more["rows"] != 3:
            return future
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        done.set_result(None)
        return done

    GroupWriter.add = add  # type: ignore[method-assign,assignment]


def work(path: Path, tasks: int, pipe: int) -> None:
    """Append three signals at a time, for ever."""

    async def write(store: SqliteSignalStore) -> None:
        recording_id = await store.create_recording(run_id="run")
        seq = 0
        while True:
            await store.append(recording_id, [make(recording_id, seq + ahead) for ahead in range(3)])
            seq += 3
            os.write(pipe, f"{recording_id} {seq}\n".encode())
            await asyncio.sleep(0)

    async def main() -> None:
        store = SqliteSignalStore(path)
        await asyncio.gather(*(write(store) for _ in range(tasks)))

    asyncio.run(main())


async def check(path: Path, acknowledged: dict[str, int]) -> tuple[int, int]:
    """Count signals that are lost, and recordings that are not what was appended."""
    lost = damaged = 0
    async with SqliteSignalStore(path) as store:
        for info in await store.list_recordings():
            recording = await store.load_recording(info.id)
            signals = [] if recording is None else list(recording.signals)
            lost += max(0, acknowledged.pop(info.id, 0) - len(signals))
            damaged += signals != [make(info.id, seq) for seq in range(len(signals))] or len(signals) % 3 != 0
            await store.delete_recording(info.id)
    connection = sqlite3.connect(path)
    damaged += connection.execute("PRAGMA integrity_check").fetchall() != [("ok",)]
    connection.close()
    return lost + sum(acknowledged.values()), damaged


def kill_some(path: Path, processes: int, tasks: int) -> dict[str, int]:
    """Let processes append, kill them at a random moment, and return how far each recording was acknowledged."""
    reading, writing = os.pipe()
    children: list[int] = []
    for _ in range(processes):
        child = os.fork()
        if child == 0:
            os.close(reading)
            try:
                work(path, tasks, writing)
            finally:
                os._exit(1)
        children.append(child)
    os.close(writing)
    acknowledged: dict[str, int] = {}
    with os.fdopen(reading) as lines:
        first = lines.readline()
        time.sleep(random.uniform(0, 0.03))
        for child in children:
            os.kill(child, signal.SIGKILL)
        for line in (first, *lines):
            if line.endswith("\n"):
                recording_id, count = line.split()
                acknowledged[recording_id] = int(count)
    for child in children:
        os.waitpid(child, 0)
    return acknowledged


def main(path: Path, cycles: int, processes: int, tasks: int, *, until_lost: bool) -> None:
    """Run the cycles and print what came of them."""
    kills = total = lost = damaged = 0
    for _ in range(cycles):
        acknowledged = kill_some(path, processes, tasks)
        kills += processes
        total += sum(acknowledged.values())
        some_lost, some_damaged = asyncio.run(check(path, acknowledged))
        lost += some_lost
        damaged += some_damaged
        if until_lost and lost:
            break
    sys.stdout.write(f"kills={kills} acknowledged={total} lost={lost} damaged={damaged}\n")


if __name__ == "__main__":
    is_control = sys.argv[5:] == ["ack-first"]
    if is_control:
        acknowledge_first()
    main(Path(sys.argv[1]), *map(int, sys.argv[2:5]), until_lost=is_control)
