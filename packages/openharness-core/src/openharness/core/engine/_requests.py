"""Requests as they stand in the log, and as providers are given them."""

from __future__ import annotations

import hashlib
from contextlib import suppress
from operator import attrgetter
from typing import TYPE_CHECKING, Any, cast

from openharness.core.errors import ProviderError
from openharness.core.interfaces import Message, ProviderRequest, ToolCall
from openharness.core.log import NO_ANSWER
from openharness.core.storage import blob_digest
from openharness.core.values import JSONObject, JSONValue, canonical_json, check_room, copy_json, dump_json, to_json

if TYPE_CHECKING:
    from collections.abc import Sequence

    from openharness.core.agents import AgentDefinition
    from openharness.core.interfaces import ProviderOutput
    from openharness.core.log import OpenActivation, OpenToolCall

__all__ = (
    "call_id",
    "corrected_request",
    "described",
    "error_payload",
    "next_request",
    "output_payload",
    "plain_text",
    "provider_error",
    "provider_request",
    "request_digest",
    "request_json",
)

_POOLED = ("messages", "tools")
_PLAIN = {"role", "content"}
_LONGEST_WAIT = 10.0**9
_COUNT = 2**53
_ANSWER = ("thinking", "stop_reason", "model", "request_id", "data", "continuation")
_answer_of = attrgetter(*_ANSWER)


def call_id(activation: str, *, turn: int, attempt: int) -> str:
    """Return the identity of a request: ``analyzer#1/0/0``."""
    return f"{activation}/{turn}/{attempt}"


def plain_text(text: str) -> str:
    """Return a text as it comes back from the log: halves of a character that now stand together are one character."""
    return text if text.isascii() else cast("str", to_json(text))


def described(error: BaseException) -> str:
    """Return an exception as one sentence, also one that cannot say what it is."""
    name = type(error).__name__
    try:
        return plain_text(f"{name}: {error}")
    except Exception:  # noqa: BLE001 - it must not hide the error that it should tell of
        return name


def request_json(
    definition: AgentDefinition[Any], *, prompt: str, system: str | None, history: Sequence[JSONObject] = ()
) -> JSONObject:
    """Return a request as the log holds it: messages (the system prompt and examples first), then what the agent sets.

    Args:
        definition: The agent.
        prompt: The prompt.
        system: The system prompt.
        history: The messages of earlier activations, which come before the prompt.
    """
    examples = map(copy_json, definition.examples)
    messages: list[JSONValue] = [*examples, *history, {"role": "user", "content": plain_text(prompt)}]
    if system is not None:
        messages.insert(0, {"role": "system", "content": plain_text(system)})
    request: JSONObject = {"messages": messages}
    if definition.model is not None:
        request["model"] = definition.model
    if definition.max_tokens is not None:
        request["max_tokens"] = definition.max_tokens
    if definition.temperature is not None:
        request["temperature"] = definition.temperature
    if definition.seed is not None:
        request["seed"] = definition.seed
    if definition.stop:
        request["stop"] = list(definition.stop)
    if definition.options:
        request["options"] = copy_json(definition.options)
    if definition.tools:
        request["tools"] = [tool.definition() for tool in definition.tools]
    if definition.output is not None:
        request["output_schema"] = definition.output.schema
    return request


def next_request(activation: OpenActivation) -> JSONObject:
    """Return the request of an activation's next turn: the last one, its answer, and the results in the order of calls."""
    request, answer = cast("JSONObject", activation.request), cast("JSONObject", activation.answer)
    calls = list(activation.tool_calls.values())
    ids = _vendor_ids(activation)
    asked: list[JSONValue] = [
        {"id": ids[call.id], "name": call.name, "arguments": copy_json(call.arguments)} for call in calls
    ]
    message: JSONObject = {"role": "assistant", "content": answer["content"], "tool_calls": asked}
    if "continuation" in answer:
        message["continuation"] = copy_json(answer["continuation"])
    results: list[JSONValue] = []
    for call in calls:
        result: JSONObject = {"role": "tool", "tool_call_id": ids[call.id], "content": _told(call)}
        if call.error is not None:
            result["is_error"] = True
        results.append(result)
    messages = cast("list[JSONValue]", request["messages"])
    return {**request, "messages": [*messages, message, *results]}


def corrected_request(activation: OpenActivation, error: str) -> JSONObject:
    """Return the request that asks again for an answer: the last one, the answer, and what is wrong with it.

    The words are part of every recording that has such a request: other ones would be drift.
    """
    request, answer = cast("JSONObject", activation.request), cast("JSONObject", activation.answer)
    messages = cast("list[JSONValue]", request["messages"])
    said = cast("str", answer["content"])
    rejected: JSONObject = {"role": "assistant", "content": said if said.strip() else NO_ANSWER}
    if "continuation" in answer:
        rejected["continuation"] = copy_json(answer["continuation"])
    correction = f"This answer cannot be used: {error} Answer again, with nothing but JSON that fits the schema."
    return {
        **request,
        "messages": [
            *messages,
            rejected,
            {"role": "user", "content": correction},
        ],
    }


def _vendor_ids(activation: OpenActivation) -> dict[str, str]:
    """Return what the model knows each call as: the vendor's id where it is one."""
    given = [call.provider_id for call in activation.tool_calls.values()]
    return {
        id_: call.provider_id
        if call.provider_id and given.count(call.provider_id) == 1
        else f"call_{activation.turn}_{index}"
        for index, (id_, call) in enumerate(activation.tool_calls.items())
    }


