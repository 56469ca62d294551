"""What a failed test says about its recordings, and what to do."""

from __future__ import annotations

import traceback
from types import TracebackType
from typing import TYPE_CHECKING, cast

import attrs

from openharness.core import (
    CorruptRecordError,
    DefinitionError,
    FixtureNotFoundError,
    ReplayDriftError,
    ReplayError,
    StoreVersionError,
)
from openharness.testing._pytest._names import command, display_path

if TYPE_CHECKING:
    import pytest

    from openharness.core import DriftReport
    from openharness.testing._pytest._fixture import RecordingFixture

__all__ = ("TITLE", "advice", "drift_of", "hide_internals", "replay_error", "with_remedy")

TITLE = "OpenHarness recording"

_INTERNAL = ("openharness.", "asyncio.", "concurrent.")
_ABOUT = (ReplayError, CorruptRecordError, StoreVersionError)


def replay_error(error: BaseException | None) -> ReplayError | CorruptRecordError | StoreVersionError | None:
    """Return the error in an exception that is about a recording: itself, one of a group, or one that caused it."""
    seen: set[int] = set()
    waiting = [error]
    while waiting:
        current = waiting.pop(0)
        if current is None or id(current) in seen:
            continue
        seen.add(id(current))
        if isinstance(current, _ABOUT):
            return current
        if isinstance(current, BaseExceptionGroup):
            waiting += cast("BaseExceptionGroup[BaseException]", current).exceptions
        waiting += [current.__cause__, current.__context__]
    return None


def drift_of(error: BaseException | None) -> ReplayDriftError | None:
    """Return the drift in an exception, as `replay_error` finds it."""
    found = replay_error(error)
    return found if isinstance(found, ReplayDriftError) else None


def with_remedy(report: DriftReport, remedy: str) -> DriftReport:
    """Return a report that says what to do in this session."""
    return attrs.evolve(report, remedy=remedy)


def hide_internals(raised: pytest.ExceptionInfo[BaseException]) -> None:
    """Let the traceback of an error about a recording end where the test called the harness: the rest says nothing.

    What caused it, such as an error of a guard, is shown from there on where it is the test's, or the program's.
    """
    if not isinstance(raised.value, _ABOUT):
        return
    shown = _without_internals(raised.tb)
    if shown is not None:
        raised.traceback = type(raised.traceback)(shown)
    cause = raised.value.__cause__
    if cause is not None:
        cause.__traceback__ = _without_internals(cause.__traceback__) or cause.__traceback__


def _without_internals(tb: TracebackType | None) -> TracebackType | None:
    shown: TracebackType | None = None
    # A new chain of frames: pytest walks the chain, so that leaving entries out of its list does nothing.
    for frame, line in reversed(list(traceback.walk_tb(tb))):
        if not str(frame.f_globals.get("__name__", "")).startswith(_INTERNAL):
            shown = TracebackType(shown, frame, frame.f_lasti, line)
    return shown


def advice(error: BaseException, item: pytest.Item, recording: RecordingFixture) -> str | None:
    """Return what to tell about the recordings of a test that failed; None if there is nothing.

    Args:
        error: What it failed with: the error about a recording, if it was one.
        item: The test.
        recording: Its recordings.
    """
    folder = display_path(recording.folder, item.config)
    # A damaged or newer record of another store, such as a run store, is not ours to explain.
    if isinstance(error, _ABOUT) and getattr(error, "store", "") in ("", repr(recording.store)):
        return _about(error, folder, command(item))
    if isinstance(error, DefinitionError) and not recording.store.was_offered:
        return "No run of this test was given its recording: harness.run_reactive(..., **recording.options())."
    if recording.store.unsettled:
        listed = ", ".join(f"{name} ({recording_id})" for name, recording_id in recording.store.unsettled.items())
        return (
            f"Recorded, but not published, as the test did not pass: {listed}. The recordings are in "
            f"{folder}, in the subfolder 'unpublished'; what was published before is as it was."
        )
    return None


def _about(error: ReplayError | CorruptRecordError | StoreVersionError, folder: str, again: str) -> str:
    if isinstance(error, FixtureNotFoundError):
        return f"Nothing is recorded for this test in {folder}. To record it, with a provider:\n\n    {again}"
    if isinstance(error, ReplayDriftError):
        return f"The recording is in {folder}. Once recorded again, the diff of that file shows what has changed."
    if isinstance(error, CorruptRecordError):
        return (
            f"The recording in {folder} cannot be read. Restore it from version control, or record the test again:"
            f"\n\n    {again}"
        )
    if isinstance(error, StoreVersionError):
        return (
            f"The recording in {folder} was made with a newer release of openharness-signals than this one. Install that "
            f"here, too; or record the test again with this one:\n\n    {again}"
        )
    return f"The recording is in {folder}. Record the test again:\n\n    {again}"
