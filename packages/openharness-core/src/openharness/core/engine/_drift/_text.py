"""A drift report as plain text, for terminals and for the output of a failing test."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from openharness.core.values import shown_value, visible

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from openharness.core.engine._drift._report import DriftReport
    from openharness.core.records import Signal

__all__ = ("as_text",)

_MOST: Final = 10
_VALUE: Final = 240


def as_text(report: DriftReport) -> str:
    """Return a report as text. What models and users wrote is made safe to look at, and every cut is counted."""
    return "\n".join(_lines(report))


def _lines(report: DriftReport) -> Iterator[str]:
    fixture = f" (fixture {report.fixture!r})" if report.fixture is not None else ""
    yield visible(f"Replay drifted from recording {report.recording_id!r}{fixture} at {report.headline}.")
    if report.cause is not None:
        yield visible(f"  It came of this error: {report.cause}")
    yield from _sides(report)
    if report.agents and report.seq != 0:
        yield visible(f"  The agents differ, too: {report.agents}.")
    if len(report.chain) > 1:
        yield "  How it came to this:"
        yield from _limited(_chain(report.chain))
    if report.unused:
        yield f"  Left over: {_counted(len(report.unused), 'recorded arrival')} that nothing waited for:"
        yield from _limited(_signal_name(signal) for signal in report.unused)
    for depends, title in ((True, "Out of reach, as it hangs on this"), (False, "Out of reach, as it comes later")):
        lost = [one for one in report.unreachable if one.depends is depends]
        if lost:
            named = ", ".join(f"{one.activation} (signal {one.seq})" for one in lost[:_MOST])
            more = f" and {len(lost) - _MOST:,} more" if len(lost) > _MOST else ""
            yield visible(f"  {title}: {named}{more}.")
    if report.remaining > 1:
        yield f"  Not looked at: {_counted(report.remaining, 'recorded signal')} from here on."
    yield report.remedy


def _sides(report: DriftReport) -> Iterator[str]:
    if report.differences:
        shown = report.differences[:_MOST]
        yield from _indented(line for difference in shown for line in str(difference).splitlines())
        if len(report.differences) > _MOST:
            yield f"  … {_counted(len(report.differences) - _MOST, 'more difference')}"
    elif report.recorded is not None or report.actual is not None:
        yield f"  recorded: {_told(report.recorded)}"
        yield f"  actual:   {_told(report.actual)}"


def _chain(chain: Sequence[Signal]) -> list[str]:
    links = [_signal_name(signal) for signal in chain]
    links[-1] += "   <- here"
    if len(links) > _MOST:
        # The beginning and what came last tell the most.
        left_out = len(links) - _MOST
        links[2 : 2 + left_out] = [f"… {_counted(left_out, 'more link')}"]
    return links


def _signal_name(signal: Signal) -> str:
    where = signal.source.activation or signal.source.agent
    return visible(f"{signal.seq} {signal.name} [{where}]" if where else f"{signal.seq} {signal.name}")


def _told(signal: Signal | None) -> str:
    if signal is None:
        return "nothing"
    where = signal.source.activation or signal.source.agent
    inside = f" [{visible(where)}]" if where else ""
    return f"{visible(signal.name)}{inside} {shown_value(signal.payload, most=_VALUE)}"


def _limited(items: Iterable[str]) -> Iterator[str]:
    listed = list(items)
    # One more than the limit is the place where a chain was cut.
    for item in listed[: _MOST + 1]:
        yield f"    {item}"
    if len(listed) > _MOST + 1:
        yield f"    … {len(listed) - _MOST - 1:,} more"


def _indented(lines: Iterable[str]) -> Iterator[str]:
    return (f"  {line}" for line in lines)


def _counted(count: int, noun: str) -> str:
    return f"{count:,} {noun}" if count == 1 else f"{count:,} {noun}s"
