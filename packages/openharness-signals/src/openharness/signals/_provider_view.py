"""What a provider has answered so far, call by call, after any number of the signals of a run."""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Final, Literal, TypeAlias, cast

import attrs

from openharness.core.interfaces import Usage
from openharness.core.values import JSONValue, copy_json

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from typing import Self

    from openharness.core.records import Signal

__all__ = ("CallState", "ProviderFold", "ProviderView", "fields_of", "object_of")

_NUMBER: Final = re.compile("[0-9]{1,9}")

CallState: TypeAlias = Literal["running", "ended", "failed", "cancelled"]
"""Where a call stands: it waits for its answer, has it, has an error instead, or was given up unanswered."""


@attrs.frozen(kw_only=True)
class ProviderView:
    """One call of a provider as it stood after some of the signals of its run.

    Attributes:
        call: The call: ``"writer#1/0/0"``.
        activation: The activation it works for: ``"writer#1"``.
        agent: The agent's name.
        turn: Which turn of the activation it is, from 0.
        attempt: Which attempt of the turn it is, from 0.
        provider: The `Provider.type` it was sent to; None where that is not known.
        state: ``"running"``; ``"ended"`` with an answer; ``"failed"`` with an error; or ``"cancelled"``, when the run
            ended or was forked before the answer came.
        text: The text so far; the whole answer once it has ended.
        thinking: The reasoning so far.
        tool_calls: The payloads of its ``tool:call`` signals so far.
        usage: What it used; None before it has ended.
        stop_reason: Why the model stopped; None before it has ended, and where the provider does not tell.
        model: The model that answered; likewise.
        error: The error of a call that failed: ``kind``, ``type``, ``message`` and more; None otherwise.
        pieces: How many pieces of text and reasoning have arrived: about as many as tokens, while there is no `usage`.
        started_at: When it was sent, in milliseconds since the epoch; after a resume, when it was sent again.
        first_token_at: When the first piece of text, reasoning or a tool call arrived; None before.
        ended_at: When it was answered, failed or was given up; None while it runs.
    """

    call: str
    activation: str
    agent: str
    turn: int
    attempt: int
    provider: str | None
    state: CallState
    text: str
    thinking: str
    tool_calls: Sequence[JSONValue]
    usage: Usage | None
    stop_reason: str | None
    model: str | None
    error: Mapping[str, JSONValue] | None
    pieces: int
    started_at: int
    first_token_at: int | None
    ended_at: int | None

    @property
    def duration_ms(self) -> int | None:
        """Milliseconds from the request to its end; None while it runs."""
        return None if self.ended_at is None else self.ended_at - self.started_at

    @property
    def time_to_first_token_ms(self) -> int | None:
        """Milliseconds from the request to the first piece of its answer; None before that."""
        return None if self.first_token_at is None else self.first_token_at - self.started_at


class _Pieces:
    """Things that arrived one after the other, with the position of each in the log; only ever added to."""

    __slots__ = ("positions", "values")

    def __init__(self) -> None:
        self.positions: list[int] = []
        self.values: list[Any] = []

    def add(self, position: int, value: object) -> None:
        self.positions.append(position)
        self.values.append(value)

    def before(self, position: int) -> list[Any]:
        return self.values[: bisect_left(self.positions, position)]


