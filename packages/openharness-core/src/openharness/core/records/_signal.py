"""A signal: one event of a run."""

from __future__ import annotations

from typing import Any

import attrs

from openharness.core.values import copy_json

__all__ = ("Signal", "SignalSource", "copied_signal", "make_signal", "make_source", "signal_id")


@attrs.frozen(weakref_slot=False)
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


@attrs.frozen(weakref_slot=False)
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


# Runs make several signals for each activation, and readers of recordings decode many thousands. A frozen object is set
# attribute by attribute through calls, which is most of its price. So each is made as an object that is not frozen and
# has the same slots, and becomes one of its class when it is complete.


class _SignalDraft:
    __slots__ = ("id", "name", "payload", "seq", "source", "timestamp")


class _SourceDraft:
    __slots__ = ("activation", "agent", "parent", "provider")


def make_signal(  # noqa: PLR0917 - names would cost as much as is gained
    identifier: str, name: str, payload: Any, timestamp: int, seq: int, source: SignalSource
) -> Signal:
    """Return the same `Signal` as its constructor, at a quarter of the price."""
    draft: Any = _SignalDraft()
    draft.id = identifier
    draft.name = name
    draft.payload = payload
    draft.timestamp = timestamp
    draft.seq = seq
    draft.source = source
    draft.__class__ = Signal
    signal: Signal = draft
    return signal


def make_source(agent: str | None, provider: str | None, parent: str | None, activation: str | None) -> SignalSource:
    """Return the same `SignalSource` as its constructor, at two fifths of the price."""
    draft: Any = _SourceDraft()
    draft.agent = agent
    draft.provider = provider
    draft.parent = parent
    draft.activation = activation
    draft.__class__ = SignalSource
    source: SignalSource = draft
    return source


def copied_signal(signal: Signal) -> Signal:
    """Return a signal for somebody to whom it is shown, who may change its payload without changing the run's."""
    return make_signal(signal.id, signal.name, copy_json(signal.payload), signal.timestamp, signal.seq, signal.source)


def signal_id(run_id: str, seq: int) -> str:
    """Return the id of a run's signal: derived, so that making one costs no random number."""
    return f"{run_id}/{seq}"
