"""Reads the chunks of a streamed chat completion, also those that leave things out."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from openharness.provider_http import Answer, Tokens, count_at, mapping_at, mappings_at, text_at

if TYPE_CHECKING:
    from collections.abc import Hashable, Iterable, Iterator, Mapping

    from openharness.core import ProviderEvent

__all__ = ("CompletionAnswer",)

_STOP_REASONS = {"stop": "end", "length": "max_tokens", "tool_calls": "tool_calls", "function_call": "tool_calls"}


class CompletionAnswer(Answer):
    """What has arrived of one chat completion.

    Args:
        model: The model that was asked.
    """

    def __init__(self, *, model: str) -> None:
        super().__init__(model=model)
        self._counted = False
        self._refused = False
        # What the server calls the reasoning.
        self._reasoning: str | None = None
        self._last_call: Hashable = None
        self._ids: dict[str, Hashable] = {}

    @property
    def is_complete(self) -> bool:
        """Whether the answer said why it stopped, or at least what it took, which comes last."""
        return self.stop_reason is not None or self._counted

    def read(self, part: Mapping[str, Any]) -> Iterator[ProviderEvent]:
        """Take in the next chunk and yield what it brings. See `Answer.read`."""
        self.id = self.id or text_at(part, "id") or None
        self.model = text_at(part, "model") or self.model
        # One choice is asked for.
        for choice in mappings_at(part, "choices")[:1]:
            # A server that does not stream sends a message in place of the pieces of one.
            yield from self._extend(mapping_at(choice, "delta") or mapping_at(choice, "message"))
            reason = text_at(choice, "finish_reason")
            if reason:
                self.stop_reason = _STOP_REASONS.get(reason, reason)
        if self._refused:
            self.stop_reason = self.stop_reason and "refusal"
        usage = mapping_at(part, "usage")
        if usage:
            self._count(usage)

    def finish(self) -> Iterator[ProviderEvent]:
        """Yield what is left at the end. See `Answer.finish`."""
        yield from super().finish()
        if self._reasoning is not None:
            self.continuation = {self._reasoning: self.thought}

    def _extend(self, delta: Mapping[str, Any]) -> Iterator[ProviderEvent]:
        # DeepSeek, llama.cpp and vLLM use the first name, Ollama and OpenRouter the second.
        for name in ("reasoning_content", "reasoning"):
            thought = text_at(delta, name)
            if thought:
                self._reasoning = name
                yield from self.think(thought)
                break
        yield from self.say(text_at(delta, "content"))
        # Mistral sends its reasoning models' content in parts.
        for part in mappings_at(delta, "content"):
            yield from self.think(text_at(part, "thinking") or _texts(mappings_at(part, "thinking")))
            yield from self.say(text_at(part, "text"))
        refusal = text_at(delta, "refusal")
        if refusal:
            self._refused = True
            yield from self.say(refusal)
        for call in mappings_at(delta, "tool_calls"):
            self._extend_call(call)
        # What there was before there were several calls in an answer; old servers still send it.
        only = mapping_at(delta, "function_call")
        if only:
            self._extend_call({"index": 0, "function": only})

    def _extend_call(self, piece: Mapping[str, Any]) -> None:
        function = mapping_at(piece, "function")
        given = function.get("arguments")
        self.extend_call(
            self._key(piece, is_named=bool(text_at(function, "name"))),
            id=text_at(piece, "id"),
            name=text_at(function, "name"),
            # Some servers send the arguments as an object rather than as its text.
            arguments=given if isinstance(given, str) else json.dumps(given) if given else "",
        )

    def _key(self, piece: Mapping[str, Any], *, is_named: bool) -> Hashable:
        """Tell which call a piece belongs to: by its index, else its id; without both, a name begins a new call."""
        index, id_ = piece.get("index"), text_at(piece, "id")
        if isinstance(index, int) and self._ids.get(id_, index) == index and not self._is_other(index, id_):
            key: Hashable = index
        elif id_:
            key = self._ids.get(id_, id_)
        elif is_named or self._last_call is None:
            key = object()
        else:
            key = self._last_call
        if id_:
            self._ids[id_] = key
        self._last_call = key
        return key

    def _is_other(self, index: int, id_: str) -> bool:
        """Tell whether a call with another id has this index: some servers give every call the index 0."""
        return bool(id_) and any(key == index and known != id_ for known, key in self._ids.items())

    def _count(self, usage: Mapping[str, Any]) -> None:
        self._counted = True
        self.tokens = Tokens(
            read=count_at(usage, "prompt_tokens") or 0,
            written=count_at(usage, "completion_tokens") or 0,
            cached=count_at(mapping_at(usage, "prompt_tokens_details"), "cached_tokens") or 0,
        )
        thought = count_at(mapping_at(usage, "completion_tokens_details"), "reasoning_tokens")
        if thought:
            self.data["reasoning_tokens"] = thought


def _texts(parts: Iterable[Mapping[str, Any]]) -> str:
    return "".join(text_at(part, "text") for part in parts)
