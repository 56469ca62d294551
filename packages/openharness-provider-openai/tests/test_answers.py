"""What the chunks of a completion become, above all those of servers that leave things out."""

from __future__ import annotations

import json
from typing import Any

import pytest
from collecting import collect, request, told
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from serving import JSON, Reply, Server

from openharness.core import Completed, to_json
from openharness.provider_openai import OpenAIProvider
from openharness.provider_openai._answer import CompletionAnswer

USAGE = {"prompt_tokens": 11, "completion_tokens": 5}


def chunk(*, finish: str | None = None, **delta: Any) -> dict[str, Any]:
    """A chunk of a completion."""
    return {"id": "chatcmpl-1", "model": "m-1", "choices": [{"index": 0, "delta": delta, "finish_reason": finish}]}


def call(arguments: Any = None, *, name: str | None = None, **more: Any) -> dict[str, Any]:
    """A piece of a tool call."""
    function = {key: value for key, value in (("name", name), ("arguments", arguments)) if value is not None}
    return {"function": function, **more}


async def told_by(*chunks: Any, headers: dict[str, str] | None = None) -> list[Any]:
    """Serve these chunks and return what the provider says."""
    body = b"".join(b"data: %s\n\n" % json.dumps(one).encode() for one in chunks) + b"data: [DONE]\n\n"
    reply = Reply(body=body, headers={"content-type": "text/event-stream", **(headers or {})})
    async with Server(reply) as server, OpenAIProvider("m", base_url=server.url, api_key="k", timeout=500) as provider:
        *others, last = await collect(provider, request())
    assert isinstance(last, Completed)
    return [*map(told, others), last.output]


async def test_content_in_parts() -> None:
    """Text that comes in parts is text, and the reasoning among them is thinking."""
    *events, output = await told_by(
        chunk(content=[{"type": "thinking", "thinking": [{"type": "text", "text": "Well"}, {"text": "."}]}]),
        chunk(content=[{"type": "thinking", "thinking": " So."}, {"type": "text", "text": "Hel"}]),
        chunk(content="lo"),
        chunk(finish="stop", content=[{"type": "reference", "reference_ids": [1]}, "x"]),
    )
    assert events == [["thinking", "Well."], ["thinking", " So."], ["text", "Hel"], ["text", "lo"]]
    assert (output.content, output.thinking, output.stop_reason) == ("Hello", "Well. So.", "end")


async def test_the_older_form_of_a_call() -> None:
    """The one call of an old server is a call like any other."""
    *events, output = await told_by(
        chunk(function_call={"name": "a", "arguments": '{"n":'}),
        chunk(function_call={"arguments": " 1}"}),
        chunk(finish="function_call"),
    )
    assert events == [["tool", "call_0", "a", {"n": 1}]]
    assert output.stop_reason == "tool_calls"


@pytest.mark.parametrize(
    "pieces, expected",
    [
        pytest.param(
            [
                [call("", name="a", index=0, id="x")],
                [call('{"n":', index=0)],
                [call("1}", index=0), call("{}", name="b", index=1, id="y")],
            ],
            [["tool", "x", "a", {"n": 1}], ["tool", "y", "b", {}]],
            id="by index",
        ),
        pytest.param(
            [[call('{"n":', name="a", index=0, id="x")], [call("1}", name="a", index=0, id="x")]],
            [["tool", "x", "a", {"n": 1}]],
            id="name and id again with each piece",
        ),
        pytest.param(
            [[call('{"n": 1}', name="a", index=0, id="x")], [call('{"n": 2}', name="b", index=0, id="y")]],
            [["tool", "x", "a", {"n": 1}], ["tool", "y", "b", {"n": 2}]],
            id="every index is 0",
        ),
        pytest.param(
            [[call('{"n": 1}', name="a", id="x"), call('{"n": 2}', name="a", id="y")], [call("", id="y")]],
            [["tool", "x", "a", {"n": 1}], ["tool", "y", "a", {"n": 2}]],
            id="ids and no index",
        ),
        pytest.param(
            [[call('{"n":', name="a")], [call("1}")], [call("{}", name="b")]],
            [["tool", "call_0", "a", {"n": 1}], ["tool", "call_1", "b", {}]],
            id="neither",
        ),
        pytest.param(
            [[call({"n": 1}, name="a", index=0, id="x")]],
            [["tool", "x", "a", {"n": 1}]],
            id="arguments as an object",
        ),
        pytest.param([[call(name="a", index=0, id="x")]], [["tool", "x", "a", {}]], id="no arguments"),
    ],
)
async def test_tool_calls_in_pieces(pieces: list[Any], expected: list[Any]) -> None:
    """However a server cuts and labels tool calls, they are put together."""
    *events, output = await told_by(*(chunk(tool_calls=one) for one in pieces), chunk(finish="tool_calls"))
    assert events == expected
    assert output.stop_reason == "tool_calls"


