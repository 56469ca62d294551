"""Lines to entries: whoever wrote them, the answer is what was written or an error that names the line."""

from __future__ import annotations

from itertools import accumulate
from typing import Any, Final
from zlib import crc32

import attrs
import msgspec

from openharness.core.errors import CorruptRecordError, OpenHarnessError, SerializationError, StoreVersionError
from openharness.core.log import STREAMING
from openharness.core.records import RunStatus, SignalSource, check_id, signal_id, time_ms
from openharness.core.storage import EncodedBlob, EncodedEntry, EncodedSignal, RecordingSummary, make_source
from openharness.core.values import MAX_BYTES, decode_json, dump_json
from openharness.signals._errors import CorruptLineError, RecordingTooLargeError
from openharness.signals._format._frame import FORMAT, SEAL, SEAL_LENGTH, begins_sealed, is_sealed
from openharness.signals._format._versions import released
from openharness.signals._format._write import MAX_RUN_DELTAS
from openharness.signals._header import Header

__all__ = ("MAX_ENTRIES", "MAX_RECORDING_BYTES", "Limits", "LogReader", "read_footer", "read_header", "unknown_members")

_LEAST_LINE: Final = 2 * 1024 * 1024
_ENVELOPE: Final = 1024 * 1024
_FAR: Final = 2**63
_TOO_FAR: Final = "no integer of 64 bits"


MAX_RECORDING_BYTES: Final = 1024 * 1024 * 1024
"""How large the file of one recording may be, unless a store is told otherwise: 1 GiB."""

MAX_ENTRIES: Final = 2_000_000
"""How many entries one recording may have, unless a store is told otherwise. A streamed token takes six bytes of a file
and nearly a kilobyte of memory, so that the size of a file says little."""


@attrs.frozen(kw_only=True)
class Limits:
    """How much a reader takes from a file, whoever wrote it.

    Attributes:
        max_bytes: How large the JSON text of one payload, blob or metadata may be.
        max_recording_bytes: How large a file may be.
        max_entries: How many signals, blobs and checkpoints it may have together.
    """

    max_bytes: int = MAX_BYTES
    max_recording_bytes: int = MAX_RECORDING_BYTES
    max_entries: int = MAX_ENTRIES

    @property
    def max_line(self) -> int:
        """How many bytes a line may have: the largest payload, or a line full of deltas, and what stands around it."""
        return max(self.max_bytes, _LEAST_LINE) + _ENVELOPE


# In a union with None, a raw value would be decoded.
_ABSENT: Final = msgspec.Raw()


class _Probe(msgspec.Struct):
    """The part of a header that every version has."""

    format: str
    version: int


class _HeaderLine(msgspec.Struct):
    """The first line."""

    id: str
    run_id: str
    created_at: int
    name: str | None = None
    tags: tuple[str, ...] = ()
    metadata: msgspec.Raw = _ABSENT
    resumed_from: str | None = None
    published_as: str | None = None


class _Line(msgspec.Struct, gc=False):
    """Any other line. Which members are there tells its kind; members of no kind are passed over.

    In the order in which they stand in a line, where the decoder finds them soonest.
    """

    activation: str | None = None
    agent: str | None = None
    blob: str | None = None
    call: str | None = None
    data: msgspec.Raw = _ABSENT
    gaps: list[int] | None = None
    id: str | None = None
    name: str | None = None
    parent: int | str | None = None
    payload: msgspec.Raw = _ABSENT
    provider: str | None = None
    seq: int | None = None
    texts: list[str] | None = None
    time: int | None = None
    more: bool = False
    blobs: int = 0
    checkpoint: str | None = None
    checkpoints: int = 0
    duration_ms: int | None = None
    outcome: str | None = None
    provider_types: tuple[str, ...] = ()
    signals: int = 0


