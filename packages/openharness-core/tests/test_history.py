"""What is asked of a history of recordings: conditions, places in it, sequences of signals, and examinations."""

from __future__ import annotations

import datetime
from typing import TYPE_CHECKING, Any

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from openharness.core import (
    DoctorReport,
    Finding,
    InvalidValueError,
    RecordingConflictError,
    RecordingInfo,
    RecordingQuery,
    Severity,
)
from openharness.core.patterns import PatternSequence
from openharness.core.storage import needs_restoring, recording_order, restored_header, select_recordings

if TYPE_CHECKING:
    from collections.abc import Sequence

NAMES = ["tool:call", "tool:result", "tool", "agent:error", "text:delta"]
PATTERNS = ["tool:*", "tool:**", "agent:error", "*", "**"]

infos = st.builds(
    RecordingInfo,
    id=st.sampled_from(["a", "b", "B", "\xe9", "\U0001f600", "\uffff"]),
    run_id=st.just("run"),
    created_at=st.integers(-2, 2),
)


def places(names: Sequence[str], patterns: Sequence[str]) -> list[tuple[int, ...]]:
    """Every way in which the patterns can be matched by later and later names."""
    found: list[tuple[int, ...]] = [()]
    for pattern in patterns:
        (one,) = PatternSequence(pattern).patterns
        found = [
            (*seqs, seq)
            for seqs in found
            for seq in range(seqs[-1] + 1 if seqs else 0, len(names))
            if one.matches(names[seq])
        ]
    return found


@given(st.lists(st.sampled_from(NAMES), max_size=7), st.lists(st.sampled_from(PATTERNS), max_size=4))
def test_a_sequence_is_found_where_there_is_one(names: list[str], patterns: list[str]) -> None:
    """Taking the first match of each pattern finds a sequence wherever there is any, and the earliest of all."""
    ways = places(names, patterns)
    assert PatternSequence(patterns).find(enumerate(names)) == (min(ways) if ways else None)


def test_a_search_takes_no_more_than_it_needs() -> None:
    """Names after the last place are not asked for."""
    names = iter(enumerate(["a", "b", "c"]))
    assert PatternSequence(["a", "b"]).find(names) == (0, 1)
    assert next(names) == (2, "c")
    assert PatternSequence([]).find(iter([])) == ()


@given(st.lists(infos, unique_by=lambda info: info.id), st.sampled_from(["newest", "oldest"]), st.integers(1, 4))
def test_pages_of_recordings_add_up(several: list[RecordingInfo], order: Any, size: int) -> None:
    """Pages that follow each other's cursors hold every recording once, in the order of times and of the ids' bytes."""
    wanted = sorted(several, key=recording_order, reverse=order == "newest")
    assert select_recordings(several, RecordingQuery(order=order)) == wanted
    found: list[RecordingInfo] = []
    query = RecordingQuery(order=order, limit=size)
    while page := select_recordings(several, query):
        found += page
        query = query.next_page(page[-1])
    assert found == wanted


@pytest.mark.parametrize(
    "fields",
    [
        {"cursor": "nonsense"},
        {"cursor": 5},
        {"order": "random"},
        {"limit": -1},
        {"offset": True},
        {"created_after": 1.5},
        {"created_before": datetime.datetime(2026, 1, 1)},  # noqa: DTZ001 - that it has no zone is what is refused
        {"metadata": {"k": [1]}},
        {"metadata": "k"},
    ],
    ids=str,
)
def test_a_query_for_recordings_that_means_nothing_is_refused(fields: dict[str, Any]) -> None:
    """What could be no cursor, order, number, time or metadata raises InvalidValueError when the query is made."""
    with pytest.raises(InvalidValueError):
        RecordingQuery(**fields)


def test_only_the_same_recording_is_restored_again() -> None:
    """Restoring is to be done where there is nothing, not again, and never over another recording."""
    info = RecordingInfo(id="rec", run_id="run", created_at=5, metadata={"a": 1, "b": 2}, tags=("t",))
    header = restored_header(info, max_bytes=1000)
    assert needs_restoring(None, header, store="s")
    assert not needs_restoring(header, restored_header(info, max_bytes=1000), store="s")
    for change in ({"created_at": 6}, {"metadata": {"b": 2, "a": 1}}, {"tags": ()}):
        other = restored_header(attrs.evolve(info, **change), max_bytes=1000)
        with pytest.raises(RecordingConflictError, match=next(iter(change))):
            needs_restoring(header, other, store="s")


def test_a_report_says_the_worst_first() -> None:
    """A report tells what was looked at and each finding with its advice; one error makes it unhealthy."""
    findings = [
        Finding(Severity.INFO, "note", "A note."),
        Finding(Severity.ERROR, "damaged-record", "The record 'r' is damaged.", advice="Delete it.", record_id="r"),
        Finding("warning", "old", "It is old."),  # type: ignore[arg-type]  # words are taken, too
    ]
    report = DoctorReport(store="Store()", engine="SQLite", engine_version="3.50", facts={"runs": 2}, findings=findings)
    assert not report.is_healthy
    assert str(report) == (
        "Store()\n  engine: SQLite 3.50\n  runs: 2\nerror: The record 'r' is damaged. Delete it.\n"
        "warning: It is old.\ninfo: A note."
    )
    assert [finding.code for finding in report.of("error")] == ["damaged-record"]
    healthy = attrs.evolve(report, findings=findings[:1])
    assert healthy.is_healthy
    assert str(healthy).endswith("info: A note.\nhealthy: nothing is wrong.")
