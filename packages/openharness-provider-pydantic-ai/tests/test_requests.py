"""What Pydantic AI is asked, and what its answers become."""

from __future__ import annotations

import functools
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from collecting import ask, collect, request, told
from pydantic_ai import exceptions
from pydantic_ai.messages import ModelResponse, TextPart, ThinkingPart, ToolCallPart, ToolReturnPart
from pydantic_ai.models.function import DeltaThinkingPart, DeltaToolCall, FunctionModel
from pydantic_ai.usage import RequestUsage
from serving import Reply, Server

from openharness.core import InvalidValueError, Message, ProviderError, ProviderRequest, ToolCall, create_harness
from openharness.core.plugins import open_provider
from openharness.provider_pydantic_ai import PydanticAIProvider
from openharness.signals import MemorySignalStore

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

PACKAGES = Path(__file__).parents[2]
ANSWER = Reply(body=(PACKAGES / "openharness-provider-openai" / "tests" / "streams" / "01_text.sse").read_bytes())
WEATHER = {
    "name": "get_weather",
    "description": "Get the weather.",
    "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
}
PERSON = {"type": "object", "properties": {"name": {"type": "string"}}, "required": ["name"]}


def openai_model(url: str, **options: Any) -> Any:
    """Make a model of an OpenAI-compatible server."""
    from pydantic_ai.models.openai import OpenAIChatModel
    from pydantic_ai.providers.openai import OpenAIProvider

    return OpenAIChatModel("m", provider=OpenAIProvider(base_url=f"{url}/v1", api_key="k"), **options)


async def sent(asked: ProviderRequest, **options: Any) -> Any:
    """Return the body that a request becomes at an OpenAI-compatible server."""
    async with Server(ANSWER) as server:
        async with PydanticAIProvider(functools.partial(openai_model, server.url), **options) as provider:
            await collect(provider, asked)
        return server.asked[0].body


def says(*pieces: Any, asked: list[Any] | None = None, profile: Any = None) -> PydanticAIProvider:
    """A provider of a model that says this, and writes down what it is asked."""

    async def answer(messages: list[Any], info: Any) -> AsyncIterator[Any]:
        if asked is not None:
            asked.append((messages, info))
        for piece in pieces:
            if isinstance(piece, Exception):
                raise piece
            yield piece

    return PydanticAIProvider(FunctionModel(stream_function=answer, profile=profile))


async def test_every_parameter() -> None:
    """Each parameter of a request has its place, and options are settings of Pydantic AI's."""
    asked = request(
        "hi",
        system="Be brief.",
        max_tokens=7,
        temperature=0.5,
        stop=["END"],
        seed=3,
        tools=[WEATHER],
        options={"top_p": 0.9, "extra_body": {"min_p": 0.1}},
    )
    body = await sent(asked)
    assert body["messages"] == [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "hi"}]
    (tool,) = body["tools"]
    assert (tool["function"]["name"], tool["function"]["description"]) == ("get_weather", "Get the weather.")
    assert tool["function"]["parameters"]["required"] == ["city"]
    named = ("temperature", "stop", "seed", "top_p", "min_p")
    assert [body[name] for name in named] == [0.5, ["END"], 3, 0.9, 0.1]
    assert 7 in (body.get("max_tokens"), body.get("max_completion_tokens"))
    body = await sent(request(), max_tokens=9)
    assert 9 in (body.get("max_tokens"), body.get("max_completion_tokens"))