_probe = msgspec.json.Decoder(_Probe).decode
_header = msgspec.json.Decoder(_HeaderLine).decode
_line = msgspec.json.Decoder(_Line).decode
_RAW: Final = frozenset({"payload", "data", "metadata"})


class _Refused(Exception):  # noqa: N818 - becomes a CorruptLineError; never leaves this module
    """A line says something that the format does not allow there. The argument is the reason."""


def read_header(line: bytes, *, file: str, store: str = "") -> Header:
    """Return what the first line of a file says.

    Args:
        line: The line, with or without its line end.
        file: What to call the recording in errors, as its id is not known yet.
        store: The store as it names itself, for errors.

    Raises:
        CorruptLineError: It is no header, or a damaged one.
        StoreVersionError: It was written by a newer version.
    """
    line = line.rstrip(b"\r\n")
    try:
        probe = _decode(line, _probe, _Probe)
    except _Refused:
        raise CorruptLineError(
            file, line=1, reason="it is not the header of an OpenHarness recording", store=store
        ) from None
    current = released().current
    if probe.format == FORMAT and probe.version > current:
        # Before the checksum, which a newer version may compute in another way.
        raise StoreVersionError(found=probe.version, supported=current, store=store)
    if not is_sealed(line):
        raise CorruptLineError(file, line=1, reason=_UNSEALED, store=store)
    try:
        return _checked_header(probe, _decode(_current(line, probe.version), _header, _HeaderLine))
    except (_Refused, OpenHarnessError) as error:
        raise CorruptLineError(file, line=1, reason=str(error), store=store) from None


def _checked_header(probe: _Probe, line: _HeaderLine) -> Header:
    if probe.format != FORMAT or probe.version < 1:
        raise _Refused(f"the format {probe.format!r}, version {probe.version}, is unknown")
    metadata = None if line.metadata is _ABSENT else bytes(line.metadata)
    if metadata is not None and not isinstance(decode_json(metadata, path="metadata"), dict):
        raise _Refused("the metadata is no object")
    return Header(
        id=check_id(line.id, name="id"),
        run_id=check_id(line.run_id, name="run_id"),
        name=None if line.name is None else check_id(line.name, name="name"),
        created_at=time_ms(line.created_at, name="created_at"),
        tags=line.tags,
        metadata=metadata,
        resumed_from=None if line.resumed_from is None else check_id(line.resumed_from, name="resumed_from"),
        version=probe.version,
        published_as=None if line.published_as is None else check_id(line.published_as, name="published_as"),
    )


def read_footer(line: bytes) -> RecordingSummary | None:
    """Return what a line says if it is a whole footer, else None. A look at the last line, which judges nothing."""
    line = line.rstrip(b"\r\n")
    if not line.startswith(b'{"blobs":') or not is_sealed(line):
        return None
    try:
        return _footer(_decode(line, _line, _Line))
    except _Refused:
        return None


