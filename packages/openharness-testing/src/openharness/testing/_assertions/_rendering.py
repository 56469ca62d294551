"""Signals as lines that a person reads in the output of a failed test."""

from __future__ import annotations

import json
from itertools import groupby
from typing import TYPE_CHECKING, Any, Final

from openharness.core.log import STREAMING

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from openharness.core import Signal

__all__ = ("listed", "shown")

MOST_LINES: Final = 40
"""More signals than this are cut in the middle: how a run began and how it ended says most."""

_WIDTH: Final = 100


def shown(value: Any) -> str:
    """Return a JSON value as text, cut where it is long."""
    text = json.dumps(value, ensure_ascii=True, default=repr)
    return text if len(text) <= _WIDTH else f"{text[:_WIDTH]}…"


def listed(signals: Iterable[Signal], notes: dict[int, str] | None = None) -> str:
    """Return one line for each signal, with its position; streaming deltas in a row share a line.

    Args:
        signals: In the order of the run.
        notes: What to say about a signal, by its position.
    """
    lines: list[str] = []
    for group, members in groupby(signals, key=_group):
        together = list(members)
        lines += _collapsed(together) if group[0] else [_line(signal, notes or {}) for signal in together]
    if not lines:
        return "  (no signals)"
    if len(lines) > MOST_LINES:
        half = MOST_LINES // 2
        lines = [*lines[:half], f"  … {len(lines) - 2 * half} more …", *lines[-half:]]
    return "\n".join(lines)


def _group(signal: Signal) -> tuple[bool, str, str | None]:
    if signal.name in STREAMING:
        return True, signal.name, signal.source.activation
    return False, "", None


def _line(signal: Signal, notes: dict[int, str]) -> str:
    note = f"   <- {notes[signal.seq]}" if signal.seq in notes else ""
    return f"  #{signal.seq} {signal.name} {shown(signal.payload)}{note}"


def _collapsed(deltas: Sequence[Signal]) -> list[str]:
    first, last = deltas[0], deltas[-1]
    if len(deltas) == 1:
        return [_line(first, {})]
    text = "".join(str(delta.payload.get("text", "")) for delta in deltas)
    return [f"  #{first.seq}-{last.seq} {first.name} x {len(deltas)} {shown(text)}"]
