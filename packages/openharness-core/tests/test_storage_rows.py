"""Rows of a table as stores on databases keep them: the columns of runs, and the checksums beside them."""

from __future__ import annotations

from typing import Any

import attrs
import pytest

from openharness.core.errors import CorruptRecordError
from openharness.core.records import RunRecord
from openharness.core.storage import (
    RUN_COLUMNS,
    encode_run,
    metadata_index,
    metadata_index_text,
    run_columns,
    run_from_columns,
    sha256_checksum,
)
from openharness.core.values import checksum, decode_json

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
