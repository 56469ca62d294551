"""`RunRecord` and `RunQuery`: what they accept, what they make of it, and what they refuse."""

from __future__ import annotations

import copy
import datetime
import enum
import pickle
from typing import Any

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from openharness.core.errors import InvalidValueError, SerializationError
from openharness.core.records import RecordingQuery, RunQuery, RunRecord, RunStatus
from openharness.core.storage import decode_run, encode_run, run_order, select_runs
from openharness.core.values import canonical_json

NOON = datetime.datetime(2025, 1, 1, 12, tzinfo=datetime.UTC)
NOON_MS = 1_735_732_800_000
SCALARS = (
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]))
)


def run(id_: str = "run_1", created_at: Any = 1, **fields: Any) -> RunRecord:
    """A record with what a test does not care for filled in."""
    return RunRecord(id_, created_at=created_at, **{"state": None, **fields})


class Name(enum.StrEnum):
    """A string that is more than one."""

    ONE = "run_one"


def test_an_aware_datetime_is_a_time() -> None:
    """Times are kept as milliseconds, whatever zone they were given in."""
    east = NOON.astimezone(datetime.timezone(datetime.timedelta(hours=9)))
    record = run(created_at=NOON, completed_at=east)
    assert (record.created_at, record.completed_at) == (NOON_MS, NOON_MS)


@pytest.mark.parametrize("completed_at,status", [(None, "running"), (5, "completed")])
def test_the_status_is_derived(completed_at: int | None, status: str) -> None:
    """Without a status, a run that has an end is completed, and one without is running."""
    assert run(completed_at=completed_at).status is RunStatus(status)
    assert run(completed_at=completed_at, status=None).status is RunStatus(status)
    assert run(completed_at=completed_at, status="failed").status is RunStatus.FAILED


@pytest.mark.parametrize(
    "field,value",
    [
        ("created_at", NOON.replace(tzinfo=None)),
        ("created_at", 1.0),
        ("created_at", True),
        ("created_at", "now"),
        ("created_at", None),
        ("created_at", 2**60),
        ("completed_at", -(2**60)),
        ("completed_at", False),
        ("status", "done"),
        ("status", 1),
        ("status", []),
        ("metadata", [("a", 1)]),
        ("metadata", "a"),
        ("error", 3),
        ("recording_id", ""),
        ("parent_run_id", "a\nb"),
    ],
)
def test_a_wrong_field_is_an_error_that_names_it(field: str, value: object) -> None:
    """A record is refused when it is made, with the name of the field and what came."""
    with pytest.raises(InvalidValueError) as caught:
        run(**{field: value})
    assert caught.value.name == field
    assert caught.value.value is value
    assert field in str(caught.value)


@pytest.mark.parametrize("text", ["\0", "a\0b", "\ud800", "x\udfffy"])
def test_metadata_takes_only_what_databases_can_index(text: str) -> None:
    """NUL and lone surrogates are refused in metadata, in keys and values at any depth, with the path."""
    with pytest.raises(SerializationError, match=r"metadata\['a'\]\[0\]"):
        run(metadata={"a": [text]})
    with pytest.raises(SerializationError, match="keys"):
        run(metadata={"a": {text: 1}})
    with pytest.raises(SerializationError):
        RunQuery(metadata={text: 1})


def test_metadata_is_a_copy() -> None:
    """What happens to the caller's dict afterwards does not happen to the record."""
    given_: dict[str, Any] = {"tags": ["a"], "when": NOON, "pair": (1, 2)}
    record = run(metadata=given_)
    given_["tags"].append("b")
    assert record.metadata == {"tags": ["a"], "when": NOON.isoformat(), "pair": [1, 2]}


@given(st.text(st.characters()))
def test_an_error_is_normalised_at_once(text: str) -> None:
    """Every text may be an error; it is kept so that every store gives it back unchanged."""
    record = run(error=text)
    error = record.error
    assert error is not None
    assert "\0" not in error
    error.encode()
    assert decode_run(encode_run(record)) == record
    assert run(error=error).error == error
    if "\0" not in text and text.isascii():
        assert error == text


def test_halves_of_a_character_in_an_error_are_joined() -> None:
    """A whole character that came in two halves is no lone surrogate."""
    assert run(error="\ud83d\ude00\ud83d\0").error == "\U0001f600\\ud83d\\x00"


def test_a_record_cannot_be_changed() -> None:
    """Records are frozen; a changed one is a new one, checked as any other."""
    record = run()
    with pytest.raises(attrs.exceptions.FrozenInstanceError):
        record.status = RunStatus.FAILED  # type: ignore[misc]
    assert attrs.evolve(record, status="failed", completed_at=3).status is RunStatus.FAILED
    with pytest.raises(InvalidValueError):
        attrs.evolve(record, status="bad")


