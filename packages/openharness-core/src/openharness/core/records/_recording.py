"""What is kept of the signals of a run: a recording, its entries, and how recordings are looked for."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal, TypeAlias, cast

import attrs

from openharness.core.errors import InvalidValueError
from openharness.core.records._identifiers import check_id
from openharness.core.records._metadata import MOST_CONDITIONS, has_metadata, scalar_metadata
from openharness.core.records._paging import check_count, check_cursor, check_order, cursor_at, read_cursor
from openharness.core.records._run import RunStatus
from openharness.core.records._signal import Signal
from openharness.core.records._time import Moment, optional_time_ms
from openharness.core.values import JSONValue

if TYPE_CHECKING:
    from typing import Self

__all__ = (
    "Blob",
    "Checkpoint",
    "LogEntry",
    "Outcome",
    "Recording",
    "RecordingInfo",
    "RecordingMatch",
    "RecordingQuery",
    "check_outcome",
)

Outcome: TypeAlias = "RunStatus | Literal['incomplete']"
"""How a recording ended: a `RunStatus`, or ``"incomplete"`` when it was never finalized."""


def check_outcome(value: object, *, name: str = "outcome") -> Outcome:
    """Return ``value`` as an outcome.

    Raises:
        InvalidValueError: When it is neither the word of a `RunStatus` nor ``"incomplete"``.
    """
    if value == "incomplete":
        return "incomplete"
    try:
        return RunStatus(value)  # type: ignore[arg-type]
    except ValueError:
        words = ", ".join(RunStatus)
        raise InvalidValueError(name, value=value, expected=f"one of {words}, incomplete") from None


@attrs.frozen
class Blob:
    """A JSON value that signals refer to, written once however often it is used.

    Messages repeat from request to request; the log holds each once, before the first signal that refers to it.

    Attributes:
        digest: ``sha256:`` and the SHA-256 of the value's canonical JSON (`openharness.core.digest`).
        data: The value.
    """

    digest: str
    data: Any


LogEntry: TypeAlias = "Signal | Blob"
"""One entry of a recording's log."""


@attrs.frozen
class Checkpoint:
    """A name for a position in a recording.

    Attributes:
        name: What the position is called; unique in its recording.
        seq: The signal it stands at.
    """

    name: str
    seq: int


@attrs.frozen(kw_only=True)
class RecordingInfo:
    """A recording without its signals.

    Attributes:
        id: Identifies the recording.
        run_id: The run whose signals it holds.
        name: The fixture it was made for; None for a recording that is no fixture.
        created_at: When it was created, in milliseconds since the epoch, UTC.
        tags: Words to find it by, in the order they were given.
        metadata: JSON values to keep with it.
        provider_types: The `Provider.type` of every provider that took part, sorted.
        signal_count: How many signals it holds.
        duration_ms: How long the run took in milliseconds; None until it is finalized.
        outcome: How the run ended, or ``"incomplete"``.
        resumed_from: The recording this one continues; None for one that began at its beginning.
    """

    id: str
    run_id: str
    name: str | None = None
    created_at: int
    tags: tuple[str, ...] = ()
    metadata: Mapping[str, JSONValue] | None = None
    provider_types: tuple[str, ...] = ()
    signal_count: int = 0
    duration_ms: int | None = None
    outcome: Outcome = "incomplete"
    resumed_from: str | None = None

    @property
    def cursor(self) -> str:
        """Where it stands among all recordings, for `RecordingQuery.cursor`. The page after it begins there."""
        return cursor_at(self.created_at, self.id)


@attrs.frozen(kw_only=True)
class Recording:
    """A recording with all it holds.

    Attributes:
        info: What it is.
        signals: Its signals by `Signal.seq`, references to blobs already resolved.
        checkpoints: Its checkpoints by position, those of the same position by name.
    """

    info: RecordingInfo
    signals: Sequence[Signal] = attrs.field(repr=False)
    checkpoints: Sequence[Checkpoint] = ()


def _words(value: str | Iterable[str]) -> tuple[str, ...]:
    return (value,) if isinstance(value, str) else tuple(value)


