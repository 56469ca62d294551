"""Open a file with one of the stores and write: ``python share.py FILE runs|signals NUMBER``."""

from __future__ import annotations

import asyncio
import sys

from openharness.core import RunRecord
from openharness.run_store_sqlite import SqliteRunStore
from openharness.signal_store_sqlite import SqliteSignalStore


async def main(filename: str, kind: str, number: str) -> None:
    """Write when told to."""
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    sys.stdin.readline()
    if kind == "runs":
        async with SqliteRunStore(filename) as runs:
            await runs.save_run(RunRecord(f"run-{number}", created_at=1, state=None))
    else:
        async with SqliteSignalStore(filename) as store:
            await store.create_recording(run_id=f"run-{number}")


asyncio.run(main(*sys.argv[1:]))
