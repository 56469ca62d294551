"""Changed code is caught: every change that makes another signal is drift at that very signal, and none hangs."""

from __future__ import annotations

import asyncio
import copy
import json
import os
import random
from collections.abc import Callable, Sequence
from typing import Any, Final

import pytest
from generated_runs import FIELDS, AgentSpec, RunSpec, SteadyProvider, again, live, make_spec
from harness_kit import KeepingStore

from openharness.core import DefinitionError, DriftReport, ReplayDriftError, Signal
from openharness.core.patterns import compile_pattern

LONG = os.environ.get("OPENHARNESS_LONG") == "1"
MUTATIONS = 300 if LONG else 45
BATCH = 15

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600 if LONG else 60)]

Mutation = Callable[[RunSpec, random.Random], None]


def _agent(spec: RunSpec, chance: random.Random) -> AgentSpec:
    return chance.choice(spec.agents)


def change_prompt(spec: RunSpec, chance: random.Random) -> None:
    """Another text."""
    agent = _agent(spec, chance)
    agent.prompt = (agent.prompt[0], agent.prompt[1] + 1)


def change_kind_of_prompt(spec: RunSpec, chance: random.Random) -> None:
    """Another function."""
    agent = _agent(spec, chance)
    agent.prompt = (chance.choice(["order", "random", "input"]), agent.prompt[1])


def add_agent(spec: RunSpec, chance: random.Random) -> None:
    """One more agent, somewhere."""
    agent = copy.deepcopy(_agent(spec, chance))
    agent.name = "newcomer"
    spec.agents.insert(chance.randint(0, len(spec.agents)), agent)


def remove_agent(spec: RunSpec, chance: random.Random) -> None:
    """One agent less."""
    spec.agents.remove(_agent(spec, chance))


def rename_agent(spec: RunSpec, chance: random.Random) -> None:
    """The same agent by another name."""
    _agent(spec, chance).name = "renamed"


def reorder_agents(spec: RunSpec, chance: random.Random) -> None:
    """Two agents change places."""
    one, two = chance.sample(range(len(spec.agents)), 2)
    spec.agents[one], spec.agents[two] = spec.agents[two], spec.agents[one]


def change_guard(spec: RunSpec, chance: random.Random) -> None:
    """Another guard, or none."""
    _agent(spec, chance).guard = chance.choice([None, ("order", 2), ("state", 3), ("random", 1)])


def change_reducer(spec: RunSpec, chance: random.Random) -> None:
    """A reducer that computes something else."""
    if not spec.reducers:
        spec.reducers.append(("harness:start", "count", 3))
        return
    index = chance.randrange(len(spec.reducers))
    pattern, _, number = spec.reducers[index]
    spec.reducers[index] = (pattern, chance.choice(["append", "count", "new", "random"]), number + 1)


def add_reducer(spec: RunSpec, chance: random.Random) -> None:
    """One more reducer."""
    patterns = [pattern for pattern in ("provider:*", "agent:completed", "text:*") if pattern not in dict(_pairs(spec))]
    spec.reducers.append((chance.choice(patterns), "append", 1))


def remove_reducer(spec: RunSpec, chance: random.Random) -> None:
    """One reducer less."""
    if spec.reducers:
        spec.reducers.pop(chance.randrange(len(spec.reducers)))


def reorder_reducers(spec: RunSpec, chance: random.Random) -> None:
    """The reducers in another order."""
    spec.reducers.reverse()


def change_input(spec: RunSpec, chance: random.Random) -> None:
    """Another input."""
    spec.input = {"changed": spec.input}


def change_state(spec: RunSpec, chance: random.Random) -> None:
    """Another initial state."""
    spec.state.total += 1


def change_emits(spec: RunSpec, chance: random.Random) -> None:
    """An agent that announces something else besides."""
    _agent(spec, chance).emits.append("out:new")


def reorder_emits(spec: RunSpec, chance: random.Random) -> None:
    """The same announcements in another order."""
    _agent(spec, chance).emits.reverse()


