"""What is sent to the Chat Completions API."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from collecting import ask, collect, request
from serving import Reply, Server

from openharness.core import InvalidValueError, Message, ProviderError, ProviderRequest, ToolCall, to_json
from openharness.core.plugins import open_provider
from openharness.provider_openai import DEFAULT_MODEL, OpenAIProvider
from openharness.provider_openai._provider import _is_own

if TYPE_CHECKING:
    from collections.abc import Mapping

ANSWER = Reply(body=(Path(__file__).parent / "streams" / "01_text.sse").read_bytes())
WEATHER = {
    "name": "get_weather",
    "description": "Get the weather.",
    "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
}


async def sent(asked: ProviderRequest, **options: Any) -> Any:
    """Return the body that a request becomes."""
    before = to_json(asked)
    options = {"model": "m", "api_key": "k", **options}
    async with Server(ANSWER) as server, OpenAIProvider(base_url=server.url, timeout=500, **options) as provider:
        await collect(provider, asked)
    assert to_json(asked) == before
    return server.asked[0].body


async def test_the_smallest_request() -> None:
    """What a request leaves out is left to the server; the usage is asked for."""
    assert await sent(request("hi")) == {
        "model": "m",
        "messages": [{"role": "user", "content": "hi"}],
        "stream": True,
        "stream_options": {"include_usage": True},
    }


async def test_every_parameter() -> None:
    """Each parameter of a request has its place, and options go along as they are."""
    asked = request(
        "hi",
        system="Be brief.",
        model="other",
        max_tokens=7,
        temperature=0.5,
        stop=["END", "STOP"],
        seed=3,
        tools=[WEATHER, {"name": "now"}],
        options={"top_p": 0.9, "tool_choice": "required", "min_p": 0.1, "stream_options": None},
    )
    assert await sent(asked) == {
        "model": "other",
        "messages": [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "hi"}],
        "stream": True,
        "stream_options": None,
        "max_tokens": 7,
        "temperature": 0.5,
        "stop": ["END", "STOP"],
        "seed": 3,
        "tools": [
            {"type": "function", "function": WEATHER},
            {
                "type": "function",
                "function": {"name": "now", "description": "", "parameters": {"type": "object", "properties": {}}},
            },
        ],
        "top_p": 0.9,
        "tool_choice": "required",
        "min_p": 0.1,
    }


async def test_what_the_most_tokens_are_called() -> None:
    """The number of tokens has the older name, unless it is told otherwise; at OpenAI it has the newer one."""
    assert (await sent(request(), max_tokens=9))["max_tokens"] == 9
    body = await sent(request(max_tokens=8), max_tokens=9, max_tokens_name="max_completion_tokens")
    assert (body["max_completion_tokens"], body.get("max_tokens")) == (8, None)
    import openai

    for base_url, name, model in (
        (None, "max_completion_tokens", DEFAULT_MODEL),
        ("https://x.openai.azure.com/openai/v1", "max_completion_tokens", DEFAULT_MODEL),
        ("http://localhost:11434/v1", "max_tokens", "m"),
    ):
        provider = OpenAIProvider(None if model == DEFAULT_MODEL else model)
        client = openai.AsyncOpenAI(api_key="k", base_url=base_url)
        body = provider.body(request(max_tokens=5), client)
        assert (body[name], body["model"]) == (5, model)
        await client.close()


def test_whose_servers_they_are() -> None:
    """OpenAI's and Azure's hosts are told from others, also from those that are made to look like them."""
    assert _is_own("https://api.openai.com/v1")
    assert _is_own("https://eu.api.openai.com/v1/")
    assert _is_own("https://openai.com/v1")
    assert not _is_own("https://api.openai.com.evil.example/v1")
    assert not _is_own("https://notopenai.com/v1")
    assert not _is_own("http://localhost:11434/v1")


async def test_a_server_without_a_default_model() -> None:
    """A server of one's own must be told which model to run, before anything is sent."""
    async with Server(ANSWER) as server, OpenAIProvider(base_url=server.url, api_key="k", timeout=500) as provider:
        with pytest.raises(ProviderError, match="which of its models") as caught:
            await ask(provider)
        assert caught.value.kind == "configuration"
        assert server.asked == []
        assert (await ask(provider, model="m")).content


