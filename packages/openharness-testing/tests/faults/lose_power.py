"""Cut the power of a simulated disk again and again: ``python lose_power.py STORE FOLDER POINTS SEED [FAULT]``.

STORE is ``runs`` (SqliteRunStore), ``signals`` (SqliteSignalStore), ``both`` (the two in one file) or ``files``
(FileSignalStore). It works with its default settings on a real folder while every write and every sync is logged. Then,
at POINTS random moments of the log, the disk is made again as the power cut could have left it; the store opens it, must
find all that it had acknowledged, and must go on.

FAULT is a control, which must lose something: ``no-sync`` (SQLite with ``synchronous=OFF``, files that are not synced),
``no-folder-sync`` (folders are not synced). ``process`` is no fault: SQLite stores of ``durability="process"``, which may
lose what came last and nothing else; what they have lost is counted, and is not an error.

Prints one line of JSON: points, operations, acknowledged, lost, strange, errors, and how much was lost at most.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import random
import shutil
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from disk_log import DiskLog, SyncedFolder
from histories import History
from loads import found_runs, found_signals, make_run, record, save_and_delete
from power_loss import Disk, Loss
from watch_files import watching_files
from watch_sqlite import watching_sqlite

from openharness.core import RunStore, SignalStore, StoreError

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Hashable

    from histories import Thing

_LOSSES = [
    Loss.EVERYTHING,
    Loss.NOTHING,
    *[Loss.LATEST] * 2,
    *[Loss.SECTORS] * 4,
    *[Loss.PAGES] * 2,
]
_POINTS_OF_ONE_LOG = 100
"""After so many points the work is done anew, with another seed."""


@contextlib.asynccontextmanager
async def opened(kind: str, folder: Path, durability: Any) -> AsyncGenerator[list[RunStore | SignalStore]]:
    """Open the stores of a kind."""
    # Here, because the modules keep functions of `os`.
    from openharness.run_store_sqlite import SqliteRunStore
    from openharness.signal_store_sqlite import SqliteSignalStore
    from openharness.signals import FileSignalStore

    stores: list[RunStore | SignalStore] = []
    async with contextlib.AsyncExitStack() as stack:
        if kind == "files":
            stores.append(FileSignalStore(folder / "recordings"))
        if kind in {"runs", "both"}:
            stores.append(await stack.enter_async_context(SqliteRunStore(folder / "store.db", durability=durability)))
        if kind in {"signals", "both"}:
            stores.append(
                await stack.enter_async_context(SqliteSignalStore(folder / "store.db", durability=durability))
            )
        yield stores


async def work(kind: str, log: DiskLog, history: History, seed: int, durability: Any) -> None:
    """Let several tasks work on the stores."""
    async with opened(kind, log.root, durability) as stores:
        tasks: list[Any] = []
        for store in stores:
            # All of them from the first moment: the first use may be many at once.
            for number in range(4):
                if isinstance(store, RunStore):
                    prunes = number == 0
                    tasks.append(
                        save_and_delete(
                            store, history, f"saver{number}", seed=seed + number, turns=range(40), prunes=prunes
                        )
                    )
                else:
                    tasks.append(record(store, history, f"recorder{number}", seed=seed + number, turns=range(4)))
        await asyncio.gather(*tasks)


async def found_in(kind: str, folder: Path) -> dict[Thing, Hashable]:
    """Return what the stores hold that find this folder, having seen that they go on."""
    found: dict[Thing, Hashable] = {}
    async with opened(kind, folder, "process") as stores:
        for store in stores:
            if isinstance(store, RunStore):
                found |= await found_runs(store)
                await store.save_run(make_run("afterwards-0", 1, 20))
                assert await store.get_run("afterwards-0") == make_run("afterwards-0", 1, 20)
            else:
                found |= await found_signals(store)
                history = History(lambda: 0.0)
                await record(store, history, "afterwards", seed=1, turns=[1])
                for info in await store.list_recordings():
                    # Logs that were cut are appended to by who resumes them.
                    if info.outcome == "incomplete":
                        await store.finalize(info.id, outcome="interrupted")
                now = await found_signals(store)
                assert not history.compare({thing: now.get(thing) for thing in history.changes}).strange
    return found


def plant(kind: str, fault: str) -> None:
    """Plant a fault in the stores."""
    import openharness.signals._file_store._disk as disk
    import openharness.sqlite._opening as opening

    # Checkpoints every few saves: what moves from the log into the database is what is most easily lost.
    opening._CHECKPOINT_PAGES = 40  # type: ignore[misc]
    # It is chosen when the module is imported, and that may have been while an earlier log was made.
    disk._sync = disk._choose_sync()
    if fault == "no-sync":
        opening._SYNCHRONOUS["full"] = 0
        disk._sync = lambda descriptor: None
        disk.os = _WithoutSync()  # type: ignore[assignment]
    elif fault == "no-folder-sync":
        disk.sync_folder = lambda folder: None


class _WithoutSync:
    def __getattr__(self, name: str) -> Any:
        import os

        return (lambda descriptor: None) if name == "fsync" else getattr(os, name)


def logged(kind: str, folder: Path, seed: int, fault: str) -> tuple[DiskLog, History]:
    """Do the work and return the log of the disk with the history of the stores."""
    log = DiskLog(folder)
    history = History(lambda: log.position)
    with watching_files(log) if kind == "files" else watching_sqlite(log):
        plant(kind, fault)
        asyncio.run(work(kind, log, history, seed, "process" if fault == "process" else "full"))
    if fault == "no-folder-sync":
        log.operations = [one for one in log.operations if not isinstance(one, SyncedFolder)]
    disk = Disk(folder)
    for operation in log.operations:
        disk.advance(operation)
    # The log is whole when what follows from it is what is there.
    expected = {path: None if path.is_dir() else path.read_bytes() for path in folder.rglob("*")}
    assert disk.after_power_loss(Loss.NOTHING, random.Random(0)) == {
        path: content for path, content in expected.items() if not path.name.endswith("-shm")
    }
    assert not log.faults, log.faults
    return log, history


def cut(
    kind: str, done: tuple[DiskLog, History], folder: Path, *, points: int, chance: random.Random
) -> dict[str, int]:
    """Cut the power at random points of a log, and return what that did."""
    log, history = done
    figures = dict.fromkeys(("points", "operations", "lost", "strange", "errors", "most_lost", "points_with_loss"), 0)
    disk = Disk(log.root)
    position = 0
    for point in sorted(chance.choices(range(len(log.operations) + 1), k=points)):
        for operation in log.operations[position:point]:
            disk.advance(operation)
        position = point
        loss = chance.choice(_LOSSES)
        left = disk.after_power_loss(loss, chance)
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
        for path, content in left.items():
            moved = folder / path.relative_to(log.root)
            if content is None:
                moved.mkdir()
            else:
                moved.write_bytes(content)
        figures["points"] += 1
        try:
            found = asyncio.run(found_in(kind, folder))
        except (StoreError, AssertionError) as error:
            figures["errors"] += 1
            say(f"{loss.name} at {point} of {len(log.operations)}: {type(error).__name__}: {error}")
            say(f"  {getattr(error.__cause__, 'sqlite_errorname', error.__cause__)}")
            continue
        found = {thing: value for thing, value in found.items() if not thing[1].startswith("afterwards")}
        verdict = history.compare(found, at=point)
        figures["lost"] += len(verdict.lost)
        figures["strange"] += len(verdict.strange)
        figures["points_with_loss"] += bool(verdict.lost)
        figures["most_lost"] = max(figures["most_lost"], len(verdict.lost))
        for text in (*verdict.lost[:2], *verdict.strange[:2]):
            say(f"{loss.name} at {point} of {len(log.operations)}: {text}")
    figures["operations"] = len(log.operations)
    return figures


def say(text: str) -> None:
    """Tell whoever looks into a failure."""
    sys.stderr.write(f"{text[:400]}\n")


def main(kind: str, folder: Path, points: int, seed: int, fault: str = "") -> None:
    """Do the work, cut the power, and print the figures."""
    total = dict.fromkeys(("points", "operations", "acknowledged", "lost", "strange", "errors", "most_lost", "points_with_loss"), 0)  # fmt: skip
    chance = random.Random(seed)
    for start in range(0, points, _POINTS_OF_ONE_LOG):
        with tempfile.TemporaryDirectory(dir=folder) as name:
            root = Path(name, "disk")
            root.mkdir()
            log, history = logged(kind, root, chance.randrange(1 << 30), fault)
            count = min(_POINTS_OF_ONE_LOG, points - start)
            figures = cut(kind, (log, history), Path(name, "after"), points=count, chance=chance)
        figures["acknowledged"] = history.acknowledged()
        for key, value in figures.items():
            total[key] = max(total[key], value) if key == "most_lost" else total[key] + value
    sys.stdout.write(json.dumps(total) + "\n")


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4]), *sys.argv[5:])
