"""A run as assertions see it, whether it comes as a result or as a recording."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeAlias, cast

import attrs

from openharness.core import Recording, RunMetrics, RunResult, Signal
from openharness.core.log import STREAMING, RunFold
from openharness.core.patterns import compile_pattern

if TYPE_CHECKING:
    from openharness.core.patterns import PatternLike

__all__ = ("AnyRun", "ObservedRun", "trajectory")

AnyRun: TypeAlias = "RunResult[Any] | Recording"
"""What assertions can be made about."""


@attrs.frozen(kw_only=True)
class ObservedRun:
    """What is known of a run.

    Attributes:
        name: What to call it.
        signals: All its signals, in order.
        metrics: What it took.
        agents: The names of its agents; None where the log has no beginning.
    """

    name: str
    signals: tuple[Signal, ...]
    metrics: RunMetrics
    agents: tuple[str, ...] | None

    @classmethod
    def of(cls, run: AnyRun) -> ObservedRun:
        """Return what is known of a result or a recording.

        Raises:
            TypeError: It is neither.
        """
        given = cast("object", run)
        if not isinstance(given, (RunResult, Recording)):
            raise TypeError(f"assert_that takes a RunResult or a Recording, got {given!r}.")
        fold = RunFold.of(run.signals)
        metrics = run.metrics if isinstance(run, RunResult) else RunMetrics.of(fold)
        name = f"run {run.run_id}" if isinstance(run, RunResult) else f"recording {run.info.id}"
        agents = None if fold.agents is None else tuple(cast("dict[str, Any]", fold.agents))
        return cls(name=name, signals=tuple(run.signals), metrics=metrics, agents=agents)


def trajectory(run: AnyRun, *patterns: PatternLike) -> list[str]:
    """Return what happened in a run as a list of words that do not change from one run to the next.

    Each signal is its name, behind the activation it belongs to: ``"harness:start"``, ``"editor#1 agent:activated"``.
    Neither ids nor times are part of it, so it can be compared with ``==`` and kept as a snapshot.

    Args:
        run: A result or a recording.
        *patterns: The signals to take; without any, all but streaming deltas.
    """
    compiled = [compile_pattern(pattern) for pattern in patterns]
    return [
        signal.name if signal.source.activation is None else f"{signal.source.activation} {signal.name}"
        for signal in run.signals
        if (any(pattern.matches(signal.name) for pattern in compiled) if compiled else signal.name not in STREAMING)
    ]
