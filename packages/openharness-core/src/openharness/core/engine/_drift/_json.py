"""A drift report as JSON, for machines."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, cast

from openharness.core.values import copy_json, diff_lines, is_long_text

if TYPE_CHECKING:
    from openharness.core.engine._drift._report import DriftReport
    from openharness.core.records import Signal
    from openharness.core.values import Difference, JSONObject, JSONValue

__all__ = ("as_json",)

FORMAT: Final = "openharness/drift-report"
VERSION: Final = 1

_SIGNS: Final = {"same": " ", "removed": "-", "added": "+", "place": ""}


def as_json(report: DriftReport) -> JSONObject:
    """Return a report as `DriftReport.to_json` documents it."""
    agents = report.agents
    return {
        "format": FORMAT,
        "version": VERSION,
        "recording_id": report.recording_id,
        "fixture": report.fixture,
        "seq": report.seq,
        "kind": report.kind,
        "subject": report.subject,
        "reason": report.reason,
        "agent": report.agent,
        "activation": report.activation,
        "recorded": _signal(report.recorded),
        "actual": _signal(report.actual),
        "differences": [_difference(difference) for difference in report.differences],
        "chain": [_link(signal) for signal in report.chain],
        "agents": {
            "added": list(agents.added),
            "removed": list(agents.removed),
            "renamed": dict(agents.renamed),
            "changed": list(agents.changed),
            "parts": {name: list(parts) for name, parts in agents.parts.items()},
            "reordered": agents.reordered,
        },
        "unreachable": [
            {"activation": lost.activation, "agent": lost.agent, "seq": lost.seq, "depends": lost.depends}
            for lost in report.unreachable
        ],
        "remaining": report.remaining,
        "unused": [_link(signal) for signal in report.unused],
        "cause": report.cause,
        "remedy": report.remedy,
    }


def _signal(signal: Signal | None) -> JSONObject | None:
    if signal is None:
        return None
    return {
        "id": signal.id,
        "seq": signal.seq,
        "name": signal.name,
        "payload": copy_json(cast("JSONValue", signal.payload)),
        "timestamp": signal.timestamp,
        "agent": signal.source.agent,
        "activation": signal.source.activation,
        "parent": signal.source.parent,
    }


def _link(signal: Signal) -> JSONObject:
    source = signal.source
    return {"seq": signal.seq, "name": signal.name, "agent": source.agent, "activation": source.activation}


def _difference(difference: Difference) -> JSONObject:
    told: JSONObject = {"path": difference.path, "kind": difference.kind}
    if difference.kind != "added":
        told["recorded"] = copy_json(cast("JSONValue", difference.recorded))
    if difference.kind != "removed":
        told["actual"] = copy_json(cast("JSONValue", difference.actual))
    if is_long_text(difference.recorded, difference.actual):
        lines = diff_lines(str(difference.recorded), str(difference.actual))
        told["diff"] = [_SIGNS[line.kind] + line.text for line in lines]
    return told
