"""Who listens to a run: outside of its steps, after its signals are durable, and bounded."""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import inspect
import logging
import weakref
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from typing import TYPE_CHECKING, Final, Literal, Self, TypeAlias

import attrs

from openharness.core.engine import USER_FAILURES
from openharness.core.errors import InvalidValueError
from openharness.core.patterns import Pattern, compile_pattern
from openharness.core.records._signal import copied_signal

if TYPE_CHECKING:
    from collections.abc import Generator

    from openharness.core.patterns import PatternLike
    from openharness.core.records import Signal

__all__ = ("BufferPolicy", "Listener", "RunListeners", "StreamBuffer", "Subscriber", "Subscription", "subscription")

Subscriber: TypeAlias = Callable[["Signal"], Awaitable[None] | None]
"""Called with each signal; may be a coroutine function."""

BufferPolicy: TypeAlias = Literal["block", "drop", "disconnect"]
"""What happens when a listener is a whole buffer behind: the run waits for it, signals are dropped and counted, or the
listener is told nothing more."""

BUFFER: Final = 1_024

_log = logging.getLogger("openharness")


@attrs.define(eq=False)
class Subscription:
    """A subscriber of a harness. Made by `Harness.subscribe`; leaving its ``with`` block cancels it.

    Attributes:
        patterns: The signals it wants.
        function: What is called.
        buffer: How many signals may wait for it.
        policy: What happens when that many do.
        dropped: How many signals it was not told of.
        connected: Whether it still listens.
    """

    patterns: tuple[Pattern, ...]
    function: Subscriber
    buffer: int = BUFFER
    policy: BufferPolicy = "block"
    dropped: int = 0
    connected: bool = True
    _listeners: weakref.WeakSet[Listener] = attrs.field(factory=weakref.WeakSet["Listener"], init=False, repr=False)

    def cancel(self) -> None:
        """Listen no more; runs that wait for this subscriber go on. Cancelling twice is no error."""
        self.connected = False
        for listener in list(self._listeners):
            listener.wake()

    def heard_by(self, listener: Listener) -> None:
        """Note what listens to a run for this subscription."""
        self._listeners.add(listener)

    def wants(self, name: str) -> bool:
        """Tell whether it wants the signals of this name."""
        return self.connected and any(pattern.matches(name) for pattern in self.patterns)

    def __enter__(self) -> Self:
        """Return the subscription."""
        return self

    def __exit__(self, *exc_info: object) -> None:
        """Cancel it."""
        self.cancel()


def subscription(
    pattern: PatternLike | Sequence[PatternLike], function: Subscriber, *, buffer: int, policy: BufferPolicy
) -> Subscription:
    """Check the options of a subscription and return it."""
    sources = [pattern] if isinstance(pattern, str) or not isinstance(pattern, Sequence) else list(pattern)
    if not callable(function):
        raise InvalidValueError("function", value=function, expected="a function of a signal")
    if type(buffer) is not int or buffer < 1:
        raise InvalidValueError("buffer", value=buffer, expected="an integer from 1 on")
    if policy not in ("block", "drop", "disconnect"):
        raise InvalidValueError("policy", value=policy, expected="'block', 'drop' or 'disconnect'")
    return Subscription(tuple(compile_pattern(source) for source in sources), function, buffer, policy)


class Listener:
    """One subscription in one run: its buffer, and the task that empties it."""

    def __init__(self, subscribed: Subscription, failed: Callable[[Signal, BaseException], None]) -> None:
        self._subscribed = subscribed
        self._failed = failed
        self._buffer: deque[Signal] = deque()
        self._changed = asyncio.Event()
        self._closing = False
        self._released = False
        self._cancelled = False
        self._waits = 0
        self._task: asyncio.Task[None] | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        subscribed.heard_by(self)

    def wake(self) -> None:
        """Let a run that waits for room look again, from wherever this is called."""
        if self._loop is not None:
            with contextlib.suppress(RuntimeError):  # It is closed.
                self._loop.call_soon_threadsafe(self._changed.set)

    @contextlib.contextmanager
    def waiting_for_the_run(self) -> Generator[None]:
        """Let the run go on without room in the buffer: its subscriber waits for the run, and both would for ever."""
        self._waits += 1
        self._changed.set()
        try:
            yield
        finally:
            self._waits -= 1

    async def offer(self, signal: Signal) -> None:
        """Put a signal into the buffer, as the policy says."""
        subscribed = self._subscribed
        while len(self._buffer) >= subscribed.buffer and subscribed.connected:
            if subscribed.policy == "disconnect":
                subscribed.connected = False
                _log.warning("A subscriber is %d signals behind and was disconnected", len(self._buffer))
                break
            if subscribed.policy == "drop" or self._released:
                subscribed.dropped += 1
                return
            if self._waits:
                break
            self._loop = asyncio.get_running_loop()
            self._changed.clear()
            await self._changed.wait()
        if not subscribed.connected:
            return
        self._buffer.append(signal)
        self._changed.set()
        if self._task is None:
            self._task = asyncio.get_running_loop().create_task(self._run(), name="openharness subscriber")

    def release(self) -> None:
        """Make nobody wait any more: the run is to stop."""
        self._released = True
        self._changed.set()

    async def close(self, timeout: float, *, grace: float) -> None:
        """Wait until everything in the buffer was told, ``timeout`` seconds at most, then ``grace`` for its end."""
        self._closing = True
        self._changed.set()
        if self._task is None:
            return
        _, pending = await asyncio.wait({self._task}, timeout=timeout)
        if pending:
            _log.warning("A subscriber was still %d signals behind at the end of its run", len(self._buffer))
            self._cancelled = True
            self._task.cancel()
            await asyncio.wait({self._task}, timeout=grace)

    async def _run(self) -> None:
        _listening.set(self)
        while True:
            while not self._buffer:
                if self._closing:
                    return
                self._changed.clear()
                await self._changed.wait()
            signal = self._buffer.popleft()
            self._changed.set()
            if not self._subscribed.connected:
                continue
            try:
                answer = self._subscribed.function(signal)
                if inspect.isawaitable(answer):
                    await answer
            except USER_FAILURES as error:
                if self._is_ended(error):
                    raise
                self._failed(signal, error)

    def _is_ended(self, error: BaseException) -> bool:
        """Tell whether it is this task that was cancelled or closed, and not something that the subscriber waited for."""
        if isinstance(error, asyncio.CancelledError):
            return self._cancelled
        # What is closed is not at work: nobody may wait in there any more.
        return isinstance(error, GeneratorExit) and not _at_work(self._task)


