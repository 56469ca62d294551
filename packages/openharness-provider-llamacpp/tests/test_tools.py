"""Tools that the real model asks for."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any

import pytest
from asking import CONTEXT

from openharness.core import Completed, Message, ProviderError, ProviderRequest, ToolCall
from openharness.provider_llamacpp import LlamaCppProvider

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from openharness.core import ProviderEvent, ProviderOutput

READ_FILE = {
    "name": "read_file",
    "description": "Read a file of the folder.",
    "parameters": {"type": "object", "properties": {"name": {"type": "string"}}, "required": ["name"]},
}
ADD = {
    "name": "add",
    "description": "Add numbers.",
    "parameters": {
        "type": "object",
        "properties": {"numbers": {"type": "array", "items": {"type": "number"}}},
        "required": ["numbers"],
    },
}
# The examples are a long prompt for one slow core.
pytestmark = pytest.mark.slow
QUESTION = "What is the total in {}?"


@pytest.fixture(scope="module")
def provider(real_model: None) -> Iterator[LlamaCppProvider]:
    """Give one provider to all tests, which reads the examples once."""
    provider = LlamaCppProvider(cache_prompt=True)
    yield provider
    asyncio.run(provider.close())


def asks(id_: str, name: str, arguments: Any) -> Message:
    """Return the message of a model that calls a tool."""
    return Message("assistant", "", tool_calls=[ToolCall(id_, name, arguments)])


def worked_example(number: int, file: str, figures: Sequence[int]) -> list[Message]:
    """Return a conversation in which both tools are used."""
    read, added = f"read{number}", f"add{number}"
    return [
        Message("user", QUESTION.format(file)),
        asks(read, "read_file", {"name": file}),
        Message("tool", " + ".join(map(str, figures)), tool_call_id=read),
        asks(added, "add", {"numbers": list(figures)}),
        Message("tool", str(sum(figures)), tool_call_id=added),
        Message("assistant", f"The total in {file} is {sum(figures)}."),
    ]


EXAMPLES = [
    *worked_example(1, "rent.txt", [3, 4, 5]),
    *worked_example(2, "books.txt", [10, 2]),
    *worked_example(3, "fuel.txt", [7, 70, 1, 4]),
]


async def answer(
    provider: LlamaCppProvider, *messages: Message, **parameters: Any
) -> tuple[list[ToolCall], ProviderOutput]:
    """Return the calls and the output of a request that follows the examples."""
    asked = ProviderRequest(messages=[*EXAMPLES, *messages], tools=[READ_FILE, ADD], **{"max_tokens": 60} | parameters)
    events: list[ProviderEvent] = [event async for event in provider.run(asked, CONTEXT)]
    last = events[-1]
    assert isinstance(last, Completed)
    return [event for event in events if isinstance(event, ToolCall)], last.output


async def test_the_model_calls_tools_until_it_can_answer(provider: LlamaCppProvider) -> None:
    """After worked examples the model reads a file, adds what it read, and answers with the sum."""
    messages = [Message("user", QUESTION.format("march.txt"))]
    (read,), output = await answer(provider, *messages)
    assert (read.name, read.arguments) == ("read_file", {"name": "march.txt"})
    assert (output.content, output.stop_reason) == ("", "tool_calls")
    messages += [asks(read.id, read.name, read.arguments), Message("tool", "120 + 45 + 9", tool_call_id=read.id)]
    (added,), _ = await answer(provider, *messages)
    assert (added.name, added.arguments) == ("add", {"numbers": [120, 45, 9]})
    messages += [asks(added.id, added.name, added.arguments), Message("tool", "174", tool_call_id=added.id)]
    calls, output = await answer(provider, *messages)
    assert (calls, output.stop_reason) == ([], "end")
    assert "174" in output.content


async def test_a_request_gets_the_same_calls_each_time(provider: LlamaCppProvider) -> None:
    """The ids of calls count on from those of the conversation, so two equal requests get equal answers."""
    question = Message("user", QUESTION.format("milk.txt"))
    for _ in range(2):
        calls, _ = await answer(provider, question)
        assert calls == [ToolCall("call_7", "read_file", {"name": "milk.txt"})]


async def test_a_call_that_is_cut_off_comes_as_text_and_can_be_sent_again(provider: LlamaCppProvider) -> None:
    """Arguments that max_tokens ended are no JSON and come as they are; llama.cpp takes them back with an error."""
    messages = [Message("user", QUESTION.format("milk.txt"))]
    (call,), output = await answer(provider, *messages, max_tokens=14)
    assert call.name == "read_file"
    assert isinstance(call.arguments, str)
    with pytest.raises(ValueError, match="char"):
        json.loads(call.arguments)
    assert output.stop_reason in ("max_tokens", "tool_calls")
    messages += [
        asks(call.id, call.name, call.arguments),
        Message("tool", "The arguments are no JSON.", tool_call_id=call.id, is_error=True),
    ]
    _, output = await answer(provider, *messages, max_tokens=1)
    assert output.usage.output_tokens == 1


async def test_tools_go_before_a_schema(provider: LlamaCppProvider) -> None:
    """A request with both gets a call: kept to the schema, the model could make none."""
    schema = {"type": "object", "properties": {"total": {"type": "number"}}, "required": ["total"]}
    calls, _ = await answer(provider, Message("user", QUESTION.format("milk.txt")), output_schema=schema)
    assert [call.name for call in calls] == ["read_file"]


async def test_a_model_that_would_not_hear_of_tools_is_an_error(real_model: None) -> None:
    """A chat template without a place for tools is refused with the remedy; without tools it is not."""
    template = "{% for message in messages %}{{ message.role }}: {{ message.content }}\n{% endfor %}"
    async with LlamaCppProvider(parameters={"chat_template": template}) as deaf:
        question = Message("user", "Hello?")
        asked = ProviderRequest(messages=[question], tools=[ADD], max_tokens=1)
        with pytest.raises(ProviderError, match="chat_template") as caught:
            [event async for event in deaf.run(asked, CONTEXT)]
        assert caught.value.kind == "unsupported"
        assert not caught.value.retryable
        asked = ProviderRequest(messages=[question], max_tokens=1)
        assert isinstance([event async for event in deaf.run(asked, CONTEXT)][-1], Completed)
