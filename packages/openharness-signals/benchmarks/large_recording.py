"""A recording of 100,000 signals: replay, load, step through, compare; and 1,000 calls against a cassette of VCR.py.

Each part runs in a process of its own, so that its peak of memory is its own: CPU time and the growth of the resident
set, both for each signal. The recording is that of a real run, one agent after the other (six signals an activation).

S4 replays 1,000 recorded calls, loading included, in this process and the same run: the harness from a file, and VCR.py
from a cassette of as many interactions of the same size, through ``requests``, with its usual matching and with that of
the body, which is needed once calls can come in another order. VCR.py works under any HTTP client and sees real requests,
the harness records above the client; so this compares what a user waits for, not the code of the two. The matching of
bodies takes a second for each 20 calls, so few of them are made, all over the same cassette; the goals are 40 and 1,000.

Run it with ``python large_recording.py [--signals 100000] [--calls 1000]``. VCR.py is installed for the benchmarks alone
(the dependency group ``peers``); without it S4 has only the half of the harness.
"""

from __future__ import annotations

import argparse
import asyncio
import importlib.util
import json
import multiprocessing
import resource
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from openharness.core import Completed, Provider, ProviderOutput, create_harness
from openharness.signals import FileSignalStore, Player, diff_recordings

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable

    from openharness.core import Context, ProviderEvent, ProviderRequest, RunContext, RunResult

FIXTURE = "large"
PER_ACTIVATION = 6
ANSWER = "a sentence of a model's answer " * 4


class Instant(Provider):
    """Answers at once."""

    type = "instant"

    async def run(self, request: ProviderRequest, context: RunContext) -> AsyncGenerator[ProviderEvent, None]:
        """Answer at once."""
        del request, context
        yield Completed(ProviderOutput(content=ANSWER))


def run(folder: str, mode: Any, signals: int) -> RunResult[Any]:
    """Record a run of so many signals, or replay it."""
    # Not returned by the task: `asyncio.run` makes a text of what its task returned.
    found: list[RunResult[Any]] = []
    asyncio.run(_run(folder, mode, signals, found))
    return found[0]


async def _run(folder: str, mode: Any, signals: int, found: list[RunResult[Any]]) -> None:
    store = FileSignalStore(folder)
    harness = create_harness(store=store, mode=mode)

    def prompt(context: Context[Any]) -> str:
        return f"question {context.signal.seq}"

    def more(context: Context[Any]) -> bool:
        return context.signal.seq < signals - PER_ACTIVATION

    agent = harness.agent(
        prompt=prompt, activate_on=["harness:start", "next"], when=more, emits="next", updates="answer"
    )
    try:
        found.append(
            await harness.run_reactive(
                agents={"asking": agent},
                state={"answer": ""},
                provider=Instant(),
                fixture=FIXTURE,
                max_activations=signals,
                max_depth=signals,
            )
        )
    finally:
        await store.close()


def replay(folder: str, signals: int) -> None:
    """Run it again without its provider."""
    run(folder, "replay", signals)


def load(folder: str, signals: int) -> Any:
    """Read it from its file."""
    del signals

    async def loaded() -> Any:
        store = FileSignalStore(folder)
        info = await store.find_recording(FIXTURE)
        assert info is not None
        recording = await store.load_recording(info.id)
        await store.close()
        # Not returned by the task: `asyncio.run` makes a text of what its task returned.
        found.append(recording)

    found: list[Any] = []
    asyncio.run(loaded())
    return found[0]


def step_through(folder: str, signals: int) -> None:
    """Load it, and look at the state after each signal."""
    player = Player(load(folder, signals))
    while player.step() is not None:
        assert player.state is not None


def compare(folder: str, signals: int) -> None:
    """Load it twice, and compare."""
    assert diff_recordings(load(folder, signals), load(folder, signals)).is_equal


def measured(work: Callable[[str, int], object], folder: str, signals: int, answers: Any) -> None:
    """CPU seconds, and the growth of the peak of memory in bytes; runs in a process of its own."""
    before, begun = peak_of_memory(), time.process_time()
    work(folder, signals)
    taken = time.process_time() - begun
    answers.put((taken, peak_of_memory() - before))


