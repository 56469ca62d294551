"""How the demo prints its account of what happened."""

from __future__ import annotations

import os
import shutil
import sys
import textwrap
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ("Terminal",)

_INDENT = "   "


class Terminal:
    """Prints plain text, wrapped; with weight and colour where a person looks at it, and only there."""

    def __init__(self) -> None:
        # A terminal that cannot show a character of an answer must not end the demo.
        for stream in (sys.stdout, sys.stderr):
            if hasattr(stream, "reconfigure"):
                stream.reconfigure(errors="replace")
        is_watched = sys.stdout.isatty() and os.environ.get("TERM") != "dumb"
        self._styled = is_watched and "NO_COLOR" not in os.environ and sys.platform != "win32"
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
        self.write(f"{textwrap.fill(text, self.width, initial_indent=_INDENT, subsequent_indent=_INDENT)}\n")

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

    def _style(self, code: str, text: str) -> str:
        return f"\x1b[{code}m{text}\x1b[0m" if self._styled else text
