"""The JSON Schema of log format v1 says what the reader says, as far as a schema can."""

from __future__ import annotations

import copy
import json
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator
from signals_support import EXAMPLES, HEADER, encoded, logs

from openharness.core import RunStatus, Signal
from openharness.core.storage import RecordingSummary
from openharness.signals._format import LineWriter, write_checkpoint, write_header, write_recording
from openharness.signals._format._read import _HEADER_MEMBERS, _LINE_MEMBERS
from openharness.signals._format._write import MAX_RUN_DELTAS

if TYPE_CHECKING:
    from collections.abc import Iterable

    from openharness.core import LogEntry

SCHEMA = json.loads(resources.files("openharness.signals").joinpath("log-format-v1.schema.json").read_bytes())
VALIDATOR = Draft202012Validator(SCHEMA)
FILES = sorted((Path(__file__).parent / "golden").rglob("*.jsonl"))
OPTIONAL = {"name", "tags", "metadata", "resumed_from", "published_as", "agent", "provider", "activation", "parent", "id", "more", "duration_ms"}  # fmt: skip


def lines_of(data: bytes) -> Iterable[Any]:
    """The whole lines of a file."""
    return (json.loads(line) for line in data.splitlines() if line.endswith(b"}"))


def test_the_schema_is_one() -> None:
    """It is a valid schema of draft 2020-12, and has exactly the members and the outcomes that the reader knows."""
    Draft202012Validator.check_schema(SCHEMA)
    kinds = {name: set(kind["properties"]) for name, kind in SCHEMA["$defs"].items() if name != "crc"}
    assert kinds.pop("header") == _HEADER_MEMBERS
    assert set.union(*kinds.values()) == _LINE_MEMBERS
    assert set(SCHEMA["$defs"]["footer"]["properties"]["outcome"]["enum"]) == set(RunStatus)
    assert SCHEMA["$defs"]["deltas"]["properties"]["texts"]["maxItems"] == MAX_RUN_DELTAS


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem[:20])
def test_golden_files_are_valid(path: Path) -> None:
    """Every line of every golden file is what the schema allows, and the first is a header."""
    for number, line in enumerate(lines_of(path.read_bytes())):
        VALIDATOR.validate(line)
        assert ("format" in line) == (number == 0)


@given(logs())
@settings(max_examples=EXAMPLES)
def test_generated_recordings_are_valid(entries: list[LogEntry]) -> None:
    """Whatever a store is given, the lines it writes are valid, open or final."""
    written = encoded(entries)
    count = sum(isinstance(entry, Signal) for entry in entries)
    summary = RecordingSummary(outcome=RunStatus.FAILED, signal_count=count, blob_count=len(written) - count)
    marks = {"here": 0} if count else {}
    appended = write_header(HEADER) + LineWriter(HEADER).write_append(written)
    for data in (appended, write_recording(HEADER, written, marks, summary)):
        for line in lines_of(data):
            VALIDATOR.validate(line)


def samples() -> list[Any]:
    """A line of each kind, with all of its members."""
    fullest: dict[str, Any] = {}
    for line in (line for path in FILES for line in lines_of(path.read_bytes())):
        kind = next(key for key in ("format", "payload", "texts", "blob", "checkpoint", "outcome") if key in line)
        if len(line) > len(fullest.get(kind, ())):
            fullest[kind] = line
    assert len(fullest) == 6
    return [*fullest.values(), json.loads(write_checkpoint("a", 0))]


SAMPLES = samples()


@given(st.data())
@settings(max_examples=2 * EXAMPLES)
def test_mutated_lines_are_not_valid(data: st.DataObject) -> None:
    """A line without a member it must have, or with one of another type, is refused."""
    line = copy.deepcopy(data.draw(st.sampled_from(SAMPLES)))
    VALIDATOR.validate(line)
    known = (_HEADER_MEMBERS if "format" in line else _LINE_MEMBERS) & line.keys()
    member = data.draw(st.sampled_from(sorted(known - {"payload", "data"})))
    required = member not in OPTIONAL or (member == "name" and "format" not in line)
    if required and data.draw(st.booleans()):
        del line[member]
    else:
        line[member] = data.draw(st.sampled_from([None, 1.5, {"a": []}, [{}], False]).filter(lambda one: member != "metadata" or not isinstance(one, dict)))  # fmt: skip
    assert not VALIDATOR.is_valid(line), (member, line)


@pytest.mark.parametrize("line", [{}, [], None, "x", {"kind": "new", "crc": "00000000"}, {"blob": "sha256:0", "crc": "00000000"}], ids=repr)  # fmt: skip
def test_what_is_no_line(line: Any) -> None:
    """What is of no kind is not valid."""
    assert not VALIDATOR.is_valid(line)


def test_members_of_later_releases_are_valid() -> None:
    """The schema passes over what the reader passes over."""
    for line in SAMPLES:
        VALIDATOR.validate({**line, "colour": "red"})