class LogReader:
    """Reads the lines of one recording, in pieces of any size.

    Everything is checked as it is read: each line's checksum, that signals follow one another without a gap, and that
    the footer counts what is there. What is cut off at the end is no error; it waits in `torn`. Lines of an append of
    which the end is missing count as cut off, as they were never acknowledged.

    Args:
        file: What to call the recording in errors until its header is read.
        limits: How much to take.
        store: The store as it names itself, for errors.

    Attributes:
        header: What the first line says; None until it was read.
        footer: What the last line says; None unless the recording is finalized.
        signal_count: How many signals were read. Like all that follows, without an append of which the end is missing.
        digests: The digests of the blobs that were read.
        checkpoints: The positions of the checkpoints that were read, by name.
        size: How many bytes of the file count: all but what is cut off.
        torn: What was cut off at the end; set by `finish`.
        lacks_line_end: Whether the last whole line has no line end; set by `finish`.
        doubt: Why what was cut off may hold more than an append that nobody was told of; None where it cannot. Set by
            `finish`.
    """

    def __init__(self, file: str, *, limits: Limits | None = None, store: str = "") -> None:
        self.header: Header | None = None
        self.footer: RecordingSummary | None = None
        self.signal_count = 0
        self.digests: set[str] = set()
        self.checkpoints: dict[str, int] = {}
        self.size = 0
        self.torn = b""
        self.lacks_line_end = False
        self.doubt: str | None = None
        self._limits = limits or Limits()
        self._max_line = self._limits.max_line
        self._max_bytes = self._limits.max_bytes
        self._max_entries = self._limits.max_entries
        self._name: str = file
        self._store = store
        self._lines = 0
        self._rest = b""
        self._bytes = 0
        self._following = 0
        self._providers: set[str] = set()
        # What belongs to an append whose last line has not come yet.
        self._held: list[EncodedEntry] = []
        # Its lines, without their ends; at last what comes behind the last end.
        self._held_lines: list[bytes] = []
        self._held_providers: set[str] = set()
        self._last_source = SignalSource()
        self._run_id = ""
        self._created_at = 0
        self._is_current = True
        # What to raise if it turns out that a line with zeros in it is not of the last append.
        self._hole: CorruptRecordError | None = None
        self._hole_ended = False
        self._is_quick = False
        self._members: _Line | None = None

    @property
    def summary(self) -> RecordingSummary:
        """What was read so far amounts to; the footer once that was read."""
        return self.footer or RecordingSummary(
            signal_count=self.signal_count,
            blob_count=len(self.digests),
            checkpoint_count=len(self.checkpoints),
            provider_types=tuple(sorted(self._providers)),
        )

    def feed(self, data: bytes) -> list[EncodedEntry]:
        """Read more bytes and return the entries of the lines they complete.

        Raises:
            CorruptLineError: A line is damaged, or says what the format does not allow.
            StoreVersionError: The recording was written by a newer version.
            RecordingTooLargeError: It is larger, or has more entries, than the limits allow.
        """
        self._bytes += len(data)
        if self._bytes > self._limits.max_recording_bytes:
            raise self._too_large("max_recording_bytes", self._limits.max_recording_bytes)
        *lines, self._rest = (self._rest + data).split(b"\n")
        entries: list[EncodedEntry] = []
        for line in lines:
            last = self._quick(line)
            if last is None:
                last = self._read(line)
                self._members = None
            if last:
                if self._held:
                    self._settle(entries)
                self.size += len(line) + 1
            else:
                self._held_lines.append(line)
        if len(self._rest) > self._max_line:
            self._lines += 1
            raise self._error(_TOO_LONG % self._max_line)
        return entries

    def finish(self) -> list[EncodedEntry]:
        """Say that there are no more bytes, and return the entries of a last line that only lacks its line end.

        Raises:
            CorruptLineError: The file does not even hold a whole header, or what stands at its end was whole once.
        """
        rest, self._rest = self._rest, b""
        entries: list[EncodedEntry] = []
        # A file system that lost power may leave zeros where data was to come.
        written = rest.rstrip(b"\0")
        zeros = b""
        if self._hole is not None:
            if self._hole_ended and written:
                raise self._hole
            self._held_lines.append(rest)
        elif is_sealed(written.removesuffix(b"\r")):
            if self._read(written):
                self._settle(entries)
                self.size += len(written)
                self.lacks_line_end = True
                zeros = rest[len(written) :]
            else:
                self._held_lines.append(rest)
        elif begins_sealed(written) and not _has_hole(written):
            self._lines += 1
            raise self._error("its line end is damaged")
        else:
            self._held_lines.append(rest)
        if self.header is None:
            self._lines = 1
            raise self._error("the file ends before its header does")
        self._drop_held()
        self.torn += zeros
        if b"\0" in self.torn:
            self.doubt = _doubt(self.header.id, self.signal_count, self.torn)
        return entries

    def _settle(self, entries: list[EncodedEntry]) -> None:
        """Count an append, now that its last line is there."""
        entries += self._held
        self._held.clear()
        self.signal_count = self._following
        if self._held_lines:
            self.size += sum(map(len, self._held_lines)) + len(self._held_lines)
            self._held_lines.clear()
        if self._held_providers:
            self._providers |= self._held_providers
            self._held_providers.clear()

    def _drop_held(self) -> None:
        self.torn = b"\n".join(self._held_lines)
        self.digests.difference_update(entry.digest for entry in self._held if isinstance(entry, EncodedBlob))
        self._following = self.signal_count

    def _quick(self, line: bytes) -> bool | None:
        """Do what `_read` does with the line of a signal, as nearly all lines are, in less steps.

        None for every other line, and for one with anything wrong: `_read` has the last word on those. What was decoded
        here it finds in `_members`.
        """
        if not self._is_quick or len(line) > self._max_line or line[-SEAL_LENGTH:] != SEAL % crc32(line[:-SEAL_LENGTH]):
            return None
        try:
            members = _line(line)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            return None
        seq, time, name, text = self._following, members.time, members.name, bytes(members.payload)
        if (
            not text
            or members.seq != seq
            or name is None
            or time is None
            or not -_FAR < time < _FAR
            or len(text) > self._max_bytes
            or seq >= self._max_entries - len(self.digests) - len(self.checkpoints)
        ):
            self._members = members
            return None
        self._lines += 1
        self._following = seq + 1
        identifier = f"{self._run_id}/{seq}" if members.id is None else members.id  # `signal_id`, without the call
        self._held.append(EncodedSignal(seq, identifier, name, self._created_at + time, self._source(members), text))
        return not members.more

    def _read(self, line: bytes) -> bool:
        """Read a line; tell whether it is the last of its append."""
        self._lines += 1
        if line[-1:] == b"\r":
            line = line[:-1]
        if len(line) > self._max_line:
            raise self._error(_TOO_LONG % self._max_line)
        if self.header is None:
            header: Header = read_header(line, file=self._name, store=self._store)
            self.header = header
            self._name, self._run_id, self._created_at = header.id, header.run_id, header.created_at
            self._is_current = self._is_quick = header.version == released().current
            return True
        if self._members is None and (self._hole is not None or not is_sealed(line)):
            self._pass_hole(line)
            return False
        if self.footer is not None:
            raise self._error("it comes after the footer")
        try:
            last = self._take(self._members or self._decoded(line, self.header.version))
        except (_Refused, SerializationError) as error:
            raise self._error(str(error)) from None
        if self._following + len(self.digests) + len(self.checkpoints) > self._max_entries:
            raise self._too_large("max_entries", self._max_entries)
        return last

    def _pass_hole(self, line: bytes) -> None:
        """Take a line as one of the last append, of which a disk that lost power has kept only parts.

        It never was on the disk as a whole, so nobody was told that it is there. What stands in the place of the missing
        parts are zeros. A line that is of another append tells that the one with the zeros was acknowledged.
        """
        if self._hole is None:
            self._hole = self._error(_UNSEALED)
            self._is_quick = False
        if self._hole_ended or self.footer is not None or not self._is_current:
            raise self._hole
        if not is_sealed(line):
            if not _has_hole(line):
                raise self._hole
            return
        try:
            members = _line(line)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            raise self._hole from None
        if members.checkpoint is not None or members.outcome is not None:
            raise self._hole
        self._hole_ended = not members.more

    def _decoded(self, line: bytes, version: int) -> _Line:
        members: _Line = _decode(line if self._is_current else _current(line, version), _line, _Line)
        return members

    def _take(self, line: _Line) -> bool:
        if line.payload is not _ABSENT:
            self._held.append(self._signal(line, line.payload))
        elif line.texts is not None:
            self._held += self._deltas(line, line.texts)
        elif line.data is not _ABSENT and line.blob is not None:
            self._held.append(self._blob(line.blob, line.data))
        elif self._held or line.more:
            raise _Refused("an append has only signals and blobs, and the one before it goes on here")
        elif line.checkpoint is not None:
            self._checkpoint(line.checkpoint, line.seq)
        elif line.outcome is not None:
            self._foot(line)
        else:
            raise _Refused("it is no entry of this format")
        return not line.more

    def _foot(self, line: _Line) -> None:
        footer = _footer(line)
        if attrs.evolve(footer, outcome="incomplete", duration_ms=None) != self.summary:
            raise _Refused(f"the footer speaks of other entries ({footer}) than there are ({self.summary})")
        self.footer = footer
        self._is_quick = False

    def _signal(self, line: _Line, payload: msgspec.Raw) -> EncodedSignal:
        seq = self._following
        if line.seq != seq or line.name is None or line.time is None:
            raise _Refused(f"the next signal must be {seq} and have a name and a time, this is {line.seq!r}")
        if not -_FAR < line.time < _FAR:
            raise _Refused(f"its time is {_TOO_FAR}")
        text = bytes(payload)
        if len(text) > self._max_bytes:
            raise _Refused(f"a payload may take at most {self._max_bytes:,} bytes")
        self._following += 1
        identifier = f"{self._run_id}/{seq}" if line.id is None else line.id  # `signal_id`, without the call
        return EncodedSignal(seq, identifier, line.name, self._created_at + line.time, self._source(line), text)

    def _deltas(self, line: _Line, texts: list[str]) -> list[EncodedEntry]:
        first = self._following
        name, call, gaps, time = line.name, line.call, line.gaps, line.time
        if line.seq != first or name not in STREAMING or call is None or gaps is None or time is None:
            raise _Refused(
                f"deltas must begin at {first} and have a name, a call and times, these begin at {line.seq!r}"
            )
        if len(gaps) != len(texts) - 1 or not texts:
            raise _Refused(f"{len(texts)} deltas must have {len(texts) - 1} gaps, got {len(gaps)}")
        if len(texts) > MAX_RUN_DELTAS:
            raise _Refused(f"a line takes up to {MAX_RUN_DELTAS:,} deltas, got {len(texts):,}")
        if not -_FAR < time < _FAR or not -_FAR < min(gaps, default=0) <= max(gaps, default=0) < _FAR:
            raise _Refused(f"one of its times is {_TOO_FAR}")
        source = self._source(line)
        self._following += len(texts)
        times = accumulate(gaps, initial=self._created_at + time)
        return [
            EncodedSignal(
                seq, signal_id(self._run_id, seq), name, timestamp, source, dump_json({"call": call, "text": text})
            )
            for seq, (text, timestamp) in enumerate(zip(texts, times, strict=True), first)
        ]

    def _source(self, line: _Line) -> SignalSource:
        agent, provider, activation = line.agent, line.provider, line.activation
        parent: Any = line.parent
        if type(parent) is int:
            parent = f"{self._run_id}/{parent}"
        last = self._last_source
        if (
            parent == last.parent
            and activation == last.activation
            and provider == last.provider
            and agent == last.agent
        ):
            # What one signal causes has one source, so most signals share that of the one before.
            return last
        if provider is not None and provider not in self._providers:
            self._held_providers.add(provider)
        self._last_source = source = make_source(agent, provider, parent, activation)
        return source

    def _blob(self, digest: str, data: msgspec.Raw) -> EncodedBlob:
        text = bytes(data)
        if digest in self.digests:
            raise _Refused(f"the blob {digest} is there already")
        if len(text) > self._limits.max_bytes:
            raise _Refused(f"a blob may take at most {self._limits.max_bytes:,} bytes")
        self.digests.add(digest)
        return EncodedBlob(digest, text)

    def _checkpoint(self, name: str, seq: int | None) -> None:
        if seq is None or not 0 <= seq < self.signal_count or name in self.checkpoints:
            raise _Refused(f"the checkpoint {name!r} is there already, or stands at no signal before it ({seq!r})")
        self.checkpoints[name] = seq

    def _too_large(self, limit: str, allowed: int) -> RecordingTooLargeError:
        return RecordingTooLargeError(self._name, limit=limit, allowed=allowed, store=self._store)

    def _error(self, reason: str) -> CorruptRecordError:
        return CorruptLineError(self._name, line=self._lines, reason=reason, store=self._store)


