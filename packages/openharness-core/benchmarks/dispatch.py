"""What delivering a signal costs: the signal bus against calling the handlers directly, and against a regex scan.

The subscriptions are a mixture (60 % names, 22 % ``prefix:*``, 10 % ``**:last``, 6 % ``a:*:c``, 2 % ``**``) with handlers
that do nothing; the signals have 40 names. *Direct* calls the handlers that match, worked out beforehand: nothing can be
faster. *Scan* goes through the subscriptions at every signal and tries the compiled regular expression of each.

Run it with ``python dispatch.py``; ``--check`` ends with an error when a floor is missed. Figures are CPU time of this
process, everything in turn within each round; the median of the rounds with the least and the greatest, ratios of
medians. Where neighbours disturbed those, the ratio of the least times may meet a floor, too.
"""

from __future__ import annotations

import random
import re
import statistics
import sys
import time
from itertools import count
from typing import TYPE_CHECKING

from openharness.core.bus import SignalBus
from openharness.core.records import Signal

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from openharness.core.bus import Subscription

ROUNDS = 7
SECONDS = 0.02
FIRST = ("agent", "provider", "tool", "text", "analysis", "state", "review", "harness")
LAST = ("start", "complete", "call", "result", "error")
NAMES = tuple(f"{first}:{last}" for first in FIRST for last in LAST)
FLOORS = {
    ("known names", "bus / direct", 10): 0.55,
    ("known names", "bus / direct", 100): 0.75,
    ("known names", "bus / direct", 1000): 0.9,
    ("known names", "bus / scan", 100): 30,
    ("known names", "bus / scan", 1000): 50,
    ("new names", "bus / scan", 100): 4,
    ("new names", "bus / scan", 1000): 15,
    ("changing subscriptions", "bus / scan", 100): 6,
    ("changing subscriptions", "bus / scan", 1000): 20,
}


def handle(signal: Signal) -> None:
    """Do nothing with it."""


class Scan:
    """What one writes first: subscriptions with compiled expressions, that may come and go, all tried at each signal."""

    class Entry:
        """One subscription."""

        def __init__(self, expression: re.Pattern[str], handler: Callable[[Signal], object]) -> None:
            self.expression = expression
            self.handler = handler

    def __init__(self, patterns: Sequence[str]) -> None:
        self.entries = [self.Entry(self.translate(pattern), handle) for pattern in patterns]

    @staticmethod
    def translate(pattern: str) -> re.Pattern[str]:
        """The expression of a pattern, precise enough for these."""
        text = re.escape(pattern).replace(r"\*\*:", "(?:.*:)?").replace(r"\*\*", ".*").replace(r"\*", "[^:]*")
        return re.compile(text)

    def emit(self, signal: Signal) -> None:
        """Call whoever matches."""
        name = signal.name
        for entry in list(self.entries):
            if entry.expression.fullmatch(name):
                try:  # noqa: SIM105 - a context manager would cost more than what it is to hold
                    entry.handler(signal)
                except Exception:  # noqa: BLE001, S110 - what the bus does, without telling
                    pass


# So that a signal has one or two handlers at 10 subscriptions; with many, every mixture is like the others.
SEEDS = {1: 0, 10: 11, 100: 0, 1000: 1000}


def make_patterns(number: int) -> list[str]:
    """The mixture, the same every time."""
    rng = random.Random(SEEDS[number])
    patterns: list[str] = []
    for _ in range(number):
        kind, first, last = rng.random(), rng.choice(FIRST), rng.choice(LAST)
        if kind < 0.60:
            # Twice as many names as there are signals of: not everything that is subscribed to happens.
            patterns.append(f"{first}:{last}" if rng.random() < 0.5 else f"{first}:{last}:never")
        elif kind < 0.82:
            patterns.append(f"{first}:*")
        elif kind < 0.92:
            patterns.append(f"**:{last}")
        elif kind < 0.98:
            patterns.append(f"{first}:*:{last}")
        else:
            patterns.append("**")
    return patterns


def make_signal(name: str) -> Signal:
    """A signal of a name."""
    return Signal("run/0", name=name, timestamp=0, seq=0)


def bus_of(patterns: Sequence[str]) -> SignalBus:
    """A bus with these subscriptions."""
    bus = SignalBus()
    for pattern in patterns:
        bus.subscribe(pattern, handle)
    return bus


class Measured:
    """A way to deliver signals, and the CPU seconds of one signal in each round."""

    def __init__(self, name: str, deliver: Callable[[int], None], prepare: Callable[[int], None] = int) -> None:
        self.name = name
        self.deliver = deliver
        self.prepare = prepare
        self.times: list[float] = []
        self.number = 50
        while (elapsed := self.run()) < SECONDS / 4:
            self.number *= 4
        self.number = max(50, int(self.number * SECONDS / elapsed))

    def run(self) -> float:
        """CPU seconds of delivering `number` signals, which are made before."""
        self.prepare(self.number)
        started = time.process_time()
        self.deliver(self.number)
        return time.process_time() - started

    def measure(self) -> None:
        """Add one round."""
        self.times.append(self.run() / self.number)

    @property
    def median(self) -> float:
        """The middle of the rounds."""
        return statistics.median(self.times)

    def __str__(self) -> str:
        times = [1e6 * taken for taken in self.times]
        return f"{self.name:<8}{statistics.median(times):9.3f} us ({min(times):.3f} - {max(times):.3f})"


