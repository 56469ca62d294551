"""The model of a run store: what it must answer, written as plainly as possible and independent of any store."""

from __future__ import annotations

from typing import TYPE_CHECKING

import attrs

from openharness.core import RunQuery, RunRecord, RunStatus
from openharness.testing._run_store._samples import as_stored

if TYPE_CHECKING:
    from collections.abc import Set as AbstractSet

__all__ = ("History",)


@attrs.define
class History:
    """The runs as a dict.

    Attributes:
        runs: Each run by its id, as a store gives it back.
    """

    runs: dict[str, RunRecord] = attrs.field(factory=dict[str, RunRecord])

    def save(self, run: RunRecord) -> None:
        """Save a run."""
        self.runs[run.id] = as_stored(run)

    def delete(self, run_id: str) -> None:
        """Delete a run."""
        self.runs.pop(run_id, None)

    def list(self, query: RunQuery, *, after: RunRecord | None = None) -> list[RunRecord]:
        """Return the runs that match.

        Args:
            query: What is asked; its cursor is not looked at.
            after: The record the cursor came from.
        """
        found = [run for run in self.runs.values() if _matches(run, query)]
        found.sort(key=_place)
        if query.order == "newest":
            found.reverse()
        if after is not None:
            start = _place(after)
            found = [run for run in found if (_place(run) < start if query.order == "newest" else _place(run) > start)]
        found = found[query.offset :]
        if query.limit is not None:
            found = found[: query.limit]
        return found if query.include_state else [as_stored(run, include_state=False) for run in found]

    def prune(
        self,
        *,
        older_than: int | None,
        keep_last: int | None,
        status: AbstractSet[RunStatus] | None,
        dry_run: bool = False,
    ) -> int:
        """Delete old runs and return how many."""
        eligible = [
            run
            for run in self.list(RunQuery())
            if (run.status in status if status is not None else run.status != RunStatus.RUNNING)
        ]
        doomed = [
            run
            for position, run in enumerate(eligible)
            if (keep_last is None or position >= keep_last) and (older_than is None or run.created_at < older_than)
        ]
        if not dry_run:
            for run in doomed:
                self.delete(run.id)
        return len(doomed)


def _place(run: RunRecord) -> tuple[int, bytes]:
    return run.created_at, run.id.encode()


def _matches(run: RunRecord, query: RunQuery) -> bool:
    return (
        (query.status is None or run.status in query.status)
        and (query.created_after is None or run.created_at >= query.created_after)
        and (query.created_before is None or run.created_at < query.created_before)
        and run.id.startswith(query.id_prefix)
        and all(_has(run, key, value) for key, value in query.metadata.items())
    )


def _has(run: RunRecord, key: str, value: object) -> bool:
    if run.metadata is None or key not in run.metadata:
        return False
    stored = run.metadata[key]
    # Of the same kind of JSON value; 1 and 1.0 are both numbers, and a bool is none.
    return _kind(stored) == _kind(value) and stored == value


def _kind(value: object) -> str:
    return "number" if type(value) in (int, float) else type(value).__name__
