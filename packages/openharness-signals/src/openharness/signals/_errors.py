"""The one error this package adds to those of the core."""

from __future__ import annotations

from openharness.core.errors import CorruptRecordError

__all__ = ("CorruptLineError",)


class CorruptLineError(CorruptRecordError):
    """One line of a recording's file is damaged, or is not what the format allows there.

    A file that merely ends too early is no error: it loads up to its last whole line.

    Attributes:
        record_id: The recording; the name of its file where the id could not be read.
        line: The number of the line, from 1.
        reason: What is wrong with it.
    """

    def __init__(self, record_id: str, *, line: int, reason: str, store: str = "") -> None:
        self.line = line
        super().__init__(record_id, reason=f"line {line}: {reason}", store=store)
