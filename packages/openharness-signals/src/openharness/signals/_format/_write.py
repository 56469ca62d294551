"""Entries to lines. What is written depends on the entries alone: the same entries give the same bytes."""

from __future__ import annotations

from functools import lru_cache
from itertools import pairwise
from typing import TYPE_CHECKING, Final, cast

from openharness.core.log import STREAMING
from openharness.core.records import signal_id
from openharness.core.storage import EncodedBlob
from openharness.core.values import decode_json, dump_json
from openharness.signals._format._frame import FORMAT, VERSION, seal

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from openharness.core.records import SignalSource
    from openharness.core.storage import EncodedEntry, EncodedSignal, RecordingSummary
    from openharness.core.values import JSONObject
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
        "version": VERSION,
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
        self._run_id = header.run_id
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
            text = self._delta_text(entry)
            if text is not None and deltas.take(cast("EncodedSignal", entry), *text):
                continue
            if deltas:
                lines.append(self._delta_line(deltas))
                deltas = _Deltas()
            if text is not None:
                deltas.take(cast("EncodedSignal", entry), *text)
            elif isinstance(entry, EncodedBlob):
                lines.append(b'{"blob":%b,"data":%b' % (_quote(entry.digest), entry.data))
            else:
                lines.append(self._signal_line(entry))
        if deltas:
            lines.append(self._delta_line(deltas))
        return lines

    def _delta_text(self, entry: EncodedEntry) -> tuple[str, str] | None:
        """The call and the text of a delta that may share a line with others; None for everything else."""
        if isinstance(entry, EncodedBlob) or entry.name not in STREAMING or not self._has_own_id(entry):
            return None
        payload = decode_json(entry.payload)
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
        before, parent, after = self._source(first.source)
        return b'{%b"call":%b,"gaps":%b,"name":%b,%b%b"seq":%d,"texts":%b,"time":%d' % (
            before,
            dump_json(deltas.call),
            _numbers(gaps),
            _quote(first.name),
            parent,
            after,
            first.seq,
            dump_json(list(deltas.texts)),
            first.timestamp - self._created_at,
        )

    def _signal_line(self, signal: EncodedSignal) -> bytes:
        before, parent, after = self._source(signal.source)
        return b'{%b%b"name":%b,%b"payload":%b,%b"seq":%d,"time":%d' % (
            before,
            b"" if self._has_own_id(signal) else b'"id":%b,' % dump_json(signal.id),
            _quote(signal.name),
            parent,
            signal.payload,
            after,
            signal.seq,
            signal.timestamp - self._created_at,
        )

    def _has_own_id(self, signal: EncodedSignal) -> bool:
        return signal.id == signal_id(self._run_id, signal.seq)

    def _source(self, source: SignalSource) -> tuple[bytes, bytes, bytes]:
        """The members of the source by their place among the sorted keys: before, at, and after ``parent``."""
        parent = source.parent
        before, after = _around(source.activation, source.agent, source.provider)
        if parent is None:
            return before, b"", after
        own = self._own_ids
        if parent.startswith(own):
            digits = parent[len(own) :]
            # No leading zeros, and no digits but those of ASCII: only what a seq is written as.
            if digits.isascii() and digits.isdigit() and (digits[0] != "0" or digits == "0"):
                return before, b'"parent":%b,' % digits.encode(), after
        return before, b'"parent":%b,' % dump_json(parent), after


@lru_cache(maxsize=4096)
def _around(activation: str | None, agent: str | None, provider: str | None) -> tuple[bytes, bytes]:
    return _member("activation", activation) + _member("agent", agent), _member("provider", provider)


def _member(key: str, value: str | None) -> bytes:
    return b"" if value is None else b'"%b":%b,' % (key.encode(), dump_json(value))


def _numbers(numbers: list[int]) -> bytes:
    return b"[%b]" % ",".join(map(str, numbers)).encode()


class _Deltas:
    """Consecutive deltas of one call that will share a line."""

    def __init__(self) -> None:
        self.signals: list[EncodedSignal] = []
        self.texts: list[str] = []
        self.call = ""
        self._characters = 0

    def __bool__(self) -> bool:
        return bool(self.signals)

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