def known_names(patterns: Sequence[str]) -> list[Measured]:
    """Forty names again and again."""
    signals = [make_signal(name) for name in NAMES]
    scan, bus = Scan(patterns), bus_of(patterns)
    matching = [
        (signal, tuple(entry.handler for entry in scan.entries if entry.expression.fullmatch(signal.name)))
        for signal in signals
    ]

    def direct(number: int) -> None:
        for _ in range(number // len(matching) + 1):
            for signal, handlers in matching:
                for handler in handlers:
                    try:  # noqa: SIM105 - a context manager would cost more than what it is to hold
                        handler(signal)
                    except Exception:  # noqa: BLE001, S110 - what the bus does, without telling
                        pass

    def emitting(emit: Callable[[Signal], None]) -> Callable[[int], None]:
        def deliver(number: int) -> None:
            for _ in range(number // len(signals) + 1):
                for signal in signals:
                    emit(signal)

        return deliver

    return [Measured("direct", direct), Measured("bus", emitting(bus.emit)), Measured("scan", emitting(scan.emit))]


def new_names(patterns: Sequence[str]) -> list[Measured]:
    """Every name is new, as with ids inside of names: nothing that is remembered helps."""
    numbers = count()
    signals: list[Signal] = []

    def prepare(number: int) -> None:
        signals[:] = [
            make_signal(f"{NAMES[one % len(NAMES)]}:{one}") for one, _ in zip(numbers, range(number), strict=False)
        ]

    def emitting(emit: Callable[[Signal], None]) -> Callable[[int], None]:
        def deliver(_: int) -> None:
            for signal in signals:
                emit(signal)

        return deliver

    return [
        Measured("bus", emitting(bus_of(patterns).emit), prepare),
        Measured("scan", emitting(Scan(patterns).emit), prepare),
    ]


def changing_subscriptions(patterns: Sequence[str]) -> list[Measured]:
    """One subscription is replaced by an equal one at every tenth signal."""
    signals = [make_signal(name) for name in NAMES]
    bus, scan = SignalBus(), Scan(patterns)
    subscriptions: list[Subscription] = [bus.subscribe(pattern, handle) for pattern in patterns]
    places = count()

    def through_bus(number: int) -> None:
        for turn in range(number):
            if turn % 10 == 0:
                place = next(places) % len(subscriptions)
                subscriptions[place].cancel()
                subscriptions[place] = bus.subscribe(patterns[place], handle)
            bus.emit(signals[turn % len(signals)])

    def through_scan(number: int) -> None:
        for turn in range(number):
            if turn % 10 == 0:
                # The expression is compiled already: `re` remembers it, as the bus remembers its patterns.
                scan.entries.append(scan.entries.pop(0))
            scan.emit(signals[turn % len(signals)])

    return [Measured("bus", through_bus), Measured("scan", through_scan)]


def compare(title: str, measured: list[Measured], subscriptions: int) -> list[str]:
    """Measure, print, and return the floors that were missed."""
    for _ in range(ROUNDS):
        for one in measured:
            one.measure()
    by_name = {one.name: one for one in measured}
    bus = by_name["bus"]
    calls = sum(
        1 for name in NAMES for pattern in make_patterns(subscriptions) if Scan.translate(pattern).fullmatch(name)
    )
    print(f"{title}, {subscriptions} subscriptions ({calls / len(NAMES):.3g} calls for each of the known names)")
    for one in measured:
        print(f"  {one}")
    missed: list[str] = []
    for other in ("direct", "scan"):
        if other not in by_name:
            continue
        ratio = by_name[other].median / bus.median
        floor = FLOORS.get((title, f"bus / {other}", subscriptions))
        promised = "" if floor is None else f"   (at least {floor:g})"
        print(f"  signals a second, bus / {other}: {ratio:.2f}{promised}")
        best = min(by_name[other].times) / min(bus.times)
        if floor is not None and max(best, ratio) < floor:
            missed.append(
                f"{title}, {subscriptions} subscriptions: bus / {other} is {max(best, ratio):.2f}, not {floor:g}"
            )
    print()
    return missed


def main() -> int:
    """Measure the three ways signals come, at 1 to 1,000 subscriptions."""
    missed: list[str] = []
    for title, prepare in (
        ("known names", known_names),
        ("new names", new_names),
        ("changing subscriptions", changing_subscriptions),
    ):
        for subscriptions in (1, 10, 100, 1000):
            missed += compare(title, prepare(make_patterns(subscriptions)), subscriptions)
    for line in missed:
        print(f"Missed: {line}")
    return 1 if missed and "--check" in sys.argv[1:] else 0


if __name__ == "__main__":
    sys.exit(main())