async def test_the_results_of_tools() -> None:
    """Calls and results are sent with their ids, what is no JSON as it was, and what failed as a failure."""
    asked: list[Any] = []
    calls = [
        ToolCall("t1", "get_weather", {"city": "Röm"}),
        ToolCall("t2", "now", "no object"),
        ToolCall("t3", "now", [1]),
    ]
    conversation = [
        Message("user", "And?"),
        Message("assistant", "I look.", tool_calls=calls),
        Message("tool", "18 degrees", tool_call_id="t1"),
        Message("tool", "arguments must be an object", tool_call_id="t2", is_error=True),
        Message("tool", "noon", tool_call_id="t3"),
        Message("user", "Thanks."),
    ]
    await ask(says("Rome.", asked=asked), messages=conversation, system="S", tools=[WEATHER, {"name": "now"}])
    ((messages, info),) = asked
    first, answer, results = messages
    assert [part.content for part in first.parts] == ["S", "And?"]
    assert isinstance(answer, ModelResponse)
    assert answer.parts[0] == TextPart("I look.")
    assert [(part.tool_call_id, part.tool_name, part.args) for part in answer.parts[1:]] == [  # type: ignore[union-attr]
        ("t1", "get_weather", {"city": "Röm"}),
        ("t2", "now", "no object"),
        ("t3", "now", "[1]"),
    ]
    returns = [part for part in results.parts if isinstance(part, ToolReturnPart)]
    assert [(part.tool_call_id, part.tool_name, part.content, part.outcome) for part in returns] == [
        ("t1", "get_weather", "18 degrees", "success"),
        ("t2", "now", "arguments must be an object", "failed"),
        ("t3", "now", "noon", "success"),
    ]
    assert results.parts[-1].content == "Thanks."
    assert [tool.name for tool in info.function_tools] == ["get_weather", "now"]


async def test_more_than_text() -> None:
    """A user's message may hold texts and what Pydantic AI calls multi-modal content."""
    content = ["Look: ", {"type": "text", "text": "here"}, {"kind": "image-url", "url": "https://example.org/a.png"}]
    body = await sent(request(messages=[Message("user", content)]))
    (message,) = body["messages"]
    assert [piece.get("text") for piece in message["content"]] == ["Look: ", "here", None]
    assert message["content"][2]["image_url"]["url"] == "https://example.org/a.png"


async def test_lone_surrogates() -> None:
    """What has no UTF-8 form is replaced, with a warning."""
    async with Server(ANSWER) as server, PydanticAIProvider(functools.partial(openai_model, server.url)) as provider:
        warning, *_ = await collect(provider, request("a\ud800b"))
        assert told(warning)[0] == "warning"
        assert server.asked[0].body["messages"] == [{"role": "user", "content": "a\ufffdb"}]


async def test_thinking_and_tools_in_a_stream() -> None:
    """Reasoning and text come as they are made, tool calls at the end with their arguments."""
    provider = says(
        {0: DeltaThinkingPart(content="Hm, ")},
        {0: DeltaThinkingPart(content="Rome.", signature="signed")},
        "I ",
        "look.",
        {2: DeltaToolCall(name="get_weather", json_args='{"city": ', tool_call_id="c1")},
        {2: DeltaToolCall(json_args='"Rome"}')},
        {3: DeltaToolCall(name="now", json_args="", tool_call_id="c2")},
    )
    *events, last = await collect(provider, request(tools=[WEATHER, {"name": "now"}]))
    assert list(map(told, events)) == [
        ["thinking", "Hm, "],
        ["thinking", "Rome."],
        ["text", "I "],
        ["text", "look."],
        ["tool", "c1", "get_weather", {"city": "Rome"}],
        ["tool", "c2", "now", {}],
    ]
    output = last.output  # type: ignore[union-attr]
    assert (output.content, output.thinking, output.stop_reason) == ("I look.", "Hm, Rome.", "tool_calls")
    # The signature goes back with the answer.
    asked: list[Any] = []
    conversation = [
        Message("user", "And?"),
        Message(
            "assistant",
            output.content,
            tool_calls=[ToolCall("c1", "get_weather", {"city": "Rome"})],
            continuation=json.loads(json.dumps(output.continuation)),
        ),
        Message("tool", "18 degrees", tool_call_id="c1"),
    ]
    await ask(says("Rome.", asked=asked), messages=conversation, tools=[WEATHER])
    thought = asked[0][0][1].parts[0]
    assert isinstance(thought, ThinkingPart)
    assert (thought.content, thought.signature) == ("Hm, Rome.", "signed")


async def test_arguments_that_are_no_json() -> None:
    """They are told as the text they are, with a warning."""
    provider = says({0: DeltaToolCall(name="now", json_args='{"a": ', tool_call_id="c1")})
    *events, _ = await collect(provider, request(tools=[{"name": "now"}]))
    assert [told(event)[0] for event in events] == ["warning", "tool"]
    assert told(events[1]) == ["tool", "c1", "now", '{"a": ']


