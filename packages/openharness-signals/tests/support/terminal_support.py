"""Terminals, real ones of the operating system, and what is to be seen in them."""

from __future__ import annotations

import contextlib
import os
import re
import select
import struct


class Screen:
    """What a terminal shows of what was written to it: as much of one as the reporters use."""

    def __init__(self) -> None:
        self.rows = [""]
        self.row = self.column = 0
        self.cursor_shown = True

    def feed(self, text: str) -> Screen:
        """Take what was written."""
        for found in re.finditer(r"\x1b\[([?0-9;]*)([A-Za-z])|([\r\n])|([^\x1b\r\n]+)|\x1b", text):
            number, code, line_end, shown = found[1], found[2], found[3], found[4]
            if shown:
                row = self.rows[self.row].ljust(self.column)
                self.rows[self.row] = row[: self.column] + shown + row[self.column + len(shown) :]
                self.column += len(shown)
            elif line_end == "\r":
                self.column = 0
            elif line_end == "\n":
                self.row += 1
                self.rows += [""] * (self.row + 1 - len(self.rows))
            elif code == "A":
                self.row -= int(number or 1)
            elif (code, number) == ("K", "2"):
                self.rows[self.row] = ""
            elif number == "?25":
                self.cursor_shown = code == "h"
            else:
                assert code == "m", found[0]
        return self

    @property
    def text(self) -> str:
        """What is to be seen."""
        return "\n".join(row.rstrip() for row in self.rows).rstrip("\n")


class Terminal:
    """A real terminal of the operating system, as seen from the program and from the person before it."""

    def __init__(self, *, columns: int = 80, lines: int = 24) -> None:
        # Not on Windows, where the tests that need a terminal are left out.
        import fcntl
        import termios

        self._person, program = os.openpty()
        fcntl.ioctl(program, termios.TIOCSWINSZ, struct.pack("HHHH", lines, columns, 0, 0))
        os.set_blocking(self._person, False)
        self.stream = os.fdopen(program, "w", encoding="utf-8", newline="")
        self._written = ""

    def read(self) -> str:
        """All that was written to it until now."""
        with contextlib.suppress(BlockingIOError):
            while piece := os.read(self._person, 65_536):
                self._written += piece.decode()
        return self._written

    def wait(self) -> None:
        """Wait until there is something to read; a quarter of a second at most."""
        select.select([self._person], [], [], 0.25)

    def close(self) -> None:
        """Give it back."""
        self.stream.close()
        os.close(self._person)
