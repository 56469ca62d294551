"""Where a long run stands: a display in a terminal, and lines now and then where there is none."""

from __future__ import annotations

import sys
import threading
import time
from typing import TYPE_CHECKING, Any, ClassVar, Final, TextIO

import attrs

from openharness.core.errors import InvalidValueError
from openharness.signals._provider_view import fields_of, object_of
from openharness.signals._reporters._console import head_of
from openharness.signals._reporters._layout import column, fit, shown
from openharness.signals._reporters._reporter import Reporter
from openharness.signals._reporters._tally import OpenRuns, RunTally, Tallies
from openharness.signals._reporters._terminal import LiveRegion, Output
from openharness.signals._reporters._wording import counted, describe, is_problem, seconds, style_of, used

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from openharness.core.records import Signal
    from openharness.signals._reporters._terminal import Line

__all__ = ("ProgressReporter",)

_MOST_ROWS: Final = 10
_TAIL: Final = 300
_LEAST_TAIL: Final = 12
_SENDING: Final = frozenset({"provider:start", "provider:restart"})
_WHO: Final = 16
_TOLD: Final = frozenset({"harness:start", "harness:resumed", "harness:forked", "harness:end", "provider:retry"})


@attrs.define
class _Work:
    """An activation that goes on.

    Attributes:
        agent: The agent's name.
        began: When it began, in milliseconds since the epoch.
        doing: What it does.
        pieces: How many pieces of its answer have come.
        first_at: When the first of them came; None before.
        tail: The end of what it has written so far.
        tokens: What its calls before this one have written.
    """

    agent: str
    began: int
    doing: str = "waits"
    pieces: int = 0
    first_at: int | None = None
    tail: str = ""
    tokens: int = 0


class _Run:
    """A run that is shown: what was counted of it, and who is at work."""

    def __init__(self, number: int, tally: RunTally) -> None:
        self.number = number
        self.tally = tally
        self.work: dict[str, _Work] = {}
        self.told_at = tally.started_at
        # The clock of the display goes on between signals.
        self.heard_at = time.monotonic()

    def now(self) -> int:
        """The time in the run, in milliseconds since the epoch."""
        return self.tally.last_at + int((time.monotonic() - self.heard_at) * 1000)

    def apply(self, signal: Signal) -> _Work | None:
        """Take the next signal, and return the work that it ends."""
        self.tally.apply(signal)
        self.heard_at = time.monotonic()
        payload = fields_of(signal)
        if signal.name == "agent:activated":
            self.work[str(payload.get("activation"))] = _Work(str(payload.get("agent")), signal.timestamp)
        elif signal.name in {"agent:completed", "agent:error"}:
            return self.work.pop(str(payload.get("activation")), None)
        name = signal.source.activation or ""
        if signal.name in _SENDING and name not in self.work:
            # It began before the run was resumed or forked, which is where its signals begin here.
            self.work[name] = _Work(signal.source.agent or name, signal.timestamp)
        work = self.work.get(name)
        handler = self._HANDLERS.get(signal.name)
        if work is not None and handler is not None:
            handler(work, payload, signal.timestamp)
        return None

    @staticmethod
    def _sent(work: _Work, _: Mapping[str, Any], __: int) -> None:
        work.doing, work.pieces, work.first_at, work.tail = "asks", 0, None, ""

    @staticmethod
    def _thought(work: _Work, payload: Mapping[str, Any], at: int) -> None:
        work.doing = "thinks"
        work.pieces += 1
        work.first_at = work.first_at or at
        work.tail = (work.tail + str(payload.get("text")))[-_TAIL:]

    @staticmethod
    def _wrote(work: _Work, payload: Mapping[str, Any], at: int) -> None:
        # Reasoning is not part of the answer.
        work.tail = ((work.tail if work.doing == "writes" else "") + str(payload.get("text")))[-_TAIL:]
        work.doing = "writes"
        work.pieces += 1
        work.first_at = work.first_at or at

    @staticmethod
    def _tool(work: _Work, payload: Mapping[str, Any], _: int) -> None:
        work.doing, work.tail = "tool", str(payload.get("name"))

    @staticmethod
    def _answered(work: _Work, payload: Mapping[str, Any], _: int) -> None:
        tokens = object_of(object_of(payload.get("output")).get("usage")).get("output_tokens")
        work.tokens += tokens if type(tokens) is int else work.pieces
        work.doing, work.pieces = "waits", 0

    @staticmethod
    def _failed(work: _Work, _: Mapping[str, Any], __: int) -> None:
        work.doing, work.tail = "retries", ""

    _HANDLERS: ClassVar[Mapping[str, Callable[[_Work, dict[str, Any], int], None]]] = {
        "provider:start": _sent,
        "provider:restart": _sent,
        "thinking:delta": _thought,
        "text:delta": _wrote,
        "tool:call": _tool,
        "tool:start": _tool,
        "provider:end": _answered,
        "provider:error": _failed,
    }


