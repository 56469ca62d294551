"""What is known about recordings: their info, how they are found, fixture names, checkpoints."""

from __future__ import annotations

import asyncio
import datetime
import enum
from typing import TYPE_CHECKING, Any

import pytest

from openharness.core import (
    Checkpoint,
    InvalidValueError,
    RecordingConflictError,
    RecordingInfo,
    RecordingQuery,
    SerializationError,
    now_ms,
)
from openharness.testing._kit._same import assert_same
from openharness.testing._signal_store._base import SignalStoreCase
from openharness.testing._signal_store._samples import found_ids, load, make_signal, make_signals, record
from openharness.testing.corpus import HOSTILE_IDS, REFUSED_IDS

if TYPE_CHECKING:
    from openharness.core import SignalStore

__all__ = ("CheckpointTests", "FixtureTests", "InfoTests", "ListingTests")


class _Word(enum.StrEnum):
    WORD = "word"


class InfoTests(SignalStoreCase):
    """`RecordingInfo`: the same wherever it is read."""

    async def test_what_was_given_comes_back(self, store: SignalStore) -> None:
        """Run, name, tags in their order, metadata and origin come back as they were given."""
        origin = await record(store)
        before = now_ms()
        metadata: dict[str, Any] = {"z": 1, "a": [1.0, None, {"k": "\xe9"}]}
        recording_id = await record(
            store, run_id="run/7", name="my fixture", tags=["z", "a", "\xe9"], metadata=metadata, resumed_from=origin
        )
        info = (await load(store, recording_id)).info
        assert before <= info.created_at <= now_ms()
        expected = RecordingInfo(
            id=recording_id,
            run_id="run/7",
            name="my fixture",
            created_at=info.created_at,
            tags=("z", "a", "\xe9"),
            metadata=metadata,
            resumed_from=origin,
        )
        assert_same(info, expected, what="info")
        assert_same(await store.list_recordings(RecordingQuery(run_id="run/7")), [expected], what="infos")

    async def test_what_was_not_given_is_empty(self, store: SignalStore) -> None:
        """Without name, tags, metadata and origin, these are None and empty."""
        recording_id = await record(store)
        info = (await load(store, recording_id)).info
        assert_same(info, RecordingInfo(id=recording_id, run_id="run-1", created_at=info.created_at), what="info")

    async def test_signals_and_providers_are_counted(self, store: SignalStore) -> None:
        """``signal_count`` and ``provider_types`` follow the log, the types each once and sorted."""
        recording_id = await record(store, make_signal(0), make_signal(1, provider="openai"))
        await store.append(recording_id, [make_signal(2, provider="claude"), make_signal(3, provider="openai")])
        await store.append(recording_id, [make_signal(3, provider="openai"), make_signal(4)])
        info = (await load(store, recording_id)).info
        assert (info.signal_count, info.provider_types) == (5, ("claude", "openai"))
        await store.finalize(recording_id, outcome="completed", duration_ms=0)
        info = (await load(store, recording_id)).info
        assert (info.signal_count, info.provider_types, info.duration_ms) == (5, ("claude", "openai"), 0)

    async def test_all_ways_to_an_info_agree(self, store: SignalStore) -> None:
        """Loading, listing and finding give the same info, before and after the end."""
        recording_id = await record(store, *make_signals(2), name="fixture", tags=["t"], metadata={"k": 1})
        await store.publish(recording_id, "fixture")
        for outcome in ("incomplete", "failed"):
            if outcome != "incomplete":
                await store.finalize(recording_id, outcome=outcome, duration_ms=3)
            info = (await load(store, recording_id)).info
            assert info.outcome == outcome
            assert_same(await store.list_recordings(), [info], what="infos")
            assert_same(await store.find_recording("fixture"), info, what="info")
            assert_same(await store.get_recording_info(recording_id), info, what="info")

    async def test_the_info_of_no_recording_is_none(self, store: SignalStore) -> None:
        """`get_recording_info` gives None for an id that is not there, and refuses what could be none."""
        await record(store)
        assert await store.get_recording_info("rec_none") is None
        with pytest.raises(InvalidValueError):
            await store.get_recording_info("")

    @pytest.mark.parametrize("run_id", HOSTILE_IDS, ids=ascii)
    async def test_run_ids_and_names_mean_nothing(self, store: SignalStore, run_id: str) -> None:
        """Ids and names that look like paths or SQL are kept, and found, exactly as they are."""
        await record(store, run_id="other", name="other")
        recording_id = await record(store, run_id=run_id, name=run_id, tags=[run_id])
        await store.publish(recording_id, run_id)
        assert await found_ids(store, run_id=run_id, name=run_id, tags=run_id) == [recording_id]
        info = await store.find_recording(run_id)
        assert info is not None
        assert (info.id, info.run_id, info.name, info.tags) == (recording_id, run_id, run_id, (run_id,))

    @pytest.mark.parametrize("value", [value for value in REFUSED_IDS if value is not None], ids=ascii)
    async def test_what_can_be_no_id_or_name_is_refused(self, store: SignalStore, value: Any) -> None:
        """Creating, publishing, finding and marking with one raise InvalidValueError, and nothing is made."""
        recording_id = await record(store, make_signal(0))
        for call in (
            store.create_recording(run_id=value),
            store.create_recording(run_id="run-1", name=value),
            store.create_recording(run_id="run-1", resumed_from=value),
            store.publish(recording_id, value),
            store.find_recording(value),
            store.add_checkpoint(recording_id, value, 0),
        ):
            with pytest.raises(InvalidValueError):
                await call
        assert await found_ids(store) == [recording_id]

    async def test_names_of_another_class_are_plain_text(self, store: SignalStore) -> None:
        """The members of a StrEnum may name recordings, fixtures and checkpoints; what comes back is plain text."""
        word = _Word.WORD
        recording_id = await record(store, make_signal(0), name=word, tags=[word])
        await store.add_checkpoint(recording_id, word, 0)
        await store.publish(recording_id, word)
        recording = await load(store, recording_id)
        (fixture,) = await store.list_fixtures()
        texts = [recording.info.name, *recording.info.tags, *(one.name for one in recording.checkpoints), fixture]
        assert texts == ["word"] * 4
        assert {type(text) for text in texts} == {str}

    async def test_metadata_that_cannot_be_stored_is_refused(self, store: SignalStore) -> None:
        """Metadata with NaN raises SerializationError with the path, and no recording is made."""
        with pytest.raises(SerializationError) as caught:
            await store.create_recording(run_id="run-1", metadata={"a": [1, float("nan")]})
        assert caught.value.path == "metadata.a[1]"
        assert await found_ids(store) == []


