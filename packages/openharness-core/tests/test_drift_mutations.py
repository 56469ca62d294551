"""Changed code is caught: every change that makes another signal is drift at that very signal, and none hangs."""

from __future__ import annotations

import asyncio
import copy
import json
import os
import random
from typing import TYPE_CHECKING, Any, Final

import pytest
from generated_runs import RunSpec, SteadyProvider, again, live, make_spec
from harness_kit import KeepingStore
from mutations import (
    MUTATORS,
    Mutation,
    add_reducer,
    change_end_when,
    change_guard,
    change_input,
    change_kind_of_prompt,
    change_max_concurrency,
    change_max_tokens,
    change_model,
    change_on_error,
    change_prompt,
    change_reducer,
    change_state,
    change_temperature,
    change_what_fails,
    remove_reducer,
    reorder_agents,
    reorder_reducers,
)

from openharness.core import (
    DefinitionError,
    DriftReport,
    ReplayDriftError,
    Signal,
)
from openharness.core.patterns import compile_pattern

if TYPE_CHECKING:
    from collections.abc import Sequence

LONG = os.environ.get("OPENHARNESS_LONG") == "1"
MUTATIONS = 300 if LONG else 45
BATCH = 15

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600 if LONG else 60)]


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
