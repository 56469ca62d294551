"""Several processes and one database."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from openharness.core import RunQuery

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from openharness.run_store_postgres import PostgresRunStore
    from openharness.testing.postgres import PostgresPlace

PROGRAM = Path(__file__).parent / "programs" / "create.py"
LONG = os.environ.get("OPENHARNESS_LONG") == "1"


@pytest.mark.slow
@pytest.mark.parametrize("turn", range(10 if LONG else 1))
async def test_eight_processes_create_the_tables_once(
    openharness_postgres: PostgresPlace,
    new_store: Callable[..., PostgresRunStore],
    sql: Callable[..., Awaitable[list[Any]]],
    turn: int,
) -> None:
    """Tables that 8 processes need first, at the same moment, are made once, and every one of them can use them."""
    pipe = subprocess.PIPE
    place = openharness_postgres
    started = [
        subprocess.Popen(  # noqa: ASYNC220, S603 - our own program, and nothing else runs here
            [sys.executable, PROGRAM, place.dsn, place.schema, f"p{number}"],
            stdin=pipe,
            stdout=pipe,
            stderr=pipe,
            text=True,
        )
        for number in range(8)
    ]
    for process in started:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
    for process in started:
        assert process.stdin is not None
        process.stdin.write("\n")
        process.stdin.flush()
    for process in started:
        _, errors = process.communicate(timeout=50)
        assert (errors, process.returncode) == ("", 0)
    async with new_store() as store:
        assert {run.id for run in await store.list_runs()} == {f"p{number}" for number in range(8)}
        assert await store.count_runs(RunQuery(metadata={"by": "p3"})) == 1
    assert await sql("SELECT component, version FROM {s}.openharness_versions") == [("runs", 1)]
