"""Which of several recordings goes on with another one: that a run is resumed once, however many ask for it."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any, cast

from openharness.core.errors import RecordingConflictError, RecordingFinalizedError, RecordingNotFoundError
from openharness.core.log import _names as names
from openharness.core.records import RecordingQuery, RunStatus

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from openharness.core.interfaces import SignalStore
    from openharness.core.records import RecordingInfo

__all__ = ("succeed",)


async def succeed(
    store: SignalStore, origin: str, *, run_id: str, seq: int, create: Callable[[], Awaitable[str]]
) -> str:
    """Make the recording that goes on with another one, and return its id.

    A recording that another one goes on with stays as it is, so nothing in it could stop a second resumer. So each looks
    for the others after it has made its recording, and goes on only when all others are finalized without having begun:
    an append to them fails before anything is called. Of two that see each other one is first by its id; of two that
    do not, one was there before the other looked.

    Args:
        store: The store of both.
        origin: The recording that is gone on with.
        run_id: The run of both.
        seq: The position at which it is gone on with.
        create: Makes the new recording.

    Raises:
        RecordingConflictError: Another one goes on with it, or has done so; none of this was kept.
    """
    # Who has not begun by now has died, or is stopped.
    before = {info.id for info in await _successors(store, origin, run_id, seq)}
    own = await create()
    try:
        for info in await _successors(store, origin, run_id, seq):
            if info.id != own:
                await _give_way(store, origin, info, seq, is_first=info.id not in before and info.id < own)
    except BaseException as error:
        try:
            await store.delete_recording(own)
        except Exception as other:  # noqa: BLE001 - it must not hide why the run does not go on
            error.add_note(f"Besides, the empty recording {own!r} could not be deleted: {other}")
        raise
    return own


async def _successors(store: SignalStore, origin: str, run_id: str, seq: int) -> list[RecordingInfo]:
    """Return the recordings that were made to go on with this one and have not begun."""
    infos = await store.list_recordings(RecordingQuery(run_id=run_id))
    found = [info for info in infos if info.resumed_from == origin]
    for info in found:
        if await _has_begun(store, info.id, origin):
            raise _taken(origin, info, seq)
    return found


async def _has_begun(store: SignalStore, recording_id: str, origin: str) -> bool:
    try:
        # What it took over has no end, and tells only of recordings before.
        async for signal in store.iter_signals(recording_id, patterns=(names.HARNESS_RESUMED, names.HARNESS_END)):
            payload: object = signal.payload
            if signal.name == names.HARNESS_END or (
                isinstance(payload, dict) and cast("dict[str, Any]", payload).get("resumed_from") == origin
            ):
                return True
    except RecordingNotFoundError:
        pass
    return False


async def _give_way(store: SignalStore, origin: str, info: RecordingInfo, seq: int, *, is_first: bool) -> None:
    """Let nobody append to another recording any more; raise where that is first, or has begun."""
    if not is_first and info.outcome == "incomplete":
        # Another one may have finalized it, or given it up.
        with contextlib.suppress(RecordingFinalizedError, RecordingNotFoundError):
            await store.finalize(info.id, outcome=RunStatus.CANCELLED)
    if is_first or await _has_begun(store, info.id, origin):
        raise _taken(origin, info, seq)


def _taken(origin: str, info: RecordingInfo, seq: int) -> RecordingConflictError:
    return RecordingConflictError(
        origin,
        seq=seq,
        reason=f"recording {info.id!r} ({info.outcome}) goes on with it. Resume that one, or fork this one",
    )
