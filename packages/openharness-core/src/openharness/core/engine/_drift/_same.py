"""Whether two signals are the same, and where they differ."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from openharness.core.log import _names as names
from openharness.core.values import Difference, find_differences, same_json

if TYPE_CHECKING:
    from collections.abc import Iterator

    from openharness.core.records import Signal
    from openharness.core.values import JSONObject, JSONValue

__all__ = ("differences_between", "same_end", "same_place", "same_signal")


def same_signal(recorded: Signal, actual: Signal) -> bool:
    """Tell whether a signal is the recorded one. Its provider does not count: in a replay there is none."""
    return same_place(recorded, actual) and same_json(recorded.payload, actual.payload)


def same_place(recorded: Signal, actual: Signal) -> bool:
    """Tell whether two signals have the same place in their runs, whatever their payloads are."""
    one, other = recorded.source, actual.source
    return (
        recorded.name == actual.name
        and recorded.seq == actual.seq
        and one.parent == other.parent
        and one.activation == other.activation
        and one.agent == other.agent
    )


def same_end(recorded: Signal, actual: Signal) -> bool:
    """Tell whether two signals are ends of a run that differ in nothing but the words of the error.

    What ended the run stands in the signals before, with all facts; how a release words it must not break recordings.
    """
    return recorded.name == names.HARNESS_END == actual.name and same_json(
        _without_words(recorded.payload), _without_words(actual.payload)
    )


def _without_words(payload: object) -> JSONValue:
    end = cast("JSONValue", payload)
    error = end.get("error") if isinstance(end, dict) else None
    return {**cast("JSONObject", end), "error": error.get("type")} if isinstance(error, dict) else end


def differences_between(recorded: Signal, actual: Signal) -> tuple[Difference, ...]:
    """Return where two signals of one name differ."""
    return tuple(_differences(recorded, actual))


def _differences(recorded: Signal, actual: Signal) -> Iterator[Difference]:
    for part in ("agent", "activation", "parent"):
        one, other = getattr(recorded.source, part), getattr(actual.source, part)
        if one != other:
            yield Difference(f"source.{part}", one, other)
    payloads = cast("JSONValue", recorded.payload), cast("JSONValue", actual.payload)
    found = list(find_differences(*payloads, path="payload"))
    # A digest only repeats that something it covers differs.
    meaningful = [difference for difference in found if not difference.path.endswith(".digest")]
    yield from meaningful or found
