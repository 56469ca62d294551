"""What the demo prints: answers while they are written, and the account of what happened."""

from __future__ import annotations

import os
import shutil
import sys
import textwrap
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from openharness.core import Signal

__all__ = ("Narrator", "Terminal")

_LABEL = 12
_INDENT = "   "


class Terminal:
    """Prints plain text, wrapped; with weight and colour where a person looks at it, and only there."""

    def __init__(self) -> None:
        # A terminal that cannot show a character of an answer must not end the demo.
        for stream in (sys.stdout, sys.stderr):
            if hasattr(stream, "reconfigure"):
                stream.reconfigure(errors="replace")
        self.live = sys.stdout.isatty() and os.environ.get("TERM") != "dumb"
        self._styled = self.live and "NO_COLOR" not in os.environ and sys.platform != "win32"
        self.width = min(shutil.get_terminal_size((100, 24)).columns, 100)

    def write(self, text: str) -> None:
        """Print text as it is, at once."""
        sys.stdout.write(text)
        sys.stdout.flush()

    def title(self, text: str) -> None:
        """Print a heading with a line above it."""
        self.write(f"\n{self.bold(text)}\n")

    def say(self, text: str) -> None:
        """Print a paragraph."""
        self.write(self._wrap(text, first=_INDENT, rest=_INDENT))

    def item(self, label: str, text: str) -> None:
        """Print a paragraph with a label on its left."""
        first = f"{_INDENT}{label:<{_LABEL}}"
        wrapped = self._wrap(text, first=first, rest=" " * len(first))
        self.write(wrapped.replace(label, self.cyan(label), 1))

    def block(self, text: str) -> None:
        """Print lines as they are, behind a bar."""
        bar = self.dim("|")
        self.write("".join(f"{_INDENT}{bar} {line}\n" for line in text.splitlines()))

    def table(self, rows: Sequence[Sequence[str]]) -> None:
        """Print rows in columns; the first one is the head."""
        widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
        for number, row in enumerate(rows):
            line = "  ".join(f"{cell:<{width}}" for cell, width in zip(row, widths, strict=True)).rstrip()
            self.write(f"{_INDENT}{self.dim(line) if number == 0 else line}\n")

    def error(self, text: str) -> None:
        """Print what went wrong, to standard error."""
        sys.stderr.write(f"\n{text}\n")

    def bold(self, text: str) -> str:
        """Return the text in bold."""
        return self._style("1", text)

    def dim(self, text: str) -> str:
        """Return the text, less bright."""
        return self._style("2", text)

    def cyan(self, text: str) -> str:
        """Return the text in the colour of labels."""
        return self._style("36", text)

    def _style(self, code: str, text: str) -> str:
        return f"\x1b[{code}m{text}\x1b[0m" if self._styled else text

    def _wrap(self, text: str, *, first: str, rest: str) -> str:
        lines = textwrap.wrap(
            text,
            self.width,
            initial_indent=first,
            subsequent_indent=rest,
            break_long_words=False,
            break_on_hyphens=False,
        )
        return "\n".join(lines or [first.rstrip()]) + "\n"


class Narrator:
    """Tells of a run while it goes on; to be subscribed to its signals.

    On a terminal an answer is shown while it is written. Of several at once, one is shown so and the others follow it
    whole. Elsewhere each answer is a paragraph, printed when it is complete.

    Args:
        terminal: Where to print.
    """

    signals = ("provider:start", "text:delta", "text:complete", "agent:skipped")

    def __init__(self, terminal: Terminal) -> None:
        self._terminal = terminal
        self._shown: str | None = None
        self._column = 0
        self._word = ""
        self._complete: list[tuple[str, str]] = []

    def __call__(self, signal: Signal) -> None:
        """Take the next signal of the run."""
        payload = signal.payload
        if signal.name == "agent:skipped":
            self._tell(payload["agent"], "(not yet: its guard waits for another answer)")
        elif not self._terminal.live:
            if signal.name == "text:complete":
                self._tell(_agent(payload["call"]), payload["text"])
        elif signal.name == "provider:start":
            self._show(payload["call"])
        elif signal.name == "text:delta" and payload["call"] == self._shown:
            self._stream(payload["text"])
        elif signal.name == "text:complete":
            self._finish(payload["call"], payload["text"])

    def _tell(self, label: str, text: str) -> None:
        if self._shown is None:
            self._terminal.item(label, " ".join(text.split()))
        else:
            self._complete.append((label, text))

    def _show(self, call: str) -> None:
        if self._shown is None:
            self._shown, self._word = call, ""
            label = _agent(call)
            self._terminal.write(f"{_INDENT}{self._terminal.cyan(label)}{' ' * (_LABEL - len(label))}")
            self._column = 0

    def _stream(self, text: str) -> None:
        # A word is printed once the next one begins, because only then is it known whether it fits into the line.
        for character in text:
            if not character.isspace():
                self._word += character
            elif self._word:
                self._print_word()

    def _print_word(self) -> None:
        room = self._terminal.width - len(_INDENT) - _LABEL
        if self._column and self._column + 1 + len(self._word) > room:
            self._terminal.write("\n" + " " * (len(_INDENT) + _LABEL))
            self._column = 0
        self._terminal.write((" " if self._column else "") + self._word)
        self._column += len(self._word) + (1 if self._column else 0)
        self._word = ""

    def _finish(self, call: str, text: str) -> None:
        if call != self._shown:
            self._tell(_agent(call), text)
            return
        if self._word:
            self._print_word()
        self._terminal.write("\n")
        self._shown = None
        for label, waiting in self._complete:
            self._tell(label, waiting)
        self._complete.clear()


def _agent(call: str) -> str:
    # A call is the activation, the turn and the attempt: "planner#1/0/0".
    return call.partition("#")[0]
