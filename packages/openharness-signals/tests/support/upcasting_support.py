"""A signal whose payload changed, and versions of the format that were never released."""

from __future__ import annotations

import zlib
from typing import Any

import attrs
from signals_support import HEADER, encoded, sample_log

from openharness.core.storage import RecordingSummary
from openharness.signals._format import FormatVersions, write_recording


def add_currency(payload: Any) -> Any:
    """From orders without a currency to orders with one."""
    return payload if "currency" in payload else {**payload, "currency": "EUR"}


def one_to_two(line: dict[str, Any]) -> dict[str, Any]:
    """As if version 1 had called the member ``time`` ``at``."""
    if "at" in line:
        line["time"] = line.pop("at")
    return line


def two_to_three(line: dict[str, Any]) -> dict[str, Any]:
    """As if a signal had been called otherwise up to version 2, and headers had said no time."""
    if line.get("name") == "analysis:complete":
        line["name"] = "analysis:done"
    if "format" in line:
        line.setdefault("created_at", HEADER.created_at)
    return line


THREE = FormatVersions(3, {1: one_to_two, 2: two_to_three})


def older(data: bytes) -> bytes:
    """A file as the first version would have written it."""
    lines: list[bytes] = []
    for number, line in enumerate(data.splitlines()):
        text = line[:-18].replace(b'"time":', b'"at":')
        if number == 0:
            text = text.replace(b'"created_at":%d,' % HEADER.created_at, b"").replace(b'"version":3', b'"version":1')
        lines.append(b'%b,"crc":"%08x"}\n' % (text, zlib.crc32(text)))
    return b"".join(lines)


def written(*, finalized: bool) -> bytes:
    """The sample log in the current version."""
    entries = encoded(sample_log())
    summary = RecordingSummary(signal_count=11, blob_count=1, provider_types=("claude",))
    return write_recording(HEADER, entries, {}, attrs.evolve(summary, outcome="completed") if finalized else summary)
