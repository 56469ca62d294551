"""A right provider, and the same provider with one bug each: what `ProviderContract` must tell apart."""

# ruff: noqa: D101, D102 - the name of a class says what its bug is

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Any, ClassVar

from planting import Garden

from openharness.core import (
    Completed,
    Provider,
    ProviderCapabilities,
    ProviderError,
    ProviderEvent,
    ProviderOutput,
    ProviderRequest,
    RunContext,
    TextDelta,
    ThinkingDelta,
)
from openharness.testing._provider._answers import AnswerTests, DeclarationTests, FailureTests
from openharness.testing._provider._streams import ConcurrencyTests, InterruptionTests, ResponsivenessTests

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator


class PlainProvider(Provider):
    """A provider without a bug: it says the words of the question, one after the other."""

    type: ClassVar[str] = "plain"
    capabilities = ProviderCapabilities(seed=True)

    async def run(self, request: ProviderRequest, context: RunContext) -> AsyncGenerator[ProviderEvent, None]:
        said: list[str] = []
        for word in self.words(request):
            await asyncio.sleep(0.001)
            said.append(word)
            yield TextDelta(word)
        yield Completed(self.output("".join(said)))

    def words(self, request: ProviderRequest) -> list[str]:
        return [f"{word} " for word in request.messages[-1].content.split()]

    def output(self, content: str) -> ProviderOutput:
        return ProviderOutput(content=content)


class FailingProvider(Provider):
    """A provider whose requests fail, as they should."""

    type: ClassVar[str] = "failing"

    async def run(self, request: ProviderRequest, context: RunContext) -> AsyncGenerator[ProviderEvent, None]:
        yield TextDelta("so far ")
        raise ProviderError("The server is not there.", kind="connection", retryable=True)


garden = Garden()


@garden.plant(DeclarationTests)
class TypeIsASentence(PlainProvider):
    type: ClassVar[str] = "a plain provider"


@garden.plant(DeclarationTests)
class CapabilitiesAreADict(PlainProvider):
    capabilities: Any = "seed, streaming"


@garden.plant(DeclarationTests)
class SecondCloseRaises(PlainProvider):
    closed = False

    async def close(self) -> None:
        if self.closed:
            raise RuntimeError("closed already")
        self.closed = True


class _Changing(PlainProvider):
    """Bugs in the events of a stream change the right one's."""

    async def run(self, request: ProviderRequest, context: RunContext) -> AsyncGenerator[ProviderEvent, None]:
        right = super().run(request, context)
        try:
            async for event in right:
                for changed in self.change(event):
                    yield changed
        finally:
            await right.aclose()

    def change(self, event: ProviderEvent) -> list[Any]:
        return [event]


@garden.plant(AnswerTests)
class CompletedTwice(_Changing):
    def change(self, event: ProviderEvent) -> list[Any]:
        return [event, event] if isinstance(event, Completed) else [event]


@garden.plant(AnswerTests)
class NeverCompleted(_Changing):
    def change(self, event: ProviderEvent) -> list[Any]:
        return [] if isinstance(event, Completed) else [event]


@garden.plant(AnswerTests)
class TextAfterTheEnd(_Changing):
    def change(self, event: ProviderEvent) -> list[Any]:
        return [event, TextDelta("PS")] if isinstance(event, Completed) else [event]


@garden.plant(AnswerTests)
class EmptyDeltas(_Changing):
    def change(self, event: ProviderEvent) -> list[Any]:
        return [TextDelta(""), event]


@garden.plant(AnswerTests)
class ContentIsStripped(_Changing):
    def output(self, content: str) -> ProviderOutput:
        return ProviderOutput(content=content.strip())


@garden.plant(AnswerTests)
class ThinkingIsLost(_Changing):
    def change(self, event: ProviderEvent) -> list[Any]:
        return [ThinkingDelta("hm"), event]


@garden.plant(AnswerTests)
class VendorEventsPassThrough(_Changing):
    def change(self, event: ProviderEvent) -> list[Any]:
        return [{"type": "ping"}, event]


@garden.plant(AnswerTests)
class DeclaresStreamingAndDoesNot(_Changing):
    def change(self, event: ProviderEvent) -> list[Any]:
        return [event] if isinstance(event, Completed) else []


