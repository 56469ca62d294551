"""Which of several recordings goes on with another one: that a run is resumed once, however many ask for it."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

from openharness.core.errors import RecordingConflictError, RecordingFinalizedError, RecordingNotFoundError
from openharness.core.log import _names as names
from openharness.core.records import RecordingQuery, RunStatus

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from openharness.core.interfaces import SignalStore
    from openharness.core.records import RecordingInfo

__all__ = ("last_begun", "succeed")


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
    family = _Family(store, origin, run_id=run_id, seq=seq)
    # Who has not begun by now has died, or is stopped.
    before = {info.id for info in await family.waiting()}
    own = await create()
    try:
        for info in await family.waiting():
            if info.id != own:
                await family.stop(info, is_first=info.id not in before and info.id < own)
    except BaseException as error:
        try:
            await store.delete_recording(own)
        except Exception as other:  # noqa: BLE001 - it must not hide why the run does not go on
            error.add_note(f"Besides, the empty recording {own!r} could not be deleted: {other}")
        raise
    return own


async def last_begun(store: SignalStore, recording_id: str) -> str:
    """Return the recording itself; where it was to go on with another one, and never began, that other one.

    A process may have died between the two, or was stopped there by one that goes on in its place.
    """
    info = await store.get_recording_info(recording_id)
    while info is not None and info.resumed_from is not None:
        family = _Family(store, info.resumed_from, run_id=info.run_id, seq=0)
        if await family.has_begun(info.id):
            break
        origin = await store.get_recording_info(info.resumed_from)
        if origin is None:
            break
        info, recording_id = origin, origin.id
    return recording_id


class _Family:
    """The recordings that were made to go on with one."""

    def __init__(self, store: SignalStore, origin: str, *, run_id: str, seq: int) -> None:
        self._store = store
        self._origin = origin
        self._run_id = run_id
        self._seq = seq
        self._inherited: set[tuple[int, int]] | None = None

    async def waiting(self) -> list[RecordingInfo]:
        """Return them, if none of them has begun.

        Raises:
            RecordingConflictError: One has.
        """
        infos = await self._store.list_recordings(RecordingQuery(run_id=self._run_id))
        found = [info for info in infos if info.resumed_from == self._origin]
        for info in found:
            if await self.has_begun(info.id):
                raise self._taken(info)
        return found

    async def has_begun(self, recording_id: str) -> bool:
        """Tell whether a recording has more than it took over."""
        if self._inherited is None:
            self._inherited = await self._marks(self._origin, names.HARNESS_RESUMED)
        # What it took over has no end.
        return bool(await self._marks(recording_id, names.HARNESS_RESUMED, names.HARNESS_END) - self._inherited)

    async def stop(self, info: RecordingInfo, *, is_first: bool) -> None:
        """Let nobody append to a recording any more.

        Raises:
            RecordingConflictError: That one is first, or has begun.
        """
        if not is_first and info.outcome == "incomplete":
            # Another one may have finalized it, or given it up.
            with contextlib.suppress(RecordingFinalizedError, RecordingNotFoundError):
                await self._store.finalize(info.id, outcome=RunStatus.CANCELLED)
        if is_first or await self.has_begun(info.id):
            raise self._taken(info)

    async def _marks(self, recording_id: str, *patterns: str) -> set[tuple[int, int]]:
        found: set[tuple[int, int]] = set()
        with contextlib.suppress(RecordingNotFoundError):
            async for signal in self._store.iter_signals(recording_id, patterns=patterns):
                found.add((signal.seq, signal.timestamp))
        return found

    def _taken(self, info: RecordingInfo) -> RecordingConflictError:
        return RecordingConflictError(
            self._origin,
            seq=self._seq,
            reason=f"recording {info.id!r} ({info.outcome}) goes on with it. Resume that one, or fork this one",
            successor=info.id,
        )
