"""What is sent to the Messages API."""

from __future__ import annotations

import asyncio
import enum
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import attrs
import pytest
from collecting import ask, collect, request
from serving import Reply, Server

from openharness.core import (
    InvalidValueError,
    Message,
    ProviderError,
    ProviderRequest,
    ProviderWarning,
    ToolCall,
    create_harness,
    to_json,
)
from openharness.core.plugins import open_provider
from openharness.provider_claude import DEFAULT_MODEL, ClaudeProvider

if TYPE_CHECKING:
    from collections.abc import Mapping

ANSWER = Reply(body=(Path(__file__).parent / "streams" / "01_text.sse").read_bytes())
WEATHER = {
    "name": "get_weather",
    "description": "Get the weather.",
    "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
}
PERSON = {
    "$ref": "#/$defs/Person",
    "$defs": {
        "Person": {
            "type": "object",
            "properties": {"name": {"type": "string"}, "age": {"type": "integer", "minimum": 0}},
            "required": ["name", "age"],
        }
    },
}
EPHEMERAL = {"type": "ephemeral"}


async def sent(asked: ProviderRequest, **options: Any) -> Any:
    """Return the body that a request becomes."""
    before = to_json(asked)
    async with (
        Server(ANSWER) as server,
        ClaudeProvider(base_url=server.url, api_key="k", timeout=500, **options) as provider,
    ):
        await collect(provider, asked)
    assert to_json(asked) == before
    return server.asked[0].body


async def test_the_smallest_request() -> None:
    """What a request leaves out is left to the API, but for the model and the number of tokens, which it insists on."""
    assert await sent(request("hi")) == {
        "model": DEFAULT_MODEL,
        "max_tokens": 4096,
        "messages": [{"role": "user", "content": "hi"}],
        "stream": True,
    }


async def test_every_parameter() -> None:
    """Each parameter of a request has its place, and options go along as they are."""
    asked = request(
        "hi",
        system="Be brief.",
        model="claude-haiku-5-5",
        max_tokens=7,
        temperature=0.5,
        stop=["END", "STOP"],
        tools=[WEATHER, {"name": "now"}, {"type": "web_search_20250305", "name": "web_search"}],
        options={"top_p": 0.9, "tool_choice": {"type": "any"}, "service_tier": "auto"},
    )
    assert await sent(asked) == {
        "model": "claude-haiku-5-5",
        "max_tokens": 7,
        "messages": [{"role": "user", "content": "hi"}],
        "stream": True,
        "system": "Be brief.",
        "temperature": 0.5,
        "stop_sequences": ["END", "STOP"],
        "tools": [
            {"name": "get_weather", "description": "Get the weather.", "input_schema": WEATHER["parameters"]},
            {"name": "now", "description": "", "input_schema": {"type": "object", "properties": {}}},
            {"type": "web_search_20250305", "name": "web_search"},
        ],
        "top_p": 0.9,
        "tool_choice": {"type": "any"},
        "service_tier": "auto",
    }


async def test_stop_texts_of_white_space() -> None:
    """The API refuses stop texts that are white space alone: they are left out, with a warning."""
    async with Server(ANSWER) as server, ClaudeProvider(base_url=server.url, api_key="k", timeout=500) as provider:
        events = await collect(provider, request(stop=[". ", "\n"]))
        assert server.asked[0].body["stop_sequences"] == [". "]
        warning = events[0]
        assert isinstance(warning, ProviderWarning)
        assert warning.data == {"stop": ["\n"]}
    assert "stop_sequences" not in await sent(request(stop=[" "]))