def whole(response: ModelResponse, asked: list[Any] | None = None) -> PydanticAIProvider:
    """A provider of a model that answers whole."""

    def answer(messages: list[Any], info: Any) -> ModelResponse:
        if asked is not None:
            asked.append((messages, info))
        return response

    return PydanticAIProvider(FunctionModel(answer), stream=False)


async def test_usage_and_the_end() -> None:
    """Usage, model, id and the reason for the end have the words that all providers use."""
    usage = RequestUsage(
        input_tokens=9, output_tokens=4, cache_read_tokens=5, details={"reasoning_tokens": 2, "other": 1}
    )
    response = ModelResponse(
        [ThinkingPart("Hm."), TextPart("Yes.")], usage=usage, model_name="m-2", provider_response_id="r-1"
    )
    for finish, details, expected in (
        ("stop", None, "end"),
        ("length", None, "max_tokens"),
        ("tool_call", None, "end"),
        ("content_filter", None, "content_filter"),
        ("stop", {"finish_reason": "stop_sequence"}, "stop"),
        (None, None, "end"),
    ):
        response.finish_reason = finish  # type: ignore[assignment]
        response.provider_details = details
        output = await ask(whole(response))
        assert output.stop_reason == expected
    assert (output.content, output.thinking, output.request_id) == ("Yes.", "Hm.", "r-1")
    counts = (output.usage.input_tokens, output.usage.output_tokens, output.usage.cached_tokens, output.usage.cost)
    assert counts == (9, 4, 5, None)
    assert output.data == {"reasoning_tokens": 2}


async def test_a_call_that_ran_out_of_tokens() -> None:
    """Half a call in a whole answer is left out, with a warning."""
    response = ModelResponse([ToolCallPart("now", '{"a', "c1")], finish_reason="length")
    *events, last = await collect(whole(response), request(tools=[{"name": "now"}]))
    assert [told(event)[0] for event in events] == ["warning"]
    assert last.output.stop_reason == "max_tokens"  # type: ignore[union-attr]


async def test_the_price() -> None:
    """The cost is computed where the vendor's address and the model's price are known."""
    response = ModelResponse(
        [TextPart("x")], usage=RequestUsage(input_tokens=1000, output_tokens=1000), model_name="gpt-4o"
    )

    class Vendor(FunctionModel):
        @property
        def base_url(self) -> str:
            return "https://api.openai.com/v1"

    vendor = Vendor(lambda messages, info: response, model_name="gpt-4o")
    output = await ask(PydanticAIProvider(vendor, stream=False))
    assert output.usage.cost is not None
    assert 0.001 < output.usage.cost < 0.1


@pytest.mark.parametrize(
    "schema, answer, wrapped", [(PERSON, {"name": "Ada"}, False), ({"type": "array"}, [1, 2], True)]
)
async def test_an_answer_by_a_tool(schema: Any, answer: Any, wrapped: bool) -> None:
    """Where a tool takes the typed answer, its arguments are the text, and what is said beside it is none of it."""
    arguments = json.dumps({"response": answer} if wrapped else answer)
    asked: list[Any] = []
    provider = says(
        "Here: ", {1: DeltaToolCall(name="final_result", json_args=arguments, tool_call_id="c")}, asked=asked,
        profile={"supports_json_schema_output": False},
    )  # fmt: skip
    output = await ask(provider, output_schema=schema)
    assert (json.loads(output.content), output.stop_reason) == (answer, "end")
    info = asked[0][1]
    assert not info.allow_text_output
    (tool,) = info.output_tools
    assert tool.parameters_json_schema["required"] == (["response"] if wrapped else ["name"])


async def test_text_in_place_of_the_tool_that_takes_the_answer() -> None:
    """A model that does not call the tool has said what it said: others tell whether that fits."""
    provider = says("Well, ", "no.", profile={"supports_json_schema_output": False})
    output = await ask(provider, output_schema=PERSON)
    assert (output.content, output.stop_reason) == ("Well, no.", "end")


