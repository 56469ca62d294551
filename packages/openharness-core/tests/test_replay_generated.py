"""Generated runs of 2 to 30 agents at once: whatever happened, each replays signal for signal."""

from __future__ import annotations

import itertools
import os
from collections import Counter
from typing import TYPE_CHECKING

import pytest
from generated_runs import RunSpec, State, again, check_conversations, live, make_spec
from harness_kit import KeepingStore

from openharness.core.log import RunFold

if TYPE_CHECKING:
    from pathlib import Path

    from openharness.core import RunResult, SignalStore

LONG = os.environ.get("OPENHARNESS_LONG") == "1"
RUNS = 500 if LONG else 30
BATCH = 10

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600 if LONG else 240)]


def the_log_is_well_formed(result: RunResult[State]) -> None:
    """The rules that every log keeps."""
    signals = result.signals
    assert [signal.seq for signal in signals] == list(range(len(signals)))
    run_id = signals[0].id.removesuffix("/0")
    assert all(signal.id == f"{run_id}/{signal.seq}" for signal in signals)
    assert all(one.timestamp <= two.timestamp for one, two in itertools.pairwise(signals))
    position = {signal.id: signal.seq for signal in signals}
    assert all(signal.source.parent is None or position[signal.source.parent] < signal.seq for signal in signals)
    assert (signals[0].name, signals[-1].name) == ("harness:start", "harness:end")


def the_fold_is_what_the_run_knew(result: RunResult[State]) -> None:
    """The fold of the whole log is the result's state, and it can be taken step by step or from any copy."""
    fold = RunFold()
    middle = None
    for signal in result.signals:
        fold.apply(signal)
        if signal.seq == len(result.signals) // 2:
            middle = fold.copy()
    assert fold == RunFold.of(result.signals)
    assert middle is not None
    for signal in result.signals[middle.count :]:
        middle.apply(signal)
    assert middle == fold
    if result.status == "completed":
        assert (fold.activations, fold.calls) == ({}, {})
    assert fold.activation_count == result.metrics.activations


async def check(spec: RunSpec, store: SignalStore) -> int:
    """Record a run, replay it three times, and return how many signals it had."""
    result = await live(spec, store=store)
    the_log_is_well_formed(result)
    the_fold_is_what_the_run_knew(result)
    check_conversations(result.signals)
    for _ in range(3):
        replayed = await again(spec, recording=result.recording_id, store=store)
        assert replayed.signals == result.signals
        assert replayed.state == result.state
        assert replayed.metrics == result.metrics
        assert replayed.replayed
        assert replayed.run_id != result.run_id
    recording = await store.load_recording(str(result.recording_id))
    assert recording is not None
    assert tuple(recording.signals) == result.signals
    return len(result.signals)


@pytest.mark.parametrize("first", range(0, RUNS, BATCH))
async def test_generated_runs_replay_three_times(first: int) -> None:
    """A run with any wiring, order-dependent guards and reducers, failures and random delays replays exactly."""
    total = 0
    for seed in range(first, first + BATCH):
        total += await check(make_spec(seed, tools=True), KeepingStore())
    assert total > BATCH * 3


async def test_the_generated_runs_have_tools_of_every_outcome() -> None:
    """What is generated has several tools at once, failures, calls that cannot be made, rejected answers and histories."""
    names: Counter[str] = Counter()
    several = False
    for seed in range(BATCH):
        result = await live(make_spec(seed, tools=True), store=KeepingStore())
        names.update(signal.name for signal in result.signals)
        told = [signal.payload["history"] for signal in result.signals if "history" in (signal.payload or ())]
        names["history"] += sum(each["messages"] > 0 for each in told)
        names["examples"] += sum(each.get("examples", 0) > 0 for each in told)
        names["error"] += sum("error" in signal.payload for signal in result.signals if signal.name == "tool:result")
        fold = RunFold()
        for signal in result.signals:
            fold.apply(signal)
            running = [
                call.id
                for activation in fold.activations.values()
                for call in activation.tool_calls.values()
                if call.status == "running"
            ]
            several = several or len(running) > 1
    assert several
    assert min(names["tool:result"], names["error"], names["tool:rejected"]) > 0
    assert min(names["text:rejected"], names["history"], names["examples"]) > 0


@pytest.mark.parametrize("seed", range(1_000, 1_000 + (50 if LONG else 10)))
async def test_generated_runs_replay_from_the_store_in_memory(seed: int) -> None:
    """The same holds with `MemorySignalStore`."""
    signals = pytest.importorskip("openharness.signals")
    await check(make_spec(seed, most=12, tools=True), signals.MemorySignalStore())


@pytest.mark.parametrize("seed", range(2_000, 2_000 + (50 if LONG else 10)))
async def test_generated_runs_replay_from_files(seed: int, tmp_path: Path) -> None:
    """The same holds for recordings that were written to files, and read by another store."""
    signals = pytest.importorskip("openharness.signals")
    spec = make_spec(seed, most=12, tools=True)
    async with signals.FileSignalStore(tmp_path) as store:
        result = await live(spec, store=store)
    async with signals.FileSignalStore(tmp_path) as store:
        replayed = await again(spec, recording=result.recording_id, store=store)
    assert replayed.signals == result.signals
    assert replayed.state == result.state
