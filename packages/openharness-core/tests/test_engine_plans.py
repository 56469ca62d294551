"""Plans that are kept from run to run: shared where everything is the same, and nowhere else."""

from __future__ import annotations

from typing import Any

import pytest
from harness_kit import ScriptedProvider

from openharness.core import AgentDefinition, Context, InvalidValueError, Signal, create_harness
from openharness.core.engine import KeptPlans, Limits, RunPlan
from openharness.core.log import Volatile
from openharness.core.state import StateSchema

harness = create_harness()
FIRST: AgentDefinition[Any] = harness.agent(prompt="x", activate_on="harness:start", emits="done")
SECOND: AgentDefinition[Any] = harness.agent(prompt="y", activate_on="done")
SCHEMA = StateSchema.of(dict)
PROVIDER = ScriptedProvider()


def reduce(state: Any, signal: Signal) -> None:
    """Change nothing."""


def stop(ctx: Context[Any]) -> bool:
    """Never stop."""
    return False


def options(**changes: Any) -> dict[str, Any]:
    """What a plan is made of."""
    given: dict[str, Any] = {
        "schema": SCHEMA,
        "fields": ["answer"],
        "agents": {"a": FIRST, "b": SECOND},
        "reducers": {"done": reduce},
        "end_when": None,
        "limits": Limits(),
        "interactive": False,
        "provider_of": lambda _: PROVIDER,
        "volatile": (),
    }
    return {**given, **changes}


def test_a_plan_is_kept_for_the_same_objects() -> None:
    """The same agents, reducers and options have one plan, whatever mapping they come in."""
    plans: KeptPlans[Any] = KeptPlans()
    first: RunPlan[Any] = plans.plan(**options())
    assert plans.plan(**options()) is first


@pytest.mark.parametrize(
    "change",
    [
        {"fields": ["answer", "other"]},
        {"agents": {"a": FIRST, "c": SECOND}},
        {"agents": {"a": FIRST, "b": harness.agent(prompt="y", activate_on="done")}},
        {"agents": {"a": FIRST}},
        {"agents": {"b": SECOND, "a": FIRST}},
        {"reducers": None},
        {"reducers": {"done": lambda state, signal: None}},
        {"reducers": {"agent:completed": reduce}},
        {"end_when": stop},
        {"limits": Limits(max_activations=2)},
        {"interactive": True},
        {"provider_of": lambda _: None},
        {"volatile": (Volatile("payload.output"),)},
        {"schema": StateSchema.of(dict)},
    ],
    ids=lambda change: next(iter(change)),
)
def test_a_plan_is_made_anew_when_anything_differs(change: dict[str, Any]) -> None:
    """Whatever a plan is made of, another one of it makes another plan; the first stays the first."""
    plans: KeptPlans[Any] = KeptPlans()
    first = plans.plan(**options())
    second = plans.plan(**options(**change))
    assert second is not first
    assert plans.plan(**options()) is first


def test_few_plans_are_kept() -> None:
    """A harness whose agents are others in every run does not keep them all."""
    plans: KeptPlans[Any] = KeptPlans()
    first = plans.plan(**options())
    for most in range(1, 5):
        plans.plan(**options(limits=Limits(max_activations=most)))
    assert plans.plan(**options()) is not first


def test_what_is_no_set_of_agents_is_refused_as_ever() -> None:
    """What cannot be planned is an error each time, and nothing of it is kept."""
    plans: KeptPlans[Any] = KeptPlans()
    for agents in (5, {"a": "no agent"}, {"a": FIRST, "b": None}):
        for _ in range(2):
            with pytest.raises(InvalidValueError):
                plans.plan(**options(agents=agents))


async def test_a_mapping_that_was_changed_between_two_runs_counts_as_it_is() -> None:
    """Agents that are added to, or replaced in, the mapping of the last run take part in the next one."""
    agents: dict[str, AgentDefinition[Any]] = {"a": FIRST}

    async def activated() -> list[str]:
        result = await harness.run_reactive(agents=agents, state={}, provider=ScriptedProvider())
        return [signal.payload["agent"] for signal in result.signals if signal.name == "agent:activated"]

    assert await activated() == ["a"]
    agents["b"] = SECOND
    assert await activated() == ["a", "b"]
    agents["b"] = harness.agent(prompt="z", activate_on="harness:start")
    assert await activated() == ["a", "b"]
    del agents["b"]
    assert await activated() == ["a"]


async def test_names_that_never_come_back_do_not_fill_a_plan() -> None:
    """A plan knows a bounded number of names, and answers for the others as well."""
    plans: KeptPlans[Any] = KeptPlans()
    plan = plans.plan(**options(interactive=True))
    for number in range(5_000):
        assert not plan.heard[f"name:{number}"]
    assert [agent.name for agent in plan.interested_in("done").agents] == ["b"]
    assert len(plan._known) < 5_000
    assert len(plan.heard) < 5_000