@pytest.mark.parametrize(
    "thinking, expected, max_tokens",
    [
        (None, None, 4096),
        ("adaptive", {"type": "adaptive", "display": "summarized"}, 4096),
        ("disabled", {"type": "disabled"}, 4096),
        (2000, {"type": "enabled", "budget_tokens": 2000}, 6096),
    ],
)
async def test_thinking(thinking: Any, expected: Any, max_tokens: int) -> None:
    """Thinking is asked for as the API wants it, and its tokens come on top of those of the answer."""
    body = await sent(request(), thinking=thinking)
    assert (body.get("thinking"), body["max_tokens"]) == (expected, max_tokens)
    own = {"type": "enabled", "budget_tokens": 1024}
    assert (await sent(request(options={"thinking": own}), thinking=thinking))["thinking"] == own


@pytest.mark.parametrize("caching, mark", [(True, EPHEMERAL), ("5m", EPHEMERAL), ("1h", {**EPHEMERAL, "ttl": "1h"})])
async def test_prompt_caching(caching: Any, mark: Any) -> None:
    """The last tool, the system prompt and the last message are marked, and nothing else."""
    asked = request(
        messages=[Message("user", "one"), Message("assistant", "two"), Message("user", "three")],
        system="Be brief.",
        tools=[{"name": "first"}, WEATHER],
    )
    body = await sent(asked, prompt_caching=caching)
    assert body["system"] == [{"type": "text", "text": "Be brief.", "cache_control": mark}]
    assert [tool.get("cache_control") for tool in body["tools"]] == [None, mark]
    assert body["messages"] == [
        {"role": "user", "content": "one"},
        {"role": "assistant", "content": "two"},
        {"role": "user", "content": [{"type": "text", "text": "three", "cache_control": mark}]},
    ]
    assert "cache_control" not in str(await sent(asked))


async def test_native_structured_output() -> None:
    """A schema goes along as the API's own structured output, beside what an option says of the output."""
    body = await sent(request(output_schema=PERSON, options={"output_config": {"effort": "low"}}))
    assert body["output_config"]["effort"] == "low"
    assert body["output_config"]["format"]["type"] == "json_schema"
    person = body["output_config"]["format"]["schema"]["$defs"]["Person"]
    assert person["additionalProperties"] is False
    assert person["required"] == ["name", "age"]
    assert "tools" not in body


async def test_a_schema_that_the_api_cannot_do() -> None:
    """A schema without a type is refused before it is sent, with the way that can do it."""
    with pytest.raises(ProviderError, match='structured_output="tool"') as caught:
        await sent(request(output_schema={}))
    assert caught.value.kind == "invalid_request"
    assert await sent(request(output_schema={}), structured_output="tool")


@attrs.frozen
class Triage:
    """What an agent asks for: everything that types of Python add to JSON."""

    severity: Literal["low", "high"]
    kind: Kind
    level: Literal[1, 2]
    parts: list[Part]
    note: str | None


class Kind(enum.Enum):
    """A choice of texts."""

    BUG = "bug"
    WISH = "wish"


@attrs.frozen
class Part:
    """An object within."""

    name: str
    kind: Kind | None


async def test_choices_in_native_structured_output() -> None:
    """Literals and enumerations keep their values, with every release of the SDK."""
    agent = create_harness().agent(prompt="x", activate_on="harness:start", output=Triage)
    assert agent.output is not None
    body = await sent(request(output_schema=agent.output.schema))
    schema = body["output_config"]["format"]["schema"]
    assert schema["properties"]["severity"]["enum"] == ["high", "low"]
    assert schema["$defs"]["Kind"]["enum"] == ["bug", "wish"]
    assert schema["properties"]["level"]["enum"] == [1, 2]
    assert schema["$defs"]["Part"]["additionalProperties"] is False


@pytest.mark.parametrize("output", [dict[str, int], dict, list[dict[str, str]], tuple[int, str], list[object]])
async def test_types_that_native_structured_output_cannot_do(output: Any) -> None:
    """What the API could only answer with an empty object, or not at all, is refused with the way that can do it."""
    agent = create_harness().agent(prompt="x", activate_on="harness:start", output=output)
    assert agent.output is not None
    asked = request(output_schema=agent.output.schema)
    with pytest.raises(ProviderError, match='structured_output="tool"') as caught:
        await sent(asked)
    assert caught.value.kind == "invalid_request"
    assert (await sent(asked, structured_output="tool"))["tools"]


