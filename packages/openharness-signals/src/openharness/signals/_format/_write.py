"""Entries to lines. What is written depends on the entries alone: the same entries give the same bytes."""

from __future__ import annotations

from functools import lru_cache
from itertools import pairwise
from typing import TYPE_CHECKING, Final
from zlib import crc32

from openharness.core.log import STREAMING
from openharness.core.storage import EncodedBlob
from openharness.core.values import decode_json, dump_json
from openharness.signals._format._frame import END, FORMAT, GOES_ON, seal
from openharness.signals._format._versions import released

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from openharness.core.storage import EncodedEntry, EncodedSignal, RecordingSummary
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
        parts: list[bytes] = []
        for line in self._lines(entries):
            # As `seal` does, without a copy of each line.
            parts += (line, END % crc32(line))
        return b"".join(parts)

    def write_append(self, entries: Iterable[EncodedEntry]) -> bytes:
        """Return the lines of one append, which count together or, when they are cut off, not at all."""
        *lines, last = self._lines(entries) or (b"",)
        parts: list[bytes] = []
        for line in lines:
            going_on = line + GOES_ON
            parts += (going_on, END % crc32(going_on))
        return b"".join((*parts, seal(last))) if last else b""

    def _lines(self, entries: Iterable[EncodedEntry]) -> list[bytes]:
        """The lines of entries, not sealed yet."""
        lines: list[bytes] = []
        deltas = _Deltas()
        for entry in entries:
            if isinstance(entry, EncodedBlob):
                line = b'{"blob":%b,"data":%b' % (_quote(entry.digest), entry.data)
            elif entry.name in STREAMING and (text := self._delta_text(entry)) is not None:
                if not deltas.take(entry, *text):
                    lines.append(self._delta_line(deltas))
                    deltas = _Deltas()
                    deltas.take(entry, *text)
                continue
            else:
                line = self._signal_line(entry)
            if deltas.signals:
                lines.append(self._delta_line(deltas))
                deltas = _Deltas()
            lines.append(line)
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
        parent = "" if source.parent is None else self._parent(source.parent)
        head = f'{{{before}"call":{_text(deltas.call)},"gaps":[{",".join(map(str, gaps))}],{name}{parent}'
        tail = f',"time":{first.timestamp - self._created_at}'
        return f'{head}{after}"seq":{first.seq},"texts":{_text(list(deltas.texts))}{tail}'.encode()

    def _signal_line(self, signal: EncodedSignal) -> bytes:
        source, seq, own = signal.source, signal.seq, ""
        if signal.id != f"{self._own_ids}{seq}":
            own = f'"id":{_text(signal.id)},'
        before, name, after = _envelope(source.activation, source.agent, signal.name, source.provider)
        parent = "" if source.parent is None else self._parent(source.parent)
        head = f'{{{before}{own}{name}{parent}"payload":'
        tail = f',{after}"seq":{seq},"time":{signal.timestamp - self._created_at}'
        return b"".join((head.encode(), signal.payload, tail.encode()))

    def _parent(self, parent: str) -> str:
        """The member of the signal that caused this one: its seq where it is of this run, else its id."""
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
