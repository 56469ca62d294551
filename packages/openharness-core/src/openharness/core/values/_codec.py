"""The one encoder of every store: a JSON value to text and back, without changing a character of it."""

from __future__ import annotations

import json
import re
import sys
from typing import TYPE_CHECKING, Annotated, Any, Final, TypeAlias, cast

import msgspec

from openharness.core.errors import SerializationError
from openharness.core.values._convert import convert, is_plain
from openharness.core.values._limits import INT_MAX, INT_MIN, MAX_BYTES, MAX_DEPTH, check_limits

if TYPE_CHECKING:
    from openharness.core.values._types import JSONValue

__all__ = (
    "Shallow",
    "decode_json",
    "dump_json",
    "encode_json",
    "encode_plain",
    "guard_stack",
    "json_text",
    "may_exceed",
    "same_json",
)

_LEVELS: Final = 5
"""Each doubles what the decoder must prepare; few values are nested deeper."""


def _shallow(levels: int) -> Any:
    # Made while the program runs, which is more than type checkers follow.
    annotated, array, table = cast("Any", Annotated), cast("Any", list), cast("Any", dict)
    scalar = annotated[int, msgspec.Meta(ge=INT_MIN, le=INT_MAX)] | float | str | bool | None
    if not levels:
        return scalar
    inside = _shallow(levels - 1)
    return scalar | table[str, inside] | array[inside]


if TYPE_CHECKING:
    Shallow: TypeAlias = Any
else:
    Shallow = _shallow(_LEVELS)
"""A type for the decoder: JSON of a few levels whose integers fit. So the decoder finds while it reads what else would
have to be looked for in what it has read. What is not of this type is read, and looked through, by `decode_json`."""

_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder().decode
_decode_shallow = msgspec.json.Decoder(Shallow).decode

_SHORT = 4096
_LONG_NUMBER = b"0" * 19
_DIGITS_ALIKE = bytes(48 if 48 <= code < 58 else 32 for code in range(256))  # noqa: PLR2004 - "0" to "9" in ASCII

_CAN_CRASH = sys.version_info < (3, 12)
_GUARDED_BELOW = 5_000
_STRING = re.compile(rb'"(?:[^"\\]+|\\.)*+"', re.DOTALL)
_ROUND = bytes.maketrans(b"[]{}", b"()()")
_NO_BRACKETS = bytes(code for code in range(256) if code not in b"[]{}")


def encode_json(value: object, *, path: str = "value", max_bytes: int = MAX_BYTES) -> bytes:
    """Check and convert ``value`` and return it as JSON text in UTF-8: compact, keys in their own order.

    Args:
        value: Anything that `to_json` accepts.
        path: What to call it in errors.
        max_bytes: The size limit.

    Raises:
        SerializationError: When `to_json` refuses it, or the text is longer than ``max_bytes``.
    """
    encoded = encode_plain(value, max_bytes)
    if encoded is not None:
        return encoded
    return dump_json(convert(value, path=path, max_bytes=max_bytes), path=path, max_bytes=max_bytes)


def encode_plain(value: object, max_bytes: int) -> bytes | None:
    """Return what `encode_json` returns, for a value that is plain JSON; None for one that needs a closer look."""
    if is_plain(value, max_bytes):
        try:
            encoded = _encode(value)
        except UnicodeEncodeError:
            return None
        if len(encoded) <= max_bytes:
            return encoded
    return None


def json_text(value: JSONValue) -> str:
    """Return a value that `to_json` made as JSON text, of any size, in which no letter beyond ASCII is escaped."""
    try:
        return _encode(value).decode()
    except UnicodeEncodeError:
        # Lone surrogates stand in it as they are: only a text that is to be bytes has to escape them.
        return json.dumps(value, separators=(",", ":"), ensure_ascii=False, allow_nan=False)


def same_json(one: JSONValue, other: JSONValue) -> bool:
    """Tell whether two values that `to_json` made have the same JSON text: also the order of keys counts."""
    if one is other:
        return True
    try:
        return _encode(one) == _encode(other)
    except UnicodeEncodeError:
        return json_text(one) == json_text(other)


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
    """Return the value of a JSON text, also of one that a stranger wrote.

    Of equal keys in one object, the last counts.

    Args:
        text: The text; bytes are UTF-8.
        path: What to call the value in errors.

    Raises:
        SerializationError: When the text is not JSON, has numbers that do not fit, or is nested deeper than 200 levels.
    """
    try:
        value: JSONValue = _decode_shallow(text)
    except (msgspec.MsgspecError, UnicodeError):
        # Deeper, or with a number that does not fit, or no JSON.
        return _decode_carefully(text, path)
    return value


def _decode_carefully(text: bytes | str, path: str) -> JSONValue:
    try:
        data = text.encode("utf-8", "surrogatepass") if isinstance(text, str) else text
        if _CAN_CRASH and sys.getrecursionlimit() > _GUARDED_BELOW:
            guard_stack(data, path=path)
        value = cast("JSONValue", _decode(data))
    except (msgspec.MsgspecError, UnicodeError):
        # The fast decoder refuses lone surrogates; the standard library reads them.
        return _decode_slowly(text, path)
    except RecursionError:
        raise _too_deep(path) from None
    if may_exceed(data):
        check_limits(value, path=path)
    return value


def guard_stack(data: bytes, *, path: str) -> None:
    """Refuse a text that would exhaust the stack of a decoder which does not guard it.

    Decoders stop at Python's recursion limit; where that was raised, before Python 3.12, they crash the process instead.

    Raises:
        SerializationError: The text is nested deeper than 200 levels.
    """
    if not _CAN_CRASH or sys.getrecursionlimit() <= _GUARDED_BELOW:
        return
    if data.count(b"[") + data.count(b"{") <= MAX_DEPTH:
        return
    brackets = _STRING.sub(b"", data).translate(_ROUND, _NO_BRACKETS)
    for _ in range(MAX_DEPTH):
        # The innermost pairs of all branches at once.
        brackets = brackets.replace(b"()", b"")
        if not brackets:
            return
    if brackets.count(b"(") > 0:
        raise _too_deep(path)


def may_exceed(data: bytes) -> bool:
    """Tell whether the value of a text may be beyond the limits, so that it must be looked through.

    Looking through a value is dearer than looking at a short text, and cheaper than looking at a long one.
    """
    if len(data) > _SHORT:
        return True
    if len(data) > 2 * MAX_DEPTH and data.count(b"[") + data.count(b"{") > MAX_DEPTH:
        return True
    return _LONG_NUMBER in data.translate(_DIGITS_ALIKE)


def _decode_slowly(text: bytes | str, path: str) -> JSONValue:
    def refuse(constant: str) -> JSONValue:
        raise SerializationError(path, value=constant, reason="JSON has no NaN and no infinity", verb="read")

    try:
        # Decoded here, because the standard library would also guess at UTF-16 and UTF-32.
        value = json.loads(text if isinstance(text, str) else bytes(text).decode(), parse_constant=refuse)
    except RecursionError:
        raise _too_deep(path) from None
    except SerializationError:
        raise
    except ValueError as error:
        raise SerializationError(path, value=text, reason=f"it is not JSON ({error})", verb="read") from None
    # Deep down there may be an infinity that was written as a number (1e999), which a look at the limits does not find.
    check_limits(value, path=path)
    return convert(value, path=path, max_bytes=len(text))


def _too_deep(path: str) -> SerializationError:
    return SerializationError(path, value="text", reason=f"it is nested deeper than {MAX_DEPTH} levels", verb="read")
