"""Generated runs, looked at and forked at every signal: fold, `Player`, fork and re-execution say the same."""

from __future__ import annotations

import json
import os
import random
from collections import Counter
from typing import TYPE_CHECKING, Any

import attrs
import pytest
from generated_runs import (
    RunSpec,
    State,
    SteadyProvider,
    build,
    build_continuation,
    check_conversations,
    let_remember,
    live,
    make_spec,
    provider_of,
)
from harness_kit import KeepingStore

from openharness.core import (
    Completed,
    InMemoryRunStore,
    Provider,
    ProviderCapabilities,
    ProviderOutput,
    RecordingEndedError,
    RunError,
    RunStatus,
    TextDelta,
    UnknownNameError,
    to_json,
)
from openharness.core.log import RunFold, is_arrival
from openharness.core.values import dump_json

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable, Sequence

    from openharness.core import Context, ProviderEvent, ProviderRequest, RunContext, RunResult, Signal, SignalStore
    from openharness.signals import Player

player_type: type[Player] = pytest.importorskip("openharness.signals").Player

LONG = os.environ.get("OPENHARNESS_LONG") == "1"
RUNS = 40 if LONG else 8
MOST = 10_000 if LONG else 12
"""At how many signals of a run a test looks; chosen by chance where it has more."""

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600 if LONG else 240)]

seeds = pytest.mark.parametrize("seed", range(RUNS))


def a_spec(seed: int, *, repeatable: bool = False) -> RunSpec:
    """A small run; agents whose prompt is not to fail send the whole state, so that the log holds what they saw."""
    spec = make_spec(seed, most=6, repeatable=repeatable)
    let_remember(spec, seed)
    for agent in spec.agents:
        agent.prompt = ("input" if repeatable else "state", agent.prompt[1])
        if repeatable:
            # A fork asks again with the prompts it has now, which may fail where they did not before.
            agent.fails = tuple(what for what in agent.fails if what != "prompt")
    return spec


def chosen(seed: int, count: int) -> list[int]:
    """The signals to look at: all of them, or some by chance."""
    return sorted(random.Random(seed).sample(range(count), min(count, MOST)))


def end_of_step(log: Sequence[Signal], at: int) -> int:
    """Where the step of a signal ends, without the end of the run."""
    end = len(log) - (log[-1].name == "harness:end")
    return min(next((signal.seq for signal in log[at + 1 :] if is_arrival(signal)), end), end)


def prompts_saw_the_state(spec: RunSpec, log: Sequence[Signal], start: int = 0) -> int:
    """Check that every prompt held the state that the fold has where it was made; return how many there were."""
    failing = {agent.name for agent in spec.agents if "prompt" in agent.fails}
    fold, count = RunFold(), 0
    for signal in log:
        if (
            signal.seq >= start
            and signal.name == "provider:start"
            and signal.payload["call"].endswith("/0/0")
            and signal.source.agent not in failing
        ):
            seen = json.loads(signal.payload["request"]["messages"][-1]["content"])
            assert dump_json(seen) == dump_json(fold.state)
            count += 1
        fold.apply(signal)
    return count


def nobody_gave_up_early(spec: RunSpec, log: Sequence[Signal]) -> None:
    """Check that each agent asked again as often as it may, from its first request on, before it gave up."""
    most = {agent.name: agent.output_retries for agent in spec.agents}
    rejected: Counter[str | None] = Counter()
    for signal in log:
        if signal.name == "provider:start" and signal.payload["call"].endswith("/0/0"):
            rejected[signal.source.activation] = 0
        rejected[signal.source.activation] += signal.name == "text:rejected"
        if signal.name == "agent:error" and signal.payload["kind"] == "output":
            assert rejected[signal.source.activation] == most[signal.payload["agent"]] + 1


async def replay_of(spec: RunSpec, recording: str, store: SignalStore, **changed: Any) -> RunResult[State]:
    """Replay, also what failed."""
    harness, keywords = build_continuation(spec)
    try:
        return await harness.run_reactive(**{**keywords, **changed}, recording=recording, store=store)
    except RunError as error:
        result: RunResult[State] = error.result
        return result


