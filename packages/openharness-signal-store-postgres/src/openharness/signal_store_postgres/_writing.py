"""What is written about recordings: for any number of callers at once, in one statement.

What a store itself has written it remembers, and plans the next append by that, without asking. The statement then writes
only to those recordings that are still as they are remembered: their row has the checksum that was seen last. So an append
is one round trip. Where somebody else has changed the recording, or only the database can tell, its row is locked and read
first.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import TYPE_CHECKING, Final

from openharness.core import CorruptRecordError, OpenHarnessError, StoreBusyError
from openharness.core.storage import (
    RECORDING_COLUMNS,
    EncodedBlob,
    EncodedSignal,
    checksum,
    metadata_index,
    recording_columns,
    recording_from_columns,
    tag_index,
)
from openharness.postgres import bounded
from openharness.signal_store_postgres._batch import Batch, Job, Known, Log, NotKnownError
from openharness.signal_store_postgres._rows import (
    SIGNAL_COLUMNS,
    indexed_name,
    signal_to_row,
)
from openharness.signal_store_postgres._schema import channel_name

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from openharness.postgres import Channel, Names, Row

__all__ = ("Writing",)

_REMEMBERED: Final = 1024
"""Of how many recordings a store remembers how far they have been written."""
_REMEMBERED_WORDS: Final = 4096
"""How many digests, and how many names, of each."""
_LONGEST_METADATA: Final = 16 * 1024
"""Metadata longer than that is not worth remembering."""
_ATTEMPTS: Final = 10

_TYPES: Final = {
    "position": "integer",
    "number": "bigint",
    "created_at": "bigint",
    "duration_ms": "bigint",
    "signal_count": "bigint",
    "seq": "bigint",
    "timestamp": "bigint",
}
_CHANGED: Final = ("outcome", "duration_ms", "signal_count", "provider_types", "checksum")

_SECTIONS: Final[dict[str, tuple[str, ...]]] = {
    "changed": ("position", "number", "expected", *_CHANGED),
    "made": ("position", *RECORDING_COLUMNS),
    "signals": ("position", *SIGNAL_COLUMNS),
    "signal_names": ("position", "name", "long_name"),
    "blobs": ("position", "digest", "checksum", "data"),
    "checkpoints": ("position", "name", "seq", "checksum"),
    "fixtures": ("position", "name", "checksum"),
    "recording_tags": ("position", "tag"),
    "recording_metadata": ("position", "key", "value", "created_at", "id"),
}
"""The columns of what a statement is given, for each of its parts. Recordings are known by their position in the batch."""

_ON_CONFLICT: Final = {
    # Somebody else may have written the same; a digest, and a name, say all there is to say.
    "signal_names": " ON CONFLICT DO NOTHING",
    "blobs": " ON CONFLICT DO NOTHING",
    "fixtures": " ON CONFLICT (name) DO UPDATE SET recording = excluded.recording, checksum = excluded.checksum",
}


class _MissedError(Exception):
    """Somebody else was faster, and the transaction is to be done again."""


class Writing:
    """What one store writes, and what it remembers of it.

    Args:
        names: Where its tables are.
        store: What the store calls itself in errors.
    """

    def __init__(self, names: Names, *, store: str) -> None:
        self._names = names
        self._store = store
        self._known: OrderedDict[str, Known] = OrderedDict()
        self._statements: dict[tuple[str, ...], str] = {}
        recordings = names("recordings")
        self._lock = (
            f"SELECT number, {', '.join(RECORDING_COLUMNS)} FROM {recordings} "  # noqa: S608 - names of our own
            f"WHERE id = ANY ($1::text[]) AND {names.unless_newer} ORDER BY id FOR UPDATE"
        )
        self._digests = (
            f"SELECT part.recording, part.digest FROM {names('blobs')} AS part "  # noqa: S608 - names of our own
            "JOIN unnest($1::bigint[], $2::text[]) AS asked (recording, digest) USING (recording, digest)"
        )
        self._signals = (
            f"SELECT part.recording, {', '.join(f'part.{name}' for name in SIGNAL_COLUMNS)} "  # noqa: S608
            "FROM unnest($1::bigint[], $2::bigint[], $3::bigint[]) AS asked (recording, start, stop) "
            f"JOIN {names('signals')} AS part "
            "ON part.recording = asked.recording AND part.seq >= asked.start AND part.seq < asked.stop"
        )
        self._checkpoints = (
            f"SELECT part.recording, part.name, part.seq FROM {names('checkpoints')} AS part "  # noqa: S608
            "JOIN unnest($1::bigint[], $2::text[]) AS asked (recording, name) USING (recording, name)"
        )
        self._delete = f"DELETE FROM {recordings} WHERE id = ANY ($1::text[]) AND {names.unless_newer}"  # noqa: S608 - names of our own

    async def delete_recordings(self, channel: Channel, ids: Sequence[str]) -> Sequence[None]:
        """Delete recordings; the rows of the other tables follow."""
        for recording_id in ids:
            self._known.pop(recording_id, None)
        await channel.fetch(self._delete, sorted(set(ids)))
        return [None] * len(ids)

    async def write_jobs(self, channel: Channel, jobs: Sequence[Job]) -> Sequence[OpenHarnessError | None]:
        """Do what several callers want done, in their order."""
        results: dict[Job, OpenHarnessError | None] = {}
        by_recording: dict[str, list[Job]] = {}
        for job in jobs:
            by_recording.setdefault(job.recording_id, []).append(job)
        try:
            unsure = await self._write_remembered(channel, by_recording, results)
            if unsure:
                left = [job for job in jobs if job.recording_id in unsure]
                await self._write_locked(channel, left, results)
        except BaseException:
            # What the server made of it is not known.
            for recording_id in by_recording:
                self._known.pop(recording_id, None)
            for job in jobs:
                job.again = True
            raise
        return [results[job] for job in jobs]

    async def _write_remembered(
        self, channel: Channel, by_recording: Mapping[str, Sequence[Job]], results: dict[Job, OpenHarnessError | None]
    ) -> set[str]:
        """Write to the recordings that are remembered, in one statement, and return the ids of all others."""
        logs: dict[str, Log] = {}
        for recording_id, jobs in by_recording.items():
            log = self._remembered(recording_id, jobs)
            if log is None:
                continue
            batch = Batch({recording_id: log}, store=self._store)
            try:
                for job in jobs:
                    job.do(batch)
            except (OpenHarnessError, NotKnownError):
                # Perhaps it is only remembered wrongly.
                continue
            if log.is_touched:
                logs[recording_id] = log
        written = await self._flush(channel, logs)
        for recording_id in written:
            results.update(dict.fromkeys(by_recording[recording_id]))
        return set(by_recording) - written

    def _remembered(self, recording_id: str, jobs: Sequence[Job]) -> Log | None:
        if any(job.again or job.needs == "all" for job in jobs):
            return None
        if jobs[0].needs == "nothing":
            return Log(None)
        known = self._known.get(recording_id)
        return None if known is None else Log(known)

    async def _write_locked(
        self, channel: Channel, jobs: Sequence[Job], results: dict[Job, OpenHarnessError | None]
    ) -> None:
        """Write to any recordings, in one transaction that has locked and read them first."""
        for _ in range(_ATTEMPTS):
            done: dict[Job, OpenHarnessError | None] = {}
            try:
                async with channel.transaction():
                    logs, broken = await self._read_logs(channel, jobs)
                    batch = Batch(logs, store=self._store)
                    for job in jobs:
                        done[job] = broken.get(job.recording_id) or _outcome(job, batch)
                    if await self._flush(channel, logs) != set(logs):
                        raise _MissedError  # noqa: TRY301 - it takes the transaction back
            except _MissedError:
                continue
            results.update(done)
            return
        raise StoreBusyError("others changed the same recordings again and again. Try again.", store=self._store)

    async def _read_logs(
        self, channel: Channel, jobs: Sequence[Job]
    ) -> tuple[dict[str, Log], dict[str, OpenHarnessError]]:
        """Lock the recordings, and read of them what the jobs need."""
        ids = sorted({job.recording_id for job in jobs})
        known: dict[str, Known] = {}
        broken: dict[str, OpenHarnessError] = {}
        for row in await channel.fetch(self._lock, ids):
            try:
                known[row["id"]] = Known(
                    recording=recording_from_columns(row, store=self._store), checksum=row["checksum"]
                )
            except CorruptRecordError as error:
                broken[row["id"]] = error
        asked: list[tuple[int, Job]] = []
        for job in jobs:
            there = known.get(job.recording_id)
            if there is not None and there.recording.number is not None:
                asked.append((there.recording.number, job))
        digests = await self._read(
            channel, self._digests, [(n, digest) for n, job in asked for digest in _digests(job)]
        )
        ranges = [(number, *bounds) for number, job in asked if (bounds := _bounds(job))]
        signals = await self._read(channel, self._signals, ranges)
        names = [(number, job.checkpoint) for number, job in asked if job.checkpoint is not None]
        checkpoints = await self._read(channel, self._checkpoints, names)
        logs: dict[str, Log] = {}
        for recording_id in ids:
            if recording_id in broken:
                continue
            there = known.get(recording_id)
            number = None if there is None else there.recording.number
            log = logs[recording_id] = Log(
                there,
                rows={row["seq"]: row[1:] for row in signals if row[0] == number},
                checkpoints={row[1]: row[2] for row in checkpoints if row[0] == number},
            )
            for row in digests:
                if row[0] == number:
                    log.blobs.add(row[1])
        return logs, broken

    async def _read(self, channel: Channel, sql: str, asked: Sequence[tuple[object, ...]]) -> list[Row]:
        if not asked:
            return []
        columns: Iterable[Sequence[object]] = zip(*dict.fromkeys(asked), strict=True)
        return await channel.fetch(sql, *columns)

    async def _flush(self, channel: Channel, logs: Mapping[str, Log]) -> set[str]:
        """Write what is new in recordings, and return the ids of those that are written."""
        touched = [(recording_id, log) for recording_id, log in logs.items() if log.is_touched]
        written = set(logs) - {recording_id for recording_id, _ in touched}
        if not touched:
            return written
        parts: dict[str, list[tuple[object, ...]]] = {name: [] for name in _SECTIONS}
        for position, (recording_id, log) in enumerate(touched):
            _add_rows(parts, position, recording_id, log)
        present = tuple(name for name, rows in parts.items() if rows)
        sql = self._statements.get(present)
        if sql is None:
            sql = self._statements[present] = self._statement(present)
        arrays = [column for name in present for column in zip(*parts[name], strict=True)]
        for row in await channel.fetch(sql, *arrays):
            there: int = row["position"]
            recording_id, log = touched[there]
            written.add(recording_id)
            self._remember(recording_id, log.remembered(row["number"], most=_REMEMBERED_WORDS))
        for recording_id, _ in touched:
            if recording_id not in written:
                self._known.pop(recording_id, None)
        return written

    def _remember(self, recording_id: str, known: Known) -> None:
        self._known.pop(recording_id, None)
        header, summary = known.recording.header, known.recording.summary
        if summary.outcome != "incomplete" or len(header.metadata or b"") > _LONGEST_METADATA:
            return
        self._known[recording_id] = known
        if len(self._known) > _REMEMBERED:
            self._known.popitem(last=False)

    def _statement(self, present: Sequence[str]) -> str:
        """The statement with these parts. It returns the position and the number of each recording that it wrote to."""
        names, recordings = self._names, self._names("recordings")
        given: dict[str, str] = {}
        count = 0
        for section in present:
            columns = _SECTIONS[section]
            arrays: list[str] = []
            for column in columns:
                count += 1
                # The checksum of a signal is a number.
                kind = "bigint" if (section, column) == ("signals", "checksum") else _TYPES.get(column, "text")
                arrays.append(f"${count}::{kind}[]")
            given[section] = f"unnest({', '.join(arrays)}) AS given ({', '.join(columns)})"
        steps: list[str] = []
        known: list[str] = []
        if "changed" in given:
            changes = ", ".join(f"{name} = given.{name}" for name in _CHANGED)
            steps.append(
                f"changed AS (UPDATE {recordings} AS recording SET {changes} FROM {given['changed']} "  # noqa: S608
                "WHERE recording.number = given.number AND recording.checksum = given.expected "
                f"RETURNING given.position, recording.number, CASE WHEN recording.followed_until > clock_timestamp() "
                f"THEN pg_notify('{channel_name(names)}', recording.id)::text END AS told)"
            )
            known.append("SELECT position, number, told FROM changed")
        if "made" in given:
            listed = ", ".join(RECORDING_COLUMNS)
            steps += [
                f"new AS (SELECT * FROM {given['made']})",  # noqa: S608 - names of our own
                (
                    f"made AS (INSERT INTO {recordings} ({listed}) SELECT {listed} FROM new "  # noqa: S608
                    "ON CONFLICT (id) DO NOTHING RETURNING id, number)"
                ),
            ]
            known.append("SELECT new.position, made.number, NULL::text FROM made JOIN new USING (id)")
        steps.append(f"known (position, number, told) AS ({' UNION ALL '.join(known)})")
        for section in present:
            if section in ("changed", "made"):
                continue
            listed = ", ".join(_SECTIONS[section][1:])
            steps.append(
                f"new_{section} AS (INSERT INTO {names(section)} (recording, {listed}) SELECT known.number, "  # noqa: S608
                f"{', '.join(f'given.{name}' for name in _SECTIONS[section][1:])} FROM {given[section]} "
                f"JOIN known USING (position){_ON_CONFLICT.get(section, '')})"
            )
        return f"WITH {', '.join(steps)} SELECT position, number FROM known WHERE {names.unless_newer}"  # noqa: S608


def _outcome(job: Job, batch: Batch) -> OpenHarnessError | None:
    batch.again = job.again
    try:
        job.do(batch)
    except OpenHarnessError as error:
        return error
    return None


def _digests(job: Job) -> list[str]:
    digests: list[str] = []
    for entry in job.entries:
        if isinstance(entry, EncodedBlob):
            digests.append(entry.digest)
        else:
            digests += entry.references
    return digests


def _bounds(job: Job) -> tuple[int, int] | None:
    """The range of the signals that a job brings, some of which may be there."""
    seqs = [entry.seq for entry in job.entries if isinstance(entry, EncodedSignal)]
    return (min(seqs), max(seqs) + 1) if seqs else None


def _add_rows(parts: dict[str, list[tuple[object, ...]]], position: int, recording_id: str, log: Log) -> None:
    """Add what is new in a recording to the rows of each part."""
    recording = log.existing
    row = recording_columns(recording)
    if log.known is None:
        header = recording.header
        parts["made"].append((position, *row))
        parts["recording_tags"] += [(position, bounded(tag)) for tag in tag_index(header.tags)]
        parts["recording_metadata"] += [
            (position, bounded(key), bounded(value), header.created_at, header.id)
            for key, value in metadata_index(header.metadata)
        ]
    else:
        parts["changed"].append((position, recording.number, log.known.checksum, *row[-len(_CHANGED) :]))
    parts["signals"] += [(position, *signal_to_row(recording_id, signal)) for signal in log.new_signals.values()]
    parts["signal_names"] += [(position, *indexed_name(name)) for name in log.new_names]
    parts["blobs"] += [
        (position, blob.digest, checksum(recording_id, blob.digest, blob.data), blob.data.decode())
        for blob in log.new_blobs
    ]
    parts["checkpoints"] += [
        (position, name, seq, checksum(recording_id, name, seq)) for name, seq in log.new_checkpoints
    ]
    parts["fixtures"] += [(position, name, checksum(name, recording_id)) for name in log.new_fixtures]
