"""The signals of a recording, a page at a time, with no lock and no transaction held in between.

A log only grows, and what is in it never changes. So how many signals there are is found out once, and the pages up to
there belong together, whatever is appended meanwhile. Only the deletion of the recording can come in between.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Final, cast

from openharness.core import CorruptRecordError, RecordingNotFoundError, SerializationError
from openharness.core.storage import SignalDecoder, WantedSignals, checksum, recording_from_columns, references
from openharness.postgres import misled
from openharness.signal_store_postgres._catalogue import Catalogue
from openharness.signal_store_postgres._rows import SIGNAL_COLUMNS, signal_from_row

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from openharness.core import Signal
    from openharness.core.storage import EncodedSignal, StoredRecording
    from openharness.postgres import Channel, Names
    from openharness.signal_store_postgres._names import WantedNames

__all__ = ("LogReading", "Pages")

_PAGE_BYTES: Final = 1024 * 1024
"""After how many bytes of payloads a page ends; a single payload may be larger."""
_PAGE_ROWS: Final = 500

_COLUMNS: Final = ", ".join(SIGNAL_COLUMNS)


class Pages:
    """The statements that read signals, for one store.

    `select_all` and `select_named` also tell how many rows would be read without the bound on bytes.

    Args:
        names: Where its tables are.
    """

    def __init__(self, names: Names) -> None:
        signals, blobs, unless_newer = names("signals"), names("blobs"), names.unless_newer
        self.names = names
        self.select_recording = Catalogue(names).select_one
        # The length of a payload is known without reading it.
        bounded = (
            f"SELECT {_COLUMNS}, there FROM (SELECT *, count(*) OVER () AS there, "  # noqa: S608 - names of our own
            "sum(octet_length(payload)) OVER (ORDER BY seq) - octet_length(payload) AS before FROM ({}) AS several) AS page "
            "WHERE before < $1::bigint"
        )
        # Not among what is formatted: the name of a schema may have braces.
        ordered = f" AND {unless_newer} ORDER BY seq"
        window = f"seq >= $3::bigint AND seq < $4::bigint ORDER BY seq LIMIT {_PAGE_ROWS}"
        every = f"SELECT {_COLUMNS} FROM {signals} WHERE recording = $2::bigint AND {window}"  # noqa: S608
        self.select_all = bounded.format(every) + ordered
        # The first page of several names together is in the first pages of each.
        named = (
            f"SELECT {_COLUMNS} FROM (SELECT one.seq AS wanted FROM pg_catalog.unnest($5::text[]) AS sought CROSS JOIN LATERAL "  # noqa: S608
            f"(SELECT seq FROM {signals} WHERE recording = $2::bigint AND name = sought AND {window}) AS one "
            f"ORDER BY wanted LIMIT {_PAGE_ROWS}) AS first JOIN {signals} ON recording = $2::bigint AND seq = wanted"
        )
        self.select_named = bounded.format(named) + ordered
        # With a list of digests comes what it refers to, which may be such a list again.
        self.select_blobs = (
            "WITH RECURSIVE wanted (digest) AS (SELECT pg_catalog.unnest($2::text[]) "  # noqa: S608
            "UNION SELECT found[1] FROM wanted "
            f"JOIN {blobs} AS blobs ON blobs.recording = $1::bigint AND blobs.digest = wanted.digest AND data LIKE '[\"%' "
            "CROSS JOIN LATERAL regexp_matches(data, '\"(?:list:)?(sha256:[0-9a-f]{64})\"', 'g') AS found "
            "WHERE found[1] <> ALL ($3::text[])) "
            f"SELECT blobs.digest, blobs.checksum, blobs.data FROM wanted JOIN {blobs} AS blobs "
            f"ON blobs.recording = $1::bigint AND blobs.digest = wanted.digest WHERE {unless_newer}"
        )
        # Beside what is known of the recording its checkpoints, and the names that begin with one of some texts.
        self.begin = Catalogue(names).select_one_with(
            f"ARRAY(SELECT ARRAY[part.name, part.seq::text, part.checksum] FROM {names('checkpoints')} AS part "  # noqa: S608
            "WHERE part.recording = recordings.number) AS checkpoints",
            f"ARRAY(SELECT ARRAY[part.name, part.long_name] FROM {names('signal_names')} AS part "  # noqa: S608
            "WHERE part.recording = recordings.number AND EXISTS (SELECT FROM pg_catalog.unnest($2::text[]) AS begin "
            "WHERE starts_with(part.name, begin)) LIMIT $3::bigint) AS signal_names",
        )


class LogReading:
    """One reading of a log.

    Args:
        pages: The statements.
        recording_id: The recording.
        start: The first seq that is wanted.
        stop: The first that is not wanted any more; None for all there are.
        names: Which names are wanted.
        whole: Whether all that is read is kept by the caller, so that signals may share the values of blobs; otherwise
            only those of one page do.
        store: What the store calls itself in errors.
    """

    def __init__(
        self,
        pages: Pages,
        recording_id: str,
        *,
        start: int,
        stop: int | None,
        names: WantedNames,
        whole: bool,
        store: str,
    ) -> None:
        self._pages = pages
        self._recording_id = recording_id
        self._next = start
        self._stop = stop
        self._names = names
        self._whole = whole
        self._store = store
        self._number = 0
        self._wanted = WantedSignals()
        self._blobs = _Blobs()
        self._decoder = self._new_decoder()

    async def begin(self, channel: Channel) -> tuple[StoredRecording, dict[str, int]]:
        """Find the recording and what there is to read; return it with its checkpoints.

        Raises:
            RecordingNotFoundError: There is none.
            CorruptRecordError: What is known of it is damaged.
        """
        # One statement, so that all of it is of one moment, as what was counted is.
        names = self._names
        rows = await channel.fetch(self._pages.begin, self._recording_id, names.indexed, names.most + 1)
        if not rows:
            raise RecordingNotFoundError(self._recording_id, store=self._store)
        *columns, checkpoints, signal_names = rows[0]
        recording = recording_from_columns(columns, store=self._store)
        found = self._checkpoints(checkpoints)
        count = recording.summary.signal_count
        # Not more than there are now: who appends while it reads would otherwise never come to an end.
        self._stop = count if self._stop is None else min(self._stop, count)
        self._number, self._wanted = cast("int", recording.number), names.of(signal_names)
        return recording, found

    async def page(self, channel: Channel) -> list[Signal] | None:
        """Return some more signals, perhaps none; None when there are no more.

        Raises:
            RecordingNotFoundError: It was deleted meanwhile.
            CorruptRecordError: What was read is damaged.
        """
        if self._next >= cast("int", self._stop):
            return None
        try:
            return await self._page(channel)
        except CorruptRecordError:
            # What is not there may have been deleted with its recording.
            recording = await self._recording(channel)
            if recording is None or recording.number != self._number:
                raise RecordingNotFoundError(self._recording_id, store=self._store) from None
            raise

    async def _page(self, channel: Channel) -> list[Signal]:
        stop, names = cast("int", self._stop), self._wanted.names
        if names is not None and not names:
            self._next = stop
            return []
        if not self._whole:
            self._blobs = _Blobs()
            self._decoder = self._new_decoder()
        arguments = (_PAGE_BYTES, self._number, self._next, stop)
        if names is None:
            rows = await channel.fetch(self._pages.select_all, *arguments)
        else:
            rows = await channel.fetch(self._pages.select_named, *arguments, list(names))
        encoded = [signal_from_row(row, recording_id=self._recording_id, store=self._store) for row in rows]
        complete = len(rows) < _PAGE_ROWS and (not rows or rows[0]["there"] == len(rows))
        following = self._checked_all(encoded) if names is None else self._checked_named(encoded, complete=complete)
        if complete and names is not None:
            recording = await self._recording(channel)
            if recording is None or recording.number != self._number:
                raise RecordingNotFoundError(self._recording_id, store=self._store)
        wanted = [signal for signal in encoded if self._is_wanted(signal)]
        await self._read_blobs(channel, self._referred(wanted))
        signals = [await self._decoded(channel, signal) for signal in wanted]
        self._next = following
        return signals

    def _checked_all(self, encoded: Sequence[EncodedSignal]) -> int:
        if not encoded or any(signal.seq != seq for seq, signal in enumerate(encoded, self._next)):
            there = {signal.seq for signal in encoded}
            missing = next(seq for seq in range(self._next, self._next + len(encoded) + 1) if seq not in there)
            raise CorruptRecordError(self._recording_id, reason=f"signal {missing} is not there", store=self._store)
        return self._next + len(encoded)

    def _checked_named(self, encoded: Sequence[EncodedSignal], *, complete: bool) -> int:
        following, stop = self._next, cast("int", self._stop)
        for signal in encoded:
            if not following <= signal.seq < stop or not self._is_wanted(signal):
                reason = f"it leads from {self._wanted.names} at {following} to {signal.name!r} at {signal.seq}"
                raise misled(reason, store=self._store)
            following = signal.seq + 1
        return stop if complete else following

    def _is_wanted(self, signal: EncodedSignal) -> bool:
        return self._wanted.matches is None or self._wanted.matches(signal.name)

    def _referred(self, encoded: Iterable[EncodedSignal]) -> set[str]:
        digests: set[str] = set()
        for signal in encoded:
            try:
                digests.update(references(signal.decode()) if signal.name == "provider:start" else ())
            except SerializationError:
                continue  # said by who decodes it
        return digests

    async def _decoded(self, channel: Channel, signal: EncodedSignal) -> Signal:
        while True:
            try:
                return self._decoder.decode(signal)
            except _UnreadError as unread:
                await self._read_blobs(channel, {unread.digest})

    async def _read_blobs(self, channel: Channel, digests: set[str]) -> None:
        new = {digest for digest in digests if digest not in self._blobs}
        if not new:
            return
        known = list(self._blobs) if self._whole else []
        rows = await channel.fetch(self._pages.select_blobs, self._number, sorted(new), known)
        found: dict[str, bytes | None] = dict.fromkeys(new)
        for digest, sealed, text in rows:
            data = found[digest] = text.encode()
            if checksum(self._recording_id, digest, data) != sealed:
                reason = f"the blob {digest!r} does not have its checksum"
                raise CorruptRecordError(self._recording_id, reason=reason, store=self._store)
        self._blobs.add(found)

    def _new_decoder(self) -> SignalDecoder:
        return SignalDecoder(self._blobs, recording_id=self._recording_id, store=self._store)

    async def _recording(self, channel: Channel) -> StoredRecording | None:
        rows = await channel.fetch(self._pages.select_recording, self._recording_id)
        return recording_from_columns(rows[0], store=self._store) if rows else None

    def _checkpoints(self, rows: Sequence[tuple[str, str, str]]) -> dict[str, int]:
        found: dict[str, int] = {}
        for name, seq, sealed in rows:
            found[name] = int(seq)
            if checksum(self._recording_id, name, found[name]) != sealed:
                reason = f"the checkpoint {name!r} does not have its checksum"
                raise CorruptRecordError(self._recording_id, reason=reason, store=self._store)
        return found


class _UnreadError(Exception):
    """A blob that has not been asked for yet."""

    def __init__(self, digest: str) -> None:
        super().__init__(digest)
        self.digest = digest


class _Blobs(Mapping[str, bytes]):
    """Blobs that were asked for, and those among them that are not there."""

    def __init__(self) -> None:
        self._read: dict[str, bytes | None] = {}

    def add(self, found: Mapping[str, bytes | None]) -> None:
        """Add blobs; those that are None are not there."""
        self._read.update(found)

    def __getitem__(self, digest: str) -> bytes:
        if digest not in self._read:
            raise _UnreadError(digest)
        data = self._read[digest]
        if data is None:
            raise KeyError(digest)
        return data

    def __contains__(self, digest: object) -> bool:
        return digest in self._read

    def __iter__(self) -> Iterator[str]:
        return iter(self._read)

    def __len__(self) -> int:
        return len(self._read)
