"""One look-up per signal, then the handlers, one after the other."""

from __future__ import annotations

import functools
import inspect
import logging
import re
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Final, TypeAlias, cast

from openharness.core.errors import InvalidValueError
from openharness.core.patterns import PatternIndex, PatternLike, compile_pattern
from openharness.core.records import Signal

if TYPE_CHECKING:
    from types import TracebackType
    from typing import Self

__all__ = ("ErrorHandler", "SignalBus", "SignalHandler", "Subscription")

SignalHandler: TypeAlias = Callable[[Signal], object]
"""What is called with a signal; what it returns is dropped."""

ErrorHandler: TypeAlias = Callable[[Exception, Signal, SignalHandler], object]
"""What is called when a handler raised: with the error, the signal, and the handler."""

_logger: Final = logging.getLogger("openharness.bus")


class SignalBus:
    """Delivers each signal to the handlers whose patterns match its name, in the order in which they subscribed.

    Emitting costs one dictionary look-up and the calls, however many subscriptions there are: see
    `openharness.core.patterns.PatternIndex`. A bus is for one thread.

    Args:
        on_error: Called when a handler raises; the other handlers get the signal all the same. By default the error
            is logged, with its traceback, to ``openharness.bus``. If it raises itself, that is logged, too.
    """

    def __init__(self, *, on_error: ErrorHandler | None = None) -> None:
        self._on_error = on_error or _log
        self._index: PatternIndex[SignalHandler] = PatternIndex()
        self._answers = self._index.answers

    def __len__(self) -> int:
        """The number of subscriptions."""
        return len(self._index)

    def subscribe(self, patterns: PatternLike | Iterable[PatternLike], handler: SignalHandler) -> Subscription:
        """Call a handler with every signal whose name matches, from the next `emit` on.

        Args:
            patterns: One pattern or several; a signal that several of them match is delivered once.
            handler: A function that is neither ``async`` nor a generator. The same one may subscribe more than once.

        Returns:
            The subscription, by which it ends.

        Raises:
            PatternError: A pattern is not well formed.
            InvalidValueError: There is no pattern, or the handler is not a function, or one that would not
                run when it is called.
        """
        if not callable(cast("object", handler)) or not _runs(handler):
            raise InvalidValueError(
                "handler", value=handler, expected="a function that is neither async nor a generator"
            )
        several = (patterns,) if isinstance(patterns, (str, re.Pattern)) else tuple(patterns)
        if not several:
            raise InvalidValueError("patterns", value=patterns, expected="one pattern or several")
        compiled = tuple(compile_pattern(pattern) for pattern in several)
        return Subscription(self._index, self._index.add(compiled, handler), several, handler)

    def emit(self, signal: Signal) -> None:
        """Call the handlers that are subscribed to the signal's name when this begins.

        A handler may subscribe, cancel and emit: what it emits is delivered before its own return, and who comes or
        goes meanwhile gets, or still gets, this signal as it was when it began. Exceptions of handlers are reported
        and do not come out of here; what is no ``Exception`` (``KeyboardInterrupt``, ``CancelledError``) does.
        """
        for handler in self._answers[signal.name]:
            try:
                handler(signal)
            except Exception as error:  # noqa: BLE001 - whatever a handler raises, the next one has its turn
                self._report(error, signal, handler)

    def _report(self, error: Exception, signal: Signal, handler: SignalHandler) -> None:
        try:
            self._on_error(error, signal, handler)
        except Exception:
            _logger.exception("The error handler of a signal bus failed at the signal %s (%s).", signal.id, signal.name)


class Subscription:
    """A handler's place on a bus. As a context manager it ends with the block.

    Attributes:
        patterns: The patterns it was made with.
        handler: The function that is called.
    """

    __slots__ = ("_index", "_key", "handler", "patterns")

    def __init__(
        self,
        index: PatternIndex[SignalHandler],
        key: int,
        patterns: tuple[PatternLike, ...],
        handler: SignalHandler,
    ) -> None:
        self._index: PatternIndex[SignalHandler] | None = index
        self._key = key
        self.patterns = patterns
        self.handler = handler

    def __repr__(self) -> str:
        """Say what it is subscribed to, and whether it still is."""
        return f"Subscription({', '.join(map(repr, self.patterns))}{'' if self.active else ', cancelled'})"

    @property
    def active(self) -> bool:
        """Whether the handler is still called."""
        return self._index is not None

    def cancel(self) -> None:
        """End it: the next `SignalBus.emit` does not call the handler. Cancelling twice is no error."""
        if self._index is not None:
            self._index.remove(self._key)
            self._index = None

    def __enter__(self) -> Self:
        """Return the subscription."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Cancel it."""
        self.cancel()


_NEVER_RUNS: Final = inspect.CO_COROUTINE | inspect.CO_GENERATOR | inspect.CO_ASYNC_GENERATOR


def _runs(handler: Callable[..., object]) -> bool:
    """Whether calling a function runs it: a coroutine or a generator would only be made."""
    call: object = handler
    while isinstance(call, functools.partial):
        call = call.func
    if not hasattr(call, "__code__"):
        call = getattr(call, "__call__", None)  # noqa: B004 - an object's own method, not whether there is one
    code = getattr(call, "__code__", None)
    return code is None or not code.co_flags & _NEVER_RUNS


def _log(error: Exception, signal: Signal, handler: SignalHandler) -> None:
    _logger.error("The handler %r failed at the signal %s (%s).", handler, signal.id, signal.name, exc_info=error)