class ListingTests(SignalStoreCase):
    """`SignalStore.list_recordings`."""

    async def test_an_empty_store_lists_nothing(self, store: SignalStore) -> None:
        """Without recordings there is an empty list, and no fixture."""
        assert await store.list_recordings() == []
        assert await store.list_recordings(RecordingQuery(run_id="x", tags=["y"], outcome="failed")) == []
        assert await store.list_fixtures() == []
        assert await store.find_recording("fixture") is None

    async def test_newest_first(self, store: SignalStore) -> None:
        """Recordings come by the time they were created, newest first, then by id, descending."""
        made: list[str] = []
        for _ in range(3):
            made += [await record(store) for _ in range(3)]
            await asyncio.sleep(0.003)
        infos = await store.list_recordings()
        assert sorted(made) == sorted(info.id for info in infos)
        order = [(info.created_at, info.id.encode()) for info in infos]
        assert order == sorted(order, reverse=True)
        assert {info.id for info in infos[:3]} == set(made[6:])
        assert {info.id for info in infos[6:]} == set(made[:3])

    async def test_each_condition(self, store: SignalStore) -> None:
        """Run, fixture, tags and outcome each find the recordings that meet them, exactly."""
        one = await record(store, run_id="run-1", name="a", tags=["x", "y"])
        two = await record(store, run_id="run-1", name="b", tags=["x"])
        three = await record(store, run_id="run-10", name="A")
        await store.finalize(one, outcome="completed")
        await store.finalize(two, outcome="failed")
        expected: list[tuple[dict[str, Any], set[str]]] = [
            ({}, {one, two, three}),
            ({"run_id": "run-1"}, {one, two}),
            ({"run_id": "run"}, set()),
            ({"name": "a"}, {one}),
            ({"name": "A"}, {three}),
            ({"name": "%"}, set()),
            ({"tags": "x"}, {one, two}),
            ({"tags": ["y", "x"]}, {one}),
            ({"tags": ["x", "z"]}, set()),
            ({"tags": "X"}, set()),
            ({"outcome": "completed"}, {one}),
            ({"outcome": "incomplete"}, {three}),
            ({"outcome": ["failed", "incomplete"]}, {two, three}),
            ({"outcome": []}, set()),
            ({"run_id": "run-1", "tags": ["x"], "outcome": "failed", "name": "b"}, {two}),
            ({"run_id": "run-10", "tags": ["x"]}, set()),
        ]
        for conditions, wanted in expected:
            assert set(await found_ids(store, **conditions)) == wanted, conditions

    async def test_limit_and_offset(self, store: SignalStore) -> None:
        """They count what matches: 0 gives nothing, and beyond the end there is nothing."""
        for _ in range(5):
            await record(store, tags=["t"])
            await record(store)
        names = await found_ids(store, tags="t")
        assert len(names) == 5
        assert await found_ids(store, tags="t", limit=2) == names[:2]
        assert await found_ids(store, tags="t", limit=0) == []
        assert await found_ids(store, tags="t", limit=99) == names
        assert await found_ids(store, tags="t", offset=3) == names[3:]
        assert await found_ids(store, tags="t", offset=1, limit=2) == names[1:3]
        assert await found_ids(store, tags="t", offset=99) == []

    async def test_by_time(self, store: SignalStore) -> None:
        """``created_after`` includes its moment, ``created_before`` excludes it, and datetimes mean the same."""
        times = await _record_apart(store, 3)
        names = sorted(times, key=times.__getitem__)
        middle = times[names[1]]
        moment = datetime.datetime.fromtimestamp(middle / 1000, datetime.UTC)
        for boundary in (middle, moment):
            assert set(await found_ids(store, created_after=boundary)) == set(names[1:])
            assert set(await found_ids(store, created_before=boundary)) == {names[0]}
        assert await found_ids(store, created_after=middle, created_before=middle) == []
        assert await found_ids(store, created_after=middle, created_before=middle + 1) == [names[1]]

    async def test_oldest_first(self, store: SignalStore) -> None:
        """``order="oldest"`` is exactly the reverse."""
        for _ in range(4):
            await record(store)
        await _record_apart(store, 2)
        assert await found_ids(store, order="oldest") == (await found_ids(store))[::-1]

    @pytest.mark.parametrize(
        "wanted, same",
        [
            ({"k": True}, ["true"]),
            ({"k": 1}, ["one", "one-as-float"]),
            ({"k": 1.0}, ["one", "one-as-float"]),
            ({"k": 0}, ["minus-zero"]),
            ({"k": None}, ["none"]),
            ({"k": "1"}, ["text"]),
            ({"k": "\xe9"}, ["accent"]),
            ({"k": 2**63 - 1}, ["large"]),
            ({"k": 2**63 - 2}, []),
            ({"k": "[1]"}, []),
            ({"a.b": 1}, ["dotted"]),
            ({"b": 1}, []),
            ({"k": 1, "other": "x"}, ["one-as-float"]),
            ({"k": 1, "other": None}, []),
            ({"k' OR '1'='1": 1}, []),
            ({}, "all"),
        ],
        ids=repr,
    )
    async def test_by_metadata(self, store: SignalStore, wanted: Any, same: Any) -> None:
        """Values at the top level are compared as JSON, keys as they are, and every key must match."""
        values: dict[str, Any] = {
            "true": {"k": True},
            "one": {"k": 1},
            "one-as-float": {"k": 1.0, "other": "x"},
            "minus-zero": {"k": -0.0},
            "none": {"k": None},
            "text": {"k": "1"},
            "accent": {"k": "\xe9"},
            "large": {"k": 2**63 - 1},
            "list": {"k": [1]},
            "dict": {"k": {"b": 1}},
            "dotted": {"a.b": 1, "a": {"b": 2}},
        }
        made = {await record(store, metadata=metadata): name for name, metadata in values.items()}
        made[await record(store)] = "no-metadata"
        found = sorted(made[recording_id] for recording_id in await found_ids(store, metadata=wanted))
        assert found == sorted(made.values() if same == "all" else same)

    async def test_a_query_of_very_many_keys_and_tags_is_answered(self, store: SignalStore) -> None:
        """As many keys and tags as a query may have find the recording that has them all, and not one that lacks one."""
        metadata = {f"key-{number}": number for number in range(100)}
        tags = [f"tag-{number}" for number in range(100)]
        all_of_them = await record(store, metadata=metadata, tags=tags)
        await record(store, metadata={**metadata, "key-99": None}, tags=tags)
        await record(store, metadata=metadata, tags=tags[:-1])
        async with self.promptly("a query of many keys and tags"):
            assert await found_ids(store, metadata=metadata, tags=tags) == [all_of_them]
            assert await store.count_recordings(RecordingQuery(metadata=metadata, tags=tags)) == 1

    @pytest.mark.parametrize("order", ["newest", "oldest"])
    @pytest.mark.parametrize("size", [1, 2, 3, 7])
    async def test_pages_by_cursor_have_each_recording_once(self, store: SignalStore, size: int, order: Any) -> None:
        """Following the cursors gives every recording that matches once, in order, also those of one millisecond."""
        for number in range(7):
            await record(store, tags=["t"] if number % 3 else [], metadata={"n": number % 2})
        several: list[dict[str, Any]] = [{}, {"tags": "t"}, {"metadata": {"n": 1}}]
        for conditions in several:
            wanted = await found_ids(store, order=order, **conditions)
            found: list[RecordingInfo] = []
            query = RecordingQuery(limit=size, order=order, **conditions)
            while page := await store.list_recordings(query):
                found += page
                assert len(found) <= len(wanted), "the pages have no end"
                query = query.next_page(page[-1])
            assert [info.id for info in found] == wanted, conditions

    async def test_first_the_cursor_then_the_offset_then_the_limit(self, store: SignalStore) -> None:
        """With all three, the cursor says where to begin, the offset skips from there, the limit counts last."""
        for _ in range(6):
            await record(store)
        names = await found_ids(store)
        start = (await store.list_recordings(RecordingQuery(limit=2)))[-1].cursor
        assert await found_ids(store, cursor=start) == names[2:]
        assert await found_ids(store, cursor=start, offset=1, limit=2) == names[3:5]
        await store.delete_recording(names[1])
        assert await found_ids(store, cursor=start, limit=1) == names[2:3]
        assert await found_ids(store, cursor=start, order="oldest") == names[:1]

    async def test_iterating_and_counting_give_what_listing_gives(self, store: SignalStore) -> None:
        """`iter_recordings` and `count_recordings` agree with the listing, whatever the query, over many pages, too."""
        for number in range(7):
            await record(store, tags=["odd"] if number % 2 else [], metadata={"n": number})
        cursor = (await store.list_recordings(RecordingQuery(limit=3)))[-1].cursor
        conditions: list[dict[str, Any]] = [
            {},
            {"tags": "odd"},
            {"metadata": {"n": 3}},
            {"outcome": "incomplete"},
            {"outcome": []},
            {"limit": 2},
            {"limit": 0},
            {"offset": 5, "limit": 4},
            {"cursor": cursor},
            {"cursor": cursor, "limit": 2, "offset": 1, "order": "oldest"},
        ]
        for fields in conditions:
            query = RecordingQuery(**fields)
            listed = await store.list_recordings(query)
            assert_same([info async for info in store.iter_recordings(query)], listed, what=str(fields))
            assert await store.count_recordings(query) == len(listed), fields
        assert await store.count_recordings() == 7


