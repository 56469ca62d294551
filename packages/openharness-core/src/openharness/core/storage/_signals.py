"""The encoded form of signals, and the message pool: references from signals to blobs.

A request's messages and tools repeat from request to request. The log holds each once, as a `Blob`, and
``provider:start`` refers to it by digest: in its payload, every item of ``request.messages`` and ``request.tools`` that
is a string stands for the blob of that digest. Items that are objects stand for themselves. No other signal refers to
blobs, so that no payload of a user's can be taken for a reference.

A digest tells values apart as canonical JSON does, which knows neither the order of keys nor ``1`` from ``1.0``. The log
gives back exactly what was sent: of values with one digest the first becomes the blob, and others stand for themselves.

The digests alone of a conversation of N turns would still take space in proportion to N². So a list of 16 items or more
begins with ``list:`` and the digest of a blob that holds the items before: eight of them, the first of which is such a
reference again where there are more. What the requests of a conversation have in common is written once.
"""

from __future__ import annotations

import hashlib
from functools import lru_cache
from typing import TYPE_CHECKING, Annotated, Any, cast

import msgspec

from openharness.core.errors import InvalidValueError, SerializationError
from openharness.core.records import Blob
from openharness.core.records._signal import make_signal, make_source
from openharness.core.values import MAX_BYTES, canonical_json, decode_json, digest, dump_json, to_json
from openharness.core.values._codec import Shallow, guard_stack, may_exceed
from openharness.core.values._limits import check_limits

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from openharness.core.records import Signal
    from openharness.core.values import JSONObject, JSONValue

__all__ = (
    "MessagePool",
    "blob_digest",
    "decode_signal",
    "encode_blob",
    "encode_signal",
    "references",
    "resolve_signal",
)

POOLING_SIGNAL = "provider:start"
_POOLED = ("messages", "tools")
_PLAIN_MESSAGE = ["role", "content"]
_PLAIN_KEYS = frozenset(_PLAIN_MESSAGE)
_HASH_SIZE = 32
_LIST = "list:"
_LIST_ITEMS = 8
# Characters; so that what is remembered stays below a few megabytes.
_SHORT = 8_192


def encode_signal(signal: Signal, *, max_bytes: int = MAX_BYTES) -> bytes:
    """Return a signal as one JSON object; equal signals give equal bytes.

    Raises:
        SerializationError: The payload cannot be stored, or the text is too large.
        InvalidValueError: Its name or a part of its source is no text.
    """
    source = signal.source
    name = _plain_text("name", signal.name)
    path = name + ".payload"
    return dump_json(
        {
            "id": _plain_text("id", signal.id),
            "name": name,
            "seq": signal.seq,
            "timestamp": signal.timestamp,
            "agent": None if source.agent is None else _plain_text("source.agent", source.agent),
            "provider": None if source.provider is None else _plain_text("source.provider", source.provider),
            "parent": None if source.parent is None else _plain_text("source.parent", source.parent),
            "activation": None if source.activation is None else _plain_text("source.activation", source.activation),
            "payload": to_json(signal.payload, path=path),
        },
        path=path,
        max_bytes=max_bytes,
    )


def _plain_text(part: str, text: object) -> str:
    if not isinstance(text, str):
        raise InvalidValueError(f"signal.{part}", value=text, expected="a string")
    return str.__str__(text)


class _Row(msgspec.Struct):
    """What `encode_signal` writes, so that one pass reads it and checks its types and its numbers."""

    id: str
    name: str
    seq: Annotated[int, msgspec.Meta(ge=0)]
    timestamp: int
    agent: str | None
    provider: str | None
    parent: str | None
    activation: str | None
    payload: Shallow


class _AnyRow(_Row):
    """The same with a payload of any kind, which must be looked through when it was read."""

    payload: Any


_decode_row = msgspec.json.Decoder(_Row).decode
_decode_any_row = msgspec.json.Decoder(_AnyRow).decode


