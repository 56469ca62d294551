"""What authors of stores build on: encoded rows, checksums, the message pool, and filtering in memory.

Stores that use these refuse, order and round-trip exactly as every other store does.
"""

from __future__ import annotations

from openharness.core.storage._runs import EncodedRun, decode_run, encode_run, run_order, select_runs
from openharness.core.storage._signals import (
    blob_digest,
    decode_signal,
    encode_blob,
    encode_signal,
    pool_signal,
    references,
    resolve_signal,
)
from openharness.core.values import checksum

__all__ = (
    "EncodedRun",
    "blob_digest",
    "checksum",
    "decode_run",
    "decode_signal",
    "encode_blob",
    "encode_run",
    "encode_signal",
    "pool_signal",
    "references",
    "resolve_signal",
    "run_order",
    "select_runs",
)
