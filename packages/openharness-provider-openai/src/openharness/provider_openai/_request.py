"""Turns a request into the body that the Chat Completions API reads."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any, cast

from openharness.core import ProviderError
from openharness.core.providers import function_tool
from openharness.provider_http import changed_schema, further_options, with_types

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from openharness.core import Message, ProviderRequest, ToolCall

__all__ = ("request_body",)

# What makes up the request itself is not an option of it.
_NOT_OPTIONS = frozenset(
    {
        "max_completion_tokens",
        "max_tokens",
        "messages",
        "model",
        "n",
        "response_format",
        "seed",
        "stop",
        "stream",
        "temperature",
        "tools",
    }
)

# What OpenAI knows of JSON Schema where it holds the model to it; it refuses a strict schema with anything else.
_STRICT_KEYWORDS = frozenset(
    {
        "$defs",
        "$ref",
        "additionalProperties",
        "anyOf",
        "const",
        "definitions",
        "description",
        "enum",
        "exclusiveMaximum",
        "exclusiveMinimum",
        "format",
        "items",
        "maxItems",
        "maxLength",
        "maximum",
        "minItems",
        "minLength",
        "minimum",
        "multipleOf",
        "pattern",
        "properties",
        "required",
        "title",
        "type",
    }
)
_STRICT_FORMATS = frozenset({"date", "date-time", "duration", "email", "hostname", "ipv4", "ipv6", "time", "uuid"})
_TYPES = frozenset({"$ref", "anyOf", "const", "type"})
_LOOKS_AROUND = re.compile(r"\(\?<?[=!]")


def request_body(
    request: ProviderRequest, *, model: str | None, max_tokens: int | None, max_tokens_name: str
) -> dict[str, Any]:
    """Return the request as servers read it.

    Args:
        request: The request.
        model: The model where the request names none.
        max_tokens: The most tokens of an answer where the request says none; None leaves it to the server.
        max_tokens_name: What the server calls that number.

    Raises:
        ProviderError: No model is named, or the request asks for something that cannot be done.
    """
    name = request.model or model
    if not name:
        raise ProviderError(
            "A server other than OpenAI's must be told which of its models to run. Make the provider with "
            'model="...", or give the agent one.',
            kind="configuration",
        )
    body: dict[str, Any] = {
        "stream_options": {"include_usage": True},
        **further_options(request, reserved=_NOT_OPTIONS),
        "model": name,
        "messages": _messages(request),
    }
    limit = max_tokens if request.max_tokens is None else request.max_tokens
    if limit is not None:
        body[max_tokens_name] = limit
    if request.temperature is not None:
        body["temperature"] = request.temperature
    if request.stop:
        body["stop"] = list(request.stop)
    if request.seed is not None:
        body["seed"] = request.seed
    if request.tools:
        body["tools"] = [function_tool(tool) for tool in request.tools]
    if request.output_schema is not None:
        body["response_format"] = _response_format(request.output_schema)
    return body


def _messages(request: ProviderRequest) -> list[dict[str, Any]]:
    messages = [_message(message) for message in request.messages]
    if request.system is not None:
        messages.insert(0, {"role": "system", "content": request.system})
    return messages


def _message(message: Message) -> dict[str, Any]:
    sent: dict[str, Any] = {"role": message.role, "content": message.content}
    if message.role == "tool":
        sent["tool_call_id"] = message.tool_call_id
    if message.tool_calls:
        sent["tool_calls"] = [
            {"id": call.id, "type": "function", "function": {"name": call.name, "arguments": _arguments(call)}}
            for call in message.tool_calls
        ]
        continuation: Any = message.continuation
        if isinstance(continuation, dict):
            # Some servers want the reasoning that led to the calls.
            sent |= cast("dict[str, Any]", continuation)
    return sent


def _arguments(call: ToolCall) -> str:
    # What a model wrote that is no JSON is sent again as it was.
    return call.arguments if isinstance(call.arguments, str) else json.dumps(call.arguments, ensure_ascii=False)


def _response_format(schema: Mapping[str, Any]) -> dict[str, Any]:
    # OpenAI promises a fit to schemas that it calls strict, and refuses others that claim to be.
    strict = _strict(schema)
    return {
        "type": "json_schema",
        "json_schema": {
            "name": "output",
            "schema": dict(schema) if strict is None else strict,
            "strict": strict is not None,
        },
    }


def _strict(schema: Mapping[str, Any]) -> dict[str, Any] | None:
    """Return the schema as OpenAI takes a strict one; None where that would change what fits.

    An object of a strict schema names all its fields and requires them all, everything has a type, and what OpenAI does
    not know is refused.
    """
    try:
        strict = changed_schema(schema, _closed)
    except _NotStrictError:
        return None
    return strict if strict.get("type") == "object" or "$ref" in strict else None


class _NotStrictError(Exception):
    """Something in the schema cannot be said in a strict one."""


def _closed(schema: dict[str, Any]) -> dict[str, Any]:
    typed = with_types(schema)
    if not typed.keys() <= _STRICT_KEYWORDS or not typed.keys() & _TYPES:
        raise _NotStrictError
    if typed.get("format", "date") not in _STRICT_FORMATS or _LOOKS_AROUND.search(str(typed.get("pattern", ""))):
        raise _NotStrictError
    if typed.get("type") == "array" and not isinstance(typed.get("items"), dict):
        raise _NotStrictError
    if typed.get("type") == "object" or "properties" in typed:
        required: Sequence[str] = typed.get("required") or ()
        if set(typed.get("properties") or ()) != set(required) or typed.get("additionalProperties"):
            raise _NotStrictError
        return {**typed, "additionalProperties": False}
    if "$ref" in typed and typed.keys() & {"description", "title"}:
        # Beside a reference OpenAI takes nothing, beside alternatives it does.
        return {**{name: value for name, value in typed.items() if name != "$ref"}, "anyOf": [{"$ref": typed["$ref"]}]}
    return typed