async def _record_apart(store: SignalStore, count: int) -> dict[str, int]:
    """Make recordings of different milliseconds; return when each was made."""
    made: dict[str, int] = {}
    for _ in range(count):
        await asyncio.sleep(0.003)
        recording_id = await record(store)
        made[recording_id] = (await load(store, recording_id)).info.created_at
    return made


class FixtureTests(SignalStoreCase):
    """`SignalStore.publish` and what a fixture name means."""

    async def test_a_name_means_nothing_before_it_is_published(self, store: SignalStore) -> None:
        """A recording made for a fixture is not found by its name until it is published."""
        recording_id = await record(store, *make_signals(1), name="fixture")
        assert await store.find_recording("fixture") is None
        assert await store.list_fixtures() == []
        await store.finalize(recording_id, outcome="completed")
        assert await store.find_recording("fixture") is None
        await store.publish(recording_id, "fixture")
        found = await store.find_recording("fixture")
        assert found is not None
        assert found.id == recording_id

    async def test_the_last_one_published_wins(self, store: SignalStore) -> None:
        """Publishing replaces what the name meant; the recording before stays in the store."""
        one, two = await record(store, name="fixture"), await record(store, *make_signals(1), name="fixture")
        for recording_id in (one, two, one, one):
            await store.publish(recording_id, "fixture")
            found = await store.find_recording("fixture")
            assert found is not None
            assert found.id == recording_id
        assert {info.id for info in await store.list_recordings(RecordingQuery(name="fixture"))} == {one, two}
        assert_same(list((await load(store, two)).signals), make_signals(1), what="signals")
        assert await store.list_fixtures() == ["fixture"]

    async def test_recording_anew_leaves_what_is_published(self, store: SignalStore) -> None:
        """A new recording for the same name changes nothing until it is published."""
        one = await record(store, *make_signals(2), name="fixture")
        await store.publish(one, "fixture")
        two = await record(store, *make_signals(1), name="fixture")
        await store.finalize(two, outcome="failed")
        found = await store.find_recording("fixture")
        assert found is not None
        assert (found.id, found.signal_count) == (one, 2)

    async def test_deleting_another_recording_of_the_name_leaves_it(self, store: SignalStore) -> None:
        """Only deleting the published recording takes the meaning from its name."""
        one, two = await record(store, name="fixture"), await record(store, name="fixture")
        await store.publish(one, "fixture")
        await store.publish(two, "fixture")
        await store.delete_recording(one)
        found = await store.find_recording("fixture")
        assert found is not None
        assert found.id == two
        await store.delete_recording(two)
        assert await store.find_recording("fixture") is None

    async def test_names_are_exact(self, store: SignalStore) -> None:
        """Names that differ in case, in encoding or in a space are different fixtures."""
        names = ["a", "A", "a ", "a/b", "a%", "\xe9", "e\u0301", "a_", "ab"]
        made = {name: await record(store, name=name) for name in names}
        for name, recording_id in made.items():
            await store.publish(recording_id, name)
        for name, recording_id in made.items():
            found = await store.find_recording(name)
            assert found is not None, name
            assert found.id == recording_id, name
        assert await store.list_fixtures() == sorted(names)

    async def test_a_recording_may_be_published_under_other_names(self, store: SignalStore) -> None:
        """Under a name it was not made for, and under several: each means it, and all of them are listed."""
        named, nameless = await record(store, *make_signals(1), name="made-for"), await record(store)
        await store.publish(named, "other")
        await store.publish(nameless, "nameless")
        assert await store.list_fixtures() == ["nameless", "other"]
        assert await store.find_recording("made-for") is None
        await store.publish(named, "third")
        assert await store.list_fixtures() == ["nameless", "other", "third"]
        for name, recording_id in (("other", named), ("third", named), ("nameless", nameless)):
            found = await store.find_recording(name)
            assert found is not None
            assert found.id == recording_id
        await store.delete_recording(named)
        assert await store.list_fixtures() == ["nameless"]

    async def test_an_unfinished_recording_may_be_published_and_go_on(self, store: SignalStore) -> None:
        """Publishing closes nothing: the recording takes entries as before."""
        recording_id = await record(store, make_signal(0), name="fixture")
        await store.publish(recording_id, "fixture")
        await store.append(recording_id, [make_signal(1)])
        found = await store.find_recording("fixture")
        assert found is not None
        assert found.signal_count == 2


