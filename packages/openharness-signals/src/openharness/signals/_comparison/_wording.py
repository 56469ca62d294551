"""What text and page say alike: names of changes, values of one line, and what repeats an answer shown before."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from openharness.core.values import visible

if TYPE_CHECKING:
    from openharness.core.records import Signal
    from openharness.core.values import Difference
    from openharness.signals._comparison._diff import ComparedRun, RecordingDiff, SignalChange

__all__ = (
    "FIGURES",
    "Echoes",
    "change_name",
    "run_name",
    "shown_number",
    "signal_name",
    "summary",
)

FIGURES: Final = {
    "duration_ms": "time, ms",
    "activations": "activations",
    "skipped": "skipped",
    "errors": "errors",
    "provider_calls": "provider calls",
    "retries": "retries",
    "input_tokens": "input tokens",
    "output_tokens": "output tokens",
    "cached_tokens": "cached tokens",
    "cost": "cost, US$",
    "tool_calls": "tool calls",
    "tool_errors": "tool errors",
}
"""What to call the figures of a run and of an agent, by the names of their attributes."""


def summary(diff: RecordingDiff) -> str:
    """Return what a comparison amounts to, in one line."""
    total = diff.unchanged + len(diff.changes)
    if diff.is_equal:
        return f"The runs are equal: {_counted(total, 'signal')}, streamed texts counted once."
    if not diff.changes:
        ends = diff.left.outcome, diff.right.outcome
        what = "what they used differs" if ends[0] == ends[1] else f"they ended as {ends[0]} and {ends[1]}"
        return f"The runs have equal signals ({total:,}), but {what}."
    parts = [
        f"{len(changes)} {kind}"
        for kind, changes in (("changed", diff.changed), ("removed", diff.removed), ("added", diff.added))
        if changes
    ]
    return (
        f"The runs differ in {len(diff.changes)} of {_counted(total, 'signal')}: {', '.join(parts)}; "
        f"{_counted(len(diff.outputs), 'answer')} and {_counted(len(diff.state), 'place')} of the final state differ."
    )


def run_name(run: ComparedRun) -> str:
    """Return which run one side is."""
    recording = "not recorded" if run.recording_id is None else f"recording {run.recording_id}"
    return visible(f"{recording}, run {run.run_id}: {run.outcome}, {_counted(run.signal_count, 'signal')}")


def change_name(change: SignalChange) -> str:
    """Return which signal a change is about."""
    where = change.call or change.activation or change.agent
    which = f" (number {change.ordinal + 1})" if change.ordinal else ""
    return visible(f"{change.name}{which} in {where}" if where else f"{change.name}{which}")


def signal_name(signal: Signal) -> str:
    """Return a signal as a link of a chain."""
    where = signal.source.activation
    return visible(f"{signal.name} [{where}]" if where else signal.name)


def shown_number(number: float | None, *, signed: bool = False) -> str:
    """Return a figure; a dash where there is none."""
    if number is None:
        return "-"
    text = f"{number:+,.6f}" if signed and number else f"{number:,.6f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


class Echoes:
    """Answers go on into other signals and into the state; there, the same change need not be shown again.

    Args:
        diff: The comparison, whose answers are shown at a place of their own.
    """

    def __init__(self, diff: RecordingDiff) -> None:
        self._calls = {
            (output.left, output.right): output.call
            for output in reversed(diff.outputs)
            if output.left is not None and output.right is not None
        }

    def call(self, difference: Difference) -> str | None:
        """Return the call whose answer changed in just this way; None if there is none."""
        left, right = difference.recorded, difference.actual
        return self._calls.get((left, right)) if isinstance(left, str) and isinstance(right, str) else None


def _counted(count: int, noun: str) -> str:
    return f"{count:,} {noun}" if count == 1 else f"{count:,} {noun}s"
