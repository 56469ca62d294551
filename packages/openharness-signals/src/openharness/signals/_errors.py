"""The errors this package adds to those of the core."""

from __future__ import annotations

from openharness.core.errors import CorruptRecordError, OpenHarnessError

__all__ = ("CorruptLineError", "MissingLibraryError")


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


class MissingLibraryError(OpenHarnessError, ImportError):
    """A library that only some programs need is not installed.

    Attributes:
        library: The library.
        extra: The extra of ``openharness-signals`` that brings it.
    """

    def __init__(self, what: str, *, library: str, extra: str) -> None:
        self.library = library
        self.extra = extra
        super().__init__(
            f"{what} needs {library}, which is not installed. "
            f"Install it with: python -m pip install 'openharness-signals[{extra}]'"
        )
