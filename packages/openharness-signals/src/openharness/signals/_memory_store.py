"""The signal store in memory: the reference for how every other one behaves."""

from __future__ import annotations

from typing import TYPE_CHECKING

import attrs

from openharness.core.errors import InvalidValueError, RecordingNotFoundError, StoreClosedError
from openharness.core.interfaces import SignalStore
from openharness.core.patterns import PatternSequence
from openharness.core.records import Outcome, Recording, RecordingMatch, RecordingQuery, check_id
from openharness.core.storage import (
    ChangeWaiters,
    EncodedBlob,
    EncodedSignal,
    LogPosition,
    RecordingHeader,
    RecordingSummary,
    SignalDecoder,
    check_finalize,
    check_range,
    encode_entries,
    name_filter,
    needs_checkpoint,
    needs_finalizing,
    needs_restoring,
    new_header,
    ordered_checkpoints,
    plan_append,
    restored_header,
    select_recordings,
)
from openharness.core.values import MAX_BYTES

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
    from typing import Self

    from openharness.core.patterns import PatternLike
    from openharness.core.records import LogEntry, RecordingInfo, Signal
    from openharness.core.values import JSONValue

__all__ = ("MemorySignalStore",)


@attrs.define(eq=False)
class _Log:
    """One recording: everything in it is encoded, so that nothing is shared with any caller."""

    header: RecordingHeader
    signals: list[EncodedSignal] = attrs.field(factory=list[EncodedSignal])
    blobs: dict[str, bytes] = attrs.field(factory=dict[str, bytes])
    checkpoints: dict[str, int] = attrs.field(factory=dict[str, int])
    providers: set[str] = attrs.field(factory=set[str])
    outcome: Outcome = "incomplete"
    duration_ms: int | None = None

    def position(self) -> LogPosition:
        return LogPosition(self.header.id, len(self.signals), self.blobs.keys(), self.outcome, self.duration_ms)

    def summary(self) -> RecordingSummary:
        return RecordingSummary(
            outcome=self.outcome,
            duration_ms=self.duration_ms,
            signal_count=len(self.signals),
            blob_count=len(self.blobs),
            checkpoint_count=len(self.checkpoints),
            provider_types=tuple(sorted(self.providers)),
        )

    def info(self) -> RecordingInfo:
        return self.header.info(self.summary())


