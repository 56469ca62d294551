"""The values that go wrong in stores are what their names and lists say."""

from __future__ import annotations

import pytest

from openharness.core import InvalidValueError, SerializationError, to_json
from openharness.core.records import check_id
from openharness.core.values import decode_json, encode_json
from openharness.testing import corpus
from openharness.testing._kit._same import assert_same


@pytest.mark.parametrize("case", corpus.ACCEPTED_VALUES, ids=lambda case: case.name)
def test_accepted_values_are_json_values(case: corpus.AcceptedValue) -> None:
    """They are their own JSON form and survive the encoder."""
    assert_same(to_json(case.value), case.value)
    assert_same(decode_json(encode_json(case.value)), case.value)


@pytest.mark.parametrize("case", corpus.CONVERTED_VALUES, ids=lambda case: case.name)
def test_converted_values_have_the_form_they_name(case: corpus.ConvertedValue) -> None:
    """Their JSON form is the expected one, which is a JSON value."""
    assert_same(to_json(case.value), case.expected)
    assert_same(to_json(case.expected), case.expected)


@pytest.mark.parametrize("case", corpus.REFUSED_VALUES, ids=lambda case: case.name)
def test_refused_values_are_refused_where_they_say(case: corpus.RefusedValue) -> None:
    """They raise SerializationError with the path they name."""
    with pytest.raises(SerializationError) as caught:
        to_json(case.make(), path="value")
    if case.place is not None:
        assert caught.value.path == f"value{case.place}"


def test_names_are_unique() -> None:
    """Two cases of one name could not be told apart in a report."""
    for cases in (corpus.ACCEPTED_VALUES, corpus.CONVERTED_VALUES, corpus.REFUSED_VALUES):
        names = [case.name for case in cases]
        assert len(set(names)) == len(names)


def test_ids_and_keys_are_all_different() -> None:
    """Each hostile id and key is another one."""
    assert len(set(corpus.HOSTILE_IDS)) == len(corpus.HOSTILE_IDS)
    assert len(set(corpus.HOSTILE_KEYS)) == len(corpus.HOSTILE_KEYS)


@pytest.mark.parametrize("run_id", corpus.HOSTILE_IDS, ids=ascii)
def test_hostile_ids_are_legal(run_id: str) -> None:
    """They are ids."""
    assert check_id(run_id) == run_id


@pytest.mark.parametrize("run_id", corpus.REFUSED_IDS, ids=ascii)
def test_refused_ids_are_none(run_id: object) -> None:
    """They are no ids."""
    with pytest.raises(InvalidValueError):
        check_id(run_id)
