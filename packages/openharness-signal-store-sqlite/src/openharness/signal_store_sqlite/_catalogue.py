"""Which recordings there are: a `RecordingQuery` as SQL, and what fixture names mean."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, cast

from openharness.core import CorruptRecordError, canonical_json
from openharness.core.storage import RECORDING_COLUMNS, checksum, tag_index, wrong_answer
from openharness.signal_store_sqlite._rows import recording_from_row, text_of
from openharness.sqlite import Statement, misled

if TYPE_CHECKING:
    from collections.abc import Sequence

    from openharness.core import RecordingInfo, RecordingQuery
    from openharness.core.storage import HavingName
    from openharness.sqlite import Row, Value

__all__ = (
    "checked_recordings",
    "count_recordings",
    "fixture_names",
    "found_fixture",
    "found_recording",
    "select_fixture",
    "select_fixtures",
    "select_progress",
    "select_recording",
    "select_recordings",
)

_COLUMNS: Final = ", ".join(f"recordings.{name}" for name in ("number", *RECORDING_COLUMNS))
_TAGGED: Final = "EXISTS (SELECT 1 FROM recording_tags WHERE recording_tags.recording = recordings.number AND recording_tags.tag = ?)"


def select_recordings(query: RecordingQuery, having: Sequence[HavingName[bytes]] = ()) -> Statement:
    """Return the statement that lists what is known of recordings, in the order of the query.

    Args:
        query: What is wanted.
        having: Of which names they must have signals.
    """
    return _paged(_COLUMNS, query, having)


def count_recordings(query: RecordingQuery) -> Statement:
    """Return the statement that counts recordings, within the limit and after the offset and the cursor."""
    inner = _paged("1", query, ())
    return Statement(f"SELECT count(*) FROM ({inner.sql})", inner.parameters)  # noqa: S608 - names of our own


def select_recording(recording_id: str) -> Statement:
    """Return the statement that reads what is known of one recording."""
    return Statement(f"SELECT {_COLUMNS} FROM recordings WHERE id = ?", (recording_id,))  # noqa: S608 - names of our own


def select_progress(recording_id: str) -> Statement:
    """Return the statement that tells how many signals a recording has, and its outcome."""
    return Statement("SELECT signal_count, outcome FROM recordings WHERE id = ?", (recording_id,))


def _paged(columns: str, query: RecordingQuery, having: Sequence[HavingName[bytes]]) -> Statement:
    asked = _Conditions()
    for one in having:
        asked.have_names(one)
    for key, value in query.metadata.items():
        asked.have_metadata(canonical_json(key), canonical_json(value))
    for column, wanted in (("run_id", query.run_id), ("name", query.name)):
        if wanted is not None:
            asked.add(f"recordings.{column} = ?", wanted)
    if query.outcome is not None:
        asked.add(f"recordings.outcome IN ({', '.join('?' * len(query.outcome))})", *sorted(query.outcome))
    for tag in tag_index(query.tags):
        asked.add(_TAGGED, tag)
    for sign, moment in ((">=", query.created_after), ("<", query.created_before)):
        if moment is not None:
            asked.add(f"{asked.time} {sign} ?", moment)
    if query.after is not None:
        asked.add(f"({asked.time}, {asked.identifier}) {'<' if query.order == 'newest' else '>'} (?, ?)", *query.after)
    return asked.statement(columns, query)


class _Conditions:
    """The conditions of a query, and where the walk begins: with the newest recording unless something leads to few."""

    def __init__(self) -> None:
        self._source = "recordings"
        self._first: tuple[Value, ...] = ()
        self._conditions: list[str] = []
        self._parameters: list[Value] = []
        self.time = "recordings.created_at"
        self.identifier = "recordings.id"

    def add(self, condition: str, *parameters: Value) -> None:
        self._conditions.append(condition)
        self._parameters += parameters

    def have_names(self, one: HavingName[bytes]) -> None:
        places = ", ".join(["CAST(? AS TEXT)"] * len(one.names))
        if one.leads:
            # CROSS JOIN keeps the order: from the few that have the name to what is known of them.
            few = f"(SELECT DISTINCT recording FROM signal_names WHERE name IN ({places})) AS few"  # noqa: S608
            self._source, self._first = f"{few} CROSS JOIN recordings ON recordings.number = few.recording", one.names
        else:
            exists = "SELECT 1 FROM signal_names WHERE recording = recordings.number AND name IN"
            self.add(f"EXISTS ({exists} ({places}))", *one.names)

    def have_metadata(self, key: str, value: str) -> None:
        if self._source == "recordings":
            # The index of the metadata is in the order of the list already.
            self._source = "recording_metadata AS wanted CROSS JOIN recordings ON recordings.number = wanted.recording"
            self.time, self.identifier = "wanted.created_at", "wanted.id"
            self.add("wanted.key = ? AND wanted.value = ?", key, value)
        else:
            exists = "SELECT 1 FROM recording_metadata AS also WHERE also.key = ? AND also.value = ?"
            same = "also.created_at = recordings.created_at AND also.id = recordings.id"
            self.add(f"EXISTS ({exists} AND {same})", key, value)

    def statement(self, columns: str, query: RecordingQuery) -> Statement:
        where = f" WHERE {' AND '.join(self._conditions)}" if self._conditions else ""
        direction = "DESC" if query.order == "newest" else "ASC"
        # -1 is SQLite's word for "all".
        page = (-1 if query.limit is None else query.limit, query.offset)
        return Statement(
            f"SELECT {columns} FROM {self._source}{where} "  # noqa: S608 - names of our own
            f"ORDER BY {self.time} {direction}, {self.identifier} {direction} LIMIT ? OFFSET ?",
            (*self._first, *self._parameters, *page),
        )


def found_recording(row: Row, *, store: str) -> RecordingInfo:
    """Return the recording that a row speaks of.

    Raises:
        CorruptRecordError: What is known of it is damaged.
    """
    return recording_from_row(row, store=store).info(store=store)


def checked_recordings(infos: list[RecordingInfo], query: RecordingQuery, *, store: str) -> list[RecordingInfo]:
    """Return the recordings that were found, once it is seen that they are what the query wants.

    Raises:
        StoreCorruptError: An index no longer agrees with the rows.
    """
    wrong = wrong_answer(infos, query, what="recording")
    if wrong is not None:
        raise misled(wrong, store=store)
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
