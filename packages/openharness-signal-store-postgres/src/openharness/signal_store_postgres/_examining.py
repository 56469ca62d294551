"""Everything in the tables of recordings, read for nothing but its checksums, and whether it belongs together."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from openharness.core import CorruptRecordError
from openharness.core.storage import RECORDING_COLUMNS, checksum, metadata_index, recording_from_columns, tag_index
from openharness.postgres import bounded
from openharness.signal_store_postgres._rows import SIGNAL_COLUMNS, signal_from_row

if TYPE_CHECKING:
    from openharness.postgres import Examination, Row

__all__ = ("PARTS", "examine")

PARTS: Final = (
    "signals",
    "signal_names",
    "blobs",
    "checkpoints",
    "fixtures",
    "recording_tags",
    "recording_metadata",
)
"""The tables whose rows belong to a recording."""

_RECORDING: Final = "recording"


async def examine(examination: Examination) -> None:
    """Add a finding for each recording that is not as it was written, and for what does not find recordings."""
    await _check_recordings(examination)
    await _check_signals(examination)
    await _check_others(examination)
    await _check_what_belongs_together(examination)


async def _check_recordings(examination: Examination) -> None:
    names = examination.names
    count = 0
    # What a recording is found by, in any order.
    tags = f"ARRAY(SELECT tag FROM {names('recording_tags')} AS part WHERE part.recording = here.number)"  # noqa: S608
    pairs = (
        f"ARRAY(SELECT ARRAY[key, value] FROM {names('recording_metadata')} AS part "  # noqa: S608 - names of our own
        "WHERE part.recording = here.number AND part.created_at = here.created_at AND part.id = here.id)"
    )
    async for row in examination.rows(
        "recordings", f"number, {', '.join(RECORDING_COLUMNS)}, {tags}, {pairs}", label="id"
    ):
        try:
            _check_recording(row)
        except CorruptRecordError as error:
            examination.damaged(error, what=_RECORDING)
        else:
            count += 1
    examination.facts["recordings"] = count


def _check_recording(row: Row) -> None:
    recording = recording_from_columns(row[: len(RECORDING_COLUMNS) + 1], store="")
    recording.info(store="")
    header = recording.header
    found_tags: list[str]
    found_pairs: list[list[str]]
    found_tags, found_pairs = row[len(RECORDING_COLUMNS) + 1 : len(RECORDING_COLUMNS) + 3]
    tags = set(map(bounded, tag_index(header.tags)))
    pairs = {(bounded(key), bounded(value)) for key, value in metadata_index(header.metadata)}
    if set(found_tags) != tags or {(key, value) for key, value in found_pairs} != pairs:
        raise CorruptRecordError(header.id, reason="what it is found by does not agree with its tags and metadata")


async def _check_signals(examination: Examination) -> None:
    count = 0
    columns = ", ".join(f"here.{name}" for name in SIGNAL_COLUMNS)
    async for row in examination.rows("signals", f"{columns}, {_id(examination)}", label=_id(examination)):
        recording_id = row[len(SIGNAL_COLUMNS)]
        if recording_id is None:
            continue  # told with all that belongs to nothing
        try:
            signal_from_row(row, recording_id=recording_id, store="")
        except CorruptRecordError as error:
            examination.damaged(error, what=_RECORDING)
        else:
            count += 1
    examination.facts["signals"] = count


async def _check_others(examination: Examination) -> None:
    owner = _id(examination)
    async for recording_id, digest, data, sealed, *_ in examination.rows(
        "blobs", f"{owner}, here.digest, here.data, here.checksum", label=owner
    ):
        _check(examination, recording_id, f"the blob {digest!r}", sealed, (recording_id, digest, data.encode()))
    async for recording_id, name, seq, sealed, *_ in examination.rows(
        "checkpoints", f"{owner}, here.name, here.seq, here.checksum", label=owner
    ):
        _check(examination, recording_id, f"the checkpoint {name!r}", sealed, (recording_id, name, seq))
    async for recording_id, name, sealed, *_ in examination.rows(
        "fixtures", f"{owner}, here.name, here.checksum", label=owner
    ):
        _check(examination, recording_id, f"the fixture name {name!r}", sealed, (name, recording_id))


def _check(
    examination: Examination, recording_id: str | None, what: str, sealed: str, fields: tuple[str | bytes | int, ...]
) -> None:
    if recording_id is not None and checksum(*fields) != sealed:
        error = CorruptRecordError(recording_id, reason=f"{what} does not have its checksum")
        examination.damaged(error, what=_RECORDING)


def _id(examination: Examination) -> str:
    """The id of the recording that a row belongs to, as SQL."""
    return f"(SELECT owner.id FROM {examination.names('recordings')} AS owner WHERE owner.number = here.recording)"  # noqa: S608


async def _check_what_belongs_together(examination: Examination) -> None:
    names, connection = examination.names, examination.connection
    recordings, signals, known = names("recordings"), names("signals"), names("signal_names")
    gaps = (
        f"SELECT owner.id, owner.signal_count, coalesce(log.signals, 0) AS signals FROM {recordings} AS owner "  # noqa: S608
        f"LEFT JOIN (SELECT recording, count(*) AS signals, min(seq) AS first, max(seq) AS last FROM {signals} "
        "GROUP BY recording) AS log ON log.recording = owner.number WHERE coalesce(log.signals, 0) <> owner.signal_count "
        "OR log.first <> 0 OR log.last <> owner.signal_count - 1"
    )
    async for recording_id, expected, found in connection.cursor(gaps):
        reason = f"{expected} signals were appended, and {found} are there, or not at their places"
        examination.damaged(CorruptRecordError(recording_id, reason=reason), what=_RECORDING)
    await examination.none_of(
        f"SELECT DISTINCT owner.id FROM {recordings} AS owner JOIN {signals} AS had ON had.recording = owner.number "  # noqa: S608
        f"WHERE NOT EXISTS (SELECT FROM {known} AS known WHERE known.recording = had.recording AND known.name = had.name)",
        "damaged-index",
        "Recordings are not found by names that their signals have",
        advice=(
            f"Add them: `INSERT INTO {known} (name, recording, long_name) SELECT DISTINCT name, recording, long_name FROM "  # noqa: S608
            f"{signals} ON CONFLICT DO NOTHING`."
        ),
    )
    for part in PARTS:
        table = names(part)
        await examination.none_of(
            f"SELECT DISTINCT part.recording FROM {table} AS part "  # noqa: S608 - names of our own
            f"WHERE NOT EXISTS (SELECT FROM {recordings} AS owner WHERE owner.number = part.recording)",
            "orphans",
            f"Rows of {names.prefix}{part} belong to recordings that are not there, with the numbers",
            advice=f"Delete them, or restore the recordings: `DELETE FROM {table} WHERE recording NOT IN (SELECT number "  # noqa: S608
            f"FROM {recordings})`.",
        )
