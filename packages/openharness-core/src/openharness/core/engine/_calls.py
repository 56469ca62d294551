"""Provider calls in flight: each pumps its events into the queue, and can be stopped at any time."""

from __future__ import annotations

import asyncio
import sys
from contextlib import nullcontext
from typing import TYPE_CHECKING, Final

from openharness.core.engine._arrivals import Arrival, Lane
from openharness.core.engine._patience import Patience
from openharness.core.engine._pumps import Pumps
from openharness.core.engine._redacting import log_failure
from openharness.core.engine._requests import error_payload, output_payload, plain_text, provider_request
from openharness.core.engine._sizes import LARGEST, MEBIBYTES, json_that_fits
from openharness.core.errors import ProviderError
from openharness.core.interfaces import (
    Completed,
    ProviderWarning,
    RunContext,
    TextDelta,
    ThinkingDelta,
    ToolCall,
)
from openharness.core.log import _names as names
from openharness.core.providers import open_events
from openharness.core.values import check_room, to_json

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable
    from contextlib import AbstractContextManager

    from openharness.core.engine._arrivals import ArrivalQueue
    from openharness.core.engine._effects import StartCall, StartTimer
    from openharness.core.interfaces import ProviderEvent, ProviderOutput
    from openharness.core.redaction import Redactor
    from openharness.core.values import JSONObject, JSONValue

__all__ = ("Calls",)

_MOST_BYTES: Final = 6
"""How many bytes a character takes in JSON at most: a control character does."""
_TOO_LONG: Final = f"the answer is longer than the {MEBIBYTES} MiB that can be recorded; limit it with max_tokens"


class Calls:
    """The calls and timers of one run.

    Args:
        run_id: The run.
        queue: Where everything arrives.
        clock: The present time in milliseconds since the epoch.
        redactor: Knows the secrets that requests have placeholders for.
    """

    def __init__(self, run_id: str, queue: ArrivalQueue, clock: Callable[[], int], redactor: Redactor) -> None:
        self._run_id = run_id
        self._queue = queue
        self._clock = clock
        self._redactor = redactor
        self._pumps = Pumps(redactor)
        self._timers: set[asyncio.TimerHandle] = set()

    def start(self, effect: StartCall) -> None:
        """Send a request; its events arrive from now on."""
        self._pumps.start(self._pump(effect), effect.call, lost=lambda why: self._lost(effect.call, why))

    def start_timer(self, effect: StartTimer) -> None:
        """Let a retry arrive later."""

        def arrive() -> None:
            self._timers.discard(handle)
            payload: JSONObject = {"call": effect.call, "delay_ms": round(effect.delay * 1000)}
            self._queue.put(
                Arrival(name=names.PROVIDER_RETRY, payload=payload, timestamp=self._clock(), call=effect.call)
            )

        handle = asyncio.get_running_loop().call_later(effect.delay, arrive)
        self._timers.add(handle)

    def cancel(self) -> None:
        """Cancel everything, without waiting for it. Doing so again changes nothing."""
        if self._pumps.stopped:
            return
        for timer in self._timers:
            timer.cancel()
        self._timers.clear()
        self._pumps.cancel()

    @property
    def busy(self) -> bool:
        """Whether something is still to be waited for."""
        return self._pumps.busy

    async def stop(self, timeout: float) -> None:
        """Cancel everything and wait until providers have given back what they hold, at most ``timeout`` seconds."""
        self.cancel()
        await self._pumps.stop(timeout)

    def _lost(self, call: str, why: str) -> None:
        error = ProviderError(why, kind="cancelled")
        payload: JSONObject = {"call": call, "error": error_payload(error)}
        self._queue.put(Arrival(name=names.PROVIDER_ERROR, payload=payload, timestamp=self._clock(), call=call))

    async def _pump(self, effect: StartCall) -> None:
        lane = Lane(self._queue)
        definition = effect.agent.definition
        limit: asyncio.Timeout | None = None
        try:
            if definition.timeout is None:
                output = await self._drive(effect, lane, nullcontext)
            else:
                async with asyncio.timeout(definition.timeout) as limit:
                    output = await self._drive(effect, lane, Patience(limit).waiting)
            if lane.is_full:
                await self._room(lane)
            self._put(lane, effect.call, names.PROVIDER_END, {"call": effect.call, "output": output})
        except BaseException as error:
            if isinstance(error, asyncio.CancelledError):
                if self._pumps.is_cancelled():
                    raise
                # Nobody cancelled this call: something that the provider waited for was, and the run must hear of it.
                error = ProviderError("what the provider waited for was cancelled", kind="cancelled")
            if limit is not None and isinstance(error, TimeoutError) and limit.expired():
                error = ProviderError(
                    f"the call took longer than {definition.timeout:g} s", kind="timeout", retryable=True
                )
            if isinstance(error, Exception) and not isinstance(error, ProviderError):
                # Nobody foresaw it. The log tells what went wrong; where, only the logger does.
                kind = None if effect.agent.provider is None else effect.agent.provider.type
                log_failure(self._redactor, "The provider %r failed in %s", kind, effect.call, error=error)
            payload: JSONObject = {"call": effect.call, "error": error_payload(error)}
            if lane.is_full:
                await self._room(lane)
            self._put(lane, effect.call, names.PROVIDER_ERROR, payload)
            if not isinstance(error, Exception):
                raise

    async def _drive(
        self, effect: StartCall, lane: Lane, waiting: Callable[[], AbstractContextManager[None]]
    ) -> JSONObject:
        """Take the events of one request to the end, and return the answer as the log holds it."""
        provider = effect.agent.provider
        if provider is None:
            raise ProviderError(f"agent {effect.agent.name!r} has no provider", kind="configuration")
        context = RunContext(
            run_id=self._run_id,
            agent=effect.agent.name,
            activation=effect.activation,
            call=effect.call,
            attempt=effect.attempt,
            waiting=waiting,
        )
        request = provider_request(self._redactor.restore(effect.request) if effect.restore else effect.request)
        # Whoever must know that a model is about to be called listens to this: the guard of the pytest plugin does.
        sys.audit("openharness.provider.request", provider, context)
        events = open_events(provider, request, context)
        try:
            return await self._consume(effect.call, events, lane)
        finally:
            await events.aclose()

    async def _consume(self, call: str, events: AsyncGenerator[ProviderEvent, None], lane: Lane) -> JSONObject:
        answer, output, tools = _Answer(), None, 0
        async for event in events:
            if output is not None:
                raise ProviderError(f"the provider went on after Completed, with {event!r}", kind="protocol")
            if isinstance(event, Completed):
                output = event.output
                continue
            name, details = _details(event, tools)
            if name == names.TOOL_CALL:
                tools += 1
            if not answer.takes(name, details):
                continue  # An empty delta says nothing.
            if lane.is_full:
                await self._room(lane)
            self._put(lane, call, name, {"call": call, **details})
        if output is None:
            raise ProviderError("the provider ended without Completed", kind="protocol")
        return output_payload(output, answer.content(output))

    async def _room(self, lane: Lane) -> None:
        """Wait for room in a lane that is full, unless nobody will make room any more."""
        if not self._pumps.stopped:
            await lane.room()

    def _put(self, lane: Lane, call: str, name: str, payload: JSONObject) -> None:
        if self._pumps.stopped:
            # The run is over, and its provider did not heed that it was cancelled.
            raise asyncio.CancelledError
        lane.put(Arrival(name=name, payload=payload, timestamp=self._clock(), call=call, lane=lane))


