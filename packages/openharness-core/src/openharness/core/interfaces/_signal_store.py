"""The contract of a store for recordings."""

from __future__ import annotations

import abc
import asyncio
import contextlib
from typing import TYPE_CHECKING, ClassVar, Final, Self, TypeVar, cast

import attrs

from openharness.core.errors import (
    CorruptRecordError,
    InvalidValueError,
    RecordingNotFoundError,
    StoreUnsupportedError,
)
from openharness.core.interfaces._examining import examined, report_of
from openharness.core.patterns import PatternSequence
from openharness.core.records import DoctorReport, Finding, RecordingMatch, RecordingQuery, check_id
from openharness.core.values import MAX_BYTES

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator, Iterable, Mapping, Sequence
    from contextlib import AbstractAsyncContextManager
    from types import TracebackType

    from openharness.core.patterns import PatternLike
    from openharness.core.records import LogEntry, Outcome, Recording, RecordingInfo, Signal
    from openharness.core.values import JSONValue

__all__ = ("SignalStore",)

T = TypeVar("T")

_PAGE: Final = 200
_FIRST_PAUSE: Final = 0.02
_LONGEST_PAUSE: Final = 0.5


class SignalStore(abc.ABC):
    """Keeps recordings: the append-only log of the signals of a run.

    Write the abstract methods and pass ``openharness.testing.SignalStoreContract``; everything else has a default built
    on them, to be overridden where a store can do better. The one exception is `restore_recording`, which needs the
    store's help.

    A recording is created, appended to, and finalized once; from then on it never changes. One that was never
    finalized (its process died) can be read as far as it was written; its outcome is ``incomplete``. A *fixture name*
    is given to a recording when it is created, and means that recording from the moment it is published; until then
    the name keeps meaning the one published before.

    What every method owes its caller, beside what each says: the store opens itself on first use, constructing one
    does no I/O, any number of tasks may use it at a time, a method cancelled at any ``await`` has happened whole or
    not at all, entries are encoded before the first ``await`` and share no object with the caller, and failures are
    `StoreError`. Recording ids that could not be one raise `InvalidValueError`.

    Attributes:
        publishes_every_end: Whether the harness publishes the recordings of all runs here that were to make a fixture, and
            not only of those that completed. False but for stores that decide by themselves what a fixture name means,
            as that of the pytest plugin does: a test may be meant for a run that fails.
    """

    publishes_every_end: ClassVar[bool] = False

    @property
    def max_bytes(self) -> int:
        """How large the JSON text of one payload may be, in bytes: 16 MiB, unless a store is told otherwise.

        A signal that is emitted into a run is measured by it, so that one too large is refused before the run has it.
        """
        return MAX_BYTES

    @abc.abstractmethod
    async def create_recording(
        self,
        *,
        run_id: str,
        name: str | None = None,
        tags: Iterable[str] = (),
        metadata: Mapping[str, JSONValue] | None = None,
        resumed_from: str | None = None,
    ) -> str:
        """Create an empty recording and return its id, which the store makes. Durable when it returns.

        Args:
            run_id: The run whose signals it will hold. Several recordings of one run are allowed.
            name: The fixture it is made for: 1 to 200 bytes without control characters, of any characters.
            tags: Words to find it by; their order is kept.
            metadata: JSON values to keep with it.
            resumed_from: The id of the recording it continues.

        Raises:
            InvalidValueError: An id or the name is not valid.
            SerializationError: The metadata cannot be stored.
        """

    @abc.abstractmethod
    async def append(self, recording_id: str, entries: Sequence[LogEntry]) -> None:
        """Append entries, all or none. Durable when it returns.

        Signals come in the order of `Signal.seq`, from 0 without gaps. A signal whose seq is there already with equal
        content is left as it is (so that an append may be repeated after an error), and so is a blob whose digest is
        there already. Payloads are stored as they come: references to blobs (see `openharness.core.storage`) are
        resolved when signals are read.

        Raises:
            RecordingNotFoundError: There is no such recording.
            RecordingFinalizedError: It was finalized.
            RecordingConflictError: A seq is there already with other content, or would leave a gap.
            SerializationError: A payload cannot be stored, is larger than the store's limit, or refers to a blob that is
                neither there nor comes before it.
        """

    @abc.abstractmethod
    async def add_checkpoint(self, recording_id: str, name: str, seq: int) -> None:
        """Give a name to a position. The same name and position again is no error; finalized recordings take them too.

        Raises:
            RecordingNotFoundError: There is no such recording.
            RecordingConflictError: The name stands for another position, or there is no signal ``seq``.
            InvalidValueError: The name is not valid.
        """

    @abc.abstractmethod
    async def finalize(self, recording_id: str, *, outcome: Outcome | str, duration_ms: int | None = None) -> None:
        """Close the log with the outcome of the run. Durable when it returns; repeating it with the same is no error.

        Args:
            recording_id: The recording.
            outcome: The word of a `RunStatus` that a run ends with: any but ``running``.
            duration_ms: How long the run took.

        Raises:
            RecordingNotFoundError: There is no such recording.
            RecordingFinalizedError: It was finalized with another outcome or duration.
            InvalidValueError: The outcome is none, or is ``incomplete`` or ``running``.
        """

    @abc.abstractmethod
    async def publish(self, recording_id: str, name: str) -> None:
        """Make this recording the one that a fixture name means, from now on and in one atomic step.

        The recording published under the name before stays in the store, unpublished. Of two that are published at
        once, one wins whole.

        Raises:
            RecordingNotFoundError: There is no such recording.
            InvalidValueError: The name is not valid.
        """

    @abc.abstractmethod
    async def load_recording(self, recording_id: str) -> Recording | None:
        """Return a recording with all its signals, references to blobs resolved; None if there is none.

        Raises:
            CorruptRecordError: A part of it is damaged. A log that was cut off is not: it loads up to its last whole
                entry, as ``incomplete``.
        """

    @abc.abstractmethod
    def iter_signals(
        self,
        recording_id: str,
        *,
        start: int = 0,
        stop: int | None = None,
        patterns: PatternLike | Sequence[PatternLike] = (),
    ) -> AsyncIterator[Signal]:
        """Yield the signals with ``start <= seq < stop`` whose name matches one of the patterns, in order of seq.

        Without patterns, all of them. References to blobs are resolved, also to blobs outside of the range. No lock is
        held while the caller works with a signal. A recording that is still written to is read as far as it is, and
        whoever appends while reading comes to an end.

        Raises:
            RecordingNotFoundError: There is no such recording (at the first step).
            InvalidValueError: A bound is negative or no integer.
            PatternError: A pattern is not well formed.
            CorruptRecordError: A part of it is damaged.
        """

    @abc.abstractmethod
    async def list_recordings(self, query: RecordingQuery | None = None) -> list[RecordingInfo]:
        """Return the recordings that match, in the order of the query; without one, all of them, newest first.

        The order is total: by `RecordingInfo.created_at`, then by the UTF-8 bytes of the id, both descending for
        ``newest`` and ascending for ``oldest``. First the cursor applies, then the offset, then the limit.
        """

    @abc.abstractmethod
    async def find_recording(self, name: str) -> RecordingInfo | None:
        """Return the recording that is published under a fixture name, or None."""

    @abc.abstractmethod
    async def delete_recording(self, recording_id: str) -> None:
        """Delete a recording with all it holds; its fixture name, if it was published, then means nothing.

        One that does not exist is no error.
        """

    @abc.abstractmethod
    async def list_fixtures(self) -> list[str]:
        """Return the fixture names that are published, sorted.

        A recording may be published under another name than the one it was made for, and under several, so that this
        cannot be found out from `list_recordings`.
        """

    async def get_recording_info(self, recording_id: str) -> RecordingInfo | None:
        """Return what is known of a recording, without its signals; None if there is none.

        Raises:
            InvalidValueError: The id could not be one.
            CorruptRecordError: It is damaged.
        """
        check_id(recording_id, name="recording_id")
        async with _closing(self.iter_recordings()) as infos:
            async for info in infos:
                if info.id == recording_id:
                    return info
        return None

    async def iter_recordings(self, query: RecordingQuery | None = None) -> AsyncIterator[RecordingInfo]:
        """Yield the recordings that match, page by page, in constant memory.

        Nothing of the store is held while the caller works with one. Recordings made meanwhile may or may not be seen;
        every other one is seen exactly once.
        """
        query = query or RecordingQuery()
        left = query.limit
        while left is None or left > 0:
            size = _PAGE if left is None else min(_PAGE, left)
            page = await self.list_recordings(attrs.evolve(query, limit=size))
            for info in page:
                yield info
            if len(page) < size:
                return
            left = None if left is None else left - size
            query = query.next_page(page[-1])

    async def count_recordings(self, query: RecordingQuery | None = None) -> int:
        """Return how many recordings match, within the limit and after the offset and cursor of the query."""
        count = 0
        async for _ in self.iter_recordings(query):
            count += 1
        return count

    async def search_recordings(
        self, patterns: PatternLike | Sequence[PatternLike], query: RecordingQuery | None = None
    ) -> list[RecordingMatch]:
        """Return the recordings in which signals followed each other, and where.

        ``search_recordings(["tool:*", "agent:error"])`` finds the recordings in which a signal that matches ``tool:*``
        was followed, at once or later, by one that matches ``agent:error``. One signal stands for one pattern only.

        Args:
            patterns: One pattern or several, in their order. Without any, every recording matches.
            query: Further conditions, the order and the page; limit, offset and cursor count what was found. The page
                after ``match`` begins at ``match.info.cursor``.

        Raises:
            PatternError: A pattern is not well formed.
            CorruptRecordError: What had to be read is damaged.
        """
        sequence = PatternSequence(patterns)
        query = query or RecordingQuery()
        matches: list[RecordingMatch] = []
        skip = query.offset
        if query.limit == 0:
            return matches
        async with _closing(self.iter_recordings(attrs.evolve(query, limit=None, offset=0))) as infos:
            async for info in infos:
                seqs = await self._places(info, sequence)
                if seqs is None:
                    continue
                if skip:
                    skip -= 1
                    continue
                matches.append(RecordingMatch(info, seqs))
                if len(matches) == query.limit:
                    break
        return matches

    async def _places(self, info: RecordingInfo, sequence: PatternSequence) -> tuple[int, ...] | None:
        search = sequence.search()
        if search.found is None:
            # Of the moment in which the info was true: more may have been appended since then.
            signals = self.iter_signals(info.id, stop=info.signal_count, patterns=sequence.sources)
            # Somebody may delete it in this moment.
            with contextlib.suppress(RecordingNotFoundError):
                async with _closing(signals) as opened:
                    async for signal in opened:
                        if search.take(signal.seq, signal.name):
                            break
        return search.found

    async def follow(
        self, recording_id: str, *, start: int = 0, patterns: PatternLike | Sequence[PatternLike] = ()
    ) -> AsyncIterator[Signal]:
        """Yield the signals from ``start`` on, those that are there and then those that come, until the recording ends.

        Signals come in the order of seq, none twice and none left out, as soon as they are durable, whoever appends
        them: another task, and with stores that several processes may use another process. The iteration ends when the
        recording is finalized and every signal was yielded. One that is never finalized, as its process died, is
        followed for ever; leave the iteration, or use ``asyncio.timeout``. Who leaves it leaves at once.

        Signals wait in the store, not in memory: a slow reader holds a page of them, and slows nobody down.

        Args:
            recording_id: The recording; it must exist.
            start: The first `Signal.seq` that is wanted.
            patterns: Only signals whose name matches one of these; without any, all.

        Raises:
            RecordingNotFoundError: There is no such recording, or it was deleted meanwhile.
            InvalidValueError: ``start`` is negative or no integer.
            PatternError: A pattern is not well formed.
            CorruptRecordError: What was read is damaged.
            StoreClosedError: The store was closed meanwhile.
        """
        check_id(recording_id, name="recording_id")
        if type(start) is not int or start < 0:
            raise InvalidValueError("start", value=start, expected="an integer from 0 on")
        wanted = PatternSequence(patterns).sources
        position = start
        while True:
            info = await self.get_recording_info(recording_id)
            if info is None:
                raise RecordingNotFoundError(recording_id, store=repr(self))
            if info.signal_count > position:
                signals = self.iter_signals(recording_id, start=position, stop=info.signal_count, patterns=wanted)
                async with _closing(signals) as opened:
                    async for signal in opened:
                        yield signal
                position = info.signal_count
            if info.outcome != "incomplete":
                return
            await self.wait_for_change(info)

    async def wait_for_change(self, known: RecordingInfo) -> None:
        """Return when a recording has more signals than is known, another outcome, or is gone; it may return early.

        `follow` waits with it. The default asks again and again, at most every 20 ms, and less often the longer nothing
        happens; override it where a store is told of changes.

        Args:
            known: What was known of the recording before waiting.
        """
        pause = _FIRST_PAUSE
        while True:
            await asyncio.sleep(pause)
            info = await self.get_recording_info(known.id)
            if info is None or (info.signal_count, info.outcome) != (known.signal_count, known.outcome):
                return
            pause = min(2 * pause, _LONGEST_PAUSE)

    async def restore_recording(self, info: RecordingInfo) -> None:
        """Create the empty recording that another store has, with its id and its time. Durable when it returns.

        What comes after is as for a new one: signals are appended, it is finalized and published. Doing it again is no
        error and changes nothing. `openharness.core.copying` moves recordings with it. Not every store can; this default
        refuses.

        Args:
            info: What is known of the recording. Counts, providers, outcome and duration are not taken from it: they
                follow from what is appended and from `finalize`.

        Raises:
            RecordingConflictError: There is another recording of this id.
            InvalidValueError: Something in the info is not valid.
            SerializationError: The metadata cannot be stored.
            StoreUnsupportedError: The store cannot give a recording an id that it did not make.
        """
        del info
        raise StoreUnsupportedError("restore_recording", store=repr(self))

    async def doctor(self) -> DoctorReport:
        """Examine the store, and report what is wrong instead of raising it; nothing is changed.

        This default reads every recording, and reports those that are damaged.
        """
        findings: list[Finding] = []
        count = 0

        async def page(cursor: str | None, offset: int, limit: int) -> list[RecordingInfo]:
            return await self.list_recordings(RecordingQuery(cursor=cursor, offset=offset, limit=limit))

        async def look() -> None:
            nonlocal count
            async for info in examined(page, findings):
                count += 1
                try:
                    async with _closing(self.iter_signals(info.id)) as signals:
                        async for _ in signals:
                            pass
                except RecordingNotFoundError:
                    pass
                except CorruptRecordError as error:
                    findings.append(Finding.damaged(error))

        return await report_of(look, store=repr(self), findings=findings, facts=lambda: {"recordings": count})

    async def close(self) -> None:
        """Wait for what was begun, and give back what the store holds. Closing twice, or at once, is no error.

        After it every other method raises `StoreClosedError`. The default does nothing.
        """

    async def __aenter__(self) -> Self:
        """Open the store."""
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Close the store."""
        await self.close()


def _closing(iterator: AsyncIterator[T]) -> AbstractAsyncContextManager[AsyncIterator[T]]:
    """Close an iteration that is left in the middle, where it can be closed."""
    if hasattr(iterator, "aclose"):
        return contextlib.aclosing(cast("AsyncGenerator[T]", iterator))
    return contextlib.nullcontext(iterator)
