"""Collects an answer from its parts, and tells what each part brings as events."""

from __future__ import annotations

import abc
import json
from typing import TYPE_CHECKING, Any, NoReturn

import attrs

from openharness.core import ProviderOutput, ProviderWarning, TextDelta, ThinkingDelta, ToolCall, Usage

if TYPE_CHECKING:
    from collections.abc import Hashable, Iterator, Mapping

    from openharness.core import ProviderEvent

__all__ = ("Answer", "Collected", "Tokens")


@attrs.frozen(kw_only=True)
class Tokens:
    """How many tokens a request took.

    Attributes:
        read: Tokens of the request, those of a cache included.
        written: Tokens of the answer.
        cached: How many of those read came from a cache.
        stored: How many of those read were put into a cache, where that has a price of its own.
        stored_hour: How many of those stored are kept for an hour, where that has a price of its own.
    """

    read: int = 0
    written: int = 0
    cached: int = 0
    stored: int = 0
    stored_hour: int = 0


@attrs.define
class _Call:
    number: int
    id: str = ""
    name: str = ""
    arguments: list[str] = attrs.field(factory=list[str])

    def told(self, arguments: Any) -> ToolCall:
        """Return the call with its arguments."""
        return ToolCall(self.id or f"call_{self.number}", self.name, arguments)


class Collected:
    """What has arrived of one answer.

    Args:
        model: The model that was asked.

    Attributes:
        model: The model that answers: the one that was asked, until the vendor names another.
        id: The vendor's id of the answer, or None.
        stop_reason: Why it ended, in the words of `ProviderOutput`; None until the vendor says it.
        tokens: What it took so far.
        data: Anything else worth keeping, as JSON values.
        continuation: What must be sent again with this answer when the results of tools follow, as a JSON value.
    """

    def __init__(self, *, model: str) -> None:
        self.model = model
        self.id: str | None = None
        self.stop_reason: str | None = None
        self.tokens = Tokens()
        self.data: dict[str, Any] = {}
        self.continuation: Any = None
        self._text: list[str] = []
        self._thinking: list[str] = []
        self._calls: dict[Hashable, _Call] = {}
        self._begun_calls = 0

    @property
    def length(self) -> int:
        """How many characters of text have come."""
        return sum(map(len, self._text))

    @property
    def thought(self) -> str:
        """The model's reasoning as far as it has come."""
        return "".join(self._thinking)

    def say(self, text: str) -> Iterator[TextDelta]:
        """Add a piece of text."""
        if text:
            self._text.append(text)
            yield TextDelta(text)

    def think(self, text: str) -> Iterator[ThinkingDelta]:
        """Add a piece of the model's reasoning."""
        if text:
            self._thinking.append(text)
            yield ThinkingDelta(text)

    def extend_call(self, key: Hashable, *, id: str = "", name: str = "", arguments: str = "") -> None:  # noqa: A002
        """Add what has come of a tool call.

        Args:
            key: Which of the answer's calls it is.
            id: The vendor's id, where this piece tells it.
            name: The tool, where this piece tells it.
            arguments: The next piece of the arguments' JSON text.
        """
        call = self._calls.get(key)
        if call is None:
            # Some servers have no ids, and a result must say which call it belongs to.
            call = self._calls[key] = _Call(number=self._begun_calls)
            self._begun_calls += 1
        call.id = call.id or id
        call.name = call.name or name
        if arguments:
            call.arguments.append(arguments)

    def has_call(self, key: Hashable) -> bool:
        """Tell whether a piece of this tool call has come that `finish_call` has not yet told."""
        return key in self._calls

    def finish_call(self, key: Hashable) -> Iterator[ToolCall]:
        """Yield the tool call with this key, unless its arguments are no JSON, about which the end decides."""
        call = self._calls.get(key)
        if call is None:
            return
        try:
            arguments = _arguments(call)
        except (ValueError, RecursionError):
            return
        del self._calls[key]
        yield call.told(arguments)

    def finish(self) -> Iterator[ProviderEvent]:
        """Yield what is left at the end: the tool calls that nobody finished.

        Arguments that are no JSON are told as the text they are, since the model wrote them so and can correct them. In
        an answer that ran out of tokens they are half of something, which must not be run: that is a warning.
        """
        for key, call in list(self._calls.items()):
            yield from self.finish_call(key)
            if key not in self._calls:
                continue
            text = "".join(call.arguments)
            data = {"id": call.id, "name": call.name, "arguments": text}
            if self.stop_reason == "max_tokens":
                yield ProviderWarning(
                    f"The answer ran out of tokens within a call of the tool {call.name!r}; it is left out.", data
                )
            else:
                yield ProviderWarning(
                    f"The model called the tool {call.name!r} with arguments that are no JSON; they are text here.",
                    data,
                )
                yield call.told(text)
        self._calls.clear()

    def output(self, *, request_id: str | None, cost: float | None) -> ProviderOutput:
        """Return the whole answer.

        Args:
            request_id: The vendor's id of the request; the answer's own id stands in for it where there is none.
            cost: What it cost in US dollars, where that is known.
        """
        return ProviderOutput(
            content="".join(self._text),
            thinking=self.thought or None,
            usage=Usage(
                input_tokens=self.tokens.read,
                output_tokens=self.tokens.written,
                cached_tokens=self.tokens.cached,
                cost=cost,
            ),
            stop_reason=self.stop_reason,
            model=self.model,
            request_id=request_id or self.id,
            data=self.data or None,
            continuation=self.continuation if self.stop_reason == "tool_calls" else None,
        )


class Answer(Collected, abc.ABC):
    """What has arrived of one answer in parts that are JSON objects. A subclass knows the vendor's.

    Args:
        model: The model that was asked.
    """

    @abc.abstractmethod
    def read(self, part: Mapping[str, Any]) -> Iterator[ProviderEvent]:
        """Take in the next part and yield the events it brings."""

    @property
    @abc.abstractmethod
    def is_complete(self) -> bool:
        """Whether what must have come by the end has come."""


def _arguments(call: _Call) -> Any:
    text = "".join(call.arguments)
    # A tool without parameters may be called with nothing at all.
    return json.loads(text, parse_constant=_refuse) if text.strip() else {}


def _refuse(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is no JSON")
