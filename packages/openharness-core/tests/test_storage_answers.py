"""Answers of databases to queries: what an index must find, and how it is noticed that it found something else."""

from __future__ import annotations

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from openharness.core.records import RecordingInfo, RecordingQuery, RunQuery, RunRecord
from openharness.core.storage import (
    decode_rows,
    prefix_end,
    rarest_first,
    select_recordings,
    select_runs,
    wrong_answer,
)

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=4) | st.text("a\ud7ff\ue000\U0010ffff", max_size=4)


def run(number: int, created_at: int | None = None) -> RunRecord:
    """A run that began at this time."""
    return RunRecord(f"run-{number}", created_at=number if created_at is None else created_at, state=None)


RUNS = [run(number, number // 2) for number in range(6)]
INFOS = [RecordingInfo(id=one.id, run_id="r", name=None, created_at=one.created_at) for one in RUNS]


@given(TEXT, TEXT)
def test_what_begins_with_a_text_is_a_range(prefix: str, text: str) -> None:
    """A text is in the range exactly if it begins with the prefix, compared as databases do: by UTF-8 bytes."""
    end = prefix_end(prefix)
    for one in (text, prefix + text):
        data = one.encode()
        assert (prefix.encode() <= data and (end is None or data < end.encode())) == one.startswith(prefix)


@given(st.sampled_from(["newest", "oldest"]), st.integers(0, 3), st.none() | st.integers(0, 3), st.booleans())
def test_what_was_asked_for_is_no_wrong_answer(order: str, offset: int, limit: int | None, after: bool) -> None:
    """What is selected of all there is, page by page, is an answer without objection."""
    cursor = RUNS[3].cursor if after else None
    runs = RunQuery(order=order, offset=offset, limit=limit, cursor=cursor, created_after=1)  # type: ignore[arg-type]
    assert wrong_answer(select_runs(RUNS, runs), runs, what="run") is None
    infos = RecordingQuery(order=order, offset=offset, limit=limit, cursor=cursor)  # type: ignore[arg-type]
    assert wrong_answer(select_recordings(INFOS, infos), infos, what="recording") is None


@pytest.mark.parametrize(
    "numbers,query,said",
    [
        ([2, 1], RunQuery(), None),
        ([1, 2], RunQuery(), "the run 'run-2' is out of order"),
        ([1, 1], RunQuery(), "the run 'run-1' is out of order"),
        ([2, 1], RunQuery(order="oldest"), "the run 'run-1' is out of order"),
        ([2, 1], RunQuery(created_after=2), "the run 'run-1' does not meet the conditions"),
        ([2], RunQuery(cursor=run(2).cursor), "the run 'run-2' is out of order"),
        ([2], RunQuery(cursor=run(3).cursor), None),
        ([3], RunQuery(cursor=run(2).cursor, order="oldest"), None),
        ([1], RunQuery(cursor=run(2).cursor, order="oldest"), "the run 'run-1' is out of order"),
    ],
)
def test_a_wrong_answer_is_noticed(numbers: list[int], query: RunQuery, said: str | None) -> None:
    """A record that was not asked for, twice, or at another place, shows that an index is damaged."""
    assert wrong_answer(map(run, numbers), query, what="run") == said


def test_the_rarest_key_comes_first() -> None:
    """The query stays the same, and of keys that are as frequent none goes before another."""
    query = RunQuery(metadata={"a": 1, "b": 2, "c": 3, "d": 4}, limit=5)
    sorted_query = rarest_first(query, (7, 2, 7, 0))
    assert sorted_query == query
    assert list(sorted_query.metadata) == ["d", "b", "a", "c"]


async def test_a_long_list_lets_others_work() -> None:
    """All rows are decoded in their order, and other tasks get their turn in between."""
    turns = 0

    async def work() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    other = asyncio.create_task(work())
    try:
        assert await decode_rows(range(350), run) == [run(number) for number in range(350)]
        assert turns == 3
    finally:
        other.cancel()
