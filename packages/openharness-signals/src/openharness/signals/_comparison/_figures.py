"""What two runs took: tokens, cost and time, of the runs, of their agents and of each activation."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Final

import attrs

from openharness.core.harness import AgentMetrics, RunMetrics

if TYPE_CHECKING:
    from openharness.core.log import RunFold
    from openharness.core.records import Signal

__all__ = ("AgentFigures", "Figure", "RunFigures", "compare_figures")

_NAMES: Final = tuple(field.name for field in attrs.fields(AgentMetrics))
_CLOSING: Final = frozenset({"agent:completed", "agent:error"})


@attrs.frozen
class Figure:
    """One figure of two runs.

    Attributes:
        left: That of the left run; None where it has none.
        right: That of the right run; None where it has none.
    """

    left: float | None
    right: float | None

    @property
    def change(self) -> float | None:
        """How much more it is on the right; None where one side has none."""
        return None if self.left is None or self.right is None else self.right - self.left


@attrs.frozen(kw_only=True)
class AgentFigures:
    """The figures of one agent in both runs; None on the side of a run that does not know the agent.

    Attributes:
        duration_ms: How long its activations took together, in milliseconds, as far as they ended.
        activations: As in `openharness.core.AgentMetrics`, and so are all that follow.
        skipped: How often a signal matched and it was not activated.
        errors: How many of its activations failed.
        provider_calls: Requests sent, retries included.
        retries: Requests sent again.
        input_tokens: Tokens of the requests.
        output_tokens: Tokens of the answers.
        cached_tokens: Input tokens that were read from a cache.
        cost: In US dollars, as far as providers told.
        tool_calls: Tools started.
        tool_errors: Calls of tools that failed, were not made, or whose outcome is unknown.
    """

    duration_ms: Figure
    activations: Figure
    skipped: Figure
    errors: Figure
    provider_calls: Figure
    retries: Figure
    input_tokens: Figure
    output_tokens: Figure
    cached_tokens: Figure
    cost: Figure
    tool_calls: Figure
    tool_errors: Figure

    @property
    def is_equal(self) -> bool:
        """Whether all figures but times are the same."""
        figures: list[Figure] = [getattr(self, name) for name in _NAMES]
        return all(figure.left == figure.right for figure in figures)


@attrs.frozen(kw_only=True)
class RunFigures(AgentFigures):
    """The figures of both runs.

    Attributes:
        duration_ms: From the first signal of the run to its last, in milliseconds.
        agents: The figures of each agent, by name.
        latencies: How long each activation took, in milliseconds, by activation; None where it did not end.

    The others are the sums over the agents.
    """

    agents: Mapping[str, AgentFigures]
    latencies: Mapping[str, Figure]

    @property
    def is_equal(self) -> bool:
        """Whether all figures but times are the same, those of the agents too."""
        return super().is_equal and all(agent.is_equal for agent in self.agents.values())


def compare_figures(
    left: Sequence[Signal], right: Sequence[Signal], *, left_fold: RunFold, right_fold: RunFold
) -> RunFigures:
    """Return the figures of two logs.

    Args:
        left: The signals of one log.
        right: The signals of the other.
        left_fold: What the left one means.
        right_fold: What the right one means.
    """
    metrics = RunMetrics.of(left_fold), RunMetrics.of(right_fold)
    times = _latencies(left), _latencies(right)
    agents = {
        agent: AgentFigures(
            duration_ms=Figure(
                *(_duration(side.agents, took, agent) for side, took in zip(metrics, times, strict=True))
            ),
            **_figures(*(side.agents.get(agent) for side in metrics)),
        )
        for agent in dict.fromkeys([*metrics[0].agents, *metrics[1].agents])
    }
    latencies = {
        activation: Figure(*(side.get(activation, (None, None))[1] for side in times))
        for activation in dict.fromkeys([*times[0], *times[1]])
    }
    return RunFigures(
        duration_ms=Figure(*(side.duration_ms for side in metrics)),
        **_figures(*metrics),
        agents=agents,
        latencies=latencies,
    )


def _figures(left: AgentMetrics | None, right: AgentMetrics | None) -> dict[str, Figure]:
    return {name: Figure(*(None if side is None else getattr(side, name) for side in (left, right))) for name in _NAMES}


def _duration(
    agents: Mapping[str, AgentMetrics], latencies: Mapping[str, tuple[str, int | None]], agent: str
) -> int | None:
    if agent not in agents:
        return None
    return sum(took for owner, took in latencies.values() if owner == agent and took is not None)


def _latencies(signals: Sequence[Signal]) -> dict[str, tuple[str, int | None]]:
    """The agent of each activation, and how long the activation took; None if it did not end."""
    began: dict[str, int] = {}
    found: dict[str, tuple[str, int | None]] = {}
    for signal in signals:
        if signal.name == "agent:activated":
            activation = signal.payload["activation"]
            began[activation] = signal.timestamp
            found[activation] = (signal.payload["agent"], None)
        elif signal.name in _CLOSING and signal.payload["activation"] in began:
            activation = signal.payload["activation"]
            found[activation] = (found[activation][0], signal.timestamp - began[activation])
    return found