class MemorySignalStore(SignalStore):
    """Keeps recordings in memory, encoded as a file would keep them; they are gone with the process.

    Args:
        max_bytes: How large the JSON text of one payload, of one blob, or of one recording's metadata may be; 16 MiB by
            default.
    """

    def __init__(self, *, max_bytes: int = MAX_BYTES) -> None:
        self._max_bytes = max_bytes
        self._logs: dict[str, _Log] = {}
        self._published: dict[str, str] = {}
        self._closed = False
        self._waiters = ChangeWaiters()

    @classmethod
    def from_url(cls, url: str) -> Self:
        """Return a store for ``memory:``, as `openharness.core.open_signal_store` asks for it.

        Raises:
            InvalidValueError: Something follows the scheme, which could mean nothing.
        """
        if url != "memory:":
            raise InvalidValueError("url", value=url, expected="'memory:' and nothing after it")
        return cls()

    @property
    def max_bytes(self) -> int:
        """How large the JSON text of one payload may be, in bytes."""
        return self._max_bytes

    def __repr__(self) -> str:
        """Say how many recordings it holds."""
        return f"MemorySignalStore({len(self._logs)} recordings)"

    async def create_recording(
        self,
        *,
        run_id: str,
        name: str | None = None,
        tags: Iterable[str] = (),
        metadata: Mapping[str, JSONValue] | None = None,
        resumed_from: str | None = None,
    ) -> str:
        """Create an empty recording and return its id. See `SignalStore.create_recording`."""
        self._check_open()
        header = new_header(
            run_id=run_id,
            name=name,
            tags=tags,
            metadata=metadata,
            resumed_from=resumed_from,
            max_bytes=self._max_bytes,
        )
        self._logs[header.id] = _Log(header)
        return header.id

    async def append(self, recording_id: str, entries: Sequence[LogEntry]) -> None:
        """Append entries, all or none. See `SignalStore.append`."""
        self._check_open()
        encoded = encode_entries(entries, max_bytes=self._max_bytes)
        log = self._log(recording_id)
        new = plan_append(log.position(), encoded, lambda start, stop: log.signals[start:stop], store=repr(self))
        for entry in new:
            if isinstance(entry, EncodedBlob):
                log.blobs[entry.digest] = entry.data
            else:
                log.signals.append(entry)
                if entry.source.provider is not None:
                    log.providers.add(entry.source.provider)
        if new:
            self._waiters.wake(recording_id)

    async def add_checkpoint(self, recording_id: str, name: str, seq: int) -> None:
        """Give a name to a position. See `SignalStore.add_checkpoint`."""
        self._check_open()
        name = check_id(name, name="name")
        log = self._log(recording_id)
        if needs_checkpoint(log.position(), log.checkpoints, name, seq, store=repr(self)):
            log.checkpoints[name] = seq

    async def finalize(self, recording_id: str, *, outcome: Outcome | str, duration_ms: int | None = None) -> None:
        """Close the log. See `SignalStore.finalize`."""
        self._check_open()
        checked, duration = check_finalize(outcome, duration_ms)
        log = self._log(recording_id)
        if needs_finalizing(log.position(), checked, duration, store=repr(self)):
            log.outcome, log.duration_ms = checked, duration
            self._waiters.wake(recording_id)

    async def publish(self, recording_id: str, name: str) -> None:
        """Make this recording what the fixture name means. See `SignalStore.publish`."""
        self._check_open()
        name = check_id(name, name="name")
        self._log(recording_id)
        self._published[name] = recording_id

    async def load_recording(self, recording_id: str) -> Recording | None:
        """Return a recording with all its signals, or None. See `SignalStore.load_recording`."""
        self._check_open()
        log = self._logs.get(check_id(recording_id, name="recording_id"))
        if log is None:
            return None
        decoder = SignalDecoder(log.blobs, recording_id=recording_id, store=repr(self))
        return Recording(
            info=log.info(),
            signals=[decoder.decode(signal) for signal in log.signals],
            checkpoints=ordered_checkpoints(log.checkpoints),
        )

    async def iter_signals(
        self,
        recording_id: str,
        *,
        start: int = 0,
        stop: int | None = None,
        patterns: PatternLike | Sequence[PatternLike] = (),
    ) -> AsyncIterator[Signal]:
        """Yield signals in order of seq. See `SignalStore.iter_signals`."""
        self._check_open()
        check_range(start, stop)
        wanted = name_filter(patterns)
        log = self._log(recording_id)
        decoder = SignalDecoder(log.blobs, recording_id=recording_id, store=repr(self))
        # Not more than there are now: a caller that appends while it reads would otherwise never come to an end.
        end = len(log.signals) if stop is None else min(stop, len(log.signals))
        for seq in range(start, end):
            signal = log.signals[seq]
            if wanted(signal.name):
                yield decoder.decode(signal)
                self._check_open()

    async def list_recordings(self, query: RecordingQuery | None = None) -> list[RecordingInfo]:
        """Return the recordings that match, newest first. See `SignalStore.list_recordings`."""
        self._check_open()
        return self._found(query or RecordingQuery())

    async def iter_recordings(self, query: RecordingQuery | None = None) -> AsyncIterator[RecordingInfo]:
        """Yield the recordings that match; they are looked for once. See `SignalStore.iter_recordings`."""
        for info in await self.list_recordings(query):
            yield info
            self._check_open()

    async def get_recording_info(self, recording_id: str) -> RecordingInfo | None:
        """Return what is known of a recording, or None. See `SignalStore.get_recording_info`."""
        self._check_open()
        log = self._logs.get(check_id(recording_id, name="recording_id"))
        return None if log is None else log.info()

    async def count_recordings(self, query: RecordingQuery | None = None) -> int:
        """Return how many recordings match. See `SignalStore.count_recordings`."""
        self._check_open()
        return len(self._found(query or RecordingQuery()))

    async def search_recordings(
        self, patterns: PatternLike | Sequence[PatternLike], query: RecordingQuery | None = None
    ) -> list[RecordingMatch]:
        """Return the recordings in which signals followed each other. See `SignalStore.search_recordings`."""
        self._check_open()
        sequence = PatternSequence(patterns)
        query = query or RecordingQuery()
        matches: list[RecordingMatch] = []
        for info in self._found(attrs.evolve(query, limit=None, offset=0)):
            seqs = sequence.find((signal.seq, signal.name) for signal in self._logs[info.id].signals)
            if seqs is not None:
                matches.append(RecordingMatch(info, seqs))
        return matches[query.offset : None if query.limit is None else query.offset + query.limit]

    async def wait_for_change(self, known: RecordingInfo) -> None:
        """Wait until a recording is appended to, ends or is gone. See `SignalStore.wait_for_change`."""
        self._check_open()
        log = self._logs.get(known.id)
        if log is None or (len(log.signals), log.outcome) != (known.signal_count, known.outcome):
            return
        await self._waiters.wait(known.id)

    async def restore_recording(self, info: RecordingInfo) -> None:
        """Create the empty recording that another store has. See `SignalStore.restore_recording`."""
        self._check_open()
        header = restored_header(info, max_bytes=self._max_bytes)
        known = self._logs.get(header.id)
        if needs_restoring(None if known is None else known.header, header, store=repr(self)):
            self._logs[header.id] = _Log(header)

    async def find_recording(self, name: str) -> RecordingInfo | None:
        """Return the recording published under a fixture name, or None. See `SignalStore.find_recording`."""
        self._check_open()
        recording_id = self._published.get(check_id(name, name="name"))
        return None if recording_id is None else self._logs[recording_id].info()

    async def list_fixtures(self) -> list[str]:
        """Return the fixture names that are published, sorted."""
        self._check_open()
        return sorted(self._published)

    async def delete_recording(self, recording_id: str) -> None:
        """Delete a recording. See `SignalStore.delete_recording`."""
        self._check_open()
        self._logs.pop(check_id(recording_id, name="recording_id"), None)
        self._waiters.wake(recording_id)
        for name in [name for name, published in self._published.items() if published == recording_id]:
            del self._published[name]

    async def close(self) -> None:
        """Forget all recordings. See `SignalStore.close`."""
        self._closed = True
        self._waiters.wake_all()
        self._logs.clear()
        self._published.clear()

    def _check_open(self) -> None:
        if self._closed:
            raise StoreClosedError("the store was closed; make a new one.", store="MemorySignalStore")

    def _found(self, query: RecordingQuery) -> list[RecordingInfo]:
        return select_recordings((log.info() for log in self._logs.values()), query)

    def _log(self, recording_id: str) -> _Log:
        try:
            return self._logs[check_id(recording_id, name="recording_id")]
        except KeyError:
            raise RecordingNotFoundError(recording_id, store=repr(self)) from None
