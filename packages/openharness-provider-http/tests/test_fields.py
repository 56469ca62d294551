"""Fields of objects that a server sent."""

from __future__ import annotations

import math
from typing import Any

import pytest

from openharness.core import InvalidValueError
from openharness.provider_http import count_at, mapping_at, mappings_at, settings_of, text_at


@pytest.mark.parametrize(
    "value, count",
    [(3, 3), (2.0, 2), (0, 0), (-1, None), (True, None), (math.nan, None), (math.inf, None), ("3", None), (None, None)],
)
def test_counts(value: Any, count: int | None) -> None:
    """A count is a number of 0 or more, whatever kind of number; anything else is none."""
    assert count_at({"n": value}, "n") == count


def test_texts_objects_and_lists() -> None:
    """What is of another type counts as not there."""
    part: dict[str, Any] = {"a": "", "b": "x", "c": 3, "d": {"e": 1}, "f": [{"g": 1}, 2, None]}
    assert text_at(part, "missing", "a", "b") == "x"
    assert text_at(part, "c") == ""
    assert mapping_at(part, "d") == {"e": 1}
    assert mapping_at(part, "c") == {}
    assert mappings_at(part, "f") == [{"g": 1}]
    assert mappings_at(part, "d") == []


def test_settings_in_urls() -> None:
    """A URL holds the model, which may hold colons and what was quoted, and options."""
    options = {"number": int, "text": str}
    assert settings_of("x", options=options) == {}
    assert settings_of("x:", options=options) == {}
    assert settings_of("x:a:b%2Fc%3F?number=3&text=http%3A//y", options=options) == {
        "model": "a:b/c?",
        "number": 3,
        "text": "http://y",
    }
    with pytest.raises(InvalidValueError, match="number, text"):
        settings_of("x:m?other=1", options=options)
    with pytest.raises(InvalidValueError):
        settings_of("x:m?number=", options=options)
