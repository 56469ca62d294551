"""Runs as rows of a table: the columns, and the two checksums beside them.

``state_checksum`` is the checksum of the id and the state, ``checksum`` that of every other column and of
``state_checksum``. So a listing that does not read the states still notices any damage to what it does read.
"""

from __future__ import annotations

from hashlib import sha256
from typing import TYPE_CHECKING, Any, Final

from openharness.core.errors import CorruptRecordError
from openharness.core.storage._runs import make_run
from openharness.core.values import checksum, sha256_checksum
from openharness.core.values._checksum import shown_sha256

if TYPE_CHECKING:
    from collections.abc import Iterable

    from openharness.core.records import RunRecord
    from openharness.core.storage._runs import EncodedRun

__all__ = ("RUN_COLUMNS", "row_checksum", "run_columns", "run_from_columns", "state_checksum")

RUN_COLUMNS: Final = (
    "id",
    "created_at",
    "completed_at",
    "status",
    "error",
    "recording_id",
    "parent_run_id",
    "metadata",
    "state_checksum",
    "checksum",
)
"""What a row has of a run beside its state."""


def run_columns(run: EncodedRun) -> tuple[str | int | None, ...]:
    """Return the values of `RUN_COLUMNS` for a run.

    Args:
        run: The run, from `encode_run`; its state is to be kept beside them.
    """
    covered = (
        run.id,
        run.created_at,
        run.completed_at,
        run.status,
        run.error,
        run.recording_id,
        run.parent_run_id,
        run.metadata,
        state_checksum(run.id, run.state),
    )
    return (*covered, row_checksum(*covered))


def run_from_columns(row: Iterable[Any], *, store: str) -> RunRecord:
    """Return the run that a row holds.

    Args:
        row: The values of `RUN_COLUMNS`, each of its type, followed by the state if it was read: without it, the record's
            state is None. Checksums of BLAKE2b (`checksum`) are compared as well as those of SHA-256.
        store: What the store calls itself in errors.

    Raises:
        CorruptRecordError: The row is not what was saved.
    """
    values = tuple(row)
    run_id, created_at, completed_at, status, error, recording_id, parent_run_id, metadata, of_state, sealed = values[
        : len(RUN_COLUMNS)
    ]
    covered = values[: len(RUN_COLUMNS) - 1]
    if sealed != row_checksum(*covered) and sealed != checksum(*covered):
        raise CorruptRecordError(run_id, reason="its checksum does not match", store=store)
    state = None
    if len(values) > len(RUN_COLUMNS):
        state = values[-1]
        if not isinstance(state, str) or (
            of_state != state_checksum(run_id, state) and of_state != checksum(run_id, state)
        ):
            raise CorruptRecordError(run_id, reason="the checksum of its state does not match", store=store)
    return make_run(run_id, created_at, completed_at, status, error, recording_id, parent_run_id, metadata, state)


def row_checksum(  # noqa: PLR0917 - names would cost as much as is gained
    run_id: str,
    created_at: int,
    completed_at: int | None,
    status: str,
    error: str | None,
    recording_id: str | None,
    parent_run_id: str | None,
    metadata: str | None,
    of_state: str,
) -> str:
    """Return `sha256_checksum` of these fields, whose loop over fields of any kind takes longer than the digest does."""
    completed = "n0:" if completed_at is None else f"i{len(str(completed_at))}:{completed_at}"
    text = (
        f"s{len(run_id)}:{run_id}i{len(str(created_at))}:{created_at}{completed}s{len(status)}:{status}"
        f"{'n0:' if error is None else f's{len(error)}:{error}'}"
        f"{'n0:' if recording_id is None else f's{len(recording_id)}:{recording_id}'}"
        f"{'n0:' if parent_run_id is None else f's{len(parent_run_id)}:{parent_run_id}'}"
        f"{'n0:' if metadata is None else f's{len(metadata)}:{metadata}'}s{len(of_state)}:{of_state}"
    )
    if not text.isascii():
        # Lengths are those of UTF-8.
        return sha256_checksum(
            run_id, created_at, completed_at, status, error, recording_id, parent_run_id, metadata, of_state
        )
    return shown_sha256(sha256(text.encode()))


def state_checksum(run_id: str, state: str) -> str:
    """Return `sha256_checksum` of these fields, likewise, without a copy of the state."""
    identifier, data = (text.encode("utf-8", "surrogatepass") for text in (run_id, state))
    digest = sha256(b"s%d:%bs%d:" % (len(identifier), identifier, len(data)))
    digest.update(data)
    return shown_sha256(digest)
