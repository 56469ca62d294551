"""Several processes do everything at once to the same stores: nothing is lost, the order is total, nobody hangs.

The stores are opened by their URLs, so that the same load runs on every store that several processes may use. The long
form, of ``nox -s faults``, lasts a minute.
"""

from __future__ import annotations

import asyncio
import bisect
import os
import pickle
import subprocess
import sys
import time
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

_FAULTS = Path(__file__).parent / "faults"
sys.path.insert(0, str(_FAULTS))

from histories import History, Verdict  # noqa: E402
from loads import found_runs, found_signals  # noqa: E402
from mixed_load import shared_signal  # noqa: E402
from places import folder_in_memory  # noqa: E402
from trouble import COMMITS_SLOWLY, Trouble  # noqa: E402

from openharness.core.plugins import open_run_store, open_signal_store  # noqa: E402
from openharness.testing.postgres import PostgresServer  # noqa: E402

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from mixed_load import Result

    from openharness.testing.postgres import PostgresPlace

LONG = os.environ.get("OPENHARNESS_LONG") == "1"
SECONDS = 60 if LONG else 2
LOADS = [(4, 200), (8, 50)] if LONG else [(4, 4)]
"""How many processes with how many tasks that save; half as many record."""
PATIENCE = 120
"""Seconds for which processes, and servers in trouble, are waited for, however busy the machine is."""

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(900 if LONG else 240),
]


class ProcessError(Exception):
    """A process did not end as it should; the argument is what it said."""


def load(
    urls: tuple[str, str],
    shared: str,
    folder: Path,
    *words: str,
    processes: int,
    tasks: int,
    seconds: int = SECONDS,
    began: Callable[[], object] | None = None,
) -> dict[str, Result]:
    """Let the processes work, all from the same moment on, and return what each of them did.

    Args:
        urls: The run store and the signal store.
        shared: The recording that every process appends to.
        folder: For what the processes say in the end.
        words: Further words for them.
        processes: How many there are.
        tasks: How many tasks of each save; half as many record.
        seconds: How long they work.
        began: Called from the thread of this call when every process has opened the stores.
    """
    pipe = subprocess.PIPE
    paths = {f"p{number}": folder / f"p{number}.result" for number in range(processes)}
    started = [
        subprocess.Popen(  # noqa: S603 - our own program
            [sys.executable, _FAULTS / "mixed_load.py", *urls, shared, name, str(tasks), str(seconds), path, *words],
            stdin=pipe,
            stdout=pipe,
            stderr=pipe,
            text=True,
        )
        for name, path in paths.items()
    ]
    for process in started:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n", process.communicate()[1]
    for process in started:
        assert process.stdin is not None
        process.stdin.write("\n")
        process.stdin.flush()
    if began is not None:
        began()
    deadline = time.monotonic() + seconds + PATIENCE
    # All of them are waited for, whatever the first one says.
    said: list[str] = []
    for process in started:
        try:
            _, errors = process.communicate(timeout=max(1.0, deadline - time.monotonic()))
        except subprocess.TimeoutExpired:
            process.kill()
            errors = f"It hung. {process.communicate()[1]}"
        if (process.returncode, errors) != (0, ""):
            said.append(errors)
    if said:
        raise ProcessError("\n".join(said))
    return {name: pickle.loads(path.read_bytes()) for name, path in paths.items()}  # noqa: S301 - written just now


