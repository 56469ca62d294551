"""Rows of a table as stores on databases keep them: the columns of runs and recordings, and the checksums beside them."""

from __future__ import annotations

from typing import Any

import attrs
import pytest
from hypothesis import given

from openharness.core.errors import CorruptRecordError
from openharness.core.records import RecordingInfo, RunRecord, SignalSource
from openharness.core.storage import (
    RECORDING_COLUMNS,
    RUN_COLUMNS,
    EncodedSignal,
    RecordingHeader,
    RecordingSummary,
    StoredRecording,
    encode_run,
    metadata_index,
    metadata_index_text,
    recording_columns,
    recording_from_columns,
    run_columns,
    run_from_columns,
    sha256_checksum,
    signal_checksum,
    tag_index,
)
from openharness.core.values import checksum, decode_json
from openharness.testing.strategies import run_records

RUN = RunRecord("run_1", created_at=1, completed_at=2, state={"a": 1}, metadata={"b": 2}, error="no")
ENCODED = encode_run(RUN)
STORE = "TestStore()"


def test_a_run_is_the_same_after_its_row() -> None:
    """With its state it is the run that was saved; without, the same but for the state."""
    columns = run_columns(ENCODED)
    assert len(columns) == len(RUN_COLUMNS)
    assert run_from_columns((*columns, ENCODED.state), store=STORE) == RUN
    assert run_from_columns(columns, store=STORE) == attrs.evolve(RUN, state=None)


def test_the_columns_stay_what_they_are() -> None:
    """Rows that were written once must be readable for ever, and those with checksums of BLAKE2b are as well."""
    assert dict(zip(RUN_COLUMNS, run_columns(ENCODED), strict=True)) == {
        "id": "run_1",
        "created_at": 1,
        "completed_at": 2,
        "status": "completed",
        "error": "no",
        "recording_id": None,
        "parent_run_id": None,
        "metadata": '{"b":2}',
        "state_checksum": "s0dfd4e4fd182671b534f7f485abcff1c",
        "checksum": "s6bd048637dbf867a4dd838387cac65f4",
    }
    covered = (*run_columns(ENCODED)[:8], checksum(ENCODED.id, ENCODED.state))
    older = (*covered, checksum(*covered), ENCODED.state)
    assert run_from_columns(older, store=STORE) == RUN


@given(run_records())
def test_both_checksums_are_of_the_columns(run: RunRecord) -> None:
    """Whatever a run holds, its checksums are those that the documented algorithm makes of the columns."""
    encoded = encode_run(run)
    *covered, of_state, sealed = run_columns(encoded)
    assert of_state == sha256_checksum(encoded.id, encoded.state)
    assert sealed == sha256_checksum(*covered, of_state)


@pytest.mark.parametrize("state", [True, False], ids=["with state", "without state"])
@pytest.mark.parametrize("column", RUN_COLUMNS)
def test_a_changed_column_is_noticed(column: str, *, state: bool) -> None:
    """A change of any column but the state is found with and without the state, and named by its id and its store."""
    row: list[Any] = [*run_columns(ENCODED), ENCODED.state] if state else [*run_columns(ENCODED)]
    index = RUN_COLUMNS.index(column)
    row[index] = row[index] + 1 if isinstance(row[index], int) else f"{row[index]}x"
    with pytest.raises(CorruptRecordError, match="its checksum does not match") as caught:
        run_from_columns(row, store=STORE)
    assert (caught.value.record_id, caught.value.store) == (row[0], STORE)


@pytest.mark.parametrize("state", ['{"a": 1}', "", None, b'{"a":1}', 5])
def test_a_changed_state_is_noticed(state: object) -> None:
    """A state that is not what was saved is damage, also where it is no text; who does not read it is not told."""
    with pytest.raises(CorruptRecordError, match="the checksum of its state"):
        run_from_columns((*run_columns(ENCODED), state), store=STORE)


def test_a_state_of_another_run_is_noticed() -> None:
    """The checksum of a state covers the id, so that the state of one run is damage in the row of another."""
    other = attrs.evolve(ENCODED, id="run_2")
    covered = (*run_columns(other)[:8], run_columns(ENCODED)[8])
    with pytest.raises(CorruptRecordError, match="the checksum of its state"):
        run_from_columns((*covered, sha256_checksum(*covered), ENCODED.state), store=STORE)


