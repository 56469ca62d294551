"""What is known of a run after some of its signals."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, TypeVar

import attrs

from openharness.core.log import AgentTotals, OpenActivation, OpenCall
from openharness.core.records import Signal
from openharness.core.state import from_json
from openharness.core.values import JSONObject, JSONValue, copy_json
from openharness.signals._provider_view import ProviderView

if TYPE_CHECKING:
    from openharness.core.log import RunFold

__all__ = ("Snapshot", "take_snapshot")

T = TypeVar("T")


@attrs.frozen(kw_only=True)
class Snapshot:
    """A run as it stood after some of its signals. It shares nothing with the player and never changes.

    Attributes:
        position: How many signals there had been.
        signal: The last of them; None before the first.
        state: The state as a JSON value.
        input: The run's input.
        providers: Every call of a provider so far, answered or not, with its text, reasoning, tool calls and usage up
            to here, by call, in the order in which they were sent.
        calls: The requests that were sent and not answered yet, with what had arrived of their answers, by call.
        activations: The activations that had begun and not ended, in the order in which they began.
        totals: What each agent had done, by name.
        activation_count: How many activations there had been.
        elapsed_ms: Milliseconds since the run began.
        end: The payload of ``harness:end``; None while the run goes on.
    """

    position: int
    signal: Signal | None
    state: JSONObject
    input: JSONValue
    providers: Mapping[str, ProviderView]
    calls: Mapping[str, OpenCall]
    activations: Sequence[OpenActivation]
    totals: Mapping[str, AgentTotals]
    activation_count: int
    elapsed_ms: int
    end: JSONObject | None

    def state_as(self, type_: type[T]) -> T:
        """Return the state as an object of a type; see `openharness.core.state.from_json`.

        Raises:
            SerializationError: The state does not fit the type.
        """
        return from_json(self.state, type_, path="state")


def take_snapshot(fold: RunFold, signal: Signal | None, *, providers: Mapping[str, ProviderView]) -> Snapshot:
    """Return what a fold says, as an object of its own.

    Args:
        fold: The fold.
        signal: The last signal it took into account.
        providers: The calls of providers as they stood there.
    """
    fold = fold.copy()
    return Snapshot(
        position=fold.count,
        signal=signal,
        state=_copied_object(fold.state),
        input=copy_json(fold.input),
        providers=providers,
        calls=fold.calls,
        activations=tuple(fold.activations.values()),
        totals=fold.totals,
        activation_count=fold.activation_count,
        elapsed_ms=0 if fold.started_at is None else fold.last_at - fold.started_at,
        end=None if fold.end is None else _copied_object(fold.end),
    )


def _copied_object(value: JSONObject) -> JSONObject:
    return {key: copy_json(item) for key, item in value.items()}
