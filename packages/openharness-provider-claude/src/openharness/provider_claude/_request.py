"""Turns a request into the body that the Messages API reads."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, cast

import attrs

from openharness.core import ProviderError
from openharness.provider_http import changed_schema, further_options, with_types

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from openharness.core import Message, ProviderRequest

__all__ = ("OUTPUT_TOOL", "WRAPPER", "RequestSettings", "as_input", "object_schema", "request_body")

OUTPUT_TOOL = "give_answer"
"""The tool whose parameters are the schema of the answer."""

WRAPPER = "value"
"""The one parameter of that tool where the answer is no object, since parameters always are."""

# What makes up the request itself is not an option of it.
_NOT_OPTIONS = frozenset(
    {"max_tokens", "messages", "model", "stop_sequences", "stream", "system", "temperature", "tools"}
)


@attrs.frozen(kw_only=True)
class RequestSettings:
    """What a request is made with beside what it says itself.

    Attributes:
        model: The model where the request names none.
        max_tokens: The most tokens of an answer where the request says none.
        thinking: How the model may think; None leaves it to the model.
        caching: How long the API keeps what it has read; None is not at all.
        by_tool: Whether an answer is made to fit its schema by a forced tool call.
    """

    model: str
    max_tokens: int
    thinking: int | Literal["adaptive", "disabled"] | None
    caching: Literal["5m", "1h"] | None
    by_tool: bool


def request_body(request: ProviderRequest, settings: RequestSettings) -> dict[str, Any]:
    """Return the request as the API reads it.

    Raises:
        ProviderError: The request asks for something the API cannot do.
    """
    body: dict[str, Any] = {}
    thinking = _thinking(settings.thinking)
    if thinking is not None:
        body["thinking"] = thinking
    body |= further_options(request, reserved=_NOT_OPTIONS)
    body |= {
        "model": request.model or settings.model,
        "max_tokens": settings.max_tokens if request.max_tokens is None else request.max_tokens,
        "messages": _messages(request.messages),
    }
    if request.system is not None:
        body["system"] = request.system
    if request.temperature is not None:
        body["temperature"] = request.temperature
    # The API refuses stop texts that are white space alone.
    stop = [text for text in request.stop if text.strip()]
    if stop:
        body["stop_sequences"] = stop
    if request.tools:
        body["tools"] = [_tool(tool) for tool in request.tools]
    if request.output_schema is not None:
        if settings.by_tool:
            _ask_by_tool(body, request.output_schema)
        else:
            schema = _strict_schema(request.output_schema)
            body["output_config"] = {
                **body.get("output_config", {}),
                "format": {"type": "json_schema", "schema": schema},
            }
    if settings.caching is not None:
        _mark_for_caching(body, settings.caching)
    return body


def _thinking(thinking: int | str | None) -> dict[str, Any] | None:
    if isinstance(thinking, int):
        return {"type": "enabled", "budget_tokens": thinking}
    if thinking == "adaptive":
        # Recent models keep their thoughts to themselves unless they are asked for a summary.
        return {"type": "adaptive", "display": "summarized"}
    return None if thinking is None else {"type": thinking}


def _messages(messages: Sequence[Message]) -> list[dict[str, Any]]:
    """Return the conversation, in which the results of tools are a message of the user's."""
    sent: list[dict[str, Any]] = []
    results: list[dict[str, Any]] | None = None
    for message in messages:
        if message.role == "tool":
            if results is None:
                results = []
                sent.append({"role": "user", "content": results})
            results.append(_tool_result(message))
            continue
        results = None
        content = _asking(message) if message.tool_calls else message.content
        sent.append({"role": message.role, "content": content})
    return sent


def _asking(message: Message) -> list[dict[str, Any]]:
    """Return the blocks of a message that asks for tools."""
    continuation: Any = message.continuation
    if isinstance(continuation, list):
        # Signed thinking, among others: the API takes it back as it gave it, and otherwise refuses the results.
        return cast("list[dict[str, Any]]", continuation)
    said: list[dict[str, Any]]
    if isinstance(message.content, str):
        said = [{"type": "text", "text": message.content}] if message.content else []
    else:
        said = list(message.content)
    return [
        *said,
        *({"type": "tool_use", "id": c.id, "name": c.name, "input": as_input(c.arguments)} for c in message.tool_calls),
    ]


