"""Kill a run of concurrent agents with side effects, resume it, kill it again, and look at what was done how often.

    python kill_and_resume.py FOLDER KILLS SEED [acknowledge-first]

A run is started in a forked child, which is killed after a random time; the next child resumes it, and so on until the
run has ended; then the next run begins. Each request and each call of a tool has an effect that outlives the process: a
line in a ledger, written and synchronised before the answer. After each kill the ledger is compared with the recording:

``early``: effects whose request, or whose start of a tool, is not in the recording.
``lost``: answers and results that a subscriber was told of and that are not in the recording.
``repeated``: effects of what had ended before the child began, as a subscriber was told or as the recording says; and
    second effects of a tool that must not be run again.
``rewritten``: recordings that do not begin with what was there before.
``wrong``: runs that ended with another state than one that nobody killed, with a request that was sent once too often
    or never, with a tool whose effect is missing or that is not reported as unknown, or that do not replay.
``unended``: runs that were not over after many children.

``acknowledge-first`` is the control: a store that says "durable" before it is, which this must catch. Then it goes on,
for ten times as many kills at the most, until something was early and something lost.

Prints one line of JSON: these counts, and how many kills, runs, requests and calls of tools there were, how many of the
kills hit a run that was being resumed, and how many calls of tools were reported as unknown, done or not.
"""

from __future__ import annotations

import asyncio
import json
import os
import random
import signal
import sys
import time
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

import attrs

from openharness.core import (
    Completed,
    Provider,
    ProviderCapabilities,
    ProviderOutput,
    Signal,
    TextDelta,
    ToolCall,
    ToolContext,
    create_harness,
    tool,
)
from openharness.signals import FileSignalStore

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Sequence

    from openharness.core import Context, LogEntry, ProviderEvent, ProviderRequest, RunContext, RunResult

CHAINS = 4
ROUNDS = 3
SECONDS = (0.05, 0.2, 0.6)
"""A child lives for a random part of one of these."""
PATIENCE = 60
"""After so many children a run counts as one that never ends."""


@attrs.define
class State:
    """What the agents wrote, by agent; concurrent agents do not see one another's part."""

    done: dict[str, list[str]] = attrs.field(factory=dict)
    summary: str = ""


