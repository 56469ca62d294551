"""Recordings that were damaged behind the store's back."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from openharness.core import CorruptRecordError, Severity
from openharness.testing._kit._abilities import Ability, requires
from openharness.testing._kit._same import assert_same
from openharness.testing._signal_store._base import SignalStoreCase
from openharness.testing._signal_store._samples import found_ids, load, make_signals, record

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from openharness.core import SignalStore

__all__ = ("DamageTests",)


class DamageTests(SignalStoreCase):
    """A changed byte is an error that names the recording, and never an answer."""

    @requires(Ability.CHECKSUMS)
    async def test_a_damaged_recording_is_not_returned(
        self, store: SignalStore, damage: Callable[[str], Awaitable[None]]
    ) -> None:
        """Loading and reading it raise CorruptRecordError, whether or not it was finalized."""
        for outcome in ("incomplete", "completed"):
            recording_id = await record(store, *make_signals(3))
            if outcome != "incomplete":
                await store.finalize(recording_id, outcome=outcome)
            await damage(recording_id)
            with pytest.raises(CorruptRecordError):
                await store.load_recording(recording_id)
            with pytest.raises(CorruptRecordError):
                async for _ in store.iter_signals(recording_id):
                    pass

    @requires(Ability.CHECKSUMS)
    async def test_the_others_can_still_be_read_and_it_can_be_deleted(
        self, store: SignalStore, damage: Callable[[str], Awaitable[None]]
    ) -> None:
        """Other recordings load and list, and deleting the damaged one heals the store."""
        damaged = await record(store, *make_signals(3))
        whole = await record(store, *make_signals(3), tags=["whole"])
        await damage(damaged)
        assert_same(list((await load(store, whole)).signals), make_signals(3), what="signals")
        assert await found_ids(store, tags="whole") == [whole]
        await store.delete_recording(damaged)
        assert await found_ids(store) == [whole]

    @requires(Ability.CHECKSUMS)
    async def test_an_examination_names_what_is_damaged(
        self, store: SignalStore, damage: Callable[[str], Awaitable[None]]
    ) -> None:
        """`doctor` reports the damaged recording as an error, and no other; it raises nothing and changes nothing."""
        damaged = await record(store, *make_signals(3))
        whole = await record(store, *make_signals(3), tags=["whole"])
        await damage(damaged)
        report = await self.soon(store.doctor(), "an examination")
        assert not report.is_healthy
        errors = report.of(Severity.ERROR)
        assert {finding.record_id for finding in errors} == {damaged}, str(report)
        assert all("damaged" in finding.code for finding in errors)
        assert len((await load(store, whole)).signals) == 3
        await store.delete_recording(damaged)
        assert (await store.doctor()).is_healthy

    async def test_an_examination_of_what_is_whole(self, store: SignalStore) -> None:
        """`doctor` finds no error in an empty store, nor in one in use, and its text names the store."""
        for _ in range(2):
            report = await self.soon(store.doctor(), "an examination")
            assert report.is_healthy, str(report)
            assert report.store in str(report)
            await record(store, *make_signals(3), name="f")
