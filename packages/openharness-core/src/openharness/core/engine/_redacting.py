"""Redaction in a run: every arrival passes here before the loop sees it."""

from __future__ import annotations

import logging
import traceback
from typing import TYPE_CHECKING, Any, Final, cast

import attrs

from openharness.core.engine._drift import same_signal
from openharness.core.engine._requests import plain_text
from openharness.core.log import RESERVED_PREFIXES
from openharness.core.log import _names as names
from openharness.core.redaction import RedactedStream, Redactor, note_placeholders, unnumbered
from openharness.core.values import dump_json

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from openharness.core.engine._arrivals import Arrival
    from openharness.core.engine._journal import Journal
    from openharness.core.records import Signal
    from openharness.core.values import JSONObject, JSONValue

__all__ = ("Intake", "RecordedRules", "log_failure", "same_but_for_numbers")

_STREAMS: Final = (names.TEXT_DELTA, names.THINKING_DELTA)
_ENDS: Final = frozenset({names.PROVIDER_END, names.PROVIDER_ERROR})
_STOPS: Final = frozenset({names.HARNESS_TIMEOUT, names.HARNESS_CANCELLED})
_UNTOUCHED: Final = frozenset({"call", "index", "tool_call"})
"""What the engine itself gives to the payloads of arrivals."""

_log = logging.getLogger("openharness")


class Intake:
    """Redacts what arrives in a live run, but for what the harness itself puts into the queue.

    In a replay arrivals come from the log, and are redacted already.
    """

    def __init__(self, redactor: Redactor, journal: Journal) -> None:
        self._redactor = redactor
        self._fold = journal.fold
        self._streams: dict[tuple[str, str], RedactedStream[Arrival]] = {}

    def admit(self, arrival: Arrival) -> list[Arrival]:
        """Return what the loop takes in the place of an arrival.

        A piece of a stream may be held back until the next one; what was held back comes before the end of its call.
        """
        if not self._redactor.active:
            return [arrival]
        name = arrival.name
        if name in _STREAMS:
            return self._piece(arrival)
        if name in _STOPS:
            # What was held back of calls that are cut off here.
            return [
                *(piece for call, name in list(self._streams) for piece in self._end(call, name, cut=True)),
                arrival,
            ]
        if name not in _ENDS:
            return [_with_payload(arrival, self._payload(name, arrival.payload))]
        call: Any = arrival.call
        payload: Any = arrival.payload
        cut = name == names.PROVIDER_ERROR
        held = [piece for stream in _STREAMS for piece in self._end(call, stream, cut=cut)] if self._streams else []
        if cut:
            return [*held, _with_payload(arrival, self._payload(name, arrival.payload))]
        return [*held, _with_payload(arrival, self._answer(call, payload, held))]

    def _answer(self, call: str, payload: JSONObject, held: list[Arrival]) -> JSONObject:
        """Redact an answer; its figures hold no texts."""
        open_call = self._fold.calls.get(call)
        text = [] if open_call is None else open_call.text
        if not text and not held and self._redactor.is_untouched(payload):
            return payload
        output = cast("JSONObject", payload["output"])
        redacted: JSONObject = {}
        for key, value in output.items():
            if key != "usage" and (changed := self._redactor.arrived(value)) is not value:
                redacted[key] = changed
        if open_call is not None:
            # The answer is what the deltas said, however they were cut.
            text = [*text, *(_text(piece) for piece in held if piece.name == names.TEXT_DELTA)]
            if text:
                redacted["content"] = plain_text("".join(text))
        if all(value == output[key] for key, value in redacted.items()):
            return payload
        return {**payload, "output": {**output, **redacted}}

    def _piece(self, arrival: Arrival) -> list[Arrival]:
        if arrival.call not in self._fold.calls:
            return [arrival]  # Nobody waits for it any more, and it is not written.
        key = arrival.call, arrival.name
        stream = self._streams.get(key)
        if stream is None:
            stream = self._streams[key] = RedactedStream(self._redactor)
        text = _text(arrival)
        if stream.passes(text):
            return [arrival]
        return [_with_text(piece, text) for piece, text in stream.feed(arrival, text)]

    def _end(self, call: str, name: str, *, cut: bool) -> list[Arrival]:
        stream = self._streams.pop((call, name), None)
        return [] if stream is None else [_with_text(piece, text) for piece, text in stream.end(cut=cut)]

    def _payload(self, name: str, payload: JSONValue) -> JSONValue:
        if name.partition(":")[0] not in RESERVED_PREFIXES:
            return self._redactor.arrived(payload)
        if not isinstance(payload, dict):
            return payload
        if name.startswith("harness:"):
            return payload
        redacted = self._redactor.arrived(payload)
        return (
            redacted
            if redacted is payload
            else {**redacted, **{key: payload[key] for key in _UNTOUCHED & payload.keys()}}
        )


