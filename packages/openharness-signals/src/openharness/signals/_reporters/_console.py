"""A run as lines for people, while it goes on."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Final, TextIO

from openharness.core.errors import InvalidValueError
from openharness.core.storage import name_filter
from openharness.signals._provider_view import fields_of
from openharness.signals._reporters._layout import TextLines, column, fit, shown
from openharness.signals._reporters._reporter import Reporter
from openharness.signals._reporters._tally import OpenRuns, RunTally, Tallies
from openharness.signals._reporters._terminal import Output
from openharness.signals._reporters._wording import LEVELS, describe, rank_of, style_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from openharness.core.patterns import PatternLike
    from openharness.core.records import Signal
    from openharness.signals._reporters._terminal import Line
    from openharness.signals._reporters._wording import Level

__all__ = ("ConsoleReporter", "head_of")

_WHO: Final = 16
_LONG_MS: Final = 10_000_000
_STREAMS: Final = {"text:delta": "| ", "thinking:delta": "~ "}
"""What is joined to lines, and the mark of each."""
_CLOSING: Final = frozenset({"provider:end", "provider:error", "provider:restart"})


class _Run:
    """A run that is shown: what was counted of it, and the texts that are just being written."""

    def __init__(self, number: int, tally: RunTally) -> None:
        self.number = number
        self.tally = tally
        self.texts: dict[tuple[str, str], TextLines] = {}
        self.streamed: set[tuple[str, str]] = set()


class ConsoleReporter(Reporter):
    r"""Shows runs in lines: when, who, what. Answers are shown as they are written, whole lines at a time.

    No line is wider than the width; what is cut off is counted (``… +1,234`` characters). Of what models write, nothing
    reaches a terminal that it would obey: control characters and the like are written out (``\\x1b``). Colours are for
    terminals, and only where ``NO_COLOR`` is not set.

    ========== =========================================================================================
    level      shows
    ========== =========================================================================================
    quiet      how runs end, and what goes wrong: errors, limits, timeouts
    normal     also how they begin, answers, tool calls, retries and warnings, and your own signals
    verbose    also agents, requests, reasoning and changes of the state
    debug      every signal, each piece of an answer in a line of its own, with its payload
    ========== =========================================================================================

    Answers and reasoning follow the names ``text:delta`` and ``thinking:delta``.

    Args:
        stream: Where to write; None: standard error.
        level: How much to show.
        include: Patterns of signals to show whatever the level.
        exclude: Patterns of signals not to show; they win.
        width: The most columns of a line, from 20 on; None: those of the terminal, and 120 elsewhere.

    Raises:
        InvalidValueError: The level or the width is none.
        PatternError: A pattern is not well formed.
        MissingLibraryError: The library `rich` is not installed: ``openharness-signals[console]`` brings it.
    """

    def __init__(
        self,
        stream: TextIO | None = None,
        *,
        level: Level = "normal",
        include: PatternLike | Sequence[PatternLike] = (),
        exclude: PatternLike | Sequence[PatternLike] = (),
        width: int | None = None,
    ) -> None:
        if level not in LEVELS:
            raise InvalidValueError("level", value=level, expected="'quiet', 'normal', 'verbose' or 'debug'")
        self._rank = LEVELS.index(level)
        self._joins = level != "debug"
        self._includes = _matcher(include)
        self._excludes = _matcher(exclude)
        self._output = Output(stream or sys.stderr, width=width, what=type(self).__name__)
        self._count = 0
        self._open = OpenRuns(self._begin)

    def _begin(self, run_id: str, signal: Signal) -> _Run:
        self._count += 1
        return _Run(self._count, RunTally(run_id, signal, Tallies()))

    def __call__(self, signal: Signal) -> None:
        """Show the next signal of a run, if it is one that is shown."""
        self._open.begun_again(signal)
        run = self._open.of(signal)
        run.tally.apply(signal)
        lines = list(self._lines(run, signal))
        if signal.name == "harness:end":
            self._open.end(signal)
        self._output.lines(lines)

    def close(self) -> None:
        """Show what is left of answers that did not end."""
        for run in self._open.leave():
            self._output.lines(self._rest(run))

    def _wants(self, name: str) -> bool:
        return (rank_of(name) <= self._rank or self._includes(name)) and not self._excludes(name)

    def _lines(self, run: _Run, signal: Signal) -> Iterator[Line]:
        call = str(fields_of(signal).get("call"))
        if signal.name in _STREAMS and self._joins:
            text = fields_of(signal).get("text")
            if isinstance(text, str) and self._wants(signal.name):
                yield from self._written(run, call, signal.name, text)
            return
        if signal.name == "provider:end" and self._joins:
            yield from self._whole(run, call)
        if signal.name in _CLOSING:
            yield from self._rest(run, call)
            run.streamed -= {(call, name) for name in _STREAMS}
        elif signal.name == "tool:call":
            yield from self._rest(run, call)
        elif signal.name == "harness:end":
            yield from self._rest(run)
        if self._wants(signal.name):
            yield self._line(run, signal)

    def _whole(self, run: _Run, call: str) -> Iterator[Line]:
        """What came with the end of a call and not in pieces before."""
        view = run.tally.providers.views.get(call)
        for name, text in (("thinking:delta", view.thinking), ("text:delta", view.text)) if view else ():
            if text and (call, name) not in run.streamed and self._wants(name):
                yield from self._written(run, call, name, text)

    def _written(self, run: _Run, call: str, name: str, text: str) -> Iterator[Line]:
        """The lines that a piece of an answer completes."""
        if (call, name) not in run.texts:
            # Reasoning and answer do not share a line.
            yield from self._rest(run, call)
            run.streamed.add((call, name))
            room = self._output.width - self._output.cells(self._head(run, call)) - len(_STREAMS[name])
            run.texts[call, name] = TextLines(room, self._output.cells)
        for line in run.texts[call, name].add(text):
            yield self._text_line(run, call, name, line)

    def _rest(self, run: _Run, call: str | None = None) -> Iterator[Line]:
        """The last lines of answers: of one call, or of all."""
        for key in [key for key in run.texts if call in {None, key[0]}]:
            for line in run.texts.pop(key).end():
                yield self._text_line(run, *key, line)

    def _text_line(self, run: _Run, call: str, name: str, text: str) -> Line:
        return [(self._head(run, call), "cyan"), (_STREAMS[name], "dim"), (text, "dim" if name != "text:delta" else "")]

    def _line(self, run: _Run, signal: Signal) -> Line:
        cells = self._output.cells
        head = self._head(run, signal.source.activation or signal.source.agent or "")
        room = self._output.width - cells(head)
        name = fit(shown(signal.name), room, cells)
        details = shown(describe(signal, run.tally))
        room -= cells(name) + 2
        style = style_of(signal)
        line = [(head, "cyan"), (name, style or "bold")]
        return [*line, ("  " + fit(details, room, cells), style)] if details and room > 0 else line

    def _head(self, run: _Run, who: str) -> str:
        """The columns that every line begins with: the time since the run began, and who it is about."""
        # The turn and the attempt of a call are of no interest here.
        who = who.rsplit("/", 2)[0]
        if len(self._open) > 1:
            who = f"[{run.number}] {who}"
        return head_of(self._output, run.tally.duration_ms, who)


def head_of(output: Output, elapsed_ms: int, who: str) -> str:
    """Return the columns that a line begins with.

    Args:
        output: Where it is written.
        elapsed_ms: The time since the run began.
        who: Whom the line is about.
    """
    time = f"{elapsed_ms / 1000:.3f}" if abs(elapsed_ms) < _LONG_MS else f"{elapsed_ms // 1000} s"
    columns = min(_WHO, output.width // 5)
    return f"{time[:8]:>8} {column(shown(who), columns, output.cells)} "


def _matcher(patterns: PatternLike | Sequence[PatternLike]) -> Callable[[str], bool]:
    # Without patterns, the filter lets everything through.
    return name_filter(patterns) if patterns or isinstance(patterns, str) else lambda _: False
