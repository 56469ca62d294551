"""The signals of a log as events that have a name in every run: by activation, call, name and order within it."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Final, NamedTuple, cast

import attrs

from openharness.core.log import STREAMING

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from openharness.core.records import Signal
    from openharness.core.values import JSONObject, JSONValue

__all__ = ("VOLATILE", "Event", "Identity", "read_events")

VOLATILE: Final[dict[str, tuple[tuple[str, ...], ...]]] = {
    "harness:start": (("seed",),),
    "harness:resumed": (("resumed_from",), ("recorded",), ("carried_out",)),
    "harness:forked": (("run_id",), ("recording_id",)),
    # Derived from the request, which is compared itself.
    # The ids that vendors give to calls of tools stand in the conversation as well.
    "provider:start": (
        ("digest",),
        ("request", "messages", "tool_calls", "id"),
        ("request", "messages", "tool_call_id"),
    ),
    # What was used is counted in the figures, as time is.
    "provider:end": (("output", "request_id"), ("output", "usage")),
    "tool:call": (("id",),),
    "subscriber:error": (("signal",),),
}
"""What in a payload makes no signal another one: paths of keys, through the items of lists, by the name of the signal."""

_CALLS: Final = frozenset({"provider", "text", "thinking", "tool"})
_RESTART: Final = "provider:restart"
_END: Final = "harness:end"
_REQUEST: Final = "provider:start"
_TOOL_ENDS: Final = frozenset({"tool:result", "tool:rejected", "tool:unknown"})
_STREAMED: Final = {"call", "text"}


class Identity(NamedTuple):
    """What an event is called in every run in which it happens.

    Attributes:
        agent: The agent it belongs to.
        activation: The activation it belongs to: ``"editor#1"``.
        call: The call it belongs to, which tells turn and attempt: ``"editor#1/0/0"``.
        name: The name of its signal.
        ordinal: How many events with all the same parts came before it.
    """

    agent: str | None
    activation: str | None
    call: str | None
    name: str
    ordinal: int

    def __str__(self) -> str:
        """Return it as one would say it: ``provider:end in editor#1/0/0``."""
        where = self.call or self.activation or self.agent
        which = f" (number {self.ordinal + 1})" if self.ordinal else ""
        return f"{self.name}{which} in {where}" if where else f"{self.name}{which}"


class Event:
    """One signal, or all pieces of one streamed text: how a text was cut into pieces means nothing.

    Attributes:
        identity: What it is called in every run.
        signals: Its signals, at least one.
        cause: The event that caused it; None for what came from outside, or from another log.
    """

    __slots__ = ("cause", "identity", "signals")

    def __init__(self, identity: Identity, signal: Signal, cause: Event | None) -> None:
        self.identity = identity
        self.signals = [signal]
        self.cause = cause

    @property
    def first(self) -> Signal:
        """The signal it begins with."""
        return self.signals[0]

    @property
    def compared_cause(self) -> Identity | None:
        """The identity of its cause; None where that is whichever signal was the last one.

        That ends a run, and of the tools of a turn, the one that ends last lets the next turn begin.
        """
        if self.cause is None or self.identity.name == _END or (self.is_request and self.cause.is_tool_end):
            return None
        return self.cause.identity

    @property
    def is_request(self) -> bool:
        """Whether a provider is asked, with all that came of the tools of the activation before."""
        return self.identity.name == _REQUEST

    @property
    def is_tool_end(self) -> bool:
        """Whether a call of a tool comes to its end."""
        return self.identity.name in _TOOL_ENDS

    @property
    def compared_provider(self) -> str | None:
        """The provider, told once for each call: where it is asked."""
        return self.first.source.provider if self.is_request else None

    def compared_payload(self) -> JSONValue:
        """Return what of its payload means something."""
        payload = cast("JSONValue", self.signal().payload)
        for path in VOLATILE.get(self.identity.name, ()):
            payload = _without(payload, path)
        return payload

    def signal(self) -> Signal:
        """Return the event as one signal: a streamed text has all of its pieces in the first one."""
        if len(self.signals) == 1:
            return self.first
        text = "".join(signal.payload["text"] for signal in self.signals)
        return attrs.evolve(self.first, payload={"call": self.identity.call, "text": text})


def read_events(signals: Iterable[Signal]) -> list[Event]:
    """Return the events of a log, in the order in which they begin. No two of them have the same identity.

    Args:
        signals: The whole log.
    """
    events: list[Event] = []
    counts: Counter[tuple[str | None, str | None, str | None, str]] = Counter()
    by_signal: dict[str, Event] = {}
    streams: dict[tuple[str | None, str], Event] = {}
    for signal in signals:
        call = _call_of(signal)
        is_streamed = signal.name in STREAMING and _is_streamed(signal.payload)
        if is_streamed:
            stream = streams.get((call, signal.name))
            if stream is not None:
                stream.signals.append(signal)
                by_signal[signal.id] = stream
                continue
        elif signal.name == _RESTART:
            # What comes now is another text: the call begins again.
            for name in STREAMING:
                streams.pop((call, name), None)
        source = signal.source
        parts = (source.agent, source.activation, call, signal.name)
        cause = None if source.parent is None else by_signal.get(source.parent)
        event = Event(Identity(*parts, counts[parts]), signal, cause)
        counts[parts] += 1
        events.append(event)
        by_signal[signal.id] = event
        if is_streamed:
            streams[call, signal.name] = event
    return events


def _call_of(signal: Signal) -> str | None:
    # Only the harness gives names with these beginnings: no payload of a user's is taken for one of its own.
    payload = cast("object", signal.payload)
    if signal.name.partition(":")[0] not in _CALLS or not isinstance(payload, dict):
        return None
    members = cast("dict[str, object]", payload)
    call = members.get("call", members.get("tool_call"))
    return call if isinstance(call, str) else None


def _is_streamed(payload: object) -> bool:
    if not isinstance(payload, dict):
        return False
    parts = cast("dict[str, object]", payload)
    return parts.keys() == _STREAMED and isinstance(parts["call"], str) and isinstance(parts["text"], str)


def _without(value: JSONValue, path: Sequence[str]) -> JSONValue:
    """Return a JSON value without the key at the end of a path; the value itself where there is no such key."""
    if isinstance(value, list):
        return [_without(item, path) for item in value]
    step, rest = path[0], path[1:]
    if not isinstance(value, dict) or step not in value:
        return value
    copy: JSONObject = dict(value)
    if rest:
        copy[step] = _without(copy[step], rest)
    else:
        del copy[step]
    return copy