def _at_work(task: asyncio.Task[None] | None) -> bool:
    try:
        return asyncio.current_task() is task
    except RuntimeError:  # No event loop is.
        return False


_listening: contextvars.ContextVar[Listener | None] = contextvars.ContextVar("openharness_listening", default=None)
"""The listener whose subscriber this is."""


class StreamBuffer:
    """The signals of a run that its stream was not asked for yet; the run waits when there are too many."""

    def __init__(self, size: int = BUFFER) -> None:
        self._size = size
        self._buffer: deque[Signal] = deque()
        self._changed = asyncio.Event()
        self._released = False
        self._closed = False

    async def offer(self, signal: Signal) -> None:
        """Add a signal, after waiting for room."""
        while len(self._buffer) >= self._size and not self._released:
            self._changed.clear()
            await self._changed.wait()
        self._buffer.append(signal)
        self._changed.set()

    async def take(self) -> Signal | None:
        """Wait for the next signal and return it; None when there are no more."""
        while not self._buffer:
            if self._closed:
                return None
            self._changed.clear()
            await self._changed.wait()
        self._changed.set()
        return self._buffer.popleft()

    def release(self) -> None:
        """Make the run wait no more."""
        self._released = True
        self._changed.set()

    def close(self) -> None:
        """Tell that no more signals come; what is there can still be taken."""
        self._closed = True
        self._changed.set()


class RunListeners:
    """All listeners of one run, and its stream if it has one."""

    def __init__(
        self,
        subscriptions: Sequence[Subscription],
        failed: Callable[[Signal, BaseException], None],
        stream: StreamBuffer | None = None,
        *,
        remembers: bool = False,
    ) -> None:
        self._told: list[Signal] | None = [] if remembers else None
        self._changed: asyncio.Future[None] | None = None
        self._listeners = [(subscribed, Listener(subscribed, failed)) for subscribed in subscriptions]
        self._stream = stream

    async def deliver(self, signals: Sequence[Signal]) -> None:
        """Tell of signals that are durable."""
        if self._told is not None:
            self._told += signals
            self._wake()
        if not self._listeners and self._stream is None:
            return
        for signal in signals:
            # A copy for each: what one does to its signal, no other sees.
            if self._stream is not None:
                await self._stream.offer(copied_signal(signal))
            for subscribed, listener in self._listeners:
                if subscribed.wants(signal.name):
                    await listener.offer(copied_signal(signal))

    async def seen(self, pattern: Pattern, after: int) -> Signal:
        """Wait for the first durable signal behind a position whose name matches; for runs that remember."""
        position = after + 1
        while True:
            told = self._told or []
            for signal in told[position:]:
                if pattern.matches(signal.name):
                    return copied_signal(signal)
            position = max(position, len(told))
            if self._changed is None:
                self._changed = asyncio.get_running_loop().create_future()
            await asyncio.shield(self._changed)

    def _wake(self) -> None:
        changed, self._changed = self._changed, None
        if changed is not None:
            changed.set_result(None)

    def waiting_for_the_run(self) -> contextlib.AbstractContextManager[None]:
        """Return a block in which the caller waits for the run; if it is one of its subscribers, the run knows."""
        here = _listening.get()
        if here is not None and any(here is listener for _, listener in self._listeners):
            return here.waiting_for_the_run()
        return contextlib.nullcontext()

    def release(self) -> None:
        """Let the run go on without waiting for any listener: it is to stop."""
        if self._stream is not None:
            self._stream.release()
        for _, listener in self._listeners:
            listener.release()

    async def close(self, timeout: float, *, grace: float) -> None:
        """Wait until everybody was told everything, ``timeout`` seconds at most, then ``grace`` for who was not."""
        if self._listeners:
            await asyncio.gather(*(listener.close(timeout, grace=grace) for _, listener in self._listeners))
