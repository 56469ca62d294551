"""Runs from one run store to another."""

from __future__ import annotations

import asyncio
from functools import partial
from typing import TYPE_CHECKING, Final

import attrs

from openharness.core.copying._attempts import in_two_attempts
from openharness.core.copying._digests import run_digest
from openharness.core.copying._report import CopiedItem, Tally
from openharness.core.copying._selecting import selected
from openharness.core.errors import CorruptRecordError, SerializationError
from openharness.core.records import RunQuery, RunStatus

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

    from openharness.core.copying._report import CopyProgress, CopyReport
    from openharness.core.interfaces import RunStore
    from openharness.core.records import Finding, RunRecord

__all__ = ("copy_runs",)

_AT_ONCE: Final = 64
"""So many are under way together, which stores on databases write in one transaction."""
_LOOKS: Final = 3
"""How often a run that goes on is brought up to date while it is copied."""


async def copy_runs(
    source: RunStore, target: RunStore, query: RunQuery | None = None, *, progress: CopyProgress | None = None
) -> CopyReport:
    """Copy runs from one store to another.

    A run that the target has just so is passed over. One that the target has as still ``running``, begun at the same
    time, is brought up to date. Any other run of the same id is left as it is, and reported as failed. What was written
    is read back and compared by digest. Copying again continues what was interrupted, and does nothing twice. Several may
    copy at the same time, while others write to the source and prune it.

    Args:
        source: Where they are.
        target: Where they shall be.
        query: Which; all by default. Its limit, offset, cursor and order apply; `RunQuery.include_state` does not.
        progress: Told of each run when it is done.

    Returns:
        How many were copied and how many were there already, and which failed and why. Damaged records fail, and the
        others are copied.

    Raises:
        StoreError: A store cannot be used any more: it is full, closed, busy, or cannot be reached.
    """
    tally = Tally(progress)
    wanted = attrs.evolve(query or RunQuery(), include_state=False)
    findings: list[Finding] = []

    async def copy(run_id: str) -> None:
        tally.add(await in_two_attempts(partial(_copied, source, target, run_id)))

    some: list[str] = []
    async for run in selected(source.list_runs, wanted, findings):
        some.append(run.id)
        if len(some) == _AT_ONCE:
            await _all(copy, some)
            some = []
    await _all(copy, some)
    for finding in findings:
        tally.add(CopiedItem(finding.record_id or "?", "failed", finding.message))
    return tally.report()


async def _all(copy: Callable[[str], Coroutine[None, None, None]], run_ids: list[str]) -> None:
    try:
        async with asyncio.TaskGroup() as group:
            for run_id in run_ids:
                group.create_task(copy(run_id))
    except BaseExceptionGroup as errors:
        # Whatever it is, it is about the store, and one of them says as much as all.
        raise errors.exceptions[0] from None


async def _copied(source: RunStore, target: RunStore, run_id: str) -> CopiedItem:
    try:
        for _ in range(_LOOKS):
            # The target first: others may copy too, and what they have written was in the source before.
            known = await target.get_run(run_id)
            run = await source.get_run(run_id)
            if run is None:
                return CopiedItem(run_id, "failed", "it was deleted from the source meanwhile")
            wanted = run_digest(run)
            if known is not None:
                if run_digest(known) == wanted:
                    return CopiedItem(run_id, "skipped")
                if not _is_later(run, known):
                    return CopiedItem(run_id, "failed", "the target has another run of this id; it was left as it is")
            await target.save_run(run)
            written = await target.get_run(run_id)
            if written is None or run_digest(written) != wanted:
                return CopiedItem(run_id, "failed", "what was written does not read back as it should")
            if run.status is not RunStatus.RUNNING:
                break
            # It may have gone on, and somebody else may have copied that before this wrote what it was.
            later = await source.get_run(run_id)
            if later is None or run_digest(later) == wanted:
                break
    except (CorruptRecordError, SerializationError) as error:
        return CopiedItem(run_id, "failed", str(error))
    return CopiedItem(run_id, "copied")


def _is_later(run: RunRecord, known: RunRecord) -> bool:
    """Whether the target has the same run, when it still went on."""
    return known.status is RunStatus.RUNNING and run.created_at == known.created_at
