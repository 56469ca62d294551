"""A comparison as JSON, for machines."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, cast

import attrs

from openharness.core.values import copy_json, diff_lines
from openharness.signals._comparison._figures import AgentFigures, Figure

if TYPE_CHECKING:
    from collections.abc import Iterable

    from openharness.core.records import Signal
    from openharness.core.values import Difference, JSONObject, JSONValue
    from openharness.signals._comparison._diff import ComparedRun, OutputChange, RecordingDiff, SignalChange

__all__ = ("as_json",)

FORMAT: Final = "openharness/recording-diff"
VERSION: Final = 1

_SIGNS: Final = {"same": " ", "removed": "-", "added": "+", "place": ""}


def as_json(diff: RecordingDiff) -> JSONObject:
    """Return a comparison as `RecordingDiff.to_json` documents it."""
    first = diff.first_divergence
    figures = diff.figures
    return {
        "format": FORMAT,
        "version": VERSION,
        "equal": diff.is_equal,
        "left": _side(diff.left),
        "right": _side(diff.right),
        "summary": {
            "unchanged": diff.unchanged,
            "changed": len(diff.changed),
            "added": len(diff.added),
            "removed": len(diff.removed),
            "consequences": sum(change.is_consequence for change in diff.changes[1:]),
        },
        "first_divergence": None if first is None else _change(first),
        "chain": [
            {"seq": signal.seq, "name": signal.name, "activation": signal.source.activation} for signal in diff.chain
        ],
        "changes": [_change(change) for change in diff.changes],
        "outputs": [_output(output) for output in diff.outputs],
        "state": _differences(diff.state),
        "figures": {
            "run": _figures(figures),
            "agents": {agent: _figures(of_agent) for agent, of_agent in figures.agents.items()},
            "latencies_ms": {activation: _figure(figure) for activation, figure in figures.latencies.items()},
        },
    }


def _side(run: ComparedRun) -> JSONObject:
    return {
        "recording_id": run.recording_id,
        "run_id": run.run_id,
        "outcome": str(run.outcome),
        "signals": run.signal_count,
    }


def _change(change: SignalChange) -> JSONObject:
    only = change.kind != "changed"
    return {
        "kind": change.kind,
        "name": change.name,
        "agent": change.agent,
        "activation": change.activation,
        "call": change.call,
        "ordinal": change.ordinal,
        "left": _signal(change.left, whole=only),
        "right": _signal(change.right, whole=only),
        "differences": _differences(change.differences),
        "is_consequence": change.is_consequence,
    }


def _signal(signal: Signal | None, *, whole: bool) -> JSONObject | None:
    if signal is None:
        return None
    return (
        {"seq": signal.seq, "payload": copy_json(cast("JSONValue", signal.payload))} if whole else {"seq": signal.seq}
    )


def _output(output: OutputChange) -> JSONObject:
    lines = diff_lines(output.left or "", output.right or "")
    return {
        "call": output.call,
        "left": output.left,
        "right": output.right,
        "diff": [_SIGNS[line.kind] + line.text for line in lines],
    }


def _differences(differences: Iterable[Difference]) -> list[JSONValue]:
    return [
        {
            "path": difference.path,
            "kind": difference.kind,
            "left": copy_json(cast("JSONValue", difference.recorded)),
            "right": copy_json(cast("JSONValue", difference.actual)),
        }
        for difference in differences
    ]


def _figures(figures: AgentFigures) -> JSONObject:
    return {field.name: _figure(getattr(figures, field.name)) for field in attrs.fields(AgentFigures)}


def _figure(figure: Figure) -> JSONObject:
    return {"left": figure.left, "right": figure.right, "change": figure.change}
