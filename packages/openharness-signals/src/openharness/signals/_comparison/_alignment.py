"""The events of two logs, side by side: those with one identity belong together, wherever they stand."""

from __future__ import annotations

from typing import TYPE_CHECKING

import attrs

from openharness.core.values import Difference, dump_json, find_differences
from openharness.signals._comparison._events import Event

if TYPE_CHECKING:
    from collections.abc import Sequence

    from openharness.signals._comparison._events import Identity

__all__ = ("Pair", "align")

_Place = tuple[int, int]
_BEFORE: _Place = (-1, 0)


@attrs.frozen(eq=False)
class Pair:
    """One event as it happened in both runs.

    Attributes:
        left: The event of the left run; None where only the right one has it.
        right: The event of the right run; None where only the left one has it.
    """

    left: Event | None
    right: Event | None

    def differences(self) -> tuple[Difference, ...]:
        """Return where the two differ in meaning; nothing where there are no two."""
        left, right = self.left, self.right
        if left is None or right is None:
            return ()
        found: list[Difference] = []
        cause, other_cause = left.compared_cause, right.compared_cause
        if cause != other_cause:
            found.append(Difference("cause", _told(cause), _told(other_cause)))
        providers = left.compared_provider, right.compared_provider
        if providers[0] != providers[1]:
            found.append(Difference("source.provider", *providers))
        payloads = left.compared_payload(), right.compared_payload()
        # Nearly all are the same, and their texts are found out to be so at once.
        if dump_json(payloads[0]) != dump_json(payloads[1]):
            found += find_differences(*payloads, path="payload")
        return tuple(found)


def align(left: Sequence[Event], right: Sequence[Event]) -> list[Pair]:
    """Return all events of two logs, in the order of the left one.

    An event that only the right log has stands where it would have come in the left one: after what caused it, and after
    all that had happened before in its activation and because of the same cause. So no event comes before its cause.

    Args:
        left: The events of one log, as `read_events` returns them.
        right: The events of the other.
    """
    partners = {event.identity: event for event in right}
    places: dict[Identity, _Place] = {event.identity: (index, 0) for index, event in enumerate(left)}
    placed = [(places[event.identity], Pair(event, partners.get(event.identity))) for event in left]
    latest: dict[Identity | str | None, _Place] = {}
    for index, event in enumerate(right):
        cause = None if event.cause is None else event.cause.identity
        # One thing after the other happens in an activation, and because of one cause.
        activation = event.identity.activation
        neighbours = (cause,) if activation is None else (cause, activation)
        place = places.get(event.identity)
        if place is None:
            before = [_BEFORE if cause is None else places[cause]]
            before += [latest[key] for key in neighbours if key in latest]
            place = places[event.identity] = (max(before)[0], index + 1)
            placed.append((place, Pair(None, event)))
        for key in neighbours:
            latest[key] = max(place, latest.get(key, _BEFORE))
    placed.sort(key=lambda item: item[0])
    return [pair for _, pair in placed]


def _told(cause: Identity | None) -> str | None:
    return None if cause is None else str(cause)