async def test_an_answer_by_the_vendors_own_way() -> None:
    """A vendor that holds models to schemas is given the schema; the prompt tells it to others."""
    given = (await sent(request(output_schema=PERSON)))["response_format"]
    assert given["json_schema"]["schema"]["properties"] == PERSON["properties"]
    body = await sent(request(output_schema=PERSON), structured_output="prompted")
    assert '"name"' in json.dumps(body["messages"]).replace("\\", "")
    body = await sent(request(output_schema=PERSON), structured_output="tool")
    assert body["tools"][0]["function"]["name"] == "final_result"


@pytest.mark.parametrize(
    "error, kind, status, retryable, retry_after",
    [
        (exceptions.ModelHTTPError(429, "m", {"error": {"message": "So it is."}}), "rate_limit", 429, True, None),
        (exceptions.ModelHTTPError(503, "m", b"So it is."), "overloaded", 503, True, None),
        (exceptions.ModelAPIError("m", "So it is."), "error", None, False, None),
        (exceptions.UnexpectedModelBehavior("So it is."), "protocol", None, True, None),
        (exceptions.UserError("So it is."), "invalid_request", None, False, None),
        (exceptions.ContentFilterError("So it is."), "content_filter", None, False, None),
        (TimeoutError("So it is."), "error", None, False, None),
    ],
    ids=lambda value: type(value).__name__,
)
async def test_errors(error: Any, kind: str, status: int | None, retryable: bool, retry_after: float | None) -> None:
    """What Pydantic AI raises is an error with a kind, its status, and whether trying again can help."""
    with pytest.raises(ProviderError, match="So it is") as caught:
        await ask(says("so far", error))
    got = caught.value
    assert (got.kind, got.status, got.retryable, got.retry_after) == (kind, status, retryable, retry_after)
    assert got.__cause__ is error


async def test_which_model_is_asked() -> None:
    """A request's model goes before the provider's; without either nothing can be asked."""
    provider = PydanticAIProvider()
    with pytest.raises(ProviderError, match="No model is named") as caught:
        await ask(provider)
    assert caught.value.kind == "configuration"
    assert (await ask(provider, model="test")).model == "test"
    assert (await ask(says("mine"))).content == "mine"
    assert (await ask(says("mine"), model="test")).model == "test"


@pytest.mark.parametrize(
    "options", [{"model": ""}, {"max_tokens": 0}, {"timeout": -1.0}, {"structured_output": "by force"}]
)
def test_arguments_are_checked_at_once(options: dict[str, Any]) -> None:
    """An argument that cannot be right is an error of the constructor that names it."""
    with pytest.raises(InvalidValueError) as caught:
        PydanticAIProvider(**options)
    assert caught.value.name == next(iter(options))


async def test_a_provider_from_a_url() -> None:
    """The URL names the model and options."""
    provider = open_provider("pydantic-ai:test?max_tokens=9&structured_output=tool")
    assert isinstance(provider, PydanticAIProvider)
    assert repr(provider) == "PydanticAIProvider('test')"
    async with provider:
        assert (await ask(provider)).model == "test"
    with pytest.raises(InvalidValueError):
        PydanticAIProvider.from_url("pydantic-ai:test?api_key=secret")


async def test_an_agent_with_a_tool() -> None:
    """A model of Pydantic AI's works with the harness's tools, and the run replays without it."""
    harness = create_harness()
    store = MemorySignalStore()

    def add(a: int, b: int) -> int:
        """Add two numbers."""
        return a + b

    async def model(messages: list[Any], info: Any) -> AsyncIterator[Any]:
        last = messages[-1].parts[-1]
        if isinstance(last, ToolReturnPart):
            yield f"It is {last.content}."
        else:
            yield {0: DeltaToolCall(name="add", json_args='{"a": 1, "b": 2}', tool_call_id="c1")}

    agent = harness.agent(prompt="1 + 2?", activate_on="harness:start", updates="answer", tools=[add])
    settings: dict[str, Any] = {"agents": {"a": agent}, "state": {"answer": ""}, "store": store, "fixture": "f"}
    async with PydanticAIProvider(FunctionModel(stream_function=model)) as provider:
        recorded = await harness.run_reactive(**settings, provider=provider, mode="record")
    assert recorded.state == {"answer": "It is 3."}
    replayed = await harness.run_reactive(**settings, mode="replay")
    assert replayed.signals == recorded.signals
