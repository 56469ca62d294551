"""The encoded form of signals, and the message pool: references from signals to blobs.

A request's messages and tools repeat from request to request. The log holds each once, as a `Blob`, and
``provider:start`` refers to it by digest: in its payload, every item of ``request.messages`` and ``request.tools`` that
is a string stands for the blob of that digest. Items that are objects stand for themselves. No other signal refers to
blobs, so that no payload of a user's can be taken for a reference.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Annotated, Any, cast

import attrs
import msgspec

from openharness.core.errors import SerializationError
from openharness.core.records import Blob, Signal, SignalSource
from openharness.core.values import MAX_BYTES, decode_json, digest, dump_json, to_json
from openharness.core.values._codec import guard_stack, may_exceed
from openharness.core.values._limits import check_limits

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from openharness.core.values import JSONObject, JSONValue

__all__ = (
    "blob_digest",
    "decode_signal",
    "encode_blob",
    "encode_signal",
    "pool_signal",
    "references",
    "resolve_signal",
)

POOLING_SIGNAL = "provider:start"
_POOLED = ("messages", "tools")
_PLAIN_MESSAGE = frozenset({"role", "content"})
# Characters; so that what is remembered stays below a few megabytes.
_SHORT = 8_192


def encode_signal(signal: Signal, *, max_bytes: int = MAX_BYTES) -> bytes:
    """Return a signal as one JSON object; equal signals give equal bytes.

    Raises:
        SerializationError: The payload cannot be stored, or the text is too large.
    """
    source = signal.source
    path = signal.name + ".payload"
    return dump_json(
        {
            "id": signal.id,
            "name": signal.name,
            "seq": signal.seq,
            "timestamp": signal.timestamp,
            "agent": source.agent,
            "provider": source.provider,
            "parent": source.parent,
            "activation": source.activation,
            "payload": to_json(signal.payload, path=path),
        },
        path=path,
        max_bytes=max_bytes,
    )


class _Row(msgspec.Struct):
    """What `encode_signal` writes, so that one pass reads it and checks its types."""

    id: str
    name: str
    seq: Annotated[int, msgspec.Meta(ge=0)]
    timestamp: int
    agent: str | None
    provider: str | None
    parent: str | None
    activation: str | None
    payload: Any


_decode_row = msgspec.json.Decoder(_Row).decode


def decode_signal(data: bytes | str) -> Signal:
    """Return the signal that `encode_signal` wrote.

    Raises:
        SerializationError: The text is no signal.
    """
    text = data.encode("utf-8", "surrogatepass") if isinstance(data, str) else data
    guard_stack(text, path="signal")
    try:
        row = _decode_row(text)
    except (msgspec.MsgspecError, UnicodeError, RecursionError):
        # Also for what the fast decoder refuses and JSON allows (lone surrogates).
        row = _convert_row(decode_json(data, path="signal"))
    if may_exceed(text):
        check_limits(row.payload, path=f"{row.name}.payload")
    source = SignalSource(row.agent, row.provider, row.parent, row.activation)
    return Signal(row.id, name=row.name, payload=row.payload, timestamp=row.timestamp, seq=row.seq, source=source)


def _convert_row(value: JSONValue) -> _Row:
    try:
        return msgspec.convert(value, _Row)
    except msgspec.ValidationError as error:
        raise SerializationError("signal", value=value, reason=f"it is no signal ({error})", verb="read") from None


def encode_blob(blob: Blob, *, max_bytes: int = MAX_BYTES) -> bytes:
    """Return the data of a blob as JSON text.

    Raises:
        SerializationError: The data cannot be stored, is too large, or does not have the blob's digest.
    """
    value = to_json(blob.data, path="blob.data")
    if digest(value) != blob.digest:
        raise SerializationError("blob.digest", value=blob.digest, reason="it must be the digest of the blob's data")
    return dump_json(value, path="blob.data", max_bytes=max_bytes)


def pool_signal(signal: Signal, known: Callable[[str], bool]) -> tuple[list[Blob], Signal]:
    """Replace what a signal repeats by references.

    Args:
        signal: A signal with its payload whole.
        known: Tells whether the log holds the blob of a digest already.

    Returns:
        The blobs that must be written before it, and the signal to write.
    """
    if not _pooled_lists(signal):
        return [], signal
    payload = cast("JSONObject", signal.payload)
    request = dict(cast("JSONObject", payload["request"]))
    blobs: dict[str, Blob] = {}
    for key in _POOLED:
        items = request.get(key)
        if isinstance(items, list):
            request[key] = [_pool(item, known, blobs) for item in items]
    return list(blobs.values()), attrs.evolve(signal, payload={**payload, "request": request})


def blob_digest(item: JSONValue) -> str:
    """Return the digest that stands for a message or a tool; that of a short message is remembered.

    The same messages come again and again: a system prompt with every request of its agent, a conversation with every
    turn of it, and each of them once to compare the request and once to write it.
    """
    if isinstance(item, dict) and item.keys() == _PLAIN_MESSAGE:
        role, content = item["role"], item["content"]
        if isinstance(role, str) and isinstance(content, str) and len(content) < _SHORT:
            return _message_digest(role, content)
    return digest(item)


@lru_cache(maxsize=1024)
def _message_digest(role: str, content: str) -> str:
    return digest({"role": role, "content": content})


def _pool(item: JSONValue, known: Callable[[str], bool], blobs: dict[str, Blob]) -> JSONValue:
    name = blob_digest(item)
    if name not in blobs and not known(name):
        blobs[name] = Blob(name, item)
    return name


def references(signal: Signal) -> list[str]:
    """Return the digests of the blobs a stored signal refers to, each once, in order."""
    if signal.name != POOLING_SIGNAL:
        return []
    return list(dict.fromkeys(item for items in _pooled_lists(signal) for item in items if isinstance(item, str)))


def resolve_signal(signal: Signal, blobs: Mapping[str, JSONValue]) -> Signal:
    """Put the blobs back in the place of the references.

    Args:
        signal: The signal as it was stored.
        blobs: The data by digest; it must hold all `references` of the signal.

    Raises:
        KeyError: A blob is missing.
    """
    if not references(signal):
        return signal
    payload = cast("JSONObject", signal.payload)
    request = dict(cast("JSONObject", payload["request"]))
    for key in _POOLED:
        items = request.get(key)
        if isinstance(items, list):
            request[key] = [blobs[item] if isinstance(item, str) else item for item in items]
    return attrs.evolve(signal, payload={**payload, "request": request})


def _pooled_lists(signal: Signal) -> list[list[JSONValue]]:
    payload = cast("JSONValue", signal.payload)
    if signal.name != POOLING_SIGNAL or not isinstance(payload, dict):
        return []
    request = payload.get("request")
    if not isinstance(request, dict):
        return []
    lists = (request.get(key) for key in _POOLED)
    return [items for items in lists if isinstance(items, list)]
