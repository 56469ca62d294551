"""A store and its caller share no object."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, cast

from openharness.core import RunQuery
from openharness.testing._kit._explore import explore_chances
from openharness.testing._kit._same import assert_same
from openharness.testing._run_store._base import RunStoreCase
from openharness.testing._run_store._samples import make_run

if TYPE_CHECKING:
    import random

    from openharness.core import RunRecord, RunStore

__all__ = ("AliasingTests",)


def _state() -> dict[str, Any]:
    return {"items": [1, {"deep": [2]}], "name": "before"}


def _metadata() -> dict[str, Any]:
    return {"tags": ["a"], "k": 1}


def _spoil(state: object, metadata: object) -> None:
    """Change both at every level."""
    changed = cast("dict[str, Any]", state)
    changed["items"][1]["deep"].append("spoiled")
    changed["items"].append("spoiled")
    changed["name"] = "spoiled"
    changed["new"] = float("nan")
    tags = cast("dict[str, Any]", metadata)
    tags["tags"].append("spoiled")
    tags["k"] = 2


class AliasingTests(RunStoreCase):
    """What one side changes afterwards, the other does not see."""

    async def _check_unspoiled(self, store: RunStore) -> None:
        run = make_run(state=_state(), metadata=_metadata())
        assert_same(await store.get_run("run-1"), run, what="run")
        assert_same(await store.list_runs(), [run], what="runs")
        assert_same(await store.list_runs(RunQuery(metadata={"k": 1})), [run], what="runs")
        assert await store.list_runs(RunQuery(metadata={"k": 2})) == []

    async def test_changing_what_was_saved_changes_nothing_stored(self, store: RunStore) -> None:
        """The caller's state and metadata may change after the save."""
        run = make_run(state=_state(), metadata=_metadata())
        await store.save_run(run)
        _spoil(run.state, run.metadata)
        await self._check_unspoiled(store)

    async def test_changing_what_was_got_changes_nothing_stored(self, store: RunStore) -> None:
        """What `get_run` returned belongs to the caller."""
        await store.save_run(make_run(state=_state(), metadata=_metadata()))
        for _ in range(2):
            run = await store.get_run("run-1")
            assert run is not None
            _spoil(run.state, run.metadata)
        await self._check_unspoiled(store)

    async def test_changing_what_was_listed_changes_nothing_stored(self, store: RunStore) -> None:
        """What `list_runs` and `iter_runs` returned belongs to the caller."""
        await store.save_run(make_run(state=_state(), metadata=_metadata()))
        runs: list[RunRecord] = await store.list_runs()
        runs += [run async for run in store.iter_runs()]
        for run in runs:
            _spoil(run.state, run.metadata)
        runs.clear()
        await self._check_unspoiled(store)

    async def test_a_record_got_twice_is_two_objects(self, store: RunStore) -> None:
        """Two callers that get the same run do not see each other's changes."""
        await store.save_run(make_run(state=_state(), metadata=_metadata()))
        one, two = await store.get_run("run-1"), await store.get_run("run-1")
        assert one is not None
        _spoil(one.state, one.metadata)
        assert_same(two, make_run(state=_state(), metadata=_metadata()), what="run")

    async def test_a_record_without_metadata_does_not_share_an_empty_one(self, store: RunStore) -> None:
        """Empty metadata is made anew for every record."""
        await store.save_run(make_run("a", metadata={}, state={}))
        await store.save_run(make_run("b", metadata={}, state={}))
        run = await store.get_run("a")
        assert run is not None
        cast("dict[str, Any]", run.metadata)["spoiled"] = True
        run.state["spoiled"] = True
        assert_same(await store.get_run("b"), make_run("b", metadata={}, state={}), what="run")

    async def test_changing_the_state_while_it_is_saved(self, store: RunStore) -> None:
        """A record is encoded before the first ``await``: another task's changes come too late, or not at all."""
        for delay in range(6):
            run = make_run(state=_state(), metadata=_metadata())
            saving = asyncio.ensure_future(store.save_run(run))
            # The save has begun when its task has run once.
            await asyncio.sleep(0)
            for _ in range(delay):
                await asyncio.sleep(0)
            _spoil(run.state, run.metadata)
            await self.soon(saving, "saving")
            await self._check_unspoiled(store)

    async def test_changes_at_random_moments(self, store: RunStore) -> None:
        """Records of several saves and reads at once are changed, each at some moment: nothing stored changes."""
        names = ("a", "b", "c")

        async def check(chance: random.Random) -> int:
            async def save(run_id: str) -> None:
                run = make_run(run_id, state=_state(), metadata=_metadata())
                saving = asyncio.ensure_future(store.save_run(run))
                # The save has begun when its task has run once.
                for _ in range(1 + chance.randrange(8)):
                    await asyncio.sleep(0)
                _spoil(run.state, run.metadata)
                await saving

            async def read(run_id: str) -> None:
                for _ in range(chance.randrange(8)):
                    await asyncio.sleep(0)
                got = await store.get_run(run_id)
                found = [*([] if got is None else [got]), *await store.list_runs(RunQuery(id_prefix=run_id))]
                expected = make_run(run_id, state=_state(), metadata=_metadata())
                assert_same(found, [expected] * len(found), what="runs")
                for run in found:
                    _spoil(run.state, run.metadata)

            work = [one(name) for name in names for one in (save, read)]
            chance.shuffle(work)
            await self.soon(asyncio.gather(*work), "saving and reading at once")
            for name in names:
                expected = make_run(name, state=_state(), metadata=_metadata())
                assert_same(await store.get_run(name), expected, what="run")
            return len(work)

        await explore_chances(self, check, counted="interleavings")

    async def test_an_earlier_record_stays_when_the_run_is_saved_again(self, store: RunStore) -> None:
        """What was got before a later save does not change with it."""
        await store.save_run(make_run(state=_state(), metadata=_metadata()))
        before = await store.get_run("run-1")
        await store.save_run(make_run(state="other"))
        await store.delete_run("run-1")
        assert_same(before, make_run(state=_state(), metadata=_metadata()), what="run")
