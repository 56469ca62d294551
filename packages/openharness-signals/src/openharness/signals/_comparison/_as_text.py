"""A comparison as text, for terminals and for the output of a failing test."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, TypeVar

from openharness.core.values import is_long_text, shown_value, text_diff, visible
from openharness.signals._comparison._wording import (
    FIGURES,
    Echoes,
    change_name,
    run_name,
    shown_number,
    signal_name,
    summary,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from openharness.core.values import Difference
    from openharness.signals._comparison._diff import OutputChange, RecordingDiff, SignalChange
    from openharness.signals._comparison._figures import RunFigures

__all__ = ("as_text",)

T = TypeVar("T")

_MOST_LISTED: Final = 30
_VALUE: Final = 80
_SIDES: Final = ("left", "right")
_OF_AGENT: Final = ("duration_ms", "input_tokens", "output_tokens", "cost")
_KINDS: Final = {"changed": "~", "removed": "-", "added": "+"}


def as_text(diff: RecordingDiff) -> str:
    """Return a comparison as text. Every cut says how much it leaves out."""
    lines = [summary(diff), f"  left:  {run_name(diff.left)}", f"  right: {run_name(diff.right)}"]
    # Its own difference is shown whole, even where it is one of the answers.
    lines += _first_divergence(diff)
    echoes = Echoes(diff)
    if diff.outputs:
        lines += ["", "Answers"]
        lines += _limited(diff.outputs, _output)
    if diff.state:
        lines += ["", "Final state"]
        lines += _limited(diff.state, lambda difference: _indented(_difference(difference, echoes)))
    rest = diff.changes[1:]
    if rest:
        lines += ["", "Other signals"]
        lines += _limited(rest, lambda change: _change(change, echoes))
    lines += _figures(diff.figures)
    return "\n".join(lines)


def _first_divergence(diff: RecordingDiff) -> Iterator[str]:
    first = diff.first_divergence
    if first is None:
        return
    yield ""
    yield f"First divergence: {change_name(first)}, {_positions(first)}"
    *causes, _ = diff.chain
    if causes:
        yield f"  came of: {' > '.join(signal_name(signal) for signal in causes)}"
    if first.kind == "changed":
        for difference in first.differences:
            yield from _indented(_difference(difference, None))
    else:
        present = first.left or first.right
        side = "left" if first.right is None else "right"
        payload = shown_value(None if present is None else present.payload, most=4 * _VALUE)
        yield f"  only the {side} run has it: {payload}"
    others = len(diff.changes) - 1
    consequences = sum(change.is_consequence for change in diff.changes[1:])
    # Everything comes of the beginning, which tells nothing.
    if others and first.name != "harness:start":
        yield f"  {consequences} of the {others} other differences are caused by it."


def _positions(change: SignalChange) -> str:
    if change.left is None or change.right is None:
        present = change.left or change.right
        return f"signal {'' if present is None else present.seq}"
    if change.left.seq == change.right.seq:
        return f"signal {change.left.seq}"
    return f"signal {change.left.seq} left, {change.right.seq} right"


def _change(change: SignalChange, echoes: Echoes) -> Iterator[str]:
    yield f"  {_KINDS[change.kind]} {change_name(change)}, {_positions(change)}"
    if change.kind == "changed":
        for difference in change.differences:
            yield from _indented(_indented(_difference(difference, echoes)))


def _output(output: OutputChange) -> Iterator[str]:
    yield f"  {visible(output.call)}:"
    if output.left is None or output.right is None:
        side, text = ("right", output.right) if output.left is None else ("left", output.left)
        yield f"    only the {side} run has one: {shown_value(text, most=4 * _VALUE)}"
        return
    yield from _indented(_indented(text_diff(output.left, output.right, names=_SIDES)))


def _difference(difference: Difference, echoes: Echoes | None) -> Iterator[str]:
    path = visible(difference.path)
    call = None if echoes is None else echoes.call(difference)
    if call is not None:
        yield f"{path}: as the answer of {visible(call)}"
    elif is_long_text(difference.recorded, difference.actual):
        yield f"{path}:"
        yield from _indented(text_diff(str(difference.recorded), str(difference.actual), names=_SIDES))
    else:
        left = "nothing" if difference.kind == "added" else shown_value(difference.recorded, most=_VALUE)
        right = "nothing" if difference.kind == "removed" else shown_value(difference.actual, most=_VALUE)
        yield f"{path}: {left} -> {right}"


def _figures(figures: RunFigures) -> Iterator[str]:
    rows = [(label, getattr(figures, name)) for name, label in FIGURES.items()]
    # Of agents and activations, what one looks for; the rest is in the figures themselves.
    for agent, of_agent in figures.agents.items():
        rows += [(f"{visible(agent)}: {FIGURES[name]}", getattr(of_agent, name)) for name in _OF_AGENT]
    rows += [(f"{visible(activation)}: time, ms", figure) for activation, figure in figures.latencies.items()]
    told = [(label, figure) for label, figure in rows if figure.left != figure.right]
    if not told:
        return
    yield ""
    yield f"{'Figures that differ':<36}{'left':>14}{'right':>14}{'change':>14}"
    for label, figure in told[:_MOST_LISTED]:
        cells = shown_number(figure.left), shown_number(figure.right), shown_number(figure.change, signed=True)
        yield f"  {label:<34}" + "".join(f"{cell:>14}" for cell in cells)
    if len(told) > _MOST_LISTED:
        yield f"  … {len(told) - _MOST_LISTED:,} more"


def _limited(items: Sequence[T], tell: Callable[[T], Iterable[str]]) -> Iterator[str]:
    for item in items[:_MOST_LISTED]:
        yield from tell(item)
    if len(items) > _MOST_LISTED:
        yield f"  … {len(items) - _MOST_LISTED:,} more"


def _indented(lines: Iterable[str]) -> Iterator[str]:
    return (f"  {line}" for line in lines)
