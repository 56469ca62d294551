"""Changes of a run's code, each of one kind."""

from __future__ import annotations

import copy
import random
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Final

from generated_runs import EXAMPLES, FIELDS, TOOLS, TYPES, AgentSpec, RunSpec, ToolSpec

Mutation = Callable[[RunSpec, random.Random], None]


def _agent(spec: RunSpec, chance: random.Random) -> AgentSpec:
    return chance.choice(spec.agents)


def _other(chance: random.Random, values: Iterable[Any], present: Any) -> Any:
    return chance.choice([value for value in values if value != present])


def _equipped(spec: RunSpec, chance: random.Random) -> AgentSpec:
    """An agent with tools; IndexError where there is none."""
    return chance.choice([agent for agent in spec.agents if agent.tools])


def _tool(spec: RunSpec, chance: random.Random) -> ToolSpec:
    return chance.choice(_equipped(spec, chance).tools)


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


def change_system(spec: RunSpec, chance: random.Random) -> None:
    """Another system prompt, or none."""
    agent = _agent(spec, chance)
    agent.system = _other(chance, [None, "Be brief.", "Be long."], agent.system)


def change_stop(spec: RunSpec, chance: random.Random) -> None:
    """Other texts that end an answer."""
    agent = _agent(spec, chance)
    agent.stop = _other(chance, [(), ("END",), ("END", "STOP")], agent.stop)


def change_seed(spec: RunSpec, chance: random.Random) -> None:
    """Other answers from the provider."""
    agent = _agent(spec, chance)
    agent.seed = _other(chance, [None, 1, 2], agent.seed)


def add_tool(spec: RunSpec, chance: random.Random) -> None:
    """One more tool."""
    agent = _agent(spec, chance)
    agent.tools.insert(chance.randint(0, len(agent.tools)), ToolSpec(chance.choice(TOOLS), "newcomer"))


def remove_tool(spec: RunSpec, chance: random.Random) -> None:
    """One tool less."""
    agent = _equipped(spec, chance)
    agent.tools.pop(chance.randrange(len(agent.tools)))


def rename_tool(spec: RunSpec, chance: random.Random) -> None:
    """The same tool by another name."""
    _tool(spec, chance).name = "renamed"


def reorder_tools(spec: RunSpec, chance: random.Random) -> None:
    """The tools of an agent in another order."""
    chance.choice([agent for agent in spec.agents if len(agent.tools) > 1]).tools.reverse()


def change_description(spec: RunSpec, chance: random.Random) -> None:
    """A tool that is described in other words."""
    _tool(spec, chance).described = "Be another tool."


def change_parameters(spec: RunSpec, chance: random.Random) -> None:
    """A tool that takes something else."""
    each = _tool(spec, chance)
    each.takes = _other(chance, TYPES, each.takes)


def change_approval(spec: RunSpec, chance: random.Random) -> None:
    """A tool that a person must agree to now, or need not any more."""
    each = _tool(spec, chance)
    each.needs_approval = not each.needs_approval


def change_idempotent(spec: RunSpec, chance: random.Random) -> None:
    """A tool that may be run again after a crash, or may not any more."""
    each = _tool(spec, chance)
    each.idempotent = not each.idempotent


def change_what_a_tool_does(spec: RunSpec, chance: random.Random) -> None:
    """Another function behind a tool: in a replay it is not called."""
    each = _tool(spec, chance)
    each.does = "blocking"


def change_max_turns(spec: RunSpec, chance: random.Random) -> None:
    """Fewer turns, or more."""
    agent = _equipped(spec, chance)
    agent.max_turns = _other(chance, [1, 2, 4], agent.max_turns)


def change_tool_retries(spec: RunSpec, chance: random.Random) -> None:
    """Less patience with calls that cannot be made, or more."""
    agent = _equipped(spec, chance)
    agent.tool_retries = _other(chance, [0, 3], agent.tool_retries)


def change_output(spec: RunSpec, chance: random.Random) -> None:
    """Answers of a type, or any text."""
    agent = _agent(spec, chance)
    agent.typed = not agent.typed


def change_output_retries(spec: RunSpec, chance: random.Random) -> None:
    """Less patience with answers that do not fit, or more."""
    agent = chance.choice([agent for agent in spec.agents if agent.typed])
    agent.output_retries = _other(chance, [0, 1, 2], agent.output_retries)


def change_history(spec: RunSpec, chance: random.Random) -> None:
    """An agent that remembers, or does not any more."""
    agent = _agent(spec, chance)
    agent.history = _other(chance, ["agent", "none"], agent.history)


def change_history_tokens(spec: RunSpec, chance: random.Random) -> None:
    """A shorter memory, or a longer one."""
    agent = chance.choice([agent for agent in spec.agents if agent.history == "agent"])
    agent.history_tokens = _other(chance, [0, 100, 8_000], agent.history_tokens)


def change_examples(spec: RunSpec, chance: random.Random) -> None:
    """Other worked examples, or none."""
    agent = _agent(spec, chance)
    agent.examples = _other(chance, EXAMPLES, agent.examples)


def change_max_tool_concurrency(spec: RunSpec, chance: random.Random) -> None:
    """Fewer tools at once, or more."""
    spec.max_tool_concurrency = _other(chance, [1, None], spec.max_tool_concurrency)


def change_max_activations(spec: RunSpec, chance: random.Random) -> None:
    """Fewer activations in all, or more."""
    spec.max_activations = chance.randint(1, 10) if spec.max_activations > 100 else 10_000


def change_max_depth(spec: RunSpec, chance: random.Random) -> None:
    """Fewer activations in a row, or more."""
    spec.max_depth = chance.randint(1, 3) if spec.max_depth > 100 else 10_000


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
    change_system,
    change_stop,
    change_seed,
    add_tool,
    remove_tool,
    rename_tool,
    reorder_tools,
    change_description,
    change_parameters,
    change_approval,
    change_max_turns,
    change_tool_retries,
    change_output,
    change_output_retries,
    change_history,
    change_history_tokens,
    change_examples,
    change_max_tool_concurrency,
    change_max_activations,
    change_max_depth,
    change_end_when,
    change_max_concurrency,
    change_what_fails,
    change_on_error,
)

"""Every one of them makes a difference in some run."""

WITHOUT_DIFFERENCE: Final[Sequence[Mutation]] = (change_idempotent, change_what_a_tool_does)
"""Changes that a replay does not see, unless the run was resumed."""


def _pairs(spec: RunSpec) -> list[tuple[str, str]]:
    return [(pattern, kind) for pattern, kind, _ in spec.reducers]
