"""How it came to a signal."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from openharness.core.records import Signal

__all__ = ("causes",)


def causes(log: Sequence[Signal], last: Signal | None) -> tuple[Signal, ...]:
    """Return a signal after all that caused it one through the other, from one that came from outside on.

    Args:
        log: The signals before it.
        last: The signal; None for none.
    """
    by_id = {signal.id: signal for signal in log} if last is not None else {}
    chain: list[Signal] = []
    while last is not None:
        chain.append(last)
        cause = by_id.get(last.source.parent or "")
        # A cause comes before its effect; a log that says otherwise must not go round and round.
        last = cause if cause is not None and cause.seq < last.seq else None
    return tuple(reversed(chain))
