r"""Signals as rows, and any text as PostgreSQL keeps it.

PostgreSQL keeps no NUL and no half of a character in a text. Where they may be, they are written as ``\u0000``, and a
backslash as two. Character by character, so that what begins with a text begins with it when both are so written.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final

from openharness.core import CorruptRecordError, SignalSource
from openharness.core.storage import EncodedSignal, signal_checksum
from openharness.postgres import bounded

if TYPE_CHECKING:
    from collections.abc import Sequence

    from openharness.postgres import Row

__all__ = ("SIGNAL_COLUMNS", "indexed_name", "name_from", "signal_from_row", "signal_to_row", "stored_text")

SIGNAL_COLUMNS: Final = (
    "seq",
    "timestamp",
    "checksum",
    "name",
    "long_name",
    "id",
    "agent",
    "provider",
    "parent",
    "activation",
    "payload",
)
"""What a signal is made of, without the number of its recording."""

_ODD: Final = re.compile("[\\\\\0\ud800-\udfff]")
_WRITTEN: Final = re.compile(r"\\(?:\\|u([0-9a-f]{4}))")


def stored_text(text: str) -> str:
    """Return a text as the database keeps it."""
    return _ODD.sub(_write, text) if _ODD.search(text) else text


def _write(found: re.Match[str]) -> str:
    return "\\\\" if found[0] == "\\" else f"\\u{ord(found[0]):04x}"


def _read_text(text: str) -> str:
    return _WRITTEN.sub(_read, text) if "\\" in text else text


def _read(found: re.Match[str]) -> str:
    return chr(int(found[1], 16)) if found[1] else "\\"


def indexed_name(name: str) -> tuple[str, str | None]:
    """Return a signal's name as it is in indexes and, where that is not all of it, the whole."""
    text = stored_text(name)
    short = bounded(text)
    return short, None if short == text else text


def name_from(name: str, long_name: str | None) -> str:
    """Return the name that `indexed_name` was given."""
    return _read_text(name if long_name is None else long_name)


def signal_to_row(recording_id: str, signal: EncodedSignal) -> tuple[object, ...]:
    """Return the values of `SIGNAL_COLUMNS`."""
    source = signal.source
    agent, provider, parent, activation = source.agent, source.provider, source.parent, source.activation
    name, long_name = indexed_name(signal.name)
    return (
        signal.seq,
        signal.timestamp,
        signal_checksum(recording_id, signal),
        name,
        long_name,
        stored_text(signal.id),
        None if agent is None else stored_text(agent),
        None if provider is None else stored_text(provider),
        None if parent is None else stored_text(parent),
        None if activation is None else stored_text(activation),
        signal.payload.decode(),
    )


def signal_from_row(row: Row | Sequence[Any], *, recording_id: str, store: str) -> EncodedSignal:
    """Return the signal that a row holds.

    Args:
        row: The values of `SIGNAL_COLUMNS`; others may follow.
        recording_id: The recording it was looked for in.
        store: What the store calls itself in errors.

    Raises:
        CorruptRecordError: The row is not what was appended.
    """
    seq, timestamp, sealed, name, long_name, signal_id, agent, provider, parent, activation, payload = row[
        : len(SIGNAL_COLUMNS)
    ]
    signal = EncodedSignal(
        seq,
        _read_text(signal_id),
        name_from(name, long_name),
        timestamp,
        SignalSource(
            None if agent is None else _read_text(agent),
            None if provider is None else _read_text(provider),
            None if parent is None else _read_text(parent),
            None if activation is None else _read_text(activation),
        ),
        payload.encode(),
    )
    if signal_checksum(recording_id, signal) != sealed:
        raise CorruptRecordError(recording_id, reason=f"signal {seq!r}: its checksum does not match", store=store)
    return signal
