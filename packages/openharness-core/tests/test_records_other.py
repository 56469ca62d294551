"""Identifiers, times, signals, and what is kept of a recording."""

from __future__ import annotations

import datetime
import os
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from openharness.core.errors import InvalidValueError
from openharness.core.records import (
    RecordingInfo,
    RecordingQuery,
    RunStatus,
    Signal,
    SignalSource,
    _identifiers,
    check_id,
    check_outcome,
    new_id,
    now_ms,
    signal_id,
    time_ms,
)


@pytest.mark.parametrize(
    "value", ["a", "run_1", "../x", "CON", "a b", "é" * 100, "x" * 200, "\u2028", "\U0001f600" * 50]
)
def test_ids_are_any_short_text(value: str) -> None:
    """Nothing in an id has a meaning: slashes, dots, spaces and case are only text."""
    assert check_id(value) == value


@pytest.mark.parametrize(
    "value", ["", "x" * 201, "é" * 101, "a\0", "\n", "\x7f", "\x9f", "\ud800", "\ud83d\ude00", None, 1, b"a", ["a"]]
)
def test_what_no_store_could_keep_is_no_id(value: object) -> None:
    """Ids that are empty, too long in bytes, or hold control characters or surrogates are refused alike everywhere."""
    with pytest.raises(InvalidValueError, match="thing must be a string of 1 to 200 bytes"):
        check_id(value, name="thing")


