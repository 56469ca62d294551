"""Entries of a log in the form in which stores keep them: what identifies them beside the JSON text of what they carry."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, TypeAlias, cast

import attrs
import msgspec

from openharness.core.errors import InvalidValueError, SerializationError
from openharness.core.records import Signal, SignalSource
from openharness.core.records._signal import make_signal
from openharness.core.storage._signals import POOLING_SIGNAL, encode_blob, references
from openharness.core.values import decode_json, encode_json, to_json
from openharness.core.values._codec import encode_plain

if TYPE_CHECKING:
    from collections.abc import Iterable

    from openharness.core.records import LogEntry

__all__ = ("EncodedBlob", "EncodedEntry", "EncodedSignal", "encode_entries")

MAX_ENVELOPE: Final = 64 * 1024
"""How many characters the name and the source of a signal may have together."""

_LATEST: Final = 2**62


class EncodedSignal(msgspec.Struct, gc=False, eq=False):
    """A signal with its payload as JSON text. Equal signals are equal in this form, and nothing in it is shared.

    Attributes:
        seq: As in `Signal`, and so are `id`, `name`, `timestamp` and `source`.
        payload: The payload as it was appended, references to blobs included.
        references: The digests of the blobs it refers to.
    """

    seq: int
    id: str
    name: str
    timestamp: int
    source: SignalSource
    payload: bytes
    references: tuple[str, ...] = ()

    def __eq__(self, other: object) -> bool:
        """Tell whether both are the same signal; what it refers to follows from its payload."""
        if not isinstance(other, EncodedSignal):
            return NotImplemented
        return (
            self.seq == other.seq
            and self.payload == other.payload
            and self.name == other.name
            and self.id == other.id
            and self.timestamp == other.timestamp
            and self.source == other.source
        )

    def __ne__(self, other: object) -> bool:
        """Tell whether they differ; what the base class says of it is about identity."""
        return not self == other

    __hash__ = None  # type: ignore[assignment]

    @property
    def size(self) -> int:
        """How many bytes of JSON text it carries."""
        return len(self.payload)

    def decode(self) -> Signal:
        """Return the signal as a new object.

        Raises:
            SerializationError: The payload is no JSON value.
        """
        payload = decode_json(self.payload, path="payload")
        return make_signal(self.id, self.name, payload, self.timestamp, self.seq, self.source)


@attrs.define
class EncodedBlob:
    """A blob with its data as JSON text.

    Attributes:
        digest: As in `openharness.core.Blob`.
        data: The data.
    """

    digest: str
    data: bytes

    @property
    def size(self) -> int:
        """How many bytes of JSON text it carries."""
        return len(self.data)


EncodedEntry: TypeAlias = "EncodedSignal | EncodedBlob"
"""One entry of a log in its encoded form."""


def encode_entries(entries: Iterable[LogEntry], *, max_bytes: int) -> list[EncodedEntry]:
    """Return entries in the form in which they are kept.

    Args:
        entries: Signals and blobs; nothing of them is kept.
        max_bytes: How large the JSON text of one payload, or of the data of one blob, may be.

    Raises:
        SerializationError: A payload or a blob cannot be stored, or is too large.
        InvalidValueError: A field of a signal is not what its type says.
    """
    return [
        _encode_signal(entry, max_bytes)
        if isinstance(entry, Signal)
        else EncodedBlob(entry.digest, encode_blob(entry, max_bytes=max_bytes))
        for entry in entries
    ]


def _encode_signal(signal: Signal, max_bytes: int) -> EncodedSignal:
    seq, timestamp = signal.seq, signal.timestamp
    if type(seq) is not int or not 0 <= seq < _LATEST:
        raise InvalidValueError("signal.seq", value=seq, expected="an integer from 0 on")
    if type(timestamp) is not int or not -_LATEST < timestamp < _LATEST:
        raise InvalidValueError("signal.timestamp", value=timestamp, expected="milliseconds as an integer")
    identifier, name, source = signal.id, signal.name, signal.source
    agent = "" if source.agent is None else source.agent
    provider = "" if source.provider is None else source.provider
    parent = "" if source.parent is None else source.parent
    activation = "" if source.activation is None else source.activation
    envelope = (identifier, name, agent, provider, parent, activation)
    try:
        text = "".join(envelope)
    except TypeError:
        raise InvalidValueError(
            "signal", value=envelope, expected="a signal whose name and source are strings"
        ) from None
    if len(text) > MAX_ENVELOPE:
        raise SerializationError(
            "signal", value=len(text), reason=f"its name and source may have at most {MAX_ENVELOPE:,} characters"
        )
    plain = type(identifier) is type(name) is type(agent) is type(provider) is type(parent) is type(activation) is str
    if not plain or not text.isascii():
        # As in every JSON text: a text of another class is a plain one, the two halves of a character are that character.
        identifier, name, source = _normal(identifier), _normal(name), _normal_source(source)
    payload = encode_plain(signal.payload, max_bytes)
    if payload is None:
        payload = encode_json(signal.payload, path=f"{name}.payload", max_bytes=max_bytes)
    referred = tuple(references(signal)) if name == POOLING_SIGNAL else ()
    return EncodedSignal(seq, identifier, name, timestamp, source, payload, referred)


def _normal(text: str) -> str:
    return cast("str", to_json(text))


def _normal_source(source: SignalSource) -> SignalSource:
    parts = (source.agent, source.provider, source.parent, source.activation)
    return SignalSource(*(None if part is None else _normal(part) for part in parts))
