"""What an activation costs beside the model: the harness against two hand-written asyncio loops, in one run.

*Four signals* is the least that could be called the same, and what the goals were set by: a task for each agent, an
asynchronous generator as its model, four recorded signals an activation with ids, times and parents, a shared state, and
the next agent started by the signal of the one before. *Equal log* records what the harness records: six signals an
activation with the very same names, sources and payloads (the request that is sent and its SHA-256, the answer with its
usage, the activation's number and depth), which this program verifies before it measures. Neither has guards, errors,
cancellation, limits, copies that protect the log from users' functions, a comparison, a fold or a store; nor does the
harness have a signal store here, so that nothing is durable on either side. The floor is 2.5 times the equal log.

Run it with ``python activation.py``; ``--check`` ends with an error when a floor is missed, ``--bytecodes`` counts the
bytecodes of a chain of 100 instead, which are the same on every machine and under every load, and says which functions
run most of them. Figures are CPU time of this
process, everything in turn within each round: the median of the rounds with the least and the greatest; ratios are those
of medians, with that of the least times behind it.
"""

from __future__ import annotations

import asyncio
import collections
import hashlib
import statistics
import sys
import time
from typing import TYPE_CHECKING, Any

import attrs
import msgspec

from openharness.core import Completed, Provider, ProviderOutput, Signal, SignalSource, create_harness, now_ms
from openharness.core.engine import Journal, Limits, StartOfRun, Stepper, Transcript, make_plan, run_replay
from openharness.core.state import StateSchema

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Sequence
    from types import CodeType, FrameType

    from openharness.core import AgentDefinition, ProviderEvent, ProviderRequest, RunContext, RunResult

ROUNDS = 11
FLOOR = 2.5
FAN_OUT_FLOOR = 1.3

_sorted = msgspec.json.Encoder(order="sorted").encode


class Instant(Provider):
    """Answers at once."""

    type = "instant"

    async def run(self, request: ProviderRequest, context: RunContext) -> AsyncGenerator[ProviderEvent, None]:
        """Answer at once."""
        del request, context
        yield Completed(ProviderOutput(content="ok"))


class FourSignals:
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


class EqualLog:
    """The same with the log of the harness: what it tells of each activation, to the last byte."""

    def __init__(self, triggers: dict[str, list[tuple[str, str]]], start: Any) -> None:
        self.triggers = triggers
        self.start = start
        self.signals: list[Signal] = []
        self.state: dict[str, str] = {"answer": ""}
        self.counts: dict[str, int] = {}
        self.tasks: set[asyncio.Task[None]] = set()

    def emit(self, name: str, payload: Any, source: SignalSource, depth: int) -> Signal:
        """Record a signal and start who waits for it."""
        seq = len(self.signals)
        signal = Signal(f"run/{seq}", name=name, payload=payload, timestamp=now_ms(), seq=seq, source=source)
        self.signals.append(signal)
        for waiting, emits in self.triggers.get(name, ()):
            self.activate(waiting, emits, signal, depth + 1)
        return signal

    async def model(self) -> AsyncGenerator[str, None]:
        """Answer at once."""
        yield "ok"

    def activate(self, agent: str, emits: str, cause: Signal, depth: int) -> None:
        """Ask the model of an agent."""
        self.counts[agent] = count = self.counts.get(agent, 0) + 1
        identity = f"{agent}#{count}"
        source = SignalSource(agent, None, cause.id, identity)
        activated = self.emit(
            "agent:activated", {"agent": agent, "activation": identity, "depth": depth}, source, depth
        )
        message = {"role": "user", "content": "go"}
        digest = "sha256:" + hashlib.sha256(_sorted(message)).hexdigest()
        digest = "sha256:" + hashlib.sha256(_sorted({"messages": [digest]})).hexdigest()
        call = f"{identity}/0/0"
        payload = {"call": call, "attempt": 0, "digest": digest, "request": {"messages": [message]}}
        sent = self.emit("provider:start", payload, SignalSource(agent, "instant", activated.id, identity), depth)
        task = asyncio.create_task(self.ask(agent, emits, call, sent, depth))
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)

    async def ask(self, agent: str, emits: str, call: str, sent: Signal, depth: int) -> None:
        """Wait for the answer, and tell of it."""
        answer = ""
        async for text in self.model():
            answer += text
        activation = sent.source.activation
        usage = {"input_tokens": 0, "output_tokens": 0, "cached_tokens": 0, "cost": None}
        payload = {"call": call, "output": {"content": answer, "usage": usage}}
        end = self.emit("provider:end", payload, SignalSource(agent, "instant", sent.id, activation), depth)
        source = SignalSource(agent, None, end.id, activation)
        self.emit("text:complete", {"call": call, "text": answer}, source, depth)
        if self.state["answer"] != answer:
            self.state["answer"] = answer
            change = {"path": ["answer"], "operation": "set", "value": answer}
            self.emit("state:answer:changed", change, source, depth)
        self.emit("agent:completed", {"agent": agent, "activation": activation}, source, depth)
        self.emit(emits, {"agent": agent, "output": answer}, source, depth)

    async def run(self) -> None:
        """Run to the end."""
        self.emit("harness:start", self.start, SignalSource(), 0)
        while self.tasks:
            await asyncio.wait(self.tasks)
        end = {"status": "completed", "error": None, "terminated_early": False}
        self.emit("harness:end", end, SignalSource(None, None, self.signals[-1].id), 0)


