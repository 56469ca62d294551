"""What a run may use: tokens and money, counted from the log."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, Generic, TypeVar, cast

if TYPE_CHECKING:
    from openharness.core.engine._failures import Failures
    from openharness.core.engine._plan import AgentPlan, Limits
    from openharness.core.log import RunFold
    from openharness.core.records import Signal

__all__ = ("Spending",)

S = TypeVar("S")


class Spending(Generic[S]):
    """Ends a run that has used more than it may.

    What was used stands in the log, with each answer, so a replay ends at the same signal. What is not known cannot be
    counted: such an answer ends the run too, and does not pass for one that cost nothing.

    Args:
        limits: The limits of the run.
        fold: What the log says, with the totals of all agents.
        failures: Where the end is told.
    """

    def __init__(self, limits: Limits, fold: RunFold, failures: Failures[S]) -> None:
        self._max_tokens = limits.max_tokens
        self._max_cost = None if limits.max_cost is None else float(limits.max_cost)
        self._fold = fold
        self._failures = failures

    def answered(self, agent: AgentPlan[S], call: str, end: Signal) -> None:
        """Look at what an answer took, which is in the totals already.

        Raises:
            RunFailed: The run has used more than it may, or nobody knows whether it has.
        """
        if self._max_tokens is None and self._max_cost is None:
            return
        usage: dict[str, Any] = cast("dict[str, Any]", end.payload["output"]).get("usage") or {}
        # No request has no token at all: a provider that says so does not tell.
        if self._max_tokens is not None and not (usage.get("input_tokens") or usage.get("output_tokens")):
            self._failures.usage_unknown("max_tokens", self._max_tokens, agent, call, end)
        if self._max_cost is not None and usage.get("cost") is None:
            self._failures.usage_unknown("max_cost", self._max_cost, agent, call, end)
        self._check(agent, end)

    def goes_on(self, signal: Signal) -> None:
        """Look at what had been used when a run was resumed or forked, before anything is sent.

        Raises:
            RunFailed: It was more than the run may use.
        """
        self._check(None, signal)

    def _check(self, agent: AgentPlan[S] | None, signal: Signal) -> None:
        totals = self._fold.totals.values()
        if self._max_tokens is not None:
            tokens = sum(total.input_tokens + total.output_tokens for total in totals)
            if tokens > self._max_tokens:
                self._failures.limit_reached("max_tokens", self._max_tokens, agent, signal, spent=tokens)
        if self._max_cost is not None:
            cost = sum(total.cost for total in totals)
            # Ten times 0.1 is 0.1 * 10, whatever floats make of it.
            if cost > self._max_cost and not math.isclose(cost, self._max_cost, rel_tol=1e-9):
                self._failures.limit_reached("max_cost", self._max_cost, agent, signal, spent=cost)
