"""Hypothesis strategies for what stores keep: JSON values, run records, queries, signals and log entries.

They prefer what goes wrong: equal times, ids that differ in case or encoding, NUL and lone surrogates, numbers at the
edges. Give them to ``@given`` in tests of your own.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

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
_TIMES = st.integers(min_value=1_000, max_value=1_005)
_KEYS = ("a", "b", "a.b", 'q"x', "A", "\xe9")


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
    return st.sampled_from(
        [None, True, False, 0, 1, 1.0, 2, -0.0, 0.5, "", "1", "true", "a", "A", "\xe9", "\U0001f600"]
    )


def metadata() -> SearchStrategy[dict[str, Any]]:
    """Metadata from a few keys and values, so that queries find some and miss some."""
    scalars = _few_scalars()
    values = st.one_of(
        scalars, st.lists(scalars, max_size=2), st.dictionaries(st.sampled_from(_KEYS), scalars, max_size=2)
    )
    return st.dictionaries(st.sampled_from(_KEYS), values, max_size=4)


def identifiers() -> SearchStrategy[str]:
    """Ids: legal ones, of every kind that stores confuse."""
    free = st.text(st.characters(exclude_categories=("Cc", "Cs")), min_size=1, max_size=50)
    return st.sampled_from(HOSTILE_IDS) | free.filter(lambda text: len(text.encode()) <= 200)


def run_records(*, ids: SearchStrategy[str] | None = None) -> SearchStrategy[RunRecord]:
    """Run records with few different times, so that ties are common.

    Args:
        ids: The ids; `identifiers` by default.
    """
    return st.builds(
        RunRecord,
        identifiers() if ids is None else ids,
        created_at=_TIMES,
        completed_at=st.none() | _TIMES,
        state=json_values(),
        metadata=st.none() | metadata(),
        status=st.none() | st.sampled_from(RunStatus),
        error=st.none() | st.text(max_size=10),
        recording_id=st.none() | st.sampled_from(["rec_1", "rec/2"]),
        parent_run_id=st.none() | st.sampled_from(["run_1", "run/2"]),
    )


def run_queries() -> SearchStrategy[RunQuery]:
    """Queries of every kind over what `run_records` makes, without a cursor: those come from records."""
    return st.builds(
        RunQuery,
        status=st.none() | st.sampled_from(RunStatus) | st.sets(st.sampled_from(RunStatus), max_size=3),
        created_after=st.none() | _TIMES,
        created_before=st.none() | _TIMES,
        metadata=st.just(dict[str, Any]()) | st.dictionaries(st.sampled_from(_KEYS), _few_scalars(), max_size=2),
        id_prefix=st.sampled_from(["", "", "", "a", "A", "a%", "a_", "..", "\xe9"]),
        limit=st.none() | st.integers(0, 5),
        offset=st.integers(0, 3),
        order=st.sampled_from(["newest", "oldest"]),
        include_state=st.booleans(),
    )


_NAMES = ("harness:start", "text:delta", "text:complete", "tool:call", "tool:call:late", "a", "state:x:changed")


def signal_names() -> SearchStrategy[str]:
    """Names of signals."""
    segment = st.text(
        st.characters(exclude_categories=("Cc", "Cs", "Z"), exclude_characters=":*"), min_size=1, max_size=5
    )
    return st.sampled_from(_NAMES) | st.lists(segment, min_size=1, max_size=4).map(":".join)


def signals(*, run_id: str = "run-1", seq: int = 0) -> SearchStrategy[Signal]:
    """Signals of a run.

    Args:
        run_id: The run.
        seq: The position.
    """
    word = st.none() | st.sampled_from(["analyzer", "writer"])
    return st.builds(
        Signal,
        st.just(signal_id(run_id, seq)),
        name=signal_names(),
        payload=json_values(),
        timestamp=st.integers(seq * 10, seq * 10 + 5).map(lambda milliseconds: 1_700_000_000_000 + milliseconds),
        seq=st.just(seq),
        source=st.builds(
            SignalSource,
            word,
            st.none() | st.sampled_from(["claude", "llamacpp", "a-provider"]),
            st.none()
            if seq == 0
            else st.none() | st.integers(0, seq - 1).map(lambda parent: signal_id(run_id, parent)),
            word.map(lambda agent: None if agent is None else f"{agent}#1"),
        ),
    )


def _requesting(run_id: str, seq: int, digests: Sequence[str]) -> SearchStrategy[Signal]:
    """A ``provider:start`` that refers to blobs by digest."""

    def make(messages: list[str], tools: list[str]) -> Signal:
        return Signal(
            signal_id(run_id, seq),
            name="provider:start",
            payload={"call": "analyzer#1/0/0", "request": {"messages": messages, "tools": tools, "system": None}},
            timestamp=1_700_000_000_000 + seq * 10,
            seq=seq,
            source=SignalSource("analyzer", "claude"),
        )

    items = st.lists(st.sampled_from(digests), max_size=4)
    return st.builds(make, items, items)


@st.composite
def log_entries(
    draw: DrawFn, *, run_id: str = "run-1", start: int = 0, known: Sequence[Blob] = (), max_signals: int = 5
) -> list[LogEntry]:
    """The next entries of a log: signals in order, each blob before the first signal that refers to it.

    Args:
        draw: Given by Hypothesis.
        run_id: The run.
        start: The seq of the first signal.
        known: Blobs the log holds already, which signals may refer to.
        max_signals: The most signals.
    """
    entries: list[LogEntry] = []
    digests = [blob.digest for blob in known]
    for seq in range(start, start + draw(st.integers(0, max_signals))):
        if draw(st.integers(0, 3)) == 0:
            data = {"role": "user", "content": draw(json_values())}
            entries.append(Blob(digest(cast("JSONValue", data)), data))
            digests.append(digest(cast("JSONValue", data)))
        refers = bool(digests) and draw(st.booleans())
        entries.append(draw(_requesting(run_id, seq, digests) if refers else signals(run_id=run_id, seq=seq)))
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
