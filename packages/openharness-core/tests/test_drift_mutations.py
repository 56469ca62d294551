"""Changed code is caught: every change that makes another signal is drift at that very signal, and none hangs."""

from __future__ import annotations

import asyncio
import copy
import json
import logging
import os
import random
from collections.abc import Sequence
from typing import Any, Final

import attrs
import pytest
from generated_runs import RunSpec, SteadyProvider, again, carry_on, live, make_spec
from harness_kit import KeepingStore
from mutations import (
    MUTATORS,
    WITHOUT_DIFFERENCE,
    Mutation,
    add_reducer,
    add_tool,
    change_activate_on,
    change_approval,
    change_description,
    change_emits,
    change_end_when,
    change_examples,
    change_guard,
    change_history,
    change_history_tokens,
    change_idempotent,
    change_input,
    change_kind_of_prompt,
    change_max_activations,
    change_max_concurrency,
    change_max_depth,
    change_max_tokens,
    change_max_tool_concurrency,
    change_max_turns,
    change_model,
    change_on_error,
    change_output,
    change_output_retries,
    change_parameters,
    change_prompt,
    change_reducer,
    change_seed,
    change_state,
    change_stop,
    change_system,
    change_temperature,
    change_tool_retries,
    change_updates,
    change_what_fails,
    remove_reducer,
    remove_tool,
    rename_tool,
    reorder_agents,
    reorder_emits,
    reorder_reducers,
    reorder_tools,
)

from openharness.core import (
    DefinitionError,
    DriftReport,
    ReplayDriftError,
    Signal,
)
from openharness.core.patterns import compile_pattern

LONG = os.environ.get("OPENHARNESS_LONG") == "1"
MUTATIONS = 780 if LONG else 15
BATCH = 15
MOST_RUNS = 60
TRIES = 20
RESUMED = 200 if LONG else 25

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600 if LONG else 240)]


KINDS: Final[dict[Mutation, set[str]]] = {
    change_prompt: {"prompt"},
    change_kind_of_prompt: {"prompt"},
    change_system: {"prompt"},
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
    change_stop: {"parameters"},
    change_seed: {"parameters"},
    add_tool: {"tools"},
    remove_tool: {"tools"},
    rename_tool: {"tools"},
    reorder_tools: {"tools"},
    change_description: {"tools"},
    change_parameters: {"tools"},
    change_approval: {"tools"},
    change_idempotent: {"tools"},
    change_max_turns: {"limit"},
    change_tool_retries: {"limit"},
    change_output: {"output"},
    change_output_retries: {"limit"},
    change_history: {"history"},
    change_history_tokens: {"history"},
    change_examples: {"examples"},
    change_max_activations: {"limit"},
    change_max_depth: {"limit"},
    change_end_when: {"end_when"},
    change_max_concurrency: {"max_concurrency"},
    change_max_tool_concurrency: {"max_tool_concurrency"},
    change_what_fails: {"guard", "prompt"},
    change_on_error: {"on_error"},
}
"""The parts that a report must name; a change of agents that is not here must be told as one of the agent set."""

SUBJECTS: Final[dict[Mutation, str]] = {
    change_prompt: "the prompt of agent {agent!r}",
    change_system: "the system prompt of agent {agent!r}",
    change_guard: "the guard of agent {agent!r}",
    change_input: "the input",
    change_state: "the initial state",
    change_model: "model of agent {agent!r}",
    change_temperature: "temperature of agent {agent!r}",
    change_max_tokens: "max_tokens of agent {agent!r}",
    change_stop: "stop of agent {agent!r}",
    change_seed: "seed of agent {agent!r}",
    add_tool: "tool {tool!r} of agent {agent!r}",
    remove_tool: "tool {tool!r} of agent {agent!r}",
    rename_tool: "tool {tool!r} of agent {agent!r}",
    reorder_tools: "the order of the tools of agent {agent!r}",
    change_description: "the description of tool {tool!r} of agent {agent!r}",
    change_parameters: "the parameters of tool {tool!r} of agent {agent!r}",
    change_approval: "needs_approval of tool {tool!r} of agent {agent!r}",
    change_idempotent: "idempotent of tool {tool!r} of agent {agent!r}",
    change_max_turns: "max_turns of agent {agent!r}",
    change_tool_retries: "tool_retries of agent {agent!r}",
    change_output: "the output type of agent {agent!r}",
    change_output_retries: "output_retries of agent {agent!r}",
    change_history: "history of agent {agent!r}",
    change_history_tokens: "history of agent {agent!r}",
    change_examples: "examples of agent {agent!r}",
    change_max_activations: "max_activations",
    change_max_depth: "max_depth",
    change_end_when: "end_when",
    change_max_concurrency: "max_concurrency",
    change_max_tool_concurrency: "max_tool_concurrency",
    change_on_error: "on_error of agent {agent!r}",
}
"""The very words for what was changed, where there is one way to say it."""

