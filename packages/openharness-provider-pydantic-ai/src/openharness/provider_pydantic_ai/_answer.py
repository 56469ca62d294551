"""Reads the events of a streamed answer, and the whole answer at its end."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, cast

from openharness.provider_http import Collected, Tokens
from openharness.provider_pydantic_ai._request import OUTPUT_TOOL, WRAPPED, continuation_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from pydantic_ai.messages import ModelResponse

    from openharness.core import ProviderEvent
    from openharness.provider_pydantic_ai._request import Prepared

__all__ = ("ModelAnswer", "is_cut")

_STOP_REASONS = {"stop": "end", "length": "max_tokens", "tool_call": "tool_calls"}
# Words of vendors that say more than the word that Pydantic AI has for them.
_VENDORS_REASONS = {"stop_sequence": "stop", "refusal": "refusal"}


class ModelAnswer(Collected):
    """What has arrived of one answer of a model.

    Args:
        model: The model that was asked.
        request: What it was asked.
    """

    def __init__(self, *, model: str, request: Prepared) -> None:
        super().__init__(model=model)
        self._request = request
        self._is_typed = bool(request.parameters.output_tools)

    def reader(self) -> Callable[[object], Iterator[ProviderEvent]]:
        """Return what takes in the next event of a stream and yields what it brings."""
        from pydantic_ai.messages import (
            PartDeltaEvent,
            PartStartEvent,
            TextPart,
            TextPartDelta,
            ThinkingPart,
            ThinkingPartDelta,
        )

        def read(event: object) -> Iterator[ProviderEvent]:
            if isinstance(event, PartDeltaEvent):
                delta = event.delta
                if isinstance(delta, TextPartDelta):
                    yield from self._said(delta.content_delta)
                elif isinstance(delta, ThinkingPartDelta):
                    yield from self.think(delta.content_delta or "")
            elif isinstance(event, PartStartEvent):
                part = event.part
                if isinstance(part, TextPart):
                    yield from self._said(part.content)
                elif isinstance(part, ThinkingPart):
                    yield from self.think(part.content)

        return read

    def take(self, response: ModelResponse) -> Iterator[ProviderEvent]:
        """Take in the whole answer, and yield what no event of a stream has told: all of it where nothing was streamed."""
        from pydantic_ai.messages import TextPart, ThinkingPart, ToolCallPart

        self.model = response.model_name or self.model
        self.id = response.provider_response_id
        said, thought = self.length, self.thought
        calls = 0
        given = any(isinstance(part, ToolCallPart) and part.tool_name == OUTPUT_TOOL for part in response.parts)
        for number, part in enumerate(response.parts):
            if isinstance(part, TextPart) and not said:
                # Where a tool takes the answer, what is said beside it is no part of it; in its place it is the answer.
                if not (self._is_typed and given):
                    yield from self.say(part.content)
            elif isinstance(part, ThinkingPart) and not thought:
                yield from self.think(part.content)
            elif isinstance(part, ToolCallPart):
                arguments = part.args if isinstance(part.args, str) else json.dumps(part.args or {}, ensure_ascii=False)
                if self._is_typed and part.tool_name == OUTPUT_TOOL:
                    yield from self.say(self._unwrapped(arguments))
                    continue
                calls += 1
                self.extend_call(number, id=part.tool_call_id, name=part.tool_name, arguments=arguments)
        self._count(response)
        self.stop_reason = self._reason(response, calls=calls)
        if calls:
            self.continuation = continuation_of(response)
        yield from self.finish()

    def _said(self, text: str) -> Iterator[ProviderEvent]:
        # Where a tool is to take the answer, the end tells whether it did.
        if self._is_typed:
            return iter(())
        return self.say(text)

    def _unwrapped(self, arguments: str) -> str:
        if not self._request.wrapped:
            return arguments
        try:
            return json.dumps(json.loads(arguments)[WRAPPED], ensure_ascii=False)
        except (ValueError, LookupError, TypeError):
            # Whether the answer fits the schema is for others to say.
            return arguments

    def _reason(self, response: ModelResponse, *, calls: int) -> str:
        details: dict[str, Any] = response.provider_details or {}
        vendors = _VENDORS_REASONS.get(cast("Any", details.get("finish_reason")))
        reason = vendors or _STOP_REASONS.get(response.finish_reason or "", response.finish_reason)
        if reason in (None, "end", "tool_calls"):
            # Some say "stop" where they call tools, and a call of the output tool is an answer.
            return "tool_calls" if calls else "end"
        return reason

    def _count(self, response: ModelResponse) -> None:
        usage = response.usage
        self.tokens = Tokens(
            read=usage.input_tokens,
            written=usage.output_tokens,
            cached=usage.cache_read_tokens,
            stored=usage.cache_write_tokens,
        )
        thought = usage.details.get("reasoning_tokens")
        if thought:
            self.data["reasoning_tokens"] = thought


def is_cut(response: ModelResponse) -> bool:
    """Tell whether an answer of a vendor stopped before its end: vendors say why it ended, or at least what it took.

    Where an OpenAI-compatible server says neither, Pydantic AI takes the end of the stream for the end of the answer.
    """
    details: dict[str, Any] = response.provider_details or {}
    return response.finish_reason is None or not ("finish_reason" in details or response.usage.output_tokens)
