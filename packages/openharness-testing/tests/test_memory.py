"""What the stores take of memory depends on what they are doing, and not on how much they have done.

The short form counts what Python has allocated. The long form, of ``nox -s faults``, is 100,000 runs and 1,000,000 signals
through each store, 100,000 runs of a harness, one of whose subscribers is slow and another raises, and the resident memory
of the process.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

_FAULTS = Path(__file__).parent / "faults"
sys.path.insert(0, str(_FAULTS))

from places import folder_in_memory  # noqa: E402

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from openharness.testing.postgres import PostgresPlace

LONG = os.environ.get("OPENHARNESS_LONG") == "1"
COUNTS = {
    "runs": 100_000,
    "signals": 1_000_000,
    "files": 1_000_000,
    "served runs": 100_000,
    "served signals": 1_000_000,
    "harness": 100_000,
}
SHORT = {"runs": 1_000, "signals": 20_000, "files": 20_000, "served runs": 600, "served signals": 10_000, "harness": 60}

pytestmark = [pytest.mark.slow, pytest.mark.timeout(7_200 if LONG else 240)]


@pytest.fixture
def place(kind: str, request: pytest.FixtureRequest) -> Iterator[str]:
    """Return where a store of a kind may keep what it is given."""
    if kind.startswith("served"):
        pytest.importorskip("openharness.run_store_postgres")
        pytest.importorskip("openharness.signal_store_postgres")
        served: PostgresPlace = request.getfixturevalue("openharness_postgres")
        yield f"{served.dsn}{'&' if '?' in served.dsn else '?'}schema={served.schema}"
    else:
        with folder_in_memory() as folder:
            yield str(folder)


def sizes(kind: str, place: str, count: int, *words: str) -> list[int]:
    """Run the program and return the memory at every twentieth of its way."""
    done = subprocess.run(  # noqa: S603 - our own program
        [sys.executable, str(_FAULTS / "grow.py"), kind, place, str(count), *words],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    found: list[int] = json.loads(done.stdout)
    assert len(found) == 20
    return found


def growth(found: list[int]) -> float:
    """Return by how much the memory of the last quarter is larger than that of the second, as a part of it."""
    return max(found[15:]) / max(found[5:10]) - 1


@pytest.mark.parametrize("kind", COUNTS if LONG else [kind for kind in COUNTS if kind != "served runs"])
def test_allocated_memory_stays_as_it_is(kind: str, place: str) -> None:
    """Once everything is in place, nothing is added by what is saved, read and deleted."""
    assert growth(sizes(kind, place, SHORT[kind], "traced")) < 0.25


@pytest.mark.parametrize("kind", COUNTS if LONG else ["runs"])
def test_the_check_notices_a_leak(kind: str, place: str, record_property: Callable[[str, object], None]) -> None:
    """The same check fails when what was saved is kept."""
    found = growth(sizes(kind, place, SHORT[kind], "traced", "leaking"))
    record_property("errors", int(found >= 0.25))
    assert found >= 0.25


@pytest.mark.skipif(not LONG or sys.platform != "linux", reason="The long form tries this, where the system tells.")
@pytest.mark.parametrize("kind", COUNTS)
def test_resident_memory_stays_as_it_is(kind: str, place: str, record_property: Callable[[str, object], None]) -> None:
    """After a quarter of 100,000 runs or 1,000,000 signals, the memory of the process grows by less than 5 %."""
    found = sizes(kind, place, COUNTS[kind])
    record_property({"files": "signals", "harness": "runs"}.get(kind, kind.rsplit(maxsplit=1)[-1]), COUNTS[kind])
    record_property(f"most MiB of {kind}", max(found) >> 20)
    assert growth(found) < 0.05, found
