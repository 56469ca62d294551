"""Processes that are killed while they record: nothing acknowledged is lost, and every recording loads."""

from __future__ import annotations

import contextlib
import random
import signal as signals_of_the_system
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from signals_processes import BATCH, batch
from signals_support import LONG, RUN_ID, load

from openharness.signals import FileSignalStore

if TYPE_CHECKING:
    from collections.abc import Callable

PROGRAM = Path(__file__).parent / "support" / "signals_processes.py"
KILLS = 2_500 if LONG else 12


def run_and_kill(what: str, folder: Path, recording_id: str, *, lines: int, delay: float = 0.0) -> list[str]:
    """Start the program, kill it some time after it has acknowledged so many things, and return all it acknowledged."""
    with subprocess.Popen(  # noqa: S603 - our own program
        [sys.executable, str(PROGRAM), what, str(folder), recording_id], stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        told = [process.stdout.readline() for _ in range(lines)]
        if delay:
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(delay)
        process.kill()
        told += process.stdout.readlines()
    assert process.returncode == -signals_of_the_system.SIGKILL, "it ended by itself"
    return [line for line in told if line.endswith("\n")]


async def lost(what: str, folder: Path, kills: int) -> int:
    """Kill a process that appends to one recording again and again; return how often acknowledged signals were lost."""
    store = FileSignalStore(folder)
    recording_id = await store.create_recording(run_id=RUN_ID)
    chance = random.Random(7)
    times = 0
    for _ in range(kills):
        told = run_and_kill(what, folder, recording_id, lines=chance.randint(1, 6), delay=chance.random() * 0.003)
        recording = await load(FileSignalStore(folder), recording_id)
        count = len(recording.signals)
        assert recording.info.outcome == "incomplete"
        assert count % BATCH == 0, "half an append is there"
        assert [signal for start in range(0, count, BATCH) for signal in batch(start)] == recording.signals
        times += count < int(told[-1])
    return times


@pytest.mark.slow
@pytest.mark.timeout(60 if not LONG else 3_000)
@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no kill -9")
async def test_no_acknowledged_signal_is_lost(tmp_path: Path, record_property: Callable[[str, object], None]) -> None:
    """After each kill the recording loads with all acknowledged appends, whole, and the next process continues it."""
    times = await lost("append_for_ever", tmp_path / "recordings", KILLS)
    record_property("kills", KILLS)
    record_property("lost", times)
    assert times == 0


@pytest.mark.slow
@pytest.mark.timeout(60 if not LONG else 3_000)
@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no kill -9")
async def test_the_test_would_notice(tmp_path: Path, record_property: Callable[[str, object], None]) -> None:
    """The same kills of a program that acknowledges before it writes do show losses."""
    times = await lost("acknowledge_first", tmp_path / "recordings", min(KILLS, 100))
    record_property("lost", times)
    assert times > 0


@pytest.mark.slow
@pytest.mark.timeout(60 if not LONG else 3_000)
@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no kill -9")
async def test_finalizing_and_publishing_are_whole_or_not_at_all(
    tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    """Killed anywhere between create and publish, every recording loads with what was acknowledged, and the name works."""
    folder = tmp_path / "recordings"
    chance = random.Random(8)
    kills = max(KILLS // 3, 4)
    record_property("kills", kills)
    for _ in range(kills):
        told = run_and_kill("finish_for_ever", folder, "-", lines=chance.randint(1, 12), delay=chance.random() * 0.003)
        store = FileSignalStore(folder)
        acknowledged: dict[str, str] = {}
        for line in told:
            made, what = line.split()
            acknowledged[made] = what
        infos = {info.id: info for info in await store.list_recordings()}
        for made, what in acknowledged.items():
            assert (await load(store, made)).signals == batch(0)
            if what != "appended":
                assert infos[made].outcome == "completed"
        published = [made for made, what in acknowledged.items() if what == "published"]
        found = await store.find_recording("shared")
        if published:
            assert found is not None
            # The last one that was acknowledged, or the one that was about to be.
            assert found.id >= published[-1]
        for made in infos:
            assert (await load(store, made)).info.outcome in {"completed", "incomplete"}


async def test_a_store_that_is_never_closed_ends_with_its_process(tmp_path: Path) -> None:
    """A process that left a store, a task and a half-read iteration behind ends within two seconds of its work."""
    store = FileSignalStore(tmp_path / "recordings")
    recording_id = await store.create_recording(run_id=RUN_ID)
    done = subprocess.run(  # noqa: S603, ASYNC221 - our own program, and there is nothing else to do meanwhile
        [sys.executable, "-X", "dev", str(PROGRAM), "leave_open", str(tmp_path / "recordings"), recording_id],
        capture_output=True,
        text=True,
        timeout=20,
        check=False,
    )
    assert (done.returncode, done.stdout) == (0, ""), done.stderr
    assert (await load(store, recording_id)).signals == batch(0)
