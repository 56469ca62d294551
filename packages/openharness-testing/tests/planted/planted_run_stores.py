"""A right run store, and the same store with one bug each: what `RunStoreContract` must tell apart.

`PlainRunStore` keeps encoded rows in a dict and waits now and then, as stores do. A bug overrides as little as it can.
"""

# ruff: noqa: D101, D102 - the name of a class says what its bug is

from __future__ import annotations

import asyncio
import contextlib
import fnmatch
import json
import unicodedata
from typing import TYPE_CHECKING, Any, ClassVar

import attrs
from planting import Garden

from openharness.core import RunQuery, RunRecord, RunStatus, RunStore, StoreClosedError
from openharness.core.records import check_id
from openharness.core.storage import decode_run, encode_run, select_runs
from openharness.core.values import decode_json
from openharness.testing._run_store._aliasing import AliasingTests
from openharness.testing._run_store._concurrency import ConcurrencyTests
from openharness.testing._run_store._defaults import CountTests, IterationTests, PruneTests
from openharness.testing._run_store._hostile import HostileTests
from openharness.testing._run_store._interruption import CancellationTests
from openharness.testing._run_store._lifecycle import LifecycleTests
from openharness.testing._run_store._queries import MetadataQueryTests, OrderTests, PagingTests, QueryTests
from openharness.testing._run_store._records import RecordTests
from openharness.testing._run_store._values import SizeTests, ValueTests

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterable

    from openharness.core.storage import EncodedRun

MAX_BYTES = 64 * 1024


class PlainRunStore(RunStore):
    """A run store without a bug."""

    def __init__(self) -> None:
        self.rows: dict[str, EncodedRun] = {}
        self.closed = False

    async def save_run(self, run: RunRecord) -> None:
        self.check_open()
        row = self.encode(run)
        await self.write(self.key(run.id), row)

    async def get_run(self, run_id: str) -> RunRecord | None:
        self.check_open()
        key = self.key(check_id(run_id, name="run_id"))
        await asyncio.sleep(0)
        row = self.rows.get(key)
        return None if row is None else self.decode(row)

    async def list_runs(self, query: RunQuery | None = None) -> list[RunRecord]:
        self.check_open()
        await asyncio.sleep(0)
        query = query or RunQuery()
        headers = [decode_run(row, include_state=False) for row in self.rows.values()]
        found = self.select(headers, query)
        return [self.decode(self.rows[self.key(run.id)]) for run in found] if query.include_state else found

    async def delete_run(self, run_id: str) -> None:
        self.check_open()
        key = self.key(check_id(run_id, name="run_id"))
        await asyncio.sleep(0)
        self.rows.pop(key, None)

    async def close(self) -> None:
        self.closed = True
        await asyncio.sleep(0)

    def check_open(self) -> None:
        if self.closed:
            raise StoreClosedError("it was closed; make a new one.", store="PlainRunStore")

    def key(self, run_id: str) -> str:
        return run_id

    def encode(self, run: RunRecord) -> EncodedRun:
        return encode_run(run, max_bytes=MAX_BYTES)

    async def write(self, key: str, row: EncodedRun) -> None:
        await asyncio.sleep(0)
        self.rows[key] = row

    def decode(self, row: EncodedRun) -> RunRecord:
        return decode_run(row)

    def select(self, runs: Iterable[RunRecord], query: RunQuery) -> list[RunRecord]:
        return select_runs(runs, query)


garden = Garden()


# What is saved is not what is loaded.


@garden.plant(ValueTests)
class NanAccepted(PlainRunStore):
    def encode(self, run: RunRecord) -> EncodedRun:
        with contextlib.suppress(ValueError):
            if "NaN" in json.dumps(run.state, default=str):
                return attrs.evolve(encode_run(attrs.evolve(run, state=None)), state="null")
        return super().encode(run)


