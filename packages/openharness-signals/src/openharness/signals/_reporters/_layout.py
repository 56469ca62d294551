"""Text laid out in lines of bounded width, with nothing in it that a terminal would obey."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from openharness.core.values import visible

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ("TextLines", "column", "fit", "shown")

_MOST_PER_CELL: Final = 8
"""A line has at most this many characters for each column: marks that take no column could go on for ever."""


def shown(text: str) -> str:
    """Return a text in one line, as it may be shown: what a terminal would obey is written out."""
    return visible(text).replace("\t", " ")


def fit(text: str, width: int, cells: Callable[[str], int]) -> str:
    """Return a text of one line, cut to a width; the mark of the cut says how many characters are left out.

    Args:
        text: The text, as `shown` gives it.
        width: The most columns it may take.
        cells: How many columns a text takes.
    """
    whole = _prefix(text, width, cells)
    if whole == len(text):
        return text
    # At least as many digits as the number that will stand there.
    room = width - len(f"… +{len(text):,}")
    if room < 1:
        return "…"[:width]
    kept = _prefix(text, room, cells)
    return f"{text[:kept]}… +{len(text) - kept:,}"


def column(text: str, width: int, cells: Callable[[str], int]) -> str:
    """Return a text of one line that takes exactly this many columns: cut, or filled up with spaces."""
    if _prefix(text, width, cells) < len(text):
        text = f"{text[: _prefix(text, width - 1, cells)]}…"
    return text + " " * (width - cells(text))


class TextLines:
    """Joins pieces of a text to lines, which are broken between words.

    Args:
        width: The most columns of a line; at least 2.
        cells: How many columns a text takes.
    """

    def __init__(self, width: int, cells: Callable[[str], int]) -> None:
        self._width = width
        self._cells = cells
        self._rest = ""
        self._return = ""

    def add(self, text: str) -> list[str]:
        """Take the next piece and return the lines that are now complete."""
        text = self._return + text
        # It may be one half of the end of a line.
        self._return = "\r" if text.endswith("\r") else ""
        *paragraphs, last = text.removesuffix("\r").replace("\r\n", "\n").split("\n")
        lines: list[str] = []
        for paragraph in paragraphs:
            lines += self._broken(paragraph)
            lines.append(self._rest.rstrip())
            self._rest = ""
        return lines + self._broken(last)

    def end(self) -> list[str]:
        """Return the last line, where there is one; what is added next begins a new one."""
        lines = self._broken(self._return)
        rest, self._rest, self._return = self._rest.rstrip(), "", ""
        return [*lines, rest] if rest else lines

    def _broken(self, text: str) -> list[str]:
        text = self._rest + shown(text)
        lines: list[str] = []
        start = 0
        while True:
            window = text[start : start + (self._width + 1) * _MOST_PER_CELL]
            end = _prefix(window, self._width, self._cells)
            if end == len(window):
                break
            # A word that is as wide as the line is broken where the line ends.
            space = window.rfind(" ", 1, end + 1)
            end = space if space > 0 else max(end, 1)
            lines.append(window[:end].rstrip())
            start += end + (window[end : end + 1] == " ")
        self._rest = text[start:]
        return lines


def _prefix(text: str, width: int, cells: Callable[[str], int]) -> int:
    """How many characters from the beginning take at most this many columns."""
    most = min(len(text), width * _MOST_PER_CELL)
    if cells(text[:most]) <= width:
        return most
    low, high = 0, most
    while low + 1 < high:
        middle = (low + high) // 2
        low, high = (middle, high) if cells(text[:middle]) <= width else (low, middle)
    # Characters that are joined to one may take fewer columns than the first of them alone.
    while low > 0 and cells(text[:low]) > width:
        low -= 1
    return low