async def test_half_a_tool_call() -> None:
    """A call that ran out of tokens is no call; one that is no JSON is told as the text it is. Both with a warning."""
    half = chunk(tool_calls=[call('{"n": 1, ', name="a", index=0, id="x")])
    *events, _ = await told_by(half, chunk(finish="length"))
    assert [event[0] for event in events] == ["warning"]
    *events, _ = await told_by(half, chunk(finish="tool_calls"))
    assert [event[0] for event in events] == ["warning", "tool"]
    assert events[1] == ["tool", "x", "a", '{"n": 1, ']


@pytest.mark.parametrize("name", ["reasoning_content", "reasoning"])
async def test_reasoning(name: str) -> None:
    """Reasoning is thinking, and goes along again with the results of tools."""
    thoughts = [chunk(**{name: "Hm, "}), chunk(**{name: "Rome."})]
    *events, output = await told_by(
        *thoughts, chunk(tool_calls=[call("{}", name="a", id="x")]), chunk(finish="tool_calls")
    )
    assert events == [["thinking", "Hm, "], ["thinking", "Rome."], ["tool", "x", "a", {}]]
    assert (output.thinking, output.continuation) == ("Hm, Rome.", {name: "Hm, Rome."})
    *_, output = await told_by(*thoughts, chunk(content="Yes."), chunk(finish="stop"))
    assert (output.content, output.continuation) == ("Yes.", None)


@pytest.mark.parametrize(
    "finish, expected",
    [("stop", "end"), ("length", "max_tokens"), ("tool_calls", "tool_calls"), ("content_filter", "content_filter")],
)
async def test_stop_reasons(finish: str, expected: str) -> None:
    """Each reason has its word, and the vendor's own where there is none."""
    *_, output = await told_by(chunk(content="Hi"), chunk(finish=finish))
    assert output.stop_reason == expected


async def test_a_refusal() -> None:
    """What a model says instead of an answer is told, with the reason."""
    *events, output = await told_by(chunk(refusal="I will "), chunk(refusal="not."), chunk(finish="stop"))
    assert events == [["text", "I will "], ["text", "not."]]
    assert (output.content, output.stop_reason) == ("I will not.", "refusal")


async def test_usage_and_ids() -> None:
    """Usage comes in a chunk without choices, in the last one with a choice, or in every one; the last one counts."""
    details = {"prompt_tokens_details": {"cached_tokens": 4}, "completion_tokens_details": {"reasoning_tokens": 3}}
    for chunks in (
        [chunk(content="Hi", finish="stop"), {"choices": [], "usage": {**USAGE, **details}}],
        [chunk(content="Hi", finish="stop") | {"usage": {**USAGE, **details}}],
        [chunk(content="Hi") | {"usage": {"prompt_tokens": 1}}, chunk(finish="stop") | {"usage": {**USAGE, **details}}],
    ):
        *_, output = await told_by(*chunks)
        assert to_json(output.usage) == {"input_tokens": 11, "output_tokens": 5, "cached_tokens": 4, "cost": None}
        assert output.data == {"reasoning_tokens": 3}
        assert (output.model, output.request_id) == ("m-1", "chatcmpl-1")
    *_, output = await told_by(chunk(finish="stop"), headers={"x-request-id": "req_1"})
    assert output.request_id == "req_1"


