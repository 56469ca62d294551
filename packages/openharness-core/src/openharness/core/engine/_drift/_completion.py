"""What a report needs the whole log for: how it came to a difference, and what hangs on it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

import attrs

from openharness.core.engine._drift._agents import AgentChanges
from openharness.core.engine._drift._causes import causes
from openharness.core.engine._drift._report import REMEDY, DriftReport, LostActivation
from openharness.core.log import is_arrival
from openharness.core.records import Signal
from openharness.core.values import JSONValue

__all__ = ("Surroundings", "complete")


@attrs.frozen(kw_only=True)
class Surroundings:
    """What is known around a difference.

    Attributes:
        log: The signals before it, which both sides have.
        start: The recorded ``harness:start``; None where the recording is empty.
        rest: The recorded signals from it on, as far as they could be read.
        agents: The fingerprint of the agents that the run has.
        fixture: The fixture's name; None if the recording has none.
        cause: What a function of the user's raised.
    """

    log: Sequence[Signal]
    start: Signal | None
    rest: Sequence[Signal]
    agents: JSONValue
    fixture: str | None = None
    cause: str | None = None


def complete(report: DriftReport, around: Surroundings) -> DriftReport:
    """Return a report with all that the surroundings tell."""
    payload: object = None if around.start is None else around.start.payload
    fingerprint = cast("dict[str, Any]", payload).get("agents") if isinstance(payload, dict) else None
    return attrs.evolve(
        report,
        fixture=around.fixture,
        chain=report.chain or causes(around.log, report.actual or report.recorded),
        agents=AgentChanges.between(fingerprint, around.agents),
        unreachable=_unreachable(report, around.rest),
        remaining=len(around.rest),
        cause=around.cause,
        remedy=_remedy(around.fixture),
    )


def _remedy(fixture: str | None) -> str:
    if fixture is None:
        return REMEDY
    return (
        f'If the change is meant, record the run again: mode="record" beside fixture={fixture!r} '
        "(or OPENHARNESS_MODE=record)."
    )


def _unreachable(report: DriftReport, rest: Sequence[Signal]) -> tuple[LostActivation, ...]:
    """The activations that the rest of a recording tells of, and whether they come of the signal that differs."""
    first = report.recorded
    # An arrival where the run did something of its own only happens to come next.
    led_to: set[str] = (
        set() if first is None or (is_arrival(first) and report.actual is not None and first.seq) else {first.id}
    )
    lost: dict[str, LostActivation] = {}
    for signal in rest:
        source = signal.source
        depends = signal.id in led_to or source.parent in led_to
        if depends:
            led_to.add(signal.id)
        if source.activation is None:
            continue
        known = lost.get(source.activation)
        if known is None:
            lost[source.activation] = LostActivation(
                activation=source.activation, agent=source.agent, seq=signal.seq, depends=depends
            )
        elif depends and not known.depends:
            lost[source.activation] = attrs.evolve(known, depends=True)
    return tuple(lost.values())
