"""JSON values: what may be stored, its text, its canonical text, its digest, and where two of them differ, told line by line.

Leaves to others what the values mean: records, states and signals are built of them in the layers above.
"""

from __future__ import annotations

from openharness.core.values._canonical import canonical_json, digest
from openharness.core.values._checksum import checksum, sha256_checksum
from openharness.core.values._codec import decode_json, dump_json, encode_json, json_text, same_json
from openharness.core.values._convert import field_names, joined_pairs, to_json
from openharness.core.values._copy import copy_json
from openharness.core.values._differences import Difference, find_differences
from openharness.core.values._limits import MAX_BYTES, MAX_DEPTH, check_room
from openharness.core.values._texts import DiffLine, diff_lines, is_long_text, shown_value, text_diff, visible
from openharness.core.values._types import JSONObject, JSONValue

__all__ = (
    "MAX_BYTES",
    "MAX_DEPTH",
    "DiffLine",
    "Difference",
    "JSONObject",
    "JSONValue",
    "canonical_json",
    "check_room",
    "checksum",
    "copy_json",
    "decode_json",
    "diff_lines",
    "digest",
    "dump_json",
    "encode_json",
    "field_names",
    "find_differences",
    "is_long_text",
    "joined_pairs",
    "json_text",
    "same_json",
    "sha256_checksum",
    "shown_value",
    "text_diff",
    "to_json",
    "visible",
)
