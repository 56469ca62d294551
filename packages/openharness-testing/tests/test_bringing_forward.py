"""Tables are made, and brought forward, once and as a whole, whoever opens a store, and however many are killed meanwhile."""

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

    from openharness.testing.postgres import PostgresPlace

PROGRAM = Path(__file__).parent / "faults" / "bring_forward.py"
LONG = os.environ.get("OPENHARNESS_LONG") == "1"
KILLS = 200 if LONG else 6
EVERY = [
    (place, kind, begin)
    for place in ("sqlite", "postgres")
    for kind in ("runs", "signals")
    for begin in ("none", "old")
]
# Some of them in the short form: that SQLite files are made once, and runs in them brought forward, other tests try too.
KILLED = EVERY if LONG else [("postgres", "signals", "old"), ("sqlite", "signals", "old")]
AT_ONCE = EVERY if LONG else [("postgres", "runs", "none"), ("postgres", "signals", "old"), ("sqlite", "runs", "old")]

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(3_600 if LONG else 240),
    pytest.mark.skipif(not hasattr(os, "fork"), reason="kill -9 and fork are POSIX"),
]


@pytest.fixture
def bring(
    request: pytest.FixtureRequest, tmp_path: Path, record_property: Callable[[str, object], None]
) -> Callable[..., dict[str, int]]:
    """Return what runs the program and returns its figures, which also go into the report of the tests."""
    for package in ("run_store", "signal_store"):
        pytest.importorskip(f"openharness.{package}_{request.param}")
    where = str(tmp_path)
    if request.param == "postgres":
        place: PostgresPlace = request.getfixturevalue("openharness_postgres")
        where = f"{place.dsn}{'&' if '?' in place.dsn else '?'}schema={place.schema}"

    def run(kind: str, *words: object) -> dict[str, int]:
        done = subprocess.run(  # noqa: S603 - our own program
            [sys.executable, PROGRAM, kind, where, *map(str, words)], capture_output=True, text=True, check=False
        )
        assert (done.stderr, done.returncode) == ("", 0)
        figures = {name: int(number) for name, number in re.findall(r"(\w+)=(\d+)", done.stdout)}
        for name, number in figures.items():
            record_property(name, number)
        return figures

    return run


@pytest.mark.parametrize("bring, kind, begin", AT_ONCE, indirect=["bring"])
def test_many_processes_open_a_store_at_the_same_moment(
    bring: Callable[..., dict[str, int]], kind: str, begin: str
) -> None:
    """One of them makes the tables, or brings them forward; all can save, and nothing that was there is lost."""
    processes = 16 if begin == "none" else 4
    assert bring(kind, "together", processes, begin) == {"openings": processes, "kills": 0, "half": 0, "lost": 0}


@pytest.mark.parametrize("bring, kind, begin", KILLED, indirect=["bring"])
def test_a_process_is_killed_while_it_opens_a_store(
    bring: Callable[..., dict[str, int]], kind: str, begin: str
) -> None:
    """Killed at any moment, it leaves what was there or all that is new; the next one completes it; nothing is lost."""
    assert bring(kind, "killed", KILLS, begin) == {"openings": KILLS, "kills": KILLS, "half": 0, "lost": 0}


@pytest.mark.skipif(not LONG, reason="The long form tries this.")
@pytest.mark.parametrize("bring", ["postgres"], indirect=True)
def test_the_check_notices_a_migration_in_parts(
    bring: Callable[..., dict[str, int]], record_property: Callable[[str, object], None]
) -> None:
    """The same check fails for migrations that commit in between."""
    figures = bring("runs", "killed", 100, "old", "in-parts")
    record_property("errors", figures["half"])
    assert figures["half"] > 0
