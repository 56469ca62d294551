"""Turns a request into the messages, the settings and the parameters that a model of Pydantic AI takes."""

from __future__ import annotations

import dataclasses
import json
from typing import TYPE_CHECKING, Any, Literal, TypeAlias, cast

from openharness.core import ProviderError, to_json
from openharness.core.providers import further_options, without_surrogates

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from pydantic_ai.messages import ModelMessage, ModelRequestPart, ModelResponse, UserContent
    from pydantic_ai.models import Model, ModelRequestParameters
    from pydantic_ai.settings import ModelSettings

    from openharness.core import ProviderRequest

__all__ = ("OUTPUT_TOOL", "WRAPPED", "Prepared", "StructuredOutput", "continuation_of", "prepared")

StructuredOutput: TypeAlias = Literal["auto", "native", "tool", "prompted"]
"""How a model is held to a JSON Schema: by what its vendor has for that, by a tool, or by the prompt alone."""

OUTPUT_TOOL = "final_result"
"""The tool by which an answer that must fit a schema is given, as Pydantic AI calls it."""

WRAPPED = "response"
"""The only field of that tool's arguments, where the schema is not that of an object."""

# What the request itself has attributes for, and what must be as this provider needs it.
_NOT_OPTIONS = frozenset({"max_retries", "max_tokens", "seed", "stop_sequences", "temperature"})


@dataclasses.dataclass(frozen=True, kw_only=True)
class Prepared:
    """A request as Pydantic AI takes it.

    Attributes:
        messages: The conversation.
        settings: What is not left to the model.
        parameters: Tools and schema.
        wrapped: Whether the output tool takes the answer as the field `WRAPPED`.
        replaced: How many lone surrogates were replaced.
    """

    messages: Sequence[ModelMessage]
    settings: ModelSettings
    parameters: ModelRequestParameters
    wrapped: bool
    replaced: int


def prepared(
    request: ProviderRequest,
    *,
    model: Model,
    max_tokens: int | None,
    structured_output: StructuredOutput,
    settings: Mapping[str, Any],
) -> Prepared:
    """Return the request as Pydantic AI takes it.

    Args:
        request: The request.
        model: The model that is asked.
        max_tokens: The most tokens of an answer where the request says none; None leaves it to the model.
        structured_output: How it is held to the request's schema, if there is one.
        settings: What the provider itself sets.

    Raises:
        ProviderError: The request asks for something that cannot be done.
    """
    asked = {
        "max_tokens": max_tokens if request.max_tokens is None else request.max_tokens,
        "temperature": request.temperature,
        "stop_sequences": list(request.stop) or None,
        "seed": request.seed,
    }
    chosen: dict[str, Any] = {
        **further_options(request, reserved=_NOT_OPTIONS),
        **settings,
        **{name: value for name, value in asked.items() if value is not None},
    }
    # As JSON, so that every text in it is seen, and nothing of the request is shared.
    plain, replaced = without_surrogates(
        {
            "system": request.system,
            "messages": to_json(request.messages),
            "tools": to_json(request.tools),
            "schema": to_json(request.output_schema),
        }
    )
    parameters, wrapped = _parameters(plain, model=model, structured_output=structured_output)
    return Prepared(
        messages=_messages(plain),
        settings=cast("ModelSettings", chosen),
        parameters=parameters,
        wrapped=wrapped,
        replaced=replaced,
    )


def _parameters(
    plain: Mapping[str, Any], *, model: Model, structured_output: StructuredOutput
) -> tuple[ModelRequestParameters, bool]:
    from pydantic_ai.models import ModelRequestParameters
    from pydantic_ai.output import OutputObjectDefinition
    from pydantic_ai.tools import ToolDefinition

    tools = [
        ToolDefinition(
            name=tool["name"],
            description=tool.get("description") or None,
            parameters_json_schema=tool.get("parameters") or {"type": "object", "properties": {}},
        )
        for tool in plain["tools"]
    ]
    schema: dict[str, Any] | None = plain["schema"]
    if schema is None:
        return ModelRequestParameters(function_tools=tools), False
    mode: str = structured_output
    if mode == "auto":
        profile: Mapping[str, Any] = cast("Any", model.profile)
        if profile.get("supports_json_schema_output"):
            mode = "native"
        else:
            mode = "tool" if profile.get("supports_tools", True) else "prompted"
    if mode != "tool":
        output = OutputObjectDefinition(json_schema=schema, name="output")
        return ModelRequestParameters(function_tools=tools, output_mode=cast("Any", mode), output_object=output), False
    wrapped = schema.get("type") != "object"
    if wrapped:
        definitions: dict[str, Any] = {name: schema.pop(name) for name in ("$defs", "definitions") if name in schema}
        schema = {"type": "object", "properties": {WRAPPED: schema}, "required": [WRAPPED], **definitions}
    tool = ToolDefinition(
        name=OUTPUT_TOOL, description="The final answer, which ends the conversation.", parameters_json_schema=schema
    )
    return (
        ModelRequestParameters(function_tools=tools, output_mode="tool", output_tools=[tool], allow_text_output=False),
        wrapped,
    )