async def judged(
    urls: tuple[str, str], folder: Path, *words: str, **how: Any
) -> tuple[History, Verdict, dict[str, Result]]:
    """Let the processes work on new stores, and compare what they acknowledged with what is there. See `load`."""
    async with open_run_store(urls[0]) as runs, open_signal_store(urls[1]) as signals:
        shared = await signals.create_recording(run_id="shared")
        results = await asyncio.to_thread(load, urls, shared, folder, *words, **how)
        history = History(time.monotonic)
        history.merge(result.changes for result in results.values())
        recording = await signals.load_recording(shared)
        assert recording is not None
        by = {seq: name for name, result in results.items() for seq, _, _ in result.shared}
        assert [shared_signal(seq, by[seq]) for seq in range(len(by))] == list(recording.signals)
        await signals.delete_recording(shared)
        found = {**await found_runs(runs), **await found_signals(signals)}
    return history, history.compare(found), results


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder in memory, where more happens in the same time."""
    with folder_in_memory() as path:
        yield path


async def check_load(
    urls: tuple[str, str],
    folder: Path,
    note: Callable[[str, object], None],
    *,
    processes: int,
    tasks: int,
    limit: float = 10 if LONG else 50,
    **how: Any,
) -> History:
    """Let the processes work, and check that all that was acknowledged is there, in one order, and came in time."""
    history, verdict, results = await judged(urls, folder, processes=processes, tasks=tasks, **how)
    assert (verdict.lost, verdict.strange) == ([], [])
    appended = sorted(one for result in results.values() for one in result.shared)
    # None twice, none left out; and who began after another had been told comes after it.
    assert [seq for seq, _, _ in appended] == list(range(len(appended)))
    latest = 0.0
    for _, begun, acknowledged in reversed(appended):
        assert latest == 0.0 or begun < latest
        latest = acknowledged if latest == 0.0 else min(latest, acknowledged)
    changes = [change for some in history.changes.values() for change in some]
    slowest = max(change.acknowledged - change.begun for change in changes)
    assert slowest < limit
    note("processes", processes)
    note("tasks", processes * tasks)
    note("acknowledged", history.acknowledged())
    note("lost", len(verdict.lost))
    note("strange", len(verdict.strange))
    note("shared appends", len(appended))
    for what in ("pages", "reads", "follows", "conflicts"):
        note(what, sum(result.counts.get(what, 0) for result in results.values()))
    note("slowest ms", round(slowest * 1_000))
    return history


@pytest.mark.parametrize("processes,tasks", LOADS)
async def test_nothing_is_lost_and_the_order_is_total(
    folder: Path, processes: int, tasks: int, record_property: Callable[[str, object], None]
) -> None:
    """Runs and recordings in one SQLite file, from several processes: all that was acknowledged is there, in one order."""
    url = f"sqlite:///{folder / 'store.db'}"
    await check_load((url, url), folder, record_property, processes=processes, tasks=tasks)


async def test_eight_processes_on_one_postgres(
    openharness_postgres: PostgresPlace, tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    """Runs and recordings in one schema of a PostgreSQL server, from eight processes: likewise."""
    pytest.importorskip("openharness.run_store_postgres")
    pytest.importorskip("openharness.signal_store_postgres")
    place = openharness_postgres
    url = f"{place.dsn}{'&' if '?' in place.dsn else '?'}schema={place.schema}"
    await check_load((url, url), tmp_path, record_property, processes=8, tasks=50 if LONG else 4)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="kill -9 and fork are POSIX")
@pytest.mark.timeout(1_200 if LONG else 240)
async def test_a_postgres_in_trouble_loses_nothing(
    tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    """Killed every few seconds, also while it commits and while it recovers, a server has what was acknowledged, once."""
    pytest.importorskip("openharness.run_store_postgres")
    pytest.importorskip("openharness.signal_store_postgres")
    seconds, every, most = (600, (1.0, 6.0), 1_000) if LONG else (2, (0.1, 0.4), 4)
    with PostgresServer(COMMITS_SLOWLY) as server:
        trouble = Trouble(server, every, seconds, most)
        url = f"{server.dsn}&schema=troubled&reconnect_timeout={PATIENCE}"
        # Before the first trouble there are tables: a server that was never reached is not waited for.
        async with open_run_store(url) as runs, open_signal_store(url) as signals:
            assert (await runs.count_runs(), await signals.count_recordings()) == (0, 0)
        began, ended = asyncio.Event(), asyncio.Event()
        begin = partial(asyncio.get_running_loop().call_soon_threadsafe, began.set)
        making = asyncio.create_task(trouble.make(began, until=ended))
        try:
            history = await check_load(
                (url, url),
                tmp_path,
                record_property,
                processes=3 if LONG else 2,
                tasks=50 if LONG else 4,
                seconds=seconds,
                began=begin,
                limit=PATIENCE,
            )
        finally:
            began.set()
            ended.set()
            await making
        async with open_run_store(url) as runs, open_signal_store(url) as signals:
            for report in (await runs.doctor(), await signals.doctor()):
                assert report.is_healthy, str(report)
    acknowledged = sorted(change.acknowledged for some in history.changes.values() for change in some)
    recoveries = [
        acknowledged[place] - back
        for back in trouble.returns
        if (place := bisect.bisect(acknowledged, back)) < len(acknowledged)
    ]
    record_property("restarts", len(trouble.returns))
    for way, count in trouble.counts.items():
        record_property(f"of these {way}", count)
    record_property("slowest recovery ms", round(max(recoveries, default=0) * 1_000))
    if LONG:
        assert max(recoveries) < 10


async def test_the_check_notices_a_store_that_forgets(
    folder: Path, record_property: Callable[[str, object], None]
) -> None:
    """The same check fails when one save in five is acknowledged and not done."""
    url = f"sqlite:///{folder / 'store.db'}"
    try:
        _, verdict, _ = await judged((url, url), folder, "forgetful", processes=4, tasks=4)
    except ProcessError as error:
        # A task that reads what it saved, or that pages through it, may notice first.
        if "AssertionError: what was acknowledged is not read" not in str(error) and "a page lacks" not in str(error):
            raise
        record_property("lost", 1)
    else:
        record_property("lost", len(verdict.lost))
        assert verdict.lost
