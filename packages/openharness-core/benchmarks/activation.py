"""What an activation costs beside the model: the harness against a hand-written asyncio loop, in one run.

The hand-written loop does the least that could be called the same: a task for each agent, an asynchronous generator as
its model, four recorded signals an activation with ids, times and parents, a shared state, and the next agent started by
the signal of the one before. It has no guards, no errors, no cancellation, no comparison and no store.

Run it with ``python activation.py``; figures are CPU time of this process, the median of several rounds with the least
and the greatest.
"""

from __future__ import annotations

import asyncio
import statistics
import time
from typing import TYPE_CHECKING, Any

import attrs

from openharness.core import Completed, Provider, ProviderOutput, Signal, SignalSource, create_harness, now_ms
from openharness.core.engine import Journal, Limits, StartOfRun, Stepper, Transcript, make_plan, run_replay
from openharness.core.state import StateSchema

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable

    from openharness.core import AgentDefinition, ProviderEvent, ProviderRequest, RunContext, RunResult

ROUNDS = 7


class Instant(Provider):
    """Answers at once."""

    type = "instant"

    async def run(self, request: ProviderRequest, context: RunContext) -> AsyncGenerator[ProviderEvent, None]:
        """Answer at once."""
        del request, context
        yield Completed(ProviderOutput(content="ok"))


class HandWritten:
    """The loop somebody would write who needs it once."""

    def __init__(self, triggers: dict[str, list[tuple[str, str]]]) -> None:
        self.triggers = triggers
        self.signals: list[Signal] = []
        self.state: dict[str, str] = {}
        self.tasks: set[asyncio.Task[None]] = set()

    def emit(self, name: str, payload: object, parent: str | None, agent: str | None) -> Signal:
        """Record a signal and start who waits for it."""
        seq = len(self.signals)
        signal = Signal(
            f"run/{seq}",
            name=name,
            payload=payload,
            timestamp=now_ms(),
            seq=seq,
            source=SignalSource(agent, "instant", parent),
        )
        self.signals.append(signal)
        for waiting, emits in self.triggers.get(name, ()):
            task = asyncio.create_task(self.activate(waiting, emits, signal))
            self.tasks.add(task)
            task.add_done_callback(self.tasks.discard)
        return signal

    async def model(self) -> AsyncGenerator[str, None]:
        """Answer at once."""
        yield "ok"

    async def activate(self, agent: str, emits: str, cause: Signal) -> None:
        """Run one agent."""
        activated = self.emit("agent:activated", {"agent": agent}, cause.id, agent)
        answer = ""
        async for text in self.model():
            answer += text
        complete = self.emit("text:complete", {"text": answer}, activated.id, agent)
        self.state["answer"] = answer
        self.emit("agent:completed", {"agent": agent}, complete.id, agent)
        self.emit(emits, {"agent": agent, "output": answer}, complete.id, agent)

    async def run(self) -> None:
        """Run to the end."""
        self.emit("harness:start", {}, None, None)
        while self.tasks:
            await asyncio.wait(self.tasks)


def wiring(shape: str, size: int) -> list[tuple[str, str, str]]:
    """Agents as (name, what activates it, what it emits)."""
    if shape == "chain":
        return [(f"a{n}", f"a{n - 1}:done" if n else "harness:start", f"a{n}:done") for n in range(size)]
    return [(f"a{n}", "harness:start", "done") for n in range(size)]


async def measure(work: Callable[[], Awaitable[object]], repeat: int) -> float:
    """CPU seconds of one call."""
    started = time.process_time()
    for _ in range(repeat):
        await work()
    return (time.process_time() - started) / repeat


async def replay(agents: dict[str, AgentDefinition[Any]], recorded: RunResult[Any]) -> None:
    """Replay a log that is in memory already: the engine alone, without a store."""

    async def signals() -> AsyncIterator[Signal]:
        for signal in recorded.signals:
            yield signal

    class Nobody:
        async def deliver(self, signals: object) -> None:
            """Tell nobody."""

    transcript = Transcript("recording", signals())
    schema = StateSchema.of(dict)
    plan = make_plan(
        schema=schema,
        fields=["answer"],
        agents=agents,
        reducers=None,
        end_when=None,
        limits=Limits(max_activations=10_000, max_depth=10_000),
        interactive=False,
        provider_of=lambda _: None,
    )
    journal = Journal(recorded.run_id, check=transcript.check)
    start = StartOfRun(state={"answer": ""}, input=None, has_input=False, seed=0, agents=plan.fingerprint())
    await run_replay(
        stepper=Stepper(plan, journal),
        journal=journal,
        transcript=transcript,
        start=start,
        listeners=Nobody(),
        recording_id="recording",
    )


@attrs.frozen
class Row:
    """One measured thing: its name, and its microseconds in each round."""

    name: str
    times: list[float]

    def __str__(self) -> str:
        """Median, least and greatest."""
        return (
            f"{self.name:<42}{statistics.median(self.times):9.1f} us  ({min(self.times):.1f} - {max(self.times):.1f})"
        )


async def compare(shape: str, size: int, repeat: int) -> None:
    """Measure one shape of run, everything in turn within each round, and print it."""
    harness = create_harness()
    provider = Instant()
    wires = wiring(shape, size)
    agents = {
        name: harness.agent(prompt="go", activate_on=trigger, emits=emits, updates="answer")
        for name, trigger, emits in wires
    }
    triggers: dict[str, list[tuple[str, str]]] = {}
    for name, trigger, emits in wires:
        triggers.setdefault(trigger, []).append((name, emits))

    async def live() -> RunResult[Any]:
        return await harness.run_reactive(
            agents=agents, state={"answer": ""}, provider=provider, max_depth=10_000, max_activations=10_000
        )

    recorded = await live()
    signals = len(recorded.signals) / size
    by_hand = Row("hand-written loop, 4 signals", [])
    ours = Row(f"harness, {signals:.1f} signals", [])
    again = Row("harness, replay", [])
    for _ in range(ROUNDS):
        by_hand.times.append(await measure(lambda: HandWritten(triggers).run(), repeat) / size * 1e6)
        ours.times.append(await measure(live, repeat) / size * 1e6)
        again.times.append(await measure(lambda: replay(agents, recorded), repeat) / size * 1e6)
    ratio = statistics.median(ours.times) / statistics.median(by_hand.times)
    print(f"{shape} of {size}, CPU of an activation")
    for row in (by_hand, ours, again):
        print(f"  {row}")
    print(f"  harness / hand-written = {ratio:.2f}; the same for each signal = {ratio * 4 / signals:.2f}")
    print(f"  replay of a signal = {statistics.median(again.times) / signals:.2f} us\n")


async def main() -> None:
    """Measure chains and a fan-out."""
    for shape, size, repeat in (("chain", 10, 40), ("chain", 100, 5), ("fan-out", 1000, 1)):
        await compare(shape, size, repeat)


if __name__ == "__main__":
    asyncio.run(main())
