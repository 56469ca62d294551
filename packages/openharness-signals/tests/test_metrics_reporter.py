"""What is measured of runs, while they go on and from recordings."""

from __future__ import annotations

import json
import math
import random

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st
from reporters_support import KINDS, Storyteller, run_told
from signals_support import recorded_run, signal

from openharness.core import create_harness
from openharness.core.harness import AgentMetrics, RunMetrics
from openharness.core.log import RunFold
from openharness.signals import Latency, MemorySignalStore, MetricsReporter, report_recording
from openharness.signals._reporters._metrics import latency_of


@pytest.mark.parametrize("kind", KINDS)
async def test_live_and_recorded_are_measured_alike(kind: str) -> None:
    """A reporter that was there while the run went on says what one says that is told of the recording."""
    live, stored = MetricsReporter(), MetricsReporter()
    recording = await run_told(live, kind=kind)
    report_recording(recording, stored)
    assert live.snapshot() == stored.snapshot()
    assert sum(live.snapshot().runs.values()) == 1


async def test_a_stream_can_be_reported() -> None:
    """Called for each signal of a stream, a reporter says what it says of the recording."""
    harness, store = create_harness(), MemorySignalStore()
    agents = {"teller": harness.agent(prompt="Tell!", activate_on="harness:start", updates="story")}
    live, stored = MetricsReporter(), MetricsReporter()
    options = {"agents": agents, "state": {"story": ""}, "provider": Storyteller(), "store": store}
    async with harness.stream(**options) as run:
        async for one in run:
            live(one)
        result = await run.result()
    assert result.recording_id is not None
    recording = await store.load_recording(result.recording_id)
    assert recording is not None
    report_recording(recording, stored)
    assert live.snapshot() == stored.snapshot()
    assert live.snapshot().providers["storyteller"].ended == 1


@pytest.mark.parametrize("kind", KINDS)
async def test_counts_are_those_of_the_run_itself(kind: str) -> None:
    """What each agent did is what the harness says in the metrics of the result."""
    reporter = MetricsReporter()
    recording = await run_told(reporter, kind=kind)
    expected = RunMetrics.of(RunFold.of(recording.signals))
    snapshot = reporter.snapshot()
    names = [field.name for field in attrs.fields(AgentMetrics)]
    for agent, measured in snapshot.agents.items():
        assert [getattr(measured, name) for name in names] == [getattr(expected.agents[agent], name) for name in names]
    assert snapshot.agents.keys() == expected.agents.keys()
    assert [getattr(snapshot.totals, name) for name in names] == [getattr(expected, name) for name in names]
    assert snapshot.duration.total_ms == expected.duration_ms
    assert snapshot.signals == len(recording.signals)


async def test_what_became_of_calls() -> None:
    """Calls of a provider are answered, fail, are sent again, or are given up; tools are counted by name."""
    retried, stopped = MetricsReporter(), MetricsReporter()
    await run_told(retried, kind="retried")
    await run_told(stopped, kind="timed_out")
    provider = retried.snapshot().providers["storyteller"]
    assert (provider.calls, provider.retries, provider.ended, provider.failed, provider.cancelled) == (3, 1, 2, 1, 0)
    assert (provider.output_tokens, provider.cost) == (8, 0.25)
    assert (provider.duration.count, provider.time_to_first_token.count) == (3, 3)
    assert retried.snapshot().tools["search"].calls == 2
    provider = stopped.snapshot().providers["storyteller"]
    assert (provider.calls, provider.ended, provider.cancelled) == (2, 1, 1)
    assert stopped.snapshot().runs == {"timed_out": 1}


async def test_runs_that_go_on_and_runs_that_were_left() -> None:
    """A run is running until its end was seen; closing counts it as incomplete, and twice is no error."""
    recording = await recorded_run()
    reporter = MetricsReporter()
    for one in recording.signals[:-1]:
        reporter(one)
    assert reporter.snapshot().runs == {"running": 1}
    report_recording(recording, reporter)
    assert reporter.snapshot().runs == {"incomplete": 1, "completed": 1}
    for one in recording.signals[:5]:
        reporter(one)
    with reporter:
        pass
    reporter.close()
    assert reporter.snapshot().runs == {"incomplete": 2, "completed": 1}


def test_tools_are_timed() -> None:
    """A tool's time is that from its start to its result; a result with an error is an error."""
    reporter = MetricsReporter()
    asked = {"call": "a#1/0/0", "index": 0, "id": "t", "name": "search", "arguments": {}}
    one, other = {"tool_call": "a#1/0/0"}, {"tool_call": "a#1/0/1"}
    log: list[tuple[str, dict[str, object]]] = [("tool:call", asked), ("tool:call", {**asked, "index": 1})]
    log += [("tool:start", {**one, "name": "search"}), ("tool:start", {**other, "name": "search"})]
    log += [("tool:result", {**other, "error": {"message": "no"}}), ("tool:result", {**one, "output": 3})]
    log += [("tool:rejected", {"tool_call": "a#1/0/2", "name": "find", "error": {"kind": "unknown_tool"}})]
    for seq, (name, payload) in enumerate(log):
        reporter(signal(seq, name, payload, activation="a#1"))
    tool = reporter.snapshot().tools["search"]
    assert (tool.calls, tool.results, tool.errors) == (2, 2, 1)
    assert (tool.duration.min_ms, tool.duration.max_ms) == (1, 3)
    rejected = reporter.snapshot().tools["find"]
    assert (rejected.calls, rejected.results, rejected.errors, rejected.duration.count) == (0, 1, 1, 0)


async def test_it_is_a_json_value() -> None:
    """A snapshot is frozen, and goes through JSON as it is."""
    reporter = MetricsReporter()
    await run_told(reporter)
    snapshot = reporter.snapshot()
    value = snapshot.to_json()
    assert json.loads(json.dumps(value)) == value
    assert json.loads(json.dumps(value))["agents"]["teller"]["duration"]["count"] == 1
    with pytest.raises(attrs.exceptions.FrozenInstanceError):
        snapshot.signals = 3  # type: ignore[misc]
    await run_told(reporter)
    assert snapshot.to_json() == value


@given(st.lists(st.integers(0, 10_000), max_size=300))
def test_percentiles_are_the_nearest_ranks(durations: list[int]) -> None:
    """Of n durations at least p in a hundred are no longer than the percentile, and it is the least such one."""
    latency = latency_of(random.sample(durations, len(durations)))
    if not durations:
        assert latency == Latency()
        return
    assert (latency.count, latency.total_ms) == (len(durations), sum(durations))
    assert (latency.min_ms, latency.max_ms) == (min(durations), max(durations))
    for percent, value in ((50, latency.p50_ms), (90, latency.p90_ms), (99, latency.p99_ms)):
        assert value in durations
        needed = math.ceil(len(durations) * percent / 100)
        assert sum(one <= value for one in durations) >= needed
        assert sum(one < value for one in durations) < needed


@pytest.mark.parametrize(
    "name", ["provider:start", "provider:end", "tool:result", "agent:error", "harness:end", "agent:activated"]
)
def test_a_log_of_a_stranger_breaks_nothing(name: str) -> None:
    """Payloads that no harness writes are counted as far as they can be."""
    reporter = MetricsReporter()
    for seq, payload in enumerate([None, 3, {}, {"call": 5}, {"call": "x", "output": [], "error": 7, "status": []}]):
        reporter(signal(seq, name, payload))
    assert reporter.snapshot().signals == 5
