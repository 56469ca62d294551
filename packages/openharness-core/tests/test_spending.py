"""What a run may use: the answer that goes beyond it ends the run, live, in a replay, and not after a resume."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, ClassVar

import pytest
from harness_kit import HangingProvider, KeepingStore, names_of, of_name
from hypothesis import given, settings
from hypothesis import strategies as st

from openharness.core import (
    AgentError,
    Completed,
    Harness,
    InvalidValueError,
    LimitExceededError,
    Provider,
    ProviderCapabilities,
    ProviderError,
    ProviderOutput,
    ReplayDriftError,
    RunResult,
    ToolCall,
    UnknownUsageError,
    Usage,
    create_harness,
    tool,
)

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Iterable

    from openharness.core import ProviderEvent, ProviderRequest, RunContext

HARNESS: Harness[dict[str, Any]] = create_harness()


class MeteredProvider(Provider):
    """Answers with what it was told that each request takes; an exception is raised, a call of a tool goes before."""

    type: ClassVar[str] = "metered"
    capabilities = ProviderCapabilities(tools=True)

    def __init__(self, *usages: Usage | Exception | tuple[Usage, ToolCall]) -> None:
        self._usages = list(usages)
        self.calls: list[str] = []

    async def run(self, request: ProviderRequest, context: RunContext) -> AsyncGenerator[ProviderEvent, None]:
        """Answer as the class says."""
        self.calls.append(context.call)
        usage = self._usages.pop(0)
        if isinstance(usage, Exception):
            raise usage
        if isinstance(usage, tuple):
            usage, call = usage
            yield call
        yield Completed(ProviderOutput(content=f"answer {len(self.calls)}", usage=usage))


def tokens(number: int, cost: float | None = None) -> Usage:
    """A usage of so many tokens, some of them of the answer."""
    return Usage(input_tokens=number - number // 3, output_tokens=number // 3, cost=cost)


def chain(count: int, **options: Any) -> dict[str, Any]:
    """Agents of which each begins when the one before is done."""
    return {
        f"a{number}": HARNESS.agent(
            prompt="x",
            activate_on="harness:start" if number == 0 else f"done:{number - 1}",
            emits=f"done:{number}",
            updates=f"a{number}",
            **options,
        )
        for number in range(count)
    }


def state(agents: Iterable[str]) -> dict[str, Any]:
    """A state with a field for each agent."""
    return dict.fromkeys(agents, "")


async def stopped(
    agents: dict[str, Any], provider: Provider, store: KeepingStore, kind: Any = LimitExceededError, **options: Any
) -> Any:
    """Run until a limit stops the run; make sure that its log says so and that its replay stops in the same way."""
    with pytest.raises(kind) as caught:
        await HARNESS.run_reactive(agents=agents, state=state(agents), provider=provider, store=store, **options)
    error = caught.value
    signals = error.result.signals
    assert error.result.status == "failed"
    # Nothing comes between the answer that went too far and the end.
    assert names_of(signals)[-3:] == ["provider:end", "harness:limit", "harness:end"]
    assert signals[-1].payload["error"] == {"type": kind.__name__, "message": str(error)}
    assert store.recordings["rec-0"].info.outcome == "failed"
    with pytest.raises(kind) as again:
        await HARNESS.run_reactive(agents=agents, state=state(agents), recording="rec-0", store=store, **options)
    assert str(again.value) == str(error)
    assert again.value.result.signals == signals
    return error


# Where a run stops.


@pytest.mark.parametrize(
    "limit, spent, usages",
    [
        ({"max_tokens": 100}, 101, [tokens(60), tokens(41)]),
        ({"max_cost": 1.0}, 1.25, [tokens(1, 0.5), tokens(1, 0.75)]),
        ({"max_cost": 0}, 0.5, [tokens(1, 0.0), tokens(1, 0.5)]),
    ],
)
async def test_the_answer_that_goes_too_far_ends_the_run(
    limit: dict[str, Any], spent: float, usages: list[Usage]
) -> None:
    """The error, the signal and the outcome say which limit, how much was used, and whose answer it was."""
    ((name, value),) = limit.items()
    provider = MeteredProvider(*usages)
    error = await stopped(chain(3), provider, KeepingStore(), **limit)
    assert (error.limit, error.value, error.spent, error.agent) == (name, value, spent, "a1")
    assert error.result.signals[-2].payload == {"limit": name, "value": value, "agent": "a1", "spent": spent}
    assert error.result.signals[-2].source.parent == error.result.signals[-3].id
    assert f"{name}={float(value) if name == 'max_cost' else value}" in str(error)
    assert provider.calls == ["a0#1/0/0", "a1#1/0/0"]
    metrics = error.result.metrics
    assert (metrics.input_tokens + metrics.output_tokens if name == "max_tokens" else metrics.cost) == spent


async def test_exactly_as_much_as_allowed_is_no_error() -> None:
    """The limits themselves may be used, also where floats do not add up: ten times 0.1 is 1.0."""
    provider = MeteredProvider(*[tokens(10, 0.1)] * 10)
    result = await HARNESS.run_reactive(
        agents=chain(10), state=state(chain(10)), provider=provider, max_tokens=100, max_cost=1.0
    )
    assert result.status == "completed"
    provider = MeteredProvider(*[tokens(10, 0.1)] * 3)
    agents = chain(3)
    result = await HARNESS.run_reactive(agents=agents, state=state(agents), provider=provider, max_cost=0.3)
    assert result.metrics.cost > 0.3


@settings(max_examples=60, deadline=None)
@given(
    used=st.lists(st.tuples(st.integers(1, 50), st.integers(0, 50)), min_size=1, max_size=8),
    max_tokens=st.none() | st.integers(1, 200),
    max_cents=st.none() | st.integers(0, 200),
)
def test_a_run_that_completes_has_kept_to_its_limits(
    used: list[tuple[int, int]], max_tokens: int | None, max_cents: int | None
) -> None:
    """A run stops at the first answer with which it has used more than it may, and at no other."""

    async def main() -> None:
        provider = MeteredProvider(*(tokens(number, cents / 100) for number, cents in used))
        options: dict[str, Any] = {"max_tokens": max_tokens}
        options["max_cost"] = None if max_cents is None else max_cents / 100
        sums = [(sum(n for n, _ in used[: i + 1]), sum(c for _, c in used[: i + 1])) for i in range(len(used))]
        beyond = (
            index
            for index, (spent, cents) in enumerate(sums)
            if (max_tokens is not None and spent > max_tokens) or (max_cents is not None and cents > max_cents)
        )
        last = next(beyond, None)
        agents = chain(len(used))
        if last is None:
            await HARNESS.run_reactive(agents=agents, state=state(agents), provider=provider, **options)
        else:
            error = await stopped(agents, provider, KeepingStore(), **options)
            assert error.agent == f"a{last}"
        assert len(provider.calls) == (len(used) if last is None else last + 1)

    asyncio.run(main())


async def test_turns_with_tools_and_retries_count() -> None:
    """Every answer counts, also one that only asks for a tool, and one that came after a failure."""

    @tool
    def look(number: int) -> str:
        """Look."""
        return f"seen {number}"

    provider = MeteredProvider(
        ProviderError("busy", retryable=True),
        (tokens(40), ToolCall("1", "look", {"number": 1})),
        (tokens(40), ToolCall("2", "look", {"number": 2})),
        tokens(40),
    )
    agents = {"a0": HARNESS.agent(prompt="x", activate_on="harness:start", tools=[look], retries=1, retry_delay=0)}
    error = await stopped(agents, provider, KeepingStore(), max_tokens=79)
    assert (error.spent, provider.calls) == (80, ["a0#1/0/0", "a0#1/0/1", "a0#1/1/0"])
    # The second tool is not started any more.
    assert len(of_name(error.result.signals, "tool:start")) == 1


async def test_agents_that_go_on_after_errors_are_stopped_too() -> None:
    """A limit is the run's: an agent's ``on_error`` does not keep it going."""
    error = await stopped(chain(2, on_error="continue"), MeteredProvider(tokens(9)), KeepingStore(), max_tokens=8)
    assert error.spent == 9


@pytest.mark.virtual_time
async def test_what_runs_is_cancelled() -> None:
    """Other requests that are under way when the limit is reached are stopped, and the run ends at once."""
    hanging = HangingProvider()

    class Late(MeteredProvider):
        async def run(self, request: ProviderRequest, context: RunContext) -> AsyncGenerator[ProviderEvent, None]:
            await hanging.began.wait()
            async for event in super().run(request, context):
                yield event

    agents = {
        "slow": HARNESS.agent(prompt="x", activate_on="harness:start", provider=hanging),
        "a0": HARNESS.agent(prompt="x", activate_on="harness:start"),
    }
    async with asyncio.timeout(5):
        error = await stopped(agents, Late(tokens(9)), KeepingStore(), max_tokens=8)
    assert (error.agent, hanging.stopped) == ("a0", ["cancelled", "finally"])


# What is not known.


@pytest.mark.parametrize(
    "limit, usage, words",
    [
        ({"max_cost": 5}, Usage(input_tokens=3, output_tokens=2), "a cost of 0.0 is known"),
        ({"max_tokens": 50}, Usage(), "how many tokens"),
        ({"max_tokens": 50}, Usage(cost=0.5), "how many tokens"),
    ],
)
async def test_what_is_not_known_does_not_pass_for_nothing(limit: dict[str, Any], usage: Usage, words: str) -> None:
    """An answer that may have cost anything ends a run that is limited, with an error that says what to do."""
    ((name, value),) = limit.items()
    store = KeepingStore()
    agents = chain(2)
    error = await stopped(agents, MeteredProvider(tokens(5, 0.1), usage), store, UnknownUsageError, **limit)
    assert (error.limit, error.value, error.agent, error.call) == (name, value, "a1", "a1#1/0/0")
    assert words in str(error)
    payload = {"limit": name, "value": value, "agent": "a1", "unknown": "a1#1/0/0"}
    assert error.result.signals[-2].payload == payload
    result = await HARNESS.resume("rec-0", agents=agents, provider=MeteredProvider(), store=store)
    assert result.status == "completed"


@pytest.mark.parametrize(
    "limit, usage",
    [
        ({"max_cost": 5}, Usage(cost=0.0)),
        ({"max_tokens": 50}, tokens(3)),
        ({}, Usage()),
        ({"max_tokens": None}, Usage()),
    ],
)
async def test_what_is_not_limited_need_not_be_known(limit: dict[str, Any], usage: Usage) -> None:
    """Only what there is a limit for must be told; a cost of 0.0 is told."""
    result = await HARNESS.run_reactive(
        agents=chain(1), state=state(chain(1)), provider=MeteredProvider(usage), **limit
    )
    assert result.status == "completed"


# Going on.


@pytest.mark.parametrize("rebuild", ["replay", "fold"])
async def test_a_stopped_run_goes_on_with_a_higher_limit(rebuild: Any) -> None:
    """No answer is asked for twice, what was used before counts, and the new recording replays."""
    store, agents = KeepingStore(), chain(4)
    await stopped(agents, MeteredProvider(tokens(60), tokens(60)), store, max_tokens=100)
    further = MeteredProvider(tokens(60))
    with pytest.raises(LimitExceededError) as caught:
        await HARNESS.resume("rec-0", agents=agents, provider=further, store=store, max_tokens=170, rebuild=rebuild)
    assert (caught.value.spent, caught.value.agent, further.calls) == (180, "a2", ["a2#1/0/0"])
    last = MeteredProvider(tokens(60))
    result = await HARNESS.resume(
        caught.value.recording_id or "", agents=agents, provider=last, store=store, max_tokens=240, rebuild=rebuild
    )
    assert (result.status, last.calls, result.metrics.input_tokens + result.metrics.output_tokens) == (
        "completed",
        ["a3#1/0/0"],
        240,
    )
    assert all(result.state.values())
    again = await HARNESS.run_reactive(agents=agents, recording=result.recording_id, store=store, max_tokens=240)
    assert again.signals == result.signals


@pytest.mark.parametrize("rebuild", ["replay", "fold"])
async def test_a_stopped_run_asks_nobody_when_the_limit_is_still_too_low(rebuild: Any) -> None:
    """Resumed with a limit that has been passed already, it ends again before any request."""
    store, agents = KeepingStore(), chain(4)
    await stopped(agents, MeteredProvider(tokens(60), tokens(60)), store, max_tokens=100)
    nobody = MeteredProvider()
    with pytest.raises(LimitExceededError) as caught:
        await HARNESS.resume("rec-0", agents=agents, provider=nobody, store=store, max_tokens=110, rebuild=rebuild)
    assert (caught.value.spent, nobody.calls) == (120, [])


async def test_a_failed_run_is_resumed_under_a_limit() -> None:
    """A limit that what is taken over has passed ends the run when it is resumed, and then no agent is to blame."""
    store, agents = KeepingStore(), chain(3)
    provider = MeteredProvider(tokens(60), tokens(60), ProviderError("no credit"))
    with pytest.raises(AgentError):
        await HARNESS.run_reactive(agents=agents, state=state(agents), provider=provider, store=store)
    nobody = MeteredProvider()
    options: dict[str, Any] = {"agents": agents, "provider": nobody, "store": store, "max_tokens": 100}
    with pytest.raises(LimitExceededError) as caught:
        await HARNESS.resume("rec-0", **options, rebuild="fold")
    assert (caught.value.spent, caught.value.agent, nobody.calls) == (120, None, [])
    assert names_of(caught.value.result.signals)[-3:] == ["harness:resumed", "harness:limit", "harness:end"]
    with pytest.raises(LimitExceededError) as again:
        await HARNESS.run_reactive(agents=agents, recording=caught.value.recording_id, store=store, max_tokens=100)
    assert again.value.result.signals == caught.value.result.signals


async def test_a_fork_counts_what_it_took_over() -> None:
    """A fork of a stopped run goes on under a higher limit; what it shares with that run is part of its sum."""
    store, agents = KeepingStore(), chain(3)
    error = await stopped(agents, MeteredProvider(tokens(60), tokens(60)), store, max_tokens=100)
    at = of_name(error.result.signals, "provider:start")[1].seq
    provider = MeteredProvider(tokens(30), tokens(30))
    result: RunResult[dict[str, Any]] = await HARNESS.fork(
        "rec-0", at=at, agents=agents, provider=provider, store=store, max_tokens=120
    )
    assert (result.status, provider.calls) == ("completed", ["a1#1/0/0", "a2#1/0/0"])
    assert result.metrics.input_tokens + result.metrics.output_tokens == 120
    nobody = MeteredProvider()
    with pytest.raises(LimitExceededError) as caught:
        await HARNESS.fork("rec-0", at=at, agents=agents, provider=nobody, store=store, max_tokens=59)
    assert (caught.value.spent, caught.value.agent, nobody.calls) == (60, None, [])


async def test_a_replay_under_another_limit_is_drift() -> None:
    """A replay that does not stop where the run was stopped, or stops where it was not, says which limit it is."""
    store, agents = KeepingStore(), chain(2)
    await stopped(agents, MeteredProvider(tokens(60), tokens(60)), store, max_tokens=100)
    with pytest.raises(ReplayDriftError) as caught:
        await HARNESS.run_reactive(agents=agents, state=state(agents), recording="rec-0", store=store)
    assert "max_tokens" in str(caught.value)
    with pytest.raises(ReplayDriftError) as caught:
        await HARNESS.run_reactive(agents=agents, state=state(agents), recording="rec-0", store=store, max_tokens=50)
    assert "max_tokens" in str(caught.value)


@pytest.mark.parametrize(
    "options",
    [{"max_tokens": value} for value in (0, -1, 1.5, True, "9")]
    + [{"max_cost": value} for value in (-0.1, float("nan"), float("inf"), True, "9")],
)
async def test_limits_that_cannot_be_kept_are_refused(options: dict[str, Any]) -> None:
    """What is no number from the right range is an error before anything is asked."""
    with pytest.raises(InvalidValueError) as caught:
        await HARNESS.run_reactive(agents=chain(1), state=state(chain(1)), provider=MeteredProvider(), **options)
    assert caught.value.name in options
