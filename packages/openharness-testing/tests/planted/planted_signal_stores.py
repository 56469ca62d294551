"""A right signal store, and the same store with one bug each: what `SignalStoreContract` must tell apart.

`PlainSignalStore` keeps encoded entries in lists and waits now and then, as stores do. A bug overrides as little as it
can.
"""

# ruff: noqa: D101, D102 - the name of a class says what its bug is

from __future__ import annotations

import asyncio
import contextlib
import fnmatch
import re
from typing import TYPE_CHECKING, Any

import attrs
from planting import Garden

from openharness.core import (
    Blob,
    Checkpoint,
    InvalidValueError,
    Recording,
    RecordingConflictError,
    RecordingFinalizedError,
    RecordingInfo,
    RecordingMatch,
    RecordingNotFoundError,
    RecordingQuery,
    SerializationError,
    Signal,
    SignalStore,
    StoreClosedError,
    new_id,
    now_ms,
)
from openharness.core.patterns import PatternSequence, compile_pattern
from openharness.core.records import check_id, check_outcome
from openharness.core.storage import (
    RecordingHeader,
    RecordingSummary,
    decode_signal,
    encode_blob,
    encode_signal,
    needs_restoring,
    references,
    resolve_signal,
    restored_header,
)
from openharness.core.values import decode_json, encode_json
from openharness.testing._signal_store._aliasing import AliasingTests
from openharness.testing._signal_store._blobs import BlobTests
from openharness.testing._signal_store._catalogue import CheckpointTests, FixtureTests, InfoTests, ListingTests
from openharness.testing._signal_store._concurrency import ConcurrencyTests
from openharness.testing._signal_store._following import FollowTests
from openharness.testing._signal_store._interruption import CancellationTests
from openharness.testing._signal_store._lifecycle import LifecycleTests
from openharness.testing._signal_store._logs import AppendTests, FinalizeTests, UnknownRecordingTests
from openharness.testing._signal_store._reading import ReadingTests
from openharness.testing._signal_store._restoring import RestoreTests
from openharness.testing._signal_store._search import SearchTests
from openharness.testing._signal_store._values import PayloadTests

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterable, Mapping, Sequence

MAX_BYTES = 64 * 1024
NAME = "PlainSignalStore"

Encoded = tuple[str, Signal | str, bytes]
"""``signal`` with the signal, or ``blob`` with its digest, and the bytes."""


@attrs.define(eq=False)
class PlainLog:
    """One recording."""

    info: RecordingInfo
    metadata: bytes | None
    signals: list[bytes] = attrs.field(factory=list[bytes])
    blobs: dict[str, bytes] = attrs.field(factory=dict[str, bytes])
    checkpoints: dict[str, int] = attrs.field(factory=dict[str, int])
    providers: set[str] = attrs.field(factory=set[str])


