"""What is written about recordings: for any number of callers at once, in one transaction.

Each method of `Tables` first finds out whether it may, and raises before it has written anything. So one caller's error
takes nothing back that others wrote beside it.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from functools import partial
from typing import TYPE_CHECKING, Any, Final, TypeAlias, cast

import attrs

from openharness.core import CorruptRecordError, OpenHarnessError, RecordingNotFoundError
from openharness.core.storage import (
    RECORDING_COLUMNS,
    EncodedBlob,
    EncodedSignal,
    RecordingHeader,
    RecordingSummary,
    StoredRecording,
    checksum,
    metadata_index,
    needs_checkpoint,
    needs_finalizing,
    needs_restoring,
    plan_append,
    recording_columns,
    tag_index,
)
from openharness.signal_store_sqlite._rows import (
    SIGNAL_COLUMNS,
    is_utf8,
    recording_from_row,
    signal_from_row,
    signal_to_row,
)
from openharness.signal_store_sqlite._schema import INSERT_METADATA

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterator, Sequence

    from openharness.core import Outcome
    from openharness.core.storage import EncodedEntry
    from openharness.sqlite import Channel, Row

__all__ = ("Job", "Tables", "write_jobs")

Job: TypeAlias = "Callable[[Tables], None]"
"""What one caller wants done."""

_CREATE: Final = (
    f"INSERT INTO recordings ({', '.join(RECORDING_COLUMNS)}) "  # noqa: S608 - names of our own
    f"VALUES ({', '.join('?' * len(RECORDING_COLUMNS))})"
)
_RECORDING: Final = f"SELECT {', '.join(('number', *RECORDING_COLUMNS))} FROM recordings WHERE id = ?"  # noqa: S608
_UPDATE: Final = (
    "UPDATE recordings SET outcome = ?, duration_ms = ?, signal_count = ?, provider_types = ?, checksum = ? "
    "WHERE number = ?"
)
_SIGNALS: Final = (
    f"SELECT {', '.join(SIGNAL_COLUMNS)} FROM signals "  # noqa: S608 - names of our own
    "WHERE recording = ? AND seq >= ? AND seq < ? ORDER BY seq"
)
_SIGNAL_PLACES: Final = ("?",) * (1 + len(SIGNAL_COLUMNS))
_APPEND: Final = f"INSERT INTO signals (recording, {', '.join(SIGNAL_COLUMNS)}) VALUES ({', '.join(_SIGNAL_PLACES)})"  # noqa: S608
_TEXTS: Final = frozenset({"id", "name", "agent", "provider", "parent", "activation"})
_APPEND_BYTES: Final = (
    f"INSERT INTO signals (recording, {', '.join(SIGNAL_COLUMNS)}) "  # noqa: S608 - names of our own
    f"VALUES (?, {', '.join('CAST(? AS TEXT)' if name in _TEXTS else '?' for name in SIGNAL_COLUMNS)})"
)
# Half a character in a name is no text that can be bound.
_ADD_NAME: Final = "INSERT OR IGNORE INTO signal_names (name, recording) VALUES (CAST(? AS TEXT), ?)"
_PUBLISH: Final = (
    "INSERT INTO fixtures (name, recording, checksum) VALUES (?, ?, ?) "
    "ON CONFLICT (name) DO UPDATE SET recording = excluded.recording, checksum = excluded.checksum"
)


async def write_jobs(channel: Channel, jobs: Sequence[Job], *, store: str) -> Sequence[OpenHarnessError | None]:
    """Do what several callers want done, in their order, in one transaction."""
    return await channel.write(partial(_write_all, jobs, store))


def _write_all(jobs: Sequence[Job], store: str, connection: sqlite3.Connection) -> list[OpenHarnessError | None]:
    # As in the connection that reads: a broken character is the error of its row.
    connection.text_factory = bytes
    tables = Tables(connection, store=store)
    results: list[OpenHarnessError | None] = []
    for job in jobs:
        try:
            job(tables)
        except OpenHarnessError as error:
            results.append(error)
        else:
            results.append(None)
    return results


class Tables:
    """The tables as those see them who change something, inside of a transaction that has the write lock.

    Args:
        connection: The connection.
        store: What the store calls itself in errors.
    """

    def __init__(self, connection: sqlite3.Connection, *, store: str) -> None:
        self._connection = connection
        self._store = store

    def create(self, header: RecordingHeader) -> None:
        """Add an empty recording."""
        recording = StoredRecording(number=None, header=header, summary=RecordingSummary())
        number = self._connection.execute(_CREATE, recording_columns(recording)).lastrowid
        tags = [(number, tag) for tag in tag_index(header.tags)]
        if tags:
            self._connection.executemany("INSERT INTO recording_tags (recording, tag) VALUES (?, ?)", tags)
        pairs = metadata_index(header.metadata)
        if pairs:
            rows = [(key, value, header.created_at, header.id, number) for key, value in pairs]
            self._connection.executemany(INSERT_METADATA, rows)

    def restore(self, header: RecordingHeader) -> None:
        """Add the empty recording of another store. See `SignalStore.restore_recording`."""
        row = self._connection.execute(_RECORDING, (header.id,)).fetchone()
        known = None if row is None else recording_from_row(row, store=self._store).header
        if needs_restoring(known, header, store=self._store):
            self.create(header)

    def append(self, recording_id: str, entries: Sequence[EncodedEntry]) -> None:
        """Append entries. See `SignalStore.append`."""
        recording = self._recording(recording_id)
        number = cast("int", recording.number)
        blobs = _Digests(self._connection, number)
        existing = partial(self._existing, recording)
        new = plan_append(recording.position(blobs), entries, existing, store=self._store)
        if not new:
            return
        data = [entry for entry in new if isinstance(entry, EncodedBlob)]
        if data:
            self._connection.executemany(
                "INSERT INTO blobs (recording, digest, checksum, data) VALUES (?, ?, ?, ?)",
                [
                    (number, blob.digest, checksum(recording_id, blob.digest, blob.data), blob.data.decode())
                    for blob in data
                ],
            )
        signals = [entry for entry in new if isinstance(entry, EncodedSignal)]
        if signals:
            self._insert([signal_to_row(number, recording_id, signal) for signal in signals])
            names = {signal.name for signal in signals}
            self._connection.executemany(
                _ADD_NAME, [(name.encode("utf-8", "surrogatepass"), number) for name in sorted(names)]
            )
            summary = recording.summary
            providers = {signal.source.provider for signal in signals} - {None, *summary.provider_types}
            self._update(
                recording,
                signal_count=summary.signal_count + len(signals),
                provider_types=tuple(sorted({*summary.provider_types, *cast("set[str]", providers)})),
            )

    def _insert(self, rows: Sequence[Row]) -> None:
        try:
            self._connection.executemany(_APPEND, rows)
        except UnicodeEncodeError:
            # Half a character in a name is no text that can be bound. What was inserted of them before is taken back.
            self._connection.executemany(
                "DELETE FROM signals WHERE recording = ? AND seq = ?", [(row[0], row[1]) for row in rows]
            )
            for row in rows:
                if is_utf8(row):
                    self._connection.execute(_APPEND, row)
                else:
                    self._connection.execute(
                        _APPEND_BYTES,
                        [
                            value.encode("utf-8", "surrogatepass")
                            if isinstance(value, str) and index < _PAYLOAD
                            else value
                            for index, value in enumerate(row)
                        ],
                    )

    def add_checkpoint(self, recording_id: str, name: str, seq: int) -> None:
        """Give a name to a position. See `SignalStore.add_checkpoint`."""
        recording = self._recording(recording_id)
        rows = self._connection.execute(
            "SELECT seq FROM checkpoints WHERE recording = ? AND name = ?", (recording.number, name)
        ).fetchall()
        known = {name: rows[0][0]} if rows else {}
        if needs_checkpoint(recording.position(), known, name, seq, store=self._store):
            self._connection.execute(
                "INSERT INTO checkpoints (recording, name, seq, checksum) VALUES (?, ?, ?, ?)",
                (recording.number, name, seq, checksum(recording_id, name, seq)),
            )

    def finalize(self, recording_id: str, outcome: Outcome, duration_ms: int | None) -> None:
        """Close the log. See `SignalStore.finalize`."""
        recording = self._recording(recording_id)
        if needs_finalizing(recording.position(), outcome, duration_ms, store=self._store):
            self._update(recording, outcome=outcome, duration_ms=duration_ms)

    def publish(self, recording_id: str, name: str) -> None:
        """Make this recording what the fixture name means. See `SignalStore.publish`."""
        recording = self._recording(recording_id)
        self._connection.execute(_PUBLISH, (name, recording.number, checksum(name, recording_id)))

    def delete(self, recording_id: str) -> None:
        """Delete a recording; the tables that refer to it follow."""
        self._connection.execute("DELETE FROM recordings WHERE id = ?", (recording_id,))

    def _recording(self, recording_id: str) -> StoredRecording:
        row = self._connection.execute(_RECORDING, (recording_id,)).fetchone()
        if row is None:
            raise RecordingNotFoundError(recording_id, store=self._store)
        return recording_from_row(row, store=self._store)

    def _update(self, recording: StoredRecording, **changes: Any) -> None:
        changed = attrs.evolve(recording, summary=attrs.evolve(recording.summary, **changes))
        self._connection.execute(_UPDATE, (*recording_columns(changed)[-5:], recording.number))

    def _existing(self, recording: StoredRecording, start: int, stop: int) -> list[EncodedSignal]:
        recording_id = recording.header.id
        rows = self._connection.execute(_SIGNALS, (recording.number, start, stop)).fetchall()
        if len(rows) != stop - start:
            reason = f"of the signals {start} to {stop - 1} only {len(rows)} are there"
            raise CorruptRecordError(recording_id, reason=reason, store=self._store)
        return [signal_from_row(row, recording_id=recording_id, store=self._store) for row in rows]


_PAYLOAD: Final = len(SIGNAL_COLUMNS)
"""Where the payload is in a row to be written."""


class _Digests(Collection[str]):
    """The digests of the blobs of a recording, asked for one by one: there may be many more than an append needs."""

    def __init__(self, connection: sqlite3.Connection, number: int) -> None:
        self._connection = connection
        self._number = number

    def __contains__(self, digest: object) -> bool:
        rows = self._connection.execute(
            "SELECT 1 FROM blobs WHERE recording = ? AND digest = ?", (self._number, digest)
        ).fetchall()
        return bool(rows)

    def __iter__(self) -> Iterator[str]:
        rows = self._connection.execute("SELECT digest FROM blobs WHERE recording = ?", (self._number,)).fetchall()
        return (digest.decode() for (digest,) in rows)

    def __len__(self) -> int:
        (count,) = self._connection.execute(
            "SELECT count(*) FROM blobs WHERE recording = ?", (self._number,)
        ).fetchone()
        return cast("int", count)