def change_updates(spec: RunSpec, chance: random.Random) -> None:
    """Another field, or none."""
    agent = _agent(spec, chance)
    agent.updates = chance.choice([field for field in (*FIELDS, None) if field != agent.updates])


def change_activate_on(spec: RunSpec, chance: random.Random) -> None:
    """Another signal to wait for."""
    agent = _agent(spec, chance)
    agent.activate_on = [*agent.activate_on, chance.choice(["agent:activated", "text:complete", "provider:start"])]


def change_model(spec: RunSpec, chance: random.Random) -> None:
    """Another model."""
    _agent(spec, chance).model = "another"


def change_temperature(spec: RunSpec, chance: random.Random) -> None:
    """More chance."""
    _agent(spec, chance).temperature = 0.5


def change_max_tokens(spec: RunSpec, chance: random.Random) -> None:
    """Shorter answers."""
    _agent(spec, chance).max_tokens = 7


def change_end_when(spec: RunSpec, chance: random.Random) -> None:
    """An earlier or later end."""
    spec.end_at = chance.randint(3, 30) if spec.end_at is None else None


def change_max_concurrency(spec: RunSpec, chance: random.Random) -> None:
    """Fewer at once, or more."""
    spec.max_concurrency = 1 if spec.max_concurrency is None else None


def change_what_fails(spec: RunSpec, chance: random.Random) -> None:
    """A guard or prompt that fails now, or does not any more."""
    _agent(spec, chance).fails = (chance.choice(["prompt", "guard"]),)


def change_on_error(spec: RunSpec, chance: random.Random) -> None:
    """A failure that ends the run."""
    _agent(spec, chance).on_error = "fail"


MUTATORS: Final[Sequence[Mutation]] = (
    change_prompt,
    change_kind_of_prompt,
    add_agent,
    remove_agent,
    rename_agent,
    reorder_agents,
    change_guard,
    change_reducer,
    add_reducer,
    remove_reducer,
    reorder_reducers,
    change_input,
    change_state,
    change_emits,
    reorder_emits,
    change_updates,
    change_activate_on,
    change_model,
    change_temperature,
    change_max_tokens,
    change_end_when,
    change_max_concurrency,
    change_what_fails,
    change_on_error,
)


KINDS: Final[dict[Mutation, set[str]]] = {
    change_prompt: {"prompt"},
    change_kind_of_prompt: {"prompt"},
    change_guard: {"guard"},
    change_reducer: {"reducer"},
    add_reducer: {"reducer"},
    remove_reducer: {"reducer"},
    reorder_reducers: {"reducer"},
    change_input: {"input"},
    change_state: {"initial_state"},
    change_model: {"parameters"},
    change_temperature: {"parameters"},
    change_max_tokens: {"parameters"},
    change_end_when: {"end_when"},
    change_max_concurrency: {"max_concurrency"},
    change_what_fails: {"guard", "prompt"},
    change_on_error: {"on_error"},
}
"""The parts that a report must name; a change of agents that is not here must be told as one of the agent set."""

OPTIONS: Final = {change_model: "model", change_temperature: "temperature", change_max_tokens: "max_tokens"}


def check_named(mutate: Mutation, spec: RunSpec, mutant: RunSpec, report: DriftReport) -> None:
    """The report names what was changed: which part, and of which agent, in data as in text."""
    assert report.kind in KINDS.get(mutate, {"agents"}), (mutate.__name__, report.kind, str(report))
    old = {agent.name: agent for agent in spec.agents}
    new = {agent.name: agent for agent in mutant.agents}
    if report.kind == "agents":
        changes = report.agents
        assert set(changes.added) | set(changes.renamed.values()) == new.keys() - old.keys()
        assert set(changes.removed) | set(changes.renamed) == old.keys() - new.keys()
        assert changes.changed == tuple(name for name in old if name in new and old[name] != new[name])
        assert changes.reordered == (mutate is reorder_agents)
        for name in [*changes.added, *changes.removed, *changes.changed, *changes.renamed]:
            assert f"agent {name!r}" in report.reason
        return
    touched = [name for name in old if name in new and old[name] != new[name]]
    if touched:
        assert [report.agent] == touched
        assert repr(report.agent) in report.reason
    if mutate in OPTIONS:
        assert OPTIONS[mutate] in report.subject
    if report.kind == "reducer":
        changed = {entry[0] for entry in [*spec.reducers, *mutant.reducers]}
        trigger = report.chain[-2].name
        assert repr(trigger) in report.subject
        assert any(compile_pattern(pattern).matches(trigger) for pattern in changed)
    assert report.chain[0].name == "harness:start"
    assert report.remaining > 0
    assert json.loads(json.dumps(report.to_json()))["kind"] == report.kind