class PlainSignalStore(SignalStore):
    """A signal store without a bug."""

    no_ends: tuple[str, ...] = ("running",)

    def __init__(self) -> None:
        self.logs: dict[str, PlainLog] = {}
        self.published: dict[str, str] = {}
        self.closed = False

    @property
    def max_bytes(self) -> int:
        return MAX_BYTES

    async def create_recording(
        self,
        *,
        run_id: str,
        name: str | None = None,
        tags: Iterable[str] = (),
        metadata: Mapping[str, Any] | None = None,
        resumed_from: str | None = None,
    ) -> str:
        self.check_open()
        info = RecordingInfo(
            id=new_id("rec"),
            run_id=check_id(run_id, name="run_id"),
            name=None if name is None else check_id(name, name="name"),
            created_at=now_ms(),
            tags=self.tags(tags),
            resumed_from=None if resumed_from is None else check_id(resumed_from, name="resumed_from"),
        )
        log = PlainLog(info, None if metadata is None else encode_json(metadata, path="metadata"))
        await asyncio.sleep(0)
        self.logs[info.id] = log
        return info.id

    async def append(self, recording_id: str, entries: Sequence[Signal | Blob]) -> None:
        self.check_open()
        check_id(recording_id, name="recording_id")
        encoded = self.encode(entries)
        await asyncio.sleep(0)
        log = self.log(recording_id)
        self.check_not_finalized(log)
        self.write(log, self.plan(log, encoded))

    async def add_checkpoint(self, recording_id: str, name: str, seq: int) -> None:
        self.check_open()
        name = check_id(name, name="name")
        await asyncio.sleep(0)
        log = self.log(recording_id)
        if log.checkpoints.get(name, seq) != seq or not 0 <= seq < len(log.signals):
            raise RecordingConflictError(recording_id, seq=seq, reason="no such place", store=NAME)
        log.checkpoints[name] = seq

    async def finalize(self, recording_id: str, *, outcome: Any, duration_ms: int | None = None) -> None:
        self.check_open()
        checked = check_outcome(outcome)
        if checked in ("incomplete", *self.no_ends):
            raise InvalidValueError("outcome", value=outcome, expected="the end of a run")
        await asyncio.sleep(0)
        log = self.log(recording_id)
        if log.info.outcome != "incomplete" and (log.info.outcome, log.info.duration_ms) != (checked, duration_ms):
            raise RecordingFinalizedError(recording_id, outcome=log.info.outcome, store=NAME)
        log.info = attrs.evolve(log.info, outcome=checked, duration_ms=duration_ms)

    async def publish(self, recording_id: str, name: str) -> None:
        self.check_open()
        name = check_id(name, name="name")
        await asyncio.sleep(0)
        self.log(recording_id)
        self.published[name] = recording_id

    async def load_recording(self, recording_id: str) -> Recording | None:
        self.check_open()
        check_id(recording_id, name="recording_id")
        await asyncio.sleep(0)
        log = self.logs.get(recording_id)
        if log is None:
            return None
        return Recording(info=self.info(log), signals=self.read(log, 0, None), checkpoints=self.checkpoints(log))

    async def iter_signals(
        self, recording_id: str, *, start: int = 0, stop: int | None = None, patterns: Any = ()
    ) -> AsyncIterator[Signal]:
        self.check_open()
        for bound in (start, stop):
            if bound is not None and (type(bound) is not int or bound < 0):
                raise InvalidValueError("bound", value=bound, expected="an integer from 0 on")
        matches = self.matcher(patterns)
        await asyncio.sleep(0)
        for signal in self.read(self.log(recording_id), start, stop):
            if matches(signal.name):
                yield signal

    async def list_recordings(self, query: RecordingQuery | None = None) -> list[RecordingInfo]:
        self.check_open()
        await asyncio.sleep(0)
        query = query or RecordingQuery()
        found = [info for info in map(self.info, self.logs.values()) if self.matches(info, query)]
        return self.page(self.sort(found), query)

    async def restore_recording(self, info: RecordingInfo) -> None:
        self.check_open()
        header = restored_header(info, max_bytes=MAX_BYTES)
        await asyncio.sleep(0)
        known = self.logs.get(info.id)
        if self.needs_restoring(None if known is None else self.header(known), header):
            self.logs[info.id] = PlainLog(header.info(RecordingSummary()), header.metadata)

    def header(self, log: PlainLog) -> RecordingHeader:
        return restored_header(self.info(log), max_bytes=MAX_BYTES)

    def needs_restoring(self, known: RecordingHeader | None, header: RecordingHeader) -> bool:
        return needs_restoring(known, header, store=NAME)

    async def find_recording(self, name: str) -> RecordingInfo | None:
        self.check_open()
        check_id(name, name="name")
        await asyncio.sleep(0)
        recording_id = self.published.get(name)
        return None if recording_id is None else self.info(self.logs[recording_id])

    async def delete_recording(self, recording_id: str) -> None:
        self.check_open()
        check_id(recording_id, name="recording_id")
        await asyncio.sleep(0)
        self.logs.pop(recording_id, None)
        self.published = {name: meant for name, meant in self.published.items() if meant != recording_id}

    async def list_fixtures(self) -> list[str]:
        self.check_open()
        return sorted(self.published)

    async def close(self) -> None:
        self.closed = True
        await asyncio.sleep(0)

    def check_open(self) -> None:
        if self.closed:
            raise StoreClosedError("it was closed; make a new one.", store=NAME)

    def log(self, recording_id: str) -> PlainLog:
        try:
            return self.logs[check_id(recording_id, name="recording_id")]
        except KeyError:
            raise RecordingNotFoundError(recording_id, store=NAME) from None

    def tags(self, tags: Iterable[str]) -> tuple[str, ...]:
        return tuple(map(str.__str__, tags))

    def encode(self, entries: Sequence[Signal | Blob]) -> list[Encoded]:
        return [
            ("blob", entry.digest, encode_blob(entry, max_bytes=MAX_BYTES))
            if isinstance(entry, Blob)
            else ("signal", entry, encode_signal(entry, max_bytes=MAX_BYTES))
            for entry in entries
        ]

    def check_not_finalized(self, log: PlainLog) -> None:
        if log.info.outcome != "incomplete":
            raise RecordingFinalizedError(log.info.id, outcome=log.info.outcome, store=NAME)

    def plan(self, log: PlainLog, entries: list[Encoded]) -> list[Encoded]:
        new: list[Encoded] = []
        signals = list(log.signals)
        blobs = set(log.blobs)
        for kind, entry, data in entries:
            if isinstance(entry, str):
                if entry not in blobs:
                    new.append((kind, entry, data))
                    blobs.add(entry)
                continue
            self.check_references(decode_signal(data), blobs)
            if entry.seq < len(signals):
                self.check_same(log, entry.seq, signals[entry.seq], data)
                continue
            self.check_follows(log, entry.seq, len(signals))
            signals.append(data)
            new.append((kind, entry, data))
        return new

    def check_references(self, signal: Signal, blobs: set[str]) -> None:
        if not blobs.issuperset(references(signal)):
            raise SerializationError("payload.request", value=signal.name, reason="a blob is missing")

    def check_same(self, log: PlainLog, seq: int, present: bytes, data: bytes) -> None:
        if present != data:
            raise RecordingConflictError(log.info.id, seq=seq, reason="other content", store=NAME)

    def check_follows(self, log: PlainLog, seq: int, count: int) -> None:
        if seq != count:
            raise RecordingConflictError(log.info.id, seq=seq, reason="a gap", store=NAME)

    def write(self, log: PlainLog, entries: list[Encoded]) -> None:
        for _, entry, data in entries:
            if isinstance(entry, str):
                log.blobs[entry] = data
            else:
                log.signals.append(data)
                if entry.source.provider is not None:
                    log.providers.add(entry.source.provider)

    def read(self, log: PlainLog, start: int, stop: int | None) -> list[Signal]:
        return [self.resolve(log, decode_signal(data)) for data in log.signals[start:stop]]

    def resolve(self, log: PlainLog, signal: Signal) -> Signal:
        return resolve_signal(signal, {digest: decode_json(data) for digest, data in log.blobs.items()})

    def matcher(self, patterns: Any) -> Any:
        given = [patterns] if isinstance(patterns, (str, re.Pattern)) else list(patterns)
        compiled = [compile_pattern(pattern) for pattern in given]
        return lambda name: not compiled or any(pattern.matches(name) for pattern in compiled)

    def info(self, log: PlainLog) -> RecordingInfo:
        return attrs.evolve(
            log.info,
            metadata=None if log.metadata is None else decode_json(log.metadata),
            signal_count=len(log.signals),
            provider_types=tuple(sorted(log.providers)),
        )

    def checkpoints(self, log: PlainLog) -> list[Checkpoint]:
        return [Checkpoint(name, seq) for seq, name in sorted((seq, name) for name, seq in log.checkpoints.items())]

    def matches(self, info: RecordingInfo, query: RecordingQuery) -> bool:
        return query.matches(info)

    def sort(self, infos: list[RecordingInfo]) -> list[RecordingInfo]:
        return sorted(infos, key=lambda info: (info.created_at, info.id.encode()), reverse=True)

    def page(self, infos: list[RecordingInfo], query: RecordingQuery) -> list[RecordingInfo]:
        if query.order == "oldest":
            infos.reverse()
        if query.after is not None:
            infos = [info for info in infos if self.follows(info, query.after, query.order)]
        return infos[query.offset :][: query.limit]

    def follows(self, info: RecordingInfo, after: tuple[int, str], order: str) -> bool:
        place, last = (info.created_at, info.id.encode()), (after[0], after[1].encode())
        return place < last if order == "newest" else place > last


