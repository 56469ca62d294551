"""The power fails at any moment: what the stores acknowledged is there when they are opened again.

The long form, of ``nox -s faults``, tries 10,000 moments for each kind of store.
"""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

_FAULTS = Path(__file__).parent / "faults"
sys.path.insert(0, str(_FAULTS))

from disk_log import Named, Resized, Synced, SyncedFolder, Unnamed, Written  # noqa: E402
from places import folder_in_memory  # noqa: E402
from power_loss import Disk, Loss  # noqa: E402
from watch_sqlite import is_possible  # noqa: E402

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from disk_log import Operation

LONG = os.environ.get("OPENHARNESS_LONG") == "1"
POINTS = 10_000 if LONG else 30
CONTROL_POINTS = 100 if LONG else 20
ROOT = Path("/disk")


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder in memory."""
    with folder_in_memory() as path:
        yield path


def lose_power(
    kind: str, folder: Path, points: int, note: Callable[[str, object], None], fault: str = ""
) -> dict[str, int]:
    """Run the program and return its figures, which also go into the report of the tests."""
    if kind != "files" and not is_possible():
        pytest.skip("The library of this Python's sqlite3 cannot be reached, so its writes cannot be logged.")
    command = [sys.executable, str(_FAULTS / "lose_power.py"), kind, str(folder), str(points), "1"]
    done = subprocess.run(  # noqa: S603 - our own program
        [*command, *([fault] if fault else [])], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    figures: dict[str, int] = json.loads(done.stdout)
    for name, number in figures.items():
        # What a power loss may take is not counted among what is lost.
        note(f"{name} with durability=process" if fault == "process" else name, number)
    if not fault:
        assert (figures["lost"], figures["strange"], figures["errors"]) == (0, 0, 0), done.stderr
    return figures


@pytest.mark.slow
@pytest.mark.skipif(os.name != "posix", reason="What Windows keeps after a power loss is another matter.")
@pytest.mark.timeout(3_600 if LONG else 240)
class TestPowerLoss:
    """Real stores on a disk of which every write and every sync is logged."""

    @pytest.mark.parametrize("kind", ["runs", "signals", "both", "files"])
    def test_nothing_acknowledged_is_lost(
        self, folder: Path, kind: str, record_property: Callable[[str, object], None]
    ) -> None:
        """At each moment, what was acknowledged is there, nothing is there in part, and the store goes on."""
        figures = lose_power(kind, folder, POINTS, record_property)
        assert figures["points"] == POINTS
        assert figures["acknowledged"] > 100

    @pytest.mark.parametrize(
        "kind, fault", [("runs", "no-sync"), ("signals", "no-sync"), ("files", "no-sync"), ("files", "no-folder-sync")]
    )
    def test_the_check_notices_what_was_not_synced(
        self, folder: Path, kind: str, fault: str, record_property: Callable[[str, object], None]
    ) -> None:
        """The same check fails for stores that sync no files, or no folders: without that it would prove nothing."""
        figures = lose_power(kind, folder, CONTROL_POINTS, record_property, fault)
        assert figures["lost"] + figures["errors"] > CONTROL_POINTS / 5

    def test_durability_process_loses_the_end_and_nothing_else(
        self, folder: Path, record_property: Callable[[str, object], None]
    ) -> None:
        """With ``durability="process"`` a power loss may take the latest changes; what is left is whole."""
        figures = lose_power("both", folder, POINTS // 10 if LONG else CONTROL_POINTS, record_property, "process")
        assert (figures["strange"], figures["errors"]) == (0, 0)


def left_by(*operations: Operation) -> Callable[[Loss], set[tuple[tuple[Path, bytes | None], ...]]]:
    """Return what tells everything that may be left after these operations."""
    disk = Disk(ROOT)
    for operation in operations:
        disk.advance(operation)
    chance = random.Random(1)
    return lambda loss: {tuple(sorted(disk.after_power_loss(loss, chance).items())) for _ in range(300)}


class TestTheDisk:
    """The disk that the stores are tried on."""

    def test_what_was_synced_stays(self) -> None:
        """Content and name are there in every case once the file and its folder were synced."""
        left = left_by(Named(ROOT, "a", 1), Written(1, 0, b"one"), Synced(1), SyncedFolder(ROOT))
        for loss in Loss:
            assert left(loss) == {((ROOT / "a", b"one"),)}

    def test_a_synced_file_without_a_synced_name_may_be_gone(self) -> None:
        """To sync a file says nothing of its name."""
        left = left_by(Named(ROOT, "a", 1), Written(1, 0, b"one"), Synced(1))
        assert left(Loss.EVERYTHING) == {()}
        assert left(Loss.SECTORS) == {(), ((ROOT / "a", b"one"),)}

    def test_sectors_are_lost_one_by_one(self) -> None:
        """Each sector of a write may be there or not, whatever became of those before it; others do not change."""
        before = [Named(ROOT, "a", 1), Written(1, 0, b"." * 1_536), Synced(1), SyncedFolder(ROOT)]
        left = left_by(*before, Written(1, 500, b"x" * 600))
        found = {content for ((_, content),) in left(Loss.SECTORS) if content is not None}
        old, new = b"." * 1_536, b"." * 500 + b"x" * 600 + b"." * 436
        assert {old, new, old[:512] + new[512:1_024] + old[1_024:]} <= found
        assert all(content[:500] == old[:500] and content[1_100:] == old[1_100:] for content in found)
        assert {content for ((_, content),) in left(Loss.PAGES)} == {old, new}

    def test_the_length_may_be_there_without_the_data(self) -> None:
        """Where a file grew, zeros may stand for what was written, or the file is as short as it was."""
        left = left_by(Named(ROOT, "a", 1), SyncedFolder(ROOT), Written(1, 0, b"one"))
        found = {content for ((_, content),) in left(Loss.PAGES)}
        assert found == {b"", b"\0\0\0", b"one"}

    def test_a_length_that_was_cut_may_be_the_old_one(self) -> None:
        """A new length is lost as any other change is."""
        before = [Named(ROOT, "a", 1), Written(1, 0, b"one"), Synced(1), SyncedFolder(ROOT)]
        left = left_by(*before, Resized(1, 1))
        assert {content for ((_, content),) in left(Loss.SECTORS)} == {b"o", b"one"}

    def test_a_renamed_file_is_never_without_a_name(self) -> None:
        """The new name, the old one, or both: not neither, whichever of the folders was synced."""
        there = [Named(ROOT, "folder", None), Named(ROOT, "a", 1), Synced(1), SyncedFolder(ROOT)]
        inside = ROOT / "folder"
        renamed = [Named(inside, "b", 1), Unnamed(ROOT, "a", len(there))]
        for synced in ([], [SyncedFolder(ROOT)], [SyncedFolder(inside)]):
            left = left_by(*there, *renamed, *synced)
            for loss in Loss:
                for files in left(loss):
                    paths = {path for path, _ in files}
                    assert paths & {ROOT / "a", inside / "b"}
                    assert not synced or inside / "b" in paths