@pytest.mark.parametrize(
    "chunks",
    [
        pytest.param([{"choices": [{"delta": {"content": "Hi"}, "finish_reason": "stop"}]}], id="no ids, no usage"),
        pytest.param([chunk(content="Hi"), {"usage": USAGE}], id="no reason and no choices"),
        pytest.param([chunk(content="Hi", finish="stop"), {}], id="an empty chunk"),
        pytest.param([{"choices": None}, chunk(content="Hi", finish="stop")], id="no list of choices"),
        pytest.param([chunk(content="Hi"), {"choices": [{"finish_reason": "stop", "delta": None}]}], id="no delta"),
        pytest.param([chunk(content="Hi", tool_calls=None), chunk(content=None, finish="stop")], id="nulls"),
        pytest.param(
            [chunk(content="Hi", finish="stop"), {"choices": [], "usage": {"prompt_tokens": None}}], id="no counts"
        ),
    ],
)
async def test_what_servers_leave_out(chunks: list[Any]) -> None:
    """An answer is an answer, whatever is missing beside its text."""
    *events, output = await told_by(*chunks)
    assert events == [["text", "Hi"]]
    assert output.content == "Hi"


async def test_a_server_that_does_not_stream() -> None:
    """An answer that comes whole is told as one piece, tool calls included."""
    message = {"role": "assistant", "content": "Hi", "tool_calls": [{**call("{}", name="a"), "id": "x"}]}
    body = {"id": "1", "model": "m", "choices": [{"message": message, "finish_reason": "tool_calls"}], "usage": USAGE}
    reply = Reply(headers={**JSON, "content-type": "application/json; charset=utf-8"}, body=json.dumps(body).encode())
    async with Server(reply) as server, OpenAIProvider("m", base_url=server.url, api_key="k", timeout=500) as provider:
        *events, last = await collect(provider, request())
    assert list(map(told, events)) == [["text", "Hi"], ["tool", "x", "a", {}]]
    assert isinstance(last, Completed)
    assert last.output.usage.input_tokens == 11


ANYTHING = (
    st.none()
    | st.booleans()
    | st.integers(-2, 2)
    | st.floats()
    | st.text(max_size=2)
    | st.just([1])
    | st.just({"a": 1})
)
CALLS = st.lists(
    st.fixed_dictionaries(
        {},
        optional={
            "index": st.integers(0, 2) | ANYTHING,
            "id": st.sampled_from(["x", "y", ""]) | ANYTHING,
            "function": st.fixed_dictionaries({}, optional={"name": st.just("a"), "arguments": ANYTHING}) | ANYTHING,
        },
    ),
    max_size=3,
)
DELTAS = st.fixed_dictionaries(
    {}, optional={"content": ANYTHING, "tool_calls": CALLS | ANYTHING, "reasoning": ANYTHING}
)
CHOICES = st.lists(st.fixed_dictionaries({"delta": DELTAS}, optional={"finish_reason": ANYTHING}), max_size=2)
CHUNKS = st.lists(st.fixed_dictionaries({"choices": CHOICES | ANYTHING}, optional={"usage": ANYTHING}), max_size=5)


@settings(max_examples=60, suppress_health_check=[HealthCheck.too_slow])
@given(CHUNKS)
def test_whatever_a_server_sends(chunks: list[dict[str, Any]]) -> None:
    """No chunk, however odd, is more than passed over, and what was said is what the output holds."""
    answer = CompletionAnswer(model="m")
    events = [event for one in chunks for event in answer.read(one)]
    events += answer.finish()
    output = answer.output(request_id=None, cost=None)
    assert "".join(event[1] for event in map(told, events) if event[0] == "text") == output.content
    assert "".join(event[1] for event in map(told, events) if event[0] == "thinking") == (output.thinking or "")


ARGUMENTS = st.dictionaries(st.text(max_size=3), st.integers() | st.text(max_size=5), max_size=3)


@settings(max_examples=60, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(ARGUMENTS, min_size=1, max_size=4), st.randoms(use_true_random=False), st.booleans())
def test_calls_that_come_interleaved(calls: list[Any], random: Any, indexed: bool) -> None:
    """Calls whose pieces come in any order among each other are told whole, each once."""
    answer = CompletionAnswer(model="m")
    texts = [json.dumps(one) for one in calls]
    left = [list(text) for text in texts]
    for number in range(len(calls)):
        label = {"index": number, "id": f"id{number}"} if indexed else {"id": f"id{number}"}
        list(answer.read(chunk(tool_calls=[call("", name="a", **label)])))
    while any(left):
        number = random.choice([number for number, rest in enumerate(left) if rest])
        label = {"index": number} if indexed else {"id": f"id{number}"}
        list(answer.read(chunk(tool_calls=[call(left[number].pop(0), **label)])))
    assert list(map(told, answer.finish())) == [["tool", f"id{n}", "a", one] for n, one in enumerate(calls)]
