"""What a run is waiting for."""

from __future__ import annotations

from typing import TYPE_CHECKING

from openharness.core.engine._requests import call_id

if TYPE_CHECKING:
    from collections.abc import Iterator

    from openharness.core.log import OpenActivation, RunFold
    from openharness.core.values import JSONObject

__all__ = ("in_flight",)


def in_flight(fold: RunFold) -> list[JSONObject]:
    """Return what a run waits for, activation by activation: see `HarnessTimeoutError.pending`."""
    return [
        {"kind": kind, "id": id_, "agent": activation.agent, "name": name}
        for activation in fold.activations.values()
        for kind, id_, name in _of(activation)
    ]


def _of(activation: OpenActivation) -> Iterator[tuple[str, str, str | None]]:
    if activation.request is None:
        yield "slot", activation.id, None
    elif activation.waits_for_retry:
        yield "retry", activation.id, activation.provider
    elif activation.answer is None:
        sent = call_id(activation.id, turn=activation.turn, attempt=activation.attempt)
        yield "provider", sent, activation.provider
    for call in activation.tool_calls.values():
        if call.status == "waiting":
            yield "approval", call.id, call.name
        elif call.status != "ended":
            yield "tool", call.id, call.name
