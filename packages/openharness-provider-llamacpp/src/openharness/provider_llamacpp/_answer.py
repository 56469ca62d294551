"""Reads the parts of an answer of llama.cpp's server."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import attrs
import msgspec

from openharness.core import Completed, ProviderError, ProviderOutput, TextDelta, ThinkingDelta, ToolCall, Usage

if TYPE_CHECKING:
    from collections.abc import Iterator

    from openharness.core import ProviderEvent

__all__ = ("Answer",)

# llama.cpp's own words, which tell more than those of the OpenAI dialect; those follow.
_STOP_REASONS = {"eos": "end", "word": "stop", "limit": "max_tokens", "stop": "end", "length": "max_tokens"}
_TOOL_CALLS = "tool_calls"
_ERROR_KINDS = {"exceed_context_size_error": "context_length", "invalid_request_error": "invalid_request"}


class _Function(msgspec.Struct):
    name: str | None = None
    arguments: str | None = None


class _CallPiece(msgspec.Struct):
    index: int = 0
    function: _Function = msgspec.field(default_factory=_Function)


class _Delta(msgspec.Struct):
    content: str | None = None
    reasoning_content: str | None = None
    tool_calls: list[_CallPiece] | None = None


class _Choice(msgspec.Struct):
    delta: _Delta = msgspec.field(default_factory=_Delta)
    finish_reason: str | None = None


class _Details(msgspec.Struct):
    stop_type: str = ""
    stopping_word: str = ""


class _PromptTokens(msgspec.Struct):
    cached_tokens: int = 0


class _Usage(msgspec.Struct):
    prompt_tokens: int = 0
    completion_tokens: int = 0
    prompt_tokens_details: _PromptTokens = msgspec.field(default_factory=_PromptTokens)


class _Failure(msgspec.Struct):
    message: str = "unknown error"
    type: str = ""
    code: int | None = None
    n_prompt_tokens: int | None = None
    n_ctx: int | None = None


class _Part(msgspec.Struct):
    choices: list[_Choice] = msgspec.field(default_factory=list[_Choice])
    usage: _Usage | None = None
    error: _Failure | None = None
    details: _Details = msgspec.field(default_factory=_Details, name="__verbose")


_decoder = msgspec.json.Decoder(_Part)


@attrs.define
class _Call:
    """What has arrived of one call of a tool."""

    name: str = ""
    arguments: str = ""


class Answer:
    """What has arrived of one answer.

    Args:
        model: The name of the model that answers.
        calls: How many calls of tools the conversation has so far. llama.cpp gives each a random id; counted on, the
            same request gets the same answer.
    """

    def __init__(self, *, model: str, calls: int = 0) -> None:
        self._model = model
        self._calls_before = calls
        self._calls: dict[int, _Call] = {}
        self._text: list[str] = []
        self._thinking: list[str] = []
        self._usage = Usage()
        self._stop_reason: str | None = None
        self._stop_text: str | None = None

    def read(self, text: bytes) -> Iterator[ProviderEvent]:
        """Take in the next part and yield the events it holds: none, while the prompt is read.

        Raises:
            ProviderError: The part is an error, or nothing this release knows.
        """
        try:
            # An answer that is cut within a character may hold bytes that are no UTF-8.
            part = _decoder.decode(text.decode(errors="replace"))
        except msgspec.MsgspecError as error:
            raise ProviderError(
                f"llama.cpp should answer with parts of a chat completion, got {text[:200]!r} ({error}). "
                "Install the release of xllamacpp this package was tested with.",
                kind="protocol",
            ) from error
        if part.error is not None:
            raise _error(part.error)
        for choice in part.choices:
            if choice.delta.reasoning_content:
                self._thinking.append(choice.delta.reasoning_content)
                yield ThinkingDelta(choice.delta.reasoning_content)
            if choice.delta.content:
                self._text.append(choice.delta.content)
                yield TextDelta(choice.delta.content)
            for piece in choice.delta.tool_calls or ():
                call = self._calls.setdefault(piece.index, _Call())
                call.name += piece.function.name or ""
                call.arguments += piece.function.arguments or ""
            if choice.finish_reason is not None:
                called = choice.finish_reason == _TOOL_CALLS
                reason = _TOOL_CALLS if called else part.details.stop_type or choice.finish_reason
                self._stop_reason = _STOP_REASONS.get(reason, reason)
                self._stop_text = part.details.stopping_word or None
        if part.usage is not None:
            self._usage = Usage(
                input_tokens=part.usage.prompt_tokens,
                output_tokens=part.usage.completion_tokens,
                cached_tokens=part.usage.prompt_tokens_details.cached_tokens,
                cost=0.0,
            )

    def tool_calls(self) -> Iterator[ToolCall]:
        """Yield the tools that the answer asks for, in order, when it has ended."""
        for number, (_, call) in enumerate(sorted(self._calls.items()), self._calls_before + 1):
            yield ToolCall(f"call_{number}", call.name, _arguments(call.arguments))

    def completed(self) -> Completed:
        """Return the whole answer.

        Raises:
            ProviderError: It never ended.
        """
        if self._stop_reason is None:
            raise ProviderError(
                f"llama.cpp should say why its answer ended, and stopped after {len(self._text)} pieces of text. "
                "Ask again.",
                kind="protocol",
                retryable=True,
            )
        return Completed(
            ProviderOutput(
                content="".join(self._text),
                thinking="".join(self._thinking) if self._thinking else None,
                usage=self._usage,
                stop_reason=self._stop_reason,
                model=self._model,
                data=None if self._stop_text is None else {"stop": self._stop_text},
            )
        )


def _arguments(text: str) -> Any:
    """Return the arguments; what is no JSON, as where the answer was cut off, is returned as its text."""
    try:
        return json.loads(text or "{}")
    except ValueError:
        return text


def _error(failure: _Failure) -> ProviderError:
    kind = _ERROR_KINDS.get(failure.type, "error")
    if kind != "context_length":
        return ProviderError(f"llama.cpp refuses the request: {failure.message}", kind=kind, status=failure.code)
    return ProviderError(
        f"The prompt has {failure.n_prompt_tokens} tokens, and the context has room for {failure.n_ctx}, prompt and "
        "answer together. Shorten the prompt, or make the provider with a larger context.",
        kind=kind,
        status=failure.code,
        data={"prompt_tokens": failure.n_prompt_tokens, "context": failure.n_ctx},
    )
