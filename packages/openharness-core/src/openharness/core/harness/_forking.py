"""A new run that shares the beginning of a recorded one, of which nothing runs again."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

from openharness.core.engine import Journal, Stepper
from openharness.core.harness._backends import needed
from openharness.core.harness._beginning import Beginning
from openharness.core.harness._continuation import find_fork, folded
from openharness.core.log import _names as names

if TYPE_CHECKING:
    from openharness.core.harness._preparation import Preparation
    from openharness.core.values import JSONObject

__all__ = ("begin_forked",)

S = TypeVar("S")


async def begin_forked(prepared: Preparation[S], run_id: str, recording_id: str) -> Beginning[S]:
    """Return the point at which a new run leaves a recorded one; see `Harness.fork` for what it raises."""
    settings = prepared.settings
    store = needed(await prepared.backends.signal_store(), "fork")
    point = await find_fork(store, recording_id, settings.at)
    prepared.interactive = point.interactive
    provider = await prepared.backends.provider()
    plan = prepared.plan(point.fields, provider=provider)
    recorded = [signal async for signal in store.iter_signals(recording_id, stop=point.stop)]
    prefix = folded(recorded, run_id=run_id, parent=point.run_id)
    journal = Journal(run_id)
    journal.adopt(prefix)
    prepared.own_rules(journal)
    stepper = Stepper(plan, journal, prepared.redactor)
    stepper.adopt()
    payload: JSONObject = {
        "run_id": point.run_id,
        "recording_id": recording_id,
        "at": point.stop - 1,
        "state": prepared.changed_fields(settings.state, point.fields),
    }
    arrivals = tuple(prepared.going_on(names.HARNESS_FORKED, payload, journal, max_bytes=store.max_bytes))
    return Beginning(
        schema=prepared.schema,
        stepper=stepper,
        journal=journal,
        state=journal.fold.state,
        redactor=prepared.redactor,
        metadata=settings.metadata,
        parent_run_id=point.run_id,
        store=store,
        run_store=await prepared.backends.run_store(),
        prefix=prefix,
        arrivals=arrivals,
    )
