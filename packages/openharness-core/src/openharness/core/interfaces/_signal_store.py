"""The contract of a store for recordings."""

from __future__ import annotations

import abc
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
    from types import TracebackType

    from openharness.core.patterns import PatternLike
    from openharness.core.records import LogEntry, Outcome, Recording, RecordingInfo, RecordingQuery, Signal
    from openharness.core.values import JSONValue

__all__ = ("SignalStore",)


class SignalStore(abc.ABC):
    """Keeps recordings: the append-only log of the signals of a run.

    Write the abstract methods and pass ``openharness.testing.SignalStoreContract``.

    A recording is created, appended to, and finalized once; from then on it never changes. One that was never
    finalized (its process died) can be read as far as it was written; its outcome is ``incomplete``. A *fixture name*
    is given to a recording when it is created, and means that recording from the moment it is published; until then
    the name keeps meaning the one published before.

    What every method owes its caller, beside what each says: the store opens itself on first use, constructing one
    does no I/O, any number of tasks may use it at a time, a method cancelled at any ``await`` has happened whole or
    not at all, entries are encoded before the first ``await`` and share no object with the caller, and failures are
    `StoreError`. Recording ids that could not be one raise `InvalidValueError`.
    """

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
            outcome: The word of a `RunStatus`.
            duration_ms: How long the run took.

        Raises:
            RecordingNotFoundError: There is no such recording.
            RecordingFinalizedError: It was finalized with another outcome or duration.
            InvalidValueError: The outcome is none, or is ``incomplete``.
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
        """Return the recordings that match: newest first by `RecordingInfo.created_at`, then by id descending."""

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