garden = Garden()


# Appending.


@garden.plant(AppendTests)
class RepeatedAppendRefused(PlainSignalStore):
    def check_same(self, log: PlainLog, seq: int, present: bytes, data: bytes) -> None:
        raise RecordingConflictError(log.info.id, seq=seq, reason="it is there", store=NAME)


@garden.plant(AppendTests)
class RepeatedAppendAddsAgain(PlainSignalStore):
    def plan(self, log: PlainLog, entries: list[Encoded]) -> list[Encoded]:
        super().plan(log, entries)
        return entries


@garden.plant(AppendTests)
class ConflictingAppendAccepted(PlainSignalStore):
    def check_same(self, log: PlainLog, seq: int, present: bytes, data: bytes) -> None:
        pass


@garden.plant(AppendTests)
class ConflictingAppendReplaces(PlainSignalStore):
    def check_same(self, log: PlainLog, seq: int, present: bytes, data: bytes) -> None:
        if seq < len(log.signals):
            log.signals[seq] = data


@garden.plant(AppendTests)
class OnlyTheNameIsCompared(PlainSignalStore):
    def check_same(self, log: PlainLog, seq: int, present: bytes, data: bytes) -> None:
        if decode_signal(present).name != decode_signal(data).name:
            super().check_same(log, seq, present, data)


@garden.plant(AppendTests)
class GapAccepted(PlainSignalStore):
    def check_follows(self, log: PlainLog, seq: int, count: int) -> None:
        pass


@garden.plant(AppendTests)
class AppendedOneByOne(PlainSignalStore):
    async def append(self, recording_id: str, entries: Sequence[Signal | Blob]) -> None:
        for entry in entries:
            await super().append(recording_id, [entry])
        if not entries:
            await super().append(recording_id, entries)


@garden.plant(AppendTests)
class SourceForgotten(PlainSignalStore):
    def read(self, log: PlainLog, start: int, stop: int | None) -> list[Signal]:
        return [
            attrs.evolve(signal, source=attrs.evolve(signal.source, activation=None))
            for signal in super().read(log, start, stop)
        ]


@garden.plant(PayloadTests)
class NulRemoved(PlainSignalStore):
    def read(self, log: PlainLog, start: int, stop: int | None) -> list[Signal]:
        found = super().read(log, start, stop)
        return [
            attrs.evolve(one, payload=one.payload.replace("\0", "")) if isinstance(one.payload, str) else one
            for one in found
        ]


@garden.plant(PayloadTests)
class NanBecomesNone(PlainSignalStore):
    def encode(self, entries: Sequence[Signal | Blob]) -> list[Encoded]:
        return super().encode(
            [
                attrs.evolve(entry, payload=None)
                if isinstance(entry, Signal) and isinstance(entry.payload, float) and entry.payload != entry.payload
                else entry
                for entry in entries
            ]
        )


@garden.plant(PayloadTests)
class AnotherSizeLimitTold(PlainSignalStore):
    @property
    def max_bytes(self) -> int:
        return 2 * super().max_bytes


@garden.plant(PayloadTests)
class NoSizeLimit(PlainSignalStore):
    def encode(self, entries: Sequence[Signal | Blob]) -> list[Encoded]:
        return [
            ("blob", entry.digest, encode_blob(entry))
            if isinstance(entry, Blob)
            else ("signal", entry, encode_signal(entry))
            for entry in entries
        ]


# Ends.


@garden.plant(FinalizeTests)
class FinalizeNotEnforced(PlainSignalStore):
    def check_not_finalized(self, log: PlainLog) -> None:
        pass


@garden.plant(FinalizeTests)
class LateBlobsAccepted(PlainSignalStore):
    async def append(self, recording_id: str, entries: Sequence[Signal | Blob]) -> None:
        try:
            await super().append(recording_id, entries)
        except RecordingFinalizedError:
            if any(isinstance(entry, Signal) for entry in entries):
                raise


@garden.plant(FinalizeTests)
class FinalizeAgainChangesTheOutcome(PlainSignalStore):
    async def finalize(self, recording_id: str, *, outcome: Any, duration_ms: int | None = None) -> None:
        if recording_id in self.logs:
            self.logs[recording_id].info = attrs.evolve(self.logs[recording_id].info, outcome="incomplete")
        await super().finalize(recording_id, outcome=outcome, duration_ms=duration_ms)


@garden.plant(FinalizeTests)
class FinalizeAgainRefused(PlainSignalStore):
    async def finalize(self, recording_id: str, *, outcome: Any, duration_ms: int | None = None) -> None:
        self.check_not_finalized(self.log(recording_id))
        await super().finalize(recording_id, outcome=outcome, duration_ms=duration_ms)


@garden.plant(FinalizeTests)
class IncompleteIsAnOutcome(PlainSignalStore):
    async def finalize(self, recording_id: str, *, outcome: Any, duration_ms: int | None = None) -> None:
        if outcome != "incomplete":
            await super().finalize(recording_id, outcome=outcome, duration_ms=duration_ms)


@garden.plant(FinalizeTests)
class RunningIsAnOutcome(PlainSignalStore):
    no_ends = ()


@garden.plant(FinalizeTests)
class DurationLost(PlainSignalStore):
    async def finalize(self, recording_id: str, *, outcome: Any, duration_ms: int | None = None) -> None:
        await super().finalize(recording_id, outcome=outcome)


