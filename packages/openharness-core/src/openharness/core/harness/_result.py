"""What a run returns."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from operator import attrgetter
from typing import Any, Final, Generic, TypeVar

import attrs

from openharness.core.engine import DriftReport
from openharness.core.log import AgentTotals, RunFold
from openharness.core.records import RunStatus, Signal

__all__ = ("AgentMetrics", "RunMetrics", "RunResult")

S = TypeVar("S")

_FIGURES: Final = tuple(field.name for field in attrs.fields(AgentTotals))
_figures: Final = attrgetter(*_FIGURES)


@attrs.frozen(kw_only=True, weakref_slot=False)
class AgentMetrics:
    """What one agent did in a run.

    Attributes:
        activations: How often it was activated.
        skipped: How often a signal matched and it was not activated.
        errors: How many of its activations failed.
        provider_calls: Requests sent, retries included.
        retries: Requests sent again.
        input_tokens: Tokens of the requests.
        output_tokens: Tokens of the answers.
        cached_tokens: Input tokens that were read from a cache.
        cost: In US dollars, as far as providers told; 0.0 where none did.
        tool_calls: Tools started.
        tool_errors: Calls of tools that failed, were not made, or whose outcome is unknown.
    """

    activations: int = 0
    skipped: int = 0
    errors: int = 0
    provider_calls: int = 0
    retries: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    cached_tokens: int = 0
    cost: float = 0.0
    tool_calls: int = 0
    tool_errors: int = 0


def _agent_metrics(row: Iterable[Any]) -> AgentMetrics:
    # Made as `make_signal` makes signals, since a run may have thousands of agents: the fold's totals have these slots.
    draft: Any = AgentTotals(*row)
    draft.__class__ = AgentMetrics
    metrics: AgentMetrics = draft
    return metrics


@attrs.frozen(kw_only=True)
class RunMetrics(AgentMetrics):
    """What a run took: the sums over its agents, and its time. A replay has the figures of its recording.

    Attributes:
        duration_ms: From the first signal to the last, in milliseconds.
        agents: The figures of each agent, by name.

    The others are as in `AgentMetrics`.
    """

    duration_ms: int
    agents: Mapping[str, AgentMetrics]

    @classmethod
    def of(cls, fold: RunFold) -> RunMetrics:
        """Return the metrics of a log."""
        rows = {agent: _figures(totals) for agent, totals in fold.totals.items()}
        agents = {agent: _agent_metrics(row) for agent, row in rows.items()}
        columns = zip(*rows.values(), strict=True) if rows else [()] * len(_FIGURES)
        sums = dict(zip(_FIGURES, map(sum, columns), strict=True))
        started = fold.last_at if fold.started_at is None else fold.started_at
        return cls(duration_ms=fold.last_at - started, agents=agents, **sums)


@attrs.frozen(kw_only=True)
class RunResult(Generic[S]):
    """A run that has ended.

    Attributes:
        state: The final state, as an object of the state's type.
        signals: Every signal of the run, in order.
        metrics: What it took.
        run_id: The run. A replay has an id of its own; its signals keep the recorded ids.
        recording_id: The recording that holds the signals (in a replay: that was replayed); None when there is none.
        status: How it ended; ``completed`` for a result that was returned, another one for a result on an error.
        terminated_early: Whether ``end_when`` ended it.
        replayed: Whether it was a replay.
        drift: How a replay with ``drift="warn"`` differed from its recording; empty if it did not, and for other runs.
    """

    state: S
    signals: tuple[Signal, ...]
    metrics: RunMetrics
    run_id: str
    recording_id: str | None
    status: RunStatus
    terminated_early: bool
    replayed: bool
    drift: tuple[DriftReport, ...] = ()
