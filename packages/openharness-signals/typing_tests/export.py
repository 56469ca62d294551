"""What type checkers see of exports; nothing here is ever run."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, assert_type

from openharness.signals import FixtureExistsError, IncompleteRecordingError, export_recording

if TYPE_CHECKING:
    from openharness.core import SignalStore


async def check_export(store: SignalStore) -> None:
    """Out of any store, to a path as text or as an object; everything after the path has a name."""
    assert_type(await export_recording(store, "run_1", "fixtures/ducks.jsonl"), Path)
    assert_type(await export_recording(store, "run_1", Path("fixtures"), name="ducks"), Path)
    await export_recording(store, "run_1", "fixtures", name=None, recording_id="rec_1", allow_incomplete=True)
    await export_recording(store, "run_1", "fixtures", "ducks")  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    await export_recording(store, "run_1")  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    await export_recording("file:fixtures", "run_1", ".")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]


def check_errors(exists: FixtureExistsError, incomplete: IncompleteRecordingError) -> None:
    """The errors carry what they speak of."""
    assert_type(exists.path, Path)
    assert_type(exists.name, str)
    assert_type(incomplete.recording_id, str)
    assert_type(incomplete.signal_count, int)
