"""What an activation costs beside the model, against what a user of other libraries writes for the same.

    python benchmarks/activation_peers.py [--rounds 7] [--check]

A chain of 100, and 1,000 at once, of agents that ask a model, which answers at once. Agents and graphs are made before the
clock starts; what a run of theirs sets up is inside. The harness emits six signals an activation and keeps them in memory;
none of the others keeps a log, and LangGraph's saver keeps a checkpoint for each step. What is compared:

* ``burr``: actions that write a field of the state; in the fan-out nothing, since its parallel actions are another thing;
* ``LangGraph``: nodes that are bare functions, without and with ``InMemorySaver``;
* ``OpenAI Agents SDK``: ``Runner.run`` with a model of our own, without tracing; ``Pydantic AI``: ``Agent.run`` with its
  ``TestModel``. They make messages, usage and tools ready in each run, which is more than an activation does.

Figures are CPU time of this process, everything in turn within each round: the median of the rounds with the least and the
greatest. The goals are ratios of medians; ``--check`` ends with an error when one is missed. It needs the dependency group
``peers``.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import importlib.metadata
import platform
import statistics
import sys
from itertools import pairwise
from operator import add
from typing import TYPE_CHECKING, Annotated, Any, TypedDict

try:
    from agents import Agent as SdkAgent
    from agents import Model, ModelResponse, RunConfig, Runner, Usage
    from burr.core import ApplicationBuilder, State, action, default
    from burr.core.graph import GraphBuilder
    from langgraph.checkpoint.memory import InMemorySaver
    from langgraph.graph import END, START, StateGraph
    from openai.types.responses import ResponseOutputMessage, ResponseOutputText
    from pydantic_ai import Agent as PydanticAgent
    from pydantic_ai.models.test import TestModel
except ImportError as missing:
    sys.exit(f"{missing.name} is missing. The dependency group `peers` of the top-level pyproject.toml brings it.")

from activation import Row, measure, prepare, wiring

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

OURS = "harness"
PACKAGES = ("openharness-core", "apache-burr", "langgraph", "openai-agents", "pydantic-ai-slim")
GOALS = {
    ("chain", "burr"): 1.0,
    ("chain", "LangGraph"): 6.0,
    ("chain", "LangGraph, InMemorySaver"): 9.0,
    ("chain", "OpenAI Agents SDK"): 24.0,
    ("chain", "Pydantic AI"): 60.0,
    ("fan-out", "LangGraph"): 3.5,
}
"""How many times the harness's CPU time the others take, at least."""


class Instant(Model):
    """Answers the OpenAI Agents SDK at once."""

    async def get_response(self, *args: Any, **kwargs: Any) -> ModelResponse:
        """Answer at once."""
        del args, kwargs
        text = ResponseOutputText(type="output_text", text="ok", annotations=[])
        message = ResponseOutputMessage(id="m", type="message", role="assistant", status="completed", content=[text])
        return ModelResponse(output=[message], usage=Usage(), response_id=None)

    def stream_response(self, *args: Any, **kwargs: Any) -> Any:
        """Nobody streams here."""
        raise NotImplementedError


def burr_chain(size: int) -> Callable[[], Awaitable[int]]:
    """Actions one after the other."""

    @action(reads=[], writes=["answer", "count"])
    async def step(state: State) -> State:
        return state.update(answer="ok", count=state["count"] + 1)

    names = [f"a{number}" for number in range(size)]
    links = [(one, other, default) for one, other in pairwise(names)]
    graph = GraphBuilder().with_actions(**dict.fromkeys(names, step)).with_transitions(*links).build()

    async def run() -> int:
        built = ApplicationBuilder().with_graph(graph).with_state(answer="", count=0).with_entrypoint("a0").build()
        _, _, state = await built.arun(halt_after=[names[-1]])
        return int(state["count"])

    return run


class GraphState(TypedDict):
    """The state of a graph of LangGraph."""

    answer: Annotated[str, lambda _, new: new]
    count: Annotated[int, add]


