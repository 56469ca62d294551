"""The public strategies make what they say."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from openharness.core import Blob, LogEntry, RecordingQuery, RunQuery, RunRecord, Signal, digest, to_json
from openharness.core.patterns import check_name
from openharness.core.records import check_id
from openharness.core.storage import decode_run, decode_signal, encode_run, encode_signal, references
from openharness.core.values import decode_json, encode_json
from openharness.testing import strategies
from openharness.testing._kit._same import assert_same


@given(strategies.json_values() | strategies.json_objects())
def test_json_values_survive_the_encoder(value: Any) -> None:
    """They are their own JSON form, and come back from their text."""
    assert_same(to_json(value), value)
    assert_same(decode_json(encode_json(value)), value)


@given(strategies.identifiers())
def test_identifiers_are_legal(run_id: str) -> None:
    """They are ids in every store."""
    assert check_id(run_id) == run_id


@given(strategies.run_records())
def test_run_records_can_be_stored(run: RunRecord) -> None:
    """They come back from their columns."""
    assert_same(decode_run(encode_run(run)), run, what="run")


@given(strategies.run_records(states=st.just("state"), min_keys=2, ids=st.just("a")))
def test_run_records_can_be_narrowed(run: RunRecord) -> None:
    """Ids, states and the number of metadata keys can be chosen."""
    assert (run.id, run.state) == ("a", "state")
    assert run.metadata is not None
    assert len(run.metadata) >= 2


@given(strategies.run_queries())
def test_run_queries_are_queries(query: RunQuery) -> None:
    """They are valid and without a cursor."""
    assert isinstance(query, RunQuery)
    assert query.cursor is None


@given(strategies.signals(seq=3, run_id="r"))
def test_signals_can_be_stored(signal: Signal) -> None:
    """They have the run and the position that was asked for, a legal name, and come back from their bytes."""
    assert (signal.id, signal.seq) == ("r/3", 3)
    check_name(signal.name)
    assert_same(decode_signal(encode_signal(signal)), signal, what="signal")


@given(strategies.log_entries(start=2, known=[Blob(digest("known"), "known")], min_signals=1))
def test_log_entries_follow_each_other(entries: list[LogEntry]) -> None:
    """Signals come without a gap, and each blob before the first signal that refers to it."""
    known = {digest("known")}
    seqs: list[int] = []
    for entry in entries:
        if isinstance(entry, Blob):
            assert entry.digest == digest(entry.data)
            known.add(entry.digest)
        else:
            assert known.issuperset(references(entry))
            seqs.append(entry.seq)
    assert seqs == list(range(2, 2 + len(seqs)))
    assert seqs


@given(strategies.recording_queries(run_ids=["r"], names=["n"], tags=["t"]))
def test_recording_queries_are_queries(query: RecordingQuery) -> None:
    """They ask for what was given."""
    assert query.run_id in (None, "r")
    assert query.name in (None, "n")
    assert set(query.tags) <= {"t"}
