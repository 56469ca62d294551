"""Log format v1: lines of bytes to entries and back, without I/O.

The specification is the page "Log format v1" of the documentation; this package is its only implementation. Leaves to
others where the lines are kept (`openharness.signals._file_store`) and what the entries mean (`openharness.core.log`).
"""

from __future__ import annotations

from openharness.signals._format._frame import FORMAT
from openharness.signals._format._read import (
    MAX_ENTRIES,
    MAX_RECORDING_BYTES,
    Limits,
    LogReader,
    read_footer,
    read_header,
    unknown_members,
)
from openharness.signals._format._versions import VERSION, FormatVersions, released
from openharness.signals._format._write import LineWriter, write_checkpoint, write_footer, write_header, write_recording

__all__ = (
    "FORMAT",
    "MAX_ENTRIES",
    "MAX_RECORDING_BYTES",
    "VERSION",
    "FormatVersions",
    "Limits",
    "LineWriter",
    "LogReader",
    "read_footer",
    "read_header",
    "released",
    "unknown_members",
    "write_checkpoint",
    "write_footer",
    "write_header",
    "write_recording",
)
