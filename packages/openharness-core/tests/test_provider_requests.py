"""What providers refuse before they send anything, and the texts that no model could read."""

from __future__ import annotations

import json
from typing import Any

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from openharness.core import Message, ProviderError, ProviderRequest
from openharness.core.providers import check_request, function_tool, further_options, json_text, without_surrogates

REQUEST = ProviderRequest(messages=[Message("user", "x")], max_tokens=1, temperature=0, stop=["."])


@pytest.mark.parametrize(
    "wrong",
    [
        {"messages": []},
        {"max_tokens": 0},
        {"temperature": -0.1},
        {"temperature": float("nan")},
        {"temperature": float("inf")},
        {"stop": [".", ""]},
    ],
)
def test_what_no_model_could_answer_is_refused(wrong: dict[str, Any]) -> None:
    """The error names the parameter, and no retry is worth it; what is right passes."""
    check_request(REQUEST)
    with pytest.raises(ProviderError, match=next(iter(wrong))) as caught:
        check_request(attrs.evolve(REQUEST, **wrong))
    assert (caught.value.kind, caught.value.retryable) == ("invalid_request", False)


def test_options_are_not_what_the_request_has_attributes_for() -> None:
    """Further parameters come as they are, in a dict of their own; a reserved one is refused by its name."""
    request = attrs.evolve(REQUEST, options={"top_k": 3, "model": "other"})
    options = further_options(request, reserved=frozenset({"messages"}))
    assert options == request.options
    assert options is not request.options
    with pytest.raises(ProviderError, match=r"\['model'\]"):
        further_options(request, reserved=frozenset({"messages", "model"}))


@given(st.dictionaries(st.text(st.characters(categories=["L", "Cs"])), st.text(st.characters(categories=["L", "Cs"]))))
def test_no_lone_surrogate_is_left(body: dict[str, str]) -> None:
    """Each is one U+FFFD, they are counted, and what has none stays as it is."""
    count = sum("\ud800" <= character <= "\udfff" for text in [*body, *body.values()] for character in text)
    text, replaced = json_text(body)
    clean, again = without_surrogates(body)
    assert replaced == again == count
    text.encode()
    assert json.loads(text) == clean
    if not count:
        assert clean == body


def test_a_tool_is_a_function() -> None:
    """What a tool does not say is said for it: there is no description, and there are no parameters."""
    parameters = {"type": "object", "properties": {"city": {"type": "string"}}}
    tool = {"name": "weather", "description": "The weather of a city.", "parameters": parameters}
    assert function_tool(tool) == {"type": "function", "function": tool}
    assert function_tool({"name": "now"}) == {
        "type": "function",
        "function": {"name": "now", "description": "", "parameters": {"type": "object", "properties": {}}},
    }
