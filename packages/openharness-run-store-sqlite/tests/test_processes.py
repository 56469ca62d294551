"""Several processes and one file."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from openharness.core import RunQuery
from openharness.run_store_sqlite import SqliteRunStore

if TYPE_CHECKING:
    from collections.abc import Callable

PROGRAM = Path(__file__).parent / "programs" / "save_many.py"
LONG = os.environ.get("OPENHARNESS_LONG") == "1"

pytestmark = pytest.mark.slow


def save_at_once(path: Path, processes: int, tasks: int, turns: int) -> None:
    """Let processes that are all ready begin at the same moment; each must succeed and say nothing on stderr."""
    pipe = subprocess.PIPE
    started = [
        subprocess.Popen(  # noqa: S603 - our own program
            [sys.executable, PROGRAM, path, f"p{number}", str(tasks), str(turns)],
            stdin=pipe,
            stdout=pipe,
            stderr=pipe,
            text=True,
        )
        for number in range(processes)
    ]
    for process in started:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
    for process in started:
        assert process.stdin is not None
        process.stdin.write("\n")
        process.stdin.flush()
    for process in started:
        output, errors = process.communicate(timeout=50)
        assert (output.strip(), errors, process.returncode) == (str(tasks * turns), "", 0)


@pytest.mark.parametrize("turns", [20 if LONG else 4])
async def test_four_processes_of_fifty_tasks_lose_nothing(tmp_path: Path, turns: int) -> None:
    """Every save of 4 processes with 50 tasks each is there, and none of them saw a lock."""
    path = tmp_path / "runs.db"
    save_at_once(path, 4, 50, turns)
    async with SqliteRunStore(path) as store:
        runs = {run.id: run for run in await store.list_runs()}
        assert len(runs) == 4 * 50 * turns + 1
        for run_id, run in runs.items():
            if run_id != "shared":
                name, task, turn = run_id.split("-")
                assert run.state == [name, int(task), int(turn)]
        assert await store.count_runs(RunQuery(metadata={"task": 7})) == 4 * turns
    connection = sqlite3.connect(path)
    assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    assert connection.execute("SELECT count(*) FROM run_metadata").fetchone() == (4 * 50 * turns + 1,)
    connection.close()


@pytest.mark.parametrize("file", range(100 if LONG else 2))
async def test_eight_processes_create_one_file(
    tmp_path: Path, file: int, record_property: Callable[[str, object], None]
) -> None:
    """A file that 8 processes open first, at the same moment, is created once, and every one of them can use it."""
    save_at_once(tmp_path / "runs.db", 8, 1, 1)
    async with SqliteRunStore(tmp_path / "runs.db") as store:
        assert await store.count_runs() == 9
    record_property("openings", 8)