@garden.plant(ValueTests)
class SurrogateReplaced(PlainRunStore):
    def decode(self, row: EncodedRun) -> RunRecord:
        run = super().decode(row)
        text = json.dumps(run.state)
        return run if "\\ud83d" not in text else attrs.evolve(run, state=json.loads(text.replace("\\ud83d", "\\ufffd")))


@garden.plant(ValueTests)
class NulTruncated(PlainRunStore):
    def decode(self, row: EncodedRun) -> RunRecord:
        run = super().decode(row)
        return attrs.evolve(run, state=run.state.partition("\0")[0]) if isinstance(run.state, str) else run


@garden.plant(ValueTests)
class StateLosesKeyOrder(PlainRunStore):
    def decode(self, row: EncodedRun) -> RunRecord:
        run = super().decode(row)
        return attrs.evolve(run, state=json.loads(json.dumps(run.state, sort_keys=True)))


@garden.plant(ValueTests)
class MetadataLosesKeyOrder(PlainRunStore):
    def decode(self, row: EncodedRun) -> RunRecord:
        run = super().decode(row)
        return attrs.evolve(run, metadata=None if run.metadata is None else dict(sorted(run.metadata.items())))


@garden.plant(ValueTests)
class IntegralFloatsBecomeInts(PlainRunStore):
    def decode(self, row: EncodedRun) -> RunRecord:
        run = super().decode(row)
        return attrs.evolve(run, state=_with_ints(run.state))


def _with_ints(value: Any) -> Any:
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if isinstance(value, dict):
        return {key: _with_ints(item) for key, item in value.items()}
    return [_with_ints(item) for item in value] if isinstance(value, list) else value


@garden.plant(ValueTests)
class LargeIntsLosePrecision(PlainRunStore):
    def decode(self, row: EncodedRun) -> RunRecord:
        run = super().decode(row)
        return attrs.evolve(run, state=int(float(run.state))) if type(run.state) is int else run


@garden.plant(ValueTests)
class TextIsNormalised(PlainRunStore):
    def decode(self, row: EncodedRun) -> RunRecord:
        return super().decode(attrs.evolve(row, state=unicodedata.normalize("NFC", row.state)))


