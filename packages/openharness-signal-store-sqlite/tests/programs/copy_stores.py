"""Copies the runs and the recordings of one file into another store, and says so: ``copy_stores.py SOURCE TARGET``."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from openharness.core.copying import copy_recordings, copy_runs
from openharness.run_store_sqlite import SqliteRunStore
from openharness.signal_store_sqlite import SqliteSignalStore
from openharness.signals import FileSignalStore

if TYPE_CHECKING:
    from openharness.core import SignalStore


def say(what: object) -> None:
    """Write a line at once."""
    sys.stdout.write(f"{what}\n")
    sys.stdout.flush()


def opened(path: Path) -> SignalStore:
    """The store that a path means: a file ending in ``.db``, or a folder."""
    return SqliteSignalStore(path) if path.suffix == ".db" else FileSignalStore(path)


async def main(source: Path, target: Path) -> None:
    """Copy, telling of each item as it is done."""
    async with opened(source) as one, opened(target) as other:
        say("ready")
        report = await copy_recordings(one, other, progress=say)
        assert report.is_complete, str(report)
    if source.suffix == target.suffix:
        async with SqliteRunStore(source) as runs, SqliteRunStore(target) as others:
            report = await copy_runs(runs, others)
            assert report.is_complete, str(report)
    say("done")


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1]), Path(sys.argv[2])))
