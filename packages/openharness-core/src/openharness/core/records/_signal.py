"""A signal: one event of a run."""

from __future__ import annotations

from typing import Any, Final

import attrs

__all__ = ("Signal", "SignalSource", "make_signal", "make_source", "signal_id")


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


_new: Final = object.__new__
_set_id, _set_name, _set_payload, _set_timestamp, _set_seq, _set_source = (
    vars(Signal)[name].__set__ for name in ("id", "name", "payload", "timestamp", "seq", "source")
)
_set_agent, _set_provider, _set_parent, _set_activation = (
    vars(SignalSource)[name].__set__ for name in ("agent", "provider", "parent", "activation")
)


def make_signal(  # noqa: PLR0917 - names would cost as much as is gained
    identifier: str, name: str, payload: Any, timestamp: int, seq: int, source: SignalSource
) -> Signal:
    """Return the same `Signal` as its constructor, at half the price: for those who decode many of them."""
    signal = _new(Signal)
    _set_id(signal, identifier)
    _set_name(signal, name)
    _set_payload(signal, payload)
    _set_timestamp(signal, timestamp)
    _set_seq(signal, seq)
    _set_source(signal, source)
    return signal


def make_source(agent: str | None, provider: str | None, parent: str | None, activation: str | None) -> SignalSource:
    """Return the same `SignalSource` as its constructor, at half the price: for those who decode many of them."""
    source = _new(SignalSource)
    _set_agent(source, agent)
    _set_provider(source, provider)
    _set_parent(source, parent)
    _set_activation(source, activation)
    return source


def signal_id(run_id: str, seq: int) -> str:
    """Return the id of a run's signal: derived, so that making one costs no random number."""
    return f"{run_id}/{seq}"
