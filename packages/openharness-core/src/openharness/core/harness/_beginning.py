"""Where a run begins that calls providers: with its first signal, or with the log of a run that it goes on with."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, Generic, TypeVar

import attrs

from openharness.core.engine import Arrival, Journal, Stepper
from openharness.core.harness._preparation import arrival_now
from openharness.core.interfaces import RunStore, SignalStore
from openharness.core.log import _names as names
from openharness.core.records import Signal
from openharness.core.redaction import Redactor
from openharness.core.state import StateSchema
from openharness.core.values import JSONObject

if TYPE_CHECKING:
    from openharness.core.harness._preparation import Preparation

__all__ = ("Beginning", "begin_new")

S = TypeVar("S")


@attrs.frozen(kw_only=True, eq=False)
class Beginning(Generic[S]):
    """Where a run begins.

    Attributes:
        schema: The type of the state.
        stepper: What takes the arrivals; a run that goes on has taken some already.
        journal: The log so far: empty, or that of the run this one continues.
        state: The state the run begins with, as its record shows it while it goes on.
        redactor: Keeps secrets out of the log.
        created_at: When the run began, in milliseconds since the epoch; None for now.
        metadata: What its record is found by.
        parent_run_id: The run it was forked from.
        store: Where signals are recorded; None for nowhere.
        run_store: Where the record is kept; None for nowhere.
        fixture: The name to publish the recording under once the run has completed.
        name: The name the recording is made for.
        recording_id: The recording to go on writing; None for a new one.
        resumed_from: The recording that a new one continues.
        prefix: Signals to write first: those the new recording shares with another one.
        arrivals: What arrives first.
    """

    schema: StateSchema[S]
    stepper: Stepper[S]
    journal: Journal
    state: JSONObject
    redactor: Redactor
    created_at: int | None = None
    metadata: JSONObject | None = None
    parent_run_id: str | None = None
    store: SignalStore | None
    run_store: RunStore | None
    fixture: str | None = None
    name: str | None = None
    recording_id: str | None = None
    resumed_from: str | None = None
    prefix: tuple[Signal, ...] = ()
    arrivals: tuple[Arrival, ...] = ()


async def begin_new(
    prepared: Preparation[S], run_id: str, *, store: SignalStore | None, fixture: str | None
) -> Beginning[S]:
    """Return the beginning of a new run.

    Args:
        prepared: Its parts.
        run_id: Its id.
        store: Where its signals are recorded; None for nowhere.
        fixture: The name to publish its recording under; None for none.
    """
    settings = prepared.settings
    journal = Journal(run_id)
    prepared.own_rules(journal)
    state, fields = prepared.initial_state(None)
    plan = prepared.plan(fields, provider=await prepared.backends.provider())
    seed = random.SystemRandom().getrandbits(63) if settings.seed is None else settings.seed
    start = prepared.start(state, plan, seed=seed)
    return Beginning(
        schema=prepared.schema,
        stepper=Stepper(plan, journal, prepared.redactor),
        journal=journal,
        state=state or {},
        redactor=prepared.redactor,
        metadata=settings.metadata,
        store=store,
        run_store=await prepared.backends.run_store(),
        fixture=fixture,
        name=fixture,
        arrivals=(arrival_now(names.HARNESS_START, start.payload()),),
    )