class World:
    """Where the effects of this process go, and how long things take in it."""

    ledger = Path()
    chance = random.Random()

    @classmethod
    def feel(cls, what: str) -> None:
        """Have an effect that outlives the process."""
        descriptor = os.open(cls.ledger, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
        os.write(descriptor, f"{what}\n".encode())
        os.fsync(descriptor)
        os.close(descriptor)


def pay(context: ToolContext[State]) -> str:
    """Do what must not be done twice."""
    World.feel(f"pay:{context.tool_call}")
    time.sleep(World.chance.random() * 0.004)
    return "paid"


@tool(idempotent=True)
async def look(context: ToolContext[State]) -> str:
    """Do what may be done twice."""
    World.feel(f"look:{context.tool_call}")
    await asyncio.sleep(World.chance.random() * 0.004)
    return "seen"


class Model(Provider):
    """Asks for both tools where there are any, and then answers what the prompt alone says."""

    type = "model"
    capabilities = ProviderCapabilities(tools=True)

    async def run(self, request: ProviderRequest, context: RunContext) -> AsyncGenerator[ProviderEvent, None]:
        """Write the line, and answer in pieces after some time."""
        World.feel(context.call)
        if request.tools and request.messages[-1].role == "user":
            await asyncio.sleep(World.chance.random() * 0.002)
            yield ToolCall("id-0", "pay", {})
            yield ToolCall("id-1", "look", {})
            yield Completed(ProviderOutput(content=""))
            return
        answer = f"<{request.messages[0].content}>"
        for start in range(0, len(answer), 7):
            await asyncio.sleep(World.chance.random() * 0.002)
            yield TextDelta(answer[start : start + 7])
        yield Completed(ProviderOutput(content=answer))


def effect_of(signal: Signal) -> str:
    """The line in the ledger that belongs to a signal of a request or of a tool."""
    if signal.name.startswith("provider:"):
        return str(signal.payload["call"])
    call = str(signal.payload["tool_call"])
    return f"{'look' if call.endswith('/1') else 'pay'}:{call}"


class Hasty(FileSignalStore):
    """The planted bug: says that entries are durable, and writes them some time later."""

    def __init__(self, root: Path) -> None:
        super().__init__(root)
        self._promised: list[LogEntry] = []
        self._later: asyncio.Task[None] | None = None

    async def append(self, recording_id: str, entries: Sequence[LogEntry]) -> None:
        """Promise to append."""
        self._promised += entries
        if self._later is None:
            self._later = asyncio.ensure_future(self._keep(recording_id))

    async def _keep(self, recording_id: str) -> None:
        while self._promised:
            await asyncio.sleep(0.01)
            entries, self._promised = self._promised, []
            await super().append(recording_id, entries)
        self._later = None

    async def finalize(self, recording_id: str, **options: Any) -> None:
        """Finalize what is really there."""
        if self._later is not None:
            await self._later
        await super().finalize(recording_id, **options)


harness = create_harness(State)


def chain(name: str) -> Any:
    """An agent that activates itself until it has answered often enough."""

    def wanted(ctx: Context[State]) -> bool:
        return len(ctx.state.done.get(name, [])) < ROUNDS

    def prompt(ctx: Context[State]) -> str:
        return f"{name} after {ctx.state.done.get(name, [])}"

    return harness.agent(
        prompt=prompt,
        activate_on=["harness:start", f"{name}:done"],
        emits=f"{name}:done",
        when=wanted,
        tools=[pay, look],
    )


def note(state: State, done: Signal) -> None:
    """Keep what an agent wrote."""
    payload = done.payload
    state.done = {**state.done, payload["agent"]: [*state.done.get(payload["agent"], []), payload["output"]]}


def all_done(ctx: Context[State]) -> bool:
    """Whether the last chain has just ended."""
    return [len(texts) for texts in ctx.state.done.values()] == [ROUNDS] * CHAINS


AGENTS = {
    **{f"c{number}": chain(f"c{number}") for number in range(CHAINS)},
    "editor": harness.agent(
        prompt=lambda ctx: f"sum up {sorted(ctx.state.done.items())}",
        activate_on=[f"c{number}:done" for number in range(CHAINS)],
        when=all_done,
        updates="summary",
    ),
}
OPTIONS: dict[str, Any] = {"agents": AGENTS, "reducers": {f"c{number}:done": note for number in range(CHAINS)}}


async def play(store: FileSignalStore, recording_id: str | None, pipe: int) -> None:
    """Run, or go on with a run, and say which answers and results there are once that is durable."""

    def tell(signal: Signal) -> None:
        os.write(pipe, f"{effect_of(signal)}\n".encode())

    options = {**OPTIONS, "provider": Model(), "store": store}
    harness.subscribe(ENDS, tell)
    if recording_id is None:
        await harness.run_reactive(state=State(), **options)
    else:
        await harness.resume(recording_id, **options)


def in_child(seconds: float, work: Any) -> tuple[list[str], bool]:
    """Do work in a forked process, kill it after some time, and return the lines it wrote and whether it was killed."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(reading)
        try:
            asyncio.run(work(writing))
        except BaseException:  # noqa: BLE001 - nothing may get out of a forked child
            sys.excepthook(*sys.exc_info())  # type: ignore[arg-type]
            os._exit(1)
        os._exit(0)
    os.close(writing)
    time.sleep(seconds)
    os.kill(child, signal.SIGKILL)
    _, status = os.waitpid(child, 0)
    with os.fdopen(reading) as lines:
        told = [line.strip() for line in lines if line.endswith("\n")]
    killed = os.WIFSIGNALED(status)
    if not killed and os.WEXITSTATUS(status):
        sys.exit("a child failed by itself")
    return told, killed


STARTS = ("provider:start", "tool:start")
ENDS = ("provider:end", "tool:result")


def of(log: Sequence[Signal], *names: str) -> set[str]:
    """The effects that signals of these names belong to."""
    return {effect_of(one) for one in log if one.name in names}


class Case:
    """One run, from its beginning to its end, however many processes it takes.

    Attributes:
        figures: What was seen, as the module says.
    """

    def __init__(self, folder: Path, *, hasty: bool, chance: random.Random) -> None:
        self._kind = Hasty if hasty else FileSignalStore
        self._root = folder / "recordings"
        self._ledger = folder / "ledger"
        self._ledger.parent.mkdir(parents=True)
        self._ledger.touch()
        self._chance = chance
        self._log: list[Signal] = []
        self._told: set[str] = set()
        self._open_at_kills: Counter[str] = Counter()
        self.figures: Counter[str] = Counter()

    def recording_id(self) -> str | None:
        """The recording to go on with; one that never got its first signal is deleted."""

        async def find() -> str | None:
            store = FileSignalStore(self._root)
            found = None
            for info in await store.list_recordings():
                recording = await store.load_recording(info.id)
                if recording is not None and recording.signals:
                    found = info.id
                else:
                    await store.delete_recording(info.id)
            return found

        return asyncio.run(find())

    def log(self, recording_id: str | None) -> tuple[list[Signal], str]:
        """What is recorded, and the outcome."""
        if recording_id is None:
            return [], "incomplete"
        recording = asyncio.run(FileSignalStore(self._root).load_recording(recording_id))
        if recording is None:
            return [], "incomplete"
        return list(recording.signals), str(recording.info.outcome)

    def effects(self) -> Counter[str]:
        """How often each request was sent."""
        return Counter(self._ledger.read_text().split())

    def go_on(self, seconds: float) -> bool:
        """Let one process work on it and be killed; return whether the run has ended."""
        recording_id = self.recording_id()
        before = self.effects()
        ended = of(self._log, *ENDS) | self._told
        World.ledger, World.chance = self._ledger, random.Random(self._chance.getrandbits(32))
        told, killed = in_child(seconds, lambda pipe: play(self._kind(self._root), recording_id, pipe))
        self._told |= set(told)
        recording_id = recording_id or self.recording_id()
        log, outcome = self.log(recording_id)
        effects = self.effects()
        figures = self.figures
        if killed:
            figures["kills"] += 1
            figures["kills_of_resumed"] += bool(self._log)
        figures["early"] += len(effects.keys() - of(log, *STARTS))
        figures["lost"] += len(self._told - of(log, *ENDS))
        figures["repeated"] += sum(effects[one] > before[one] for one in ended)
        figures["repeated"] += sum(times > 1 for one, times in effects.items() if one.startswith("pay:"))
        figures["rewritten"] += log[: len(self._log)] != self._log
        self._log = log
        if outcome == "incomplete":
            self._open_at_kills.update(of(log, *STARTS) - of(log, *ENDS))
            return False
        return True

    def replay(self) -> RunResult[State]:
        """Replay it."""
        store = FileSignalStore(self._root)
        return asyncio.run(harness.run_reactive(**OPTIONS, recording=self.recording_id(), store=store))

    def check_the_end(self, expected: State) -> None:
        """Compare the run with one that nobody killed."""
        effects = self.effects()
        replayed = self.replay()
        activations = [f"c{chain}#{number}" for chain in range(CHAINS) for number in range(1, ROUNDS + 1)]
        asked = {f"{one}/{turn}/0" for one in activations for turn in (0, 1)} | {"editor#1/0/0"}
        payments, looks = {f"pay:{one}/0/0" for one in activations}, {f"look:{one}/0/1" for one in activations}
        unknown, results = of(self._log, "tool:unknown"), of(self._log, "tool:result")
        right = (
            replayed.state == expected
            and list(replayed.signals) == self._log
            and effects.keys() - payments == asked | looks
            and unknown | results == payments | looks
            and not unknown & (results | looks)
            and effects.keys() >= payments - unknown
            and all(self._open_at_kills[one] for one in unknown)
            and all(times <= 1 + self._open_at_kills[one] for one, times in effects.items())
        )
        self.figures["wrong"] += not right
        self.figures.update(
            requests=len(asked),
            requests_sent_once=sum(effects[one] == 1 for one in asked),
            tools=len(payments | looks),
            tools_run_once=sum(effects[one] == 1 for one in payments | looks),
            unknown_done=len(unknown & effects.keys()),
            unknown_not_done=len(unknown - effects.keys()),
        )


def main(folder: Path, kills: int, seed: int, *, hasty: bool) -> None:
    """Kill so often, and print what was seen."""
    chance = random.Random(seed)
    undisturbed = Case(folder / "undisturbed", hasty=False, chance=chance)
    while not undisturbed.go_on(2.0):
        pass
    expected = undisturbed.replay().state
    figures: Counter[str] = Counter()
    while figures["kills"] < (kills * 10 if hasty else kills):
        if hasty and figures["early"] and figures["lost"]:
            break
        case = Case(folder / f"run-{figures['runs']}", hasty=hasty, chance=chance)
        ended = any(case.go_on(chance.random() * chance.choice(SECONDS)) for _ in range(PATIENCE))
        if ended:
            case.check_the_end(expected)
        figures.update(case.figures)
        figures.update(runs=1, unended=not ended)
    sys.stdout.write(f"{json.dumps(figures)}\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]), hasty=sys.argv[4:] == ["acknowledge-first"])