@garden.plant(FinalizeTests)
class DurationAddedLater(PlainSignalStore):
    async def finalize(self, recording_id: str, *, outcome: Any, duration_ms: int | None = None) -> None:
        info = self.log(recording_id).info
        if duration_ms is not None and info.outcome == outcome and info.duration_ms is None:
            self.logs[recording_id].info = attrs.evolve(info, duration_ms=duration_ms)
        await super().finalize(recording_id, outcome=outcome, duration_ms=duration_ms)


@garden.plant(FinalizeTests)
class LaterDurationIsPassedOver(PlainSignalStore):
    async def finalize(self, recording_id: str, *, outcome: Any, duration_ms: int | None = None) -> None:
        info = self.log(recording_id).info
        if info.outcome == "incomplete" or info.duration_ms is not None:
            await super().finalize(recording_id, outcome=outcome, duration_ms=duration_ms)
        else:
            await super().finalize(recording_id, outcome=outcome)


# Unknown recordings.


@garden.plant(UnknownRecordingTests)
class UnknownRecordingIsCreated(PlainSignalStore):
    async def append(self, recording_id: str, entries: Sequence[Signal | Blob]) -> None:
        if check_id(recording_id, name="recording_id") not in self.logs:
            self.logs[recording_id] = PlainLog(RecordingInfo(id=recording_id, run_id="x", created_at=0), None)
        await super().append(recording_id, entries)


@garden.plant(UnknownRecordingTests)
class LoadRaisesForUnknown(PlainSignalStore):
    async def load_recording(self, recording_id: str) -> Recording | None:
        self.log(recording_id)
        return await super().load_recording(recording_id)


@garden.plant(UnknownRecordingTests)
class ReadingUnknownIsEmpty(PlainSignalStore):
    async def iter_signals(self, recording_id: str, **arguments: Any) -> AsyncIterator[Signal]:
        if check_id(recording_id, name="recording_id") in self.logs:
            async for signal in super().iter_signals(recording_id, **arguments):
                yield signal


@garden.plant(UnknownRecordingTests)
class DeleteRaisesForUnknown(PlainSignalStore):
    async def delete_recording(self, recording_id: str) -> None:
        self.log(recording_id)
        await super().delete_recording(recording_id)


@garden.plant(UnknownRecordingTests)
class DeleteKeepsTheName(PlainSignalStore):
    async def delete_recording(self, recording_id: str) -> None:
        published = dict(self.published)
        await super().delete_recording(recording_id)
        self.published = published

    async def find_recording(self, name: str) -> RecordingInfo | None:
        gone = self.published.get(name) not in self.logs
        return None if gone else await super().find_recording(name)


# Blobs.


@garden.plant(BlobTests)
class BlobNotResolvedOutOfRange(PlainSignalStore):
    async def iter_signals(
        self, recording_id: str, *, start: int = 0, stop: int | None = None, patterns: Any = ()
    ) -> AsyncIterator[Signal]:
        log = self.log(recording_id)
        async for signal in super().iter_signals(recording_id, start=start, stop=stop, patterns=patterns):
            yield decode_signal(log.signals[signal.seq]) if start > 0 else signal


@garden.plant(BlobTests)
class LongListsCutShort(PlainSignalStore):
    def resolve(self, log: PlainLog, signal: Signal) -> Signal:
        direct = {digest: decode_json(log.blobs[digest]) for digest in references(signal)}
        cut = {digest: [] if isinstance(value, list) else value for digest, value in direct.items()}
        return resolve_signal(signal, cut)


@garden.plant(BlobTests)
class ReferencesNotResolved(PlainSignalStore):
    def resolve(self, log: PlainLog, signal: Signal) -> Signal:
        return signal


@garden.plant(BlobTests)
class AnyPayloadMayRefer(PlainSignalStore):
    def resolve(self, log: PlainLog, signal: Signal) -> Signal:
        if isinstance(signal.payload, str) and signal.payload in log.blobs:
            return attrs.evolve(signal, payload=decode_json(log.blobs[signal.payload]))
        return super().resolve(log, signal)


@garden.plant(BlobTests)
class BlobsSharedByRecordings(PlainSignalStore):
    def __init__(self) -> None:
        super().__init__()
        self.pool: dict[str, bytes] = {}

    def write(self, log: PlainLog, entries: list[Encoded]) -> None:
        super().write(log, entries)
        self.pool |= log.blobs

    async def delete_recording(self, recording_id: str) -> None:
        for digest in self.logs[recording_id].blobs if recording_id in self.logs else ():
            self.pool.pop(digest, None)
        await super().delete_recording(recording_id)

    def resolve(self, log: PlainLog, signal: Signal) -> Signal:
        return resolve_signal(signal, {digest: decode_json(data) for digest, data in self.pool.items()})


@garden.plant(BlobTests)
class DigestNotChecked(PlainSignalStore):
    def encode(self, entries: Sequence[Signal | Blob]) -> list[Encoded]:
        encoded: list[Encoded] = []
        for entry in entries:
            if isinstance(entry, Blob):
                encoded.append(("blob", entry.digest, encode_json(entry.data, max_bytes=MAX_BYTES)))
            else:
                encoded += super().encode([entry])
        return encoded


@garden.plant(BlobTests)
class ReferencesNotChecked(PlainSignalStore):
    def check_references(self, signal: Signal, blobs: set[str]) -> None:
        pass


# Reading.


@garden.plant(ReadingTests)
class StartIgnored(PlainSignalStore):
    async def iter_signals(self, recording_id: str, **arguments: Any) -> AsyncIterator[Signal]:
        if type(arguments.get("start")) is int and arguments["start"] > 0:
            arguments["start"] = 0
        async for signal in super().iter_signals(recording_id, **arguments):
            yield signal


@garden.plant(ReadingTests)
class StopIncluded(PlainSignalStore):
    def read(self, log: PlainLog, start: int, stop: int | None) -> list[Signal]:
        return super().read(log, start, None if stop is None else stop + 1)


@garden.plant(ReadingTests)
class NegativeBoundsCountFromTheEnd(PlainSignalStore):
    async def iter_signals(self, recording_id: str, **arguments: Any) -> AsyncIterator[Signal]:
        if arguments.get("start") == -1:
            arguments["start"] = max(0, len(self.log(recording_id).signals) - 1)
        async for signal in super().iter_signals(recording_id, **arguments):
            yield signal