def facts(signals: Sequence[Signal]) -> list[object]:
    """What a log says, but for its times and the id of its run."""
    return [
        (signal.name, signal.seq, signal.payload, attrs.evolve(signal.source, parent=tail(signal.source.parent)))
        for signal in signals
    ]


def tail(parent: str | None) -> str | None:
    """The position in an id."""
    return None if parent is None else parent.rpartition("/")[2]


def wiring(shape: str, size: int) -> list[tuple[str, str, str]]:
    """Agents as (name, what activates it, what it emits)."""
    if shape == "chain":
        return [(f"a{n}", f"a{n - 1}:done" if n else "harness:start", f"a{n}:done") for n in range(size)]
    return [(f"a{n}", "harness:start", "done") for n in range(size)]


def prepare(
    wires: list[tuple[str, str, str]],
) -> tuple[dict[str, AgentDefinition[Any]], Callable[[], Awaitable[RunResult[Any]]]]:
    """The agents of a wiring, and what runs them once."""
    harness, provider = create_harness(), Instant()
    agents = {
        name: harness.agent(prompt="go", activate_on=trigger, emits=emits, updates="answer")
        for name, trigger, emits in wires
    }

    async def live() -> RunResult[Any]:
        return await harness.run_reactive(
            agents=agents, state={"answer": ""}, provider=provider, max_depth=10_000, max_activations=10_000
        )

    return agents, live


async def measure(work: Callable[[], Awaitable[object]], repeat: int) -> float:
    """CPU seconds of one call."""
    started = time.process_time()
    for _ in range(repeat):
        await work()
    return (time.process_time() - started) / repeat


async def bytecodes(work: Callable[[], Awaitable[object]]) -> collections.Counter[CodeType]:
    """How many bytecodes of each function one call runs."""
    counts: collections.Counter[CodeType] = collections.Counter()

    def trace(frame: FrameType, event: str, _: object) -> Any:
        frame.f_trace_opcodes, frame.f_trace_lines = True, False
        counts[frame.f_code] += event == "opcode"
        return trace

    sys.settrace(trace)
    try:
        await work()
    finally:
        sys.settrace(None)
    return counts


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


