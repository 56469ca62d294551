"""Processes that are killed while they record: nothing acknowledged is lost, and every recording loads."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from signals_processes import batch
from signals_support import LONG, RUN_ID, load

from openharness.signals import FileSignalStore

if TYPE_CHECKING:
    from collections.abc import Callable

PROGRAM = Path(__file__).parent / "support" / "signals_processes.py"
KILLING = PROGRAM.with_name("kill_recorders.py")
KILLS = 2_500 if LONG else 20


def long_lasting(test: Callable[..., None]) -> Callable[..., None]:
    """Mark a test that kills processes."""
    test = pytest.mark.skipif(not hasattr(os, "fork"), reason="kill -9 and fork are POSIX")(test)
    return pytest.mark.slow(pytest.mark.timeout(3_000 if LONG else 240)(test))


def kill(folder: Path, what: str, kills: int, note: Callable[[str, object], None]) -> dict[str, int]:
    """Run the program that kills, and return its figures, which also go into the report of the tests."""
    done = subprocess.run(  # noqa: S603 - our own program
        [sys.executable, str(KILLING), str(folder), str(kills), what], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    figures: dict[str, int] = json.loads(done.stdout)
    for name, number in figures.items():
        note(name, number)
    return figures


@long_lasting
def test_no_acknowledged_signal_is_lost(tmp_path: Path, record_property: Callable[[str, object], None]) -> None:
    """After each kill the recording loads with all acknowledged appends, whole, and the next process continues it."""
    figures = kill(tmp_path / "recordings", "append_for_ever", KILLS, record_property)
    assert figures["acknowledged"] > KILLS
    assert (figures["kills"], figures["lost"], figures["damaged"]) == (KILLS, 0, 0)


@long_lasting
def test_the_check_notices_a_program_that_acknowledges_too_early(
    tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    """The same kills of a program that acknowledges before it writes do show losses."""
    assert kill(tmp_path / "recordings", "acknowledge_first", 60, record_property)["lost"] > 0


@long_lasting
def test_finalizing_and_publishing_are_whole_or_not_at_all(
    tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    """Killed anywhere between create and publish, every recording loads with what was acknowledged, and the name works."""
    kills = max(KILLS // 3, 8)
    figures = kill(tmp_path / "recordings", "finish_for_ever", kills, record_property)
    assert figures["acknowledged"] > kills
    assert (figures["kills"], figures["lost"], figures["damaged"]) == (kills, 0, 0)


async def test_a_store_that_is_never_closed_ends_with_its_process(tmp_path: Path) -> None:
    """A process that left a store, a task and a half-read iteration behind ends by itself."""
    store = FileSignalStore(tmp_path / "recordings")
    recording_id = await store.create_recording(run_id=RUN_ID)
    done = subprocess.run(  # noqa: S603, ASYNC221 - our own program, and there is nothing else to do meanwhile
        [sys.executable, "-X", "dev", str(PROGRAM), "leave_open", str(tmp_path / "recordings"), recording_id],
        capture_output=True,
        text=True,
        timeout=50,
        check=False,
    )
    assert (done.returncode, done.stdout) == (0, ""), done.stderr
    assert (await load(store, recording_id)).signals == batch(0)
