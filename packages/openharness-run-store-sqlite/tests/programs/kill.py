"""Kill a process that saves, again and again, and look for what it acknowledged.

    python kill.py FILE CYCLES PROCESSES TASKS [ack-first]

Each cycle forks children that save from several tasks and write the id of each run into a pipe once its save has
returned. All of them are killed after a random time. In the end every acknowledged run must be there, every run that is
there must be whole, and SQLite must find the file sound. ``ack-first`` is the control: a writer that acknowledges what
it has only queued, which this must catch; it ends with the first loss.

Prints one line: cycles, kills, acknowledged, lost, damaged, unacknowledged.
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

from openharness.core import RunQuery, RunRecord
from openharness.run_store_sqlite import SqliteRunStore
from openharness.run_store_sqlite._query import select
from openharness.run_store_sqlite._rows import run_from_row
from openharness.sqlite import GroupWriter


def say(word: object) -> None:
    """Write a line that the test reads."""
    sys.stdout.write(f"{word}\n")
    sys.stdout.flush()


def record(run_id: str) -> RunRecord:
    """The run with this id; everything in it follows from the id."""
    return RunRecord(run_id, created_at=len(run_id), state={"text": run_id * 40}, metadata={"id": run_id, "n": 1})


def acknowledge_first() -> None:
    """Plant the bug: say "saved" before it is."""
    honest = GroupWriter.add

    def add(self: GroupWriter, *about: object, **more: int) -> asyncio.Future[None]:
        honest(self, *about, **more)  # type: ignore[arg-type]
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        done.set_result(None)
        return done

    async def create(path: str) -> None:
        async with SqliteRunStore(path):
            pass

    # The children of the control are killed before they have done anything at all.
    asyncio.run(create(sys.argv[1]))
    GroupWriter.add = add  # type: ignore[method-assign,assignment]


def work(path: Path, name: str, tasks: int, pipe: int) -> None:
    """Save for ever."""

    async def write(store: SqliteRunStore, task: int) -> None:
        number = 0
        while True:
            run_id = f"{name}-{task}-{number}"
            await store.save_run(record(run_id))
            os.write(pipe, f"{run_id}\n".encode())
            number += 1
            await asyncio.sleep(0)

    async def main() -> None:
        store = SqliteRunStore(path)
        await asyncio.gather(*(write(store, task) for task in range(tasks)))

    asyncio.run(main())


def kill_some(path: Path, cycle: int, processes: int, tasks: int) -> set[str]:
    """Let processes save, kill them at a random moment, and return the runs that they had acknowledged."""
    reading, writing = os.pipe()
    children: list[int] = []
    for process in range(processes):
        child = os.fork()
        if child == 0:
            os.close(reading)
            try:
                work(path, f"c{cycle}-{process}", tasks, writing)
            finally:
                os._exit(1)
        children.append(child)
    os.close(writing)
    with os.fdopen(reading) as lines:
        first = lines.readline()
        time.sleep(random.uniform(0, 0.03))
        for child in children:
            os.kill(child, signal.SIGKILL)
        # A line is one write of less than a pipe's atomic size: those of several processes do not mix.
        acknowledged = {line.strip() for line in (first, *lines) if line.endswith("\n")}
    for child in children:
        os.waitpid(child, 0)
    return acknowledged


def check(path: Path) -> tuple[set[str], int]:
    """Return the runs that are there, and how many of them are not whole."""
    connection = sqlite3.connect(path)
    sound = connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    connection.text_factory = bytes
    statement = select(RunQuery())
    found: set[str] = set()
    damaged = 0 if sound else 1
    for row in connection.execute(statement.sql, statement.parameters):
        run = run_from_row(row, store="kill")
        found.add(run.id)
        damaged += run != record(run.id)
    indexed = connection.execute("SELECT count(*) FROM run_metadata").fetchone()[0]
    damaged += indexed != 2 * len(found)
    connection.close()
    return found, damaged


def main(path: Path, cycles: int, processes: int, tasks: int, *, until_lost: bool) -> None:
    """Run the cycles and print what came of them."""
    acknowledged: set[str] = set()
    done = 0
    for cycle in range(cycles):
        acknowledged |= kill_some(path, cycle, processes, tasks)
        done += 1
        if until_lost and acknowledged - check(path)[0]:
            break
    found, damaged = check(path)
    say(
        f"cycles={done} kills={done * processes} acknowledged={len(acknowledged)} lost={len(acknowledged - found)} "
        f"damaged={damaged} more={len(found - acknowledged)}"
    )


if __name__ == "__main__":
    is_control = sys.argv[5:] == ["ack-first"]
    if is_control:
        acknowledge_first()
    main(Path(sys.argv[1]), *map(int, sys.argv[2:5]), until_lost=is_control)
