"""The signal bus: order, isolation of handlers, and ends of subscriptions."""

from __future__ import annotations

import functools
import logging
import re
from typing import TYPE_CHECKING, Any

import pytest

from openharness.core.bus import SignalBus
from openharness.core.errors import InvalidValueError, PatternError
from openharness.core.records import Signal

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator


def signal(name: str) -> Signal:
    """A signal of this name."""
    return Signal("run_1/0", name=name, timestamp=1, seq=0)


def test_handlers_are_called_in_the_order_they_subscribed() -> None:
    """Each handler whose pattern matches gets the signal itself, in the order of subscribing, whatever the pattern."""
    bus, seen = SignalBus(), list[Any]()
    bus.subscribe("**", lambda one: seen.append(("all", one)))
    bus.subscribe("a:b", lambda one: seen.append(("name", one)))
    bus.subscribe("b:*", lambda one: seen.append(("other", one)))
    bus.subscribe(re.compile("a.*"), lambda one: seen.append(("regex", one)))
    bus.subscribe("a:*", lambda one: seen.append(("glob", one)))
    sent = signal("a:b")
    bus.emit(sent)
    assert [kind for kind, _ in seen] == ["all", "name", "regex", "glob"]
    assert all(got is sent for _, got in seen)
    assert len(bus) == 5


def test_a_signal_is_delivered_once_to_a_subscription() -> None:
    """Several patterns of one subscription do not multiply the signal; two subscriptions of one handler do."""
    bus, seen = SignalBus(), list[str]()

    def handler(one: Signal) -> None:
        seen.append(one.name)

    bus.subscribe(["a:*", "a:b", "**"], handler)
    bus.subscribe({"a:b"}, handler)
    bus.emit(signal("a:b"))
    bus.emit(signal("c"))
    assert seen == ["a:b", "a:b", "c"]


def test_a_failing_handler_stops_nobody(caplog: pytest.LogCaptureFixture) -> None:
    """The others get the signal, and the error is logged with its traceback and the signal's id."""
    bus, seen = SignalBus(), list[str]()

    def fails(one: Signal) -> None:
        raise ValueError(one.name)

    bus.subscribe("a", fails)
    bus.subscribe("a", lambda one: seen.append(one.name))
    with caplog.at_level(logging.ERROR, logger="openharness.bus"):
        bus.emit(signal("a"))
    assert seen == ["a"]
    [record] = caplog.records
    assert "run_1/0" in record.getMessage()
    assert record.exc_info is not None
    assert isinstance(record.exc_info[1], ValueError)


def test_errors_go_to_the_callback(caplog: pytest.LogCaptureFixture) -> None:
    """`on_error` gets error, signal and handler instead of the log; its own failure is logged and stops nobody."""
    reports, seen = list[Any](), list[str]()

    def report(error: Exception, one: Signal, handler: Any) -> None:
        reports.append((error, one, handler))
        raise RuntimeError

    def fails(one: Signal) -> None:
        raise ValueError(one.name)

    bus = SignalBus(on_error=report)
    bus.subscribe("a", fails)
    bus.subscribe("a", lambda one: seen.append(one.name))
    sent = signal("a")
    bus.emit(sent)
    [(error, one, handler)] = reports
    assert isinstance(error, ValueError)
    assert (one, handler) == (sent, fails)
    assert seen == ["a"]
    assert [record.exc_info[0] for record in caplog.records if record.exc_info] == [RuntimeError]


@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit, GeneratorExit])
def test_what_ends_the_program_is_not_held_back(error: type[BaseException]) -> None:
    """Only exceptions are errors of handlers; an interrupt goes through."""
    bus = SignalBus()

    def interrupted(_: Signal) -> None:
        raise error

    bus.subscribe("a", interrupted)
    with pytest.raises(error):
        bus.emit(signal("a"))


def test_a_subscription_ends() -> None:
    """By `cancel`, twice without harm, or with its block; the handler is not called again."""
    bus, seen = SignalBus(), list[str]()
    subscription = bus.subscribe(["a", "b:*"], lambda one: seen.append(one.name))
    bus.emit(signal("a"))
    assert subscription.active
    assert repr(subscription) == "Subscription('a', 'b:*')"
    subscription.cancel()
    subscription.cancel()
    assert not subscription.active
    assert repr(subscription) == "Subscription('a', 'b:*', cancelled)"
    bus.emit(signal("a"))
    with bus.subscribe("a", lambda one: seen.append(one.name)) as inner:
        bus.emit(signal("a"))
        assert (inner.patterns, len(bus)) == (("a",), 1)
    with pytest.raises(KeyError), bus.subscribe("a", seen.append):
        raise KeyError
    bus.emit(signal("a"))
    assert seen == ["a", "a"]
    assert len(bus) == 0


def test_who_comes_and_goes_during_a_delivery() -> None:
    """A signal goes to those who were subscribed when it began; from the next one on, the change counts."""
    bus, seen = SignalBus(), list[str]()

    def first(_: Signal) -> None:
        seen.append("first")
        second.cancel()
        bus.subscribe("a", lambda _: seen.append("third"))

    bus.subscribe("a", first)
    second = bus.subscribe("a", lambda _: seen.append("second"))
    bus.emit(signal("a"))
    assert seen == ["first", "second"]
    bus.emit(signal("a"))
    assert seen == ["first", "second", "first", "third"]


def test_a_handler_may_emit() -> None:
    """What a handler emits is delivered at once, inside."""
    bus, seen = SignalBus(), list[str]()
    bus.subscribe("a", lambda _: bus.emit(signal("b")))
    bus.subscribe("*", lambda one: seen.append(one.name))
    bus.emit(signal("a"))
    assert seen == ["b", "a"]


class AsyncCall:
    """An object that is called as a coroutine."""

    async def __call__(self, one: Signal) -> None:
        """Do nothing."""


async def coroutine(one: Signal) -> None:
    """Do nothing."""


def generator(one: Signal) -> Iterator[Signal]:
    """Run only when it is iterated over."""
    yield one


async def stream(one: Signal) -> AsyncIterator[Signal]:
    """Run only when it is iterated over."""
    yield one


@pytest.mark.parametrize(
    "handler",
    [coroutine, generator, stream, functools.partial(coroutine), AsyncCall(), AsyncCall().__call__, None, "print"],
)
def test_what_cannot_handle_is_refused(handler: Any) -> None:
    """What does not run when it is called, and what cannot be called at all, is refused at once."""
    with pytest.raises(InvalidValueError, match="handler"):
        SignalBus().subscribe("a", handler)


def test_patterns_are_checked_when_subscribing() -> None:
    """A pattern that is not well formed, and none at all, are errors, and leave nothing subscribed."""
    bus = SignalBus()
    with pytest.raises(PatternError):
        bus.subscribe(["a", "b c"], print)
    with pytest.raises(InvalidValueError, match="patterns"):
        bus.subscribe([], print)
    assert len(bus) == 0
