"""Processes that are killed while they write to a server, and what the server has of that."""

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

PROGRAM = Path(__file__).parent / "faults" / "kill_clients.py"
LONG = os.environ.get("OPENHARNESS_LONG") == "1"
CYCLES = 1_000 if LONG else 3

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(3_600 if LONG else 240),
    pytest.mark.skipif(not hasattr(os, "fork"), reason="kill -9 and fork are POSIX"),
]


@pytest.fixture
def kill(
    openharness_postgres: PostgresPlace, record_property: Callable[[str, object], None]
) -> Callable[..., dict[str, int]]:
    """Return what runs the program and returns its figures, which also go into the report of the tests."""
    pytest.importorskip("openharness.run_store_postgres")
    pytest.importorskip("openharness.signal_store_postgres")
    place = openharness_postgres
    url = f"{place.dsn}{'&' if '?' in place.dsn else '?'}schema={place.schema}"

    def run(kind: str, *words: object) -> dict[str, int]:
        done = subprocess.run(  # noqa: S603 - our own program
            [sys.executable, PROGRAM, kind, url, *map(str, words)], capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr
        figures = {name: int(number) for name, number in re.findall(r"(\w+)=(\d+)", done.stdout)}
        for name, number in figures.items():
            record_property(name, number)
        return figures

    return run


@pytest.mark.parametrize("kind", ["runs", "signals"])
def test_what_was_acknowledged_is_there_once_and_in_order(kind: str, kill: Callable[..., dict[str, int]]) -> None:
    """After kill -9 at any moment, what returned is there as a whole, and others can go on where it ends."""
    figures = kill(kind, CYCLES, 2, 8)
    assert figures["kills"] == 2 * CYCLES
    assert figures["acknowledged"] >= CYCLES
    assert (figures["lost"], figures["damaged"]) == (0, 0)


@pytest.mark.parametrize("kind", ["runs", "signals"] if LONG else ["signals"])
def test_the_check_notices_a_store_that_acknowledges_too_early(kind: str, kill: Callable[..., dict[str, int]]) -> None:
    """The same check fails when a write returns before its commit: without that it would prove nothing."""
    assert kill(kind, 40, 2, 8, "ack-first")["lost"] > 0