def test_new_ids_sort_in_the_order_they_were_made(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ids are strictly increasing within a millisecond, and when the clock stands still or goes back."""
    ids = [new_id("run") for _ in range(2000)]
    for step in (0, -1, -100_000):
        frozen = now_ms() + step
        monkeypatch.setattr(_identifiers, "now_ms", lambda frozen=frozen: frozen)
        ids += [new_id("run") for _ in range(500)]
    assert ids == sorted(set(ids))
    assert {len(one) for one in ids} == {len("run_") + 22}


def test_new_ids_of_many_threads_are_unique_and_ordered_in_each() -> None:
    """Each thread sees its own ids increase, and no two are equal."""

    def make(_: int) -> list[str]:
        return [new_id("run") for _ in range(500)]

    with ThreadPoolExecutor(8) as pool:
        batches = list(pool.map(make, range(16)))
    assert all(batch == sorted(batch) for batch in batches)
    assert len({one for batch in batches for one in batch}) == 16 * 500


def test_ids_of_processes_are_in_the_order_of_their_clocks(monkeypatch: pytest.MonkeyPatch) -> None:
    """An id that another process makes a millisecond later sorts later."""
    monkeypatch.setattr(_identifiers, "_last", 0)
    clock = now_ms()
    monkeypatch.setattr(_identifiers, "now_ms", lambda: clock)
    first = new_id("run")
    monkeypatch.setattr(_identifiers, "_last", 0)
    monkeypatch.setattr(_identifiers, "now_ms", lambda: clock + 1)
    assert new_id("run") > first


@pytest.mark.skipif(not hasattr(os, "fork"), reason="processes are not forked here")
@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
def test_a_forked_process_can_make_ids() -> None:
    """A child that was forked while another thread made an id does not wait for that thread for ever."""
    held, done = threading.Event(), threading.Event()

    def hold() -> None:
        with _identifiers._lock:
            held.set()
            done.wait(100)

    thread = threading.Thread(target=hold)
    thread.start()
    assert held.wait(50)
    child = os.fork()
    if child == 0:
        new_id("run")
        os._exit(7)
    try:
        for _ in range(5000):
            gone, status = os.waitpid(child, os.WNOHANG)
            if gone:
                break
            time.sleep(0.01)
        else:
            os.kill(child, 9)
            os.waitpid(child, 0)
            pytest.fail("the child waits for a lock that nobody will release")
    finally:
        done.set()
        thread.join()
    assert os.waitstatus_to_exitcode(status) == 7


@pytest.mark.parametrize("prefix", ["x" * 200, "a\n", "\ud800"])
def test_a_prefix_that_makes_no_id_is_refused(prefix: str) -> None:
    """An id that is made can be used as one."""
    with pytest.raises(InvalidValueError):
        new_id(prefix)


@given(st.datetimes(timezones=st.timezones()))
def test_times_round_down_to_the_millisecond(moment: datetime.datetime) -> None:
    """An aware time becomes the millisecond it lies in, also before 1970; outside the years 1 to 9999 it is refused."""
    try:
        milliseconds = time_ms(moment)
    except InvalidValueError:
        assert moment.year in (1, 9999)
        return
    epoch = datetime.datetime(1970, 1, 1, tzinfo=datetime.UTC)
    one = datetime.timedelta(milliseconds=1)
    assert milliseconds * one <= moment - epoch < (milliseconds + 1) * one


def test_the_ends_of_time() -> None:
    """Times run from the year 1 to the year 9999 in UTC, and a zone does not lead beyond."""
    first, last = (edge.replace(tzinfo=datetime.UTC) for edge in (datetime.datetime.min, datetime.datetime.max))  # noqa: DTZ901
    assert time_ms(time_ms(first)) == time_ms(first)
    assert time_ms(last) == 253_402_300_799_999
    for beyond in (
        last.replace(tzinfo=datetime.timezone(datetime.timedelta(hours=-12))),
        first.replace(tzinfo=datetime.timezone(datetime.timedelta(hours=12))),
        time_ms(last) + 1,
        time_ms(first) - 1,
    ):
        with pytest.raises(InvalidValueError, match="years 1 to 9999"):
            time_ms(beyond)


def test_now_is_now() -> None:
    """The clock is the system's, in milliseconds."""
    before = time.time_ns() // 1_000_000
    now = now_ms()
    assert before <= now <= time.time_ns() // 1_000_000


def test_a_signal_id_is_derived() -> None:
    """A signal's id is its run's id and its position; its source is nothing unless it is given."""
    signal = Signal(signal_id("run_1", 7), name="a", timestamp=1, seq=7)
    assert signal.id == "run_1/7"
    assert signal.source == SignalSource()
    assert len({signal, Signal("run_1/7", name="a", timestamp=1, seq=7)}) == 1


@pytest.mark.parametrize("outcome", [*RunStatus, *map(str, RunStatus), "incomplete"])
def test_outcomes_are_statuses_or_incomplete(outcome: Any) -> None:
    """Each word of a status is an outcome, and ``incomplete`` is one more."""
    assert check_outcome(outcome) == outcome


@pytest.mark.parametrize("outcome", ["done", "", None, 1, []])
def test_other_words_are_no_outcome(outcome: object) -> None:
    """An unknown outcome is an error that lists the known ones."""
    with pytest.raises(InvalidValueError, match="incomplete"):
        check_outcome(outcome)


def info(**fields: Any) -> RecordingInfo:
    """A recording's description with what a test does not care for filled in."""
    return RecordingInfo(**{"id": "rec_1", "run_id": "run_1", "created_at": 1, **fields})


def test_recordings_are_found_by_all_conditions() -> None:
    """Each condition can exclude, and all must hold."""
    recording = info(name="a", tags=("x", "y"), outcome=RunStatus.FAILED)
    for query in (
        RecordingQuery(),
        RecordingQuery(run_id="run_1", name="a", tags="x", outcome="failed"),
        RecordingQuery(tags=["y", "x"], outcome=["incomplete", RunStatus.FAILED]),
    ):
        assert query.matches(recording)
    for query in (
        RecordingQuery(run_id="run_2"),
        RecordingQuery(name="b"),
        RecordingQuery(tags=["x", "z"]),
        RecordingQuery(outcome="incomplete"),
        RecordingQuery(outcome=[]),
    ):
        assert not query.matches(recording)
    assert RecordingQuery(outcome="incomplete").matches(info())
    assert RecordingQuery(tags=(tag for tag in "ab")).tags == ("a", "b")


@pytest.mark.parametrize(
    "field,value",
    [
        ("run_id", ""),
        ("name", "\0"),
        ("tags", 1),
        ("tags", ["a", 2]),
        ("tags", None),
        ("outcome", "done"),
        ("outcome", 3),
        ("outcome", ["failed", "x"]),
        ("limit", -1),
        ("limit", True),
        ("offset", None),
        ("offset", 1.0),
    ],
)
def test_a_wrong_condition_on_recordings_is_an_error(field: str, value: object) -> None:
    """A query for recordings is refused when it is made, by the name of the condition."""
    with pytest.raises(InvalidValueError) as caught:
        RecordingQuery(**{field: value})  # type: ignore[arg-type]
    assert caught.value.name == field