class ProgressReporter(Reporter):
    """Shows where long runs stand: which agents are at work, at what, since when, and how fast they write.

    In a terminal that is a display below everything else that is written: a line for each run and one for each
    activation that goes on, ten at most, with the end of what it has written. It is drawn four times in a second in a
    thread of its own, however many signals come, and is gone when the runs have ended or the reporter is closed, also
    after an error. The cursor is never hidden. Write nothing else to the terminal meanwhile but whole lines by this
    reporter; what other code prints may be drawn over.

    Above it, and in any other stream alone, are lines that stay: that a run began, that an activation ended and what it
    took, what goes wrong, and how the run ended. Where there is no terminal, a line says who is at work when nothing was
    said for `interval` seconds of the run and a signal comes.

    Tokens of answers that are not complete are counted as their pieces, which is about right for most providers.

    Args:
        stream: Where to write; None: standard error.
        interval: Seconds, above 0, after which it says where there is no terminal that a run goes on.
        width: The most columns of a line, from 20 on; None: those of the terminal, and 120 elsewhere.

    Raises:
        InvalidValueError: The interval or the width is none.
        MissingLibraryError: The library `rich` is not installed: ``openharness-signals[console]`` brings it.
    """

    def __init__(self, stream: TextIO | None = None, *, interval: float = 30.0, width: int | None = None) -> None:
        if type(interval) not in {int, float} or not interval > 0:
            raise InvalidValueError("interval", value=interval, expected="seconds, above 0")
        self._interval_ms = interval * 1000
        self._output = Output(stream or sys.stderr, width=width, what=type(self).__name__)
        self._count = 0
        self._open = OpenRuns(self._begin)
        self._shown: list[_Run] = []
        # Signals come in one thread, and the display is drawn in another.
        self._lock = threading.Lock()
        self._region: LiveRegion | None = None

    def _begin(self, run_id: str, signal: Signal) -> _Run:
        self._count += 1
        run = _Run(self._count, RunTally(run_id, signal, Tallies()))
        self._shown = [*self._shown, run]
        return run

    def __call__(self, signal: Signal) -> None:
        """Take the next signal of a run."""
        with self._lock:
            left = self._open.begun_again(signal)
            run = self._open.of(signal)
            lines = list(self._lines(run, signal, run.apply(signal)))
            if signal.name == "harness:end":
                self._open.end(signal)
            self._shown = [one for one in self._shown if one is not left and (one is not run or run.tally.end is None)]
            idle = not self._shown
        # Drawing takes the lock itself.
        if lines:
            self._output.lines(lines)
        if idle:
            self._stop()
        elif self._region is None and self._output.is_live:
            self._region = self._output.region(self._display)
            self._region.start()
        elif self._region is not None and lines:
            self._region.draw()

    def close(self) -> None:
        """Take the display away."""
        with self._lock:
            self._open.leave()
            self._shown = []
        self._stop()

    def _stop(self) -> None:
        region, self._region = self._region, None
        if region is not None:
            region.stop()

    def _lines(self, run: _Run, signal: Signal, ended: _Work | None) -> Iterator[Line]:
        """What is said of a signal, and stays."""
        who = signal.source.activation or signal.source.agent or ""
        if signal.name == "agent:completed" and ended is not None:
            text = f"completed in {seconds(signal.timestamp - ended.began)}, {counted(ended.tokens, 'token')}"
            yield self._line(run, who, text, "")
        elif signal.name in _TOLD or is_problem(signal):
            details = describe(signal, run.tally)
            yield self._line(run, who, f"{signal.name}  {details}" if details else signal.name, style_of(signal))
        elif not self._output.is_live and signal.timestamp - run.told_at >= self._interval_ms:
            names = ", ".join(f"{name} {_doing(work, signal.timestamp)}" for name, work in run.work.items())
            yield self._line(run, "", f"at work: {names or 'nobody'}", "")
        else:
            return
        run.told_at = signal.timestamp

    def _line(self, run: _Run, who: str, text: str, style: str) -> Line:
        if len(self._open) > 1:
            who = f"[{run.number}] {who}"
        head = head_of(self._output, run.tally.duration_ms, who)
        cells = self._output.cells
        return [(head, "cyan"), (fit(shown(text), self._output.width - cells(head), cells), style)]

    def _display(self) -> Sequence[Line]:
        """What is drawn: called in the thread of the display."""
        with self._lock:
            # The last column stays free: some terminals begin a new line after it.
            width = self._output.width - 1
            rows = [row for run in self._shown for row in self._rows(run, width)]
            more = len(rows) - _MOST_ROWS - len(self._shown)
            if more > 0:
                rows = [*rows[:-more], [(fit(f"         and {more:,} more", width, self._output.cells), "dim")]]
            return rows

    def _rows(self, run: _Run, width: int) -> Iterator[Line]:
        cells, now = self._output.cells, run.now()
        completed = sum(tally.completed for tally in run.tally.tallies.agents.values())
        about = f"{len(run.work)} at work, {completed} completed, {used(run.tally)}"
        elapsed = seconds(max(now - run.tally.started_at, 0))
        yield [(fit(f"{elapsed:>8} {about}", width, cells), "bold")]
        for name, work in run.work.items():
            head = f"         {column(shown(name), min(_WHO, width // 5), cells)} "
            doing = fit(_doing(work, now), width - cells(head), cells)
            room = width - cells(head) - cells(doing) - 2
            line = [(head, "cyan"), (doing, "")]
            if room >= _LEAST_TAIL and work.tail:
                line.append(("  " + _end_of(shown(" ".join(work.tail.split())), room, cells), "dim"))
            yield line


def _doing(work: _Work, now: int) -> str:
    """What an activation does, since when, and how fast."""
    text = f"{work.doing}, {seconds(max(now - work.began, 0))}"
    tokens = work.tokens + work.pieces
    if tokens:
        text += f", {counted(tokens, 'token')}"
    if work.first_at is not None and work.pieces > 1 and now > work.first_at:
        text += f", {work.pieces * 1000 / (now - work.first_at):.1f}/s"
    return text


def _end_of(text: str, width: int, cells: Callable[[str], int]) -> str:
    """The end of a text, with a mark where something stands before it."""
    if cells(text) <= width:
        return text
    text = text[-width:]
    while text and cells(text) > width - 1:
        text = text[1:]
    return f"…{text}"
