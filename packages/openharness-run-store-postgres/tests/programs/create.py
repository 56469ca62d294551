"""Open a store whose tables do not exist yet, together with others: ``python create.py DSN SCHEMA NAME``."""

from __future__ import annotations

import asyncio
import sys

from openharness.core import RunRecord
from openharness.run_store_postgres import PostgresRunStore


async def main(dsn: str, schema: str, name: str) -> None:
    """Save one run as soon as everybody is ready."""
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    sys.stdin.readline()
    async with PostgresRunStore(dsn, schema=schema) as store:
        await store.save_run(RunRecord(name, created_at=1, state=name, metadata={"by": name}))


asyncio.run(main(*sys.argv[1:]))