def test_what_an_index_is_given() -> None:
    """It is an object of the scalar values by their keys, in canonical JSON text, and nothing where there are none."""
    pairs = metadata_index('{"a":1.0,"b":"x","c":[1],"\\u00e9":null}')
    assert pairs == [('"a"', "1"), ('"b"', '"x"'), ('"\u00e9"', "null")]
    text = metadata_index_text(pairs)
    assert text is not None
    assert decode_json(text) == {"a": "1", "b": '"x"', "\u00e9": "null"}
    assert metadata_index_text(metadata_index('{"c":[1]}')) is None
    assert metadata_index_text(metadata_index(None)) is None


RECORDING = StoredRecording(
    number=7,
    header=RecordingHeader(
        id="rec_1",
        run_id="run_1",
        name="n",
        created_at=5,
        tags=("a", "\ud800"),
        metadata=b'{"k":1}',
        resumed_from="rec_0",
    ),
    summary=RecordingSummary(outcome="completed", duration_ms=9, signal_count=3, provider_types=("p",)),
)
SIGNAL = EncodedSignal(1, "sig", "a:b", 5, SignalSource("agent", None, "parent", "act"), b'{"k":1}')


def test_a_recording_is_the_same_after_its_row() -> None:
    """What is known of it comes back, and what its readers see is made of that."""
    columns = recording_columns(RECORDING)
    back = recording_from_columns((7, *columns), store=STORE)
    assert back == RECORDING
    assert back.info(store=STORE) == RecordingInfo(
        id="rec_1",
        run_id="run_1",
        name="n",
        created_at=5,
        tags=("a", "\ud800"),
        metadata={"k": 1},
        provider_types=("p",),
        signal_count=3,
        duration_ms=9,
        outcome="completed",
        resumed_from="rec_0",
    )
    position = back.position(("sha256:1",))
    assert attrs.astuple(position) == ("rec_1", 3, ("sha256:1",), "completed", 9)


@pytest.mark.parametrize("value", ["other", 77, None, b"other"], ids=repr)
@pytest.mark.parametrize("column", RECORDING_COLUMNS)
def test_a_changed_column_of_a_recording_is_noticed(column: str, value: object) -> None:
    """Every column counts, whatever is in it instead."""
    row: list[Any] = [7, *recording_columns(RECORDING)]
    row[1 + RECORDING_COLUMNS.index(column)] = value
    with pytest.raises(CorruptRecordError, match="what is known of it is damaged") as caught:
        recording_from_columns(row, store=STORE)
    assert (caught.value.record_id, caught.value.store) == (str(row[1]), STORE)


def test_metadata_that_is_none_is_noticed_by_who_reads_it() -> None:
    """Text that has its checksum and is no JSON is damage of the recording."""
    broken = attrs.evolve(RECORDING, header=attrs.evolve(RECORDING.header, metadata=b"{"))
    back = recording_from_columns((7, *recording_columns(broken)), store=STORE)
    with pytest.raises(CorruptRecordError) as caught:
        back.info(store=STORE)
    assert (caught.value.record_id, caught.value.store) == ("rec_1", STORE)


def test_the_columns_of_a_recording_stay_what_they_are() -> None:
    """Rows that were written once must be readable for ever."""
    assert recording_columns(RECORDING) == (
        "rec_1", "run_1", "n", 5, '["a","\\ud800"]', '{"k":1}', "rec_0", "completed", 9, 3, '["p"]',
        "d56fe8dc65f72a7eb7f815546567b424",
    )  # fmt: skip
    assert signal_checksum("rec_1", SIGNAL) == 3966306610


@pytest.mark.parametrize(
    "change",
    [
        {"seq": 2}, {"id": "sih"}, {"name": "a:c"}, {"timestamp": 6}, {"payload": b'{"k":2}'}, {"name": "\ud800"},
        {"source": SignalSource("agent", "", "parent", "act")}, {"source": SignalSource(None, "agent", "parent", "act")},
        {"source": SignalSource("agent", None, None, "act")}, {"source": SignalSource("agent", None, "parent", None)},
    ],
    ids=repr,
)  # fmt: skip
def test_a_changed_signal_is_noticed(change: dict[str, Any]) -> None:
    """Each field of a signal, and the recording it is in, counts."""
    fields = {name: getattr(SIGNAL, name) for name in ("seq", "id", "name", "timestamp", "source", "payload")}
    sealed = signal_checksum("rec_1", SIGNAL)
    assert signal_checksum("rec_1", EncodedSignal(**{**fields, **change})) != sealed
    assert signal_checksum("rec_2", SIGNAL) != sealed


def test_what_an_index_of_tags_holds() -> None:
    """Each tag once, in the order in which they were given, as text that every database takes."""
    assert tag_index(("b", "a", "b", "\ud800\0")) == ['"b"', '"a"', '"\\ud800\\u0000"']