def _told(call: OpenToolCall) -> str:
    """Return what the model is told of a call that has ended."""
    if call.error is not None:
        return f"Error: {call.error['message']}"
    return call.result if isinstance(call.result, str) else dump_json(call.result).decode()


def request_digest(request: JSONObject) -> str:
    """Return the digest that identifies a request: over its parameters and the digests of its messages and tools."""
    # The digest of the canonical text, put together here: the keys and the digests are our own, and hold nothing that
    # would have to be escaped or ordered as anything but ASCII.
    members: list[str] = []
    for key in sorted(request):
        value = request[key]
        if key in _POOLED and isinstance(value, list):
            text = "[" + ",".join([f'"{blob_digest(item)}"' for item in value]) + "]"
        else:
            text = canonical_json(value)
        members.append(f'"{key}":{text}')
    text = "{" + ",".join(members) + "}"
    return f"sha256:{hashlib.sha256(text.encode()).hexdigest()}"


def provider_request(request: JSONObject) -> ProviderRequest:
    """Return a request of the log as the object a provider is given; it shares no list or dict with the log."""
    fields: dict[str, Any] = {key: copy_json(value) for key, value in request.items() if key != "messages"}
    sent: Any = request["messages"]
    system: str | None = None
    messages: list[Message] = []
    for message in sent:
        if message["role"] != "system":
            messages.append(_message(message))
        elif system is None:
            system = message["content"]
    options = fields.pop("options", {})
    return ProviderRequest(messages=tuple(messages), system=system, options=options, **fields)


def _message(message: dict[str, Any]) -> Message:
    if message.keys() == _PLAIN:
        return Message(message["role"], copy_json(message["content"]))
    return Message(
        message["role"],
        copy_json(message["content"]),
        tool_calls=tuple(
            ToolCall(call["id"], call["name"], copy_json(call["arguments"])) for call in message.get("tool_calls", ())
        ),
        tool_call_id=message.get("tool_call_id"),
        is_error=message.get("is_error", False),
        continuation=copy_json(message.get("continuation")),
    )


def output_payload(output: ProviderOutput, content: str) -> JSONObject:
    """Return an answer as the log holds it; what is absent is left out.

    Args:
        output: The answer.
        content: Its text, as it comes back from the log.

    Raises:
        ProviderError: The provider's answer is not made of JSON values.
    """
    payload: JSONObject = {"content": content}
    for name, value in zip(_ANSWER, _answer_of(output), strict=True):
        if value is not None:
            payload[name] = _recordable(name, value)
    usage = output.usage
    payload["usage"] = {
        "input_tokens": _number("input_tokens", usage.input_tokens),
        "output_tokens": _number("output_tokens", usage.output_tokens),
        "cached_tokens": _number("cached_tokens", usage.cached_tokens),
        "cost": None if usage.cost is None else _number("cost", usage.cost),
    }
    return payload


def _number(name: str, value: object) -> JSONValue:
    """Return one figure of an answer's usage: metrics add them up, in the run as in every later look at its log."""
    if type(value) is int and 0 <= value < _COUNT:
        return value
    if value is None or (isinstance(value, (int, float)) and not isinstance(value, bool)):
        return _recordable(name, value)
    raise ProviderError(f"the provider said {name}={value!r} where a number belongs", kind="protocol")


def _recordable(name: str, value: object) -> JSONValue:
    if value is None or (type(value) is str and value.isascii()):
        return value
    path = f"output.{name}"
    try:
        plain = to_json(value, path=path)
        check_room(plain, path=path)
    except ValueError as error:
        raise ProviderError(f"the provider's answer cannot be recorded: {error}", kind="protocol") from error
    return plain


def error_payload(error: BaseException) -> JSONObject:
    """Return a provider's failure as the log holds it; of a `ProviderError` all that it tells, as far as it can be read."""
    if isinstance(error, ProviderError):
        # The failure itself must reach the log even when what the provider attached to it cannot.
        with suppress(Exception):
            return _told_error(error)
    return {"kind": "error", "type": type(error).__name__, "message": described(error), "retryable": False}


def _told_error(error: ProviderError) -> JSONObject:
    kind, message = cast("object", error.kind), cast("object", error.message)
    payload: JSONObject = {
        "kind": to_json(kind) if isinstance(kind, str) else repr(kind),
        "type": type(error).__name__,
        "message": to_json(message) if isinstance(message, str) else described(error),
        "retryable": bool(error.retryable),
    }
    if isinstance(error.status, int) and abs(error.status) < _COUNT:
        payload["status"] = to_json(error.status)
    if isinstance(error.retry_after, (int, float)) and 0 <= error.retry_after < _LONGEST_WAIT:
        payload["retry_after"] = to_json(error.retry_after)
    if error.data is not None:
        try:
            payload["data"] = to_json(error.data)
        except ValueError:
            payload["data"] = object.__repr__(error.data)
    return payload


def provider_error(payload: JSONObject) -> ProviderError:
    """Return the error that `error_payload` wrote, as far as the log holds it."""
    fields = cast("dict[str, Any]", payload)
    return ProviderError(
        fields["message"],
        kind=fields["kind"],
        status=fields.get("status"),
        retryable=fields["retryable"],
        retry_after=fields.get("retry_after"),
        data=fields.get("data"),
    )