async def test_structured_output_by_a_tool() -> None:
    """A schema becomes the parameters of a tool that must be called; one of no object is a parameter of it."""
    body = await sent(request(output_schema=PERSON), structured_output="tool")
    (tool,) = body["tools"]
    assert tool["input_schema"] == {**PERSON["$defs"]["Person"], "$defs": PERSON["$defs"]}  # type: ignore[dict-item,index]
    assert body["tool_choice"] == {"type": "tool", "name": tool["name"]}
    numbers = {"type": "array", "items": {"type": "integer"}}
    (tool,) = (await sent(request(output_schema=numbers), structured_output="tool"))["tools"]
    assert tool["input_schema"] == {"type": "object", "properties": {"value": numbers}, "required": ["value"]}
    body = await sent(request(output_schema=PERSON, tools=[WEATHER]), structured_output="tool")
    assert [tool["name"] for tool in body["tools"]] == ["get_weather", "give_answer"]
    assert body["tool_choice"] == {"type": "any"}


async def test_the_results_of_tools() -> None:
    """Calls become blocks of the assistant's message, and the results that follow become one message of the user's."""
    calls = [ToolCall("t1", "get_weather", {"city": "Rome"}), ToolCall("t2", "get_weather", "no object")]
    asked = request(
        messages=[
            Message("user", "And?"),
            Message("assistant", "I look.", tool_calls=calls),
            Message("tool", "18 degrees", tool_call_id="t1"),
            Message("tool", "arguments must be an object", tool_call_id="t2", is_error=True),
            Message("assistant", "", tool_calls=[ToolCall("t3", "now", {})]),
            Message("tool", "noon", tool_call_id="t3"),
        ],
        tools=[WEATHER],
    )
    assert (await sent(asked))["messages"] == [
        {"role": "user", "content": "And?"},
        {
            "role": "assistant",
            "content": [
                {"type": "text", "text": "I look."},
                {"type": "tool_use", "id": "t1", "name": "get_weather", "input": {"city": "Rome"}},
                {"type": "tool_use", "id": "t2", "name": "get_weather", "input": {"arguments": "no object"}},
            ],
        },
        {
            "role": "user",
            "content": [
                {"type": "tool_result", "tool_use_id": "t1", "content": "18 degrees"},
                {
                    "type": "tool_result",
                    "tool_use_id": "t2",
                    "content": "arguments must be an object",
                    "is_error": True,
                },
            ],
        },
        {"role": "assistant", "content": [{"type": "tool_use", "id": "t3", "name": "now", "input": {}}]},
        {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "t3", "content": "noon"}]},
    ]


async def test_a_continuation_is_sent_as_it_came() -> None:
    """What an answer must be continued with stands for the message; another provider's is passed over."""
    blocks = [
        {"type": "thinking", "thinking": "Rome it is.", "signature": "sig"},
        {"type": "tool_use", "id": "t1", "name": "get_weather", "input": {"city": "Rome"}},
    ]
    message = Message(
        "assistant", "", tool_calls=[ToolCall("t1", "get_weather", {"city": "Rome"})], continuation=blocks
    )
    result = Message("tool", "18 degrees", tool_call_id="t1")
    body = await sent(request(messages=[Message("user", "And?"), message, result]))
    assert body["messages"][1]["content"] == blocks
    other = attrs.evolve(message, continuation={"reasoning_content": "Rome"})
    body = await sent(request(messages=[Message("user", "And?"), other, result]))
    assert body["messages"][1]["content"] == blocks[1:]


