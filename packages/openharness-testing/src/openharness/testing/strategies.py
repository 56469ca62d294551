"""Hypothesis strategies for what stores keep: JSON values, run records, queries, signals and log entries.

They prefer what goes wrong: equal times, ids that differ in case or encoding, NUL and lone surrogates, numbers at the
edges. Give them to ``@given`` in tests of your own.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from hypothesis import strategies as st

from openharness.core import (
    Blob,
    JSONObject,
    JSONValue,
    LogEntry,
    RecordingQuery,
    RunQuery,
    RunRecord,
    RunStatus,
    Signal,
    SignalSource,
    digest,
)
from openharness.core.records import signal_id
from openharness.testing.corpus import HOSTILE_IDS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from hypothesis.strategies import DrawFn, SearchStrategy

__all__ = (
    "METADATA_KEYS",
    "METADATA_SCALARS",
    "identifiers",
    "json_objects",
    "json_values",
    "log_entries",
    "metadata",
    "recording_queries",
    "run_queries",
    "run_records",
    "signal_names",
    "signals",
    "texts",
)

_INT64 = {"min_value": -(2**63), "max_value": 2**63 - 1}
_TIMES = st.integers(min_value=1_000, max_value=1_003)
METADATA_KEYS: Final = ("a", "a.b", "A", 'q"x')
"""The keys of `metadata`: few, so that queries find some runs and miss some."""

METADATA_SCALARS: Final[tuple[Any, ...]] = (None, True, False, 0, 1, 1.0, -0.0, 0.5, "1", "true", "a", "A", "\xe9")
"""The values of `metadata`, beside lists and dicts of them: many that are nearly equal."""


def _join_surrogates(text: str) -> str:
    """JSON has one form for a character and for its two surrogates, so text with both is not one JSON can hold."""
    return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "surrogatepass")


def texts(*, max_size: int = 12) -> SearchStrategy[str]:
    """Text as models write it: any character, NUL and lone surrogates included.

    Args:
        max_size: The most characters.
    """
    characters = st.characters(exclude_categories=())
    nasty = st.sampled_from(["\0", "\ud83d", "\ude00", '"', "\\", "\u2028", "\ufeff", "\U0001f600"])
    text = st.lists(st.one_of(characters, nasty), max_size=max_size).map("".join)
    return text.map(_join_surrogates)


def json_values(*, max_leaves: int = 8) -> SearchStrategy[JSONValue]:
    """Plain JSON values: what a store returns exactly as it was given.

    Args:
        max_leaves: About how many values a list or dict holds, over all its levels.
    """
    return st.recursive(
        _scalars(texts()),
        lambda items: st.lists(items, max_size=4) | st.dictionaries(texts(max_size=4), items, max_size=4),
        max_leaves=max_leaves,
    )


def json_objects(*, max_leaves: int = 8) -> SearchStrategy[JSONObject]:
    """Dicts of JSON values, as states mostly are.

    Args:
        max_leaves: As in `json_values`.
    """
    return st.dictionaries(texts(max_size=4), json_values(max_leaves=max_leaves), max_size=4)


def _scalars(text: SearchStrategy[str]) -> SearchStrategy[JSONValue]:
    numbers = st.floats(allow_nan=False, allow_infinity=False) | st.sampled_from([-0.0, 1.0, 1e16, 1e22, 5e-324])
    return st.none() | st.booleans() | st.integers(**_INT64) | st.integers(-2, 2) | numbers | text


def _few_scalars() -> SearchStrategy[Any]:
    return st.sampled_from(METADATA_SCALARS)


def metadata(*, min_size: int = 0) -> SearchStrategy[dict[str, Any]]:
    """Metadata from a few keys and values, so that queries find some and miss some.

    Args:
        min_size: The fewest keys.
    """
    scalars = _few_scalars()
    values = st.one_of(
        scalars, st.lists(scalars, max_size=2), st.dictionaries(st.sampled_from(METADATA_KEYS), scalars, max_size=2)
    )
    return st.dictionaries(st.sampled_from(METADATA_KEYS), values, min_size=min_size, max_size=4)


def identifiers() -> SearchStrategy[str]:
    """Ids: legal ones, of every kind that stores confuse."""
    free = st.text(st.characters(exclude_categories=("Cc", "Cs")), min_size=1, max_size=50)
    return st.sampled_from(HOSTILE_IDS) | free.filter(lambda text: len(text.encode()) <= 200)


def run_records(
    *, ids: SearchStrategy[str] | None = None, states: SearchStrategy[JSONValue] | None = None, min_keys: int = 0
) -> SearchStrategy[RunRecord]:
    """Run records with few different times, so that ties are common.

    Args:
        ids: The ids; `identifiers` by default.
        states: The states; `json_values` by default.
        min_keys: The fewest keys of the metadata; with 0 there are also records without metadata.
    """
    return st.builds(
        RunRecord,
        identifiers() if ids is None else ids,
        created_at=_TIMES,
        completed_at=st.none() | _TIMES,
        state=json_values() if states is None else states,
        metadata=metadata(min_size=min_keys) if min_keys else st.none() | metadata(),
        status=st.none() | st.sampled_from(RunStatus),
        error=st.none() | st.text(max_size=10),
        recording_id=st.none() | st.sampled_from(["rec_1", "rec/2"]),
        parent_run_id=st.none() | st.sampled_from(["run_1", "run/2"]),
    )


def run_queries() -> SearchStrategy[RunQuery]:
    """Queries of every kind over what `run_records` makes, without a cursor: those come from records.

    Few conditions at a time, since a query of many finds nothing.
    """
    statuses = st.sampled_from(RunStatus) | st.sets(st.sampled_from(RunStatus), max_size=3)
    conditions: list[SearchStrategy[dict[str, Any]]] = [
        _field("status", statuses),
        _field("created_after", _TIMES),
        _field("created_before", _TIMES),
        _field("metadata", st.dictionaries(st.sampled_from(METADATA_KEYS), _few_scalars(), min_size=1, max_size=1)),
        _field("metadata", st.dictionaries(st.sampled_from(METADATA_KEYS), _few_scalars(), max_size=2)),
        _field("id_prefix", st.sampled_from(["a", "A", "a%", "a_", "..", "\xe9"])),
    ]
    pages: list[SearchStrategy[dict[str, Any]]] = [
        _field("limit", st.integers(0, 5)),
        _field("offset", st.integers(0, 3)),
        _field("include_state", st.booleans()),
        _field("order", st.sampled_from(["newest", "oldest"])),
    ]
    return st.builds(_query, st.lists(st.one_of(conditions), max_size=2), st.lists(st.one_of(pages), max_size=2))


def _field(name: str, values: SearchStrategy[Any]) -> SearchStrategy[dict[str, Any]]:
    return values.map(lambda value: {name: value})


def _query(conditions: list[dict[str, Any]], page: list[dict[str, Any]]) -> RunQuery:
    return RunQuery(**{name: value for part in (*conditions, *page) for name, value in part.items()})


_NAMES = ("harness:start", "text:delta", "text:complete", "tool:call", "tool:call:late", "a", "state:x:changed")


def signal_names() -> SearchStrategy[str]:
    """Names of signals."""
    segment = st.text(
        st.characters(exclude_categories=("Cc", "Cs", "Z"), exclude_characters=":*"), min_size=1, max_size=5
    )
    return st.sampled_from(_NAMES) | st.lists(segment, min_size=1, max_size=4).map(":".join)


@st.composite
def signals(
    draw: DrawFn, *, run_id: str = "run-1", seq: int = 0, payloads: SearchStrategy[JSONValue] | None = None
) -> Signal:
    """Signals of a run.

    Args:
        draw: Given by Hypothesis.
        run_id: The run.
        seq: The position.
        payloads: The payloads; `json_values` by default.
    """
    agent = draw(_AGENTS)
    parent = draw(_PARENTS)
    return Signal(
        signal_id(run_id, seq),
        name=draw(_SIGNAL_NAMES),
        payload=draw(_PAYLOADS if payloads is None else payloads),
        timestamp=_FIRST_MOMENT + 10 * seq,
        seq=seq,
        source=SignalSource(
            agent,
            draw(_PROVIDERS),
            None if parent is None or seq == 0 else signal_id(run_id, parent % seq),
            None if agent is None else f"{agent}#1",
        ),
    )


# Made once: a strategy that is made anew for every signal is also examined anew.
_FIRST_MOMENT: Final = 1_700_000_000_000
_SIGNAL_NAMES = signal_names()
_PAYLOADS = json_values()
_AGENTS = st.sampled_from([None, "analyzer", "writer"])
_PROVIDERS = st.sampled_from([None, None, "claude", "llamacpp", "a-provider"])
_PARENTS = st.sampled_from([None, 0, 1, 2, 3])
_ONE_IN_FOUR = st.sampled_from([False, False, False, True])
_PLACES = st.lists(st.integers(0, 7), max_size=4)


def _request(run_id: str, seq: int, messages: list[str], tools: list[str]) -> Signal:
    """A ``provider:start`` that refers to blobs by digest."""
    return Signal(
        signal_id(run_id, seq),
        name="provider:start",
        payload={"call": "analyzer#1/0/0", "request": {"messages": messages, "tools": tools, "system": None}},
        timestamp=_FIRST_MOMENT + 10 * seq,
        seq=seq,
        source=SignalSource("analyzer", "claude"),
    )


@st.composite
def log_entries(
    draw: DrawFn,
    *,
    run_id: str = "run-1",
    start: int = 0,
    known: Sequence[Blob] = (),
    min_signals: int = 0,
    max_signals: int = 5,
    payloads: SearchStrategy[JSONValue] | None = None,
) -> list[LogEntry]:
    """The next entries of a log: signals in order, each blob before the first signal that refers to it.

    Args:
        draw: Given by Hypothesis.
        run_id: The run.
        start: The seq of the first signal.
        known: Blobs the log holds already, which signals may refer to.
        min_signals: The fewest signals.
        max_signals: The most signals.
        payloads: The payloads, and what messages say; `json_values` by default.
    """
    payloads = _PAYLOADS if payloads is None else payloads
    entries: list[LogEntry] = []
    digests = [blob.digest for blob in known]
    for seq in range(start, start + draw(st.integers(min_signals, max_signals))):
        if draw(_ONE_IN_FOUR):
            data: JSONValue = {"role": "user", "content": draw(payloads)}
            entries.append(Blob(digest(data), data))
            digests.append(digest(data))
        if bool(digests) and draw(st.booleans()):
            messages = [digests[place % len(digests)] for place in draw(_PLACES)]
            tools = [digests[place % len(digests)] for place in draw(_PLACES)]
            entries.append(_request(run_id, seq, messages, tools))
        else:
            entries.append(draw(signals(run_id=run_id, seq=seq, payloads=payloads)))
    return entries


def recording_queries(
    *, run_ids: Sequence[str], names: Sequence[str], tags: Sequence[str]
) -> SearchStrategy[RecordingQuery]:
    """Queries for recordings.

    Args:
        run_ids: The runs that recordings were made of.
        names: The fixtures that recordings were made for.
        tags: The tags that recordings have.
    """
    outcomes = st.sampled_from([*RunStatus, "incomplete"])
    return st.builds(
        RecordingQuery,
        run_id=st.none() | st.sampled_from(run_ids),
        name=st.none() | st.sampled_from(names),
        tags=st.lists(st.sampled_from(tags), max_size=2, unique=True),
        outcome=st.none() | outcomes | st.lists(outcomes, max_size=3),
        limit=st.none() | st.integers(0, 4),
        offset=st.integers(0, 3),
    )
