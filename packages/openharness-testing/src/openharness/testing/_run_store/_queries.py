"""Listing: order, filters, limit, offset, cursor."""

from __future__ import annotations

import datetime
from typing import TYPE_CHECKING, Any

import pytest

from openharness.core import RunQuery, RunStatus
from openharness.testing._kit._same import assert_same
from openharness.testing._run_store._base import RunStoreCase
from openharness.testing._run_store._samples import NOON, as_stored, at, ids, make_run, save_all

if TYPE_CHECKING:
    from openharness.core import RunRecord, RunStore

__all__ = ("MetadataQueryTests", "OrderTests", "PagingTests", "QueryTests")

_TIED = ["\U0001f600", "\uff5e", "\xe9", "z", "b", "a/b", "a", "Z", "B", "1"]
"""Ids in descending order of their UTF-8 bytes; UTF-16, locales and case-blind orders put them otherwise."""


async def _walk(store: RunStore, query: RunQuery) -> list[RunRecord]:
    """All pages, each begun at the cursor of the last record of the one before."""
    found: list[RunRecord] = []
    while page := await store.list_runs(query):
        found += page
        assert len(found) <= 100, "the pages have no end: a cursor does not move on"
        query = query.next_page(page[-1])
    return found


class OrderTests(RunStoreCase):
    """The order of a listing is total and the same in every store."""

    async def test_an_empty_store_lists_nothing(self, store: RunStore) -> None:
        """Without runs there is an empty list, whatever is asked."""
        assert await store.list_runs() == []
        assert await store.list_runs(RunQuery(status="failed", metadata={"a": 1}, order="oldest", offset=3)) == []

    async def test_newest_first_by_default(self, store: RunStore) -> None:
        """Runs are listed by the time they began, newest first, in whatever order they were saved."""
        await save_all(store, *(make_run(f"r{time}", created_at=NOON + time) for time in (2, 0, 3, 1)))
        assert await ids(store) == ["r3", "r2", "r1", "r0"]
        assert [run.id for run in await store.list_runs()] == ["r3", "r2", "r1", "r0"]
        assert [run.id for run in await store.list_runs(None)] == ["r3", "r2", "r1", "r0"]

    async def test_oldest_first_when_asked(self, store: RunStore) -> None:
        """``order="oldest"`` is exactly the reverse."""
        await save_all(store, *(make_run(f"r{time}", created_at=NOON + time) for time in (2, 0, 3, 1)))
        assert await ids(store, order="oldest") == ["r0", "r1", "r2", "r3"]

    async def test_the_order_is_by_begin_not_by_end_or_save(self, store: RunStore) -> None:
        """When a run ended, or was last saved, plays no part in the order."""
        await save_all(store, make_run("a", created_at=NOON, completed_at=NOON + 9), make_run("b", created_at=NOON + 1))
        await store.save_run(make_run("a", created_at=NOON, completed_at=NOON + 99))
        assert await ids(store) == ["b", "a"]

    async def test_ties_are_ordered_by_the_bytes_of_the_id(self, store: RunStore) -> None:
        """Runs of the same millisecond come by id, compared as UTF-8 bytes: descending, or ascending for ``oldest``."""
        await save_all(store, *(make_run(run_id) for run_id in sorted(_TIED, key=hash)))
        assert await ids(store) == _TIED
        assert await ids(store, order="oldest") == _TIED[::-1]

    async def test_times_before_the_epoch_are_older(self, store: RunStore) -> None:
        """Times are numbers, not text: -5 is before -1, and 9 before 10."""
        await save_all(store, *(make_run(f"t{time}", created_at=time) for time in (-1, 10, 9, -5, 0)))
        assert await ids(store, order="oldest") == ["t-5", "t-1", "t0", "t9", "t10"]