def _messages(plain: Mapping[str, Any]) -> list[ModelMessage]:
    from pydantic_ai.messages import ModelRequest, SystemPromptPart, ToolReturnPart, UserPromptPart

    messages: list[ModelMessage] = []
    # What stands between two answers is one request.
    parts: list[ModelRequestPart] = []
    if plain["system"] is not None:
        parts.append(SystemPromptPart(plain["system"]))
    names: dict[str, str] = {}
    for message in plain["messages"]:
        if message["role"] == "assistant":
            names |= {call["id"]: call["name"] for call in message["tool_calls"]}
            messages += [ModelRequest(parts), _answer(message)]
            parts = []
        elif message["role"] == "tool":
            id_ = message["tool_call_id"]
            outcome: Literal["success", "failed"] = "failed" if message["is_error"] else "success"
            parts.append(
                ToolReturnPart(names.get(id_, "unknown"), message["content"], tool_call_id=id_, outcome=outcome)
            )
        else:
            parts.append(UserPromptPart(_content(message["content"])))
    if parts:
        messages.append(ModelRequest(parts))
    return messages


def _content(content: Any) -> str | Sequence[UserContent]:
    """What a user says, which may be more than text: then it is in the form in which Pydantic AI stores it."""
    if isinstance(content, str):
        return content
    from pydantic import TypeAdapter, ValidationError
    from pydantic_ai.messages import UserContent

    given: list[Any] = cast("Any", content) if isinstance(content, list) else [content]
    pieces: list[Any] = [_unwrapped(piece) for piece in given]
    adapter: TypeAdapter[Sequence[UserContent]] = TypeAdapter(list[UserContent])
    try:
        return adapter.validate_python(pieces)
    except ValidationError as error:
        raise ProviderError(
            "The content of a user's message must be text, or a list of texts and of objects such as "
            f'{{"kind": "image-url", "url": "..."}}, as Pydantic AI stores them, got {content!r}.',
            kind="invalid_request",
        ) from error


def _unwrapped(piece: Any) -> Any:
    """The text of a piece in the form that vendors have for it."""
    if isinstance(piece, dict):
        fields = cast("dict[str, Any]", piece)
        return fields.get("text", fields) if fields.get("type") == "text" else fields
    return piece


def _answer(message: Mapping[str, Any]) -> ModelResponse:
    from pydantic_ai.messages import ModelMessagesTypeAdapter, ModelResponse, TextPart, ToolCallPart

    continuation = message["continuation"]
    if isinstance(continuation, dict) and "pydantic_ai" in continuation:
        (stored,) = ModelMessagesTypeAdapter.validate_python([cast("Any", continuation)["pydantic_ai"]])
        return cast("ModelResponse", stored)
    calls = [ToolCallPart(call["name"], _arguments(call["arguments"]), call["id"]) for call in message["tool_calls"]]
    text = [TextPart(message["content"])] if message["content"] or not calls else []
    return ModelResponse([*text, *calls])


def _arguments(arguments: Any) -> str | dict[str, Any]:
    # What a model wrote that is no object is sent again as it was.
    if isinstance(arguments, (str, dict)):
        return cast("str | dict[str, Any]", arguments)
    return json.dumps(arguments)


def continuation_of(response: ModelResponse) -> Any:
    """Return what must be sent again with an answer when the results of its tools follow; None if that is its text and calls.

    Vendors sign reasoning, and give parts ids and details that they want back.
    """
    from pydantic_ai.messages import ModelMessagesTypeAdapter, TextPart, ToolCallPart

    def is_plain(part: Any) -> bool:
        return (
            type(part) in (TextPart, ToolCallPart)
            and getattr(part, "id", None) is None
            and getattr(part, "provider_details", None) is None
        )

    if all(map(is_plain, response.parts)):
        return None
    (stored,) = ModelMessagesTypeAdapter.dump_python([response], mode="json", warnings=False)
    kept = ("kind", "parts", "model_name", "provider_name", "provider_url", "provider_response_id", "provider_details")
    return {"pydantic_ai": {name: stored[name] for name in kept if stored.get(name) is not None}}
