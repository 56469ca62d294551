"""Limits: what would never stop by itself is stopped, told in the log, and replays the same."""

from __future__ import annotations

from typing import Any

import pytest
from harness_kit import KeepingStore, ScriptedProvider, names_of, of_name

from openharness.core import Harness, InvalidValueError, LimitExceededError, create_harness


async def stopped(harness: Harness[Any], **options: Any) -> LimitExceededError:
    """Run until a limit stops the run; make sure that the log says so and that its replay stops in the same way."""
    store = KeepingStore()
    options.setdefault("state", {"n": 0})
    with pytest.raises(LimitExceededError) as caught:
        await harness.run_reactive(**options, provider=ScriptedProvider(), store=store)
    error = caught.value
    assert error.result.status == "failed"
    assert names_of(error.result.signals)[-2:] == ["harness:limit", "harness:end"]
    assert error.result.signals[-2].payload == {"limit": error.limit, "value": error.value, "agent": error.agent}
    assert error.result.signals[-1].payload["error"] == {"type": "LimitExceededError", "message": str(error)}
    assert store.recordings["rec-0"].info.outcome == "failed"
    with pytest.raises(LimitExceededError) as again:
        await harness.run_reactive(**options, recording="rec-0", store=store)
    assert (again.value.limit, again.value.value, again.value.agent) == (error.limit, error.value, error.agent)
    assert again.value.result.signals == error.result.signals
    return error


async def test_an_agent_that_triggers_itself_is_stopped_by_depth() -> None:
    """An agent that answers its own signal is stopped after a hundred activations in a row."""
    harness = create_harness()
    agent = harness.agent(prompt="x", activate_on=["harness:start", "again:a"], emits="again:a")
    error = await stopped(harness, agents={"a": agent})
    assert (error.limit, error.value, error.agent) == ("max_depth", 100, "a")
    assert error.result.metrics.activations == 100


async def test_two_agents_that_trigger_each_other_are_stopped() -> None:
    """The chain counts whichever agents it is made of."""
    harness = create_harness()
    ping = harness.agent(prompt="x", activate_on=["harness:start", "to:ping"], emits="to:pong")
    pong = harness.agent(prompt="x", activate_on="to:pong", emits="to:ping")
    error = await stopped(harness, agents={"ping": ping, "pong": pong}, max_depth=7)
    assert (error.limit, error.value, error.agent) == ("max_depth", 7, "pong")
    assert error.result.metrics.activations == 7


async def test_a_fan_out_without_end_is_stopped_by_the_number_of_activations() -> None:
    """Agents that multiply are stopped at max_activations, however shallow the chain."""
    harness = create_harness()
    agent = harness.agent(prompt="x", activate_on=["harness:start", "more:a", "more:b"], emits=["more:a", "more:b"])
    error = await stopped(harness, agents={"a": agent, "b": agent}, max_activations=50)
    assert (error.limit, error.value) == ("max_activations", 50)
    assert error.result.metrics.activations == 50


async def test_exactly_as_many_as_allowed_is_no_error() -> None:
    """A run that needs all its activations and its whole depth completes."""
    harness = create_harness()
    agent = harness.agent(
        prompt="x",
        activate_on=["harness:start", "again:a"],
        emits="again:a",
        when=lambda ctx: ctx.state["n"] < 5,
        updates=None,
    )

    def count(state: dict[str, int], signal: object) -> None:
        state["n"] += 1

    result = await harness.run_reactive(
        agents={"a": agent},
        state={"n": 0},
        provider=ScriptedProvider(),
        reducers={"agent:activated": count},
        max_activations=5,
        max_depth=5,
    )
    assert result.metrics.activations == 5
    assert [signal.payload["depth"] for signal in of_name(result.signals, "agent:activated")] == [1, 2, 3, 4, 5]


async def test_depth_counts_a_chain_and_not_a_number() -> None:
    """Many agents that wait for the same signal are all at depth one."""
    harness = create_harness()
    agent = harness.agent(prompt="x", activate_on="harness:start")
    result = await harness.run_reactive(
        agents={f"a{n}": agent for n in range(30)}, state={}, provider=ScriptedProvider(), max_depth=1
    )
    assert result.metrics.activations == 30