def langgraph(shape: str, size: int, *, saver: bool) -> Callable[[], Awaitable[int]]:
    """Nodes one after the other, or all at once."""

    async def node(_: GraphState) -> GraphState:
        return {"answer": "ok", "count": 1}

    builder = StateGraph(GraphState)
    names = [f"a{number}" for number in range(size)]
    for name in names:
        builder.add_node(name, node)
    edges = zip([START, *names], [*names, END], strict=True) if shape == "chain" else ((START, one) for one in names)
    for begin, end in edges:
        builder.add_edge(begin, end)
    graph = builder.compile(checkpointer=InMemorySaver() if saver else None)
    threads = iter(range(sys.maxsize))

    async def run() -> int:
        configuration: Any = {"recursion_limit": size + 10, "configurable": {"thread_id": str(next(threads))}}
        state = await graph.ainvoke({"answer": "", "count": 0}, configuration)
        return int(state["count"])

    return run


def each(shape: str, size: int, one: Callable[[], Awaitable[object]]) -> Callable[[], Awaitable[int]]:
    """Run an agent so many times, one after the other or all at once."""

    async def run() -> int:
        if shape == "chain":
            return len([await one() for _ in range(size)])
        return len(await asyncio.gather(*(one() for _ in range(size))))

    return run


def contenders(shape: str, size: int) -> dict[str, Callable[[], Awaitable[int]]]:
    """Everything that is compared, by name."""
    _, live = prepare(wiring(shape, size))

    async def ours() -> int:
        result = await live()
        return result.metrics.activations

    sdk = SdkAgent(name="agent", instructions="go", model=Instant())
    configuration = RunConfig(tracing_disabled=True)
    pydantic = PydanticAgent(TestModel(custom_output_text="ok"), instructions="go")
    found = {OURS: ours, "burr": burr_chain(size)} if shape == "chain" else {OURS: ours}
    return {
        **found,
        "LangGraph": langgraph(shape, size, saver=False),
        "LangGraph, InMemorySaver": langgraph(shape, size, saver=True),
        "OpenAI Agents SDK": each(shape, size, lambda: Runner.run(sdk, "go", run_config=configuration)),
        "Pydantic AI": each(shape, size, lambda: pydantic.run("go")),
    }


async def compare(shape: str, size: int, rounds: int) -> bool:
    """Measure one shape, print it, and tell whether its goals are met."""
    works = contenders(shape, size)
    rows = {name: Row(name, []) for name in works}
    for name, work in works.items():
        done = await work()
        if done != size:
            raise SystemExit(f"{name} should have run {size} agents and ran {done}.")
    for _ in range(rounds):
        for name, work in works.items():
            gc.collect()
            rows[name].times.append(await measure(work, 1) / size * 1e6)
    print(f"{shape} of {size:,}, CPU of an activation")
    met = True
    ours = statistics.median(rows[OURS].times)
    for name, row in rows.items():
        ratio = statistics.median(row.times) / ours
        goal = GOALS.get((shape, name))
        met = met and (goal is None or ratio >= goal)
        print(f"  {row}  {ratio:6.1f}x" + ("" if goal is None else f"  (at least {goal:g})"))
    return met


def main() -> int:
    """Measure both shapes, and say whether the goals are met."""
    parser = argparse.ArgumentParser(description="Compare what an activation costs with other libraries.")
    parser.add_argument("--rounds", type=int, default=7, help="how often everything is measured")
    parser.add_argument("--check", action="store_true", help="end with an error when a goal is missed")
    options = parser.parse_args()
    versions = ", ".join(f"{name} {importlib.metadata.version(name)}" for name in PACKAGES)
    print(f"Python {platform.python_version()}; {versions}")
    met = [asyncio.run(compare(shape, size, options.rounds)) for shape, size in (("chain", 100), ("fan-out", 1000))]
    return 1 if options.check and not all(met) else 0


if __name__ == "__main__":
    sys.exit(main())
