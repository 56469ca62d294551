"""Save from many tasks at once: ``python save_many.py FILE NAME TASKS TURNS``. Prints how many saves returned."""

from __future__ import annotations

import asyncio
import sys

from openharness.core import RunRecord
from openharness.run_store_sqlite import SqliteRunStore


def say(word: object) -> None:
    """Write a line that the test reads."""
    sys.stdout.write(f"{word}\n")
    sys.stdout.flush()


async def main(filename: str, name: str, tasks: int, turns: int) -> None:
    """Save ``tasks * turns`` runs of this process's own, and as often one that all processes share."""
    saved = 0

    async def work(store: SqliteRunStore, task: int) -> None:
        nonlocal saved
        for turn in range(turns):
            run_id = f"{name}-{task}-{turn}"
            await store.save_run(RunRecord(run_id, created_at=turn, state=[name, task, turn], metadata={"task": task}))
            await store.save_run(RunRecord("shared", created_at=turn, state=[name, task, turn], metadata={name: turn}))
            saved += 1

    say("ready")
    sys.stdin.readline()
    async with SqliteRunStore(filename) as store, asyncio.TaskGroup() as group:
        for task in range(tasks):
            group.create_task(work(store, task))
    say(saved)


asyncio.run(main(sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])))
