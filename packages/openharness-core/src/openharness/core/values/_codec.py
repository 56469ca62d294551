"""The one encoder of every store: a JSON value to text and back, without changing a character of it."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, cast

import msgspec

from openharness.core.errors import SerializationError
from openharness.core.values._convert import MAX_DEPTH, to_json

if TYPE_CHECKING:
    from openharness.core.values._types import JSONValue

__all__ = ("MAX_BYTES", "decode_json", "dump_json", "encode_json")

MAX_BYTES = 16 * 1024 * 1024
"""How large one encoded value may be, unless a store is told otherwise: 16 MiB."""

_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder().decode


def encode_json(value: object, *, path: str = "value", max_bytes: int = MAX_BYTES) -> bytes:
    """Check and convert ``value`` and return it as JSON text in UTF-8: compact, keys in their own order.

    Args:
        value: Anything that `to_json` accepts.
        path: What to call it in errors.
        max_bytes: The size limit.

    Raises:
        SerializationError: When `to_json` refuses it, or the text is longer than ``max_bytes``.
    """
    return dump_json(to_json(value, path=path), path=path, max_bytes=max_bytes)


def dump_json(value: JSONValue, *, path: str = "value", max_bytes: int = MAX_BYTES) -> bytes:
    """Return a value that `to_json` made as JSON text in UTF-8; like `encode_json` without the checks."""
    try:
        encoded = _encode(value)
    except UnicodeEncodeError:
        # Lone surrogates cannot stand in UTF-8; escaped they can, and model output really contains them.
        encoded = json.dumps(value, separators=(",", ":"), ensure_ascii=True, allow_nan=False).encode("ascii")
    if len(encoded) > max_bytes:
        raise SerializationError(path, value=len(encoded), reason=f"its JSON may take at most {max_bytes:,} bytes")
    return encoded


def decode_json(text: bytes | str, *, path: str = "value") -> JSONValue:
    """Return the value of a JSON text.

    Raises:
        SerializationError: When the text is not JSON, has numbers that do not fit, or is nested deeper than 200 levels.
    """
    try:
        return cast("JSONValue", _decode(text))
    except msgspec.MsgspecError:
        # The fast decoder refuses escaped lone surrogates; the standard library reads them.
        return _decode_slowly(text, path)
    except RecursionError:
        raise SerializationError(path, value="text", reason=f"it is nested deeper than {MAX_DEPTH} levels") from None


def _decode_slowly(text: bytes | str, path: str) -> JSONValue:
    def refuse(constant: str) -> JSONValue:
        raise SerializationError(path, value=constant, reason="JSON has no NaN and no infinity")

    try:
        return to_json(json.loads(text, parse_constant=refuse), path=path)
    except RecursionError:
        raise SerializationError(path, value="text", reason=f"it is nested deeper than {MAX_DEPTH} levels") from None
    except SerializationError:
        raise
    except ValueError as error:
        raise SerializationError(path, value=text[:80], reason=f"it is not JSON ({error})") from None
