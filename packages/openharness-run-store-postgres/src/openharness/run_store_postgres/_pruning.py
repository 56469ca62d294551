"""Deleting old runs, some at a time: each some is a statement of its own, so that no lock is held for long."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

import attrs

if TYPE_CHECKING:
    from openharness.postgres import Channel, Names

__all__ = ("AT_ONCE", "Doomed", "Pruning")

AT_ONCE: Final = 256
"""How many runs a statement deletes."""


@attrs.frozen(kw_only=True)
class Doomed:
    """Which runs are to be deleted.

    Attributes:
        status: The words for the status they have.
        before: They began before this time; None for any.
        position: They stand at or before this position, in the order of runs; None for any.
    """

    status: Sequence[str]
    before: int | None
    position: tuple[int, str] | None


class Pruning:
    """The statements that prune, for one store.

    Args:
        names: Where its tables are.
    """

    def __init__(self, names: Names) -> None:
        runs = names("runs")
        conditions = (
            "status = ANY ($1::text[]) AND ($2::bigint IS NULL OR created_at < $2::bigint) "
            f"AND ($3::bigint IS NULL OR (created_at, id) <= ($3::bigint, $4::text)) AND {names.unless_newer}"
        )
        self.count = f"SELECT count(*) FROM {runs} WHERE {conditions}"  # noqa: S608 - names of our own
        self.position = (
            f"SELECT created_at, id FROM {runs} WHERE status = ANY ($1::text[]) AND {names.unless_newer} "  # noqa: S608
            "ORDER BY created_at DESC, id DESC OFFSET $2::bigint LIMIT 1"
        )
        # The conditions again outside: a run that was saved with another status meanwhile is looked at anew.
        self._delete = (
            f"WITH oldest AS (SELECT id AS oldest_id FROM {runs} WHERE {conditions} ORDER BY created_at, id LIMIT {AT_ONCE}), "  # noqa: S608
            f"gone AS (DELETE FROM {runs} USING oldest WHERE id = oldest_id AND {conditions} RETURNING id) "
            "SELECT (SELECT count(*) FROM oldest), (SELECT count(*) FROM gone)"
        )

    @staticmethod
    def arguments(doomed: Doomed) -> tuple[object, ...]:
        """Return the values for the statements."""
        return (list(doomed.status), doomed.before, *(doomed.position or (None, None)))

    async def delete_some(self, channel: Channel, several: Sequence[Doomed]) -> Sequence[tuple[int, int]]:
        """Delete the oldest of the doomed runs: how many were found, and how many were deleted."""
        results: list[tuple[int, int]] = []
        for doomed in several:
            ((found, gone),) = await channel.fetch(self._delete, *self.arguments(doomed))
            results.append((found, gone))
        return results
