"""Recordings that others append to and delete while they are read: before each statement, one after the other."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from openharness.core import RecordingNotFoundError, Signal
from openharness.postgres import Channel

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from openharness.postgres import Row
    from openharness.signal_store_postgres import PostgresSignalStore

NewStore = Any
Make = Any


class Meanwhile:
    """Does something, once, right before the statement with this number.

    Args:
        number: The number of the statement.
        act: What is done.
    """

    def __init__(self, number: int, act: Callable[[], Awaitable[None]]) -> None:
        self._number, self._act = number, act
        self._statements = 0
        self.is_done = False

    def install(self, patch: pytest.MonkeyPatch) -> None:
        """Be called by all connections."""
        honest = Channel.fetch

        async def fetch(channel: Channel, sql: str, *arguments: object) -> list[Row]:
            if not self.is_done:
                self._statements += 1
                if self._statements == self._number:
                    self.is_done = True
                    await self._act()
            return await honest(channel, sql, *arguments)

        patch.setattr(Channel, "fetch", fetch)


async def before_each_statement(
    monkeypatch: pytest.MonkeyPatch,
    prepare: Callable[[], Awaitable[str]],
    act: Callable[[str], Awaitable[None]],
    look: Callable[[str], Awaitable[None]],
) -> None:
    """Look at recordings that are changed before the first statement, before the second one, and so on."""
    for number in range(1, 100):
        recording_id = await prepare()
        meanwhile = Meanwhile(number, lambda recording_id=recording_id: act(recording_id))
        with monkeypatch.context() as patch:
            meanwhile.install(patch)
            await look(recording_id)
        if not meanwhile.is_done:
            break
    assert number > 2, "nothing came in between"


async def filled(store: PostgresSignalStore, signals: list[Signal]) -> str:
    """Return a recording of these signals."""
    recording_id = await store.create_recording(run_id="run")
    await store.append(recording_id, signals)
    return recording_id


async def test_a_recording_has_the_signals_that_its_checkpoints_name(
    new_store: NewStore, make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At whichever statement others append and add a checkpoint, both are there or neither is."""
    async with new_store() as store, new_store() as other:

        async def act(recording_id: str) -> None:
            await other.append(recording_id, make(2, start=3))
            await other.add_checkpoint(recording_id, "later", 4)

        async def look(recording_id: str) -> None:
            recording = await store.load_recording(recording_id)
            assert recording is not None
            count = recording.info.signal_count
            assert list(recording.signals) == make(count)
            assert [(one.name, one.seq) for one in recording.checkpoints] == ([("later", 4)] if count == 5 else [])

        await before_each_statement(monkeypatch, lambda: filled(store, make(3)), act, look)


async def test_a_deleted_recording_is_not_one_without_such_signals(
    new_store: NewStore, make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At whichever statement it is deleted, who looks for signals by name gets them or an error, never nothing."""
    async with new_store() as store, new_store() as other:

        async def look(recording_id: str) -> None:
            try:
                found = [signal async for signal in store.iter_signals(recording_id, patterns="text:*")]
            except RecordingNotFoundError:
                return
            assert found == make(3)

        await before_each_statement(monkeypatch, lambda: filled(store, make(3)), other.delete_recording, look)


@pytest.mark.parametrize("change", ["append", "delete"])
async def test_what_is_found_is_in_the_recording_that_is_returned(
    new_store: NewStore, make: Make, monkeypatch: pytest.MonkeyPatch, change: str
) -> None:
    """At whichever statement others append or delete, signals are found where the recording has them, or not at all."""
    async with new_store() as store, new_store() as other:

        async def prepare() -> str:
            # It has the name, where it follows nothing.
            return await filled(store, [*make(1, name="agent:error"), *make(2, start=1)])

        async def act(recording_id: str) -> None:
            if change == "delete":
                await other.delete_recording(recording_id)
            else:
                await other.append(recording_id, make(1, start=3, name="agent:error"))

        async def look(recording_id: str) -> None:
            matches = await store.search_recordings(["text:*", "agent:*"])
            found = {match.info.id: (match.info.signal_count, match.seqs) for match in matches}
            assert found.get(recording_id) in {None, (4, (1, 3))}
            only_text = {match.info.id: match.seqs for match in await store.search_recordings("text:delta")}
            assert only_text.get(recording_id, (1,)) == (1,)

        await before_each_statement(monkeypatch, prepare, act, look)
