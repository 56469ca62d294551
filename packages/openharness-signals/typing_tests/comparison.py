"""What type checkers see of comparisons; nothing here is ever run."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, assert_type

from openharness.core import Difference, JSONObject, Recording, RunResult, Signal
from openharness.signals import Figure, OutputChange, RecordingDiff, RunFigures, SignalChange, diff_recordings


class State:
    """A state of the user's."""


def check_arguments(recording: Recording, result: RunResult[State]) -> None:
    """Recordings and results, in any combination, and nothing else."""
    assert_type(diff_recordings(recording, recording), RecordingDiff)
    assert_type(diff_recordings(recording, result), RecordingDiff)
    assert_type(diff_recordings(result, recording), RecordingDiff)
    diff_recordings("rec_1", recording)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    diff_recordings(recording)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    diff_recordings(recording, None)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]


def check_diff(diff: RecordingDiff) -> None:
    """Every part of a comparison has its type."""
    assert_type(diff.is_equal, bool)
    assert_type(diff.first_divergence, SignalChange | None)
    assert_type(diff.changes, tuple[SignalChange, ...])
    assert_type(diff.chain, tuple[Signal, ...])
    assert_type(diff.outputs, tuple[OutputChange, ...])
    assert_type(diff.state, tuple[Difference, ...])
    assert_type(diff.figures, RunFigures)
    assert_type(diff.figures.latencies, Mapping[str, Figure])
    assert_type(diff.figures.cost.change, float | None)
    assert_type(diff.to_json(), JSONObject)
    assert_type(diff.to_html(), str)


def check_change(change: SignalChange) -> None:
    """A change has one of three kinds, and cannot be changed itself."""
    assert_type(change.kind, Literal["added", "removed", "changed"])
    assert_type(change.left, Signal | None)
    assert_type(change.differences, tuple[Difference, ...])
    change.name = "other"  # type: ignore[misc]  # pyright: ignore[reportAttributeAccessIssue]
