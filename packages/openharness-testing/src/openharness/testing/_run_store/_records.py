"""Saving, getting and deleting one record."""

from __future__ import annotations

import datetime
from typing import TYPE_CHECKING, Any

import attrs
import pytest

from openharness.core import InvalidValueError, RunQuery, RunStatus
from openharness.testing._kit._abilities import Ability, requires
from openharness.testing._kit._same import assert_same
from openharness.testing._run_store._base import RunStoreCase
from openharness.testing._run_store._samples import NOON, as_stored, ids, make_run, save_all
from openharness.testing.corpus import REFUSED_IDS

if TYPE_CHECKING:
    from collections.abc import Callable

    from openharness.core import RunStore

__all__ = ("RecordTests",)

_FULL = make_run(
    "run-full",
    completed_at=NOON + 1,
    state={"b": 1, "a": [1.0, None, {"deep": "text"}]},
    metadata={"team": "search", "n": 1, "list": [1, {"a": 2.0}], "none": None},
    status=RunStatus.FAILED,
    error="agent 'a' failed: \xe9\n\U0001f600",
    recording_id="rec-1",
    parent_run_id="run-0",
)


class RecordTests(RunStoreCase):
    """One record: what was saved is what is got."""

    async def test_a_saved_run_comes_back_equal(self, store: RunStore) -> None:
        """Every field of a record comes back as it was saved, of the same type."""
        await store.save_run(_FULL)
        assert_same(await store.get_run("run-full"), as_stored(_FULL), what="run")

    async def test_a_listed_run_comes_back_equal(self, store: RunStore) -> None:
        """Listing returns the same record as getting, every field of it."""
        await store.save_run(_FULL)
        assert_same(await store.list_runs(), [as_stored(_FULL)], what="runs")

    async def test_a_run_with_nothing_optional_comes_back_equal(self, store: RunStore) -> None:
        """What was None stays None."""
        await store.save_run(make_run("run-bare", state=None))
        assert_same(await store.get_run("run-bare"), make_run("run-bare", state=None), what="run")

    async def test_metadata_that_is_empty_is_not_none(self, store: RunStore) -> None:
        """Empty metadata comes back empty, and no metadata as None."""
        await save_all(store, make_run("empty", metadata={}), make_run("none", metadata=None))
        assert_same(await store.get_run("empty"), make_run("empty", metadata={}), what="run")
        assert_same(await store.get_run("none"), make_run("none", metadata=None), what="run")

    @pytest.mark.parametrize("status", list(RunStatus))
    async def test_every_status_comes_back(self, store: RunStore, status: RunStatus) -> None:
        """A status comes back as it was saved, whether or not the run has an end."""
        for run in (make_run("open", status=status), make_run("ended", status=status, completed_at=NOON)):
            await store.save_run(run)
            assert_same(await store.get_run(run.id), run, what="run")

    @pytest.mark.parametrize(
        "moment",
        [
            0,
            -1,
            1,
            2**31,
            253_402_300_799_999,
            datetime.datetime(1, 1, 1, tzinfo=datetime.UTC),
            datetime.datetime(9999, 12, 31, 23, 59, 59, 999_000, tzinfo=datetime.UTC),
        ],
        ids=["epoch", "before-the-epoch", "one", "beyond-32-bits", "last-millisecond", "year-1", "year-9999"],
    )
    async def test_times_come_back_to_the_millisecond(self, store: RunStore, moment: Any) -> None:
        """A time comes back exactly, from year 1 to year 9999, and orders as a number."""
        run = make_run("a", created_at=moment, completed_at=moment)
        await save_all(store, make_run("b", created_at=NOON), run)
        assert_same(await store.get_run("a"), run, what="run")
        assert await ids(store, order="oldest") == (["a", "b"] if run.created_at < NOON else ["b", "a"])

    async def test_saving_again_replaces_the_whole_record(self, store: RunStore) -> None:
        """A second save with the same id leaves nothing of the first."""
        await store.save_run(_FULL)
        bare = make_run("run-full", created_at=NOON + 5, state=[])
        await store.save_run(bare)
        assert_same(await store.get_run("run-full"), bare, what="run")
        assert_same(await store.list_runs(), [bare], what="runs")

    async def test_saving_again_replaces_what_queries_find(self, store: RunStore) -> None:
        """After a second save, queries find the run by its new fields alone."""
        await store.save_run(make_run("a", metadata={"k": 1, "old": True}, status="running", created_at=NOON))
        await store.save_run(make_run("a", metadata={"k": 2}, status="failed", created_at=NOON + 10))
        assert await ids(store, metadata={"k": 1}) == []
        assert await ids(store, metadata={"old": True}) == []
        assert await ids(store, status="running") == []
        assert await ids(store, created_before=NOON + 1) == []
        assert await ids(store, metadata={"k": 2}, status="failed", created_after=NOON + 10) == ["a"]

    async def test_saving_one_run_leaves_the_others(self, store: RunStore) -> None:
        """Runs with different ids do not touch each other."""
        await save_all(store, make_run("a", state=1), make_run("b", state=2))
        await store.save_run(make_run("a", state=3))
        assert_same(await store.get_run("b"), make_run("b", state=2), what="run")

    async def test_an_unknown_id_is_none(self, store: RunStore) -> None:
        """Getting a run that does not exist returns None, in an empty store and in one with runs."""
        assert await store.get_run("nobody") is None
        await store.save_run(make_run("somebody"))
        assert await store.get_run("nobody") is None

    async def test_a_deleted_run_is_gone(self, store: RunStore) -> None:
        """After a delete the run is neither got nor listed nor counted, and the others are."""
        await save_all(store, make_run("a", metadata={"k": 1}), make_run("b", metadata={"k": 1}))
        await store.delete_run("a")
        assert await store.get_run("a") is None
        assert await ids(store) == ["b"]
        assert await ids(store, metadata={"k": 1}) == ["b"]
        assert await store.count_runs() == 1

    async def test_deleting_an_unknown_run_is_no_error(self, store: RunStore) -> None:
        """Deleting what does not exist, or no longer, does nothing."""
        await store.delete_run("nobody")
        await save_all(store, make_run("a"), make_run("b"))
        await store.delete_run("a")
        await store.delete_run("a")
        assert await ids(store) == ["b"]

    async def test_a_deleted_run_can_be_saved_again(self, store: RunStore) -> None:
        """Deleting leaves nothing that a new run with the same id could inherit."""
        await store.save_run(_FULL)
        await store.delete_run("run-full")
        bare = make_run("run-full", state=1)
        await store.save_run(bare)
        assert_same(await store.get_run("run-full"), bare, what="run")
        assert await ids(store, metadata={"team": "search"}) == []

    @pytest.mark.parametrize("run_id", REFUSED_IDS, ids=ascii)
    async def test_what_can_be_no_id_is_refused(self, store: RunStore, run_id: Any) -> None:
        """Getting or deleting by what could not be an id raises InvalidValueError."""
        with pytest.raises(InvalidValueError):
            await store.get_run(run_id)
        with pytest.raises(InvalidValueError):
            await store.delete_run(run_id)

    async def test_a_record_without_its_state_can_be_told_from_the_query(self, store: RunStore) -> None:
        """With ``include_state=False`` the state is None and everything else is there."""
        await store.save_run(_FULL)
        found = await store.list_runs(RunQuery(include_state=False))
        assert_same(found, [as_stored(_FULL, include_state=False)], what="runs")
        assert_same(await store.get_run("run-full"), as_stored(_FULL), what="run")

    async def test_a_loaded_record_can_be_changed_and_saved(self, store: RunStore) -> None:
        """What a store returns can be evolved and saved, which is how a run's end is written."""
        await store.save_run(make_run("a", metadata={"k": [1]}, state={"n": 1}))
        loaded = await store.get_run("a")
        assert loaded is not None
        ended = attrs.evolve(loaded, completed_at=NOON + 9, status=RunStatus.COMPLETED)
        await store.save_run(ended)
        assert_same(await store.get_run("a"), ended, what="run")

    async def test_the_store_is_an_async_context_manager(self, store: RunStore) -> None:
        """``async with`` gives the store itself, opened."""
        async with store as entered:
            assert entered is store
            await entered.save_run(make_run("a"))
            assert await ids(entered) == ["a"]

    @requires(Ability.DURABLE)
    async def test_a_new_instance_finds_what_was_saved(self, store: RunStore, reopen: Callable[[], RunStore]) -> None:
        """After a close, another store on the same data has every record, and not the deleted ones."""
        await save_all(store, _FULL, make_run("b", state=2.0), make_run("c"))
        await store.delete_run("c")
        await store.close()
        async with reopen() as again:
            assert_same(await again.get_run("run-full"), as_stored(_FULL), what="run")
            assert await ids(again) == ["run-full", "b"]
            await again.save_run(make_run("d"))
        async with reopen() as once_more:
            assert sorted(await ids(once_more)) == ["b", "d", "run-full"]
