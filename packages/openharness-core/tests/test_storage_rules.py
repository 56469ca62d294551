"""The rules of a log that every signal store shares: what of an append is new, and what contradicts what is there."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from openharness.core import (
    Blob,
    InvalidValueError,
    PatternError,
    RecordingConflictError,
    RecordingFinalizedError,
    SerializationError,
    Signal,
    StoreFullError,
)
from openharness.core.patterns import compile_pattern
from openharness.core.records import RunStatus, signal_id
from openharness.core.storage import (
    EncodedBlob,
    EncodedSignal,
    LogPosition,
    MessagePool,
    SignalDecoder,
    WantedNames,
    WantedSignals,
    blob_digest,
    caller_error,
    check_finalize,
    encode_entries,
    name_prefixes,
    needs_checkpoint,
    needs_finalizing,
    plan_append,
)
from openharness.core.values import MAX_BYTES

if TYPE_CHECKING:
    from collections.abc import Sequence

    from openharness.core import LogEntry
    from openharness.core.storage import EncodedEntry, ErrorMeaning

STORE = "TestStore()"
NAMES = st.sampled_from(["tool", "tool:call", "tool:call:x", "agent:a:b", "agent:a", "to", "x", "y:z"])


def make(seq: int, payload: object = None, name: str = "a:b") -> Signal:
    """A signal of one run."""
    return Signal(signal_id("run-1", seq), name=name, payload=payload, timestamp=seq, seq=seq)


def encode(*entries: LogEntry) -> list[EncodedEntry]:
    """Entries as a store keeps them."""
    return encode_entries(entries, max_bytes=MAX_BYTES)


def nothing(start: int, stop: int) -> Sequence[EncodedSignal]:
    """What is there, where no append repeats anything."""
    raise AssertionError((start, stop))


@given(st.lists(st.tuples(st.integers(0, 8), st.integers(0, 8)), max_size=6))
def test_appends_that_overlap_give_each_signal_once(parts: list[tuple[int, int]]) -> None:
    """However a log is cut into appends that repeat what came before, what is new adds up to the log."""
    log = encode(*(make(seq, {"n": seq}) for seq in range(8)))
    kept: list[EncodedEntry] = []
    for start, stop in [*parts, (0, 8)]:
        signals = [entry for entry in kept if isinstance(entry, EncodedSignal)]
        repeated = log[min(start, len(kept)) : stop]
        kept += plan_append(LogPosition("rec", len(kept), ()), repeated, lambda a, b: signals[a:b], store=STORE)  # noqa: B023 - called at once
    assert kept == log


def test_what_contradicts_the_log_is_refused() -> None:
    """A gap, other content under a seq that is there, and two contents in one append are conflicts."""
    there = [entry for entry in encode(make(0), make(1)) if isinstance(entry, EncodedSignal)]
    position = LogPosition("rec", 2, ())
    for entries, seq in (
        ([make(3)], 3),
        ([make(2), make(4)], 4),
        ([make(1, "other")], 1),
        ([make(2), make(2, "other")], 2),
    ):
        with pytest.raises(RecordingConflictError) as caught:
            plan_append(position, encode(*entries), lambda start, stop: there[start:stop], store=STORE)
        assert (caught.value.seq, caught.value.recording_id, caught.value.store) == (seq, "rec", STORE)


def test_a_closed_log_takes_nothing() -> None:
    """Also an empty append is refused with the outcome."""
    with pytest.raises(RecordingFinalizedError, match="failed"):
        plan_append(LogPosition("rec", 0, (), "failed"), [], nothing, store=STORE)


def test_references_lead_to_blobs_before_them() -> None:
    """A blob is taken once, a reference to one that comes later is refused, and a decoder puts each in its place."""
    message = {"role": "user", "content": "Hi"}
    blobs, start = MessagePool().pool(make(0, {"request": {"messages": [message], "tools": []}}, "provider:start"))
    assert [blob.digest for blob in blobs] == [blob_digest(message)]
    entries = encode(*blobs, start, *blobs)
    new = plan_append(LogPosition("rec", 0, ()), entries, nothing, store=STORE)
    assert new == entries[:2]
    assert plan_append(LogPosition("rec", 0, {blobs[0].digest}), entries, nothing, store=STORE) == entries[1:2]
    with pytest.raises(SerializationError, match="no blob of this digest"):
        plan_append(LogPosition("rec", 0, ()), entries[1:], nothing, store=STORE)
    data = {entry.digest: entry.data for entry in new if isinstance(entry, EncodedBlob)}
    signal = next(entry for entry in new if isinstance(entry, EncodedSignal))
    decoded = SignalDecoder(data, recording_id="rec", store=STORE).decode(signal)
    assert decoded.payload == {"request": {"messages": [message], "tools": []}}


def test_a_blob_must_have_its_digest() -> None:
    """Data under the digest of something else is refused before anything is written."""
    with pytest.raises(SerializationError, match="digest"):
        encode(Blob(blob_digest("a"), "b"))


@given(
    st.sampled_from(["completed", "failed"]),
    st.sampled_from(["completed", "failed"]),
    st.none() | st.integers(0, 2),
    st.none() | st.integers(0, 2),
)
def test_a_log_is_closed_once(first: str, second: str, before: int | None, after: int | None) -> None:
    """Closing again is no error exactly if outcome and duration are the same, and no duration is not any duration."""
    outcome, duration_ms = check_finalize(first, before)
    assert needs_finalizing(LogPosition("rec", 0, ()), outcome, duration_ms, store=STORE)
    closed = LogPosition("rec", 0, (), outcome, duration_ms)
    if (first, before) == (second, after):
        assert not needs_finalizing(closed, *check_finalize(second, after), store=STORE)
    else:
        with pytest.raises(RecordingFinalizedError):
            needs_finalizing(closed, *check_finalize(second, after), store=STORE)


@pytest.mark.parametrize("duration_ms", [-1, True, 1.5, "1", 2**63], ids=repr)
def test_what_is_no_duration(duration_ms: object) -> None:
    """A duration is milliseconds from 0 on that every store can keep, or None."""
    with pytest.raises(InvalidValueError):
        check_finalize("completed", duration_ms)


@pytest.mark.parametrize("outcome", ["incomplete", "running", RunStatus.RUNNING, "ended", None], ids=repr)
def test_what_no_run_ends_with(outcome: object) -> None:
    """A log is closed with how its run ended, and a run that goes on has not."""
    with pytest.raises(InvalidValueError, match="outcome must be"):
        check_finalize(outcome, 1)


def test_checkpoints_stand_at_signals() -> None:
    """A name stands for one position at which there is a signal; open and closed logs take them alike."""
    position = LogPosition("rec", 2, ())
    for one in (position, attrs.evolve(position, outcome="completed")):
        assert needs_checkpoint(one, {"x": 0}, "y", 1, store=STORE)
        assert not needs_checkpoint(one, {"x": 0}, "x", 0, store=STORE)
        for name, seq in (("x", 1), ("y", 2), ("y", -1)):
            with pytest.raises(RecordingConflictError):
                needs_checkpoint(one, {"x": 0}, name, seq, store=STORE)
    with pytest.raises(InvalidValueError):
        needs_checkpoint(position, {}, "", 0, store=STORE)


@given(st.lists(st.sampled_from(["tool:*", "tool:**", "tool:call", "agent:*:b", "**", "to*", "x"]), max_size=4), NAMES)
def test_names_begin_with_their_prefixes(patterns: list[str], name: str) -> None:
    """A name that a pattern matches begins with exactly one of the prefixes, and without patterns there are none."""
    compiled = [compile_pattern(pattern) for pattern in patterns]
    prefixes = name_prefixes(compiled)
    if any(pattern.matches(name) for pattern in compiled):
        assert sum(name.startswith(prefix) for prefix in prefixes) == 1
    assert bool(prefixes) == bool(patterns)


def test_a_regular_expression_may_begin_with_anything() -> None:
    """What a name must begin with is known of patterns only."""
    assert name_prefixes([compile_pattern("tool:call"), compile_pattern(re.compile("x"))]) == [""]
    assert name_prefixes([compile_pattern("tool:call"), compile_pattern("tool:**")]) == ["tool"]


def test_each_caller_gets_an_error_of_its_own() -> None:
    """A driver's error becomes one of the store's with its cause, and a store's own stays what it is, but is not shared."""
    failed = OSError("no disk")

    def meaning(error: BaseException) -> ErrorMeaning:
        assert error is failed
        return StoreFullError, "the disk is full."

    first, second = (caller_error(failed, meaning, said="it says: no disk", store=STORE) for _ in range(2))
    assert (type(first), str(first), first.__cause__) == (type(second), str(second), second.__cause__)
    assert isinstance(first, StoreFullError)
    assert first is not second
    assert "the disk is full. (it says: no disk)" in str(first)
    assert first.__cause__ is failed
    own = caller_error(first, meaning, said="", store="OtherStore()")
    assert own is not first
    assert (type(own), str(own), own.store, own.__cause__) == (StoreFullError, str(first), STORE, failed)


