"""Records that were damaged behind the store's back."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from openharness.core import CorruptRecordError, RunQuery, Severity
from openharness.testing._kit._abilities import Ability, requires
from openharness.testing._kit._same import assert_same
from openharness.testing._run_store._base import RunStoreCase
from openharness.testing._run_store._samples import NOON, ids, make_run

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from openharness.core import RunStore

__all__ = ("DamageTests",)


class DamageTests(RunStoreCase):
    """A changed byte is an error that names the record, and never an answer."""

    async def _save_and_damage(self, store: RunStore, damage: Callable[[str], Awaitable[None]]) -> None:
        for number in range(3):
            state = {"text": f"the state of run {number}"}
            await store.save_run(make_run(f"r{number}", created_at=NOON + number, state=state, metadata={"n": number}))
        await damage("r1")

    @requires(Ability.CHECKSUMS)
    async def test_a_damaged_record_is_not_returned(
        self, store: RunStore, damage: Callable[[str], Awaitable[None]]
    ) -> None:
        """Getting it raises CorruptRecordError with its id."""
        await self._save_and_damage(store, damage)
        with pytest.raises(CorruptRecordError) as caught:
            await store.get_run("r1")
        assert caught.value.record_id == "r1"

    @requires(Ability.CHECKSUMS)
    async def test_a_listing_that_wants_it_raises(
        self, store: RunStore, damage: Callable[[str], Awaitable[None]]
    ) -> None:
        """A listing does not leave a damaged record out in silence."""
        await self._save_and_damage(store, damage)
        with pytest.raises(CorruptRecordError) as caught:
            await store.list_runs()
        assert caught.value.record_id == "r1"

    @requires(Ability.CHECKSUMS)
    async def test_the_other_records_can_still_be_read(
        self, store: RunStore, damage: Callable[[str], Awaitable[None]]
    ) -> None:
        """Getting the others, and listing without it, work."""
        await self._save_and_damage(store, damage)
        wanted = make_run("r0", created_at=NOON, state={"text": "the state of run 0"}, metadata={"n": 0})
        assert_same(await store.get_run("r0"), wanted, what="run")
        assert await ids(store, created_after=NOON + 2) == ["r2"]
        assert [run.id for run in await store.list_runs(RunQuery(limit=1))] == ["r2"]

    @requires(Ability.CHECKSUMS)
    async def test_a_damaged_record_can_be_deleted_or_replaced(
        self, store: RunStore, damage: Callable[[str], Awaitable[None]]
    ) -> None:
        """Deleting it, or saving it again, heals the store."""
        await self._save_and_damage(store, damage)
        await store.save_run(make_run("r1", state="healed"))
        assert_same(await store.get_run("r1"), make_run("r1", state="healed"), what="run")
        await damage("r2")
        await store.delete_run("r2")
        assert await ids(store) == ["r1", "r0"]

    @requires(Ability.CHECKSUMS)
    async def test_an_examination_names_what_is_damaged(
        self, store: RunStore, damage: Callable[[str], Awaitable[None]]
    ) -> None:
        """`doctor` reports the damaged record as an error, and no other; it raises nothing and changes nothing."""
        await self._save_and_damage(store, damage)
        report = await self.soon(store.doctor(), "an examination")
        assert not report.is_healthy
        errors = report.of(Severity.ERROR)
        assert {finding.record_id for finding in errors} == {"r1"}, str(report)
        assert all("damaged" in finding.code for finding in errors)
        await store.delete_run("r1")
        assert (await store.doctor()).is_healthy

    async def test_an_examination_of_what_is_whole(self, store: RunStore) -> None:
        """`doctor` finds no error in an empty store, nor in one in use, and its text names the store."""
        for name in ("a", "b"):
            report = await self.soon(store.doctor(), "an examination")
            assert report.is_healthy, str(report)
            assert report.store in str(report)
            await store.save_run(make_run(name))