class QueryTests(RunStoreCase):
    """Each condition of a query, alone and together."""

    async def test_by_one_status(self, store: RunStore) -> None:
        """A status finds the runs that have it, given as a member or as its word."""
        await save_all(store, *(make_run(status, status=status) for status in RunStatus))
        for status in RunStatus:
            assert await ids(store, status=status) == [status.value]
            assert await ids(store, status=status.value) == [status.value]

    async def test_by_several_statuses(self, store: RunStore) -> None:
        """Several statuses find the runs that have one of them; none at all finds nothing."""
        await save_all(store, *(make_run(status, status=status) for status in RunStatus))
        assert await ids(store, status=["failed", RunStatus.TIMED_OUT]) == ["timed_out", "failed"]
        assert await ids(store, status=set(RunStatus)) == sorted(RunStatus, reverse=True)
        assert await ids(store, status=[]) == []

    async def test_created_after_includes_its_moment(self, store: RunStore) -> None:
        """``created_after`` finds runs that began at that millisecond or later."""
        await save_all(store, *(make_run(f"r{time}", created_at=NOON + time) for time in range(4)))
        assert await ids(store, created_after=NOON + 2) == ["r3", "r2"]
        assert await ids(store, created_after=NOON + 4) == []

    async def test_created_before_excludes_its_moment(self, store: RunStore) -> None:
        """``created_before`` finds runs that began earlier, and not at that millisecond."""
        await save_all(store, *(make_run(f"r{time}", created_at=NOON + time) for time in range(4)))
        assert await ids(store, created_before=NOON + 2) == ["r1", "r0"]
        assert await ids(store, created_before=NOON) == []

    async def test_times_in_a_query_may_be_datetimes(self, store: RunStore) -> None:
        """A time of day with a zone means the same as its milliseconds."""
        await save_all(store, *(make_run(f"r{time}", created_at=NOON + time) for time in range(4)))
        start = at(NOON + 1).astimezone(datetime.timezone(datetime.timedelta(hours=5)))
        found = await ids(store, created_after=start, created_before=start + datetime.timedelta(milliseconds=2))
        assert found == ["r2", "r1"]

    async def test_a_window_of_time_that_is_empty_finds_nothing(self, store: RunStore) -> None:
        """A window that ends where it begins, or before, holds no run."""
        await store.save_run(make_run("a"))
        assert await ids(store, created_after=NOON, created_before=NOON) == []
        assert await ids(store, created_after=NOON + 1, created_before=NOON - 1) == []

    async def test_by_id_prefix(self, store: RunStore) -> None:
        """A prefix finds the ids that begin with it, exactly: case matters, and there are no wildcards."""
        names = ["ab", "ab1", "aB1", "AB", "a%", "a%1", "a_", "a_1", "a*b", "a\\b", "\xe9", "e\u0301", "xab"]
        await save_all(store, *(make_run(name) for name in names))
        for prefix in ["a", "ab", "A", "a%", "a_", "a*", "a\\", "%", "_", "*", "e", "\xe9", "x", "ab11", "b"]:
            wanted = sorted((name for name in names if name.startswith(prefix)), key=str.encode, reverse=True)
            assert await ids(store, id_prefix=prefix) == wanted, f"id_prefix={prefix!r}"

    async def test_conditions_are_joined_by_and(self, store: RunStore) -> None:
        """A run is found when it meets every condition."""
        await save_all(
            store,
            make_run("r-all", status="failed", metadata={"k": 1}, created_at=NOON),
            make_run("r-status", status="running", metadata={"k": 1}, created_at=NOON),
            make_run("r-metadata", status="failed", metadata={"k": 2}, created_at=NOON),
            make_run("r-late", status="failed", metadata={"k": 1}, created_at=NOON + 1),
            make_run("r-early", status="failed", metadata={"k": 1}, created_at=NOON - 1),
            make_run("x-prefix", status="failed", metadata={"k": 1}, created_at=NOON),
        )
        found = await ids(
            store, status="failed", metadata={"k": 1}, created_after=NOON, created_before=NOON + 1, id_prefix="r-"
        )
        assert found == ["r-all"]

    async def test_without_state(self, store: RunStore) -> None:
        """``include_state=False`` changes nothing but the state, in every kind of listing."""
        runs = [make_run(f"r{time}", created_at=NOON + time, state={"n": time}, metadata={"k": 1}) for time in range(3)]
        await save_all(store, *runs)
        query = RunQuery(include_state=False, metadata={"k": 1}, limit=2)
        wanted = [as_stored(run, include_state=False) for run in reversed(runs)]
        assert_same(await store.list_runs(query), wanted[:2], what="runs")
        assert_same([run async for run in store.iter_runs(query)], wanted[:2], what="runs")


