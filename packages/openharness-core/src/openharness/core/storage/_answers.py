"""Answers to queries: for stores that look at every record, and for databases that find records through indexes."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final, Literal, Protocol, TypeVar

import attrs

from openharness.core.records import RecordingInfo, RunRecord

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from openharness.core.records import RecordingQuery, RunQuery

__all__ = (
    "decode_rows",
    "prefix_end",
    "rarest_first",
    "recording_order",
    "run_order",
    "select_recordings",
    "select_runs",
    "wrong_answer",
)

_DECODED_AT_ONCE: Final = 100
_LAST_CHARACTER: Final = chr(0x10FFFF)
_FIRST_SURROGATE, _LAST_SURROGATE = 0xD800, 0xDFFF

T = TypeVar("T")
RecordT = TypeVar("RecordT", RunRecord, RecordingInfo)
RecordT_contra = TypeVar("RecordT_contra", RunRecord, RecordingInfo, contravariant=True)
RowT = TypeVar("RowT")


class _Query(Protocol[RecordT_contra]):
    """A query for records of a kind."""

    @property
    def limit(self) -> int | None: ...
    @property
    def offset(self) -> int: ...
    @property
    def order(self) -> Literal["newest", "oldest"]: ...
    @property
    def after(self) -> tuple[int, str] | None: ...
    def matches(self, record: RecordT_contra, /) -> bool: ...


def select_runs(runs: Iterable[RunRecord], query: RunQuery) -> list[RunRecord]:
    """Filter, order and page runs as `RunQuery` says: for stores that look at every record.

    Args:
        runs: All runs, in any order.
        query: What is wanted.
    """
    return _selected(runs, query)


def select_recordings(infos: Iterable[RecordingInfo], query: RecordingQuery) -> list[RecordingInfo]:
    """Filter, order and page recordings as `RecordingQuery` says.

    Args:
        infos: All recordings, in any order.
        query: What is wanted.
    """
    return _selected(infos, query)


def run_order(run: RunRecord) -> tuple[int, bytes]:
    """The key that puts runs in their total order, oldest first."""
    return _order(run)


def recording_order(info: RecordingInfo) -> tuple[int, bytes]:
    """The key that puts recordings in their total order, oldest first."""
    return _order(info)


def _order(record: RunRecord | RecordingInfo) -> tuple[int, bytes]:
    return record.created_at, record.id.encode()


def _selected(records: Iterable[RecordT], query: _Query[RecordT]) -> list[RecordT]:
    newest = query.order == "newest"
    found = sorted((record for record in records if query.matches(record)), key=_order, reverse=newest)
    after = _after(query)
    if after is not None:
        found = [record for record in found if (_order(record) < after) == newest and _order(record) != after]
    stop = None if query.limit is None else query.offset + query.limit
    return found[query.offset : stop]


def _after(query: _Query[RecordT]) -> tuple[int, bytes] | None:
    return None if query.after is None else (query.after[0], query.after[1].encode())


def wrong_answer(found: Iterable[RecordT], query: _Query[RecordT], *, what: str) -> str | None:
    """Tell by what a database has found whether an index no longer agrees with the rows, which each are what was saved.

    Args:
        found: Runs or recordings, in the order in which they were found.
        query: What was asked, for runs or for recordings.
        what: What they are: ``run``, ``recording``.

    Returns:
        What is wrong: a record does not meet the conditions, or is out of order. None where nothing is.
    """
    newest = query.order == "newest"
    last = _after(query)
    for record in found:
        position = _order(record)
        if not query.matches(record):
            return f"the {what} {record.id!r} does not meet the conditions"
        if last is not None and (position >= last if newest else position <= last):
            return f"the {what} {record.id!r} is out of order"
        last = position
    return None


async def decode_rows(rows: Sequence[RowT], decode: Callable[[RowT], T]) -> list[T]:
    """Return what rows hold. Other tasks get their turn while a long list is decoded."""
    found: list[T] = []
    for start in range(0, len(rows), _DECODED_AT_ONCE):
        if start:
            await asyncio.sleep(0)
        found += [decode(row) for row in rows[start : start + _DECODED_AT_ONCE]]
    return found


def rarest_first(query: RunQuery, counts: Sequence[int]) -> RunQuery:
    """Return the same query with the rarest of its metadata first: whose index is walked decides how long that takes.

    Args:
        query: What is wanted.
        counts: How many runs have each key and value of its metadata, in their order; a count may end where it no longer
            matters.
    """
    numbers = dict(zip(query.metadata, counts, strict=True))
    return attrs.evolve(query, metadata={key: query.metadata[key] for key in sorted(numbers, key=numbers.__getitem__)})


def prefix_end(prefix: str) -> str | None:
    """Return the first text behind all that begin with a prefix; None where there is none.

    So what begins with it is a range, which has no wildcards and can use an index. Characters and UTF-8 bytes have the
    same order.
    """
    shortened = prefix.rstrip(_LAST_CHARACTER)
    if not shortened:
        return None
    following = ord(shortened[-1]) + 1
    if _FIRST_SURROGATE <= following <= _LAST_SURROGATE:
        following = _LAST_SURROGATE + 1
    return shortened[:-1] + chr(following)
