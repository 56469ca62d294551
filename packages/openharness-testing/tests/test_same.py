"""Equality as the contracts mean it."""

from __future__ import annotations

from typing import Any

import attrs
import pytest

from openharness.core import RunRecord
from openharness.testing._kit._same import assert_same, first_difference


@attrs.frozen
class Pair:
    """Two values."""

    left: Any
    right: Any


@pytest.mark.parametrize(
    "value",
    [None, True, 1, 1.0, -0.0, "\ud83d", [1, [2.0]], {"b": 1, "a": [{}]}, Pair([1], {"a": 0.0})],
    ids=ascii,
)
def test_a_value_is_the_same_as_itself(value: Any) -> None:
    """Nothing differs between equal values of the same types."""
    assert first_difference(value, value) is None


@pytest.mark.parametrize(
    "actual, expected, path",
    [
        (True, 1, "value"),
        (1, 1.0, "value"),
        (0.0, -0.0, "value"),
        ((1,), [1], "value"),
        ("a", "b", "value"),
        (None, 0, "value"),
        ([1, 2], [1], "value"),
        ({"a": 1, "b": 2}, {"b": 2, "a": 1}, "value"),
        ({"a": [{"b": 1}]}, {"a": [{"b": True}]}, "value['a'][0]['b']"),
        (Pair(1, [2]), Pair(1, [3]), "value.right[0]"),
    ],
    ids=ascii,
)
def test_a_difference_is_named_by_its_path(actual: Any, expected: Any, path: str) -> None:
    """Types, signs of zero and orders of keys are differences, and the first one is named."""
    found = first_difference(actual, expected)
    assert found is not None
    assert found.startswith(f"{path}: expected ")


def test_records_are_compared_field_by_field() -> None:
    """Records that `==` takes for equal differ when the types in them do."""
    one, two = (RunRecord("a", created_at=1, state=state) for state in (1, True))
    assert one == two
    with pytest.raises(AssertionError, match=r"run\.state: expected True"):
        assert_same(one, two, what="run")


def test_a_long_difference_is_cut() -> None:
    """A difference between megabytes of text is told in a line."""
    found = first_difference("x" * 1_000_000, "y" * 1_000_000)
    assert found is not None
    assert len(found) < 1_000
