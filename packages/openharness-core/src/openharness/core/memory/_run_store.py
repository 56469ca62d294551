"""The run store in memory: the reference for how every other one behaves."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from openharness.core.errors import InvalidValueError, StoreClosedError
from openharness.core.interfaces import RunStore
from openharness.core.records import RunQuery, check_id
from openharness.core.storage import decode_run, encode_run, select_runs
from openharness.core.values import MAX_BYTES

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from typing import Self

    from openharness.core.records import RunRecord
    from openharness.core.storage import EncodedRun

__all__ = ("InMemoryRunStore",)


class InMemoryRunStore(RunStore):
    """Keeps runs in memory, encoded as a database would keep them; they are gone with the process.

    Args:
        max_bytes: How large the JSON text of one state, or of one run's metadata, may be; 16 MiB by default.
    """

    def __init__(self, *, max_bytes: int = MAX_BYTES) -> None:
        self._max_bytes = max_bytes
        self._runs: dict[str, _Kept] = {}
        self._closed = False

    @classmethod
    def from_url(cls, url: str) -> Self:
        """Return an empty store for ``memory:``, which has no address.

        Raises:
            InvalidValueError: Something follows the colon.
        """
        if url not in ("memory", "memory:"):
            raise InvalidValueError(
                "url", value=url, expected="'memory:' and nothing more (what is in memory has no address)"
            )
        return cls()

    def __repr__(self) -> str:
        """Say how many runs it holds."""
        return f"InMemoryRunStore({len(self._runs)} runs)"

    async def save_run(self, run: RunRecord) -> None:
        """Save a run, replacing the one with the same id. See `RunStore.save_run`."""
        self._check_open()
        row = encode_run(run, max_bytes=self._max_bytes)
        self._runs[row.id] = _Kept(row, decode_run(row, include_state=False))

    async def get_run(self, run_id: str) -> RunRecord | None:
        """Return the run with this id, or None. See `RunStore.get_run`."""
        self._check_open()
        kept = self._runs.get(check_id(run_id, name="run_id"))
        return None if kept is None else decode_run(kept.row)

    async def list_runs(self, query: RunQuery | None = None) -> list[RunRecord]:
        """Return the runs that match. See `RunStore.list_runs`."""
        self._check_open()
        query = query or RunQuery()
        return [decode_run(self._runs[run.id].row, include_state=query.include_state) for run in self._found(query)]

    async def iter_runs(self, query: RunQuery | None = None) -> AsyncIterator[RunRecord]:
        """Yield the runs that match; they are looked for once. See `RunStore.iter_runs`."""
        self._check_open()
        query = query or RunQuery()
        for found in self._found(query):
            # Others may have changed it since then, or deleted it.
            kept = self._runs.get(found.id)
            if kept is not None and query.matches(kept.summary):
                yield decode_run(kept.row, include_state=query.include_state)
                self._check_open()

    async def count_runs(self, query: RunQuery | None = None) -> int:
        """Return how many runs match. See `RunStore.count_runs`."""
        self._check_open()
        return len(self._found(query or RunQuery()))

    async def delete_run(self, run_id: str) -> None:
        """Delete a run. See `RunStore.delete_run`."""
        self._check_open()
        self._runs.pop(check_id(run_id, name="run_id"), None)

    async def close(self) -> None:
        """Forget all runs. See `RunStore.close`."""
        self._closed = True
        self._runs.clear()

    def _found(self, query: RunQuery) -> list[RunRecord]:
        return select_runs((kept.summary for kept in self._runs.values()), query)

    def _check_open(self) -> None:
        if self._closed:
            raise StoreClosedError("the store was closed; make a new one.", store="InMemoryRunStore")


class _Kept(NamedTuple):
    """A run as it is kept.

    Attributes:
        row: All of it, as a database would have it.
        summary: It without its state, for queries to look at; nobody else gets to see this object.
    """

    row: EncodedRun
    summary: RunRecord
