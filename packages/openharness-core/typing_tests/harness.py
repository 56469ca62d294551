"""What type checkers see of the harness; nothing here is ever run."""

from __future__ import annotations

import dataclasses
from collections.abc import AsyncIterator
from typing import Any, TypedDict, assert_type

import attrs

from openharness.core import (
    AgentDefinition,
    AgentMetrics,
    Context,
    Harness,
    Mode,
    Provider,
    RunHandle,
    RunMetrics,
    RunResult,
    RunStatus,
    RunStore,
    RunStream,
    Signal,
    SignalStore,
    StartedRun,
    Subscription,
    create_harness,
)


@attrs.define
class State:
    """An attrs state."""

    topic: str = ""
    count: int = 0


@dataclasses.dataclass
class Data:
    """A dataclass state."""

    topic: str = ""


class Typed(TypedDict):
    """A TypedDict state."""

    topic: str


def check_create() -> None:
    """A harness is of the type of its state; without one, of dicts."""
    assert_type(create_harness(State), Harness[State])
    assert_type(create_harness(Data), Harness[Data])
    assert_type(create_harness(Typed), Harness[Typed])
    assert_type(create_harness(), Harness[dict[str, Any]])
    assert_type(
        create_harness(provider="claude", mode="auto", store="file:fixtures", run_store="sqlite:///r.db"),
        Harness[dict[str, Any]],
    )
    create_harness(State, mode="sometimes")  # type: ignore[call-overload]  # pyright: ignore[reportCallIssue, reportArgumentType]


def check_agents(harness: Harness[State]) -> None:
    """Both forms of an agent are typed by the state, and so is what its functions see."""
    agent = harness.agent(
        prompt="{{ state.topic }}",
        activate_on=["harness:start"],
        emits="a:done",
        when=lambda ctx: ctx.state.count > 0 and ctx.now > 0 and ctx.random.random() < 1,
        updates="topic",
        on_error="continue",
    )
    assert_type(agent, AgentDefinition[State])

    @harness.agent(activate_on="a:done", updates="topic")
    def summary(ctx: Context[State]) -> str:
        assert_type(ctx.state, State)
        assert_type(ctx.signal, Signal)
        assert_type(ctx.agent, str | None)
        return ctx.state.topic

    assert_type(summary, AgentDefinition[State])
    harness.agent(prompt="x")  # type: ignore[call-overload]  # pyright: ignore[reportCallIssue]
    harness.agent(prompt=5, activate_on="a:b")  # type: ignore[call-overload]  # pyright: ignore[reportCallIssue, reportArgumentType]
    harness.agent(prompt="x", activate_on="a:b", on_error="ignore")  # type: ignore[call-overload]  # pyright: ignore[reportCallIssue, reportArgumentType]


async def check_runs(
    harness: Harness[State],
    *,
    agent: AgentDefinition[State],
    provider: Provider,
    store: SignalStore,
    runs: RunStore,
    mode: Mode,
) -> None:
    """Options of a run are checked by name and type, and the result is of the type of the state."""

    def count(state: State, signal: Signal) -> None:
        state.count += signal.seq

    def anew(state: State, signal: Signal, context: Context[State]) -> State:
        return attrs.evolve(state, count=context.signal.seq + signal.seq)

    result = await harness.run_reactive(
        agents={"a": agent},
        state=State(topic="tea"),
        input={"any": ["json"]},
        provider=provider,
        mode=mode,
        fixture="f",
        store=store,
        run_store=runs,
        reducers={"text:delta": count, "a:**": anew},
        end_when=lambda ctx: ctx.state.topic == "done",
        timeout=5,
        max_concurrency=2,
        max_tokens=100_000,
        max_cost=1.5,
        tags=["x"],
        metadata={"k": 1},
    )
    assert_type(result, RunResult[State])
    assert_type(result.state, State)
    assert_type(result.signals, tuple[Signal, ...])
    assert_type(result.metrics, RunMetrics)
    assert_type(result.metrics.agents["a"], AgentMetrics)
    assert_type(result.status, RunStatus)
    assert_type(result.recording_id, str | None)
    assert_type(await harness.run_reactive(agents=[agent], recording="rec_1", store=store), RunResult[State])
    await harness.run_reactive(agents=[agent], state=Data())  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    await harness.run_reactive(agents=[agent], fixtur="f")  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    await harness.run_reactive(state=State())  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]


async def check_started_runs(harness: Harness[State], agent: AgentDefinition[State]) -> None:
    """A started run gives a handle, a stream gives signals."""
    started = harness.start(agents=[agent])
    assert_type(started, StartedRun[State])
    async with started as run:
        assert_type(run, RunHandle[State])
        assert_type(await run.emit("say:it", {"x": 1}), Signal)
        assert_type(await run.result(), RunResult[State])
    async with harness.stream(agents=[agent]) as stream:
        assert_type(stream, RunStream[State])
        assert_type(aiter(stream), AsyncIterator[Signal])
        assert_type(await stream.result(), RunResult[State])


def check_subscriptions(harness: Harness[State]) -> None:
    """Subscribers are plain or coroutine functions of a signal."""

    async def wait(signal: Signal) -> None:
        del signal

    seen: list[Signal] = []
    assert_type(harness.subscribe("**", seen.append), Subscription)
    with harness.subscribe(["a:*", "b:*"], wait, buffer=5, policy="drop") as subscription:
        assert_type(subscription.dropped, int)
    harness.subscribe("**", wait, policy="wait")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
