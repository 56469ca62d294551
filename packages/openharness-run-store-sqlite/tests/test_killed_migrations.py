"""Processes that are killed while they bring a file forward."""

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

PROGRAM = Path(__file__).parent / "programs" / "kill_migration.py"
LONG = os.environ.get("OPENHARNESS_LONG") == "1"
KILLS = 400 if LONG else 12

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(3_600 if LONG else 240),
    pytest.mark.skipif(not hasattr(os, "fork"), reason="kill -9 and fork are POSIX"),
]


def kill(folder: Path, note: Callable[[str, object], None], *words: object) -> dict[str, int]:
    """Run the program and return its figures, which also go into the report of the tests."""
    done = subprocess.run(  # noqa: S603 - our own program
        [sys.executable, PROGRAM, folder, *map(str, words)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    figures = {name: int(number) for name, number in re.findall(r"(\w+)=(\d+)", done.stdout)}
    for name, number in figures.items():
        note(name, number)
    return figures


def test_a_killed_migration_has_happened_whole_or_not_at_all(
    tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    """Killed at any moment, the file is of the old version or of the new one, has every run, and opens again."""
    figures = kill(tmp_path, record_property, KILLS)
    assert (figures["kills"], figures["half"], figures["lost"]) == (KILLS, 0, 0)


def test_the_check_notices_a_migration_in_parts(tmp_path: Path, record_property: Callable[[str, object], None]) -> None:
    """The same check fails for migrations that commit in between."""
    assert kill(tmp_path, record_property, 60 if not LONG else 400, "in-parts")["half"] > 0