def test_records_can_be_hashed_copied_and_pickled() -> None:
    """Equal records have equal hashes, whatever their state and metadata; copies are equal."""
    record = run(state={"a": [1]}, metadata={"b": [2]}, status="failed")
    twin = run(state={"a": [1]}, metadata={"b": [2]}, status="failed")
    assert len({record, twin, run()}) == 2
    assert copy.deepcopy(record) == record
    assert pickle.loads(pickle.dumps(record)) == record  # noqa: S301 - our own bytes
    assert len({RunQuery(metadata={"a": 1}), RunQuery(metadata={"a": 1})}) == 1


def test_ids_become_plain_strings() -> None:
    """An id that is a subclass of str is kept as what it is read back as."""
    record = run(Name.ONE, recording_id=Name.ONE, parent_run_id=Name.ONE)
    assert [type(value) for value in (record.id, record.recording_id, record.parent_run_id)] == [str, str, str]
    assert record.id == "run_one"


def test_the_state_can_be_read_as_a_type() -> None:
    """`state_as` gives an object of the type, and names the path of what does not fit."""

    @attrs.define
    class State:
        n: int

    assert run(state={"n": 1}).state_as(State) == State(1)
    assert run(state=State(2)).state_as(State) == State(2)
    with pytest.raises(SerializationError, match=r"state\.n"):
        run(state={"n": "x"}).state_as(State)


@given(st.text(min_size=1, max_size=50), st.integers(-62_135_596_800_000, 253_402_300_799_999))
def test_a_cursor_says_where_its_record_stands(id_: str, created_at: int) -> None:
    """A cursor survives the round trip through a query, for every id and time."""
    try:
        record = run(id_, created_at=created_at)
    except InvalidValueError:
        return
    assert RunQuery(cursor=record.cursor).after == (created_at, id_)
    assert record.cursor.isascii()


@pytest.mark.parametrize(
    "cursor",
    ["", "x", "éé", "W10=", "WzFd", "eyJhIjoxLCJiIjoyfQ==", "WzEsIiJd", "W3RydWUsImEiXQ==", 5, b"W10=", "[" * 9000],
)
def test_a_cursor_of_somebody_else_is_refused(cursor: object) -> None:
    """What is no cursor of a record is an error, never a page from somewhere."""
    with pytest.raises(InvalidValueError, match="cursor"):
        RunQuery(cursor=cursor)  # type: ignore[arg-type]
    assert RunQuery().after is None


@pytest.mark.parametrize(
    "field,value",
    [
        ("limit", -1),
        ("limit", 2**63),
        ("limit", True),
        ("limit", 1.0),
        ("limit", "1"),
        ("offset", -1),
        ("offset", None),
        ("order", "latest"),
        ("order", None),
        ("order", []),
        ("include_state", 1),
        ("id_prefix", "\0"),
        ("id_prefix", None),
        ("id_prefix", "x" * 201),
        ("status", "done"),
        ("status", ["failed", "done"]),
        ("status", 5),
        ("created_after", 1.5),
        ("created_before", NOON.replace(tzinfo=None)),
        ("metadata", {"a": [1]}),
        ("metadata", {"a": {}}),
        ("metadata", 1),
    ],
)
def test_a_wrong_condition_is_an_error_that_names_it(field: str, value: object) -> None:
    """A query is refused when it is made: a filter that means nothing must not find everything."""
    with pytest.raises(InvalidValueError) as caught:
        RunQuery(**{field: value})  # type: ignore[arg-type]
    assert caught.value.name.startswith(field)


def test_an_unknown_condition_is_an_error() -> None:
    """A misspelt filter is never ignored."""
    with pytest.raises(TypeError):
        RunQuery(state="failed")  # type: ignore[call-arg]


@pytest.mark.parametrize(
    "status", ["failed", RunStatus.FAILED, ["failed"], {RunStatus.FAILED}, (s for s in ["failed"])]
)
def test_one_status_or_several(status: Any) -> None:
    """A status is given as a word, as a member, or as several of them."""
    query = RunQuery(status=status)
    assert query.status == frozenset({RunStatus.FAILED})
    assert query.matches(run(status="failed"))
    assert not query.matches(run())
    assert not RunQuery(status=()).matches(run())


def test_times_are_inclusive_then_exclusive() -> None:
    """`created_after` includes its time, `created_before` does not."""
    assert [RunQuery(created_after=5).matches(run(created_at=time)) for time in (4, 5, 6)] == [False, True, True]
    assert [RunQuery(created_before=5).matches(run(created_at=time)) for time in (4, 5, 6)] == [True, False, False]


