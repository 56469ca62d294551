"""Several requests at once, requests that are left in the middle, and the event loop meanwhile."""

from __future__ import annotations

import asyncio
import contextlib
import threading
import time
from typing import TYPE_CHECKING, Final

import pytest

from openharness.core import Completed, TextDelta
from openharness.testing._kit._cancelling import Moment, cancel_at
from openharness.testing._provider._base import ProviderCase, make_context, output_of

if TYPE_CHECKING:
    from typing import Self

    from openharness.core import Provider, ProviderEvent, ProviderRequest

__all__ = ("ConcurrencyTests", "InterruptionTests", "ResponsivenessTests")

# Seconds between two looks at the event loop.
_BEAT: Final = 0.005


class ConcurrencyTests(ProviderCase):
    """Several requests may run at once."""

    async def test_requests_at_once_do_not_mix(self, provider: Provider, provider_request: ProviderRequest) -> None:
        """Each of several streams has its own deltas and its own end; where seed is declared, its own answer."""
        texts = ["Count from one to five.", "Name three colours.", "Say good morning.", "Name an animal."]
        requests = [self.other_request(provider_request, text) for text in texts]
        streams = await asyncio.gather(
            *(self.events_of(provider, request, number=number) for number, request in enumerate(requests))
        )
        for events in streams:
            assert [isinstance(event, Completed) for event in events].count(True) == 1
            deltas = [event.text for event in events if isinstance(event, TextDelta)]
            assert not deltas or "".join(deltas) == output_of(events).content
        if provider.capabilities.seed:
            for events, request in zip(streams, requests, strict=True):
                alone = output_of(await self.events_of(provider, request)).content
                assert output_of(events).content == alone, "an answer differs when others are asked at once"


class InterruptionTests(ProviderCase):
    """The harness closes every stream, also in the middle."""

    async def _check_usable(self, provider: Provider, request: ProviderRequest) -> None:
        output_of(await self.events_of(provider, request))

    async def test_a_stream_that_was_never_begun(self, provider: Provider, provider_request: ProviderRequest) -> None:
        """Closing a stream before its first event is no error."""
        generator = provider.run(provider_request, make_context())
        await self.soon(generator.aclose(), "closing a stream that was never begun")
        await self._check_usable(provider, provider_request)

    async def test_a_stream_that_is_closed_in_the_middle(
        self, provider: Provider, provider_request: ProviderRequest
    ) -> None:
        """``aclose()`` after the first event returns promptly, and the next request is answered as ever."""
        generator = provider.run(provider_request, make_context())
        await self.soon(anext(generator), "the first event")
        await self.soon(generator.aclose(), "closing a stream in the middle")
        with pytest.raises(StopAsyncIteration):
            await anext(generator)
        await self._check_usable(provider, provider_request)

    async def test_a_stream_that_is_closed_twice(self, provider: Provider, provider_request: ProviderRequest) -> None:
        """Closing again, also after the end, is no error."""
        generator = provider.run(provider_request, make_context())
        async for _ in generator:
            pass
        for _ in range(2):
            await self.soon(generator.aclose(), "closing a stream that has ended")

    @pytest.mark.parametrize("moment", [Moment.EARLY, Moment.LATE])
    @pytest.mark.parametrize("point", [1, 2, 3])
    async def test_a_request_that_is_cancelled(
        self, provider: Provider, provider_request: ProviderRequest, point: int, moment: Moment
    ) -> None:
        """A cancelled request ends promptly with CancelledError, and the next one is answered as ever."""

        async def consume() -> None:
            generator = provider.run(provider_request, make_context())
            try:
                async for _ in generator:
                    pass
            finally:
                await generator.aclose()

        await self.soon(cancel_at(consume, point=point, moment=moment), "a cancelled request")
        await self._check_usable(provider, provider_request)

    async def test_one_that_is_left_does_not_disturb_the_others(
        self, provider: Provider, provider_request: ProviderRequest
    ) -> None:
        """Closing one of several streams leaves the others whole."""
        left = provider.run(provider_request, make_context(1))
        other = asyncio.ensure_future(self.events_of(provider, provider_request, number=2))
        with contextlib.suppress(StopAsyncIteration):
            await self.soon(anext(left), "the first event")
        await self.soon(left.aclose(), "closing one of two streams")
        events = await self.soon(other, "the other request")
        deltas = [event.text for event in events if isinstance(event, TextDelta)]
        assert not deltas or "".join(deltas) == output_of(events).content


class _Watch:
    """How long an event loop stood still, though its process and its machine went on.

    A clock cannot tell: on a busy machine everything stands still now and then. Counted are the beats of another thread,
    which needs the machine as the event loop does, and the seconds for which the event loop's own thread was at work.

    Attributes:
        worst: The longest time so far, in seconds.
    """

    def __init__(self) -> None:
        self.worst = 0.0
        self._beats = 0
        self._over = threading.Event()
        self._heart = threading.Thread(target=self._beat, name="openharness heart", daemon=True)

    def __enter__(self) -> Self:
        self._heart.start()
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._over.set()
        self._heart.join()

    async def tick(self) -> None:
        """Look whenever the event loop gives a turn, also the one in which this is cancelled."""
        beats, worked = self._beats, time.thread_time()
        more = True
        while more:
            try:
                await asyncio.sleep(_BEAT)
            except asyncio.CancelledError:
                more = False
            self.worst = max(self.worst, (self._beats - beats) * _BEAT, time.thread_time() - worked)
            beats, worked = self._beats, time.thread_time()

    def _beat(self) -> None:
        while not self._over.wait(_BEAT):
            self._beats += 1


class ResponsivenessTests(ProviderCase):
    """The event loop goes on while a request runs."""

    async def test_the_event_loop_is_never_blocked(self, provider: Provider, provider_request: ProviderRequest) -> None:
        """While a request runs, and while it is closed in the middle, other tasks get their turn."""
        events: list[ProviderEvent] = []
        with _Watch() as watch:
            ticking = asyncio.ensure_future(watch.tick())
            await asyncio.sleep(0)
            events += await self.events_of(provider, provider_request)
            generator = provider.run(provider_request, make_context())
            events.append(await self.soon(anext(generator), "the first event"))
            await self.soon(generator.aclose(), "closing a stream in the middle")
            ticking.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await ticking
        worst = watch.worst
        assert worst <= self.max_lag, f"the event loop stood still for {worst:.2f} s"