@garden.plant(ReadingTests)
class PatternsIgnored(PlainSignalStore):
    def matcher(self, patterns: Any) -> Any:
        super().matcher(patterns)
        return lambda name: True


@garden.plant(ReadingTests)
class PatternsAsFileNames(PlainSignalStore):
    def matcher(self, patterns: Any) -> Any:
        right = super().matcher(patterns)
        return lambda name: right(name) or (isinstance(patterns, str) and fnmatch.fnmatchcase(name, patterns))


@garden.plant(ReadingTests)
class AllPatternsMustMatch(PlainSignalStore):
    def matcher(self, patterns: Any) -> Any:
        given = [patterns] if isinstance(patterns, (str, re.Pattern)) else list(patterns)
        compiled = [compile_pattern(pattern) for pattern in given]
        return lambda name: all(pattern.matches(name) for pattern in compiled)


@garden.plant(ReadingTests)
class RegularExpressionsMatchAnywhere(PlainSignalStore):
    def matcher(self, patterns: Any) -> Any:
        right = super().matcher(patterns)
        return lambda name: right(name) or (isinstance(patterns, re.Pattern) and patterns.search(name) is not None)


@garden.plant(ReadingTests)
class LockHeldWhileReading(PlainSignalStore):
    def __init__(self) -> None:
        super().__init__()
        self.lock = asyncio.Lock()

    async def append(self, recording_id: str, entries: Sequence[Signal | Blob]) -> None:
        async with self.lock:
            await super().append(recording_id, entries)

    async def iter_signals(self, recording_id: str, **arguments: Any) -> AsyncIterator[Signal]:
        async with self.lock:
            async for signal in super().iter_signals(recording_id, **arguments):
                yield signal


@garden.plant(ReadingTests)
class ReadingNeverEnds(PlainSignalStore):
    def read(self, log: PlainLog, start: int, stop: int | None) -> Any:
        seq = start
        while seq < len(log.signals) and (stop is None or seq < stop):
            yield from super().read(log, seq, seq + 1)
            seq += 1

    async def load_recording(self, recording_id: str) -> Recording | None:
        found = await super().load_recording(recording_id)
        return None if found is None else attrs.evolve(found, signals=list(found.signals))


# What is known about recordings.


@garden.plant(InfoTests)
class TagsSorted(PlainSignalStore):
    def tags(self, tags: Iterable[str]) -> tuple[str, ...]:
        return tuple(sorted(tags))


@garden.plant(InfoTests)
class CountNotUpdated(PlainSignalStore):
    def info(self, log: PlainLog) -> RecordingInfo:
        return attrs.evolve(super().info(log), signal_count=0)


@garden.plant(InfoTests)
class ProvidersNotSorted(PlainSignalStore):
    def info(self, log: PlainLog) -> RecordingInfo:
        info = super().info(log)
        return attrs.evolve(info, provider_types=info.provider_types[::-1])


@garden.plant(InfoTests)
class RepeatedSignalsCounted(PlainSignalStore):
    def __init__(self) -> None:
        super().__init__()
        self.counts: dict[str, int] = {}

    def plan(self, log: PlainLog, entries: list[Encoded]) -> list[Encoded]:
        new = super().plan(log, entries)
        self.counts[log.info.id] = self.counts.get(log.info.id, 0) + sum(kind == "signal" for kind, _, _ in entries)
        return new

    def info(self, log: PlainLog) -> RecordingInfo:
        return attrs.evolve(super().info(log), signal_count=self.counts.get(log.info.id, 0))


@garden.plant(InfoTests)
class NamesKeepTheirClass(PlainSignalStore):
    async def publish(self, recording_id: str, name: str) -> None:
        await super().publish(recording_id, name)
        del self.published[name]
        self.published[name] = recording_id


@garden.plant(InfoTests)
class ListedInfoIsStale(PlainSignalStore):
    async def list_recordings(self, query: RecordingQuery | None = None) -> list[RecordingInfo]:
        return [attrs.evolve(info, duration_ms=None) for info in await super().list_recordings(query)]


@garden.plant(InfoTests)
class OriginForgotten(PlainSignalStore):
    async def create_recording(self, **about: Any) -> str:
        recording_id = await super().create_recording(**about)
        log = self.logs[recording_id]
        log.info = attrs.evolve(log.info, resumed_from=None)
        return recording_id


@garden.plant(ListingTests)
class OldestFirst(PlainSignalStore):
    def sort(self, infos: list[RecordingInfo]) -> list[RecordingInfo]:
        return super().sort(infos)[::-1]


@garden.plant(ListingTests)
class OneTagIsEnough(PlainSignalStore):
    def matches(self, info: RecordingInfo, query: RecordingQuery) -> bool:
        without = attrs.evolve(query, tags=())
        return without.matches(info) and (not query.tags or bool(set(query.tags) & set(info.tags)))


@garden.plant(ListingTests)
class RunIdIsAPrefix(PlainSignalStore):
    def matches(self, info: RecordingInfo, query: RecordingQuery) -> bool:
        without = attrs.evolve(query, run_id=None)
        return without.matches(info) and info.run_id.startswith(query.run_id or "")


@garden.plant(ListingTests)
class OutcomeFilterIgnored(PlainSignalStore):
    def matches(self, info: RecordingInfo, query: RecordingQuery) -> bool:
        return super().matches(info, attrs.evolve(query, outcome=None))


@garden.plant(ListingTests)
class LimitZeroIsAll(PlainSignalStore):
    def page(self, infos: list[RecordingInfo], query: RecordingQuery) -> list[RecordingInfo]:
        return super().page(infos, attrs.evolve(query, limit=query.limit or None))


@garden.plant(ListingTests)
class CreatedAfterExcludesItsMoment(PlainSignalStore):
    def matches(self, info: RecordingInfo, query: RecordingQuery) -> bool:
        return query.matches(info) and info.created_at != query.created_after


