"""A recorded run that goes on: what was recorded runs again without calling anybody, or is taken as it is."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar, cast

import attrs

from openharness.core.engine import Arrival, Journal, RunPlan, Stepper, Transcript, arrival_of, catch_up
from openharness.core.errors import InvalidValueError, ReplayDriftError
from openharness.core.harness._backends import needed
from openharness.core.harness._beginning import Beginning
from openharness.core.harness._continuation import find_resumption, folded
from openharness.core.harness._explaining import explain
from openharness.core.harness._replaying import close_signals
from openharness.core.harness._subscriptions import RunListeners
from openharness.core.harness._succession import last_begun
from openharness.core.log import _names as names
from openharness.core.log import is_arrival

if TYPE_CHECKING:
    from openharness.core.harness._continuation import Resumption
    from openharness.core.harness._preparation import Preparation
    from openharness.core.interfaces import SignalStore
    from openharness.core.records import Signal
    from openharness.core.values import JSONObject

__all__ = ("begin_resumed",)

S = TypeVar("S")


async def begin_resumed(prepared: Preparation[S], recording_id: str) -> Beginning[S]:
    """Return the point at which a recorded run goes on; see `Harness.resume` for what it raises."""
    store = needed(await prepared.backends.signal_store(), "resume")
    recording_id = await last_begun(store, recording_id)
    point = await find_resumption(store, recording_id)
    prepared.interactive = point.interactive
    provider = await prepared.backends.provider()
    settings = prepared.settings
    fold = settings.rebuild == "fold"
    in_place = point.writable and not fold
    journal = Journal(point.run_id)
    prepared.own_rules(journal)
    plan = prepared.plan(point.fields, provider=provider)
    if fold:
        kept = [signal async for signal in store.iter_signals(recording_id, stop=point.step)]
        stepper, prefix = _fold(prepared, kept, plan, journal, torn=point.torn)
        recorded = len(kept)
    else:
        stepper = await _catch_up(prepared, store, point, plan, journal)
        prefix = tuple(journal.signals[: point.stop])
        recorded = len(journal.durable)
    # Where the caught-up part has ended the run there is nothing to go on with.
    if stepper.ended:
        if settings.signals:
            raise InvalidValueError(
                "signals",
                value=[name for name, _ in settings.signals],
                expected="left out: the run ends with what is recorded, so that no signal can reach it",
            )
        arrivals: tuple[Arrival, ...] = ()
    else:
        payload: JSONObject = {"resumed_from": recording_id, "recorded": recorded}
        if point.carried_out < recorded:
            payload["carried_out"] = point.carried_out
        arrivals = tuple(prepared.going_on(names.HARNESS_RESUMED, payload, journal, max_bytes=store.max_bytes))
    run_store = await prepared.backends.run_store()
    known = None if run_store is None else await run_store.get_run(point.run_id)
    metadata = settings.metadata or (None if known is None else cast("JSONObject | None", known.metadata))
    return Beginning(
        schema=prepared.schema,
        stepper=stepper,
        journal=journal,
        state=journal.fold.state,
        redactor=prepared.redactor,
        created_at=journal.fold.started_at,
        metadata=metadata,
        parent_run_id=None if known is None else known.parent_run_id,
        store=store,
        run_store=run_store,
        fixture=point.info.name,
        name=point.info.name,
        recording_id=recording_id if in_place else None,
        resumed_from=None if in_place else recording_id,
        prefix=() if in_place else prefix,
        arrivals=arrivals,
    )


def _fold(
    prepared: Preparation[S], recorded: list[Signal], plan: RunPlan[S], journal: Journal, *, torn: bool
) -> tuple[Stepper[S], tuple[Signal, ...]]:
    """Take a log as it is, but for a last step that may be torn: what that should have caused is caused now."""
    last = max((signal.seq for signal in recorded if is_arrival(signal)), default=0) if torn else len(recorded)
    prefix = folded(recorded[:last]) if last else ()
    journal.adopt(prefix)
    stepper = Stepper(plan, journal, prepared.redactor)
    stepper.adopt()
    if torn:
        arrival = arrival_of(recorded[last])
        if last == 0:
            start = prepared.start(None, plan, seed=0)
            arrival = attrs.evolve(arrival, payload=start.payload(cast("dict[str, Any]", arrival.payload)))
        # What it is to start is started when the run resumes.
        stepper.take(arrival)
    return stepper, prefix


async def _catch_up(
    prepared: Preparation[S], store: SignalStore, point: Resumption, plan: RunPlan[S], journal: Journal
) -> Stepper[S]:
    """Run what is recorded again, up to the point at which the run goes on, and compare it."""
    signals = store.iter_signals(point.info.id, stop=point.stop)
    transcript = Transcript(point.info.id, signals, continues=True)
    journal.check = transcript.check
    prepared.repeat_rules(journal, transcript)
    stepper = Stepper(plan, journal, prepared.redactor)
    transcript.follow(journal.signals, plan)
    journal.substitutes = bool(plan.volatile)
    try:
        await transcript.open()
        await catch_up(
            stepper=stepper,
            journal=journal,
            transcript=transcript,
            start=prepared.start(None, plan, seed=0),
            listeners=RunListeners((), _nobody),
        )
    except ReplayDriftError as error:
        rest = await transcript.rest()
        await explain(
            error,
            store=store,
            start=transcript.start,
            rest=rest,
            journal=journal,
            plan=plan,
            fixture=point.info.name,
            mask=transcript.mask,
        )
        raise
    finally:
        await close_signals(signals)
    journal.check, journal.substitutes = None, False
    if transcript.renumbered:
        prepared.redactor.forget()
    prepared.own_rules(journal)
    return stepper


def _nobody(signal: Signal, error: BaseException) -> None:
    """Nobody listens to the part of a run that was there before."""
    del signal, error
