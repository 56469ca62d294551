"""Processes that are killed while they save."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable

PROGRAM = Path(__file__).parent / "programs" / "kill.py"
LONG = os.environ.get("OPENHARNESS_LONG") == "1"
CYCLES = 2_500 if LONG else 12

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(3_600 if LONG else 240),
    pytest.mark.skipif(not hasattr(os, "fork"), reason="kill -9 and fork are POSIX"),
]


def kill(path: Path, note: Callable[[str, object], None], *words: object) -> dict[str, int]:
    """Run the program and return its figures, which also go into the report of the tests."""
    done = subprocess.run(  # noqa: S603 - our own program
        [sys.executable, PROGRAM, path, *map(str, words)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    figures = {name: int(number) for name, number in re.findall(r"(\w+)=(\d+)", done.stdout)}
    for name in ("kills", "acknowledged", "lost", "damaged"):
        note(name, figures[name])
    return figures


@pytest.mark.parametrize("processes,tasks", [(1, 1), (1, 16), (3, 4)])
def test_no_acknowledged_save_is_lost(
    tmp_path: Path, processes: int, tasks: int, record_property: Callable[[str, object], None]
) -> None:
    """After kill -9 at any moment, every save that returned is there, and every run that is there is whole."""
    figures = kill(tmp_path / "runs.db", record_property, CYCLES, processes, tasks)
    assert figures["acknowledged"] >= CYCLES
    assert (figures["lost"], figures["damaged"]) == (0, 0)


def test_the_check_notices_a_store_that_acknowledges_too_early(
    tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    """The same check fails when a save returns before its commit: without that it would prove nothing."""
    figures = kill(tmp_path / "runs.db", record_property, 60, 1, 16, "ack-first")
    assert figures["lost"] > 0
