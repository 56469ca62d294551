"""Those who wait for a recording to change, and how they hear of it.

Who appends says so (NOTIFY) only while somebody follows the recording, because the server commits those who say something
one after the other. Who follows writes into the row of the recording until when. Both change the same row, so one of the
two comes first: either who appends sees that somebody follows, or who follows sees what was appended. What is said may
still be lost, with the connection, or behind a pooler that has none for long; so the recording is also asked for.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

from openharness.core import StoreOpenError, StoreReadOnlyError
from openharness.core.storage import ChangeWaiters
from openharness.signal_store_postgres._catalogue import Catalogue
from openharness.signal_store_postgres._schema import channel_name

if TYPE_CHECKING:
    from openharness.core import RecordingInfo
    from openharness.postgres import Names, Session

__all__ = ("Following",)

_FIRST_PAUSE: Final = 0.02
_LONGEST_PAUSE: Final = 0.5
_LONGEST_PAUSE_OF_LISTENERS: Final = 1.0
_FOLLOWED: Final = 60.0
"""Seconds for which those who append say so."""


class Following:
    """Those who follow recordings in one event loop.

    Args:
        session: The connections of that loop.
        names: Where the tables are.
    """

    def __init__(self, session: Session, names: Names) -> None:
        self.session = session
        self._waiters = ChangeWaiters()
        self._followed: dict[str, float] = {}
        self._not_told_until = 0.0
        recordings = names("recordings")
        self._channel = channel_name(names)
        self._follow = (
            f"UPDATE {recordings} SET followed_until = clock_timestamp() + interval '{_FOLLOWED:g} s' WHERE id = $1 "  # noqa: S608
            f"AND (followed_until IS NULL OR followed_until < clock_timestamp() + interval '{_FOLLOWED / 2:g} s') "
            f"AND {names.unless_newer}"
        )
        self._progress = Catalogue(names).select_progress

    def wake(self, recording_id: str | None) -> None:
        """Say that a recording has changed; None for that any may have."""
        if recording_id is None:
            self._waiters.wake_all()
        else:
            self._waiters.wake(recording_id)

    async def wait(self, known: RecordingInfo) -> None:
        """Return when a recording is no longer as it is known."""
        pause = _LONGEST_PAUSE_OF_LISTENERS if await self._listens(known.id) else _FIRST_PAUSE
        while True:
            # Before the recording is asked for, so that nothing that happens from then on is missed.
            waiting = asyncio.ensure_future(self._waiters.wait(known.id, pause))
            try:
                await asyncio.sleep(0)
                rows = await self.session.fetch(self._progress, known.id)
                if [tuple(row) for row in rows] != [(known.signal_count, known.outcome)]:
                    return
                await waiting
            finally:
                waiting.cancel()
            slower = min(1.5 * pause, _LONGEST_PAUSE)
            pause = _LONGEST_PAUSE_OF_LISTENERS if await self._listens(known.id) else slower

    async def _listens(self, recording_id: str) -> bool:
        """See that what happens to a recording is heard of, and tell whether it is."""
        session = self.session
        now = asyncio.get_running_loop().time()
        if now < self._not_told_until or not await session.listen(self._channel, self.wake):
            return False
        if self._followed.get(recording_id, now) - _FOLLOWED / 2 > now:
            return True
        for followed in [followed for followed, until in self._followed.items() if until < now]:
            del self._followed[followed]
        try:
            await session.fetch(self._follow, recording_id)
        except (StoreReadOnlyError, StoreOpenError):
            # A standby, or a role that may only read; or a server that went just then.
            self._not_told_until = now + _FOLLOWED
            return False
        self._followed[recording_id] = now + _FOLLOWED
        return True