@garden.plant(ListingTests)
class CreatedBeforeIncludesItsMoment(PlainSignalStore):
    def matches(self, info: RecordingInfo, query: RecordingQuery) -> bool:
        later = query.created_before is not None and info.created_at == query.created_before
        return query.matches(info) or (later and attrs.evolve(query, created_before=None).matches(info))


@garden.plant(ListingTests)
class MetadataIgnored(PlainSignalStore):
    def matches(self, info: RecordingInfo, query: RecordingQuery) -> bool:
        return attrs.evolve(query, metadata={}).matches(info)


@garden.plant(ListingTests)
class MetadataTrueEqualsOne(PlainSignalStore):
    def matches(self, info: RecordingInfo, query: RecordingQuery) -> bool:
        has = info.metadata or {}
        same = all(has.get(key, key) == value for key, value in query.metadata.items())
        return attrs.evolve(query, metadata={}).matches(info) and same


@garden.plant(ListingTests)
class OneMetadataKeyIsEnough(PlainSignalStore):
    def matches(self, info: RecordingInfo, query: RecordingQuery) -> bool:
        one = [attrs.evolve(query, metadata={key: value}) for key, value in query.metadata.items()]
        return any(query.matches(info) for query in one or [query])


@garden.plant(ListingTests)
class OrderIgnored(PlainSignalStore):
    def page(self, infos: list[RecordingInfo], query: RecordingQuery) -> list[RecordingInfo]:
        return super().page(infos, attrs.evolve(query, order="newest"))


@garden.plant(ListingTests)
class CursorIncludesItsRecording(PlainSignalStore):
    def follows(self, info: RecordingInfo, after: tuple[int, str], order: str) -> bool:
        return (info.created_at, info.id) == after or super().follows(info, after, order)


@garden.plant(ListingTests)
class CursorSkipsTies(PlainSignalStore):
    def follows(self, info: RecordingInfo, after: tuple[int, str], order: str) -> bool:
        return info.created_at < after[0] if order == "newest" else info.created_at > after[0]


@garden.plant(ListingTests)
class CountIgnoresThePage(PlainSignalStore):
    async def count_recordings(self, query: RecordingQuery | None = None) -> int:
        return await super().count_recordings(attrs.evolve(query or RecordingQuery(), limit=None, offset=0))


@garden.plant(InfoTests)
class InfoOfTheRun(PlainSignalStore):
    """It takes the first recording there is for the one that was asked for."""

    async def get_recording_info(self, recording_id: str) -> RecordingInfo | None:
        check_id(recording_id, name="recording_id")
        return next(iter(await self.list_recordings()), None)


# Searching.


class _Searching(PlainSignalStore):
    async def search_recordings(self, patterns: Any, query: RecordingQuery | None = None) -> list[RecordingMatch]:
        query = query or RecordingQuery()
        compiled = PatternSequence(patterns).patterns
        found: list[RecordingMatch] = []
        for info in await self.list_recordings(attrs.evolve(query, limit=None, offset=0)):
            names = [signal.name for signal in self.read(self.log(info.id), 0, None)]
            seqs = self.places(names, [pattern.matches for pattern in compiled])
            if seqs is not None:
                found.append(RecordingMatch(info, seqs))
        return found[query.offset :][: query.limit]

    def places(self, names: list[str], patterns: list[Any]) -> tuple[int, ...] | None:
        seqs: list[int] = []
        for matches in patterns:
            seq = next((seq for seq in range(self.following(seqs), len(names)) if matches(names[seq])), None)
            if seq is None:
                return None
            seqs.append(seq)
        return tuple(seqs)

    def following(self, seqs: list[int]) -> int:
        return seqs[-1] + 1 if seqs else 0


@garden.plant(SearchTests)
class SearchInAnyOrder(_Searching):
    def following(self, seqs: list[int]) -> int:
        return 0


@garden.plant(SearchTests)
class OneSignalForTwoPatterns(_Searching):
    def following(self, seqs: list[int]) -> int:
        return seqs[-1] if seqs else 0


@garden.plant(SearchTests)
class SearchOfNeighboursOnly(_Searching):
    def places(self, names: list[str], patterns: list[Any]) -> tuple[int, ...] | None:
        for first in range(len(names) - len(patterns) + 1):
            if all(matches(names[first + place]) for place, matches in enumerate(patterns)):
                return tuple(range(first, first + len(patterns)))
        return None


@garden.plant(SearchTests)
class SearchGivesTheLastPlace(_Searching):
    def places(self, names: list[str], patterns: list[Any]) -> tuple[int, ...] | None:
        found = super().places(names[::-1], patterns[::-1])
        return found and tuple(len(names) - 1 - seq for seq in reversed(found))


@garden.plant(SearchTests)
class SearchPageBeforeTheSearch(_Searching):
    """It searches the recordings of the page, rather than giving a page of what it found."""

    async def search_recordings(self, patterns: Any, query: RecordingQuery | None = None) -> list[RecordingMatch]:
        wanted = {info.id for info in await self.list_recordings(query)}
        everything = attrs.evolve(query or RecordingQuery(), limit=None, offset=0)
        return [match for match in await super().search_recordings(patterns, everything) if match.info.id in wanted]


# Following.


@garden.plant(FollowTests)
class FollowEndsWithWhatIsThere(PlainSignalStore):
    async def follow(self, recording_id: str, *, start: int = 0, patterns: Any = ()) -> AsyncIterator[Signal]:
        async for signal in self.iter_signals(recording_id, start=start, patterns=patterns):
            yield signal


class _Following(PlainSignalStore):
    async def follow(self, recording_id: str, *, start: int = 0, patterns: Any = ()) -> AsyncIterator[Signal]:
        check_id(recording_id, name="recording_id")
        if type(start) is not int or start < 0:
            raise InvalidValueError("start", value=start, expected="an integer from 0 on")
        wanted = PatternSequence(patterns).sources
        while True:
            info = await self.get_recording_info(recording_id)
            if info is None:
                raise RecordingNotFoundError(recording_id, store=NAME)
            async for signal in self.some(recording_id, start, info, wanted):
                yield signal
            start = self.reached(start, info)
            if self.is_over(info, start):
                return
            await self.wait_for_change(info)

    async def some(self, recording_id: str, start: int, info: RecordingInfo, wanted: Any) -> AsyncIterator[Signal]:
        async for signal in self.iter_signals(recording_id, start=start, stop=info.signal_count, patterns=wanted):
            yield signal

    def reached(self, start: int, info: RecordingInfo) -> int:
        return max(start, info.signal_count)

    def is_over(self, info: RecordingInfo, start: int) -> bool:
        return info.outcome != "incomplete"