async def count(size: int) -> None:
    """Print the bytecodes of an activation in a chain: of all functions together, and of those that run most."""
    wires = wiring("chain", size)
    agents, live = prepare(wires)
    recorded = await live()
    same = EqualLog({trigger: [(name, emits)] for name, trigger, emits in wires}, recorded.signals[0].payload)
    for title, work in (
        ("hand-written, equal log", same.run),
        ("harness", live),
        ("harness, replay", lambda: replay(agents, recorded)),
    ):
        counts = await bytecodes(work)
        print(f"{title}: {counts.total() / size:,.0f} bytecodes an activation, chain of {size}")
        for code, number in counts.most_common(12):
            print(f"  {number / size:7.0f}  {code.co_qualname}")


async def compare(shape: str, size: int, repeat: int) -> tuple[float, list[float]]:
    """Measure one shape of run, everything in turn within each round, and print it.

    Returns:
        The harness against the equal log, and the harness's microseconds in each round.
    """
    wires = wiring(shape, size)
    agents, live = prepare(wires)
    triggers: dict[str, list[tuple[str, str]]] = {}
    for name, trigger, emits in wires:
        triggers.setdefault(trigger, []).append((name, emits))
    recorded = await live()
    start = recorded.signals[0].payload
    equal = EqualLog(triggers, start)
    await equal.run()
    assert facts(equal.signals) == facts(recorded.signals)
    signals = len(recorded.signals) / size
    four = Row("hand-written, 4 signals", [])
    same = Row(f"hand-written, equal log, {signals:.1f} signals", [])
    ours = Row(f"harness, {signals:.1f} signals", [])
    again = Row("harness, replay", [])
    for _ in range(ROUNDS):
        four.times.append(await measure(lambda: FourSignals(triggers).run(), repeat) / size * 1e6)
        same.times.append(await measure(lambda: EqualLog(triggers, start).run(), repeat) / size * 1e6)
        ours.times.append(await measure(live, repeat) / size * 1e6)
        again.times.append(await measure(lambda: replay(agents, recorded), repeat) / size * 1e6)
    print(f"{shape} of {size}, CPU of an activation")
    for row in (four, same, ours, again):
        print(f"  {row}")
    ratio = statistics.median(ours.times) / statistics.median(same.times)
    best = min(ours.times) / min(same.times)
    print(f"  harness / equal log = {ratio:.2f} (least times {best:.2f}; floor {FLOOR})")
    fewer = statistics.median(ours.times) / statistics.median(four.times)
    print(f"  harness / 4 signals = {fewer:.2f} an activation, {fewer * 4 / signals:.2f} a signal")
    print(
        f"  a signal: live {statistics.median(ours.times) / signals:.2f} us, "
        f"replayed {statistics.median(again.times) / signals:.2f} us\n"
    )
    return min(ratio, best), ours.times


async def main() -> int:
    """Measure chains and a fan-out."""
    if "--bytecodes" in sys.argv[1:]:
        await count(100)
        return 0
    missed: list[str] = []
    times: dict[str, list[float]] = {}
    for shape, size, repeat in (("chain", 10, 40), ("chain", 100, 5), ("fan-out", 1000, 1)):
        ratio, times[f"{shape} of {size}"] = await compare(shape, size, repeat)
        if ratio > FLOOR:
            missed.append(f"{shape} of {size}: harness / equal log is {ratio:.2f}, not {FLOOR}")
    chain, wide = times["chain of 100"], times["fan-out of 1000"]
    ratio, best = statistics.median(wide) / statistics.median(chain), min(wide) / min(chain)
    print(
        f"an activation of the fan-out of 1000 / of the chain of 100 = {ratio:.2f} (least times {best:.2f}; "
        f"floor {FAN_OUT_FLOOR})"
    )
    if min(ratio, best) > FAN_OUT_FLOOR:
        missed.append(f"fan-out of 1000 / chain of 100 is {min(ratio, best):.2f}, not {FAN_OUT_FLOOR}")
    for line in missed:
        print(f"Missed: {line}")
    return 1 if missed and "--check" in sys.argv[1:] else 0


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))