class CheckpointTests(SignalStoreCase):
    """`SignalStore.add_checkpoint`."""

    async def test_they_come_by_position_then_name(self, store: SignalStore) -> None:
        """Checkpoints come back by position, those of one position by name, whatever the order they were added in."""
        recording_id = await record(store, *make_signals(4))
        for name, seq in [("z", 1), ("end", 3), ("b", 0), ("a", 1), ("\xe9", 0)]:
            await store.add_checkpoint(recording_id, name, seq)
        expected = [("b", 0), ("\xe9", 0), ("a", 1), ("z", 1), ("end", 3)]
        recording = await load(store, recording_id)
        assert_same(list(recording.checkpoints), [Checkpoint(name, seq) for name, seq in expected], what="checkpoints")

    async def test_the_same_again_is_no_error(self, store: SignalStore) -> None:
        """The same name at the same position changes nothing."""
        recording_id = await record(store, *make_signals(2))
        for _ in range(2):
            await store.add_checkpoint(recording_id, "here", 1)
        assert_same(list((await load(store, recording_id)).checkpoints), [Checkpoint("here", 1)], what="checkpoints")

    @pytest.mark.parametrize("seq", [0, 2, 99, -1])
    async def test_another_position_is_a_conflict(self, store: SignalStore, seq: int) -> None:
        """A name that stands elsewhere, or a position without a signal, raises RecordingConflictError."""
        recording_id = await record(store, *make_signals(2))
        await store.add_checkpoint(recording_id, "here", 1)
        for name in ("here",) if seq == 0 else ("here", "new"):
            with pytest.raises((RecordingConflictError, InvalidValueError) if seq < 0 else RecordingConflictError):
                await store.add_checkpoint(recording_id, name, seq)
        assert_same(list((await load(store, recording_id)).checkpoints), [Checkpoint("here", 1)], what="checkpoints")

    async def test_finalized_recordings_take_them(self, store: SignalStore) -> None:
        """A checkpoint can be added after the end, and while a recording is written."""
        recording_id = await record(store, *make_signals(2))
        await store.add_checkpoint(recording_id, "before", 0)
        await store.append(recording_id, make_signals(1, start=2))
        await store.finalize(recording_id, outcome="completed")
        await store.add_checkpoint(recording_id, "after", 2)
        recording = await load(store, recording_id)
        expected = [Checkpoint("before", 0), Checkpoint("after", 2)]
        assert_same(list(recording.checkpoints), expected, what="checkpoints")
        assert recording.info.outcome == "completed"

    async def test_they_belong_to_their_recording(self, store: SignalStore) -> None:
        """The same name may stand for another position in another recording."""
        one, two = await record(store, *make_signals(2)), await record(store, *make_signals(2))
        await store.add_checkpoint(one, "here", 0)
        await store.add_checkpoint(two, "here", 1)
        assert_same(list((await load(store, one)).checkpoints), [Checkpoint("here", 0)], what="checkpoints")
        assert_same(list((await load(store, two)).checkpoints), [Checkpoint("here", 1)], what="checkpoints")
