"""Signals that followed each other are found in every recording that has them."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import strategies as st

from openharness.core import PatternError, RecordingQuery
from openharness.core.patterns import compile_pattern
from openharness.testing._kit._explore import explore
from openharness.testing._kit._same import assert_same
from openharness.testing._signal_store._base import SignalStoreCase
from openharness.testing._signal_store._samples import make_signal, record

if TYPE_CHECKING:
    from collections.abc import Sequence

    from openharness.core import RecordingMatch, SignalStore

__all__ = ("SearchTests",)

_NAMES = ["tool:call", "tool:result", "tool", "agent:error", "agent:error:late", "text:delta", "TOOL:call", "\xe9:x"]
_PATTERNS = ["tool:*", "tool:**", "**:error", "agent:error", "*", "**", "text:*", "\xe9:*", "none:*"]


async def _log(store: SignalStore, *names: str, **about: Any) -> str:
    """Record signals of these names."""
    return await record(store, *(make_signal(seq, name=name) for seq, name in enumerate(names)), **about)


async def _found(store: SignalStore, patterns: Any, **conditions: Any) -> dict[str, tuple[int, ...]]:
    """Return where the patterns were found, by recording."""
    matches = await store.search_recordings(patterns, RecordingQuery(**conditions))
    return {match.info.id: match.seqs for match in matches}


class SearchTests(SignalStoreCase):
    """`SignalStore.search_recordings`."""

    async def test_signals_that_followed_each_other(self, store: SignalStore) -> None:
        """A recording is found when the patterns match in their order, whatever comes between; seqs are the first such."""
        found = await _log(store, "a:b", "tool:call", "tool:result", "text:delta", "agent:error", "agent:error")
        await _log(store, "agent:error", "tool:call")
        await _log(store, "tool:call", "tool:result")
        await _log(store, "agent:error")
        await _log(store)
        assert await _found(store, ["tool:*", "agent:error"]) == {found: (1, 4)}
        assert await _found(store, ["tool:*", "tool:*", "agent:*", "agent:*"]) == {found: (1, 2, 4, 5)}
        assert await _found(store, ["agent:error", "agent:error", "agent:error"]) == {}
        assert await _found(store, ["tool:call", "none", "agent:error"]) == {}

    async def test_one_signal_stands_for_one_pattern(self, store: SignalStore) -> None:
        """What two patterns match needs two signals."""
        await _log(store, "tool:call")
        two = await _log(store, "tool:call", "tool:call")
        assert await _found(store, ["tool:*", "tool:call"]) == {two: (0, 1)}

    async def test_one_pattern_and_none(self, store: SignalStore) -> None:
        """One pattern finds the first signal of its kind; without patterns every recording matches, at no place."""
        one = await _log(store, "text:delta", "agent:error", "agent:error")
        two = await _log(store)
        assert await _found(store, "agent:*") == {one: (1,)}
        assert await _found(store, re.compile("agent:(error|end)")) == {one: (1,)}
        assert await _found(store, []) == {one: (), two: ()}

    async def test_a_signal_that_comes_later_is_found(self, store: SignalStore) -> None:
        """What is appended is found at once, and what is deleted is not found any more."""
        recording_id = await _log(store, "tool:call")
        assert await _found(store, ["tool:*", "agent:error"]) == {}
        await store.append(recording_id, [make_signal(1, name="agent:error")])
        assert await _found(store, ["tool:*", "agent:error"]) == {recording_id: (0, 1)}
        await store.finalize(recording_id, outcome="failed")
        assert await _found(store, ["tool:*", "agent:error"], outcome="failed") == {recording_id: (0, 1)}
        await store.delete_recording(recording_id)
        assert await _found(store, ["tool:*", "agent:error"]) == {}

    async def test_the_conditions_of_a_query_hold(self, store: SignalStore) -> None:
        """Run, fixture, tags, metadata and outcome restrict what is searched."""
        names = ["tool:call", "agent:error"]
        one = await _log(store, *names, run_id="one", name="f", tags=["x"], metadata={"k": 1})
        two = await _log(store, *names, run_id="two", tags=["x", "y"], metadata={"k": 2})
        await _log(store, "tool:call", run_id="one", tags=["x"], metadata={"k": 1})
        await store.finalize(two, outcome="failed")
        expected: list[tuple[dict[str, Any], set[str]]] = [
            ({}, {one, two}),
            ({"run_id": "one"}, {one}),
            ({"name": "f"}, {one}),
            ({"tags": "y"}, {two}),
            ({"metadata": {"k": 2}}, {two}),
            ({"outcome": "failed"}, {two}),
            ({"run_id": "one", "outcome": "failed"}, set()),
        ]
        for conditions, wanted in expected:
            assert set(await _found(store, ["tool:*", "agent:*"], **conditions)) == wanted, conditions

    @pytest.mark.parametrize("order", ["newest", "oldest"])
    async def test_pages_of_matches(self, store: SignalStore, order: Any) -> None:
        """Limit and offset count matches, and the cursor of a match begins the page after it."""
        for number in range(9):
            await _log(store, "tool:call", "agent:error" if number % 2 else "agent:end")
        patterns = ["tool:call", "agent:error"]
        whole = await store.search_recordings(patterns, RecordingQuery(order=order))
        listed = [info.id for info in await store.list_recordings(RecordingQuery(order=order))]
        wanted = {match.info.id for match in whole}
        assert len(whole) == 4
        assert [match.info.id for match in whole] == [name for name in listed if name in wanted]
        paged: list[RecordingMatch] = []
        query = RecordingQuery(order=order, limit=3)
        while page := await store.search_recordings(patterns, query):
            paged += page
            assert len(paged) <= 4, "the pages have no end"
            query = query.next_page(page[-1].info)
        assert_same(paged, whole, what="matches")
        assert await store.search_recordings(patterns, RecordingQuery(order=order, offset=1, limit=2)) == whole[1:3]
        assert await store.search_recordings(patterns, RecordingQuery(limit=0)) == []

    async def test_the_info_is_that_of_the_listing(self, store: SignalStore) -> None:
        """What comes with a match is what listing gives."""
        recording_id = await _log(store, "tool:call", name="f", tags=["t"], metadata={"z": 1, "a": [2]})
        (match,) = await store.search_recordings("tool:call")
        assert_same(match.info, await store.get_recording_info(recording_id), what="info")

    async def test_a_pattern_that_is_none_is_refused(self, store: SignalStore) -> None:
        """A pattern that is not well formed raises PatternError, also when there is nothing to search."""
        for patterns in ("a::b", ["tool:*", "a**"]):
            with pytest.raises(PatternError):
                await store.search_recordings(patterns)

    async def test_random_logs_and_patterns(self, store: SignalStore) -> None:
        """What is found in random logs is what looking at each signal in turn finds."""
        made: dict[str, list[str]] = {}

        async def check(example: tuple[list[str], list[str]]) -> None:
            names, patterns = example
            made[await _log(store, *names)] = names
            wanted = {key: seqs for key, log in made.items() if (seqs := _by_hand(log, patterns)) is not None}
            assert await _found(store, patterns) == wanted

        names = st.lists(st.sampled_from(_NAMES), max_size=12)
        await explore(self, st.tuples(names, st.lists(st.sampled_from(_PATTERNS), max_size=4)), check)


def _by_hand(names: Sequence[str], patterns: Sequence[str]) -> tuple[int, ...] | None:
    seqs: list[int] = []
    for pattern in patterns:
        start = seqs[-1] + 1 if seqs else 0
        matches = compile_pattern(pattern).matches
        seq = next((seq for seq in range(start, len(names)) if matches(names[seq])), None)
        if seq is None:
            return None
        seqs.append(seq)
    return tuple(seqs)