async def test_the_key_and_the_address(monkeypatch: pytest.MonkeyPatch) -> None:
    """Both come from the arguments, else from the SDK's environment variables; a server of one's own needs no key."""
    monkeypatch.delenv("ANTHROPIC_API_KEY", raising=False)

    async def authorization(**options: Any) -> Mapping[str, str]:
        async with ClaudeProvider(timeout=500, **options) as provider:
            await ask(provider)
        return server.asked[-1].headers

    async with Server(ANSWER) as server:
        monkeypatch.setenv("ANTHROPIC_BASE_URL", server.url)
        await authorization()
        monkeypatch.setenv("ANTHROPIC_API_KEY", "from-the-environment")
        assert "from-the-environment" in str(await authorization())
        assert "from-the-argument" in str(await authorization(api_key="from-the-argument"))
        monkeypatch.setenv("ANTHROPIC_BASE_URL", "http://localhost:9")
        await authorization(base_url=server.url)
        assert {asked.path for asked in server.asked} == {"/v1/messages"}


async def test_a_client_of_the_callers() -> None:
    """A client that is given is used as it is, and left open."""
    import anthropic

    async with Server(ANSWER) as server:
        client = anthropic.AsyncAnthropic(base_url=server.url, api_key="mine", default_headers={"x-mine": "1"})
        async with ClaudeProvider(client=client) as provider:
            await ask(provider)
        assert server.asked[0].headers["x-mine"] == "1"
        assert not client.is_closed()
        await client.close()


@pytest.mark.parametrize(
    "options",
    [
        {"model": ""},
        {"max_tokens": 0},
        {"max_tokens": True},
        {"max_retries": -1},
        {"timeout": 0},
        {"thinking": 0},
        {"thinking": "much"},
        {"thinking": True},
        {"prompt_caching": "1d"},
        {"structured_output": "xml"},
    ],
)
def test_arguments_are_checked_at_once(options: dict[str, Any]) -> None:
    """An argument that cannot be right is an error of the constructor that names it."""
    with pytest.raises(InvalidValueError) as caught:
        ClaudeProvider(**options)
    assert caught.value.name == next(iter(options))


async def test_a_provider_from_a_url() -> None:
    """The URL names the model and options; what is unknown or no number is refused."""
    async with Server(ANSWER) as server:
        url = f"claude:a/model%3F?base_url={server.url}&max_tokens=9&thinking=disabled&prompt_caching=1h&timeout=25.5"
        provider = open_provider(url)
        assert isinstance(provider, ClaudeProvider)
        async with provider:
            await ask(provider)
        body = server.asked[0].body
    assert (body["model"], body["max_tokens"], body["thinking"]) == ("a/model?", 9, {"type": "disabled"})
    assert repr(provider) == "ClaudeProvider('a/model?')"
    assert ClaudeProvider.from_url("claude").model == DEFAULT_MODEL
    for wrong in ("claude:m?max_tokens=many", "claude:m?api_key=secret", "claude:m?thinking=often"):
        with pytest.raises(InvalidValueError):
            ClaudeProvider.from_url(wrong)


def test_the_default_model_is_one_the_sdk_knows() -> None:
    """The default model is neither unknown to the SDK nor about to go, and its price is known."""
    import anthropic
    import genai_prices
    from anthropic.resources.messages.messages import DEPRECATED_MODELS

    assert DEFAULT_MODEL not in DEPRECATED_MODELS
    if anthropic.__version__.startswith("2."):
        assert DEFAULT_MODEL in str(anthropic.types.ModelParam)
    if not genai_prices.__version__.startswith("0.1."):
        usage = genai_prices.Usage(input_tokens=1000)
        assert genai_prices.calc_price(usage, DEFAULT_MODEL, provider_api_url="https://api.anthropic.com").total_price
    with warnings.catch_warnings(record=True) as warned:
        asyncio.run(sent(request()))
    assert [one for one in warned if issubclass(one.category, DeprecationWarning)] == []