def _pairs(spec: RunSpec) -> list[tuple[str, str]]:
    return [(pattern, kind) for pattern, kind, _ in spec.reducers]


def essence(signal: Signal) -> tuple[Any, ...]:
    """What of a signal must be the same in every run: all but the run's id, the time, and the provider."""
    parent = None if signal.source.parent is None else int(signal.source.parent.rpartition("/")[2])
    return signal.seq, signal.name, signal.payload, signal.source.agent, signal.source.activation, parent


def first_difference(one: Sequence[Signal], other: Sequence[Signal]) -> int | None:
    """The position at which two logs begin to differ."""
    for position, (left, right) in enumerate(zip(one, other, strict=False)):
        if str(essence(left)) != str(essence(right)):
            return position
    return None if len(one) == len(other) else min(len(one), len(other))


async def run_steadily(spec: RunSpec, **options: Any) -> Sequence[Signal]:
    """The signals of a live run that would be the same again."""
    return (await live(spec, **{"provider": SteadyProvider(spec), **options})).signals


async def check(number: int) -> str:
    """Record a run, change its code, and compare what replay says with what a live run shows."""
    chance = random.Random(number)
    spec = make_spec(10_000 + number, most=10, repeatable=True)
    store = KeepingStore()
    recorded = await run_steadily(spec, store=store)
    assert first_difference(recorded, await run_steadily(spec)) is None, "the control: two live runs are the same"
    mutate = MUTATORS[number % len(MUTATORS)]
    while True:
        mutant = copy.deepcopy(spec)
        mutate(mutant, chance)
        try:
            different = await run_steadily(mutant, provider=SteadyProvider(spec))
        except (DefinitionError, IndexError):
            mutate = chance.choice(MUTATORS)
            continue
        break
    position = first_difference(recorded, different)
    async with asyncio.timeout(20):
        if position is None:
            replayed = await again(mutant, recording="rec-0", store=store)
            assert replayed.signals == tuple(recorded)
            return "the same"
        with pytest.raises(ReplayDriftError) as caught:
            await again(mutant, recording="rec-0", store=store)
    report = caught.value.report
    assert report.seq == position
    assert report.recording_id == "rec-0"
    if report.recorded is not None:
        assert report.recorded == recorded[position]
    if report.actual is not None:
        assert str(essence(report.actual)) == str(essence(different[position]))
    told = report.chain[-1]
    assert told in (report.actual, report.recorded)
    assert report.activation == told.source.activation
    assert report.recorded is not None or report.actual is not None
    assert f"at signal {position}" in str(caught.value)
    check_named(mutate, spec, mutant, report)
    return "drift"


@pytest.mark.parametrize("first", range(0, MUTATIONS, BATCH))
async def test_every_change_that_makes_another_signal_is_drift_at_that_signal(first: int) -> None:
    """Replay agrees with a live run of the changed code about whether, where and how it differs from the recording."""
    outcomes = [await check(number) for number in range(first, first + BATCH)]
    assert outcomes.count("drift") >= BATCH // 2


async def test_every_kind_of_change_is_caught_at_least_once() -> None:
    """For each kind of change there is a run in which it makes a difference, and it is drift there."""
    missing = []
    for index, mutate in enumerate(MUTATORS):
        for turn in range(12):
            number = index + turn * len(MUTATORS)
            if await check(number) == "drift":
                break
        else:
            missing.append(mutate.__name__)
    assert missing == []