@garden.plant(FollowTests)
class FollowRepeatsTheLast(_Following):
    def reached(self, start: int, info: RecordingInfo) -> int:
        return max(start, info.signal_count - 1)


@garden.plant(FollowTests)
class FollowForgetsWhereItBegan(_Following):
    def reached(self, start: int, info: RecordingInfo) -> int:
        return info.signal_count


@garden.plant(FollowTests)
class FollowNeverEnds(_Following):
    def is_over(self, info: RecordingInfo, start: int) -> bool:
        return False


@garden.plant(FollowTests)
class FollowLeavesOutWhatIsAppendedMeanwhile(_Following):
    async def some(self, recording_id: str, start: int, info: RecordingInfo, wanted: Any) -> AsyncIterator[Signal]:
        self.read_up_to = info.signal_count
        async for signal in super().some(recording_id, start, info, wanted):
            yield signal
            self.read_up_to = len(self.log(recording_id).signals)

    def reached(self, start: int, info: RecordingInfo) -> int:
        return max(start, self.read_up_to)


@garden.plant(FollowTests)
class FollowIgnoresPatternsLater(_Following):
    async def some(self, recording_id: str, start: int, info: RecordingInfo, wanted: Any) -> AsyncIterator[Signal]:
        async for signal in super().some(recording_id, start, info, () if start else wanted):
            yield signal


@garden.plant(FollowTests)
class FollowWaitsForADeletedRecording(PlainSignalStore):
    async def wait_for_change(self, known: RecordingInfo) -> None:
        while known.id not in self.logs or self.info(self.logs[known.id]) == known:  # noqa: ASYNC110
            await asyncio.sleep(0.001)


@garden.plant(FollowTests)
class FollowHoldsTheWriterUp(_Following):
    """Who appends waits for the reader."""

    def __init__(self) -> None:
        super().__init__()
        self.read_by_all = asyncio.Event()
        self.read_by_all.set()

    async def some(self, recording_id: str, start: int, info: RecordingInfo, wanted: Any) -> AsyncIterator[Signal]:
        self.read_by_all.clear()
        async for signal in super().some(recording_id, start, info, wanted):
            yield signal
        self.read_by_all.set()

    async def append(self, recording_id: str, entries: Sequence[Signal | Blob]) -> None:
        await self.read_by_all.wait()
        await super().append(recording_id, entries)


# Restoring.


@garden.plant(RestoreTests)
class RestoreMakesAnotherTime(PlainSignalStore):
    async def restore_recording(self, info: RecordingInfo) -> None:
        await super().restore_recording(attrs.evolve(info, created_at=info.created_at + 1))


@garden.plant(RestoreTests)
class RestoreReplaces(PlainSignalStore):
    def needs_restoring(self, known: RecordingHeader | None, header: RecordingHeader) -> bool:
        return True


@garden.plant(RestoreTests)
class RestoreTakesWhatIsThere(PlainSignalStore):
    def needs_restoring(self, known: RecordingHeader | None, header: RecordingHeader) -> bool:
        return known is None


@garden.plant(RestoreTests)
class RestoreTwiceRefused(PlainSignalStore):
    async def restore_recording(self, info: RecordingInfo) -> None:
        if info.id in self.logs:
            raise RecordingConflictError(info.id, seq=0, reason="it is there", store=NAME)
        await super().restore_recording(info)


@garden.plant(RestoreTests)
class RestoreKeepsCounts(PlainSignalStore):
    async def restore_recording(self, info: RecordingInfo) -> None:
        await super().restore_recording(info)
        self.logs[info.id].info = attrs.evolve(self.logs[info.id].info, duration_ms=info.duration_ms)


@garden.plant(FixtureTests)
class PublishNotReplacing(PlainSignalStore):
    async def publish(self, recording_id: str, name: str) -> None:
        if name not in self.published:
            await super().publish(recording_id, name)


@garden.plant(FixtureTests)
class UnpublishedIsFound(PlainSignalStore):
    async def find_recording(self, name: str) -> RecordingInfo | None:
        found = await super().find_recording(name)
        return found or next(iter(await self.list_recordings(RecordingQuery(name=name))), None)


@garden.plant(FixtureTests)
class NewestOfTheNameIsFound(PlainSignalStore):
    async def find_recording(self, name: str) -> RecordingInfo | None:
        found = await super().find_recording(name)
        return found and max(await self.list_recordings(RecordingQuery(name=name)), key=lambda info: info.id)


@garden.plant(FixtureTests)
class ReplacedRecordingIsDeleted(PlainSignalStore):
    async def publish(self, recording_id: str, name: str) -> None:
        before = self.published.get(name)
        await super().publish(recording_id, name)
        if before is not None and before != recording_id:
            del self.logs[before]


@garden.plant(FixtureTests)
class OnlyTheNameItWasMadeForIsListed(PlainSignalStore):
    async def list_fixtures(self) -> list[str]:
        names = {info.name for info in await self.list_recordings() if info.name is not None}
        return [name for name in sorted(names) if await self.find_recording(name) is not None]


@garden.plant(FixtureTests)
class NamesIgnoreCase(PlainSignalStore):
    async def publish(self, recording_id: str, name: str) -> None:
        await super().publish(recording_id, name.lower())

    async def find_recording(self, name: str) -> RecordingInfo | None:
        return await super().find_recording(name.lower())


@garden.plant(FixtureTests)
class PublishingFinalizes(PlainSignalStore):
    async def publish(self, recording_id: str, name: str) -> None:
        await super().publish(recording_id, name)
        await self.finalize(recording_id, outcome="completed")


