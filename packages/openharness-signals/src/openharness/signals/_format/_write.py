"""Entries to lines. What is written depends on the entries alone: the same entries give the same bytes."""

from __future__ import annotations

from functools import lru_cache
from itertools import pairwise
from typing import TYPE_CHECKING, Final, cast

from openharness.core.log import STREAMING
from openharness.core.storage import EncodedBlob, EncodedSignal
from openharness.core.values import decode_json, dump_json
from openharness.signals._format._frame import FORMAT, seal
from openharness.signals._format._versions import released

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from openharness.core.records import SignalSource
    from openharness.core.storage import EncodedEntry, RecordingSummary
    from openharness.core.values import JSONObject, JSONValue
    from openharness.signals._header import Header

__all__ = ("LineWriter", "write_checkpoint", "write_footer", "write_header", "write_recording")

MAX_RUN_DELTAS: Final = 1024
MAX_RUN_CHARACTERS: Final = 256 * 1024
"""A line takes deltas until it holds this many, or this much text, so that no line grows without end."""

_quote = lru_cache(maxsize=4096)(dump_json)


def write_header(header: Header) -> bytes:
    """Return the first line of a recording."""
    members: JSONObject = {
        "created_at": header.created_at,
        "format": FORMAT,
        "id": header.id,
        "metadata": None,
        "name": header.name,
        "published_as": header.published_as,
        "resumed_from": header.resumed_from,
        "run_id": header.run_id,
        "tags": list(header.tags) or None,
        "version": released().current,
    }
    parts: list[bytes] = []
    for key, value in members.items():
        if key == "metadata" and header.metadata is not None:
            parts.append(b'"metadata":' + header.metadata)
        elif value is not None:
            parts.append(b'"%b":%b' % (key.encode(), dump_json(value)))
    return seal(b"{" + b",".join(parts))


def write_checkpoint(name: str, seq: int) -> bytes:
    """Return the line of a checkpoint."""
    return seal(b'{"checkpoint":%b,"seq":%d' % (dump_json(name), seq))


def write_footer(summary: RecordingSummary) -> bytes:
    """Return the last line of a finalized recording."""
    duration = b"" if summary.duration_ms is None else b'"duration_ms":%d,' % summary.duration_ms
    return seal(
        b'{"blobs":%d,"checkpoints":%d,%b"outcome":"%b","provider_types":%b,"signals":%d'
        % (
            summary.blob_count,
            summary.checkpoint_count,
            duration,
            summary.outcome.encode(),
            dump_json(list(summary.provider_types)),
            summary.signal_count,
        )
    )


def write_recording(
    header: Header, entries: Iterable[EncodedEntry], checkpoints: Mapping[str, int], summary: RecordingSummary
) -> bytes:
    """Return a whole recording in its one final form.

    Args:
        header: Its header.
        entries: Its signals and blobs, in order.
        checkpoints: The positions of its checkpoints, by name.
        summary: What that amounts to. Nothing is written of one that is ``incomplete``: such a recording has no footer.
    """
    marks = sorted(checkpoints.items(), key=lambda mark: (mark[1], mark[0]))
    parts = [write_header(header), LineWriter(header).write(entries), *(write_checkpoint(*mark) for mark in marks)]
    if summary.outcome != "incomplete":
        parts.append(write_footer(summary))
    return b"".join(parts)


