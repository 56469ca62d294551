"""What a drift report tells beyond the two signals that differ."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from openharness.core.engine import Surroundings, complete, described
from openharness.core.errors import OpenHarnessError, ReplayDriftError
from openharness.core.records import RecordingQuery

if TYPE_CHECKING:
    from openharness.core.engine import Journal, RunPlan, Transcript
    from openharness.core.interfaces import SignalStore

__all__ = ("explain",)


async def explain(
    error: ReplayDriftError,
    *,
    store: SignalStore,
    transcript: Transcript,
    journal: Journal,
    plan: RunPlan[Any],
    fixture: str | None,
) -> None:
    """Complete the report of an error.

    Args:
        error: The error; its report is replaced.
        store: Where the recording is.
        transcript: The recording, read up to the difference.
        journal: The log up to the difference.
        plan: The run.
        fixture: The fixture's name, if it is known.
    """
    around = Surroundings(
        log=journal.signals,
        rest=await transcript.rest(),
        agents=plan.fingerprint(),
        fixture=fixture or await _fixture_of(store, error.report.recording_id, journal.run_id),
        cause=None if error.__cause__ is None else described(error.__cause__),
    )
    error.report = complete(error.report, around)


async def _fixture_of(store: SignalStore, recording_id: str, run_id: str) -> str | None:
    try:
        infos = await store.list_recordings(RecordingQuery(run_id=run_id))
    except OpenHarnessError:
        # A report without a name is better than none.
        return None
    return next((info.name for info in infos if info.id == recording_id), None)
