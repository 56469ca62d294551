"""`find_differences`: every place in which two JSON values differ, and no other."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from openharness.core import Difference, JSONValue
from openharness.core.values import dump_json, find_differences

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-3, 3) | st.floats(-1, 1) | st.sampled_from(["", "a", "b"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from("abc"), inner, max_size=3),
    max_leaves=8,
)


@given(one=VALUES, other=VALUES)
def test_there_are_differences_exactly_where_the_text_differs(one: JSONValue, other: JSONValue) -> None:
    """Two values have no difference when their JSON text is the same, and at least one when it is not."""
    assert bool(list(find_differences(one, other, path="value"))) == (dump_json(one) != dump_json(other))


@given(one=VALUES, other=VALUES)
def test_the_other_way_round_is_the_mirror_image(one: JSONValue, other: JSONValue) -> None:
    """With the values swapped, the same places differ, and what was added is removed."""
    mirrored = {"added": "removed", "removed": "added", "changed": "changed"}
    there = {(found.path, mirrored[found.kind]) for found in find_differences(one, other, path="value")}
    back = {(found.path, found.kind) for found in find_differences(other, one, path="value")}
    assert there == back


@pytest.mark.parametrize(
    "one, other, expected",
    [
        ({"a": None}, {}, Difference("x.a", None, None, "removed")),
        ([1], [1, None], Difference("x[1]", None, None, "added")),
        (1, 1.0, Difference("x", 1, 1.0)),
        ({"a": 1, "b": 2}, {"b": 2, "a": 1}, Difference("x (order of keys)", ["a", "b"], ["b", "a"])),
        ({"a": [{"b": 1}]}, {"a": [{"b": 2}]}, Difference("x.a[0].b", 1, 2)),
    ],
)
def test_one_difference(one: JSONValue, other: JSONValue, expected: Difference) -> None:
    """Nothing differs from null, numbers by type, objects by the order of keys; the path leads to the place."""
    assert list(find_differences(one, other, path="x")) == [expected]
