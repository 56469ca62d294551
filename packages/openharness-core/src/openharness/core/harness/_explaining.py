"""What a drift report tells beyond the two signals that differ."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from openharness.core.engine import DriftReport, Surroundings, complete, described
from openharness.core.errors import OpenHarnessError, ReplayDriftError
from openharness.core.records import RecordingQuery

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from openharness.core.engine import Journal, RunPlan
    from openharness.core.errors import SerializationError
    from openharness.core.interfaces import SignalStore
    from openharness.core.records import Signal

__all__ = ("explain", "fixture_of", "unreadable_state")


async def explain(
    error: ReplayDriftError,
    *,
    store: SignalStore,
    start: Signal | None,
    rest: Sequence[Signal],
    journal: Journal,
    plan: RunPlan[Any],
    fixture: str | None,
    mask: Callable[[Any], Any],
) -> None:
    """Complete the report of an error.

    Args:
        error: The error; its report is replaced.
        store: Where the recording is.
        start: The first signal of the recording.
        rest: What of the recording comes from the difference on.
        journal: The log up to the difference.
        plan: The run.
        fixture: The fixture's name, if it is known.
        mask: Keeps secrets out of the report.
    """
    name = await fixture_of(store, error.report.recording_id, run_id=journal.run_id, known=fixture)
    cause = None if error.__cause__ is None else mask(described(error.__cause__))
    around = Surroundings(
        log=journal.signals, start=start, rest=rest, agents=plan.fingerprint(), fixture=name, cause=cause
    )
    error.report = complete(error.report, around)


async def unreadable_state(
    error: SerializationError, *, store: SignalStore, recording_id: str, start: Signal, fixture: str | None
) -> ReplayDriftError:
    """Return the error for a recorded state that the type of the state cannot read any more.

    Args:
        error: What the type says of it.
        store: Where the recording is.
        recording_id: The recording.
        start: Its first signal.
        fixture: The fixture's name, if it is known.
    """
    report = DriftReport(
        recording_id=recording_id,
        seq=start.seq,
        reason=f"the recorded state does not fit the type of the state: {error} A field that has a default may be missing",
        activation=None,
        recorded=None,
        actual=None,
        kind="initial_state",
        subject="the initial state",
    )
    name = await fixture_of(store, recording_id, run_id=start.id.removesuffix(f"/{start.seq}"), known=fixture)
    return ReplayDriftError(complete(report, Surroundings(log=(), start=None, rest=(), agents=None, fixture=name)))


async def fixture_of(store: SignalStore, recording_id: str, *, run_id: str, known: str | None) -> str | None:
    """Return the name that a recording was made for; None where it has none, or the store cannot tell.

    Args:
        store: Where the recording is.
        recording_id: The recording.
        run_id: The run whose signals it holds.
        known: The name, if it is known.
    """
    if known is not None:
        return known
    try:
        infos = await store.list_recordings(RecordingQuery(run_id=run_id))
    except OpenHarnessError:
        # A report without a name is better than none.
        return None
    return next((info.name for info in infos if info.id == recording_id), None)
