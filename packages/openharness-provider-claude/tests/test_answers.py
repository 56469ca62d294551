"""What the events of a message become, those of the stored streams aside."""

from __future__ import annotations

import json
from typing import Any

import pytest
from collecting import collect, request, told
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from serving import Reply, Server

from openharness.core import Completed, ProviderOutput, to_json
from openharness.provider_claude import ClaudeProvider
from openharness.provider_claude._answer import MessageAnswer

START = {
    "type": "message_start",
    "message": {"id": "msg_1", "model": "claude-x", "usage": {"input_tokens": 10, "output_tokens": 1}},
}
STOP = {"type": "message_stop"}


def start(index: int, **block: Any) -> dict[str, Any]:
    """The beginning of a block."""
    return {"type": "content_block_start", "index": index, "content_block": block}


def delta(index: int, kind: str, **piece: Any) -> dict[str, Any]:
    """A piece of a block."""
    return {"type": "content_block_delta", "index": index, "delta": {"type": kind, **piece}}


def stop(index: int) -> dict[str, Any]:
    """The end of a block."""
    return {"type": "content_block_stop", "index": index}


def end(reason: str = "end_turn", **more: Any) -> dict[str, Any]:
    """The reason for the end, and the usage."""
    return {"type": "message_delta", "delta": {"stop_reason": reason, **more}, "usage": {"output_tokens": 5}}


def body(*parts: dict[str, Any]) -> bytes:
    """Write parts down as the API sends them."""
    return b"".join(b"event: %s\ndata: %s\n\n" % (str(p["type"]).encode(), json.dumps(p).encode()) for p in parts)


async def told_by(*parts: dict[str, Any], headers: dict[str, str] | None = None, **options: Any) -> list[Any]:
    """Serve these parts and return what the provider says."""
    reply = Reply(body=body(START, *parts, STOP), headers={"content-type": "text/event-stream", **(headers or {})})
    schema = options.pop("output_schema", None)
    async with (
        Server(reply) as server,
        ClaudeProvider(base_url=server.url, api_key="k", timeout=500, **options) as provider,
    ):
        events = await collect(provider, request(output_schema=schema))
    *others, last = events
    assert isinstance(last, Completed)
    return [*map(told, others), last.output]


async def test_thinking_is_told_and_continued() -> None:
    """Thinking comes as events, and what the API must get back with the results of tools stands in the output."""
    *events, output = await told_by(
        start(0, type="thinking", thinking="", signature=""),
        delta(0, "thinking_delta", thinking="Rome "),
        delta(0, "thinking_delta", thinking="it is."),
        delta(0, "signature_delta", signature="sig"),
        stop(0),
        start(1, type="redacted_thinking", data="xyz"),
        stop(1),
        start(2, type="text", text=""),
        delta(2, "text_delta", text="I look."),
        stop(2),
        start(3, type="tool_use", id="toolu_1", name="get_weather", input={}),
        delta(3, "input_json_delta", partial_json='{"city": '),
        delta(3, "input_json_delta", partial_json='"Rome"}'),
        stop(3),
        end("tool_use"),
    )
    assert events == [
        ["thinking", "Rome "],
        ["thinking", "it is."],
        ["text", "I look."],
        ["tool", "toolu_1", "get_weather", {"city": "Rome"}],
    ]
    assert (output.thinking, output.content, output.stop_reason) == ("Rome it is.", "I look.", "tool_calls")
    assert output.continuation == [
        {"type": "thinking", "thinking": "Rome it is.", "signature": "sig"},
        {"type": "redacted_thinking", "data": "xyz"},
        {"type": "text", "text": "I look."},
        {"type": "tool_use", "id": "toolu_1", "name": "get_weather", "input": {"city": "Rome"}},
    ]


async def test_nothing_to_continue() -> None:
    """Without thinking, and without tool calls, there is no continuation."""
    *_, output = await told_by(start(0, type="tool_use", id="t", name="now"), stop(0), end("tool_use"))
    assert output.continuation is None
    *_, output = await told_by(start(0, type="thinking", thinking="Hm."), stop(0), start(1, type="text"), end())
    assert (output.thinking, output.continuation) == ("Hm.", None)


@pytest.mark.parametrize(
    "reason, more, expected, data",
    [
        ("end_turn", {}, "end", None),
        ("max_tokens", {}, "max_tokens", None),
        ("model_context_window_exceeded", {}, "max_tokens", None),
        ("stop_sequence", {"stop_sequence": "END"}, "stop", {"stop": "END"}),
        ("pause_turn", {}, "pause_turn", None),
        (
            "refusal",
            {"stop_details": {"type": "refusal", "category": "bio"}},
            "refusal",
            {"stop_details": {"type": "refusal", "category": "bio"}},
        ),
        ("something_new", {}, "something_new", None),
    ],
)
async def test_stop_reasons(reason: str, more: Any, expected: str, data: Any) -> None:
    """Each reason has its word, and the vendor's own where there is none."""
    *_, output = await told_by(start(0, type="text", text="Hi"), stop(0), end(reason, **more))
    assert (output.stop_reason, output.data, output.content) == (expected, data, "Hi")


async def test_usage_and_ids() -> None:
    """Tokens of a cache are part of those read; the request's id comes from its header."""
    usage = {"cache_read_input_tokens": 30, "cache_creation_input_tokens": 20, "output_tokens": 7}
    *_, output = await told_by({"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": usage})
    assert to_json(output.usage) == {"input_tokens": 60, "output_tokens": 7, "cached_tokens": 30, "cost": None}
    assert output.data == {"cache_creation_input_tokens": 20}
    assert (output.model, output.request_id) == ("claude-x", "msg_1")
    *_, output = await told_by(end(), headers={"request-id": "req_1"})
    assert output.request_id == "req_1"