CLOSED = {
    "type": "object",
    "properties": {
        "name": {"type": "string"},
        "friends": {"type": "array", "items": {"$ref": "#/$defs/Friend"}},
        "age": {"anyOf": [{"type": "integer"}, {"type": "null"}]},
    },
    "required": ["name", "friends", "age"],
    "$defs": {"Friend": {"type": "object", "properties": {"name": {"type": "string"}}, "required": ["name"]}},
}


async def test_a_schema_that_can_be_strict() -> None:
    """Where all objects require all their fields, they are closed, and OpenAI may hold the model to the schema."""
    given = (await sent(request(output_schema=CLOSED)))["response_format"]
    assert (given["type"], given["json_schema"]["strict"]) == ("json_schema", True)
    schema = given["json_schema"]["schema"]
    assert schema["additionalProperties"] is False
    assert schema["$defs"]["Friend"]["additionalProperties"] is False
    assert {**schema, "additionalProperties": None, "$defs": None} == {
        **CLOSED,
        "additionalProperties": None,
        "$defs": None,
    }


@pytest.mark.parametrize(
    "part, expected",
    [
        ({"enum": ["a", "b"]}, {"type": "string", "enum": ["a", "b"]}),
        ({"const": 1}, {"type": "integer", "const": 1}),
        (
            {"enum": [None, "x"]},
            {"anyOf": [{"type": "null", "enum": [None]}, {"type": "string", "enum": ["x"]}]},
        ),
        (
            {"$ref": "#/$defs/Friend", "description": "One."},
            {"anyOf": [{"$ref": "#/$defs/Friend"}], "description": "One."},
        ),
        ({"type": "string", "format": "date-time"}, {"type": "string", "format": "date-time"}),
        ({"type": "integer", "minimum": 1, "maximum": 5}, {"type": "integer", "minimum": 1, "maximum": 5}),
    ],
)
async def test_the_words_of_a_strict_schema(part: dict[str, Any], expected: dict[str, Any]) -> None:
    """What OpenAI wants said otherwise in a strict schema is said otherwise, with the same meaning."""
    schema = {**CLOSED, "properties": {"a": part}, "required": ["a"]}
    given = (await sent(request(output_schema=schema)))["response_format"]["json_schema"]
    assert (given["schema"]["properties"], given["strict"]) == ({"a": expected}, True)


@pytest.mark.parametrize(
    "part",
    [
        {"type": "array", "items": {"type": "string"}, "uniqueItems": True},
        {"type": "array"},
        {"type": "array", "items": {}},
        {"type": "array", "prefixItems": [{"type": "string"}], "items": False},
        {"type": "string", "format": "uri"},
        {"type": "string", "pattern": "^(?!x)"},
        {"type": "object", "properties": {}, "additionalProperties": {}, "minProperties": 1},
        {"type": "string", "default": "x"},
        {"not": {"type": "string"}},
        {},
    ],
)
async def test_a_part_that_cannot_be_strict(part: dict[str, Any]) -> None:
    """OpenAI refuses a strict schema with what it does not know: such a schema is not called strict, and sent as it is."""
    schema = {"type": "object", "properties": {"a": part}, "required": ["a"]}
    given = (await sent(request(output_schema=schema)))["response_format"]["json_schema"]
    assert (given["schema"], given["strict"]) == (schema, False)


@pytest.mark.parametrize(
    "schema",
    [
        {"type": "object", "properties": {"name": {"type": "string"}}},
        {"type": "object", "additionalProperties": {"type": "integer"}},
        {"type": "object", "properties": {"a": {"type": "object", "properties": {"b": {}}}}, "required": ["a"]},
        {"type": "array", "items": {"type": "integer"}},
        {"type": "object", "properties": {"a": {"oneOf": [{"type": "string"}]}}, "required": ["a"]},
        {},
    ],
)
async def test_a_schema_that_cannot_be_strict(schema: dict[str, Any]) -> None:
    """Any other schema is sent as it is, and not called strict."""
    given = (await sent(request(output_schema=schema)))["response_format"]["json_schema"]
    assert (given["schema"], given["strict"]) == (schema, False)