@garden.plant(RecordTests)
class MillisecondsLost(PlainRunStore):
    def encode(self, run: RunRecord) -> EncodedRun:
        row = super().encode(run)
        return attrs.evolve(row, created_at=row.created_at // 1000 * 1000)


@garden.plant(HostileTests)
class ErrorTruncated(PlainRunStore):
    def encode(self, run: RunRecord) -> EncodedRun:
        row = super().encode(run)
        return row if row.error is None else attrs.evolve(row, error=row.error[:255])


@garden.plant(RecordTests)
class ParentForgotten(PlainRunStore):
    def encode(self, run: RunRecord) -> EncodedRun:
        return attrs.evolve(super().encode(run), parent_run_id=None)


@garden.plant(RecordTests)
class EmptyMetadataBecomesNone(PlainRunStore):
    def decode(self, row: EncodedRun) -> RunRecord:
        run = super().decode(row)
        return attrs.evolve(run, metadata=run.metadata or None)


@garden.plant(SizeTests)
class LimitCountsCharacters(PlainRunStore):
    def encode(self, run: RunRecord) -> EncodedRun:
        if isinstance(run.state, str) and len(run.state) < MAX_BYTES - 2:
            return encode_run(run)
        return super().encode(run)


@garden.plant(ValueTests)
class RefusedSaveDeletes(PlainRunStore):
    async def save_run(self, run: RunRecord) -> None:
        self.check_open()
        before = self.rows.pop(run.id, None)
        row = self.encode(run)
        if before is not None:
            self.rows[run.id] = before
        await self.write(run.id, row)


# One record stands for another.


@garden.plant(HostileTests)
class IdsIgnoreCase(PlainRunStore):
    def key(self, run_id: str) -> str:
        return run_id.casefold()


@garden.plant(HostileTests)
class IdsAreNormalised(PlainRunStore):
    def key(self, run_id: str) -> str:
        return unicodedata.normalize("NFC", run_id)


@garden.plant(HostileTests)
class SlashesAreFolders(PlainRunStore):
    def key(self, run_id: str) -> str:
        return run_id.strip("/").replace("../", "")


@garden.plant(RecordTests)
class AnyIdIsTaken(PlainRunStore):
    async def get_run(self, run_id: str) -> RunRecord | None:
        self.check_open()
        return await super().get_run(run_id) if isinstance(run_id, str) and run_id in self.rows else None


@garden.plant(RecordTests)
class UpsertIgnored(PlainRunStore):
    async def write(self, key: str, row: EncodedRun) -> None:
        await asyncio.sleep(0)
        self.rows.setdefault(key, row)


@garden.plant(RecordTests)
class UpsertKeepsOldMetadata(PlainRunStore):
    async def write(self, key: str, row: EncodedRun) -> None:
        before = self.rows.get(key)
        if before is not None and row.metadata is None:
            row = attrs.evolve(row, metadata=before.metadata)
        await super().write(key, row)


@garden.plant(RecordTests)
class UpsertKeepsTheBegin(PlainRunStore):
    async def write(self, key: str, row: EncodedRun) -> None:
        before = self.rows.get(key)
        await super().write(key, row if before is None else attrs.evolve(row, created_at=before.created_at))


@garden.plant(RecordTests)
class DeleteRaisesForMissing(PlainRunStore):
    async def delete_run(self, run_id: str) -> None:
        self.check_open()
        del self.rows[check_id(run_id, name="run_id")]


@garden.plant(RecordTests)
class GetRaisesForMissing(PlainRunStore):
    async def get_run(self, run_id: str) -> RunRecord | None:
        self.check_open()
        return self.decode(self.rows[check_id(run_id, name="run_id")])


# Objects are shared.


@garden.plant(AliasingTests)
class SharedObjectOnSave(PlainRunStore):
    def __init__(self) -> None:
        super().__init__()
        self.saved: dict[str, RunRecord] = {}

    async def save_run(self, run: RunRecord) -> None:
        await super().save_run(run)
        self.saved[run.id] = run

    async def get_run(self, run_id: str) -> RunRecord | None:
        found = await super().get_run(run_id)
        return found if found is None else self.decode(encode_run(self.saved[run_id]))


@garden.plant(AliasingTests)
class SharedObjectOnGet(PlainRunStore):
    def __init__(self) -> None:
        super().__init__()
        self.cache: dict[EncodedRun, RunRecord] = {}

    def decode(self, row: EncodedRun) -> RunRecord:
        return self.cache.setdefault(row, super().decode(row))


@garden.plant(AliasingTests)
class EncodedAfterTheFirstAwait(PlainRunStore):
    async def save_run(self, run: RunRecord) -> None:
        self.check_open()
        await asyncio.sleep(0)
        self.rows[run.id] = self.encode(run)


# Queries.


class _Selecting(PlainRunStore):
    """Bugs in a query are bugs in one of these steps."""

    def select(self, runs: Iterable[RunRecord], query: RunQuery) -> list[RunRecord]:
        return self.page(self.sort([run for run in runs if self.matches(run, query)], query), query)

    def matches(self, run: RunRecord, query: RunQuery) -> bool:
        without = attrs.evolve(query, metadata={}, id_prefix="")
        return without.matches(run) and self.has_metadata(run, query) and self.has_prefix(run, query)

    def has_metadata(self, run: RunRecord, query: RunQuery) -> bool:
        return RunQuery(metadata=query.metadata).matches(run)

    def has_prefix(self, run: RunRecord, query: RunQuery) -> bool:
        return run.id.startswith(query.id_prefix)

    def place(self, run: RunRecord) -> Any:
        return run.created_at, run.id.encode()

    def sort(self, runs: list[RunRecord], query: RunQuery) -> list[RunRecord]:
        return sorted(runs, key=self.place, reverse=query.order == "newest")

    def page(self, runs: list[RunRecord], query: RunQuery) -> list[RunRecord]:
        return select_runs(
            runs, RunQuery(cursor=query.cursor, offset=query.offset, limit=query.limit, order=query.order)
        )


class _Unpaged(_Selecting):
    """The order is that of `sort`, since the page is cut without sorting again."""

    def page(self, runs: list[RunRecord], query: RunQuery) -> list[RunRecord]:
        if query.after is not None:
            start = query.after[0], query.after[1].encode()
            newest = query.order == "newest"
            runs = [run for run in runs if self.is_after((run.created_at, run.id.encode()), start, newest=newest)]
        return runs[query.offset :][: query.limit]

    def is_after(self, place: tuple[int, bytes], start: tuple[int, bytes], *, newest: bool) -> bool:
        return place < start if newest else place > start


@garden.plant(OrderTests)
class TiesByInsertion(_Unpaged):
    def place(self, run: RunRecord) -> Any:
        return run.created_at


@garden.plant(OrderTests)
class TiesAlwaysAscending(_Unpaged):
    def sort(self, runs: list[RunRecord], query: RunQuery) -> list[RunRecord]:
        by_id = sorted(runs, key=lambda run: run.id.encode())
        return sorted(by_id, key=lambda run: run.created_at * (-1 if query.order == "newest" else 1))


@garden.plant(OrderTests)
class TiesByUtf16(_Unpaged):
    def place(self, run: RunRecord) -> Any:
        return run.created_at, run.id.encode("utf-16-be")


@garden.plant(OrderTests)
class TiesIgnoreCase(_Unpaged):
    def place(self, run: RunRecord) -> Any:
        return run.created_at, run.id.casefold().encode()


@garden.plant(OrderTests)
class OrderIgnored(_Unpaged):
    def sort(self, runs: list[RunRecord], query: RunQuery) -> list[RunRecord]:
        return super().sort(runs, attrs.evolve(query, order="newest"))


@garden.plant(OrderTests)
class TimesComparedAsText(_Unpaged):
    def place(self, run: RunRecord) -> Any:
        return str(run.created_at), run.id.encode()


@garden.plant(QueryTests)
class StatusFilterIgnored(_Selecting):
    def matches(self, run: RunRecord, query: RunQuery) -> bool:
        return super().matches(run, attrs.evolve(query, status=None))


@garden.plant(QueryTests)
class NoStatusMeansAny(_Selecting):
    def matches(self, run: RunRecord, query: RunQuery) -> bool:
        return super().matches(run, attrs.evolve(query, status=query.status or None))


@garden.plant(MetadataQueryTests)
class MetadataFilterIgnored(_Selecting):
    def has_metadata(self, run: RunRecord, query: RunQuery) -> bool:
        return True


@garden.plant(MetadataQueryTests)
class OneMetadataKeyIsEnough(_Selecting):
    def has_metadata(self, run: RunRecord, query: RunQuery) -> bool:
        return not query.metadata or any(
            RunQuery(metadata={key: item}).matches(run) for key, item in query.metadata.items()
        )


@garden.plant(MetadataQueryTests)
class TrueEqualsOne(_Selecting):
    def has_metadata(self, run: RunRecord, query: RunQuery) -> bool:
        has = run.metadata or {}
        return all(key in has and has[key] == item for key, item in query.metadata.items())


@garden.plant(MetadataQueryTests)
class OneDiffersFromOnePointZero(_Selecting):
    def has_metadata(self, run: RunRecord, query: RunQuery) -> bool:
        has = run.metadata or {}
        return all(key in has and repr(has[key]) == repr(item) for key, item in query.metadata.items())


@garden.plant(MetadataQueryTests)
class ValuesComparedAsText(_Selecting):
    def has_metadata(self, run: RunRecord, query: RunQuery) -> bool:
        has = run.metadata or {}
        texts = {key: item if isinstance(item, str) else json.dumps(item) for key, item in has.items()}
        return super().has_metadata(run, query) or any(
            isinstance(item, str) and texts.get(key) == item for key, item in query.metadata.items()
        )


@garden.plant(MetadataQueryTests)
class NoneEqualsAbsent(_Selecting):
    def has_metadata(self, run: RunRecord, query: RunQuery) -> bool:
        wanted = {key: item for key, item in query.metadata.items() if item is not None}
        nothing = [key for key, item in query.metadata.items() if item is None]
        has = run.metadata or {}
        return RunQuery(metadata=wanted).matches(run) and all(has.get(key) is None for key in nothing)


@garden.plant(MetadataQueryTests)
class DottedKeysArePaths(_Selecting):
    def has_metadata(self, run: RunRecord, query: RunQuery) -> bool:
        return all(_at_path(run.metadata, key) == (type(item), item) for key, item in query.metadata.items())


def _at_path(value: Any, path: str) -> Any:
    for key in path.split("."):
        value = value.get(key) if isinstance(value, dict) else None
    return type(value), value


@garden.plant(QueryTests)
class PrefixHasWildcards(_Selecting):
    def has_prefix(self, run: RunRecord, query: RunQuery) -> bool:
        return fnmatch.fnmatchcase(run.id, query.id_prefix.replace("%", "*").replace("_", "?") + "*")


@garden.plant(QueryTests)
class PrefixIgnoresCase(_Selecting):
    def has_prefix(self, run: RunRecord, query: RunQuery) -> bool:
        return run.id.lower().startswith(query.id_prefix.lower())


@garden.plant(QueryTests)
class PrefixFoundAnywhere(_Selecting):
    def has_prefix(self, run: RunRecord, query: RunQuery) -> bool:
        return query.id_prefix in run.id


@garden.plant(QueryTests)
class CreatedBeforeInclusive(_Selecting):
    def matches(self, run: RunRecord, query: RunQuery) -> bool:
        before = query.created_before
        return super().matches(run, query if before is None else attrs.evolve(query, created_before=before + 1))


@garden.plant(QueryTests)
class CreatedAfterExclusive(_Selecting):
    def matches(self, run: RunRecord, query: RunQuery) -> bool:
        after = query.created_after
        return super().matches(run, query if after is None else attrs.evolve(query, created_after=after + 1))


@garden.plant(PagingTests)
class LimitZeroIsAll(_Selecting):
    def page(self, runs: list[RunRecord], query: RunQuery) -> list[RunRecord]:
        return super().page(runs, attrs.evolve(query, limit=query.limit or None))


@garden.plant(PagingTests)
class OffsetIgnored(_Selecting):
    def page(self, runs: list[RunRecord], query: RunQuery) -> list[RunRecord]:
        return super().page(runs, attrs.evolve(query, offset=0))


@garden.plant(PagingTests)
class OffsetNeedsALimit(_Selecting):
    def page(self, runs: list[RunRecord], query: RunQuery) -> list[RunRecord]:
        return super().page(runs, query if query.limit is not None else attrs.evolve(query, offset=0))


@garden.plant(PagingTests)
class LimitBeforeOffset(_Unpaged):
    def page(self, runs: list[RunRecord], query: RunQuery) -> list[RunRecord]:
        return super().page(runs, attrs.evolve(query, offset=0))[query.offset :]


@garden.plant(PagingTests)
class LimitBeforeFilter(_Selecting):
    def select(self, runs: Iterable[RunRecord], query: RunQuery) -> list[RunRecord]:
        everything = self.sort(list(runs), query)
        return [run for run in self.page(everything, query) if self.matches(run, query)]


@garden.plant(PagingTests)
class CursorRepeatsARecord(_Unpaged):
    def is_after(self, place: tuple[int, bytes], start: tuple[int, bytes], *, newest: bool) -> bool:
        return place <= start if newest else place >= start


@garden.plant(PagingTests)
class CursorSkipsTies(_Unpaged):
    def is_after(self, place: tuple[int, bytes], start: tuple[int, bytes], *, newest: bool) -> bool:
        return place[0] < start[0] if newest else place[0] > start[0]


@garden.plant(PagingTests)
class CursorIgnoresTheOrder(_Unpaged):
    def is_after(self, place: tuple[int, bytes], start: tuple[int, bytes], *, newest: bool) -> bool:
        return place < start


@garden.plant(PagingTests)
class CursorIsLostWithItsRecord(_Unpaged):
    def page(self, runs: list[RunRecord], query: RunQuery) -> list[RunRecord]:
        if query.after is not None and query.after[1] not in [run.id for run in runs]:
            return []
        return super().page(runs, query)


@garden.plant(QueryTests)
class IncludeStateIgnored(PlainRunStore):
    async def list_runs(self, query: RunQuery | None = None) -> list[RunRecord]:
        return await super().list_runs(attrs.evolve(query or RunQuery(), include_state=True))


@garden.plant(RecordTests)
class ListingHasNoState(PlainRunStore):
    async def list_runs(self, query: RunQuery | None = None) -> list[RunRecord]:
        return await super().list_runs(attrs.evolve(query or RunQuery(), include_state=False))


# What is overridden differs from its default.


@garden.plant(CountTests)
class CountIgnoresTheLimit(PlainRunStore):
    async def count_runs(self, query: RunQuery | None = None) -> int:
        return len(await self.list_runs(attrs.evolve(query or RunQuery(), limit=None, offset=0)))


@garden.plant(IterationTests)
class IterationEndsAfterAPage(PlainRunStore):
    async def iter_runs(self, query: RunQuery | None = None) -> AsyncIterator[RunRecord]:
        query = query or RunQuery()
        size = 100 if query.limit is None else min(100, query.limit)
        for run in await self.list_runs(attrs.evolve(query, limit=size)):
            yield run


@garden.plant(IterationTests)
class IterationByOffset(PlainRunStore):
    async def iter_runs(self, query: RunQuery | None = None) -> AsyncIterator[RunRecord]:
        query = query or RunQuery()
        offset, left = query.offset, query.limit
        while left is None or left > 0:
            page = await self.list_runs(attrs.evolve(query, offset=offset, limit=1))
            if not page:
                return
            yield page[0]
            offset, left = offset + 1, None if left is None else left - 1


@garden.plant(IterationTests)
class LockHeldWhileIterating(PlainRunStore):
    def __init__(self) -> None:
        super().__init__()
        self.lock = asyncio.Lock()

    async def write(self, key: str, row: EncodedRun) -> None:
        async with self.lock:
            await super().write(key, row)

    async def iter_runs(self, query: RunQuery | None = None) -> AsyncIterator[RunRecord]:
        async with self.lock:
            for run in await self.list_runs(query):
                yield run


@garden.plant(PruneTests)
class PruneDeletesRunning(PlainRunStore):
    async def prune_runs(self, **arguments: Any) -> int:
        if arguments.get("status") is None and (arguments.keys() & {"older_than", "keep_last"}):
            arguments["status"] = set(RunStatus)
        return await super().prune_runs(**arguments)


@garden.plant(PruneTests)
class DryRunDeletes(PlainRunStore):
    async def prune_runs(self, **arguments: Any) -> int:
        return await super().prune_runs(**{**arguments, "dry_run": False})


@garden.plant(PruneTests)
class PruneIncludesItsMoment(PlainRunStore):
    async def prune_runs(self, **arguments: Any) -> int:
        if isinstance(arguments.get("older_than"), int):
            arguments["older_than"] += 1
        return await super().prune_runs(**arguments)


# Concurrency, cancellation, life cycle.


@garden.plant(ConcurrencyTests)
class LostUpdate(PlainRunStore):
    async def write(self, key: str, row: EncodedRun) -> None:
        rows = dict(self.rows)
        await asyncio.sleep(0)
        self.rows = {**rows, key: row}


@garden.plant(ConcurrencyTests)
class LaterSavesOvertake(PlainRunStore):
    under_way: ClassVar[int] = 0

    async def write(self, key: str, row: EncodedRun) -> None:
        LaterSavesOvertake.under_way += 1
        try:
            for _ in range(50 - LaterSavesOvertake.under_way):
                await asyncio.sleep(0)
            self.rows[key] = row
        finally:
            LaterSavesOvertake.under_way -= 1


@garden.plant(ConcurrencyTests)
class AcknowledgedBeforeWritten(PlainRunStore):
    async def write(self, key: str, row: EncodedRun) -> None:
        asyncio.get_running_loop().call_later(0.001, self.rows.__setitem__, key, row)


@garden.plant(CancellationTests)
class CancelledSaveHalfWritten(PlainRunStore):
    async def write(self, key: str, row: EncodedRun) -> None:
        self.rows[key] = attrs.evolve(row, metadata=None)
        await asyncio.sleep(0)
        self.rows[key] = row


@garden.plant(CancellationTests)
class CancelledSaveDeletes(PlainRunStore):
    async def write(self, key: str, row: EncodedRun) -> None:
        self.rows.pop(key, None)
        await asyncio.sleep(0)
        self.rows[key] = row


@garden.plant(CancellationTests)
class CancellationSwallowed(PlainRunStore):
    async def write(self, key: str, row: EncodedRun) -> None:
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.sleep(0)
        self.rows[key] = row


@garden.plant(CancellationTests)
class CancelledSaveKeepsTheLock(PlainRunStore):
    def __init__(self) -> None:
        super().__init__()
        self.lock = asyncio.Lock()

    async def write(self, key: str, row: EncodedRun) -> None:
        await self.lock.acquire()
        await asyncio.sleep(0)
        self.rows[key] = row
        self.lock.release()


@garden.plant(CancellationTests)
class CancelledSaveComesLater(PlainRunStore):
    async def save_run(self, run: RunRecord) -> None:
        self.check_open()
        row = self.encode(run)
        await asyncio.shield(asyncio.ensure_future(self.write(run.id, row)))

    async def write(self, key: str, row: EncodedRun) -> None:
        wait = 0 if decode_json(row.state) == {"n": 99, "list": [99] * 20} else 20
        for _ in range(wait):
            await asyncio.sleep(0)
        self.rows[key] = row


@garden.plant(CancellationTests)
class CancelledReadKeepsTheLock(PlainRunStore):
    def __init__(self) -> None:
        super().__init__()
        self.lock = asyncio.Lock()

    async def get_run(self, run_id: str) -> RunRecord | None:
        await self.lock.acquire()
        try:
            found = await super().get_run(run_id)
        except Exception:
            self.lock.release()
            raise
        self.lock.release()
        return found


@garden.plant(LifecycleTests)
class ConcurrentCloseHangs(PlainRunStore):
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
class SecondCloseRaises(PlainRunStore):
    async def close(self) -> None:
        self.check_open()
        await super().close()


@garden.plant(LifecycleTests)
class UseAfterCloseWorks(PlainRunStore):
    async def get_run(self, run_id: str) -> RunRecord | None:
        return decode_run(self.rows[run_id]) if run_id in self.rows else await super().get_run(run_id)


@garden.plant(LifecycleTests)
class ListingAfterCloseIsEmpty(PlainRunStore):
    async def list_runs(self, query: RunQuery | None = None) -> list[RunRecord]:
        return [] if self.closed else await super().list_runs(query)


@garden.plant(LifecycleTests)
class ContextDoesNotClose(PlainRunStore):
    async def __aexit__(self, *exc_info: object) -> None:
        pass


@garden.plant(LifecycleTests)
class CloseWaitsForEver(PlainRunStore):
    def __init__(self) -> None:
        super().__init__()
        self.saving = 0
        self.idle = asyncio.Event()
        self.idle.set()

    async def write(self, key: str, row: EncodedRun) -> None:
        self.saving += 1
        self.idle.clear()
        await super().write(key, row)
        if not self.closed:
            self.saving -= 1
            if not self.saving:
                self.idle.set()

    async def close(self) -> None:
        self.closed = True
        await self.idle.wait()