def decode_signal(data: bytes | str) -> Signal:
    """Return the signal that `encode_signal` wrote.

    Raises:
        SerializationError: The text is no signal.
    """
    try:
        row = _decode_row(data)
    except (msgspec.MsgspecError, UnicodeError):
        row = _decode_carefully(data)
    source = make_source(row.agent, row.provider, row.parent, row.activation)
    return make_signal(row.id, row.name, row.payload, row.timestamp, row.seq, source)


def _decode_carefully(data: bytes | str) -> _Row:
    text = data.encode("utf-8", "surrogatepass") if isinstance(data, str) else data
    guard_stack(text, path="signal")
    row: _Row
    try:
        row = _decode_any_row(text)
    except (msgspec.MsgspecError, UnicodeError, RecursionError):
        # Also for what the fast decoder refuses and JSON allows (lone surrogates).
        row = _convert_row(decode_json(data, path="signal"))
    if may_exceed(text):
        check_limits(row.payload, path=f"{row.name}.payload")
    return row


def _convert_row(value: JSONValue) -> _Row:
    try:
        return msgspec.convert(value, _AnyRow)
    except (msgspec.ValidationError, UnicodeError) as error:
        # Half a character where a number belongs is no text that the converter could look at.
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


class MessagePool:
    """What the log of one recording holds as blobs, so that each message is written once."""

    def __init__(self) -> None:
        # The exact text of every blob, by its digest (of a long one its hash); None where no blob can be relied on.
        self._texts: dict[str, bytes | None] = {}
        self._written: set[str] = set()
        self._lists: dict[tuple[JSONValue, ...], str] = {}

    def adopt(self, signals: Iterable[Signal]) -> None:
        """Learn what a log has that something else has written.

        Nobody can tell any more which of its messages it has as blobs. So blobs are written again, which changes
        nothing; and what the log has in several texts is not made a blob of.

        Args:
            signals: Its signals from the first one on, references resolved.
        """
        for signal in signals:
            for items in pooled_lists(signal):
                for item in items:
                    name, text = blob_digest(item), _exact(item)
                    if self._texts.setdefault(name, text) != text:
                        self._texts[name] = None

    def pool(self, signal: Signal) -> tuple[list[Blob], Signal]:
        """Replace what a signal repeats by references.

        Args:
            signal: The next signal of the log, with its payload whole.

        Returns:
            The blobs that must be written before it, and the signal to write.
        """
        if not pooled_lists(signal):
            return [], signal
        blobs: list[Blob] = []
        return blobs, _with_lists(signal, lambda items: self._pooled_list(items, blobs))

    def _pooled_list(self, items: list[JSONValue], blobs: list[Blob]) -> list[JSONValue]:
        pooled = [self._pooled(item, blobs) for item in items]
        # As long as there is room in a list of its own, nothing is gained.
        before = max(0, len(pooled) // _LIST_ITEMS - 1) * _LIST_ITEMS
        link: list[JSONValue] = []
        for start in range(0, before, _LIST_ITEMS):
            firsts = [*link, *pooled[start : start + _LIST_ITEMS]]
            if not all(isinstance(item, str) for item in firsts):
                # Of what stands for itself there may be several texts; of digests there is but one.
                return [*link, *pooled[start:]]
            name = self._lists.get(tuple(firsts))
            if name is None:
                name = self._lists[tuple(firsts)] = self._written_once(digest(firsts), firsts, blobs)
            link = [_LIST + name]
        return [*link, *pooled[before:]]

    def _pooled(self, item: JSONValue, blobs: list[Blob]) -> JSONValue:
        name, text = blob_digest(item), _exact(item)
        if self._texts.setdefault(name, text) != text:
            return item
        return self._written_once(name, item, blobs)

    def _written_once(self, name: str, item: JSONValue, blobs: list[Blob]) -> str:
        if name not in self._written:
            self._written.add(name)
            blobs.append(Blob(name, item))
        return name


def _exact(item: JSONValue) -> bytes:
    """Return what tells a value from all others with its digest."""
    if isinstance(item, str):
        return b""  # There is but one, and it has to be a blob: a string that stands for itself would be a reference.
    if isinstance(item, dict) and list(item) == _PLAIN_MESSAGE and all(isinstance(part, str) for part in item.values()):
        return b""  # In this order, likewise.
    text = dump_json(item)
    return text if len(text) <= _HASH_SIZE else hashlib.sha256(text).digest()


def blob_digest(item: JSONValue) -> str:
    """Return the digest that stands for a message or a tool; that of a short one is remembered.

    The same messages come again and again: a system prompt with every request of its agent, a conversation with every
    turn of it, and each of them once to compare the request and once to write it.
    """
    if isinstance(item, dict) and item.keys() == _PLAIN_KEYS:
        role, content = item["role"], item["content"]
        if isinstance(role, str) and isinstance(content, str) and len(content) < _SHORT:
            return _message_digest(role, content)
    return digest(item)


@lru_cache(maxsize=1024)
def _message_digest(role: str, content: str) -> str:
    # The canonical text of the message, written out: what does not repeat is digested once for each request.
    text = f'{{"content":{canonical_json(content)},"role":{canonical_json(role)}}}'
    return f"sha256:{hashlib.sha256(text.encode()).hexdigest()}"


def references(signal: Signal) -> list[str]:
    """Return the digests of the blobs a stored signal refers to, each once, in order.

    Not those that a blob with the first items of a long list refers to in its turn.
    """
    strings = [item for items in pooled_lists(signal) for item in items if isinstance(item, str)]
    return list(dict.fromkeys([item.removeprefix(_LIST) for item in strings]))


def resolve_signal(signal: Signal, blobs: Mapping[str, JSONValue]) -> Signal:
    """Put the blobs back in the place of the references.

    Args:
        signal: The signal as it was stored.
        blobs: The data of the blobs that the log holds, by digest.

    Raises:
        KeyError: A blob is missing; its digest is the argument.
        SerializationError: A blob that a list is to begin with is no list, or refers to itself.
    """
    if not references(signal):
        return signal
    return _with_lists(signal, lambda items: _resolve_list(items, blobs))


def _resolve_list(items: list[JSONValue], blobs: Mapping[str, JSONValue]) -> list[JSONValue]:
    parts: list[list[JSONValue]] = []
    seen: set[str] = set()
    while True:
        own = _own_items(items)
        parts.append([blobs[item] if isinstance(item, str) else item for item in own])
        if own is items:
            return parts[0] if len(parts) == 1 else [item for part in reversed(parts) for item in part]
        name = cast("str", items[0]).removeprefix(_LIST)
        before = blobs[name]
        if not isinstance(before, list) or name in seen:
            # No content holds its own digest, but digests are not computed again where a log is read.
            raise SerializationError("request", value=name, reason="it is the digest of no list of items", verb="read")
        seen.add(name)
        items = before


def _own_items(items: list[JSONValue]) -> list[JSONValue]:
    """The items without the reference to those before them, which only the first can be."""
    return items[1:] if items and isinstance(items[0], str) and items[0].startswith(_LIST) else items


def pooled_lists(signal: Signal) -> list[list[JSONValue]]:
    payload = cast("JSONValue", signal.payload)
    if signal.name != POOLING_SIGNAL or not isinstance(payload, dict):
        return []
    request = payload.get("request")
    if not isinstance(request, dict):
        return []
    return [items for key in _POOLED if isinstance(items := request.get(key), list)]


def _with_lists(signal: Signal, change: Callable[[list[JSONValue]], list[JSONValue]]) -> Signal:
    """Return a signal that has `pooled_lists` with them changed."""
    payload = cast("JSONObject", signal.payload)
    request = dict(cast("JSONObject", payload["request"]))
    for key in _POOLED:
        items = request.get(key)
        if isinstance(items, list):
            request[key] = change(items)
    changed = {**payload, "request": request}
    return make_signal(signal.id, signal.name, changed, signal.timestamp, signal.seq, signal.source)
