"""Runs as rows of a table: the columns, and the two checksums beside them.

``state_checksum`` is the checksum of the id and the state, ``checksum`` that of every other column and of
``state_checksum``. So a listing that does not read the states still notices any damage to what it does read.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from openharness.core.errors import CorruptRecordError
from openharness.core.storage._runs import make_run
from openharness.core.values import has_checksum, sha256_checksum

if TYPE_CHECKING:
    from collections.abc import Iterable

    from openharness.core.records import RunRecord
    from openharness.core.storage._runs import EncodedRun

__all__ = ("RUN_COLUMNS", "run_columns", "run_from_columns")

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
        sha256_checksum(run.id, run.state),
    )
    return (*covered, sha256_checksum(*covered))


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
    if not has_checksum(sealed, *values[: len(RUN_COLUMNS) - 1]):
        raise CorruptRecordError(run_id, reason="its checksum does not match", store=store)
    state = None
    if len(values) > len(RUN_COLUMNS):
        state = values[len(RUN_COLUMNS)]
        if not isinstance(state, str) or not has_checksum(of_state, run_id, state):
            raise CorruptRecordError(run_id, reason="the checksum of its state does not match", store=store)
    return make_run(run_id, created_at, completed_at, status, error, recording_id, parent_run_id, metadata, state)
