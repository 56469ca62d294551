"""Kill processes that bring a file forward: ``python kill_migration.py FOLDER KILLS [in-parts]``.

Each cycle forks a child that opens an older file with code of a version three later, and kills it at a random moment.
Then the file is of the one version or of the other, in all that makes a version, no run is lost, and the next opening
brings it forward. ``in-parts`` is the control: migrations that commit in between; it ends with the first file between two
versions.

Prints one line: kills, done (brought forward before the kill), half (between versions), lost (runs).
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
import signal
import sqlite3
import sys
import time
from pathlib import Path
from typing import Any

import attrs

from openharness.core import RunRecord
from openharness.run_store_sqlite import SqliteRunStore, _store
from openharness.run_store_sqlite._schema import SCHEMA

RUNS = [RunRecord(f"run-{number:03}", created_at=number, state={"text": f"{number} " * 50}) for number in range(200)]


def pause(connection: sqlite3.Connection) -> None:
    """Take long, so that more of the kills come in the middle."""
    del connection
    time.sleep(0.01)


def later(*, in_parts: bool) -> Any:
    """Return what the schema is three versions later."""
    between = (pause, "COMMIT", "BEGIN IMMEDIATE", pause) if in_parts else (pause,)
    steps = (
        ("ALTER TABLE runs ADD COLUMN note TEXT", *between),
        ("UPDATE runs SET note = 'moved ' || state", *between),
        ("CREATE INDEX runs_by_note ON runs (note)", pause),
    )
    return attrs.evolve(SCHEMA, migrations=(*SCHEMA.migrations, *steps))


async def create(path: Path) -> None:
    """Save the runs."""
    async with SqliteRunStore(path) as store:
        await asyncio.gather(*map(store.save_run, RUNS))


def bring_forward(path: Path) -> None:
    """Open the file with the later schema."""

    async def open_it() -> None:
        async with SqliteRunStore(path) as store:
            await store.count_runs()

    asyncio.run(open_it())


def state_of(path: Path) -> str:
    """Return ``old``, ``new`` or ``half``."""
    with contextlib.closing(sqlite3.connect(path)) as connection:
        (version,) = connection.execute("PRAGMA user_version").fetchone()
        has_note = "note" in {row[1] for row in connection.execute("PRAGMA table_info(runs)")}
        moved = has_note and not connection.execute("SELECT 1 FROM runs WHERE note IS NULL").fetchall()
        indexed = bool(connection.execute("SELECT 1 FROM sqlite_schema WHERE name = 'runs_by_note'").fetchall())
        if connection.execute("PRAGMA integrity_check").fetchall() != [("ok",)]:
            return "half"
    states = {(SCHEMA.version, False, False, False): "old", (SCHEMA.version + 3, True, True, True): "new"}
    return states.get((version, has_note, moved, indexed), "half")


async def lost(path: Path) -> int:
    """Return how many runs are not there, or not as they were."""
    async with SqliteRunStore(path) as store:
        found = {run.id: run for run in await store.list_runs()}
    return sum(found.get(run.id) != run for run in RUNS)


def kill_one(path: Path, longest: float) -> bool:
    """Let a child bring the file forward, kill it, and tell whether it said that it was done."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            os.write(writing, b"begins\n")
            bring_forward(path)
            os.write(writing, b"done\n")
            time.sleep(60)
        finally:
            os._exit(1)
    os.close(writing)
    with os.fdopen(reading) as lines:
        lines.readline()
        time.sleep(random.uniform(0, longest))
        os.kill(child, signal.SIGKILL)
        was_done = lines.readline() == "done\n"
    os.waitpid(child, 0)
    return was_done


def main(folder: Path, kills: int, *, in_parts: bool) -> None:
    """Run the cycles and print what came of them."""
    path = folder / "runs.db"
    asyncio.run(create(path))
    content = path.read_bytes()
    _store.SCHEMA = later(in_parts=in_parts)
    began = time.monotonic()
    bring_forward(path)
    longest = 1.5 * (time.monotonic() - began)
    figures = dict.fromkeys(("kills", "done", "half", "lost"), 0)
    for _ in range(kills):
        for file in folder.iterdir():
            file.unlink()
        path.write_bytes(content)
        was_done = kill_one(path, longest)
        state = state_of(path)
        figures["kills"] += 1
        figures["done"] += state == "new"
        figures["half"] += state == "half" or (was_done and state != "new")
        if in_parts:
            if figures["half"]:
                break
            continue
        figures["lost"] += asyncio.run(lost(path))
        figures["half"] += state_of(path) != "new"
    sys.stdout.write(" ".join(f"{name}={number}" for name, number in figures.items()) + "\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]), in_parts=sys.argv[3:] == ["in-parts"])
