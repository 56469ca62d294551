"""The contract of a store for run history."""

from __future__ import annotations

import abc
from typing import TYPE_CHECKING, Self

import attrs

from openharness.core.errors import CorruptRecordError, InvalidValueError
from openharness.core.interfaces._examining import examined, report_of
from openharness.core.records import DoctorReport, Finding, Moment, RunQuery, RunStatus, time_ms

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterable
    from types import TracebackType

    from openharness.core.records import RunRecord

__all__ = ("RunStore",)

_PAGE = 200


class RunStore(abc.ABC):
    """Keeps one `RunRecord` per run, and finds runs again.

    Write the four abstract methods and pass ``openharness.testing.RunStoreContract``; everything else has a default
    built on them, to be overridden where a store can do better.

    What every method owes its caller:

    * **Opening.** The store opens itself on first use; ``async with store:`` opens it and closes it at the end.
      Constructing one does no I/O.
    * **Copying.** A record is encoded before the first ``await``: what the caller changes afterwards is not saved, and
      what it does to a record it got changes nothing in the store.
    * **Refusing.** State and metadata that cannot be stored raise `SerializationError` (naming the path) in every
      store alike, before anything is written; `openharness.core.storage.encode_run` does the encoding and the checks.
    * **Concurrency.** Any number of tasks may use one store at a time; databases also allow several processes. No
      caller ever sees a lock of the store's own.
    * **Cancellation.** A method cancelled at any ``await`` leaves the record saved whole or not at all, and the store
      usable. Saving again is always safe.
    * **Errors.** Failures are `StoreError`: `StoreClosedError` after `close`, `CorruptRecordError` for one damaged
      record, and the others of that family. A read never returns anything but what was saved.
    """

    @abc.abstractmethod
    async def save_run(self, run: RunRecord) -> None:
        """Save a run, replacing the record with the same id if there is one.

        Durable when it returns: the record survives the death of the process, and with databases a power cut. Two
        saves of one id take effect in the order in which they were called.

        Raises:
            SerializationError: The state or the metadata cannot be stored, or is larger than the store's limit.
            StoreError: It could not be written; nothing was changed.
        """

    @abc.abstractmethod
    async def get_run(self, run_id: str) -> RunRecord | None:
        """Return the run with this id, or None.

        Raises:
            InvalidValueError: The id could not be one (empty, too long, control characters, not a string).
            CorruptRecordError: The record is damaged.
        """

    @abc.abstractmethod
    async def list_runs(self, query: RunQuery | None = None) -> list[RunRecord]:
        """Return the runs that match, in the order of the query; without one, all of them, newest first.

        The order is total and the same in every store: by `RunRecord.created_at`, then by the UTF-8 bytes of the id,
        both descending for ``newest`` and ascending for ``oldest``. First the cursor applies, then the offset, then
        the limit.

        Raises:
            CorruptRecordError: One of the wanted records is damaged; the others are found by asking without it.
        """

    @abc.abstractmethod
    async def delete_run(self, run_id: str) -> None:
        """Delete a run. One that does not exist is no error. Durable when it returns.

        Raises:
            InvalidValueError: The id could not be one.
        """

    async def iter_runs(self, query: RunQuery | None = None) -> AsyncIterator[RunRecord]:
        """Yield the runs that match, page by page, in constant memory.

        No lock or cursor of the store is held while the caller works with a record, so it may save, delete and list in
        between. Runs saved meanwhile may or may not be seen; every other one is seen exactly once.
        """
        query = query or RunQuery()
        left = query.limit
        while left is None or left > 0:
            size = _PAGE if left is None else min(_PAGE, left)
            page = await self.list_runs(attrs.evolve(query, limit=size))
            for run in page:
                yield run
            if len(page) < size:
                return
            left = None if left is None else left - size
            query = query.next_page(page[-1])

    async def count_runs(self, query: RunQuery | None = None) -> int:
        """Return how many runs match, within the limit and after the offset and cursor of the query."""
        count = 0
        async for _ in self.iter_runs(attrs.evolve(query or RunQuery(), include_state=False)):
            count += 1
        return count

    async def prune_runs(
        self,
        *,
        older_than: Moment | None = None,
        keep_last: int | None = None,
        status: RunStatus | str | Iterable[RunStatus | str] | None = None,
        dry_run: bool = False,
    ) -> int:
        """Delete old runs and return how many.

        This default looks for them and then deletes one after the other: a run that is saved again in between is deleted
        all the same. A store in which others write meanwhile, and that can do both in one transaction, does that instead.

        Args:
            older_than: Delete only runs that began before this time.
            keep_last: Keep this many of the newest runs, counted among those with the given status, and delete only
                from the rest.
            status: Delete only runs with this status, or one of several. Runs that are still ``running`` are deleted
                only if this says so.
            dry_run: Count, but delete nothing.

        Raises:
            InvalidValueError: Neither ``older_than`` nor ``keep_last`` is given (deleting everything should be said:
                ``keep_last=0``), or one is not valid.
        """
        if older_than is None and keep_last is None:
            raise InvalidValueError("prune_runs", value=None, expected="given older_than, keep_last, or both")
        before = None if older_than is None else time_ms(older_than, name="older_than")
        wanted = set(RunStatus) - {RunStatus.RUNNING} if status is None else status
        query = RunQuery(status=wanted, offset=0 if keep_last is None else keep_last, include_state=False)
        doomed = [run.id async for run in self.iter_runs(query) if before is None or run.created_at < before]
        if not dry_run:
            for run_id in doomed:
                await self.delete_run(run_id)
        return len(doomed)

    async def doctor(self) -> DoctorReport:
        """Examine the store, and report what is wrong instead of raising it; nothing is changed.

        This default reads every run, and reports those that are damaged.
        """
        findings: list[Finding] = []
        count = 0

        async def page(cursor: str | None, offset: int, limit: int) -> list[RunRecord]:
            return await self.list_runs(RunQuery(cursor=cursor, offset=offset, limit=limit, include_state=False))

        async def look() -> None:
            nonlocal count
            async for run in examined(page, findings):
                count += 1
                try:
                    await self.get_run(run.id)
                except CorruptRecordError as error:
                    findings.append(Finding.damaged(error))

        return await report_of(look, store=repr(self), findings=findings, facts=lambda: {"runs": count})

    async def close(self) -> None:
        """Wait for what was begun, and give back what the store holds. Closing twice, or at once, is no error.

        After it every other method raises `StoreClosedError`. The default does nothing.
        """

    async def __aenter__(self) -> Self:
        """Open the store."""
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Close the store."""
        await self.close()