def _has_hole(line: bytes) -> bool:
    """Tell whether zeros stand where something was to be written: at an end, or more than one; a single bit that fell over makes neither."""
    return line[:1] == b"\0" or line[-1:] == b"\0" or _HOLE in line


def _doubt(recording_id: str, count: int, torn: bytes) -> str:
    return (
        f"the recording {recording_id} is read up to its signal {count - 1}: in the {len(torn):,} bytes behind it are zeros "
        f"({torn.count(0):,} bytes). A power loss in the middle of its last append leaves that, and then nothing is missing. "
        "If there was none, the file was damaged later, and what is missing was there: restore it from a backup."
    )


_HOLE: Final = b"\0\0"
_UNSEALED: Final = "it does not match its checksum"
_TOO_LONG: Final = "it is longer than %d bytes"


def _footer(line: _Line) -> RecordingSummary:
    try:
        outcome = RunStatus(line.outcome or "")
    except ValueError:
        raise _Refused(f"{line.outcome!r} is no outcome") from None
    return RecordingSummary(
        outcome=outcome,
        duration_ms=line.duration_ms,
        signal_count=line.signals,
        blob_count=line.blobs,
        checkpoint_count=line.checkpoints,
        provider_types=line.provider_types,
    )


def _current(line: bytes, version: int) -> bytes:
    """A line of a file of an older version as a line of the current one, without its checksum."""
    if version >= released().current:
        return line
    try:
        members = decode_json(line, path="line")
        if not isinstance(members, dict):
            raise _Refused("it is no JSON object")
        del members["crc"]
        return dump_json(released().upcast(members, version))
    except (SerializationError, LookupError, TypeError, ValueError) as error:
        raise _Refused(f"it is no line of version {version} of this format ({error!r})") from error


