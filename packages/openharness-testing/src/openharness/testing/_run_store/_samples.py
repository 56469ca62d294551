"""Run records that the contract saves, and what a store must give back for them."""

from __future__ import annotations

import asyncio
import datetime
from typing import TYPE_CHECKING, Any, Final

import attrs

from openharness.core import RunQuery, RunRecord, to_json

if TYPE_CHECKING:
    from openharness.core import RunStore

__all__ = ("NOON", "as_stored", "at", "ids", "make_run", "save_all", "save_at_once")

NOON: Final = 1_767_268_800_000
"""A time in milliseconds, for records that need one."""


def make_run(run_id: str = "run-1", *, created_at: int = NOON, state: object = "state", **fields: Any) -> RunRecord:
    """Return a record.

    Args:
        run_id: Its id.
        created_at: When the run began.
        state: Its state.
        **fields: Anything else of a `RunRecord`.
    """
    return RunRecord(run_id, created_at=created_at, state=state, **fields)


def as_stored(run: RunRecord, *, include_state: bool = True) -> RunRecord:
    """Return a record as a store gives it back: with the JSON form of its state.

    Args:
        run: The record that was saved.
        include_state: As in `RunQuery`.
    """
    return attrs.evolve(run, state=to_json(run.state, path="state") if include_state else None)


def at(milliseconds: int) -> datetime.datetime:
    """Return a time in milliseconds as a ``datetime``, exactly."""
    return datetime.datetime(1970, 1, 1, tzinfo=datetime.UTC) + datetime.timedelta(milliseconds=milliseconds)


async def save_all(store: RunStore, *runs: RunRecord) -> None:
    """Save records one after the other."""
    for run in runs:
        await store.save_run(run)


async def save_at_once(store: RunStore, *runs: RunRecord) -> None:
    """Save records concurrently, which many stores do faster."""
    await asyncio.gather(*(store.save_run(run) for run in runs))


async def ids(store: RunStore, **conditions: Any) -> list[str]:
    """Return the ids of the runs that match, in the order in which the store lists them.

    Args:
        store: The store.
        **conditions: The fields of a `RunQuery`.
    """
    return [run.id for run in await store.list_runs(RunQuery(**conditions))]