def test_few_names_are_looked_for() -> None:
    """Up to eight wanted names are, as they are indexed; of more, or of names nobody could try, every signal is read."""
    wanted = WantedNames(("tool:*", re.compile("x")))
    assert wanted.prefixes == ("",)
    found = wanted.among({"i-b": "tool:b", "i-a": "tool:a", "i-n": "agent:n", "i-x": "x"})
    assert found.names == ("i-a", "i-b", "i-x")
    assert found.matches is not None
    assert [found.matches(name) for name in ("tool:c", "agent:n")] == [True, False]
    names = {f"i{number}": f"tool:{number}" for number in range(8)}
    assert wanted.among(names).names == tuple(names)
    for too_many in ({**names, "i8": "tool:8"}, {f"i{number}": f"agent:{number}" for number in range(65)}, None):
        some = wanted.among(too_many)
        assert (some.names, some.matches) == (None, found.matches)
    assert wanted.among({f"i{number}": f"agent:{number}" for number in range(64)}).names == ()


def test_without_patterns_every_signal_is_wanted() -> None:
    """Then nothing need be looked for, and nothing be filtered."""
    wanted = WantedNames(())
    assert wanted.prefixes == ()
    assert wanted.among({}) == WantedSignals() == wanted.among({"i": "a"})
    with pytest.raises(PatternError):
        WantedNames("a::b")