async def fork_of(
    spec: RunSpec, recording: str | None, store: SignalStore, *, provider: Provider, **options: Any
) -> RunResult[State]:
    """Fork, and check that what the fork recorded replays and that its player ends in its state."""
    harness, keywords = build_continuation(spec)
    result = await harness.fork(str(recording), **keywords, provider=provider, store=store, **options)
    replayed = await replay_of(spec, str(result.recording_id), store)
    assert replayed.signals == result.signals
    assert replayed.state == result.state
    player = await player_type.load(store, str(result.recording_id))
    player.seek(len(player) - 1)
    assert player.state_as(State) == result.state
    end = RunFold.of(result.signals)
    assert (end.calls, end.activations) == ({}, {})
    check_conversations(result.signals)
    nobody_gave_up_early(spec, result.signals)
    return result


class Noting(Provider):
    """Asks another provider, and notes for which activations."""

    type = "noting"
    capabilities = ProviderCapabilities(output_schema=True)

    def __init__(self, other: Provider) -> None:
        self._other = other
        self.asked: Counter[str] = Counter()

    async def run(self, request: ProviderRequest, context: RunContext) -> AsyncGenerator[ProviderEvent, None]:
        """Note it, and answer."""
        if context.call.endswith("/0/0"):
            self.asked[context.activation] += 1
        async for event in self._other.run(request, context):
            yield event


class Other(Provider):
    """A model that answers everything otherwise, and what fits."""

    type = "other"
    capabilities = ProviderCapabilities(output_schema=True)

    async def run(self, request: ProviderRequest, context: RunContext) -> AsyncGenerator[ProviderEvent, None]:
        """Answer."""
        answer = f"other {context.agent} 0"
        if request.output_schema is not None:
            answer = f'"{answer}"'
        yield TextDelta(answer[:3])
        yield TextDelta(answer[3:])
        yield Completed(ProviderOutput(content=answer))


@seeds
async def test_every_look_at_a_signal_shows_the_same_state(seed: int) -> None:
    """At each signal the player, the fold, and the run when it is executed again up to there have the same state."""
    spec, store = a_spec(seed), KeepingStore()
    whole = await live(spec, store=store)
    prompts_saw_the_state(spec, whole.signals)
    player = await player_type.load(store, str(whole.recording_id))
    fold = RunFold()
    for signal in whole.signals:
        fold.apply(signal)
        player.seek(signal.seq)
        assert dump_json(player.state) == dump_json(fold.state)
    for at in chosen(seed, len(whole.signals) - 1):
        player.seek(at)
        cut = await store.cut(str(whole.recording_id), at + 1)
        with pytest.raises(RecordingEndedError) as caught:
            await replay_of(spec, cut, store)
        assert caught.value.seq == at + 1
        assert dump_json(to_json(caught.value.state)) == dump_json(player.state)
    assert dump_json(to_json(whole.state)) == dump_json(fold.state)


@seeds
async def test_guards_see_the_state_of_their_signal(seed: int) -> None:
    """What a guard is shown, live and in a replay, is the state before the signal that tells of its decision."""
    spec, store = a_spec(seed), KeepingStore()
    seen: list[tuple[str, Any]] = []

    def watched(name: str, guard: Callable[[Context[State]], bool]) -> Callable[[Context[State]], bool]:
        def watching(ctx: Context[State]) -> bool:
            seen.append((name, to_json(ctx.state)))
            return guard(ctx)

        return watching

    _, keywords = build(spec)
    agents = {name: attrs.evolve(agent, when=watched(name, agent.when)) for name, agent in keywords["agents"].items()}
    whole = await live(spec, store=store, agents=agents)
    first = list(seen)
    seen.clear()
    await replay_of(spec, str(whole.recording_id), store, agents=agents)
    assert seen == first
    told: list[tuple[str | None, Any]] = []
    fold = RunFold()
    for signal in whole.signals:
        payload = signal.payload
        if (
            signal.name == "agent:activated"
            or (signal.name == "agent:skipped" and payload["reason"] == "guard")
            or (signal.name == "agent:error" and payload["kind"] == "guard")
        ):
            told.append((signal.source.agent, fold.state))
        fold.apply(signal)
    assert [(name, dump_json(state)) for name, state in told] == [(name, dump_json(state)) for name, state in first]


