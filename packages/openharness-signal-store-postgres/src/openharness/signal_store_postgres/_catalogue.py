"""Which recordings there are: a `RecordingQuery` as SQL, and what fixture names mean."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, TypeAlias

from openharness.core import CorruptRecordError, canonical_json
from openharness.core.storage import RECORDING_COLUMNS, checksum, recording_from_columns, tag_index, wrong_answer
from openharness.postgres import bounded, fence, misled

if TYPE_CHECKING:
    from collections.abc import Sequence

    from openharness.core import RecordingInfo, RecordingQuery
    from openharness.core.storage import HavingName
    from openharness.postgres import Names, Row

__all__ = ("Catalogue", "Statement", "checked_recordings", "found_fixture", "found_recording")

Statement: TypeAlias = "tuple[str, list[object]]"
"""SQL, and one value for each of its ``$n``."""

_COLUMNS: Final = ", ".join(f"recordings.{name}" for name in ("number", *RECORDING_COLUMNS))


class Catalogue:
    """The statements that read what is known of recordings, for one store.

    Args:
        names: Where its tables are.
    """

    def __init__(self, names: Names) -> None:
        self._names = names
        recordings = self._recordings = f"{names('recordings')} AS recordings"
        unless_newer = names.unless_newer
        self.select_one = self.select_one_with()
        self.select_progress = f"SELECT signal_count, outcome FROM {recordings} WHERE id = $1 AND {unless_newer}"  # noqa: S608
        # The name, its checksum, and the recording.
        self.select_fixture = (
            f"SELECT fixtures.name AS fixture, fixtures.checksum AS sealed, {_COLUMNS} FROM {names('fixtures')} AS fixtures "  # noqa: S608
            f"LEFT JOIN {recordings} ON recordings.number = fixtures.recording WHERE fixtures.name = $1 AND {unless_newer}"
        )
        self.select_fixtures = f"SELECT name FROM {names('fixtures')} WHERE {unless_newer}"  # noqa: S608

    def select_one_with(self, *more: str) -> str:
        """Return the statement that reads what is known of the recording with the id $1.

        Args:
            more: What else to read, as SQL.
        """
        columns = ", ".join((_COLUMNS, *more))
        return f"SELECT {columns} FROM {self._recordings} WHERE id = $1 AND {self._names.unless_newer}"  # noqa: S608 - names of our own

    def select(self, query: RecordingQuery, having: Sequence[HavingName[str]] = ()) -> Statement:
        """Return the statement that lists what is known of recordings, in the order of the query.

        Args:
            query: What is wanted.
            having: Of which names they must have signals.
        """
        return self._paged(_COLUMNS, query, having)

    def count(self, query: RecordingQuery) -> Statement:
        """Return the statement that counts recordings, within the limit and after the offset and the cursor."""
        sql, values = self._paged("1", query, ())
        return f"SELECT count(*) FROM ({sql}) AS found", values  # noqa: S608 - names of our own

    def _paged(self, columns: str, query: RecordingQuery, having: Sequence[HavingName[str]]) -> Statement:
        asked = _Conditions(self._names)
        for one in having:
            asked.have_names(one)
        for key, value in query.metadata.items():
            asked.have_metadata(bounded(canonical_json(key)), bounded(canonical_json(value)))
        for column, wanted in (("run_id", query.run_id), ("name", query.name)):
            if wanted is not None:
                asked.add(f"recordings.{column} = {asked.value(wanted, 'text')}")
        if query.outcome is not None:
            asked.add(f"recordings.outcome = ANY ({asked.value(sorted(query.outcome), 'text[]')})")
        for tag in tag_index(query.tags):
            asked.have_tag(bounded(tag))
        for sign, moment in ((">=", query.created_after), ("<", query.created_before)):
            if moment is not None:
                asked.add(f"{asked.time} {sign} {asked.value(moment, 'bigint')}")
        if query.after is not None:
            sign = "<" if query.order == "newest" else ">"
            created_at, last_id = query.after
            position = f"({asked.value(created_at, 'bigint')}, {asked.value(last_id, 'text')})"
            asked.add(f"({asked.time}, {asked.identifier}) {sign} {position}")
        return asked.statement(columns, query)


class _Conditions:
    """The conditions of a query, and where the walk begins: with the newest recording unless something leads to few."""

    def __init__(self, names: Names) -> None:
        self._names = names
        self._recordings = f"{names('recordings')} AS recordings"
        self._source = self._recordings
        self._conditions = [names.unless_newer]
        self._values: list[object] = []
        self._joined = 0
        self.time = "recordings.created_at"
        self.identifier = "recordings.id"

    def value(self, value: object, kind: str) -> str:
        """Add a value and return what stands for it in the text."""
        self._values.append(value)
        return f"${len(self._values)}::{kind}"

    def add(self, condition: str) -> None:
        self._conditions.append(condition)

    def have_names(self, one: HavingName[str]) -> None:
        table, places = self._names("signal_names"), self.value(list(one.names), "text[]")
        if one.leads:
            few = f"(SELECT DISTINCT recording FROM {table} WHERE name = ANY ({places})) AS few"  # noqa: S608 - names of our own
            self._source = f"{few} JOIN {self._recordings} ON recordings.number = few.recording"
        else:
            # OFFSET keeps the server from making a join of it: it would collect all recordings that have the names for
            # each page, and does so when it reuses a plan that was good for names that are rarer.
            self.add(
                f"EXISTS (SELECT FROM {table} AS had WHERE had.recording = recordings.number "
                f"AND had.name = ANY ({places}) OFFSET 0)"
            )

    def have_metadata(self, key: str, value: str) -> None:
        table = self._names("recording_metadata")
        wanted_key, wanted_value = self.value(key, "text"), self.value(value, "text")
        if self._source == self._recordings:
            # The index of the metadata is in the order of the list already.
            self._source = f"{table} AS wanted JOIN {self._recordings} ON recordings.number = wanted.recording"
            self.time, self.identifier = "wanted.created_at", "wanted.id"
            self.add(f"wanted.key = {wanted_key} AND wanted.value = {wanted_value}")
        else:
            self.add(
                f"EXISTS (SELECT FROM {table} AS also WHERE also.key = {wanted_key} AND also.value = {wanted_value} "
                f"AND also.created_at = recordings.created_at AND also.id = recordings.id{self._fence()})"
            )

    def have_tag(self, tag: str) -> None:
        table = self._names("recording_tags")
        self.add(
            f"EXISTS (SELECT FROM {table} AS tagged WHERE tagged.recording = recordings.number "
            f"AND tagged.tag = {self.value(tag, 'text')}{self._fence()})"
        )

    def _fence(self) -> str:
        self._joined += 1
        return fence(self._joined)

    def statement(self, columns: str, query: RecordingQuery) -> Statement:
        direction = "DESC" if query.order == "newest" else "ASC"
        sql = (
            f"SELECT {columns} FROM {self._source} WHERE {' AND '.join(self._conditions)} "  # noqa: S608 - names of our own
            f"ORDER BY {self.time} {direction}, {self.identifier} {direction}"
        )
        if query.limit is not None:
            sql += f" LIMIT {self.value(query.limit, 'bigint')}"
        if query.offset:
            sql += f" OFFSET {self.value(query.offset, 'bigint')}"
        return sql, self._values


def found_recording(row: Row, *, store: str) -> RecordingInfo:
    """Return the recording that a row speaks of.

    Raises:
        CorruptRecordError: What is known of it is damaged.
    """
    return recording_from_columns(row, store=store).info(store=store)


def checked_recordings(infos: list[RecordingInfo], query: RecordingQuery, *, store: str) -> list[RecordingInfo]:
    """Return the recordings that were found, once it is seen that they are what the query wants.

    Raises:
        StoreCorruptError: An index no longer agrees with the rows.
    """
    wrong = wrong_answer(infos, query, what="recording")
    if wrong is not None:
        raise misled(wrong, store=store)
    return infos


def found_fixture(rows: Sequence[Row], name: str, *, store: str) -> RecordingInfo | None:
    """Return the recording that is published under a name, or None.

    Raises:
        CorruptRecordError: The name does not mean what was published, or what is known of the recording is damaged.
    """
    if not rows:
        return None
    found, sealed, *columns = rows[0]
    if columns[0] is not None:
        stored = recording_from_columns(columns, store=store)
        if found == name and sealed == checksum(name, stored.header.id):
            return stored.info(store=store)
    raise CorruptRecordError(name, reason="the fixture name does not have its checksum", store=store)
