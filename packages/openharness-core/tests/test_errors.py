"""Errors: what they carry, what they say, and that they travel between processes."""

from __future__ import annotations

import copy
import inspect
import pickle
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from openharness.core import errors
from openharness.core.errors import InvalidValueError, OpenHarnessError, SerializationError, UnknownNameError
from openharness.core.values import to_json

ARGUMENTS: dict[str, Any] = {
    "operation": "restore_recording",
    "name": "x", "value": {"a": [1]}, "expected": "right", "path": "state.x", "reason": "because", "pattern": "a b",
    "template": "{{", "kind": "state field", "known": ["b", "a"], "where": "updates", "message": "m", "store": "S",
    "found": (), "supported": 1, "record_id": "run_1", "recording_id": "rec_1", "seq": 7, "outcome": "failed",
    "existing": ["b", "a"], "report": "a report", "state": {}, "agent": "analyzer", "activation": "analyzer#1",
    "limit": "max_depth", "timeout": 1.5, "pending": ["a"], "group": "openharness.providers", "installed": [("a", "b")],
    "file": "openharness.py", "errors": [], "placeholders": ["[redacted:A/json#2]"],
    "call": "analyzer#1/0/0",
}  # fmt: skip
CLASSES = [getattr(errors, name) for name in errors.__all__]


def make(cls: type[OpenHarnessError]) -> OpenHarnessError:
    """An error of a class, with all arguments it needs."""
    if "__init__" not in {name for base in cls.__mro__[: cls.__mro__.index(OpenHarnessError)] for name in vars(base)}:
        return cls("it failed")
    positional: list[Any] = []
    named: dict[str, Any] = {}
    for parameter in inspect.signature(cls).parameters.values():
        if parameter.default is not parameter.empty:
            continue
        if parameter.kind is parameter.KEYWORD_ONLY:
            named[parameter.name] = ARGUMENTS[parameter.name]
        else:
            positional.append(ARGUMENTS[parameter.name])
    return cls(*positional, **named)


@pytest.mark.parametrize("cls", CLASSES)
def test_every_error_is_one_of_ours_and_carries_its_data(cls: type[OpenHarnessError]) -> None:
    """All errors have one base, say something, and document each attribute they set."""
    error = make(cls)
    assert isinstance(error, OpenHarnessError)
    assert str(error)
    documented = "".join(inspect.getdoc(base) or "" for base in cls.__mro__)
    assert [name for name in vars(error) if f"{name}:" not in documented and name != "message"] == []


@pytest.mark.parametrize("cls", CLASSES)
def test_every_error_can_be_pickled_and_copied(cls: type[OpenHarnessError]) -> None:
    """An error that crosses processes arrives with its type, its sentence and its data."""
    error = make(cls)
    for twin in (pickle.loads(pickle.dumps(error)), copy.copy(error)):  # noqa: S301 - our own bytes
        assert type(twin) is cls
        assert str(twin) == str(error)
        assert vars(twin) == vars(error)


@pytest.mark.parametrize("cls", CLASSES)
def test_the_tree_at_the_top_of_the_module_is_the_tree(cls: type[OpenHarnessError]) -> None:
    """The drawing names every error below its base, one level further in."""
    drawn = [line for line in (errors.__doc__ or "").splitlines() if line.strip().startswith(("*", "x"))]
    place = {line.split()[1]: (number, len(line) - len(line.lstrip())) for number, line in enumerate(drawn)}
    number, depth = place[cls.__name__]
    if cls is OpenHarnessError:
        return
    above = [line for line in drawn[:number] if len(line) - len(line.lstrip()) < depth]
    assert above[-1].split()[1] == cls.__bases__[0].__name__
    for other in cls.__bases__[1:]:
        assert other.__name__ in drawn[number]


class Loud:
    """Its repr is as long as a book."""

    def __repr__(self) -> str:
        return "loud " * 100_000


class Broken:
    """Its repr does not work."""

    def __repr__(self) -> str:
        raise RuntimeError


@pytest.mark.parametrize(
    "value,shown",
    [
        ("x" * 1_000_000, "<str of length 1000000>"),
        (b"x" * 1_000_000, "<bytes of length 1000000>"),
        (10**100_000, "an integer of 332193 bits"),
        ([["x" * 1000] * 1000] * 1000, "[[<str of length 1000>, <str of length 1000>"),
        ("many words " * 1000, "many words'… (length 11000)"),
        ({"k" * 5000: "v" * 5000}, "{<str of length 5000>: <str of length 5000>}"),
        (Loud(), "loud loud"),
        (Broken(), "Broken object>"),
        (float("nan"), "nan"),
        ([1, "a"], "[1, 'a']"),
    ],
    ids=lambda _: "",
)
def test_a_bad_value_does_not_fill_the_screen(value: object, shown: str) -> None:
    """Whatever came, the sentence shows its beginning and stays short."""
    text = str(InvalidValueError("x", value=value, expected="right"))
    assert shown in text
    assert len(text) < 300


_KEY = "".join(f"{number:04x}" for number in range(0x1000, 0x1100))


@given(
    length=st.integers(12, len(_KEY)),
    before=st.integers(0, 300),
    form=st.sampled_from(["text", "bytes", "item", "value", "key", "path", "step"]),
)
def test_a_key_is_shown_whole_or_not_at_all(length: int, before: int, form: str) -> None:
    """A key that an error cut in two could not be found and redacted any more, so errors are cut between words."""
    key = _KEY[:length]
    filler = ("word " * 100)[: before // 5 * 5]
    text = f"{filler}{key} and more"
    values: dict[str, Any] = {
        "text": text,
        "bytes": text.encode(),
        "item": [filler.split(), [key]],
        "value": {"a": filler, "b": {"c": key}},
        "key": {filler: 1, key: 2},
    }
    if form == "path":
        shown = str(SerializationError(f"state.{filler.strip().replace(' ', '.')}.{key}.last", value=1, reason="no"))
    elif form == "step":
        with pytest.raises(SerializationError) as caught:
            to_json({"a": [{key: object}]})
        shown = str(caught.value)
    else:
        shown = str(InvalidValueError("x", value=values[form], expected="right"))
    if key not in shown:
        assert not [piece for start in range(length - 8) if (piece := key[start : start + 8]) in shown]


def test_a_cycle_can_be_shown() -> None:
    """A value that contains itself does not break the error that refuses it."""
    items: list[Any] = []
    items.append(items)
    assert "[" in str(SerializationError("x", value=items, reason="no"))


def test_long_paths_are_cut_in_the_middle() -> None:
    """The sentence has both ends of a long path, the attribute all of it."""
    path = "state" + "[0]" * 200 + ".end"
    error = SerializationError(path, value=1, reason="no", verb="read")
    assert error.path == path
    assert str(error).startswith("state[0]")
    assert ".end cannot be read: no, got 1." in str(error)
    assert len(str(error)) < 300


def test_the_nearest_name_is_suggested() -> None:
    """A misspelt name comes with the one that was probably meant, and with all there are."""
    error = UnknownNameError("state field", name="analysys", known=["input", "analysis"], where="updates")
    assert error.nearest == "analysis"
    assert error.known == ("analysis", "input")
    assert "Did you mean 'analysis'?" in str(error)
    assert UnknownNameError("signal", name="zzz", known=[], where="x").nearest is None