def unknown_members(line: bytes) -> list[str]:
    """Return the members of a line of the current version that this code passes over, sorted.

    Raises:
        SerializationError: It is no JSON.
    """
    members = decode_json(line, path="line")
    assert isinstance(members, dict)  # noqa: S101 - the line was read before
    known = _HEADER_MEMBERS if "format" in members else _LINE_MEMBERS
    return sorted(members.keys() - known)


_HEADER_MEMBERS: Final = frozenset({*_HeaderLine.__struct_fields__, *_Probe.__struct_fields__, "crc"})
_LINE_MEMBERS: Final = frozenset({*_Line.__struct_fields__, "crc"})


def _decode(line: bytes, decode: Any, kind: type[Any]) -> Any:
    try:
        return decode(line)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return _decode_slowly(line, kind)


def _decode_slowly(line: bytes, kind: type[Any]) -> Any:
    """Read a line that the fast decoder refuses: it has lone surrogates, or it is none of ours."""
    try:
        members = decode_json(line, path="line")
        if not isinstance(members, dict):
            raise _Refused("it is no JSON object")
        known = set(kind.__struct_fields__)
        # What is read raw elsewhere is written again: the text of a value is always the same.
        raw = {key: msgspec.Raw(dump_json(members[key])) for key in _RAW & known & members.keys()}
        value = msgspec.convert({key: members[key] for key in known - _RAW if key in members}, kind)
    except (msgspec.ValidationError, UnicodeError, OpenHarnessError) as error:
        # Half a character where a number belongs is no text that the converter could look at.
        raise _Refused(f"it is no line of this format ({error})") from None
    for key, text in raw.items():
        setattr(value, key, text)
    return value