def peak_of_memory() -> int:
    """The most bytes this process had resident at once."""
    status = Path("/proc/self/status")
    if status.exists():
        # What `getrusage` says a process inherits from the one that started it.
        (line,) = [line for line in status.read_text().splitlines() if line.startswith("VmHWM:")]
        return int(line.split()[1]) * 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def apart(work: Callable[[str, int], object], folder: str, signals: int) -> tuple[float, float]:
    """Measure a part in a fresh process."""
    context = multiprocessing.get_context("spawn")
    answers = context.SimpleQueue()
    process = context.Process(target=measured, args=(work, folder, signals, answers))
    process.start()
    process.join()
    assert process.exitcode == 0
    found: tuple[float, float] = answers.get()
    return found


def write_cassette(path: Path, calls: int) -> None:
    """As many interactions with a model's interface, in the form of VCR.py's JSON serializer."""
    interactions = [
        {
            "request": {
                "method": "POST",
                "uri": "http://model.test/v1/chat/completions",
                "body": json.dumps({"model": "small", "messages": [{"role": "user", "content": f"question {number}"}]}),
                "headers": {"Content-Type": ["application/json"]},
            },
            "response": {
                "status": {"code": 200, "message": "OK"},
                "headers": {"Content-Type": ["application/json"]},
                "body": {"string": json.dumps({"choices": [{"message": {"role": "assistant", "content": ANSWER}}]})},
            },
        }
        for number in range(calls)
    ]
    path.write_text(json.dumps({"version": 1, "interactions": interactions}))


def play_cassette(path: Path, matching: tuple[str, ...], calls: range) -> float:
    """CPU seconds of a call through VCR.py."""
    import requests
    import vcr

    recorder = vcr.VCR(serializer="json", record_mode=vcr.mode.NONE, match_on=matching)
    begun = time.process_time()
    with recorder.use_cassette(str(path)), requests.Session() as session:
        for number in calls:
            body = {"model": "small", "messages": [{"role": "user", "content": f"question {number}"}]}
            answer = session.post("http://model.test/v1/chat/completions", json=body, timeout=10)
            assert answer.json()["choices"][0]["message"]["content"] == ANSWER
    return (time.process_time() - begun) / len(calls)


def against_vcr(folder: str, calls: int) -> None:
    """S4."""
    signals = calls * PER_ACTIVATION
    recorded = run(folder, "record", signals)
    made = sum(signal.name == "provider:start" for signal in recorded.signals)
    begun = time.process_time()
    run(folder, "replay", signals)
    ours = (time.process_time() - begun) / made
    print(f"S4 replay {made:,} calls, load included: {ours * 1e6:,.1f} us a call")
    if importlib.util.find_spec("vcr") is None:
        print("  VCR.py is not installed")
        return
    cassette = Path(folder) / "cassette.json"
    write_cassette(cassette, calls)
    usual = ("method", "scheme", "host", "port", "path", "query")
    for name, matching, played, goal in (
        ("its usual matching", usual, range(calls), 40),
        ("that and the body", (*usual, "body"), range(0, calls, max(1, calls // 20)), 1_000),
    ):
        peer = play_cassette(cassette, matching, played)
        print(f"  VCR.py, {name:20} {peer * 1e6:12,.0f} us a call: {peer / ours:8,.0f} x (goal {goal:,})")


def main() -> None:
    """Record, measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--signals", type=int, default=100_000)
    parser.add_argument("--calls", type=int, default=1_000)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        begun = time.process_time()
        recorded = run(folder, "record", options.signals)
        count = len(recorded.signals)
        print(f"record {count:,} signals: {(time.process_time() - begun) / count * 1e6:.1f} us a signal")
        del recorded
        for work in (replay, load, step_through, compare):
            taken, peak = apart(work, folder, options.signals)
            print(
                f"  {work.__name__:13} {taken / count * 1e6:8.1f} us a signal, peak of memory {peak / count:8,.0f} bytes"
            )
    with tempfile.TemporaryDirectory() as folder:
        against_vcr(folder, options.calls)


if __name__ == "__main__":
    main()
