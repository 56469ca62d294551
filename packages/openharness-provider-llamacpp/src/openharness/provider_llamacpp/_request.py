"""Turns a request into what llama.cpp's server reads."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from openharness.core import ProviderError
from openharness.core.providers import check_request, function_tool, further_options, json_text

if TYPE_CHECKING:
    from openharness.core import Message, ProviderRequest, ToolCall

__all__ = ("request_body",)

# Seeds are 32 bits wide, and the largest means "choose one".
_SEEDS = 2**32 - 1
# What makes up the request itself is not an option of it.
_NOT_OPTIONS = frozenset(
    {
        "max_tokens",
        "messages",
        "model",
        "response_format",
        "return_progress",
        "seed",
        "stop",
        "stream",
        "stream_options",
        "temperature",
        "tools",
        "verbose",
    }
)


def request_body(request: ProviderRequest, *, model: str, max_tokens: int, cache_prompt: bool) -> tuple[bytes, int]:
    """Return the request as JSON, and how many characters had to be replaced in it.

    A text with a lone surrogate has no UTF-8 form, so no model can read it: each is replaced by U+FFFD.

    Args:
        request: The request.
        model: The name of the model that runs.
        max_tokens: The most tokens of the answer where the request says none.
        cache_prompt: Whether to use the computed beginning of the prompt before.

    Raises:
        ProviderError: The request asks for something this provider, or any, cannot do.
    """
    _check(request, model)
    messages = [_message(message) for message in request.messages]
    if request.system is not None:
        messages.insert(0, {"role": "system", "content": request.system})
    body: dict[str, Any] = {
        **further_options(request, reserved=_NOT_OPTIONS),
        "cache_prompt": request.options.get("cache_prompt", cache_prompt),
        "messages": messages,
        "max_tokens": max_tokens if request.max_tokens is None else request.max_tokens,
        "temperature": 0.0 if request.temperature is None else request.temperature,
        "stream": True,
        "stream_options": {"include_usage": True},
        # Parts that arrive while the prompt is read, so that a request can be cancelled then.
        "return_progress": True,
        # Adds to the last part why the answer ended; the usual word is the same for a stop text and for the end.
        "verbose": True,
    }
    if request.stop:
        body["stop"] = list(request.stop)
    if request.seed is not None:
        body["seed"] = request.seed % _SEEDS
    if request.tools:
        body["tools"] = [function_tool(tool) for tool in request.tools]
    elif request.output_schema is not None:
        # With both, llama.cpp keeps the model to the schema, and it can call no tool.
        body["response_format"] = {
            "type": "json_schema",
            "json_schema": {"name": "output", "schema": request.output_schema},
        }
    text, replaced = json_text(body)
    return text.encode(), replaced


def _message(message: Message) -> dict[str, Any]:
    sent: dict[str, Any] = {"role": message.role, "content": message.content}
    if message.role == "tool":
        sent["tool_call_id"] = message.tool_call_id
    if message.tool_calls:
        sent["tool_calls"] = [_tool_call(call) for call in message.tool_calls]
    return sent


def _tool_call(call: ToolCall) -> dict[str, Any]:
    # Also where a model wrote something that is no JSON, which comes as a text: llama.cpp reads nothing else.
    arguments = json.dumps(call.arguments, ensure_ascii=False)
    return {"id": call.id, "type": "function", "function": {"name": call.name, "arguments": arguments}}


def _check(request: ProviderRequest, model: str) -> None:
    # llama.cpp ignores most of this in silence, and answers something else than what was asked.
    check_request(request)
    if request.model is not None and request.model != model:
        raise ProviderError(
            f"This provider runs the model {model!r}, and the request asks for {request.model!r}. "
            "Give that agent a provider of its own.",
            kind="model_not_found",
        )
