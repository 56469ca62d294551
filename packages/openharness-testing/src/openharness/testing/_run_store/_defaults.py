"""What has a default built on the four methods: iterating, counting, pruning."""

from __future__ import annotations

import datetime
from typing import TYPE_CHECKING, Any

import pytest

from openharness.core import InvalidValueError, RunQuery, RunStatus
from openharness.testing._kit._same import assert_same
from openharness.testing._run_store._base import RunStoreCase
from openharness.testing._run_store._samples import NOON, as_stored, at, ids, make_run, save_all, save_at_once

if TYPE_CHECKING:
    from openharness.core import RunStore

__all__ = ("CountTests", "IterationTests", "PruneTests")

_MORE_THAN_A_PAGE = 205
"""The default of `RunStore.iter_runs` reads 200 at a time."""


class IterationTests(RunStoreCase):
    """`RunStore.iter_runs`."""

    async def test_iterating_gives_what_listing_gives(self, store: RunStore) -> None:
        """Every record comes once, in the order of the query, with its state."""
        runs = [make_run(f"r{number}", created_at=NOON + number // 2, state={"n": number}) for number in range(7)]
        await save_all(store, *runs)
        for query in (
            None,
            RunQuery(order="oldest"),
            RunQuery(limit=3, offset=2),
            RunQuery(limit=0),
            RunQuery(offset=6),
        ):
            assert_same([run async for run in store.iter_runs(query)], await store.list_runs(query), what=str(query))
        assert_same(await anext(aiter(store.iter_runs())), as_stored(runs[-1]), what="run")

    async def test_iterating_goes_on_over_many_pages(self, store: RunStore) -> None:
        """More runs than any page holds come each once, in order, and offset and limit count over all of them."""
        await save_at_once(store, *(make_run(f"r{number:03}", created_at=NOON) for number in range(_MORE_THAN_A_PAGE)))
        names = [f"r{number:03}" for number in range(_MORE_THAN_A_PAGE)]
        assert [run.id async for run in store.iter_runs(RunQuery(order="oldest"))] == names
        found = [run.id async for run in store.iter_runs(RunQuery(order="oldest", offset=2, limit=202))]
        assert found == names[2:204]

    async def test_the_store_can_be_used_while_iterating(self, store: RunStore) -> None:
        """Between two records, the caller may save, get, list and delete; runs it did not touch are seen exactly once."""
        await save_all(store, *(make_run(f"r{number}", created_at=NOON + number) for number in range(10)))
        seen: list[str] = []
        async with self.promptly("using the store inside an iteration"):
            async for run in store.iter_runs(RunQuery(order="oldest")):
                seen.append(run.id)
                await store.save_run(make_run(f"new-{run.id}", created_at=NOON - 1))
                await store.delete_run(f"new-{run.id}")
                assert await store.get_run(run.id) is not None
                assert len(await store.list_runs(RunQuery(limit=2))) == 2
                assert len(seen) <= 20, "the iteration has no end"
        assert [name for name in seen if name.startswith("r")] == [f"r{number}" for number in range(10)]

    async def test_runs_can_be_deleted_while_iterating(self, store: RunStore) -> None:
        """Deleting each record as it comes deletes all, and skips none."""
        await save_at_once(store, *(make_run(f"r{number:03}") for number in range(_MORE_THAN_A_PAGE)))
        async for run in store.iter_runs():
            await store.delete_run(run.id)
        assert await ids(store) == []

    async def test_an_iteration_that_is_left_holds_nothing(self, store: RunStore) -> None:
        """Leaving an iteration in the middle, closed or not, keeps nobody from writing."""
        await save_all(store, make_run("a"), make_run("b"))
        left = aiter(store.iter_runs())
        await anext(left)
        await self.soon(store.save_run(make_run("c")), "saving while an iteration stands open")
        await self.soon(store.delete_run("a"), "deleting while an iteration stands open")
        assert await ids(store) == ["c", "b"]

    async def test_two_iterations_do_not_disturb_each_other(self, store: RunStore) -> None:
        """Two iterations, step by step in turn, each see every run."""
        await save_all(store, *(make_run(f"r{number}") for number in range(5)))
        names = await ids(store)
        one, two = aiter(store.iter_runs()), aiter(store.iter_runs())
        pairs = [((await anext(one)).id, (await anext(two)).id) for _ in names]
        assert pairs == [(name, name) for name in names]


class CountTests(RunStoreCase):
    """`RunStore.count_runs`."""

    async def test_the_count_is_that_of_the_listing(self, store: RunStore) -> None:
        """Counting counts what listing lists: filters, limit, offset and cursor included."""
        assert await store.count_runs() == 0
        runs = [
            make_run(f"r{number}", created_at=NOON + number // 2, status="failed" if number % 2 else "completed")
            for number in range(9)
        ]
        await save_all(store, *runs)
        cursor = (await store.list_runs(RunQuery(limit=3)))[-1].cursor
        conditions: list[dict[str, Any]] = [
            {},
            {"status": "failed"},
            {"status": []},
            {"created_after": NOON + 1, "created_before": NOON + 3},
            {"limit": 4},
            {"limit": 0},
            {"limit": 99},
            {"offset": 4},
            {"offset": 99},
            {"offset": 7, "limit": 4},
            {"cursor": cursor},
            {"cursor": cursor, "limit": 2, "offset": 1},
            {"id_prefix": "r1"},
            {"include_state": False},
            {"order": "oldest", "limit": 3},
        ]
        for fields in conditions:
            query = RunQuery(**fields)
            assert await store.count_runs(query) == len(await store.list_runs(query)), fields
        assert await store.count_runs(None) == 9


class PruneTests(RunStoreCase):
    """`RunStore.prune_runs`."""

    async def _save_history(self, store: RunStore) -> None:
        """Ten runs, r0 the oldest: every third failed, r7 still running, the others completed."""
        for number in range(10):
            status = "running" if number == 7 else "failed" if number % 3 == 0 else "completed"
            await store.save_run(make_run(f"r{number}", created_at=NOON + number, status=status))

    async def test_older_than(self, store: RunStore) -> None:
        """Runs that began before the time are deleted, and not those that began at it."""
        await self._save_history(store)
        assert await store.prune_runs(older_than=NOON + 3) == 3
        assert await ids(store, order="oldest") == [f"r{number}" for number in range(3, 10)]

    async def test_older_than_takes_a_datetime(self, store: RunStore) -> None:
        """A time of day with a zone means the same as its milliseconds."""
        await self._save_history(store)
        assert await store.prune_runs(older_than=at(NOON + 2)) == 2

    async def test_keep_last(self, store: RunStore) -> None:
        """The newest so many are kept; a run that still goes on is neither counted nor deleted."""
        await self._save_history(store)
        assert await store.prune_runs(keep_last=3) == 6
        assert await ids(store) == ["r9", "r8", "r7", "r6"]

    async def test_keep_last_of_ties(self, store: RunStore) -> None:
        """Among runs of the same millisecond the greater id is the newer one."""
        await save_all(store, *(make_run(name, status="completed") for name in "bac"))
        assert await store.prune_runs(keep_last=1) == 2
        assert await ids(store) == ["c"]

    async def test_keep_last_of_nothing_deletes_all_that_ended(self, store: RunStore) -> None:
        """``keep_last=0`` deletes every run that is not running."""
        await self._save_history(store)
        assert await store.prune_runs(keep_last=0) == 9
        assert await ids(store) == ["r7"]

    async def test_both_conditions_must_hold(self, store: RunStore) -> None:
        """With a time and a number, a run is deleted when it is older and not among the newest."""
        await self._save_history(store)
        assert await store.prune_runs(older_than=NOON + 9, keep_last=8) == 1
        assert await store.prune_runs(older_than=NOON + 2, keep_last=1) == 1
        assert await ids(store, order="oldest") == [f"r{number}" for number in range(2, 10)]

    async def test_by_status(self, store: RunStore) -> None:
        """A status restricts what is deleted and what is counted as kept."""
        await self._save_history(store)
        assert await store.prune_runs(keep_last=1, status="failed") == 3
        assert await ids(store, status="failed") == ["r9"]
        assert await store.prune_runs(older_than=NOON + 6, status=["completed", RunStatus.CANCELLED]) == 4
        assert await ids(store) == ["r9", "r8", "r7"]

    async def test_running_runs_are_deleted_only_when_named(self, store: RunStore) -> None:
        """A run that still goes on is deleted only by ``status="running"``."""
        await self._save_history(store)
        await store.prune_runs(older_than=NOON + 99)
        assert await ids(store) == ["r7"]
        assert await store.prune_runs(older_than=NOON + 99, status="running") == 1
        assert await ids(store) == []

    async def test_a_dry_run_deletes_nothing(self, store: RunStore) -> None:
        """``dry_run`` tells the number that the same call without it deletes."""
        await self._save_history(store)
        before = await ids(store)
        assert await store.prune_runs(keep_last=2, dry_run=True) == 7
        assert await ids(store) == before
        assert await store.prune_runs(keep_last=2) == 7

    async def test_nothing_to_delete_is_zero(self, store: RunStore) -> None:
        """In an empty store, and when everything is kept, nothing is deleted."""
        assert await store.prune_runs(keep_last=0) == 0
        await self._save_history(store)
        assert await store.prune_runs(keep_last=99) == 0
        assert await store.prune_runs(older_than=0) == 0
        assert await store.prune_runs(keep_last=0, status=[]) == 0

    @pytest.mark.parametrize(
        "arguments",
        [
            {},
            {"status": "failed"},
            {"keep_last": -1},
            {"keep_last": True},
            {"keep_last": False},
            {"keep_last": 1.0},
            {"keep_last": 0.0},
            {"keep_last": "1"},
            {"older_than": 1.5},
            {"older_than": True},
            {"older_than": datetime.datetime(2026, 1, 1)},  # noqa: DTZ001 - a time without a zone is what is refused
            {"keep_last": 1, "status": "unknown"},
        ],
        ids=str,
    )
    async def test_bad_arguments_are_refused_and_delete_nothing(
        self, store: RunStore, arguments: dict[str, Any]
    ) -> None:
        """Neither condition, a negative number, a bool, a float or a time without a zone raise InvalidValueError."""
        await self._save_history(store)
        with pytest.raises(InvalidValueError):
            await store.prune_runs(**arguments)
        assert await store.count_runs() == 10
