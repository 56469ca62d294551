"""The bookkeeper, run as a user runs it: killed in the middle, resumed, replayed."""

from __future__ import annotations

import os
import pathlib
import re
import subprocess
import sys

import pytest

PROGRAM = pathlib.Path(__file__).parents[1] / "run.py"
pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(240),
    pytest.mark.skipif(
        "OPENHARNESS_TESTS_WITHOUT_MODEL" in os.environ, reason="OPENHARNESS_TESTS_WITHOUT_MODEL is set"
    ),
]


def start(*arguments: object) -> subprocess.Popen[str]:
    """Start the program."""
    command = [sys.executable, "-W", "error", str(PROGRAM), *map(str, arguments)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)  # noqa: S603


def run(*arguments: object) -> str:
    """Run the program to its end, and return what it printed."""
    with start(*arguments) as process:
        output, errors = process.communicate(timeout=200)
    assert (process.returncode, errors) == (0, "")
    return output


def test_killed_in_the_middle_it_goes_on_and_replays(tmp_path: pathlib.Path) -> None:
    """After kill -9 the next process does not read the file again, answers with an object, and the run replays."""
    with start(tmp_path) as process:
        assert process.stdout is not None
        for line in process.stdout:
            if "tool:result" in line:
                process.kill()
                break
    resumed = run(tmp_path)
    assert "Resuming" in resumed
    assert "reading" not in resumed
    # What a model says may differ on another processor; what it says is an object.
    assert re.search(r"^done: \d+ signals, Total\(total=[\d.]+, unit='\w+'\)$", resumed, re.MULTILINE)
    replayed = run(tmp_path, "--replay")
    assert replayed.splitlines() == [resumed.splitlines()[-1].replace("done", "replayed")]


def test_a_file_that_is_not_there_and_nothing_to_replay(tmp_path: pathlib.Path) -> None:
    """What cannot be done is said in a sentence, before a model is asked."""
    with start(tmp_path, "june.txt") as process:
        output, errors = process.communicate(timeout=60)
    assert (process.returncode, output) == (2, "")
    assert "FILE must be one of april.txt, march.txt, may.txt, got 'june.txt'." in errors
    with start(tmp_path, "--replay") as process:
        output, errors = process.communicate(timeout=60)
    assert (process.returncode, output) == (1, "")
    assert errors == "There is nothing to replay: no run has been recorded in this folder yet.\n"
