"""What is kept of a run: its record, and how runs are looked for."""

from __future__ import annotations

import enum
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, Literal, TypeVar, cast

import attrs

from openharness.core.errors import InvalidValueError
from openharness.core.records._identifiers import check_id, optional_id
from openharness.core.records._metadata import has_metadata, optional_metadata, scalar_metadata
from openharness.core.records._paging import check_count, check_cursor, check_order, cursor_at, read_cursor
from openharness.core.records._time import Moment, optional_time_ms, time_ms
from openharness.core.values import JSONValue, joined_pairs, to_json

if TYPE_CHECKING:
    from typing import Self

__all__ = ("RunDraft", "RunQuery", "RunRecord", "RunStatus", "make_run_record", "one_sentence")

T = TypeVar("T")


class RunStatus(enum.StrEnum):
    """How a run stands, or how it ended."""

    RUNNING = "running"
    """It has begun and not ended, or its process died."""
    COMPLETED = "completed"
    """It reached its end."""
    FAILED = "failed"
    """An agent failed, or a limit was reached."""
    CANCELLED = "cancelled"
    """Its task was cancelled."""
    TIMED_OUT = "timed_out"
    """It took longer than its timeout."""
    INTERRUPTED = "interrupted"
    """It waits for something from outside, and can be resumed."""


def _run_id(value: str) -> str:
    return check_id(value, name="id")


def _recording_id(value: str | None) -> str | None:
    return optional_id(value, name="recording_id")


def _parent_run_id(value: str | None) -> str | None:
    return optional_id(value, name="parent_run_id")


def _created_at(value: Moment) -> int:
    return time_ms(value, name="created_at")


def _completed_at(value: Moment | None) -> int | None:
    return optional_time_ms(value, name="completed_at")


def _one_status(value: object) -> RunStatus:
    if isinstance(value, str):
        try:
            return RunStatus(value)
        except ValueError:
            pass
    raise InvalidValueError("status", value=value, expected=f"one of {', '.join(RunStatus)}")


def _status(value: RunStatus | str | None) -> RunStatus:
    # None stands for "derive it", and for no longer than until __attrs_post_init__, which knows completed_at.
    return cast("RunStatus", None) if value is None else _one_status(value)


def one_sentence(value: str | None) -> str | None:
    """Return what a record keeps of an error.

    Messages of failures hold what failed; columns of text in databases hold neither NUL nor lone surrogates.
    """
    if value is None:
        return None
    if not isinstance(cast("object", value), str):
        raise InvalidValueError("error", value=value, expected="a string or None")
    return joined_pairs(value).encode("utf-8", "backslashreplace").decode().replace("\0", "\\x00")


@attrs.frozen(weakref_slot=False)
class RunRecord:
    r"""One run as the history keeps it.

    Two records are equal when all their attributes are. The hash leaves out `state` and `metadata`, so that records can
    be kept in sets whatever these hold.

    Attributes:
        id: Identifies the run: 1 to 200 bytes without control characters. Ids made by the harness sort by time.
        created_at: When the run began, in milliseconds since the epoch, UTC. An aware ``datetime`` is accepted.
        completed_at: When it ended, in the same form; None while it has not.
        state: The run's state as a JSON value; anything `openharness.core.to_json` accepts is converted when the
            record is saved. The last saved one: the initial state while the run goes on, the final one afterwards.
        metadata: What the user wants to find the run by: strings to JSON values, without NUL characters and lone
            surrogates. The record has its own copy. None when there is none.
        status: How the run stands; a `RunStatus` or its word. By default ``completed`` if `completed_at` is given,
            else ``running``.
        error: What ended the run if it did not complete, as one sentence; of a run that has completed, why its recording has
            no end, if it has none. NUL characters and lone surrogates in it are
            written as ``\x00`` and ``\ud800``.
        recording_id: The recording that holds the run's signals, in whichever signal store was used.
        parent_run_id: The run this one was forked from.
    """

    id: str = attrs.field(converter=_run_id)
    created_at: int = attrs.field(kw_only=True, converter=_created_at)
    completed_at: int | None = attrs.field(default=None, kw_only=True, converter=_completed_at)
    state: Any = attrs.field(kw_only=True, hash=False)
    metadata: Mapping[str, JSONValue] | None = attrs.field(
        default=None, kw_only=True, converter=optional_metadata, hash=False
    )
    status: RunStatus = attrs.field(default=None, kw_only=True, converter=_status)
    error: str | None = attrs.field(default=None, kw_only=True, converter=one_sentence)
    recording_id: str | None = attrs.field(default=None, kw_only=True, converter=_recording_id)
    parent_run_id: str | None = attrs.field(default=None, kw_only=True, converter=_parent_run_id)

    def __attrs_post_init__(self) -> None:
        """Derive the status where none was given."""
        if cast("RunStatus | None", self.status) is None:
            derived = RunStatus.RUNNING if self.completed_at is None else RunStatus.COMPLETED
            object.__setattr__(self, "status", derived)

    def state_as(self, type_: type[T]) -> T:
        """Return the state as an object of ``type_``.

        Args:
            type_: An attrs class, dataclass, TypedDict, Pydantic model, or any type made of JSON values.

        Raises:
            SerializationError: When the state does not fit the type; the error names the path of what does not.
        """
        # Above the records in the order of imports, and not needed to store and list them.
        from openharness.core.state import from_json

        return from_json(to_json(self.state, path="state"), type_, path="state")

    @property
    def cursor(self) -> str:
        """Where this record stands among all runs, for `RunQuery.cursor`. The page after it begins there."""
        return cursor_at(self.created_at, self.id)


