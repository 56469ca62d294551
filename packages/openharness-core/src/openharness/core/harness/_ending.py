"""The end of a run: its result, its record, and what it raises."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, TypeVar

from openharness.core.engine import reason_of, within
from openharness.core.errors import RecorderError, RunSaveError, SecretFoundError
from openharness.core.harness._result import RunMetrics, RunResult
from openharness.core.records import RunRecord

if TYPE_CHECKING:
    from openharness.core.engine import DriftReport, Journal, Outcome
    from openharness.core.errors import RunError
    from openharness.core.interfaces import RunStore
    from openharness.core.redaction import Redactor
    from openharness.core.state import StateSchema
    from openharness.core.values import JSONObject

__all__ = ("both", "end_run", "make_record", "make_result", "save_end")

S = TypeVar("S")


def make_result(
    schema: StateSchema[S],
    journal: Journal,
    outcome: Outcome,
    *,
    run_id: str,
    recording_id: str | None,
    replayed: bool,
    drift: tuple[DriftReport, ...] = (),
) -> RunResult[S]:
    """Return what a run returns, from its log."""
    fold = journal.fold
    return RunResult(
        state=schema.load(fold.state),
        signals=tuple(journal.signals),
        metrics=RunMetrics.of(fold),
        run_id=run_id,
        recording_id=recording_id,
        status=outcome.status,
        terminated_early=fold.ending,
        replayed=replayed,
        drift=drift,
    )


def make_record(
    journal: Journal,
    outcome: Outcome,
    failure: RunError | None = None,
    *,
    run_id: str,
    recording_id: str | None,
    metadata: JSONObject | None,
    redactor: Redactor,
    parent_run_id: str | None = None,
) -> RunRecord:
    """Return what the history keeps of a run, from its log."""
    fold = journal.fold
    # A completed run whose recording has no end says why.
    error = failure if outcome.error is None and isinstance(failure, RecorderError) else outcome.error
    return RunRecord(
        run_id,
        created_at=fold.last_at if fold.started_at is None else fold.started_at,
        completed_at=fold.last_at,
        state=fold.state,
        metadata=metadata,
        status=outcome.status,
        error=None if error is None else redactor.mask(str(error)),
        recording_id=recording_id,
        parent_run_id=parent_run_id,
    )


async def save_end(run_store: RunStore | None, record: RunRecord, *, timeout: float) -> RunError | None:
    """Save the record of a run that has ended, within so many seconds, and return what went wrong with that."""
    if run_store is None:
        return None
    try:
        await within(run_store.save_run(record), timeout, "the run store")
    except (Exception, asyncio.CancelledError) as error:  # noqa: BLE001 - the result must not be lost
        failure = RunSaveError(
            f"The run ended as {record.status}, but its record could not be saved: {reason_of(error)}"
        )
        failure.__cause__ = error
        return failure
    return None


def both(failure: RunError | None, other: RunError | None) -> RunError | None:
    """Return one of two failures at the end of a run, with a note of the other one, if there was any."""
    if failure is not None and other is not None:
        _note(failure, other)
    return failure or other


def end_run(outcome: Outcome, result: RunResult[S], failure: RunError | None) -> RunResult[S]:
    """Return the result, or raise what ended the run, else what went wrong at its end."""
    error = outcome.error or failure
    if error is None:
        return result
    if isinstance(failure, SecretFoundError) and not isinstance(error, asyncio.CancelledError):
        # A test that expects the run to fail must hear that there will be no fixture of it.
        failure.__cause__ = outcome.error
        error = failure
    if failure is not None and failure is not error:
        _note(error, failure)
    error.run_id, error.recording_id, error.result = result.run_id, result.recording_id, result
    raise error


def _note(error: RunError, failure: RunError) -> None:
    error.add_note(f"Besides: {failure}")
    for note in getattr(failure, "__notes__", ()):
        error.add_note(note)