def _text(arrival: Arrival) -> str:
    return cast("str", cast("JSONObject", arrival.payload)["text"])


def _with_payload(arrival: Arrival, payload: JSONValue) -> Arrival:
    return arrival if payload is arrival.payload else attrs.evolve(arrival, payload=payload)


def _with_text(arrival: Arrival, text: str) -> Arrival:
    if text == _text(arrival):
        return arrival
    return attrs.evolve(arrival, payload={**cast("JSONObject", arrival.payload), "text": text})


class RecordedRules:
    """What the placeholders in a log tell of the rules that were at work when it was written.

    In a replay, and while a run that is resumed catches up, a rule counts only where the log shows that it did: secrets
    in the environment and rules of a later version change nothing in what was recorded without them.

    Args:
        journal: The log so far.
        upcoming: Tells what is recorded and comes next; None where nothing is.
    """

    def __init__(self, journal: Journal, upcoming: Callable[[], Iterable[Signal]] | None = None) -> None:
        self._journal = journal
        self._upcoming = upcoming
        self._read = 0
        self._highest: dict[str, int] = {}

    def highest(self, rule: str) -> int:
        """Return the highest number that the log has of a rule; 0 where it has no placeholder of it."""
        signals = self._journal.signals
        for signal in signals[self._read :]:
            note_placeholders(dump_json(signal.payload).decode(errors="replace"), self._highest)
        self._read = len(signals)
        return self._highest.get(rule, 0)

    def counted(self, rule: str) -> bool:
        """Tell whether the log, to the end of the present step, has a placeholder of a rule."""
        if self.highest(rule):
            return True
        found: dict[str, int] = {}
        for signal in () if self._upcoming is None else self._upcoming():
            note_placeholders(dump_json(signal.payload).decode(errors="replace"), found)
        return rule in found


def same_but_for_numbers(recorded: Signal, actual: Signal) -> bool:
    """Tell whether two signals differ only in the numbers of placeholders.

    A replay does not know the secrets that arrived when the run was recorded. Where the run's own code has one of them
    too, the replay takes it for another one.
    """
    one, other = _unnumbered(recorded), _unnumbered(actual)
    return (
        "[redacted:" in one
        and one == other
        and same_signal(attrs.evolve(recorded, payload=None), attrs.evolve(actual, payload=None))
    )


def _unnumbered(signal: Signal) -> str:
    payload = cast("JSONValue", signal.payload)
    if signal.name == names.PROVIDER_START and isinstance(payload, dict):
        # The digest covers the numbers.
        payload = {key: value for key, value in payload.items() if key != "digest"}
    return unnumbered(dump_json(payload).decode(errors="replace"))


def log_failure(
    redactor: Redactor, message: str, *args: object, error: BaseException, level: int = logging.WARNING
) -> None:
    """Log what failed, with its traceback; where that holds a secret, as text in which it does not stand any more."""
    if not redactor.active:
        _log.log(level, message, *args, exc_info=error)
        return
    told = "".join(traceback.format_exception(error))
    args = tuple(redactor.mask(arg) if isinstance(arg, str) else arg for arg in args)
    masked = redactor.mask(told)
    if masked == told:
        _log.log(level, message, *args, exc_info=error)
    else:
        _log.log(level, f"{message}\n%s", *args, masked.rstrip())