@pytest.mark.parametrize("pattern", ["**", "state:n:changed"])
async def test_a_reducer_that_triggers_itself_is_stopped(pattern: str) -> None:
    """A reducer that sees its own change, in one step that could never end, is stopped and told of."""
    harness = create_harness()
    agent = harness.agent(prompt="x", activate_on="harness:start")

    def count(state: dict[str, int], signal: object) -> None:
        state["n"] += 1

    error = await stopped(harness, agents={"a": agent}, reducers={"harness:start": count, pattern: count})
    assert (error.limit, error.value, error.agent) == ("max_chain", 100, None)
    assert "'**'" in str(error)


async def test_reducers_that_multiply_are_stopped() -> None:
    """A reducer that makes several changes of every change is stopped before the step fills the memory."""
    harness = create_harness()
    agent = harness.agent(prompt="x", activate_on="harness:start")

    def spread(state: dict[str, int], signal: object) -> None:
        for field in state:
            state[field] += 1

    error = await stopped(
        harness,
        agents={"a": agent},
        state={"n": 0, "m": 0, "o": 0},
        reducers={"harness:start": spread, "state:**": spread},
    )
    assert (error.limit, error.value) == ("max_chained", 10_000)


async def test_a_guard_that_fails_at_the_news_of_its_failure_is_stopped() -> None:
    """A guard that raises at agent:error, with on_error="continue", would go on for ever within one step."""
    harness = create_harness()

    def fail(ctx: object) -> bool:
        raise RuntimeError("always")

    agent = harness.agent(prompt="x", activate_on="**", when=fail, on_error="continue")
    error = await stopped(harness, agents={"a": agent})
    assert error.limit == "max_chain"


async def test_a_prompt_that_fails_at_the_news_of_its_failure_is_stopped_by_depth() -> None:
    """An agent that is activated by its own agent:error is a chain of activations like any other."""
    harness = create_harness()

    def fail(ctx: object) -> str:
        raise RuntimeError("always")

    agent = harness.agent(prompt=fail, activate_on=["harness:start", "agent:error"], on_error="continue")
    error = await stopped(harness, agents={"a": agent})
    assert (error.limit, error.agent) == ("max_depth", "a")


async def test_a_long_chain_of_reducers_that_ends_is_no_error() -> None:
    """Reducers may cause one another as long as it comes to an end."""
    harness = create_harness()
    agent = harness.agent(prompt="x", activate_on="harness:start")

    def down(state: dict[str, int], signal: object) -> None:
        state["n"] = max(state["n"] - 1, 0)

    result = await harness.run_reactive(
        agents={"a": agent},
        state={"n": 60},
        provider=ScriptedProvider(),
        reducers={"harness:start": down, "state:n:changed": down},
    )
    assert result.state == {"n": 0}


async def test_the_count_begins_anew_with_every_step() -> None:
    """A reducer that makes one change of every signal is not stopped however many signals there are."""
    harness = create_harness()
    agent = harness.agent(prompt="a long prompt " * 100, activate_on="harness:start")

    def count(state: dict[str, int], signal: object) -> None:
        state["n"] += 1

    result = await harness.run_reactive(
        agents={"a": agent, "b": agent},
        state={"n": 0},
        provider=ScriptedProvider(size=2),
        reducers={"text:delta": count},
    )
    assert result.state["n"] == names_of(result.signals).count("text:delta") > 1000


@pytest.mark.parametrize("name", ["max_activations", "max_depth", "max_concurrency"])
@pytest.mark.parametrize("value", [0, -1, 1.5, True, "5", None])
async def test_limits_are_integers_from_one_on(name: str, value: Any) -> None:
    """A limit that is no positive integer is refused before the run; only max_concurrency may be None."""
    harness = create_harness()
    agent = harness.agent(prompt="x", activate_on="harness:start")
    run = harness.run_reactive(agents={"a": agent}, state={}, provider=ScriptedProvider(), **{name: value})
    if name == "max_concurrency" and value is None:
        await run
    else:
        with pytest.raises(InvalidValueError, match=name):
            await run