class MetadataQueryTests(RunStoreCase):
    """Metadata is compared as JSON: keys as they are, values by kind and value."""

    async def test_every_key_must_match(self, store: RunStore) -> None:
        """Several keys find the runs in which each has that value."""
        await save_all(
            store,
            make_run("both", metadata={"a": 1, "b": "x", "c": None}),
            make_run("one", metadata={"a": 1, "b": "y"}),
            make_run("none", metadata={}),
            make_run("nothing", metadata=None),
        )
        assert await ids(store, metadata={"a": 1, "b": "x"}) == ["both"]
        assert await ids(store, metadata={"a": 1}) == ["one", "both"]
        assert await ids(store, metadata={"z": 1}) == []
        assert sorted(await ids(store, metadata={})) == ["both", "none", "nothing", "one"]

    async def test_a_query_of_very_many_keys_is_answered(self, store: RunStore) -> None:
        """As many keys as a query may have find the run that has them all, and not one that lacks the last."""
        wanted = {f"key-{number}": number for number in range(100)}
        await save_all(store, make_run("all", metadata=wanted), make_run("fewer", metadata={**wanted, "key-99": None}))
        query = RunQuery(metadata=wanted)
        assert [run.id for run in await self.soon(store.list_runs(query), "a query of many keys")] == ["all"]
        assert await self.soon(store.count_runs(query), "counting by many keys") == 1

    @pytest.mark.parametrize(
        "wanted, same",
        [
            (True, ["true"]),
            (False, ["false"]),
            (1, ["one", "one-as-float"]),
            (1.0, ["one", "one-as-float"]),
            (0, ["minus-zero", "zero"]),
            (-0.0, ["minus-zero", "zero"]),
            (None, ["none"]),
            ("1", ["text-1"]),
            ("true", ["text-true"]),
            ("null", ["text-null"]),
            ("", ["empty"]),
            (1.5, ["half"]),
            (2**63 - 1, ["large"]),
            (2**63 - 2, []),
            ("\xe9", ["composed"]),
            ("e\u0301", ["decomposed"]),
            ("\ufffd", []),
            ("A", []),
            ("a", ["lower"]),
            ("[1]", []),
        ],
        ids=repr,
    )
    async def test_values_are_equal_when_they_are_the_same_json(self, store: RunStore, wanted: Any, same: Any) -> None:
        """``True`` is not 1 and not "true", 1 is 1.0, None is a value and not an absence, text is compared exactly."""
        values: dict[str, Any] = {
            "true": True,
            "false": False,
            "one": 1,
            "one-as-float": 1.0,
            "zero": 0,
            "minus-zero": -0.0,
            "none": None,
            "text-1": "1",
            "text-true": "true",
            "text-null": "null",
            "empty": "",
            "half": 1.5,
            "large": 2**63 - 1,
            "composed": "\xe9",
            "decomposed": "e\u0301",
            "lower": "a",
            "list": [1],
            "dict": {"k": 1},
        }
        await save_all(store, *(make_run(name, metadata={"k": value}) for name, value in values.items()))
        await save_all(store, make_run("absent", metadata={"other": wanted}), make_run("no-metadata"))
        assert await ids(store, metadata={"k": wanted}, order="oldest") == same

    async def test_values_inside_lists_and_dicts_are_not_found(self, store: RunStore) -> None:
        """Only the values of the top level are compared, and keys are no paths."""
        await store.save_run(make_run("nested", metadata={"a": {"b": 1}, "c": [1], "d": "e"}))
        for metadata in ({"b": 1}, {"a.b": 1}, {"c[0]": 1}, {"c": 1}, {"$.a.b": 1}, {"0": 1}):
            assert await ids(store, metadata=metadata) == [], metadata
        assert await ids(store, metadata={"d": "e"}) == ["nested"]