class _Answer:
    """What of an answer has come."""

    def __init__(self) -> None:
        self._text: list[str] = []
        self._size = 0

    def takes(self, name: str, details: JSONObject) -> bool:
        """Add what an event says, and tell whether it says anything.

        Raises:
            ProviderError: There is more than can be recorded.
        """
        text = details.get("text")
        if not isinstance(text, str):
            return True
        self._size += len(text)
        if self._size > LARGEST:
            raise ProviderError(_TOO_LONG, kind="protocol")
        if name == names.TEXT_DELTA:
            self._text.append(text)
        return bool(text)

    def content(self, output: ProviderOutput) -> str:
        """Return the text of the whole answer.

        Raises:
            ProviderError: It is not what the deltas said, or is longer than what can be recorded.
        """
        content = _text(output.content)
        if self._text and _text("".join(self._text)) != content:
            raise ProviderError("the text of Completed is not what the deltas said", kind="protocol")
        if _MOST_BYTES * len(content) > LARGEST and json_that_fits(content) is None:
            raise ProviderError(_TOO_LONG, kind="protocol")
        return content


def _details(event: ProviderEvent, tools: int) -> tuple[str, JSONObject]:
    """What of an event goes into its signal, and the signal's name; ``tools`` calls of tools came before."""
    if isinstance(event, TextDelta):
        return names.TEXT_DELTA, {"text": _text(event.text)}
    if isinstance(event, ThinkingDelta):
        return names.THINKING_DELTA, {"text": _text(event.text)}
    if isinstance(event, ToolCall):
        arguments = _json(event.arguments)
        return names.TOOL_CALL, {
            "index": tools,
            "id": _text(event.id),
            "name": _text(event.name),
            "arguments": arguments,
        }
    if isinstance(event, ProviderWarning):
        return names.PROVIDER_WARNING, {"message": _text(event.message), "data": _json(event.data)}
    raise ProviderError(f"the provider yielded {event!r}, which is no event", kind="protocol")


def _text(value: object) -> str:
    if isinstance(value, str):
        return plain_text(str.__str__(value))
    raise ProviderError(f"the provider sent {value!r} where text belongs", kind="protocol")


def _json(value: object) -> JSONValue:
    try:
        plain = to_json(value)
        check_room(plain, path="value")
    except ValueError as error:
        raise ProviderError(f"the provider sent what cannot be recorded: {error}", kind="protocol") from error
    return plain