def as_input(arguments: Any) -> dict[str, Any]:
    """Return arguments as the API takes them back: an object, also where the model wrote something else."""
    return cast("dict[str, Any]", arguments) if isinstance(arguments, dict) else {"arguments": arguments}


def _tool_result(message: Message) -> dict[str, Any]:
    result: dict[str, Any] = {
        "type": "tool_result",
        "tool_use_id": message.tool_call_id,
        "content": message.content,
    }
    return {**result, "is_error": True} if message.is_error else result


def _tool(tool: Mapping[str, Any]) -> dict[str, Any]:
    if "parameters" not in tool and "type" in tool:
        # One of the tools that the vendor runs, in the vendor's own form.
        return dict(tool)
    return {
        "name": tool["name"],
        "description": tool.get("description") or "",
        "input_schema": tool.get("parameters") or {"type": "object", "properties": {}},
    }


def _strict_schema(schema: Mapping[str, Any]) -> dict[str, Any]:
    import anthropic

    try:
        return anthropic.transform_schema(changed_schema(schema, _expressible))
    except (AssertionError, TypeError, ValueError) as error:
        raise ProviderError(
            f"Claude's structured output cannot do this schema: {error} Make the provider with "
            'structured_output="tool", which takes any schema.',
            kind="invalid_request",
        ) from error


def _expressible(schema: dict[str, Any]) -> dict[str, Any]:
    """Return one schema as the API may be able to do it; of two kinds the SDK would make others without a word."""
    if schema.get("type") == "object" and (
        "properties" not in schema or schema.get("additionalProperties") not in (None, False)
    ):
        raise ValueError("it has an object whose names are the model's to choose, as a dict has.")
    if "prefixItems" in schema:
        raise ValueError("it has an array whose items each have a type of their own, as a tuple has.")
    return with_types(schema)


def object_schema(schema: Mapping[str, Any]) -> dict[str, Any] | None:
    """Return the schema as a tool's parameters, which say at their top that they are an object; None if it is of another type."""
    reference = schema.get("$ref")
    definitions = cast("Mapping[str, Any]", schema.get("$defs") or {})
    if isinstance(reference, str):
        target = cast("Mapping[str, Any]", definitions.get(reference.removeprefix("#/$defs/")) or {})
        schema = {**target, "$defs": definitions}
    return dict(schema) if schema.get("type") == "object" else None


def _ask_by_tool(body: dict[str, Any], schema: Mapping[str, Any]) -> None:
    """Let the model answer by calling a tool; beside tools of the user's it may call those instead."""
    tools = cast("list[dict[str, Any]]", body.get("tools", []))
    parameters = object_schema(schema)
    if parameters is None:
        inner = {name: value for name, value in schema.items() if name != "$defs"}
        parameters = {"type": "object", "properties": {WRAPPER: inner}, "required": [WRAPPER]}
        if "$defs" in schema:
            parameters["$defs"] = schema["$defs"]
    body["tool_choice"] = {"type": "any"} if tools else {"type": "tool", "name": OUTPUT_TOOL}
    body["tools"] = [*tools, {"name": OUTPUT_TOOL, "description": "Give the answer.", "input_schema": parameters}]


def _mark_for_caching(body: dict[str, Any], lifetime: Literal["5m", "1h"]) -> None:
    mark: dict[str, Any] = {"type": "ephemeral"} if lifetime == "5m" else {"type": "ephemeral", "ttl": lifetime}
    if body.get("tools"):
        *others, last = body["tools"]
        body["tools"] = [*others, {**last, "cache_control": mark}]
    if body.get("system"):
        body["system"] = [{"type": "text", "text": body["system"], "cache_control": mark}]
    *others, message = body["messages"]
    content = message["content"]
    blocks: list[dict[str, Any]] = [{"type": "text", "text": content}] if isinstance(content, str) else list(content)
    if blocks:
        blocks[-1] = {**blocks[-1], "cache_control": mark}
        body["messages"] = [*others, {**message, "content": blocks}]