class PagingTests(RunStoreCase):
    """Limit, offset and cursor."""

    async def _save_nine(self, store: RunStore) -> list[str]:
        """Nine runs in three ties; the ids, newest first."""
        runs = [make_run(f"{name}{time}", created_at=NOON + time) for time in range(3) for name in "bac"]
        await save_all(store, *runs)
        return [f"{name}{time}" for time in (2, 1, 0) for name in "cba"]

    async def test_limit(self, store: RunStore) -> None:
        """A limit takes the first so many; 0 takes none, and more than there are takes all."""
        names = await self._save_nine(store)
        assert await ids(store, limit=4) == names[:4]
        assert await ids(store, limit=0) == []
        assert await ids(store, limit=9) == names
        assert await ids(store, limit=2**63 - 1) == names
        assert await ids(store, limit=None) == names

    async def test_offset(self, store: RunStore) -> None:
        """An offset skips the first so many, with a limit and without one."""
        names = await self._save_nine(store)
        assert await ids(store, offset=0) == names
        assert await ids(store, offset=7) == names[7:]
        assert await ids(store, offset=9) == []
        assert await ids(store, offset=2**63 - 1) == []
        assert await ids(store, offset=2, limit=3) == names[2:5]
        assert await ids(store, offset=8, limit=3) == names[8:]
        assert await ids(store, offset=2, limit=0) == []

    async def test_limit_and_offset_count_what_matches(self, store: RunStore) -> None:
        """Runs that do not match are not counted by limit and offset."""
        runs = [make_run(f"r{time}", created_at=NOON + time, metadata={"odd": time % 2 == 1}) for time in range(8)]
        await save_all(store, *runs)
        assert await ids(store, metadata={"odd": True}, offset=1, limit=2) == ["r5", "r3"]

    @pytest.mark.parametrize("order", ["newest", "oldest"])
    @pytest.mark.parametrize("size", [1, 2, 3, 4, 9, 10])
    async def test_pages_by_cursor_have_each_run_once(self, store: RunStore, size: int, order: Any) -> None:
        """Following the cursors gives every run once, in order, whatever the page size and across ties."""
        names = await self._save_nine(store)
        wanted = names if order == "newest" else names[::-1]
        found = await _walk(store, RunQuery(limit=size, order=order))
        assert [run.id for run in found] == wanted

    async def test_ties_of_all_kinds_of_ids_are_paged(self, store: RunStore) -> None:
        """The cursor compares ids as the order does, by their UTF-8 bytes."""
        await save_all(store, *(make_run(run_id) for run_id in _TIED))
        assert [run.id for run in await _walk(store, RunQuery(limit=3))] == _TIED
        assert [run.id for run in await _walk(store, RunQuery(limit=3, order="oldest"))] == _TIED[::-1]

    async def test_a_cursor_works_with_every_filter(self, store: RunStore) -> None:
        """The pages of a query hold what the query without pages holds."""
        runs = [
            make_run(f"r{number}", created_at=NOON + number // 3, metadata={"n": number % 2}, status="failed")
            for number in range(12)
        ]
        await save_all(store, *runs, make_run("other", created_at=NOON + 1))
        conditions: dict[str, Any] = {
            "metadata": {"n": 1},
            "status": "failed",
            "created_after": NOON + 1,
            "id_prefix": "r",
        }
        wanted = await ids(store, **conditions)
        assert len(wanted) == 5
        assert [run.id for run in await _walk(store, RunQuery(limit=2, **conditions))] == wanted

    async def test_first_the_cursor_then_the_offset_then_the_limit(self, store: RunStore) -> None:
        """With all three, the cursor says where to begin, the offset skips from there, the limit counts last."""
        names = await self._save_nine(store)
        start = (await store.list_runs(RunQuery(limit=2)))[-1].cursor
        assert await ids(store, cursor=start) == names[2:]
        assert await ids(store, cursor=start, offset=3, limit=2) == names[5:7]
        assert await ids(store, cursor=start, offset=7) == []
        assert await ids(store, cursor=start, limit=0) == []

    async def test_a_cursor_outlives_its_record(self, store: RunStore) -> None:
        """A cursor is a place in the order: it holds when its record is deleted, and sees runs that came later."""
        names = await self._save_nine(store)
        last = (await store.list_runs(RunQuery(limit=4)))[-1]
        await store.delete_run(last.id)
        await store.save_run(make_run("new", created_at=NOON + 9))
        await store.save_run(make_run("a00", created_at=NOON))
        assert await ids(store, cursor=last.cursor) == [*names[4:8], "a00", "a0"]

    async def test_a_cursor_of_the_last_record_ends_the_pages(self, store: RunStore) -> None:
        """After the last record there is an empty page."""
        await self._save_nine(store)
        last = (await store.list_runs())[-1]
        assert await ids(store, cursor=last.cursor) == []

    async def test_a_cursor_of_the_other_order_begins_at_the_same_record(self, store: RunStore) -> None:
        """A record's cursor says where it stands, in either order."""
        names = await self._save_nine(store)
        fourth = (await store.list_runs(RunQuery(limit=4)))[-1]
        assert await ids(store, cursor=fourth.cursor, order="oldest") == names[:3][::-1]
