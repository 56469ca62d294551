"""A comparison as one HTML page, for people who want to look around in it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from openharness.core.values import DiffLine, diff_lines, is_long_text, shown_value
from openharness.signals._comparison._page import Markup, element, joined, page
from openharness.signals._comparison._style import STYLE
from openharness.signals._comparison._wording import (
    FIGURES,
    Echoes,
    change_name,
    shown_number,
    signal_name,
    summary,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from openharness.core.values import Difference
    from openharness.signals._comparison._diff import ComparedRun, OutputChange, RecordingDiff, SignalChange
    from openharness.signals._comparison._figures import AgentFigures, Figure, RunFigures

__all__ = ("as_html",)

_MOST_LISTED: Final = 500
_MOST_LINES: Final = 400
_VALUE: Final = 2_000
_SIGNS: Final = {"same": "  ", "removed": "- ", "added": "+ ", "place": ""}
_MARKS: Final = {"same": "span", "removed": "del", "added": "ins", "place": "span"}


def as_html(diff: RecordingDiff) -> str:
    """Return a comparison as a page. Every cut says how much it leaves out."""
    echoes = Echoes(diff)
    verdict = ("equal", "equal") if diff.is_equal else ("differ", "different")
    parts = [
        element("h1", "Two runs compared"),
        element("p", element("span", verdict[1], css=f"badge {verdict[0]}"), f" {summary(diff)}"),
        element("div", _side("Left", diff.left), _side("Right", diff.right), css="sides"),
        *_first_divergence(diff),
        *_section("Answers", map(_output, diff.outputs[:_MOST_LISTED]), more=len(diff.outputs) - _MOST_LISTED),
        *_section(
            "Final state",
            (element("div", _difference(one, echoes), css="card") for one in diff.state[:_MOST_LISTED]),
            more=len(diff.state) - _MOST_LISTED,
        ),
        *_section(
            "All signals that differ",
            (_change(change, echoes) for change in diff.changes[:_MOST_LISTED]),
            more=len(diff.changes) - _MOST_LISTED,
        ),
        *_figures(diff.figures),
    ]
    return page("Two runs compared", element("main", *parts), style=STYLE)


def _section(title: str, items: Iterable[Markup], *, more: int) -> Iterator[Markup]:
    shown = list(items)
    if shown:
        yield element("h2", title)
        yield from shown
        if more > 0:
            yield element("p", f"… {more:,} more are left out of this page.", css="quiet")


def _side(title: str, run: ComparedRun) -> Markup:
    recording = "not recorded" if run.recording_id is None else run.recording_id
    return element(
        "div",
        element(
            "div",
            f"{title} ",
            element("span", f"{run.outcome}, {run.signal_count:,} signals", css="quiet"),
            css="title",
        ),
        element("div", "recording ", element("code", recording)),
        element("div", "run ", element("code", run.run_id)),
        css="card",
    )


def _first_divergence(diff: RecordingDiff) -> Iterator[Markup]:
    first = diff.first_divergence
    if first is None:
        return
    consequences = sum(change.is_consequence for change in diff.changes[1:])
    parts = [
        element(
            "div",
            _badge(first),
            f" {change_name(first)} ",
            element("span", _positions(first), css="quiet"),
            css="title",
        )
    ]
    if len(diff.chain) > 1:
        parts.append(element("ol", *(element("li", signal_name(signal)) for signal in diff.chain), css="chain"))
    parts.append(_details(first, None))
    # Everything comes of the beginning, which tells nothing.
    if len(diff.changes) > 1 and first.name != "harness:start":
        told = f"{consequences} of the {len(diff.changes) - 1} other differences are caused by it."
        parts.append(element("p", told, css="quiet"))
    yield element("h2", "First divergence")
    yield element("div", *parts, css="card first")


def _badge(change: SignalChange) -> Markup:
    words = {"changed": "changed", "removed": "only left", "added": "only right"}
    return element("span", words[change.kind], css=f"badge {change.kind}")


def _positions(change: SignalChange) -> str:
    left, right = (None if signal is None else signal.seq for signal in (change.left, change.right))
    if left is None or right is None or left == right:
        return f"signal {right if left is None else left}"
    return f"signal {left} left, {right} right"


def _change(change: SignalChange, echoes: Echoes) -> Markup:
    head = element(
        "summary", _badge(change), f" {change_name(change)} ", element("span", _positions(change), css="quiet")
    )
    return element("details", head, element("div", _details(change, echoes), css="inside"))


def _details(change: SignalChange, echoes: Echoes | None) -> Markup:
    if change.kind == "changed":
        return joined(_difference(difference, echoes) for difference in change.differences)
    present = change.left or change.right
    return element("code", shown_value(None if present is None else present.payload, most=_VALUE))


def _output(output: OutputChange) -> Markup:
    title = element("div", output.call, css="title")
    if output.left is None or output.right is None:
        side, text = ("right", output.right) if output.left is None else ("left", output.left)
        note = element("p", f"Only the {side} run has one.", css="quiet")
        return element("div", title, note, element("code", shown_value(text, most=_VALUE)), css="card")
    return element("div", title, _text_diff(output.left, output.right), css="card")


def _difference(difference: Difference, echoes: Echoes | None) -> Markup:
    path = element("div", difference.path, css="path")
    call = None if echoes is None else echoes.call(difference)
    if call is not None:
        shown = element("div", f"as the answer of {call}, shown above", css="quiet")
    elif is_long_text(difference.recorded, difference.actual):
        shown = _text_diff(str(difference.recorded), str(difference.actual))
    else:
        left = "nothing" if difference.kind == "added" else shown_value(difference.recorded, most=_VALUE)
        right = "nothing" if difference.kind == "removed" else shown_value(difference.actual, most=_VALUE)
        shown = element("div", element("code", left, css="left"), element("code", right, css="right"), css="values")
    return element("div", path, shown, css="difference")


def _text_diff(left: str, right: str) -> Markup:
    lines = diff_lines(left, right)
    rows = [_row(line) for line in lines[:_MOST_LINES]]
    if len(lines) > _MOST_LINES:
        rows.append(element("span", f"… {len(lines) - _MOST_LINES:,} more lines of this diff", css="row place"))
    return element("pre", *rows, css="diff")


def _row(line: DiffLine) -> Markup:
    mark = _MARKS[line.kind]
    words = (element(mark, piece.text) if piece.changed else piece.text for piece in line.pieces)
    return element("span", _SIGNS[line.kind], *words, css=f"row {line.kind}")


def _figures(figures: RunFigures) -> Iterator[Markup]:
    yield element("h2", "Tokens, cost and time")
    yield _table("", _rows(figures))
    for agent, of_agent in figures.agents.items():
        yield _folded(agent, _table("", _rows(of_agent)))
    latencies = list(figures.latencies.items())
    if latencies:
        more = len(latencies) - _MOST_LISTED
        note = (element("p", f"… {more:,} more are left out of this page.", css="quiet"),) if more > 0 else ()
        yield _folded("Each activation", _table("time, ms", latencies[:_MOST_LISTED]), *note)


def _rows(figures: AgentFigures) -> list[tuple[str, Figure]]:
    rows = [(label, getattr(figures, name)) for name, label in FIGURES.items()]
    return [(label, figure) for label, figure in rows if figure.left or figure.right]


def _folded(title: str, *inside: Markup) -> Markup:
    return element("details", element("summary", title), element("div", *inside, css="inside"))


def _table(title: str, rows: Iterable[tuple[str, Figure]]) -> Markup:
    heads = (element("th", word, css="number") for word in ("left", "right", "change"))
    head = element("thead", element("tr", element("th", title), *heads))
    return element("div", element("table", head, element("tbody", *(_figure(*row) for row in rows))), css="scroll")


def _figure(label: str, figure: Figure) -> Markup:
    cells = shown_number(figure.left), shown_number(figure.right), shown_number(figure.change, signed=True)
    css = "number" if figure.change else "number quiet"
    return element("tr", element("td", label), *(element("td", cell, css=css) for cell in cells))
