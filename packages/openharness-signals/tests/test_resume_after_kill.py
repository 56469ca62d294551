"""Runs that are killed and resumed again and again: what had ended is never done twice, and the result is the same."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable

PROGRAM = Path(__file__).parent / "support" / "kill_and_resume.py"
LONG = os.environ.get("OPENHARNESS_LONG") == "1"
KILLS = 200 if LONG else 8

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(1_800 if LONG else 240),
    pytest.mark.skipif(not hasattr(os, "fork"), reason="kill -9 and fork are POSIX"),
]

FAULTS = ("early", "lost", "repeated", "rewritten", "wrong", "unended")


def kill(folder: Path, note: Callable[[str, object], None], *words: str) -> dict[str, int]:
    """Run the program and return its figures."""
    command = [sys.executable, str(PROGRAM), str(folder), str(KILLS), "1", *words]
    done = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603 - our own program
    assert done.returncode == 0, done.stderr
    figures: dict[str, int] = json.loads(done.stdout)
    for name in ("kills", "early", "lost"):
        note(name, figures[name])
    return figures


def test_what_had_ended_is_done_once(tmp_path: Path, record_property: Callable[[str, object], None]) -> None:
    """Killed at any moment, also while it is resumed, a run makes no call again that had ended, and ends as it would.

    A tool that was running and must not run twice is reported as unknown.
    """
    figures = kill(tmp_path, record_property)
    print(figures)  # noqa: T201 - the figures of the long form
    assert {fault: figures[fault] for fault in FAULTS} == dict.fromkeys(FAULTS, 0)
    assert figures["kills"] >= KILLS
    assert figures["kills_of_resumed"] > 0


def test_the_check_notices_a_store_that_acknowledges_too_early(
    tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    """The same check fails with a store that says "durable" before it is: without that it would prove nothing."""
    figures = kill(tmp_path, record_property, "acknowledge-first")
    assert figures["early"] > 0
    assert figures["lost"] > 0