class RunDraft:
    """What becomes a `RunRecord`, or anything else with its attributes, once it is complete; see `make_signal`."""

    __slots__ = (
        "completed_at",
        "created_at",
        "error",
        "id",
        "metadata",
        "parent_run_id",
        "recording_id",
        "state",
        "status",
    )


def make_run_record(  # noqa: PLR0917 - names would cost as much as is gained
    identifier: str,
    created_at: int,
    completed_at: int | None,
    state: Any,
    metadata: Mapping[str, JSONValue] | None,
    status: RunStatus,
    error: str | None,
    recording_id: str | None,
    parent_run_id: str | None,
) -> RunRecord:
    """Return the same `RunRecord` as its constructor, at a tenth of the price: for those who decode many of them.

    Everything must be what the constructor would have made of it; nothing is checked, and the metadata is not copied.
    """
    draft: Any = RunDraft()
    draft.id = identifier
    draft.created_at = created_at
    draft.completed_at = completed_at
    draft.state = state
    draft.metadata = metadata
    draft.status = status
    draft.error = error
    draft.recording_id = recording_id
    draft.parent_run_id = parent_run_id
    draft.__class__ = RunRecord
    record: RunRecord = draft
    return record


def _statuses(value: RunStatus | str | Iterable[RunStatus | str] | None) -> frozenset[RunStatus] | None:
    if value is None:
        return None
    if isinstance(value, str) or not isinstance(cast("object", value), Iterable):
        return frozenset({_one_status(value)})
    return frozenset(_one_status(status) for status in value)


def _created_after(value: Moment | None) -> int | None:
    return optional_time_ms(value, name="created_after")


def _created_before(value: Moment | None) -> int | None:
    return optional_time_ms(value, name="created_before")


def _prefix(value: str) -> str:
    return "" if value == "" else check_id(value, name="id_prefix")


def _flag(instance: object, attribute: attrs.Attribute[Any], value: object) -> None:
    del instance
    if type(value) is not bool:
        raise InvalidValueError(attribute.name, value=value, expected="True or False")


@attrs.frozen(kw_only=True)
class RunQuery:
    """Which runs are wanted, and in which order. Every condition must hold; without any, all runs are.

    Attributes:
        status: One `RunStatus` (or its word), or several; None means any.
        created_after: Runs that began at this time or later. Milliseconds, or an aware ``datetime``.
        created_before: Runs that began before this time.
        metadata: Runs whose metadata has each of these keys with an equal value. Keys are compared as they are: a dot
            or a quote in one has no meaning. Values are strings, numbers, bools or None, equal when they are the same
            JSON (``1`` equals ``1.0`` and not ``True``). At most 100 keys.
        id_prefix: Runs whose id begins with this text, which has no wildcards.
        limit: At most this many; None means all, 0 none.
        offset: Skip this many first; prefer `cursor` for deep pages.
        cursor: Begin after the record this came from (`RunRecord.cursor`), in the given order. A page at any depth
            costs what the first one costs.
        order: ``"newest"`` (default) or ``"oldest"`` first by `RunRecord.created_at`; runs of the same millisecond are
            ordered by id in the same direction, ids compared by their UTF-8 bytes.
        include_state: Whether records come with their state; without, it is None and is not read.
    """

    status: frozenset[RunStatus] | None = attrs.field(default=None, converter=_statuses)
    created_after: int | None = attrs.field(default=None, converter=_created_after)
    created_before: int | None = attrs.field(default=None, converter=_created_before)
    metadata: Mapping[str, JSONValue] = attrs.field(
        factory=dict[str, "JSONValue"], converter=scalar_metadata, hash=False
    )
    id_prefix: str = attrs.field(default="", converter=_prefix)
    limit: int | None = attrs.field(default=None, validator=check_count)
    offset: int = attrs.field(default=0, validator=check_count)
    cursor: str | None = attrs.field(default=None, validator=check_cursor)
    order: Literal["newest", "oldest"] = attrs.field(default="newest", validator=check_order)
    include_state: bool = attrs.field(default=True, validator=_flag)

    @property
    def after(self) -> tuple[int, str] | None:
        """The `created_at` and id after which the page begins, read from the cursor; None without one."""
        return None if self.cursor is None else read_cursor(self.cursor)

    def matches(self, run: RunRecord) -> bool:
        """Tell whether a run meets every condition; limit, offset, cursor and order play no part."""
        if self.status is not None and run.status not in self.status:
            return False
        if self.created_after is not None and run.created_at < self.created_after:
            return False
        if self.created_before is not None and run.created_at >= self.created_before:
            return False
        if not run.id.startswith(self.id_prefix):
            return False
        return has_metadata(run.metadata, self.metadata)

    def next_page(self, last: RunRecord) -> Self:
        """Return the query for what comes after ``last``, the last record of a page: same conditions, no offset."""
        return attrs.evolve(self, cursor=last.cursor, offset=0)