def test_tokens_stored_for_an_hour() -> None:
    """Tokens that a cache keeps for an hour are told apart from those it keeps for less, as they have another price."""
    answer = MessageAnswer(model="m", output_tool=None)
    created = {"ephemeral_5m_input_tokens": 15, "ephemeral_1h_input_tokens": 5}
    usage = {"input_tokens": 10, "cache_creation_input_tokens": 20, "cache_creation": created}
    list(answer.read({"type": "message_start", "message": {"usage": usage}}))
    list(answer.read(end()))
    assert (answer.tokens.read, answer.tokens.stored, answer.tokens.stored_hour) == (30, 20, 5)


async def test_an_answer_by_a_tool() -> None:
    """The arguments of the forced tool are the answer's text, and what is said beside it is thinking."""
    *events, output = await told_by(
        start(0, type="text", text="Here: "),
        stop(0),
        start(1, type="tool_use", id="t", name="give_answer", input={}),
        delta(1, "input_json_delta", partial_json='{"name": '),
        delta(1, "input_json_delta", partial_json='"Ada"}'),
        stop(1),
        end("tool_use"),
        structured_output="tool",
        output_schema={"type": "object", "properties": {"name": {"type": "string"}}},
    )
    assert events == [["thinking", "Here: "], ["text", '{"name": '], ["text", '"Ada"}']]
    assert (output.content, output.stop_reason, output.continuation) == ('{"name": "Ada"}', "end", None)


@pytest.mark.parametrize(
    "pieces, reason, content",
    [
        (['{"value"', ": [1, 2]}"], "tool_use", "[1, 2]"),
        (['{"value": "é"}'], "tool_use", '"é"'),
        (['{"value": [1, '], "max_tokens", '{"value": [1, '),
        (['{"other": 1}'], "tool_use", '{"other": 1}'),
    ],
)
async def test_an_answer_that_is_no_object_by_a_tool(pieces: list[str], reason: str, content: str) -> None:
    """An answer that is no object is taken out of its wrapper; half of one is told as it is."""
    *_, output = await told_by(
        start(0, type="tool_use", id="t", name="give_answer"),
        *(delta(0, "input_json_delta", partial_json=piece) for piece in pieces),
        stop(0),
        end(reason),
        structured_output="tool",
        output_schema={"type": "array"},
    )
    assert output.content == content


async def test_other_tools_beside_an_answer_by_a_tool() -> None:
    """Where the model calls another tool, the answer is still to come."""
    *events, output = await told_by(
        start(0, type="tool_use", id="t", name="get_weather", input={"city": "Rome"}),
        stop(0),
        end("tool_use"),
        structured_output="tool",
        output_schema={"type": "object"},
    )
    assert events == [["tool", "t", "get_weather", {"city": "Rome"}]]
    assert output.stop_reason == "tool_calls"


async def test_half_a_tool_call() -> None:
    """A call that ran out of tokens is no call; one that is no JSON is told as the text it is. Both with a warning."""
    half = (
        start(0, type="tool_use", id="t", name="now"),
        delta(0, "input_json_delta", partial_json='{"a": 1, "b'),
        stop(0),
    )
    *events, output = await told_by(*half, end("max_tokens"))
    assert [event[0] for event in events] == ["warning"]
    assert output.stop_reason == "max_tokens"
    *events, output = await told_by(*half, end("tool_use"))
    assert [event[0] for event in events] == ["warning", "tool"]
    assert events[1] == ["tool", "t", "now", '{"a": 1, "b']


EVENTS = ["message_start", "message_delta", "content_block_start", "content_block_delta", "content_block_stop", "ping"]
BLOCKS = ["text", "tool_use", "thinking", "text_delta", "input_json_delta", "thinking_delta", "server_tool_use"]
ODD = (
    st.none()
    | st.booleans()
    | st.integers(-2, 2)
    | st.floats()
    | st.text(max_size=2)
    | st.just([1])
    | st.just({"a": 1})
)
BLOCK = st.fixed_dictionaries(
    {"type": st.sampled_from(BLOCKS)},
    optional={
        "text": ODD,
        "thinking": ODD,
        "partial_json": ODD,
        "name": st.just("give_answer") | ODD,
        "id": ODD,
        "input": ODD,
        "signature": ODD,
        "stop_reason": ODD,
    },
)
PARTS = st.lists(
    st.fixed_dictionaries(
        {"type": st.sampled_from(EVENTS)},
        optional={
            "index": st.integers(0, 1) | ODD,
            "content_block": BLOCK | ODD,
            "delta": BLOCK | ODD,
            "message": st.fixed_dictionaries({"id": ODD, "model": ODD, "usage": ODD}) | ODD,
            "usage": st.fixed_dictionaries({"input_tokens": ODD, "output_tokens": ODD}) | ODD,
        },
    ),
    max_size=6,
)


@settings(max_examples=60, suppress_health_check=[HealthCheck.too_slow])
@given(PARTS, st.booleans())
def test_whatever_a_server_sends(parts: list[dict[str, Any]], by_tool: bool) -> None:
    """No part, however odd, is more than passed over, and what was said is what the output holds."""
    answer = MessageAnswer(model="m", output_tool="give_answer" if by_tool else None)
    events = [event for part in parts for event in answer.read(part)]
    events += answer.finish()
    output = answer.output(request_id=None, cost=None)
    assert isinstance(output, ProviderOutput)
    assert "".join(event[1] for event in map(told, events) if event[0] == "text") == output.content
    assert "".join(event[1] for event in map(told, events) if event[0] == "thinking") == (output.thinking or "")
