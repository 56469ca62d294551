"""What was said, in the form that the conventions give to messages."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from openharness.opentelemetry._attributes import fields_of, items_of, json_text
from openharness.opentelemetry._names import (
    FINISH_WORDS,
    INPUT_MESSAGES,
    OUTPUT_MESSAGES,
    SYSTEM_INSTRUCTIONS,
    TOOL_DEFINITIONS,
)

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from openharness.opentelemetry._attributes import Value

__all__ = ("answer_content", "request_content")


def request_content(request: Mapping[str, Any]) -> dict[str, Value]:
    """Return the attributes that hold what a request says."""
    messages = [fields_of(message) for message in items_of(request.get("messages"))]
    system = [part for message in messages if message.get("role") == "system" for part in _parts(message)]
    said = [
        {"role": message.get("role"), "parts": _parts(message)}
        for message in messages
        if message.get("role") != "system"
    ]
    tools = [{"type": "function", **fields_of(tool)} for tool in items_of(request.get("tools"))]
    attributes: dict[str, Value] = {INPUT_MESSAGES: json_text(said)}
    if system:
        attributes[SYSTEM_INSTRUCTIONS] = json_text(system)
    if tools:
        attributes[TOOL_DEFINITIONS] = json_text(tools)
    return attributes


def answer_content(output: Mapping[str, Any], asked: Sequence[Mapping[str, Any]]) -> dict[str, Value]:
    """Return the attributes that hold what an answer says.

    Args:
        output: The answer, as ``provider:end`` has it.
        asked: The payloads of its ``tool:call`` signals.
    """
    parts: list[Any] = []
    if output.get("thinking"):
        parts.append({"type": "reasoning", "content": output["thinking"]})
    if output.get("content"):
        parts.append({"type": "text", "content": output["content"]})
    parts += [_tool_call(call) for call in asked]
    reason = output.get("stop_reason")
    message = {"role": "assistant", "parts": parts, "finish_reason": FINISH_WORDS.get(str(reason), reason or "stop")}
    return {OUTPUT_MESSAGES: json_text([message])}


def _parts(message: Mapping[str, Any]) -> list[Any]:
    if message.get("role") == "tool":
        answer = message.get("content")
        return [{"type": "tool_call_response", "id": message.get("tool_call_id"), "response": answer}]
    calls = [_tool_call(fields_of(call)) for call in items_of(message.get("tool_calls"))]
    return [*_said(message.get("content")), *calls]


def _said(content: object) -> list[Any]:
    """The parts of a content. One that is more than text and says its type stays as it is, as the schema allows."""
    if isinstance(content, str):
        return [{"type": "text", "content": content}] if content else []
    parts: list[Any] = []
    for part in items_of(content):
        fields = fields_of(part)
        if fields.get("type") == "text" and "text" in fields:
            parts.append({"type": "text", "content": fields["text"]})
        elif isinstance(fields.get("type"), str):
            parts.append(part)
        else:
            parts.append({"type": "text", "content": json_text(part)})
    return parts


def _tool_call(call: Mapping[str, Any]) -> dict[str, Any]:
    return {"type": "tool_call", **{name: call.get(name) for name in ("id", "name", "arguments")}}