class _Sending:
    """A request that was sent once, and all that came back; only ever added to, so that every moment can be read."""

    __slots__ = (
        "end",
        "end_payload",
        "end_state",
        "ended",
        "first",
        "first_at",
        "provider",
        "started",
        "started_at",
        "text",
        "thinking",
        "tools",
    )  # fmt: skip

    def __init__(self, started: int, started_at: int, provider: str | None) -> None:
        self.started = started
        self.started_at = started_at
        self.provider = provider
        self.text = _Pieces()
        self.thinking = _Pieces()
        self.tools = _Pieces()
        self.first: int | None = None
        self.first_at = 0
        self.end: int | None = None
        self.ended = 0
        self.end_state: CallState = "ended"
        self.end_payload: dict[str, Any] = {}

    def arrived(self, position: int, at: int) -> None:
        if self.first is None:
            self.first, self.first_at = position, at

    def close(self, position: int, at: int, state: CallState, payload: dict[str, Any]) -> None:
        if self.end is None:
            self.end, self.ended, self.end_state, self.end_payload = position, at, state, payload

    def view(self, call: str, position: int) -> ProviderView:
        closed = self.end is not None and self.end < position
        state: CallState = self.end_state if closed else "running"
        text, thinking = self.text.before(position), self.thinking.before(position)
        output: dict[str, Any] = object_of(self.end_payload.get("output")) if state == "ended" else {}
        content, thought = output.get("content"), output.get("thinking")
        activation, agent, turn, attempt = _split(call)
        return ProviderView(
            call=call,
            activation=activation,
            agent=agent,
            turn=turn,
            attempt=attempt,
            provider=self.provider,
            state=state,
            text=content if isinstance(content, str) else "".join(text),
            thinking=thought if isinstance(thought, str) else "".join(thinking),
            tool_calls=tuple(copy_json(tool) for tool in self.tools.before(position)),
            usage=_usage(output.get("usage")) if state == "ended" else None,
            stop_reason=_text_or_none(output.get("stop_reason")),
            model=_text_or_none(output.get("model")),
            error=cast("Any", copy_json(object_of(self.end_payload.get("error")))) if state == "failed" else None,
            pieces=len(text) + len(thinking),
            started_at=self.started_at,
            first_token_at=self.first_at if self.first is not None and self.first < position else None,
            ended_at=self.ended if closed else None,
        )


class ProviderFold:
    """Accumulates what providers answer, signal by signal, and shows it as it stood after any of them.

    It depends on nothing but the signals, so what it shows of a run that goes on and of its recording is the same.
    Taking a signal costs the same however many came before; looking at a call costs its text. Signals without a meaning
    for it only count, and a log that begins in the middle, as that of a resumed run does for who listens to it, shows
    what arrived since.
    """

    def __init__(self) -> None:
        self._count = 0
        self._calls: dict[str, list[_Sending]] = {}
        # In the order in which the calls were first sent, for the number of calls at any position.
        self._names: list[str] = []
        self._starts: list[int] = []
        self._open: dict[str, _Sending] = {}

    @classmethod
    def of(cls, signals: Iterable[Signal]) -> Self:
        """Return the fold of a log, or of the beginning of one."""
        fold = cls()
        for signal in signals:
            fold.apply(signal)
        return fold

    @property
    def count(self) -> int:
        """How many signals were taken."""
        return self._count

    @property
    def views(self) -> Mapping[str, ProviderView]:
        """Every call so far, by its name, in the order in which they were sent; it stays as it is when more arrives."""
        return self.at(self._count)

    @property
    def running(self) -> Sequence[str]:
        """The calls that wait for their answer."""
        return tuple(self._open)

    def apply(self, signal: Signal) -> None:
        """Take the next signal."""
        handler = self._HANDLERS.get(signal.name)
        if handler is not None:
            handler(self, signal, fields_of(signal))
        self._count += 1

    def at(self, count: int) -> Mapping[str, ProviderView]:
        """Return every call as it stood after some of the signals; it stays as it is when more arrives.

        Args:
            count: How many of the signals, from 0 to `count`.
        """
        return _Views(self._calls, self._names, bisect_left(self._starts, count), count)

    def _send(self, call: str, signal: Signal, provider: str | None) -> _Sending:
        sending = self._open[call] = _Sending(self._count, signal.timestamp, provider)
        sendings = self._calls.setdefault(call, [])
        if not sendings:
            self._names.append(call)
            self._starts.append(self._count)
        sendings.append(sending)
        return sending

    def _opened(self, signal: Signal, payload: Mapping[str, Any]) -> _Sending | None:
        """The open call that a signal belongs to; begun here, where its beginning was not seen."""
        call = payload.get("call")
        if not isinstance(call, str):
            return None
        return self._open.get(call) or self._send(call, signal, signal.source.provider)

    def _start(self, signal: Signal, payload: Mapping[str, Any]) -> None:
        call = payload.get("call")
        if isinstance(call, str):
            self._send(call, signal, signal.source.provider)

    def _restart(self, signal: Signal, payload: Mapping[str, Any]) -> None:
        call = payload.get("call")
        if isinstance(call, str):
            before = self._open.get(call)
            self._send(call, signal, signal.source.provider or (before.provider if before else None))

    def _text(self, signal: Signal, payload: Mapping[str, Any]) -> None:
        self._piece(signal, payload, lambda sending: sending.text)

    def _thinking(self, signal: Signal, payload: Mapping[str, Any]) -> None:
        self._piece(signal, payload, lambda sending: sending.thinking)

    def _piece(self, signal: Signal, payload: Mapping[str, Any], kind: Callable[[_Sending], _Pieces]) -> None:
        sending, text = self._opened(signal, payload), payload.get("text")
        if sending is not None and isinstance(text, str):
            sending.arrived(self._count, signal.timestamp)
            kind(sending).add(self._count, text)

    def _tool(self, signal: Signal, payload: Mapping[str, Any]) -> None:
        sending = self._opened(signal, payload)
        if sending is not None:
            sending.arrived(self._count, signal.timestamp)
            sending.tools.add(self._count, payload)

    def _end(self, signal: Signal, payload: dict[str, Any]) -> None:
        self._close(signal, payload, "ended")

    def _error(self, signal: Signal, payload: dict[str, Any]) -> None:
        self._close(signal, payload, "failed")

    def _close(self, signal: Signal, payload: dict[str, Any], state: CallState) -> None:
        sending = self._opened(signal, payload)
        if sending is not None:
            sending.close(self._count, signal.timestamp, state, payload)
            del self._open[payload["call"]]

    def _give_up(self, signal: Signal, _: Mapping[str, Any]) -> None:
        for sending in self._open.values():
            sending.close(self._count, signal.timestamp, "cancelled", {})
        self._open.clear()

    _HANDLERS: ClassVar[Mapping[str, Callable[[Any, Signal, dict[str, Any]], None]]] = {
        "provider:start": _start,
        "provider:restart": _restart,
        "text:delta": _text,
        "thinking:delta": _thinking,
        "tool:call": _tool,
        "provider:end": _end,
        "provider:error": _error,
        "harness:forked": _give_up,
        "harness:end": _give_up,
    }


