"""A signal: one event of a run."""

from __future__ import annotations

from typing import Any

import attrs

__all__ = ("Signal", "SignalSource", "signal_id")


@attrs.frozen
class SignalSource:
    """Where a signal came from. Every part may be absent.

    Attributes:
        agent: The name of the agent whose activation it belongs to.
        provider: The `type` of the provider that produced it.
        parent: The id of the signal that caused it; None for what came from outside of the run.
        activation: The activation it belongs to: ``"analyzer#2"`` is the agent's second of the run.
    """

    agent: str | None = None
    provider: str | None = None
    parent: str | None = None
    activation: str | None = None


_NO_SOURCE = SignalSource()


@attrs.frozen
class Signal:
    """One event of a run, in the order in which the run took it.

    Attributes:
        id: Identifies the signal: the run's id, a slash, and `seq`.
        name: What happened, in segments joined by colons: ``"analysis:complete"``.
        payload: What came with it, as a JSON value.
        timestamp: When the step it belongs to began, in milliseconds since the epoch, UTC; never less than that of the
            signal before it.
        seq: Its position in the run, from 0, without gaps.
        source: Where it came from.
    """

    id: str
    name: str = attrs.field(kw_only=True)
    payload: Any = attrs.field(default=None, kw_only=True)
    timestamp: int = attrs.field(kw_only=True)
    seq: int = attrs.field(kw_only=True)
    source: SignalSource = attrs.field(default=_NO_SOURCE, kw_only=True)


def signal_id(run_id: str, seq: int) -> str:
    """Return the id of a run's signal: derived, so that making one costs no random number."""
    return f"{run_id}/{seq}"