@seeds
async def test_a_fork_goes_on_where_its_signal_was(seed: int) -> None:
    """A fork anywhere shares the log to the end of the step, repeats no ended call, asks what was open, and replays."""
    spec, store, history = a_spec(seed), KeepingStore(), InMemoryRunStore()
    origin = await live(spec, store=store)
    for at in chosen(seed, len(origin.signals)):
        provider = Noting(provider_of(spec))
        fork = await fork_of(spec, origin.recording_id, store, provider=provider, at=at, run_store=history)
        stop = end_of_step(origin.signals, at)
        before = RunFold.of(origin.signals[:stop])

        shared = [(signal.name, signal.payload, signal.timestamp) for signal in fork.signals[:stop]]
        start = origin.signals[0]
        assert shared[0] == (start.name, {**start.payload, "folded": stop}, start.timestamp)
        assert shared[1:] == [(signal.name, signal.payload, signal.timestamp) for signal in origin.signals[1:stop]]
        forked = fork.signals[stop]
        assert forked.name == "harness:forked"
        assert forked.payload == {
            "run_id": origin.run_id,
            "recording_id": origin.recording_id,
            "at": stop - 1,
            "state": {},
        }
        assert dump_json(RunFold.of(fork.signals[: stop + 1]).state) == dump_json(before.state)
        record = await history.get_run(fork.run_id)
        assert record is not None
        assert record.parent_run_id == origin.run_id

        ended = {
            signal.source.activation
            for signal in origin.signals[:stop]
            if signal.name == "agent:activated" and signal.source.activation not in before.activations
        }
        assert not provider.asked.keys() & ended
        assert set(provider.asked.values()) <= {1}
        failed = {signal.source.activation for signal in fork.signals[stop:] if signal.name == "agent:error"}
        assert before.activations.keys() <= provider.asked.keys() | failed
        prompts_saw_the_state(spec, fork.signals, start=stop)


@seeds
async def test_a_fork_with_everything_changed(seed: int) -> None:
    """State, agents and provider that are changed at any signal are used from there on, and only from there on."""
    spec, store = a_spec(seed), KeepingStore()
    origin = await live(spec, store=store)
    new: dict[str, Any] = {"model": "other", "fails": (), "examples": (("new", "neu"),)}
    other = {"agent": "none", "none": "agent"}
    agents = [attrs.evolve(agent, **new, typed=not agent.typed, history=other[agent.history]) for agent in spec.agents]
    changed = attrs.evolve(spec, agents=agents)
    for at in chosen(seed + 1, len(origin.signals)):
        patch = {"f2": f"changed at {at}", "total": -at - 1}
        fork = await fork_of(changed, origin.recording_id, store, provider=Other(), at=at, state=patch)
        stop = end_of_step(origin.signals, at)
        before = RunFold.of(origin.signals[:stop]).state
        told = fork.signals[stop + 1 : stop + 3]
        assert [signal.name for signal in told] == ["state:f2:changed", "state:total:changed"]
        assert [signal.source.parent for signal in told] == [fork.signals[stop].id] * 2
        player = await player_type.load(store, str(fork.recording_id))
        player.seek(stop)
        assert dump_json(player.state) == dump_json(before)
        player.seek(stop + 2)
        assert dump_json(player.state) == dump_json({**before, **patch})

        asked = [signal for signal in fork.signals[stop:] if signal.name == "provider:start"]
        assert {signal.payload["request"]["model"] for signal in asked} <= {"other"}
        assert {signal.source.provider for signal in asked} <= {"other"}
        assert all(signal.payload["request"]["messages"][0]["content"] == "new" for signal in asked)
        typed = {agent.name for agent in changed.agents if agent.typed}
        assert all(("output_schema" in signal.payload["request"]) == (signal.source.agent in typed) for signal in asked)
        assert "provider:error" not in {signal.name for signal in fork.signals[stop:]}
        answers = [signal for signal in fork.signals[stop:] if signal.name == "text:complete"]
        assert [signal.payload["text"].strip('"') for signal in answers] == [
            f"other {signal.source.agent} 0" for signal in answers
        ]
        assert "other" not in {signal.source.provider for signal in fork.signals[:stop]}
        prompts_saw_the_state(changed, fork.signals, start=stop)


