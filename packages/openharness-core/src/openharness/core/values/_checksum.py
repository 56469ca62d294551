"""The checksums that stores keep beside a row, so that a flipped bit is an error and never an answer.

There are two: of BLAKE2b, and of SHA-256, which processors have instructions for, so that it takes half as long.
"""

from __future__ import annotations

from hashlib import blake2b, sha256
from typing import TYPE_CHECKING, Final, Protocol, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Sequence

    _Field: TypeAlias = str | bytes | int | None

__all__ = ("Digest", "checksum", "sha256_checksum", "shown_sha256")

_LONG: Final = 8_192
_SIZE: Final = 16


class Digest(Protocol):
    """A digest in the making."""

    def update(self, data: bytes, /) -> None: ...

    def hexdigest(self) -> str: ...


def checksum(*fields: str | bytes | int | None) -> str:
    """Return 32 hexadecimal digits over the fields in order.

    The algorithm, for whoever checks a database by hand: BLAKE2b with a 16 byte digest over the fields, each preceded
    by its kind and length (``s5:`` text, ``b5:`` bytes, ``i2:`` a decimal integer, ``n0:`` null), text as UTF-8.

    Args:
        *fields: The columns of a row, always in the same order.
    """
    text = _joined(fields)
    if text is not None:
        return blake2b(text, digest_size=_SIZE).hexdigest()
    return _piece_by_piece(fields, blake2b(digest_size=_SIZE)).hexdigest()


def sha256_checksum(*fields: str | bytes | int | None) -> str:
    """Return ``s`` and the first 32 hexadecimal digits of SHA-256 over the fields, put together as for `checksum`.

    Args:
        *fields: The columns of a row, always in the same order.
    """
    text = _joined(fields)
    state: Digest = _piece_by_piece(fields, sha256()) if text is None else sha256(text)
    return shown_sha256(state)


def shown_sha256(state: Digest) -> str:
    """Return ``s`` and the first 32 hexadecimal digits of a digest: what `sha256_checksum` makes of it."""
    return f"s{state.hexdigest()[: 2 * _SIZE]}"


def _joined(fields: Sequence[_Field]) -> bytes | None:
    """All fields as one text, as a call for each piece would cost more than the digest.

    None for what has to be looked at more closely: bytes, text beyond ASCII, and what is too long to be copied.
    """
    text = ""
    for field in fields:
        if field is None:
            text += "n0:"
        elif type(field) is str:
            if len(field) > _LONG:
                return None
            text += f"s{len(field)}:{field}"
        elif type(field) is int:
            digits = str(field)
            text += f"i{len(digits)}:{digits}"
        else:
            return None
    return text.encode("ascii") if text.isascii() else None


def _piece_by_piece(fields: Sequence[_Field], state: Digest) -> Digest:
    """The same for fields that `_joined` leaves out."""
    for field in fields:
        if field is None:
            state.update(b"n0:")
            continue
        kind, data = b"i", b""
        if isinstance(field, str):
            kind, data = b"s", field.encode("utf-8", "surrogatepass")
        elif isinstance(field, bytes):
            kind, data = b"b", field
        else:
            data = b"%d" % field
        state.update(b"%b%d:" % (kind, len(data)))
        state.update(data)
    return state
