"""Counts, durations, tokens and cost of all runs a reporter was told of."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, cast

import attrs

from openharness.core.harness import AgentMetrics
from openharness.core.log import AgentTotals
from openharness.signals._reporters._reporter import Reporter
from openharness.signals._reporters._tally import OpenRuns, RunTally, Tallies

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from openharness.core.records import Signal
    from openharness.core.values import JSONObject
    from openharness.signals._reporters._tally import AgentTally, ProviderTally

__all__ = (
    "AgentMeasurements",
    "Latency",
    "MetricsReporter",
    "MetricsSnapshot",
    "ProviderMeasurements",
    "ToolMeasurements",
    "latency_of",
    "sum_of",
)


@attrs.frozen(kw_only=True)
class Latency:
    """How long things took, in milliseconds. A percentile is the nearest rank: one of the durations themselves.

    Attributes:
        count: How many there were. Without any, all but `total_ms` are None.
        total_ms: All of them together.
        min_ms: The shortest.
        p50_ms: Half of them took at most this long.
        p90_ms: Nine of ten did.
        p99_ms: Ninety-nine of a hundred did.
        max_ms: The longest.
    """

    count: int = 0
    total_ms: int = 0
    min_ms: int | None = None
    p50_ms: int | None = None
    p90_ms: int | None = None
    p99_ms: int | None = None
    max_ms: int | None = None


@attrs.frozen(kw_only=True)
class AgentMeasurements(AgentMetrics):
    """What an agent did, and how long it took.

    Attributes:
        completed: How many of its activations completed.
        duration: Its activations, from ``agent:activated`` to their end; the wait for a slot is part of them.
        provider_duration: Its calls of providers that ended or failed.
        time_to_first_token: From each of these calls to the first piece of its answer, where one came.

    The others are as in `openharness.core.AgentMetrics`.
    """

    completed: int
    duration: Latency
    provider_duration: Latency
    time_to_first_token: Latency


@attrs.frozen(kw_only=True)
class ProviderMeasurements:
    """What was asked of a provider, and how long it took.

    Attributes:
        calls: Requests sent, retries included.
        retries: Requests sent again.
        ended: Requests that were answered.
        failed: Requests that ended with an error.
        cancelled: Requests that were given up because the run ended.
        input_tokens: Tokens of the requests.
        output_tokens: Tokens of the answers.
        cached_tokens: Input tokens that were read from a cache.
        cost: In US dollars, as far as the provider told.
        duration: The requests that ended or failed.
        time_to_first_token: From each of these to the first piece of its answer, where one came.
    """

    calls: int
    retries: int
    ended: int
    failed: int
    cancelled: int
    input_tokens: int
    output_tokens: int
    cached_tokens: int
    cost: float
    duration: Latency
    time_to_first_token: Latency


@attrs.frozen(kw_only=True)
class ToolMeasurements:
    """What was asked of a tool, and how long it took.

    Attributes:
        calls: How often a model asked for it.
        results: How often it gave a result, errors and calls that were not made included.
        errors: How many of these were errors.
        duration: From ``tool:start`` to ``tool:result``.
    """

    calls: int
    results: int
    errors: int
    duration: Latency


@attrs.frozen(kw_only=True)
class MetricsSnapshot:
    """What runs did, up to the moment in which it was taken.

    Attributes:
        runs: How many runs there were, by status; those that go on are ``"running"``.
        signals: How many signals.
        duration: The runs that ended, from the first signal to the last.
        totals: The sums over the agents.
        agents: What each agent did, by name.
        providers: What was asked of each provider, by `Provider.type`.
        tools: What was asked of each tool, by name.
    """

    runs: Mapping[str, int]
    signals: int
    duration: Latency
    totals: AgentMetrics
    agents: Mapping[str, AgentMeasurements]
    providers: Mapping[str, ProviderMeasurements]
    tools: Mapping[str, ToolMeasurements]

    def to_json(self) -> JSONObject:
        """Return it as a JSON value: objects with the names of the attributes."""
        return cast("JSONObject", attrs.asdict(self))


class MetricsReporter(Reporter):
    """Measures runs: counts, durations, tokens and cost of agents, providers and tools.

    It keeps the duration of every call, a number each, so that percentiles are exact.
    """

    def __init__(self) -> None:
        self._tallies = Tallies()
        self._open = OpenRuns(lambda run_id, signal: RunTally(run_id, signal, self._tallies))
        self._runs: dict[str, int] = {}
        self._durations: list[int] = []
        self._signals = 0

    def __call__(self, signal: Signal) -> None:
        """Take the next signal of a run."""
        self._signals += 1
        left = self._open.begun_again(signal)
        if left is not None:
            self._count(left)
        run = self._open.of(signal)
        run.apply(signal)
        if run.end is not None:
            self._open.end(signal)
            self._count(run)

    def _count(self, run: RunTally) -> None:
        self._runs[run.status] = self._runs.get(run.status, 0) + 1
        if run.end is not None:
            self._durations.append(run.duration_ms)

    def close(self) -> None:
        """Count the runs that have not ended as ``"incomplete"``."""
        for run in self._open.leave():
            self._count(run)

    def snapshot(self) -> MetricsSnapshot:
        """Return what was measured until now; it does not change any more."""
        tallies = self._tallies
        running = {"running": len(self._open)} if len(self._open) else {}
        return MetricsSnapshot(
            runs={**self._runs, **running},
            signals=self._signals,
            duration=latency_of(self._durations),
            totals=AgentMetrics(**sum_of(tally.totals for tally in tallies.agents.values())),
            agents={name: _measured_agent(tally) for name, tally in tallies.agents.items()},
            providers={name: _measured_provider(tally) for name, tally in tallies.providers.items()},
            tools={
                name: ToolMeasurements(
                    calls=tally.calls, results=tally.results, errors=tally.errors, duration=latency_of(tally.durations)
                )
                for name, tally in tallies.tools.items()
            },
        )


def latency_of(durations: Sequence[int]) -> Latency:
    """Return what durations in milliseconds amount to."""
    if not durations:
        return Latency()
    ordered = sorted(durations)

    def percentile(percent: int) -> int:
        return ordered[math.ceil(len(ordered) * percent / 100) - 1]

    return Latency(
        count=len(ordered),
        total_ms=sum(ordered),
        min_ms=ordered[0],
        p50_ms=percentile(50),
        p90_ms=percentile(90),
        p99_ms=percentile(99),
        max_ms=ordered[-1],
    )


def sum_of(totals: Iterable[AgentTotals]) -> dict[str, Any]:
    """Return the sums of what agents did, by the names of the attributes."""
    listed = list(totals)
    return {field.name: sum(getattr(one, field.name) for one in listed) for field in attrs.fields(AgentTotals)}


def _measured_agent(tally: AgentTally) -> AgentMeasurements:
    return AgentMeasurements(
        **attrs.asdict(tally.totals),
        completed=tally.completed,
        duration=latency_of(tally.durations),
        provider_duration=latency_of(tally.call_durations),
        time_to_first_token=latency_of(tally.first_tokens),
    )


def _measured_provider(tally: ProviderTally) -> ProviderMeasurements:
    return ProviderMeasurements(
        **attrs.asdict(tally, filter=lambda attribute, _: attribute.name not in {"durations", "first_tokens"}),
        duration=latency_of(tally.durations),
        time_to_first_token=latency_of(tally.first_tokens),
    )
