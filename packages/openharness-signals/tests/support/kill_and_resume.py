"""Kill a run of concurrent agents with side effects, resume it, kill it again, and look at what was done how often.

    python kill_and_resume.py FOLDER KILLS SEED [acknowledge-first]

A run is started in a forked child, which is killed after a random time; the next child resumes it, and so on until the
run has ended; then the next run begins. Each request has an effect that outlives the process: a line in a ledger,
written and synchronised before the model answers. After each kill the ledger is compared with the recording:

``early``: effects whose request is not in the recording.
``lost``: answers that a subscriber was told of and that are not in the recording.
``repeated``: effects of requests whose answer a subscriber had been told of, or that the recording held, before the
    child began.
``rewritten``: recordings that do not begin with what was there before.
``wrong``: runs that ended with another state than one that nobody killed, with a request that was sent once too often
    or never, or that do not replay.

``unended``: runs that were not over after many children.

``acknowledge-first`` is the control: a store that says "durable" before it is, which this must catch.

Prints one line of JSON: these counts, and how many kills, runs and requests there were, and how many of the kills hit a
run that was being resumed.
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

from openharness.core import Completed, Provider, ProviderOutput, Signal, TextDelta, create_harness
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


class Ledger(Provider):
    """A model whose every request has an effect in the world: a line in a file."""

    type = "ledger"

    def __init__(self, path: Path, chance: random.Random) -> None:
        self._path = path
        self._chance = chance

    async def run(self, request: ProviderRequest, context: RunContext) -> AsyncGenerator[ProviderEvent, None]:
        """Write the line, and answer in pieces after some time."""
        descriptor = os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
        os.write(descriptor, f"{context.call}\n".encode())
        os.fsync(descriptor)
        os.close(descriptor)
        answer = f"<{request.messages[-1].content}>"
        for start in range(0, len(answer), 7):
            await asyncio.sleep(self._chance.random() * 0.002)
            yield TextDelta(answer[start : start + 7])
        yield Completed(ProviderOutput(content=answer))


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
        prompt=prompt, activate_on=["harness:start", f"{name}:done"], emits=f"{name}:done", when=wanted
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


async def play(
    store: FileSignalStore, ledger: Path, recording_id: str | None, chance: random.Random, pipe: int
) -> None:
    """Run, or go on with a run, and say which answers there are once that is durable."""
    options = {**OPTIONS, "provider": Ledger(ledger, chance), "store": store}
    harness.subscribe("provider:end", lambda signal: os.write(pipe, f"{signal.payload['call']}\n".encode()) and None)
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


def of_calls(log: Sequence[Signal], name: str) -> set[str]:
    """The calls that have a signal of this name."""
    return {one.payload["call"] for one in log if one.name == name}


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
        answered = of_calls(self._log, "provider:end") | self._told
        seed = self._chance.getrandbits(32)
        told, killed = in_child(
            seconds,
            lambda pipe: play(self._kind(self._root), self._ledger, recording_id, random.Random(seed), pipe),
        )
        self._told |= set(told)
        recording_id = recording_id or self.recording_id()
        log, outcome = self.log(recording_id)
        effects = self.effects()
        figures = self.figures
        if killed:
            figures["kills"] += 1
            figures["kills_of_resumed"] += bool(self._log)
        figures["early"] += len(effects.keys() - of_calls(log, "provider:start"))
        figures["lost"] += len(self._told - of_calls(log, "provider:end"))
        figures["repeated"] += sum(effects[call] > before[call] for call in answered)
        figures["rewritten"] += log[: len(self._log)] != self._log
        self._log = log
        if outcome == "incomplete":
            self._open_at_kills.update(of_calls(log, "provider:start") - of_calls(log, "provider:end"))
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
        asked = {f"c{chain}#{number}/0/0" for chain in range(CHAINS) for number in range(1, ROUNDS + 1)}
        right = (
            replayed.state == expected
            and list(replayed.signals) == self._log
            and effects.keys() == asked | {"editor#1/0/0"}
            and all(times <= 1 + self._open_at_kills[call] for call, times in effects.items())
        )
        self.figures["wrong"] += not right
        self.figures["requests"] += len(effects)
        self.figures["requests_sent_once"] += sum(times == 1 for times in effects.values())


def main(folder: Path, kills: int, seed: int, *, hasty: bool) -> None:
    """Kill so often, and print what was seen."""
    chance = random.Random(seed)
    undisturbed = Case(folder / "undisturbed", hasty=False, chance=chance)
    while not undisturbed.go_on(2.0):
        pass
    expected = undisturbed.replay().state
    figures: Counter[str] = Counter()
    while figures["kills"] < kills:
        case = Case(folder / f"run-{figures['runs']}", hasty=hasty, chance=chance)
        ended = any(case.go_on(chance.random() * chance.choice(SECONDS)) for _ in range(PATIENCE))
        if ended:
            case.check_the_end(expected)
        figures.update(case.figures)
        figures.update(runs=1, unended=not ended)
    sys.stdout.write(f"{json.dumps(figures)}\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]), hasty=sys.argv[4:] == ["acknowledge-first"])
