"""What the tests of the engine and the harness share: a signal store that can be made to fail, and providers."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

import attrs

from openharness.core import (
    Blob,
    Completed,
    LogEntry,
    Outcome,
    Provider,
    ProviderCapabilities,
    ProviderError,
    ProviderEvent,
    ProviderOutput,
    ProviderRequest,
    Recording,
    RecordingInfo,
    RecordingNotFoundError,
    RecordingQuery,
    RunContext,
    RunRecord,
    Signal,
    SignalStore,
    StoreError,
    TextDelta,
    ToolCall,
)
from openharness.core.errors import CorruptRecordError, RecordingFinalizedError
from openharness.core.memory import InMemoryRunStore
from openharness.core.storage import decode_signal, encode_signal, resolve_signal

if TYPE_CHECKING:
    import random

Answer = Callable[[ProviderRequest, RunContext], str]
Hook = Callable[[str, Any], Awaitable[None]]


@attrs.define
class Kept:
    """One recording of a `KeepingStore`, as text."""

    info: RecordingInfo
    lines: list[bytes] = attrs.field(factory=list)
    blobs: dict[str, Any] = attrs.field(factory=dict)


class KeepingStore(SignalStore):
    """Keeps recordings as encoded text, and lets a test look at, delay and break every call.

    Attributes:
        hook: Awaited before each call takes effect, with the method's name and its subject.
        journal: What happened, in order: ``("append", names)`` and so on, after it was durable.
    """

    def __init__(self, hook: Hook | None = None) -> None:
        self.hook = hook
        self.journal: list[tuple[str, Any]] = []
        self.recordings: dict[str, Kept] = {}
        self.published: dict[str, str] = {}

    async def _do(self, what: str, subject: Any) -> None:
        if self.hook is not None:
            await self.hook(what, subject)
        self.journal.append((what, subject))

    def _kept(self, recording_id: str) -> Kept:
        if recording_id not in self.recordings:
            raise RecordingNotFoundError(recording_id)
        return self.recordings[recording_id]

    async def create_recording(
        self,
        *,
        run_id: str,
        name: str | None = None,
        tags: Iterable[str] = (),
        metadata: Mapping[str, Any] | None = None,
        resumed_from: str | None = None,
    ) -> str:
        """Begin an empty recording."""
        recording_id = f"rec-{len(self.recordings)}"
        info = RecordingInfo(
            id=recording_id,
            run_id=run_id,
            name=name,
            created_at=0,
            tags=tuple(tags),
            metadata=metadata,
            resumed_from=resumed_from,
        )
        await self._do("create", name)
        self.recordings[recording_id] = Kept(info)
        return recording_id

    async def append(self, recording_id: str, entries: Sequence[LogEntry]) -> None:
        """Keep the entries as text."""
        kept = self._kept(recording_id)
        if kept.info.outcome != "incomplete":
            raise RecordingFinalizedError(recording_id, outcome=kept.info.outcome)
        blobs = {entry.digest: entry.data for entry in entries if isinstance(entry, Blob)}
        lines = [encode_signal(entry) for entry in entries if isinstance(entry, Signal)]
        await self._do("append", [entry.name for entry in entries if isinstance(entry, Signal)])
        kept.blobs |= blobs
        kept.lines += lines

    async def add_checkpoint(self, recording_id: str, name: str, seq: int) -> None:
        """Never used by the harness."""
        raise NotImplementedError

    async def finalize(self, recording_id: str, *, outcome: Outcome | str, duration_ms: int | None = None) -> None:
        """Note the outcome."""
        kept = self._kept(recording_id)
        await self._do("finalize", str(outcome))
        kept.info = attrs.evolve(kept.info, outcome=outcome, duration_ms=duration_ms)

    async def publish(self, recording_id: str, name: str) -> None:
        """Give the name to the recording."""
        await self._do("publish", name)
        self.published[name] = recording_id

    async def load_recording(self, recording_id: str) -> Recording | None:
        """Return the recording, read from its text."""
        if recording_id not in self.recordings:
            return None
        return Recording(info=self._kept(recording_id).info, signals=self.signals(recording_id))

    def signals(self, recording_id: str) -> list[Signal]:
        """The signals of a recording, read from its text."""
        kept = self._kept(recording_id)
        try:
            return [resolve_signal(decode_signal(line), kept.blobs) for line in kept.lines]
        except KeyError as error:
            raise CorruptRecordError(recording_id, reason=f"the blob {error} is missing") from None

    async def iter_signals(
        self, recording_id: str, *, start: int = 0, stop: int | None = None, patterns: Any = ()
    ) -> AsyncIterator[Signal]:
        """Yield the signals, read from their text."""
        for signal in self.signals(recording_id)[start:stop]:
            yield signal

    async def list_recordings(self, query: RecordingQuery | None = None) -> list[RecordingInfo]:
        """Return what matches, newest first."""
        query = query or RecordingQuery()
        found = (kept.info for kept in reversed(self.recordings.values()) if query.matches(kept.info))
        return list(itertools.islice(found, query.limit))

    async def find_recording(self, name: str) -> RecordingInfo | None:
        """Return what the name means."""
        found = self.published.get(name)
        return None if found is None else self._kept(found).info

    async def list_fixtures(self) -> list[str]:
        """Return the names that mean something."""
        return sorted(self.published)

    async def delete_recording(self, recording_id: str) -> None:
        """Forget the recording."""
        await self._do("delete", recording_id)
        self.recordings.pop(recording_id, None)

    def rewrite(self, recording_id: str, change: Callable[[list[Signal]], Iterable[Signal]]) -> str:
        """Keep a changed copy of a recording, as a stranger might have written it, and return its id."""
        copy = f"{recording_id}-changed-{len(self.recordings)}"
        kept = self._kept(recording_id)
        signals = change(self.signals(recording_id))
        self.recordings[copy] = Kept(attrs.evolve(kept.info, id=copy), [encode_signal(signal) for signal in signals])
        return copy

    async def cut(self, recording_id: str, stop: int) -> str:
        """Keep the first signals of a recording as a process leaves it that is killed there, and return its id."""
        signals = self.signals(recording_id)[:stop]
        copy = await self.create_recording(run_id=signals[0].id.removesuffix("/0"))
        await self.append(copy, signals)
        return copy


class FailingRunStore(InMemoryRunStore):
    """Fails, or waits for ever, when it is told to save a run of a certain status; keeps what it saved."""

    def __init__(self, *, fails: Iterable[str] = (), hangs: Iterable[str] = ()) -> None:
        super().__init__()
        self.fails, self.hangs = set(fails), set(hangs)
        self.saved: list[RunRecord] = []

    async def save_run(self, run: RunRecord) -> None:
        """Fail, hang or save."""
        if run.status in self.hangs:
            await asyncio.Event().wait()
        if run.status in self.fails:
            raise StoreError("the disk is on fire")
        await super().save_run(run)
        self.saved.append(run)


class ScriptedProvider(Provider):
    """Answers what a function says, in pieces of a few characters.

    Attributes:
        requests: What it was asked, with the context.
        running: How many requests are being answered.
        most: The most there were at once.
        stopped: The calls that were cancelled in the middle.
    """

    type: ClassVar[str] = "scripted"

    def __init__(self, answer: Answer | str | None = None, *, size: int = 8, delay: float | None = None) -> None:
        self._answer = answer
        self._size = size
        self._delay = delay
        self.requests: list[tuple[ProviderRequest, RunContext]] = []
        self.running = self.most = 0
        self.stopped: list[str] = []

    @property
    def prompts(self) -> list[str]:
        """The prompts it was sent, in order."""
        return [request.messages[-1].content for request, _ in self.requests]

    def answer(self, request: ProviderRequest, context: RunContext) -> str:
        """Return the answer to a request; by default the prompt in capitals."""
        if callable(self._answer):
            return self._answer(request, context)
        return self._answer if self._answer is not None else str(request.messages[-1].content).upper()

    async def run(self, request: ProviderRequest, context: RunContext) -> AsyncGenerator[ProviderEvent, None]:
        """Answer as the class says."""
        self.requests.append((request, context))
        self.running += 1
        self.most = max(self.most, self.running)
        try:
            if self._delay is not None:
                await asyncio.sleep(self._delay)
            answer = self.answer(request, context)
            for start in range(0, len(answer), self._size):
                yield TextDelta(answer[start : start + self._size])
            yield Completed(ProviderOutput(content=answer))
        except asyncio.CancelledError:
            self.stopped.append(context.call)
            raise
        finally:
            self.running -= 1


class HangingProvider(Provider):
    """Sends a few words and then waits for ever; notes that it began, and that it was stopped."""

    type: ClassVar[str] = "hanging"

    def __init__(self) -> None:
        self.began = asyncio.Event()
        self.stopped: list[str] = []

    async def run(self, request: ProviderRequest, context: RunContext) -> AsyncGenerator[ProviderEvent, None]:
        """Answer as the class says."""
        yield TextDelta("well")
        self.began.set()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            self.stopped.append("cancelled")
            raise
        finally:
            self.stopped.append("finally")


class EventsProvider(Provider):
    """Yields the events it was given, whatever they are; exceptions among them are raised."""

    type: ClassVar[str] = "events"

    def __init__(self, *turns: Sequence[Any]) -> None:
        self._turns = list(turns)
        self.calls = 0

    async def run(self, request: ProviderRequest, context: RunContext) -> AsyncGenerator[ProviderEvent, None]:
        """Answer as the class says."""
        turn = self._turns[min(self.calls, len(self._turns) - 1)]
        self.calls += 1
        for event in turn:
            if isinstance(event, BaseException):
                raise event
            yield event


def wanted(request: ProviderRequest) -> list[ToolCall]:
    """The tools that a model asks for: a function of the request alone, with none from the third turn on."""
    last = max((index for index, message in enumerate(request.messages) if message.role == "user"), default=0)
    turns = sum(message.role == "assistant" for message in request.messages[last:])
    number = sum(map(ord, str(request.messages[-1].content)))
    if not request.tools or turns >= 2 or number % 4 == turns:
        return []
    calls: list[ToolCall] = []
    for index in range(1 + number % 3):
        name = (
            "unknown"
            if (number + index) % 11 == 0
            else str(request.tools[(number + index) % len(request.tools)]["name"])
        )
        calls.append(ToolCall(f"id{index}", name, {"number": "x" if (number + index) % 13 == 0 else number + index}))
    return calls


class RandomProvider(Provider):
    """Answers a function of the request alone, in pieces and after delays that are different every time."""

    type: ClassVar[str] = "random"
    capabilities = ProviderCapabilities(tools=True, output_schema=True)

    def __init__(
        self, chance: random.Random, *, failing: Callable[[str, int], ProviderError | None] | None = None
    ) -> None:
        self._chance = chance
        self._failing = failing
        self.calls = 0

    async def run(self, request: ProviderRequest, context: RunContext) -> AsyncGenerator[ProviderEvent, None]:
        """Answer as the class says."""
        self.calls += 1
        chance = self._chance
        await self._wait()
        failure = None if self._failing is None else self._failing(context.agent, context.attempt)
        answer = f"{context.agent}:{sum(map(ord, request.messages[-1].content)) % 97}"
        if request.output_schema is not None:
            answer = f'{{"value": "{answer}"}}'
        if failure is not None:
            if chance.random() < 0.5:
                yield TextDelta(answer[:2])
            raise failure
        for call in wanted(request):
            yield call
            await self._wait()
        start = 0
        while start < len(answer):
            size = chance.randint(1, 6)
            yield TextDelta(answer[start : start + size])
            start += size
            await self._wait()
        yield Completed(ProviderOutput(content=answer))

    async def _wait(self) -> None:
        chance = self._chance.random()
        if chance < 0.7:
            for _ in range(self._chance.randint(0, 5)):
                await asyncio.sleep(0)
        else:
            await asyncio.sleep(chance * 0.002)


def names_of(signals: Iterable[Signal]) -> list[str]:
    """The names of signals, in order."""
    return [signal.name for signal in signals]


def outline(signals: Iterable[Signal]) -> list[str]:
    """Signals as ``name`` or ``name agent``, without the streaming ones."""
    return [
        f"{signal.name} {signal.source.agent}" if signal.source.agent else signal.name
        for signal in signals
        if not signal.name.endswith(":delta")
    ]


def of_name(signals: Iterable[Signal], name: str) -> list[Signal]:
    """The signals of one name."""
    return [signal for signal in signals if signal.name == name]