@seeds
async def test_a_fork_without_an_agent(seed: int) -> None:
    """An agent may be left out of a fork wherever it is not at work; where it is, that is an error before any call."""
    spec, store = a_spec(seed), KeepingStore()
    for agent in spec.agents:
        agent.activate_on = [name for name in agent.activate_on if not name.startswith(("out", "shared"))]
        agent.activate_on = agent.activate_on or ["harness:start"]
    origin = await live(spec, store=store)
    gone = spec.agents[0].name
    fewer = attrs.evolve(spec, agents=spec.agents[1:])
    for at in chosen(seed + 2, len(origin.signals)):
        before = RunFold.of(origin.signals[: end_of_step(origin.signals, at)])
        provider = Noting(provider_of(spec))
        if any(activation.agent == gone for activation in before.activations.values()):
            with pytest.raises(UnknownNameError, match=gone):
                await fork_of(fewer, origin.recording_id, store, provider=provider, at=at)
            assert not provider.asked
        else:
            fork = await fork_of(fewer, origin.recording_id, store, provider=provider, at=at)
            assert gone not in {signal.source.agent for signal in fork.signals[before.count :]}


def what_happened(log: Sequence[Signal], start: int) -> list[Any]:
    """What a run did from a signal on, without times, ids, and how the calls that were open were made again."""
    return [
        (signal.seq, signal.name, signal.payload, signal.source.agent, signal.source.activation)
        for signal in log[start:]
        if signal.name != "provider:restart" and not (signal.name == "provider:start" and signal.seq < start)
    ]


def asks_the_same(log: Sequence[Signal], before: RunFold) -> bool:
    """Whether the activations that are open would begin with the requests that they wait for now.

    Not so after an answer that was rejected, nor where another activation of the agent has said something meanwhile.
    """
    for call in before.calls.values():
        activation = before.activations[call.activation]
        earlier = RunFold.of(log[: call.started]).conversations.get(activation.agent, ())
        if activation.turn or (
            activation.history is not None and before.conversations.get(activation.agent, ()) != earlier
        ):
            return False
    return True


@seeds
async def test_a_fork_is_what_execution_again_would_be(seed: int) -> None:
    """Fork, which folds the beginning, and resume, which executes it again, go on signal for signal the same way."""
    spec, store = a_spec(seed, repeatable=True), KeepingStore()
    origin = await live(spec, store=store, provider=SteadyProvider(spec))
    for at in chosen(seed + 3, len(origin.signals) - 1):
        stop = end_of_step(origin.signals, at)
        if stop == len(origin.signals) - 1:
            continue  # Executing this again also ends the run.
        if not asks_the_same(origin.signals, RunFold.of(origin.signals[:stop])):
            continue  # A fork begins anew what execution again goes on with.
        fork = await fork_of(spec, origin.recording_id, store, provider=SteadyProvider(spec), at=at)
        harness, keywords = build_continuation(spec)
        cut = await store.cut(str(origin.recording_id), stop)
        resumed = await harness.resume(cut, **keywords, provider=SteadyProvider(spec), store=store)
        again = stop + 1 + len(RunFold.of(origin.signals[:stop]).calls)
        assert what_happened(fork.signals, again) == what_happened(resumed.signals, again)
        assert fork.state == resumed.state
        assert fork.status == resumed.status == RunStatus.COMPLETED


@seeds
async def test_a_fork_of_a_fork(seed: int) -> None:
    """A fork can be forked anywhere, also in what it took over; each names the run it was forked from."""
    spec, store, history = a_spec(seed), KeepingStore(), InMemoryRunStore()
    origin = await live(spec, store=store)
    chance = random.Random(seed)
    for _ in range(5 if LONG else 2):
        parent = origin
        for _ in range(3):
            at = chance.randrange(len(parent.signals))
            child = await fork_of(
                spec, parent.recording_id, store, provider=provider_of(spec), at=at, run_store=history
            )
            record = await history.get_run(child.run_id)
            assert record is not None
            assert record.parent_run_id == parent.run_id
            names = [signal.name for signal in child.signals]
            shared = [signal.name for signal in parent.signals[: end_of_step(parent.signals, at)]]
            assert names.count("harness:forked") == shared.count("harness:forked") + 1
            parent = child
