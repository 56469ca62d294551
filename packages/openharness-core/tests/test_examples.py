"""Worked examples of agents: what they must be, and where they stand in a request."""

from __future__ import annotations

from typing import Any

import attrs
import pytest

from openharness.core import DefinitionError, Message, ReplayDriftError, ToolCall, create_harness
from openharness.signals import MemorySignalStore
from openharness.testing import ScriptedProvider


@attrs.define
class State:
    """What the agent is asked, and what it says."""

    question: str = "What is 2 + 3?"
    answer: str = ""


harness = create_harness(State)
CALL = ToolCall("a", "add", {"numbers": [1, 1]})
WITH_A_TOOL = [
    Message("user", "What is 1 + 1?"),
    Message("assistant", "", tool_calls=[CALL]),
    Message("tool", "2", tool_call_id="a"),
    Message("assistant", "It is 2."),
]


def agent(examples: Any, **options: Any) -> Any:
    """Define an agent with examples."""
    return harness.agent(
        prompt="{{ state.question }}",
        system="Be short.",
        updates="answer",
        examples=examples,
        **{"activate_on": "harness:start"} | options,
    )


async def test_examples_stand_before_the_prompt() -> None:
    """Every request begins with the examples, as they were given; pairs are a question and an answer."""
    provider = ScriptedProvider(["It is 5."])
    agents = {"a": agent([("What is 0 + 0?", "It is 0."), *WITH_A_TOOL])}
    await harness.run_reactive(agents=agents, state=State(), provider=provider)
    (request,) = provider.requests
    assert request.system == "Be short."
    assert list(request.messages) == [
        Message("user", "What is 0 + 0?"),
        Message("assistant", "It is 0."),
        *[attrs.evolve(message, tool_calls=tuple(message.tool_calls)) for message in WITH_A_TOOL],
        Message("user", "What is 2 + 3?"),
    ]


async def test_examples_are_no_part_of_the_history() -> None:
    """An agent that keeps a history is told its examples once in each request, and then what was said before."""
    provider = ScriptedProvider(["It is 5.", "As I said: 5.", "Still 5."])
    examples = [("What is 0 + 0?", "It is 0.")]
    again = agent(
        examples,
        history="agent",
        activate_on=["harness:start", "answer:given"],
        emits="answer:given",
        when=lambda ctx: not ctx.state.answer.startswith("Still"),
    )
    result = await harness.run_reactive(agents={"a": again}, state=State(), provider=provider)
    assert [[message.content for message in request.messages] for request in provider.requests] == [
        ["What is 0 + 0?", "It is 0.", "What is 2 + 3?"],
        ["What is 0 + 0?", "It is 0.", "What is 2 + 3?", "It is 5.", "What is 2 + 3?"],
        [
            *("What is 0 + 0?", "It is 0.", "What is 2 + 3?", "It is 5."),
            *("What is 2 + 3?", "As I said: 5.", "What is 2 + 3?"),
        ],
    ]
    starts = [signal.payload["history"] for signal in result.signals if signal.name == "provider:start"]
    assert [(start["examples"], start["messages"]) for start in starts] == [(2, 0), (2, 2), (2, 4)]


async def test_changed_examples_are_drift() -> None:
    """A replay with other examples differs from its recording, like a replay with another prompt."""
    store = MemorySignalStore()
    options: dict[str, Any] = {"state": State(), "fixture": "sum", "store": store}
    recorded = {"a": agent([("What is 0 + 0?", "It is 0.")])}
    provider = ScriptedProvider(["It is 5."])
    await harness.run_reactive(agents=recorded, provider=provider, mode="record", **options)
    replayed = await harness.run_reactive(agents=recorded, mode="replay", **options)
    assert replayed.state.answer == "It is 5."
    with pytest.raises(ReplayDriftError, match="It is nil"):
        await harness.run_reactive(agents={"a": agent([("What is 0 + 0?", "It is nil.")])}, mode="replay", **options)


@pytest.mark.parametrize("history", ["none", "agent"])
@pytest.mark.parametrize(
    "changed", [[("What is 0 + 0?", "It is nil.")], [("What is 1 + 0?", "It is 0.")], [], [("?", "!"), ("?", "!")]]
)
async def test_drift_names_the_examples(changed: Any, history: Any) -> None:
    """Other examples, more or fewer of them are named as what has changed, whether the agent keeps a history or not."""
    store = MemorySignalStore()
    options: dict[str, Any] = {"state": State(), "fixture": "sum", "store": store}
    one = [("What is 0 + 0?", "It is 0.")]
    provider = ScriptedProvider(["It is 5."])
    await harness.run_reactive(agents={"a": agent(one, history=history)}, provider=provider, mode="record", **options)
    with pytest.raises(ReplayDriftError, match="examples of agent 'a' is not what was recorded") as caught:
        await harness.run_reactive(agents={"a": agent(changed, history=history)}, mode="replay", **options)
    assert caught.value.report.kind == "examples"


async def test_examples_are_kept_as_they_were() -> None:
    """What is changed later in the given messages does not reach the agent."""
    arguments = {"numbers": [1, 1]}
    examples = [
        Message("user", "?"),
        Message("assistant", "", tool_calls=[ToolCall("a", "add", arguments)]),
        Message("tool", "2", tool_call_id="a"),
        Message("assistant", "2"),
    ]
    provider = ScriptedProvider(["It is 5."])
    agents = {"a": agent(examples)}
    arguments["numbers"].append(1)
    await harness.run_reactive(agents=agents, state=State(), provider=provider)
    assert provider.requests[0].messages[1].tool_calls[0].arguments == {"numbers": [1, 1]}


@pytest.mark.parametrize(
    "examples, named",
    [
        ("What?", "What"),
        ([("one",)], "one"),
        ([("one", 1)], "one"),
        ({"one": "two"}, "one"),
        (3, "3"),
        ([Message("user", "?")], "ends with user"),
        ([Message("assistant", "!")], "assistant after nothing"),
        ([("?", "!"), Message("assistant", "!")], "assistant after assistant"),
        ([Message("user", "?"), *WITH_A_TOOL], "user after user"),
        (WITH_A_TOOL[:2], "a call of a tool"),
        (WITH_A_TOOL[:3], "ends with tool"),
        ([*WITH_A_TOOL[:3], Message("user", "?"), Message("assistant", "!")], "user after tool"),
        ([WITH_A_TOOL[0], WITH_A_TOOL[1], WITH_A_TOOL[3]], "assistant after assistant"),
        ([WITH_A_TOOL[0], WITH_A_TOOL[1], Message("tool", "2", tool_call_id="b"), WITH_A_TOOL[3]], "'b'"),
        ([("?", "!"), Message("tool", "2", tool_call_id="b")], "tool after assistant"),
        ([Message("user", "?", tool_calls=[CALL]), Message("assistant", "!")], "tool_calls"),
        ([Message("system", "?")], "system"),  # type: ignore[arg-type]
        ([Message("user", object()), Message("assistant", "!")], "JSON"),
    ],
)
def test_what_is_no_conversation_is_refused(examples: Any, named: str) -> None:
    """What is no worked example is an error where the agent is defined, which says what came."""
    with pytest.raises(DefinitionError, match="examples must be") as caught:
        agent(examples)
    assert named in str(caught.value)