def _tags(value: str | Iterable[str]) -> tuple[str, ...]:
    given = cast("object", value)
    tags = _words(value) if isinstance(given, Iterable) else (given,)
    if not all(isinstance(tag, str) for tag in cast("tuple[object, ...]", tags)):
        raise InvalidValueError("tags", value=value, expected="a string or several")
    if len(tags) > MOST_CONDITIONS:
        raise InvalidValueError("tags", value=len(tags), expected=f"at most {MOST_CONDITIONS} in a query")
    return cast("tuple[str, ...]", tags)


def _outcomes(value: str | Iterable[str] | None) -> frozenset[Outcome] | None:
    if value is None:
        return None
    if isinstance(value, str) or not isinstance(cast("object", value), Iterable):
        return frozenset({check_outcome(value)})
    return frozenset(check_outcome(outcome) for outcome in value)


def _created_after(value: Moment | None) -> int | None:
    return optional_time_ms(value, name="created_after")


def _created_before(value: Moment | None) -> int | None:
    return optional_time_ms(value, name="created_before")


def _optional_id(instance: object, attribute: attrs.Attribute[Any], value: object) -> None:
    del instance
    if value is not None:
        check_id(value, name=attribute.name)


@attrs.frozen(kw_only=True)
class RecordingQuery:
    """Which recordings are wanted, and in which order. Every condition must hold; without any, all recordings are.

    Attributes:
        run_id: Recordings of this run.
        name: Recordings made for this fixture, published or not.
        tags: Recordings that have all of these tags; one string or several, at most 100.
        outcome: Recordings with this outcome, or one of several.
        created_after: Recordings that were created at this time or later. Milliseconds, or an aware ``datetime``.
        created_before: Recordings that were created before this time.
        metadata: Recordings whose metadata has each of these keys with an equal value, compared as in
            `RunQuery.metadata`; at most 100 keys.
        limit: At most this many; None means all, 0 none.
        offset: Skip this many first; prefer `cursor` for deep pages.
        cursor: Begin after the recording this came from (`RecordingInfo.cursor`), in the given order.
        order: ``"newest"`` (default) or ``"oldest"`` first by `RecordingInfo.created_at`; recordings of the same
            millisecond are ordered by id in the same direction, ids compared by their UTF-8 bytes.
    """

    run_id: str | None = attrs.field(default=None, validator=_optional_id)
    name: str | None = attrs.field(default=None, validator=_optional_id)
    tags: tuple[str, ...] = attrs.field(default=(), converter=_tags)
    outcome: frozenset[Outcome] | None = attrs.field(default=None, converter=_outcomes)
    created_after: int | None = attrs.field(default=None, converter=_created_after)
    created_before: int | None = attrs.field(default=None, converter=_created_before)
    metadata: Mapping[str, JSONValue] = attrs.field(
        factory=dict[str, "JSONValue"], converter=scalar_metadata, hash=False
    )
    limit: int | None = attrs.field(default=None, validator=check_count)
    offset: int = attrs.field(default=0, validator=check_count)
    cursor: str | None = attrs.field(default=None, validator=check_cursor)
    order: Literal["newest", "oldest"] = attrs.field(default="newest", validator=check_order)

    @property
    def after(self) -> tuple[int, str] | None:
        """The `created_at` and id after which the page begins, read from the cursor; None without one."""
        return None if self.cursor is None else read_cursor(self.cursor)

    def matches(self, info: RecordingInfo) -> bool:
        """Tell whether a recording meets every condition; limit, offset, cursor and order play no part."""
        return (
            (self.run_id is None or info.run_id == self.run_id)
            and (self.name is None or info.name == self.name)
            and (self.outcome is None or info.outcome in self.outcome)
            and (self.created_after is None or info.created_at >= self.created_after)
            and (self.created_before is None or info.created_at < self.created_before)
            and set(self.tags) <= set(info.tags)
            and has_metadata(info.metadata, self.metadata)
        )

    def next_page(self, last: RecordingInfo) -> Self:
        """Return the query for what comes after ``last``, the last of a page: same conditions, no offset."""
        return attrs.evolve(self, cursor=last.cursor, offset=0)


@attrs.frozen
class RecordingMatch:
    """A recording in which signals followed each other as `SignalStore.search_recordings` was asked for.

    Attributes:
        info: The recording.
        seqs: Where: the `Signal.seq` of one signal for each pattern, in the order of the patterns, each the first one
            after the one before. Without patterns there are none.
    """

    info: RecordingInfo
    seqs: tuple[int, ...]