@garden.plant(CheckpointTests)
class CheckpointsAsTheyCame(PlainSignalStore):
    def checkpoints(self, log: PlainLog) -> list[Checkpoint]:
        return [Checkpoint(name, seq) for name, seq in log.checkpoints.items()]


@garden.plant(CheckpointTests)
class CheckpointMoves(PlainSignalStore):
    async def add_checkpoint(self, recording_id: str, name: str, seq: int) -> None:
        log = self.log(recording_id)
        if name in log.checkpoints and 0 <= seq < len(log.signals):
            del log.checkpoints[name]
        await super().add_checkpoint(recording_id, name, seq)


@garden.plant(CheckpointTests)
class CheckpointBeyondTheEnd(PlainSignalStore):
    async def add_checkpoint(self, recording_id: str, name: str, seq: int) -> None:
        if seq >= 0 and name not in self.log(recording_id).checkpoints:
            self.log(recording_id).checkpoints[name] = seq
        await super().add_checkpoint(recording_id, name, min(seq, len(self.log(recording_id).signals) - 1))


@garden.plant(CheckpointTests)
class NoCheckpointAfterTheEnd(PlainSignalStore):
    async def add_checkpoint(self, recording_id: str, name: str, seq: int) -> None:
        self.check_not_finalized(self.log(recording_id))
        await super().add_checkpoint(recording_id, name, seq)


# Sharing, concurrency, cancellation, life cycle.


@garden.plant(AliasingTests)
class SharedPayload(PlainSignalStore):
    def __init__(self) -> None:
        super().__init__()
        self.cache: dict[bytes, Signal] = {}

    def resolve(self, log: PlainLog, signal: Signal) -> Signal:
        return self.cache.setdefault(encode_signal(signal), super().resolve(log, signal))


@garden.plant(AliasingTests)
class EncodedAfterTheFirstAwait(PlainSignalStore):
    async def append(self, recording_id: str, entries: Sequence[Signal | Blob]) -> None:
        self.check_open()
        await asyncio.sleep(0)
        await super().append(recording_id, entries)


@garden.plant(AliasingTests)
class SharedMetadata(PlainSignalStore):
    def __init__(self) -> None:
        super().__init__()
        self.given: dict[str, Any] = {}

    async def create_recording(self, **about: Any) -> str:
        recording_id = await super().create_recording(**about)
        self.given[recording_id] = about.get("metadata")
        return recording_id

    def info(self, log: PlainLog) -> RecordingInfo:
        return attrs.evolve(super().info(log), metadata=self.given[log.info.id])


@garden.plant(ConcurrencyTests)
class CheckedThenWritten(PlainSignalStore):
    async def append(self, recording_id: str, entries: Sequence[Signal | Blob]) -> None:
        self.check_open()
        log = self.log(recording_id)
        self.check_not_finalized(log)
        new = self.plan(log, self.encode(entries))
        await asyncio.sleep(0)
        self.write(log, new)


@garden.plant(ConcurrencyTests)
class NameMeansNothingForAMoment(PlainSignalStore):
    async def publish(self, recording_id: str, name: str) -> None:
        self.log(recording_id)
        self.published.pop(name, None)
        await super().publish(recording_id, name)


@garden.plant(ConcurrencyTests)
class ReaderSeesHalfAnAppend(PlainSignalStore):
    async def append(self, recording_id: str, entries: Sequence[Signal | Blob]) -> None:
        self.check_open()
        check_id(recording_id, name="recording_id")
        encoded = self.encode(entries)
        new = self.plan(self.log(recording_id), encoded)
        for entry in new:
            self.write(self.log(recording_id), [entry])
            await asyncio.sleep(0)


@garden.plant(CancellationTests)
class CancelledAppendHalfWritten(PlainSignalStore):
    async def append(self, recording_id: str, entries: Sequence[Signal | Blob]) -> None:
        self.check_open()
        log = self.log(recording_id)
        new = self.plan(log, self.encode(entries))
        self.write(log, new[:3])
        await asyncio.sleep(0)
        self.write(log, new[3:])


@garden.plant(CancellationTests)
class CancelledPublishForgetsTheName(PlainSignalStore):
    async def publish(self, recording_id: str, name: str) -> None:
        self.log(recording_id)
        self.published.pop(name, None)
        await super().publish(recording_id, name)


@garden.plant(CancellationTests)
class CancelledDeleteLeavesHalf(PlainSignalStore):
    async def delete_recording(self, recording_id: str) -> None:
        if recording_id in self.logs:
            self.logs[recording_id].signals.clear()
        await super().delete_recording(recording_id)


@garden.plant(CancellationTests)
class CancelledAppendKeepsTheLock(PlainSignalStore):
    def __init__(self) -> None:
        super().__init__()
        self.lock = asyncio.Lock()

    async def append(self, recording_id: str, entries: Sequence[Signal | Blob]) -> None:
        await self.lock.acquire()
        await super().append(recording_id, entries)
        self.lock.release()


@garden.plant(CancellationTests)
class CancellationSwallowed(PlainSignalStore):
    async def append(self, recording_id: str, entries: Sequence[Signal | Blob]) -> None:
        with contextlib.suppress(asyncio.CancelledError):
            await super().append(recording_id, entries)


@garden.plant(LifecycleTests)
class ConcurrentCloseHangs(PlainSignalStore):
    def __init__(self) -> None:
        super().__init__()
        self.closing = False

    async def close(self) -> None:
        if self.closing and not self.closed:
            await asyncio.Event().wait()
        self.closing = True
        await asyncio.sleep(0)
        self.closed = True


@garden.plant(LifecycleTests)
class UseAfterCloseWorks(PlainSignalStore):
    async def list_recordings(self, query: RecordingQuery | None = None) -> list[RecordingInfo]:
        return [] if self.closed else await super().list_recordings(query)


@garden.plant(LifecycleTests)
class ListingFixturesAfterCloseWorks(PlainSignalStore):
    async def list_fixtures(self) -> list[str]:
        return sorted(self.published)