@garden.plant(AnswerTests)
class OutputIsNoJson(_Changing):
    def output(self, content: str) -> ProviderOutput:
        return ProviderOutput(content=content, data={"raw": object()})


@garden.plant(AnswerTests)
class RequestIsChanged(PlainProvider):
    def words(self, request: ProviderRequest) -> list[str]:
        words = super().words(request)
        list.append(request.messages, request.messages[0])  # type: ignore[arg-type]  # the bug
        return words


@garden.plant(AnswerTests)
class SeedIgnored(PlainProvider):
    count = 0

    def words(self, request: ProviderRequest) -> list[str]:
        self.count += 1
        return [*super().words(request), str(self.count)]


@garden.plant(FailureTests)
class FailureIsAnotherError(FailingProvider):
    async def run(self, request: ProviderRequest, context: RunContext) -> AsyncGenerator[ProviderEvent, None]:
        yield TextDelta("so far ")
        raise ConnectionError("the vendor's own")


@garden.plant(FailureTests)
class FailureEndsInSilence(FailingProvider):
    async def run(self, request: ProviderRequest, context: RunContext) -> AsyncGenerator[ProviderEvent, None]:
        yield TextDelta("so far ")


@garden.plant(FailureTests)
class FailureAfterCompleted(FailingProvider):
    async def run(self, request: ProviderRequest, context: RunContext) -> AsyncGenerator[ProviderEvent, None]:
        yield Completed(ProviderOutput(content=""))
        raise ProviderError("too late", kind="late")


@garden.plant(ConcurrencyTests)
class StreamsMix(PlainProvider):
    def __init__(self) -> None:
        self.buffer: list[str] = []

    async def run(self, request: ProviderRequest, context: RunContext) -> AsyncGenerator[ProviderEvent, None]:
        self.buffer = []
        for word in self.words(request):
            await asyncio.sleep(0.001)
            self.buffer.append(word)
            yield TextDelta(word)
        yield Completed(self.output("".join(self.buffer)))


@garden.plant(ConcurrencyTests)
class LastRequestIsAnswered(PlainProvider):
    last: ProviderRequest | None = None

    async def run(self, request: ProviderRequest, context: RunContext) -> AsyncGenerator[ProviderEvent, None]:
        self.last = request
        await asyncio.sleep(0.001)
        async for event in super().run(self.last, context):
            yield event


@garden.plant(InterruptionTests)
class CloseTakesLong(PlainProvider):
    async def run(self, request: ProviderRequest, context: RunContext) -> AsyncGenerator[ProviderEvent, None]:
        try:
            async for event in super().run(request, context):
                yield event
        finally:
            await asyncio.sleep(5)


@garden.plant(InterruptionTests)
class CloseIsRefused(PlainProvider):
    async def run(self, request: ProviderRequest, context: RunContext) -> AsyncGenerator[ProviderEvent, None]:
        try:
            async for event in super().run(request, context):
                yield event
        except GeneratorExit:
            yield Completed(self.output(""))


@garden.plant(InterruptionTests)
class CancellationSwallowed(PlainProvider):
    async def run(self, request: ProviderRequest, context: RunContext) -> AsyncGenerator[ProviderEvent, None]:
        try:
            async for event in super().run(request, context):
                yield event
        except asyncio.CancelledError:
            yield Completed(self.output("cancelled"))


@garden.plant(InterruptionTests)
class UnusableAfterCancellation(PlainProvider):
    def __init__(self) -> None:
        self.lock = asyncio.Lock()

    async def run(self, request: ProviderRequest, context: RunContext) -> AsyncGenerator[ProviderEvent, None]:
        await self.lock.acquire()
        async for event in super().run(request, context):
            yield event
        self.lock.release()


@garden.plant(ResponsivenessTests)
class LoopIsBlocked(PlainProvider):
    def output(self, content: str) -> ProviderOutput:
        # In steps, as the beats that are counted meanwhile.
        for _ in range(150):
            time.sleep(0.005)
        return super().output(content)


@garden.plant(ResponsivenessTests)
class LoopIsBusy(PlainProvider):
    def output(self, content: str) -> ProviderOutput:
        end = time.thread_time() + 0.4
        while time.thread_time() < end:
            pass
        return super().output(content)