class LineWriter:
    """Writes the entries of one recording.

    Args:
        header: The recording, whose run's id and time of creation the lines leave out.
    """

    def __init__(self, header: Header) -> None:
        self._created_at = header.created_at
        self._own_ids = f"{header.run_id}/"

    def write(self, entries: Iterable[EncodedEntry]) -> bytes:
        """Return the lines of entries that follow one another in the log, each line for itself."""
        return b"".join(map(seal, self._lines(entries)))

    def write_append(self, entries: Iterable[EncodedEntry]) -> bytes:
        """Return the lines of one append, which count together or, when they are cut off, not at all."""
        lines = self._lines(entries)
        return b"".join([*(seal(line, goes_on=True) for line in lines[:-1]), *map(seal, lines[-1:])])

    def _lines(self, entries: Iterable[EncodedEntry]) -> list[bytes]:
        """The lines of entries, not sealed yet."""
        lines: list[bytes] = []
        deltas = _Deltas()
        for entry in entries:
            text = self._delta_text(entry) if isinstance(entry, EncodedSignal) and entry.name in STREAMING else None
            if text is not None and deltas.take(cast("EncodedSignal", entry), *text):
                continue
            if deltas.signals:
                lines.append(self._delta_line(deltas))
                deltas = _Deltas()
            if text is not None:
                deltas.take(cast("EncodedSignal", entry), *text)
            elif isinstance(entry, EncodedBlob):
                lines.append(b'{"blob":%b,"data":%b' % (_quote(entry.digest), entry.data))
            else:
                lines.append(self._signal_line(entry))
        if deltas.signals:
            lines.append(self._delta_line(deltas))
        return lines

    def _delta_text(self, delta: EncodedSignal) -> tuple[str, str] | None:
        """The call and the text of a delta that may share a line with others; None for one that is unlike them."""
        if delta.id != f"{self._own_ids}{delta.seq}":
            return None
        payload = decode_json(delta.payload)
        if not isinstance(payload, dict) or list(payload) != ["call", "text"]:
            return None
        call, text = payload.values()
        return (call, text) if isinstance(call, str) and isinstance(text, str) else None

    def _delta_line(self, deltas: _Deltas) -> bytes:
        first = deltas.signals[0]
        if len(deltas.signals) == 1:
            return self._signal_line(first)
        times = [signal.timestamp for signal in deltas.signals]
        gaps = [later - earlier for earlier, later in pairwise(times)]
        source = first.source
        before, name, after = _envelope(source.activation, source.agent, first.name, source.provider)
        head = f'{{{before}"call":{_text(deltas.call)},"gaps":[{",".join(map(str, gaps))}],{name}{self._parent(source)}'
        tail = f',"time":{first.timestamp - self._created_at}'
        return f'{head}{after}"seq":{first.seq},"texts":{_text(list(deltas.texts))}{tail}'.encode()

    def _signal_line(self, signal: EncodedSignal) -> bytes:
        source, seq = signal.source, str(signal.seq)
        before, name, after = _envelope(source.activation, source.agent, signal.name, source.provider)
        own = "" if signal.id == self._own_ids + seq else f'"id":{_text(signal.id)},'
        head = f'{{{before}{own}{name}{self._parent(source)}"payload":'
        tail = f',{after}"seq":{seq},"time":{signal.timestamp - self._created_at}'
        return b"".join((head.encode(), signal.payload, tail.encode()))

    def _parent(self, source: SignalSource) -> str:
        """The member of the signal that caused this one: its seq where it is of this run, else its id."""
        parent = source.parent
        if parent is None:
            return ""
        digits = parent.removeprefix(self._own_ids)
        # No leading zeros, and no digits but those of ASCII: only what a seq is written as.
        if digits.isdigit() and digits.isascii() and (digits[0] != "0" or digits == "0") and digits is not parent:
            return f'"parent":{digits},'
        return f'"parent":{_text(parent)},'


@lru_cache(maxsize=4096)
def _envelope(activation: str | None, agent: str | None, name: str, provider: str | None) -> tuple[str, str, str]:
    """The members that most signals share with others, by their places among the sorted keys."""
    return (
        _member("activation", activation) + _member("agent", agent),
        _member("name", name),
        _member("provider", provider),
    )


def _member(key: str, value: str | None) -> str:
    return "" if value is None else f'"{key}":{_text(value)},'


def _text(value: JSONValue) -> str:
    return dump_json(value).decode()


class _Deltas:
    """Consecutive deltas of one call that will share a line."""

    def __init__(self) -> None:
        self.signals: list[EncodedSignal] = []
        self.texts: list[str] = []
        self.call = ""
        self._characters = 0

    def take(self, signal: EncodedSignal, call: str, text: str) -> bool:
        """Add a delta if it may share the line of those before it."""
        if self.signals:
            first, last = self.signals[0], self.signals[-1]
            if (
                call != self.call
                or signal.name != first.name
                or signal.seq != last.seq + 1
                or signal.source != first.source
                or len(self.texts) >= MAX_RUN_DELTAS
                or self._characters + len(text) > MAX_RUN_CHARACTERS
            ):
                return False
        self.call = call
        self.signals.append(signal)
        self.texts.append(text)
        self._characters += len(text)
        return True
