"""Which recordings there are: a `RecordingQuery` as SQL, and what fixture names mean."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, cast

from openharness.core import CorruptRecordError
from openharness.core.storage import checksum
from openharness.signal_store_sqlite._rows import RECORDING_COLUMNS, json_text, recording_from_row, text_of
from openharness.sqlite import Statement, misled

if TYPE_CHECKING:
    from collections.abc import Sequence

    from openharness.core import RecordingInfo, RecordingQuery
    from openharness.sqlite import Row, Value

__all__ = (
    "fixture_names",
    "found_fixture",
    "found_recordings",
    "select_fixture",
    "select_fixtures",
    "select_recordings",
)

_COLUMNS: Final = ", ".join(f"recordings.{name}" for name in RECORDING_COLUMNS)
_TAGGED: Final = "EXISTS (SELECT 1 FROM recording_tags WHERE recording_tags.recording = recordings.number AND recording_tags.tag = ?)"


def select_recordings(query: RecordingQuery) -> Statement:
    """Return the statement that lists what is known of recordings, in the order of the query."""
    conditions: list[str] = []
    parameters: list[Value] = []
    for column, wanted in (("run_id", query.run_id), ("name", query.name)):
        if wanted is not None:
            conditions.append(f"recordings.{column} = ?")
            parameters.append(wanted)
    if query.outcome is not None:
        conditions.append(f"recordings.outcome IN ({', '.join('?' * len(query.outcome))})")
        parameters += sorted(query.outcome)
    for tag in dict.fromkeys(query.tags):
        conditions.append(_TAGGED)
        parameters.append(json_text(tag))
    for sign, moment in ((">=", query.created_after), ("<", query.created_before)):
        if moment is not None:
            conditions.append(f"recordings.created_at {sign} ?")
            parameters.append(moment)
    if query.after is not None:
        conditions.append(f"(recordings.created_at, recordings.id) {'<' if query.order == 'newest' else '>'} (?, ?)")
        parameters += query.after
    where = f" WHERE {' AND '.join(conditions)}" if conditions else ""
    direction = "DESC" if query.order == "newest" else "ASC"
    # -1 is SQLite's word for "all".
    parameters += (-1 if query.limit is None else query.limit, query.offset)
    return Statement(
        f"SELECT {_COLUMNS} FROM recordings{where} "  # noqa: S608 - names of our own
        f"ORDER BY recordings.created_at {direction}, recordings.id {direction} LIMIT ? OFFSET ?",
        tuple(parameters),
    )


def found_recordings(rows: Sequence[Row], query: RecordingQuery, *, store: str) -> list[RecordingInfo]:
    """Return the recordings that rows speak of, and see that they are what the query wants.

    Raises:
        CorruptRecordError: What is known of one of them is damaged.
        StoreCorruptError: An index no longer agrees with the rows.
    """
    infos: list[RecordingInfo] = []
    newest = query.order == "newest"
    last = None if query.after is None else (query.after[0], query.after[1].encode())
    for row in rows:
        info = recording_from_row(row, store=store).info(store=store)
        position = info.created_at, info.id.encode()
        if not query.matches(info):
            raise misled(f"the recording {info.id!r} does not meet the conditions", store=store)
        if last is not None and (position >= last if newest else position <= last):
            raise misled(f"the recording {info.id!r} is out of order", store=store)
        last = position
        infos.append(info)
    return infos


def select_fixture(name: str) -> Statement:
    """Return the statement that finds what a fixture name means: its name, its checksum, and the recording."""
    return Statement(
        f"SELECT fixtures.name, fixtures.checksum, {_COLUMNS} FROM fixtures "  # noqa: S608 - names of our own
        "LEFT JOIN recordings ON recordings.number = fixtures.recording WHERE fixtures.name = ?",
        (name,),
    )


def found_fixture(rows: Sequence[Row], name: str, *, store: str) -> RecordingInfo | None:
    """Return the recording that is published under a name, or None.

    Raises:
        CorruptRecordError: The name does not mean what was published, or what is known of the recording is damaged.
    """
    if not rows:
        return None
    found, sealed, *columns = rows[0]
    if columns[0] is not None:
        stored = recording_from_row(tuple(columns), store=store)
        if found == name.encode() and sealed == checksum(name, stored.header.id).encode():
            return stored.info(store=store)
    raise CorruptRecordError(name, reason="the fixture name does not have its checksum", store=store)


def select_fixtures() -> Statement:
    """Return the statement that lists the fixture names that are published."""
    return Statement("SELECT name FROM fixtures")


def fixture_names(rows: Sequence[Row], *, store: str) -> list[str]:
    """Return fixture names, sorted.

    Raises:
        CorruptRecordError: One of them is no text.
    """
    try:
        return sorted(cast("str", text_of(name)) for (name,) in rows)
    except UnicodeDecodeError as error:
        raise CorruptRecordError(repr(error.object), reason="a fixture name is no UTF-8", store=store) from error