async def test_the_results_of_tools() -> None:
    """Calls and results are sent as they came, with the reasoning that a server wants back."""
    calls = [ToolCall("t1", "get_weather", {"city": "Röm"}), ToolCall("t2", "now", "no object")]
    asked = request(
        messages=[
            Message("user", "And?"),
            Message("assistant", "I look.", tool_calls=calls, continuation={"reasoning_content": "Rome it is."}),
            Message("tool", "18 degrees", tool_call_id="t1"),
            Message("tool", "arguments must be an object", tool_call_id="t2", is_error=True),
            Message("assistant", "", tool_calls=[ToolCall("t3", "now", {})], continuation=[{"type": "thinking"}]),
            Message("tool", "noon", tool_call_id="t3"),
        ]
    )
    assert (await sent(asked))["messages"] == [
        {"role": "user", "content": "And?"},
        {
            "role": "assistant",
            "content": "I look.",
            "reasoning_content": "Rome it is.",
            "tool_calls": [
                {"id": "t1", "type": "function", "function": {"name": "get_weather", "arguments": '{"city": "Röm"}'}},
                {"id": "t2", "type": "function", "function": {"name": "now", "arguments": "no object"}},
            ],
        },
        {"role": "tool", "tool_call_id": "t1", "content": "18 degrees"},
        {"role": "tool", "tool_call_id": "t2", "content": "arguments must be an object"},
        {
            "role": "assistant",
            "content": "",
            "tool_calls": [{"id": "t3", "type": "function", "function": {"name": "now", "arguments": "{}"}}],
        },
        {"role": "tool", "tool_call_id": "t3", "content": "noon"},
    ]


async def test_the_key_and_the_address(monkeypatch: pytest.MonkeyPatch) -> None:
    """Both come from the arguments, else from the SDK's environment variables; a server of one's own needs no key."""
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)

    async def headers(**options: Any) -> Mapping[str, str]:
        async with OpenAIProvider("m", timeout=500, **options) as provider:
            await ask(provider)
        return server.asked[-1].headers

    async with Server(ANSWER) as server:
        monkeypatch.setenv("OPENAI_BASE_URL", f"{server.url}/v1")
        await headers()
        monkeypatch.setenv("OPENAI_API_KEY", "from-the-environment")
        assert (await headers())["authorization"] == "Bearer from-the-environment"
        assert (await headers(api_key="from-the-argument"))["authorization"] == "Bearer from-the-argument"
        monkeypatch.setenv("OPENAI_BASE_URL", "http://localhost:9")
        await headers(base_url=f"{server.url}/v1")
        assert {asked.path for asked in server.asked} == {"/v1/chat/completions"}


async def test_a_client_of_the_callers() -> None:
    """A client that is given is used as it is, and left open."""
    import openai

    async with Server(ANSWER) as server:
        client = openai.AsyncOpenAI(base_url=server.url, api_key="mine", default_headers={"x-mine": "1"})
        async with OpenAIProvider("m", client=client) as provider:
            await ask(provider)
        assert server.asked[0].headers["x-mine"] == "1"
        assert not client.is_closed()
        await client.close()


@pytest.mark.parametrize(
    "options",
    [{"model": ""}, {"max_tokens": 0}, {"max_retries": -1}, {"timeout": -1.0}, {"max_tokens_name": "limit"}],
)
def test_arguments_are_checked_at_once(options: dict[str, Any]) -> None:
    """An argument that cannot be right is an error of the constructor that names it."""
    with pytest.raises(InvalidValueError) as caught:
        OpenAIProvider(**options)
    assert caught.value.name == next(iter(options))


async def test_a_provider_from_a_url() -> None:
    """The URL names the model and options; what is unknown or no number is refused."""
    async with Server(ANSWER) as server:
        provider = open_provider(f"openai:llama3.2:1b?base_url={server.url}/v1&max_tokens=9&timeout=25.5")
        assert isinstance(provider, OpenAIProvider)
        async with provider:
            await ask(provider)
        body = server.asked[0].body
    assert (body["model"], body["max_tokens"]) == ("llama3.2:1b", 9)
    assert (repr(provider), provider.model) == ("OpenAIProvider('llama3.2:1b')", "llama3.2:1b")
    assert OpenAIProvider.from_url("openai").model is None
    for wrong in ("openai:m?max_tokens=many", "openai:m?api_key=secret"):
        with pytest.raises(InvalidValueError):
            OpenAIProvider.from_url(wrong)
