"""Saves runs into a file for ever, several at a time, and says how many: ``save_for_ever.py FILE WORKER``."""

from __future__ import annotations

import asyncio
import sys

from openharness.core import RunRecord
from openharness.run_store_sqlite import SqliteRunStore


async def main(path: str, worker: str) -> None:
    """Save, and write a line after each."""
    async with SqliteRunStore(path) as store:
        number = 0
        while True:
            runs = [
                RunRecord(
                    f"{worker}-{number + part:06}",
                    created_at=number + part,
                    state={"n": number + part, "text": "x" * 500},
                )
                for part in range(8)
            ]
            await asyncio.gather(*(store.save_run(run) for run in runs))
            number += 8
            sys.stdout.write(f"{number}\n")
            sys.stdout.flush()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], sys.argv[2]))
