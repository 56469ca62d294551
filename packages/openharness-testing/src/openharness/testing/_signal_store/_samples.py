"""Signals, blobs and recordings that the contract writes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import attrs

from openharness.core import Blob, Recording, RecordingQuery, RunStatus, Signal, SignalSource, digest, to_json
from openharness.core.records import signal_id

if TYPE_CHECKING:
    from collections.abc import Sequence

    from openharness.core import LogEntry, SignalStore

__all__ = (
    "ENDS",
    "NOON",
    "as_stored",
    "found_ids",
    "load",
    "make_blob",
    "make_request",
    "make_signal",
    "make_signals",
    "record",
    "resolved",
)

ENDS: Final = tuple(status for status in RunStatus if status is not RunStatus.RUNNING)
"""What a run ends with."""

NOON: Final = 1_767_268_800_000
"""A time in milliseconds."""


def make_signal(
    seq: int = 0,
    *,
    name: str = "text:delta",
    payload: object = "text",
    run_id: str = "run-1",
    provider: str | None = None,
) -> Signal:
    """Return a signal.

    Args:
        seq: Its position.
        name: Its name.
        payload: Its payload.
        run_id: Its run.
        provider: The provider that produced it.
    """
    parent = signal_id(run_id, seq - 1) if seq else None
    source = SignalSource("analyzer", provider, parent, "analyzer#1")
    return Signal(signal_id(run_id, seq), name=name, payload=payload, timestamp=NOON + seq, seq=seq, source=source)


def make_signals(count: int, *, start: int = 0, run_id: str = "run-1") -> list[Signal]:
    """Return signals that follow each other.

    Args:
        count: How many.
        start: The position of the first.
        run_id: Their run.
    """
    return [make_signal(seq, payload={"n": seq}, run_id=run_id) for seq in range(start, start + count)]


def make_blob(text: str) -> Blob:
    """Return a message as a blob."""
    data: Any = {"role": "user", "content": text}
    return Blob(digest(data), data)


def make_request(seq: int, messages: Sequence[Blob], tools: Sequence[Blob] = (), *, run_id: str = "run-1") -> Signal:
    """Return a ``provider:start`` that refers to blobs.

    Args:
        seq: Its position.
        messages: The blobs that its messages are.
        tools: The blobs that its tools are.
        run_id: Its run.
    """
    request = {"messages": [blob.digest for blob in messages], "tools": [blob.digest for blob in tools], "model": None}
    return make_signal(seq, name="provider:start", payload={"request": request}, run_id=run_id, provider="claude")


def as_stored(entries: Sequence[LogEntry]) -> list[Signal]:
    """Return the signals of a log as a store gives them back: in JSON form, references to blobs resolved.

    Args:
        entries: All entries of the log.
    """
    blobs = {entry.digest: to_json(entry.data) for entry in entries if isinstance(entry, Blob)}
    return [resolved(entry, blobs) for entry in entries if isinstance(entry, Signal)]


def resolved(signal: Signal, blobs: dict[str, Any]) -> Signal:
    """Return a signal in JSON form with the blobs in the place of references.

    Args:
        signal: The signal as it was appended.
        blobs: The data by digest.
    """
    payload = to_json(signal.payload, path="payload")
    request = payload.get("request") if signal.name == "provider:start" and isinstance(payload, dict) else None
    if isinstance(request, dict):
        for key in ("messages", "tools"):
            items = request.get(key)
            if isinstance(items, list):
                request[key] = [blobs[item] if isinstance(item, str) else item for item in items]
    return attrs.evolve(signal, payload=payload)


async def record(store: SignalStore, *entries: LogEntry, run_id: str = "run-1", **about: Any) -> str:
    """Create a recording, append entries to it, and return its id.

    Args:
        store: The store.
        *entries: The entries.
        run_id: The run.
        **about: Anything else of `SignalStore.create_recording`.
    """
    recording_id = await store.create_recording(run_id=run_id, **about)
    if entries:
        await store.append(recording_id, entries)
    return recording_id


async def load(store: SignalStore, recording_id: str) -> Recording:
    """Load a recording that must be there."""
    recording = await store.load_recording(recording_id)
    assert recording is not None, f"the recording {recording_id!r} is not there"
    return recording


async def found_ids(store: SignalStore, **conditions: Any) -> list[str]:
    """Return the ids of the recordings that match, in the order in which the store lists them.

    Args:
        store: The store.
        **conditions: The fields of a `RecordingQuery`.
    """
    return [info.id for info in await store.list_recordings(RecordingQuery(**conditions))]
