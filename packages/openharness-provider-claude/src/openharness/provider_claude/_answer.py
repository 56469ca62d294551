"""Reads the events of a streamed message."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from openharness.provider_claude._request import WRAPPER, as_input
from openharness.provider_http import Answer, Tokens, count_at, mapping_at, text_at

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from openharness.core import ProviderEvent

__all__ = ("MessageAnswer",)

_STOP_REASONS = {
    "end_turn": "end",
    "max_tokens": "max_tokens",
    "model_context_window_exceeded": "max_tokens",
    "stop_sequence": "stop",
    "tool_use": "tool_calls",
}


_PIECES = ("text", "thinking", "signature", "partial_json")


class _Block:
    """A block of a message with what has come of it."""

    def __init__(self, begun: Mapping[str, Any]) -> None:
        self._begun = begun
        self._pieces: dict[str, list[str]] = {}

    def extend(self, delta: Mapping[str, Any]) -> None:
        """Add a piece."""
        for name in _PIECES:
            piece = text_at(delta, name)
            if piece:
                self._pieces.setdefault(name, [text_at(self._begun, name)]).append(piece)

    def whole(self) -> dict[str, Any]:
        """Return the block as the API takes it back."""
        joined = {name: "".join(pieces) for name, pieces in self._pieces.items()}
        text = joined.pop("partial_json", "")
        block = {**self._begun, **joined}
        if block.get("type") == "tool_use" or text:
            block["input"] = _input(text) if text else block.get("input") or {}
        return block


def _input(text: str) -> Any:
    try:
        given: Any = json.loads(text)
    except (ValueError, RecursionError):
        given = text
    return as_input(given)


class MessageAnswer(Answer):
    """What has arrived of one message.

    Blocks are told apart by their index: some servers begin one before the last one has ended.

    Args:
        model: The model that was asked.
        output_tool: The tool whose arguments are the answer, or None.
        wrapped: Whether the answer is the one argument of that tool, and not all of them.
    """

    def __init__(self, *, model: str, output_tool: str | None, wrapped: bool = False) -> None:
        super().__init__(model=model)
        self._output_tool = output_tool
        self._wrapped: list[str] | None = [] if wrapped else None
        # The block whose arguments are the answer.
        self._output_block: int | None = None
        self._other_calls = False
        self._counts: dict[str, int] = {}
        # The blocks as they are, in case they must be sent again.
        self._blocks: dict[int | None, _Block] = {}

    @property
    def is_complete(self) -> bool:
        """Whether the message said why it stopped."""
        return self.stop_reason is not None

    def read(self, part: Mapping[str, Any]) -> Iterator[ProviderEvent]:
        """Take in the next event of the stream and yield what it brings. See `Answer.read`."""
        match part.get("type"):
            case "message_start":
                message = mapping_at(part, "message")
                self.id = text_at(message, "id") or None
                self.model = text_at(message, "model") or self.model
                self._count(mapping_at(message, "usage"))
            case "content_block_start":
                yield from self._begin(count_at(part, "index"), mapping_at(part, "content_block"))
            case "content_block_delta":
                yield from self._extend(count_at(part, "index"), mapping_at(part, "delta"))
            case "content_block_stop":
                yield from self._unwrap()
                yield from self.finish_call(count_at(part, "index"))
            case "message_delta":
                self._count(mapping_at(part, "usage"))
                self._stop(mapping_at(part, "delta"))
            case _:
                # The API may send other events at any time, and asks to pass over them.
                pass

    def finish(self) -> Iterator[ProviderEvent]:
        """Yield what is left at the end. See `Answer.finish`."""
        yield from self._unwrap()
        yield from super().finish()
        blocks = [block.whole() for block in self._blocks.values()]
        if any(block.get("type") not in ("text", "tool_use") for block in blocks):
            self.continuation = blocks

    def _begin(self, index: int | None, block: Mapping[str, Any]) -> Iterator[ProviderEvent]:
        self._blocks[index] = _Block(block)
        match block.get("type"):
            case "text":
                yield from self._say(text_at(block, "text"))
            case "thinking":
                yield from self.think(text_at(block, "thinking"))
            case "tool_use":
                name = text_at(block, "name")
                given = block.get("input")
                text = json.dumps(given) if given else ""
                if name == self._output_tool and self._output_block is None:
                    self._output_block = index
                    yield from self._say_output(text)
                    return
                self._other_calls = True
                self.extend_call(index, id=text_at(block, "id"), name=name, arguments=text)
            case _:
                # Blocks of tools that the vendor runs.
                pass

    def _extend(self, index: int | None, delta: Mapping[str, Any]) -> Iterator[ProviderEvent]:
        if index in self._blocks:
            self._blocks[index].extend(delta)
        match delta.get("type"):
            case "text_delta":
                yield from self._say(text_at(delta, "text"))
            case "thinking_delta":
                yield from self.think(text_at(delta, "thinking"))
            case "input_json_delta" if self._is_output(index):
                yield from self._say_output(text_at(delta, "partial_json"))
            case "input_json_delta" if self.has_call(index):
                self.extend_call(index, arguments=text_at(delta, "partial_json"))
            case _:
                # Signatures and citations.
                pass

    def _say(self, text: str) -> Iterator[ProviderEvent]:
        # Where the answer is a tool call, the text beside it is no part of the answer.
        return self.say(text) if self._output_tool is None else self.think(text)

    def _say_output(self, text: str) -> Iterator[ProviderEvent]:
        if self._wrapped is None:
            yield from self.say(text)
        elif text:
            self._wrapped.append(text)

    def _unwrap(self) -> Iterator[ProviderEvent]:
        """Say the answer that came within an object; half of one is said as it is."""
        text = "".join(self._wrapped or ())
        if not text:
            return
        try:
            answer = json.dumps(json.loads(text)[WRAPPER], ensure_ascii=False)
        except (ValueError, TypeError, KeyError, RecursionError):
            if self.stop_reason is None:
                return
            answer = text
        self._wrapped = []
        yield from self.say(answer)

    def _is_output(self, index: int | None) -> bool:
        return self._output_block is not None and self._output_block == index

    def _count(self, usage: Mapping[str, Any]) -> None:
        # Each number is that of the whole answer so far; which event brings it differs between servers.
        counts = self._counts
        hour = count_at(mapping_at(usage, "cache_creation"), "ephemeral_1h_input_tokens") or 0
        counts["hour"] = max(counts.get("hour", 0), hour)
        for name in ("input_tokens", "output_tokens", "cache_read_input_tokens", "cache_creation_input_tokens"):
            counts[name] = max(counts.get(name, 0), count_at(usage, name) or 0)
        cached, stored = counts["cache_read_input_tokens"], counts["cache_creation_input_tokens"]
        self.tokens = Tokens(
            read=counts["input_tokens"] + cached + stored,
            written=counts["output_tokens"],
            cached=cached,
            stored=stored,
            stored_hour=min(counts["hour"], stored),
        )
        if stored:
            self.data["cache_creation_input_tokens"] = stored

    def _stop(self, delta: Mapping[str, Any]) -> None:
        reason = text_at(delta, "stop_reason")
        if not reason:
            return
        self.stop_reason = _STOP_REASONS.get(reason, reason)
        if self.stop_reason == "tool_calls" and self._output_block is not None and not self._other_calls:
            self.stop_reason = "end"
        text = text_at(delta, "stop_sequence")
        if text:
            # llama.cpp's server tells the text, but calls it the end of the turn.
            self.stop_reason = "stop"
            self.data["stop"] = text
        details = mapping_at(delta, "stop_details")
        if details:
            self.data["stop_details"] = dict(details)
