"""The errors this package adds to those of the core."""

from __future__ import annotations

from openharness.core.errors import CorruptRecordError, OpenHarnessError, StoreFullError

__all__ = ("CorruptLineError", "MissingLibraryError", "RecordingTooLargeError")


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


class RecordingTooLargeError(StoreFullError):
    """A recording is, or would become, larger than its store takes. Nothing was written, and nothing more is read.

    Attributes:
        recording_id: The recording; the name of its file where the id was not read.
        limit: The argument of the store that says how much it takes: ``"max_recording_bytes"`` or ``"max_entries"``.
        allowed: Its value.
    """

    def __init__(self, recording_id: str, *, limit: str, allowed: int, store: str = "") -> None:
        self.recording_id = recording_id
        self.limit = limit
        self.allowed = allowed
        unit = "bytes" if limit == "max_recording_bytes" else "entries"
        super().__init__(
            f"recording {recording_id!r} takes more than {allowed:,} {unit}. Nothing was written; open the store with a "
            f"larger {limit} if that is as it should be.",
            store=store,
        )