@given(SCALARS, SCALARS)
def test_metadata_is_equal_when_it_is_the_same_json(kept: Any, wanted: Any) -> None:
    """One definition of equal for every store: the canonical text, so that 1 is 1.0 and neither is True."""
    same = canonical_json(kept) == canonical_json(wanted)
    assert RunQuery(metadata={"k": wanted}).matches(run(metadata={"k": kept})) is same
    row = encode_run(run(metadata={"k": kept}))
    assert (('"k"', canonical_json(wanted)) in row.metadata_index()) is same


def test_a_query_has_a_bound_on_its_conditions() -> None:
    """More keys or tags than any store could look for in one statement are refused by the query, alike for all stores."""
    many = {f"key-{number}": number for number in range(101)}
    for query in (RunQuery, RecordingQuery):
        with pytest.raises(InvalidValueError, match="at most 100 keys"):
            query(metadata=many)
    with pytest.raises(InvalidValueError, match="at most 100"):
        RecordingQuery(tags=list(many))


def test_metadata_keys_are_compared_as_they_are() -> None:
    """Keys are no paths; an absent key is not None; a list never equals; all conditions must hold."""
    record = run(metadata={"a.b": 1, "a": {"b": 2}, "n": None, "l": [1], "true": True})
    assert RunQuery(metadata={"a.b": 1}).matches(record)
    assert not RunQuery(metadata={"a.b": 2}).matches(record)
    assert RunQuery(metadata={"n": None}).matches(record)
    assert not RunQuery(metadata={"absent": None}).matches(record)
    assert not RunQuery(metadata={"l": 1}).matches(record)
    assert not RunQuery(metadata={"true": 1}).matches(record)
    assert not RunQuery(metadata={"a.b": 1, "absent": 1}).matches(record)
    assert not RunQuery(metadata={"a": 1}).matches(run())
    assert [key for key, _ in encode_run(record).metadata_index()] == ['"a.b"', '"n"', '"true"']
    assert encode_run(run()).metadata_index() == []


def test_a_prefix_has_no_wildcards() -> None:
    """`id_prefix` is text."""
    assert RunQuery(id_prefix="run_").matches(run("run_1"))
    assert not RunQuery(id_prefix="run%").matches(run("run_1"))
    assert not RunQuery(id_prefix="RUN_").matches(run("run_1"))


RUNS = st.lists(
    st.builds(run, st.text("ab\u00e9\U0001f600\uff00", min_size=1, max_size=4), st.integers(0, 4)),
    unique_by=lambda record: record.id,
    max_size=12,
)


@given(RUNS, st.sampled_from(["newest", "oldest"]), st.integers(1, 4))
def test_pages_put_together_are_the_whole_list(runs: list[RunRecord], order: Any, size: int) -> None:
    """Page after page by cursor gives every run once, in the order of one long page."""
    query = RunQuery(order=order, limit=size)
    pages: list[RunRecord] = []
    while page := select_runs(runs, query):
        pages += page
        query = query.next_page(page[-1])
    whole = select_runs(reversed(runs), RunQuery(order=order))
    assert pages == whole
    keys = [run_order(record) for record in whole]
    assert keys == sorted(keys, reverse=order == "newest")
    assert [record.id.encode() for record in whole] == [key[1] for key in keys]


@given(
    RUNS, st.integers(0, 14), st.none() | st.integers(0, 14), st.integers(0, 11), st.sampled_from(["newest", "oldest"])
)
def test_first_the_cursor_then_the_offset_then_the_limit(
    runs: list[RunRecord], offset: int, limit: int | None, position: int, order: Any
) -> None:
    """The three ways to page apply in this order; a limit of 0 gives nothing."""
    whole = select_runs(runs, RunQuery(order=order))
    cursor = whole[position].cursor if position < len(whole) else None
    rest = whole[position + 1 :] if cursor else whole
    expected = rest[offset:] if limit is None else rest[offset : offset + limit]
    assert select_runs(runs, RunQuery(order=order, offset=offset, limit=limit, cursor=cursor)) == expected


def test_a_cursor_works_when_its_record_is_gone() -> None:
    """A page begins where the cursor stands, also if the record there was deleted meanwhile."""
    runs = [run(f"run_{number}", created_at=number) for number in range(5)]
    assert [found.id for found in select_runs(runs[:2] + runs[3:], RunQuery(cursor=runs[2].cursor))] == [
        "run_1",
        "run_0",
    ]


def test_the_next_page_keeps_the_conditions() -> None:
    """Only the cursor changes, and the offset, which the first page has used up."""
    query = RunQuery(status="failed", offset=3, limit=2, order="oldest")
    following = query.next_page(run())
    assert following == attrs.evolve(query, cursor=run().cursor, offset=0)
