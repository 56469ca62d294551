"""Digests that are equal when two stores hold the same, to the last digit and the order of every key."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

import attrs

from openharness.core.storage import encode_run, encode_signal
from openharness.core.values import dump_json, to_json

if TYPE_CHECKING:
    from openharness.core.records import Recording, RunRecord
    from openharness.core.values import JSONValue

__all__ = ("about", "recording_digest", "run_digest")

_ANY_SIZE = 2**62
"""What a store has taken is not too large to be compared."""


def run_digest(run: RunRecord) -> str:
    """Return ``sha256:`` and the SHA-256 of all that a record holds, as stores encode it.

    Unlike `openharness.core.digest` it tells ``1`` from ``1.0`` and one order of keys from another.

    Raises:
        SerializationError: The state or the metadata cannot be stored.
    """
    columns = attrs.astuple(encode_run(run, max_bytes=_ANY_SIZE))
    return _hashed(dump_json(list(columns)))


def recording_digest(recording: Recording) -> str:
    """Return ``sha256:`` and the SHA-256 of all that a recording holds: what is known of it, signals and checkpoints.

    Raises:
        SerializationError: A payload or the metadata cannot be stored.
    """
    info = recording.info
    state = hashlib.sha256(about(recording))
    state.update(dump_json([info.outcome, info.duration_ms, info.signal_count]))
    for signal in recording.signals:
        state.update(encode_signal(signal, max_bytes=_ANY_SIZE))
        state.update(b"\n")
    state.update(dump_json([[checkpoint.name, checkpoint.seq] for checkpoint in recording.checkpoints]))
    return f"sha256:{state.hexdigest()}"


def about(recording: Recording) -> bytes:
    """Return what was fixed when a recording was created."""
    info = recording.info
    metadata = None if info.metadata is None else to_json(info.metadata, path="metadata")
    tags: list[JSONValue] = [*info.tags]
    return dump_json([info.id, info.run_id, info.name, info.created_at, tags, metadata, info.resumed_from])


def _hashed(data: bytes) -> str:
    return f"sha256:{hashlib.sha256(data).hexdigest()}"
