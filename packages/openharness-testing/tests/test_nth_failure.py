"""The disk fails at the n-th read, write, sync or cut below SQLite, for every n and every method of the stores.

A method that meets the failure raises a StoreError, or succeeds where SQLite can do without; afterwards the same store
works, holds no lock, and has everything that it had acknowledged.
"""

from __future__ import annotations

import asyncio
import os
import sqlite3
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import attrs
import pytest

_FAULTS = Path(__file__).parent / "faults"
sys.path.insert(0, str(_FAULTS))

from histories import History  # noqa: E402
from loads import append_entries, found_runs, found_signals, make_run  # noqa: E402
from places import folder_in_memory  # noqa: E402
from watch_sqlite import SQLITE_FULL, SQLITE_IOERR, is_possible, watching_sqlite  # noqa: E402

from openharness.core import RunQuery, StoreError  # noqa: E402
from openharness.run_store_sqlite import SqliteRunStore  # noqa: E402
from openharness.signal_store_sqlite import SqliteSignalStore  # noqa: E402

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

LONG = os.environ.get("OPENHARNESS_LONG") == "1"

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(1_200 if LONG else 240),
    pytest.mark.skipif(not is_possible(), reason="The library of this Python's sqlite3 cannot be reached."),
]


@attrs.define
class Failure:
    """Fails once, or from then on, at the n-th operation of a kind; not at all before it is armed.

    Attributes:
        what: The kind.
        code: The error.
        stays: Whether the later operations fail, too.
        left: How many operations until it fails; 0 when it is not armed.
        happened: Whether it has failed.
    """

    what: str
    code: int
    stays: bool
    left: int = 0
    happened: bool = False

    def arm(self, number: int) -> None:
        """Fail at this operation, counted from now on; at none with 0."""
        self.left, self.happened = number, False

    def __call__(self, what: str) -> int:
        """Tell how an operation ends."""
        if what != self.what or self.left == 0:
            return 0
        self.left -= 1
        if self.left > 0:
            return 0
        self.left = 1 if self.stays else 0
        self.happened = True
        return self.code


async def _iterate(store: SqliteSignalStore, recording: str) -> None:
    async for _ in store.iter_signals(recording):
        pass


RUN_METHODS: dict[str, Callable[[SqliteRunStore], Awaitable[object]]] = {
    "save_run": lambda store: store.save_run(make_run("task-1", 2, 5_000)),
    "save_run to a new file": lambda store: store.save_run(make_run("task-1", 1, 5_000)),
    "get_run": lambda store: store.get_run("task-0"),
    "list_runs": lambda store: store.list_runs(RunQuery(metadata={"task": "task"})),
    "count_runs": lambda store: store.count_runs(RunQuery(status="completed")),
    "delete_run": lambda store: store.delete_run("task-2"),
    "prune_runs": lambda store: store.prune_runs(keep_last=5),
}
SIGNAL_METHODS: dict[str, Callable[[SqliteSignalStore, str], Awaitable[object]]] = {
    "create_recording": lambda store, _: store.create_recording(run_id="other", tags=["a"], metadata={"b": 1}),
    "create_recording in a new file": lambda store, _: store.create_recording(run_id="other"),
    "append": lambda store, recording: store.append(recording, append_entries("run", 6)),
    "add_checkpoint": lambda store, recording: store.add_checkpoint(recording, "here", 3),
    "finalize": lambda store, recording: store.finalize(recording, outcome="completed", duration_ms=1),
    "publish": lambda store, recording: store.publish(recording, "name"),
    "load_recording": lambda store, recording: store.load_recording(recording),
    "iter_signals": _iterate,
    "list_recordings": lambda store, _: store.list_recordings(),
    "find_recording": lambda store, _: store.find_recording("published"),
    "list_fixtures": lambda store, _: store.list_fixtures(),
    "delete_recording": lambda store, recording: store.delete_recording(recording),
}


async def _prepare(path: Path, kind: str, history: History) -> str:
    if kind == "runs":
        async with SqliteRunStore(path) as runs:
            for number in range(3):
                with history.changing({("run", f"task-{number}"): 1}):
                    await runs.save_run(make_run(f"task-{number}", 1, 3_000))
        return ""
    async with SqliteSignalStore(path) as signals:
        for run_id in ("before", "run"):
            recording = await signals.create_recording(run_id=run_id)
            for start in (0, 3):
                with history.changing({("signals", run_id): start + 3, ("outcome", run_id): "incomplete"}):
                    await signals.append(recording, append_entries(run_id, start))
            if run_id == "before":
                with history.changing({("fixture", "published"): run_id}):
                    await signals.publish(recording, "published")
    return recording


async def _is_unlocked(path: Path) -> None:
    connection = sqlite3.connect(path, timeout=0, isolation_level=None)
    try:
        connection.execute("BEGIN IMMEDIATE").close()
        connection.execute("ROLLBACK").close()
    finally:
        connection.close()


async def _try(path: Path, kind: str, method: str, number: int, failure: Failure) -> bool:
    """Let the n-th operation fail; return whether there were so many."""
    history = History(lambda: 0.0)
    recording = "" if "new file" in method else await _prepare(path, kind, history)
    store: Any = SqliteRunStore(path) if kind == "runs" else SqliteSignalStore(path)
    call = RUN_METHODS[method] if kind == "runs" else SIGNAL_METHODS[method]
    about = () if kind == "runs" else (recording,)
    touched = {"run", "other", "name", "task-1", "task-2"}
    # Before it is opened: the first use is part of every method.
    failure.arm(number)
    try:
        await call(store, *about)
        raised = False
    except StoreError:
        raised = True
    finally:
        happened = failure.happened
        failure.arm(0)
    await _is_unlocked(path)
    found = await (found_runs(store) if kind == "runs" else found_signals(store))
    verdict = history.compare(found)
    wrong = [text for text in (*verdict.lost, *verdict.strange) if text.split()[0].split("/")[1] not in touched]
    assert not wrong, wrong
    assert "damaged" not in found.values()
    # Doing it again succeeds: nothing of the failure is left, and everything the stores do may be repeated.
    if raised or method != "delete_recording":
        await call(store, *about)
    await _is_unlocked(path)
    await store.close()
    return happened


@pytest.mark.parametrize("stays", [False, True], ids=["once", "from then on"])
@pytest.mark.parametrize("what", ["read", "write", "sync", "truncate"])
@pytest.mark.parametrize("kind", ["runs", "signals"])
async def test_whichever_operation_of_the_disk_fails_the_store_stays_usable(
    kind: str, what: str, stays: bool, record_property: Callable[[str, object], None]
) -> None:
    """An error of the store or none, no lock left, nothing acknowledged lost, and the next call succeeds."""
    if stays and not LONG:
        pytest.skip("The long form tries this.")
    failures = 0
    for code in [SQLITE_IOERR, SQLITE_FULL] if what == "write" and LONG else [SQLITE_IOERR]:
        failure = Failure(what, code, stays)
        with folder_in_memory() as folder, watching_sqlite(fails=failure):
            for method in RUN_METHODS if kind == "runs" else SIGNAL_METHODS:
                number = 1
                while True:
                    async with asyncio.timeout(10):
                        happened = await _try(folder / f"{method}-{code}-{number}.db", kind, method, number, failure)
                    failures += happened
                    if not happened:
                        break
                    number += 1
    record_property("failures", failures)
    assert failures > 0 or what == "truncate"