PHRASES: Final[dict[Mutation, str]] = {
    add_tool: "tool {tool!r} of agent {agent!r} was added",
    remove_tool: "tool {tool!r} of agent {agent!r} was removed",
    rename_tool: "tool {tool!r} of agent {agent!r} was renamed to 'renamed'",
}
WIRING: Final[dict[Mutation, str]] = {
    change_emits: "emits",
    reorder_emits: "emits",
    change_updates: "updates",
    change_activate_on: "activate_on",
}


@pytest.fixture(autouse=True)
def quiet(caplog: pytest.LogCaptureFixture) -> None:
    """What fails on purpose need not be told."""
    caplog.set_level(logging.CRITICAL + 1, "openharness")


def check_named(mutate: Mutation, spec: RunSpec, mutant: RunSpec, report: DriftReport) -> None:
    """The report names what was changed: which part, and of which agent, in data as in text."""
    assert report.kind in KINDS.get(mutate, {"agents"}), (mutate.__name__, report.kind, str(report))
    assert report.chain[0].name in ("harness:start", "harness:resumed")
    assert report.remaining > 0
    assert json.loads(json.dumps(report.to_json()))["kind"] == report.kind
    if report.kind == "agents":
        check_agents_named(mutate, spec, mutant, report)
        return
    touched = [
        name
        for name, (old, new) in zip_named(spec.agents, mutant.agents).items()
        if old is not None and new is not None and old != new
    ]
    if touched:
        assert [report.agent] == touched
        assert repr(report.agent) in report.reason
    words = {"agent": report.agent, "tool": tool_that_differs(spec, mutant, report.agent)}
    if mutate in SUBJECTS:
        assert report.subject == SUBJECTS[mutate].format(**words)
        assert report.subject in report.reason
    if mutate in PHRASES:
        assert PHRASES[mutate].format(**words) in report.reason
    if report.kind == "reducer":
        changed = {entry[0] for entry in [*spec.reducers, *mutant.reducers]}
        trigger = report.chain[-2].name
        assert repr(trigger) in report.subject
        assert any(compile_pattern(pattern).matches(trigger) for pattern in changed)


def check_agents_named(mutate: Mutation, spec: RunSpec, mutant: RunSpec, report: DriftReport) -> None:
    """The report names the agents that came, went, moved or are wired in another way, and what of their wiring."""
    agents = zip_named(spec.agents, mutant.agents)
    changes = report.agents
    assert set(changes.added) | set(changes.renamed.values()) == {name for name, (old, _) in agents.items() if not old}
    assert set(changes.removed) | set(changes.renamed) == {name for name, (_, new) in agents.items() if not new}
    assert changes.changed == tuple(name for name, (old, new) in agents.items() if old and new and old != new)
    assert changes.reordered == (mutate is reorder_agents)
    for name in [*changes.added, *changes.removed, *changes.changed, *changes.renamed]:
        assert f"agent {name!r}" in report.reason
    if mutate in WIRING:
        assert changes.parts == {changes.changed[0]: (WIRING[mutate],)}
        assert f"agent {changes.changed[0]!r} is wired in another way ({WIRING[mutate]})" in report.reason


def zip_named(old: Sequence[Any], new: Sequence[Any]) -> dict[str, tuple[Any, Any]]:
    """What both have of each name; None where one of them has nothing."""
    ones, others = ({item.name: item for item in items} for items in (old, new))
    return {name: (ones.get(name), others.get(name)) for name in [*ones, *others]}


def tool_that_differs(spec: RunSpec, mutant: RunSpec, agent: str | None) -> str | None:
    """The first tool of an agent that is not as it was; of a renamed one the old name."""
    old, new = zip_named(spec.agents, mutant.agents).get(agent or "", (None, None))
    tools = zip_named(old.tools, new.tools) if old is not None and new is not None else {}
    return next((name for name, (one, other) in tools.items() if one != other), None)


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


@attrs.frozen
class Recorded:
    """A run that was recorded as ``rec-0`` and is the same again."""

    spec: RunSpec
    store: KeepingStore
    signals: Sequence[Signal]

    @classmethod
    async def of(cls, number: int) -> Recorded:
        """Record the run of a number."""
        spec = make_spec(number, most=10, repeatable=True, tools=True)
        store = KeepingStore()
        signals = await run_steadily(spec, store=store)
        assert first_difference(signals, await run_steadily(spec)) is None, "the control: two live runs are the same"
        return cls(spec, store, signals)