class _Views(Mapping[str, ProviderView]):
    """The calls of a fold as they stood at a position. The fold only ever adds, so this never changes."""

    def __init__(self, calls: Mapping[str, list[_Sending]], names: Sequence[str], length: int, position: int) -> None:
        self._calls = calls
        self._names = names
        self._length = length
        self._position = position

    def __getitem__(self, call: str) -> ProviderView:
        for sending in reversed(self._calls[call]):
            if sending.started < self._position:
                return sending.view(call, self._position)
        raise KeyError(call)

    def __iter__(self) -> Iterator[str]:
        return iter(self._names[: self._length])

    def __len__(self) -> int:
        return self._length

    def __repr__(self) -> str:
        return repr(dict(self))


def fields_of(signal: Signal) -> dict[str, Any]:
    """Return the payload of a signal where it is an object, and an empty one where it is not: strangers write logs."""
    return object_of(signal.payload)


def object_of(value: object) -> dict[str, Any]:
    """Return a JSON value where it is an object, and an empty one where it is not."""
    return cast("dict[str, Any]", value) if isinstance(value, dict) else {}


def _split(call: str) -> tuple[str, str, int, int]:
    """Activation, agent, turn and attempt of a call; what is no call of ours is all activation."""
    parts = call.rsplit("/", 2)
    if len(parts) < 3 or not all(map(_NUMBER.fullmatch, parts[1:])):  # noqa: PLR2004
        return call, call, 0, 0
    activation, turn, attempt = parts
    return activation, activation.rpartition("#")[0] or activation, int(turn), int(attempt)


def _usage(value: object) -> Usage:
    given = object_of(value)
    cost = given.get("cost")
    tokens = {
        name: given[name] for name in ("input_tokens", "output_tokens", "cached_tokens") if type(given.get(name)) is int
    }
    return Usage(**tokens, cost=cost if isinstance(cost, (int, float)) else None)


def _text_or_none(value: object) -> str | None:
    return value if isinstance(value, str) else None