async def check(run: Recorded, mutate: Mutation, chance: random.Random) -> bool | None:
    """Change the code of a run, and compare what replay says with what a live run shows.

    Returns:
        Whether it makes a difference; None where there is nothing to change, or what comes of it cannot be run.
    """
    spec, recorded, mutant = run.spec, run.signals, copy.deepcopy(run.spec)
    try:
        mutate(mutant, chance)
        different = await run_steadily(mutant, provider=SteadyProvider(spec))
    except (DefinitionError, IndexError):
        return None
    position = first_difference(recorded, different)
    async with asyncio.timeout(50):
        if position is None:
            assert (await again(mutant, recording="rec-0", store=run.store)).signals == tuple(recorded)
            return False
        with pytest.raises(ReplayDriftError) as caught:
            await again(mutant, recording="rec-0", store=run.store)
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
    return True


@pytest.mark.parametrize("first", range(0, MUTATIONS, BATCH))
async def test_every_change_that_makes_another_signal_is_drift_at_that_signal(first: int) -> None:
    """Replay agrees with a live run of the changed code about whether, where and how it differs from the recording."""
    outcomes = []
    for number in range(first, first + BATCH):
        chance = random.Random(number)
        run, mutate = await Recorded.of(10_000 + number), MUTATORS[number % len(MUTATORS)]
        while (outcome := await check(run, mutate, chance)) is None:
            mutate = chance.choice(MUTATORS)
        outcomes.append(outcome)
    assert outcomes.count(True) >= BATCH // 4


async def test_every_kind_of_change_is_caught_at_least_once() -> None:
    """For each kind of change there is a run in which it makes a difference, and it is drift there."""
    missing = list(MUTATORS)
    for number in range(MOST_RUNS):
        run, chance = await Recorded.of(10_000 + number), random.Random(number)
        missing = [mutate for mutate in missing if not await check(run, mutate, chance)]
        if not missing:
            return
    pytest.fail(f"never caught: {[mutate.__name__ for mutate in missing]}")


@pytest.mark.parametrize("mutate", WITHOUT_DIFFERENCE, ids=lambda mutate: mutate.__name__)
async def test_what_no_run_shows_is_no_drift(mutate: Mutation) -> None:
    """What a tool does, and whether it may be run again, does not count: a replay runs none, and this run was whole."""
    started = 0
    for number in range(TRIES):
        spec = make_spec(30_000 + number, most=6, repeatable=True, tools=True)
        mutant = copy.deepcopy(spec)
        try:
            mutate(mutant, random.Random(number))
        except IndexError:  # Nobody has tools.
            continue
        store = KeepingStore()
        recorded = await run_steadily(spec, store=store)
        started += sum(signal.name == "tool:start" for signal in recorded)
        assert (await again(mutant, recording="rec-0", store=store)).signals == tuple(recorded)
    assert started > 0


async def test_another_tool_that_may_be_run_again_is_drift_where_a_run_was_resumed() -> None:
    """After a crash in a tool it matters whether it is idempotent; the report names the tool and its agent."""
    checked = 0
    for number in range(RESUMED):
        spec = make_spec(30_000 + number, most=6, repeatable=True, tools=True)
        store = KeepingStore()
        whole = await run_steadily(spec, store=store)
        cuts = [signal.seq + 1 for signal in whole if signal.name == "tool:start"]
        if not cuts or whole[-1].payload["status"] != "completed":
            continue
        cut = random.Random(number).choice(cuts)
        mutant = copy.deepcopy(spec)
        change_idempotent(mutant, random.Random(number))
        # In stores of their own: which recording was resumed stands in the log.
        stores = [copy.deepcopy(store) for _ in range(3)]
        logs = []
        for code, own in zip((spec, spec, mutant), stores, strict=True):
            recording = await own.cut("rec-0", cut)
            resumed = await carry_on(code, recording, store=own, provider=SteadyProvider(spec))
            assert resumed.signals[:cut] == tuple(whole[:cut])
            logs.append(resumed.signals)
        recorded, control, different = logs
        assert first_difference(recorded, control) is None, "the control: two resumed runs are the same"
        position = first_difference(recorded, different)
        if position is None:
            assert (await again(mutant, recording="rec-1", store=stores[0])).signals == recorded
            continue
        with pytest.raises(ReplayDriftError) as caught:
            await again(mutant, recording="rec-1", store=stores[0])
        report = caught.value.report
        assert report.seq == position
        check_named(change_idempotent, spec, mutant, report)
        checked += 1
    assert checked > 0
