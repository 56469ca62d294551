"""What is fixed when a recording is created, and the information that is made of it."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, cast

import attrs

from openharness.core.errors import InvalidValueError, RecordingConflictError, SerializationError
from openharness.core.records import Outcome, RecordingInfo, check_id, new_id, now_ms, time_ms
from openharness.core.records._identifiers import optional_id
from openharness.core.values import decode_json, dump_json, to_json

if TYPE_CHECKING:
    from openharness.core.values import JSONObject, JSONValue

__all__ = ("RecordingHeader", "RecordingSummary", "needs_restoring", "new_header", "restored_header")

_UNINDEXABLE = re.compile("[\0\ud800-\udfff]")


@attrs.frozen(kw_only=True)
class RecordingSummary:
    """What the signals of a recording amount to.

    Attributes:
        outcome: How the run ended.
        duration_ms: How long it took in milliseconds, if that was said.
        signal_count: How many signals there are.
        blob_count: How many blobs there are.
        checkpoint_count: How many checkpoints there are.
        provider_types: The providers that took part, sorted.
    """

    outcome: Outcome = "incomplete"
    duration_ms: int | None = None
    signal_count: int = 0
    blob_count: int = 0
    checkpoint_count: int = 0
    provider_types: tuple[str, ...] = ()


@attrs.frozen(kw_only=True)
class RecordingHeader:
    """What is said about a recording when it is created.

    Attributes:
        id: As in `RecordingInfo`, and so are `run_id`, `name`, `created_at`, `tags` and `resumed_from`.
        metadata: The metadata as JSON text; None when there is none.
    """

    id: str
    run_id: str
    name: str | None
    created_at: int
    tags: tuple[str, ...] = ()
    metadata: bytes | None = None
    resumed_from: str | None = None

    def info(self, summary: RecordingSummary) -> RecordingInfo:
        """Return all there is to know about the recording without its signals, as a new object."""
        metadata = None if self.metadata is None else cast("JSONObject", decode_json(self.metadata, path="metadata"))
        return RecordingInfo(
            id=self.id,
            run_id=self.run_id,
            name=self.name,
            created_at=self.created_at,
            tags=self.tags,
            metadata=metadata,
            provider_types=summary.provider_types,
            signal_count=summary.signal_count,
            duration_ms=summary.duration_ms,
            outcome=summary.outcome,
            resumed_from=self.resumed_from,
        )


def new_header(
    *,
    run_id: str,
    name: str | None,
    tags: Iterable[str],
    metadata: Mapping[str, JSONValue] | None,
    resumed_from: str | None,
    max_bytes: int,
) -> RecordingHeader:
    """Check what a recording is created with, and give it an id and the present time.

    Raises:
        InvalidValueError: An id, the name or a tag is not valid.
        SerializationError: The metadata cannot be stored, or is too large.
    """
    return RecordingHeader(
        id=new_id("rec"),
        run_id=check_id(run_id, name="run_id"),
        name=optional_id(name, name="name"),
        created_at=now_ms(),
        tags=_checked_tags(tags),
        metadata=None if metadata is None else _encoded_metadata(metadata, max_bytes),
        resumed_from=optional_id(resumed_from, name="resumed_from"),
    )


def restored_header(info: RecordingInfo, *, max_bytes: int) -> RecordingHeader:
    """Return the header of a recording that another store has made.

    Raises:
        InvalidValueError: An id, the name, a tag or the time is not valid.
        SerializationError: The metadata cannot be stored, or is too large.
    """
    made = new_header(
        run_id=info.run_id,
        name=info.name,
        tags=info.tags,
        metadata=info.metadata,
        resumed_from=info.resumed_from,
        max_bytes=max_bytes,
    )
    recording_id = check_id(info.id, name="info.id")
    return attrs.evolve(made, id=recording_id, created_at=time_ms(info.created_at, name="info.created_at"))


def needs_restoring(known: RecordingHeader | None, header: RecordingHeader, *, store: str) -> bool:
    """Tell whether a recording is still to be made; False when there is just this one.

    Args:
        known: The header of the recording of this id, if there is one.
        header: What is to be restored, from `restored_header`.
        store: The store as it names itself, for errors.

    Raises:
        RecordingConflictError: There is another recording of this id.
    """
    if known is None:
        return True
    for field in attrs.fields(RecordingHeader):
        there, wanted = getattr(known, field.name), getattr(header, field.name)
        if there != wanted:
            reason = f"another recording has this id already (its {field.name} is {there!r}, not {wanted!r})"
            raise RecordingConflictError(header.id, seq=0, reason=reason, store=store)
    return False


def _checked_tags(tags: Iterable[str]) -> tuple[str, ...]:
    given = cast("object", tags)
    words = (
        (given,)
        if isinstance(given, str) or not isinstance(given, Iterable)
        else tuple(cast("Iterable[object]", given))
    )
    if not all(isinstance(word, str) for word in words):
        raise InvalidValueError("tags", value=tags, expected="a string or several")
    return tuple(cast("list[str]", to_json(words, path="tags")))


def _encoded_metadata(metadata: Mapping[str, JSONValue], max_bytes: int) -> bytes:
    if not isinstance(cast("object", metadata), Mapping):
        raise InvalidValueError("metadata", value=metadata, expected="a mapping of strings to JSON values, or None")
    value = to_json(metadata, path="metadata")
    _check_texts(value, "metadata")
    return dump_json(value, path="metadata", max_bytes=max_bytes)


def _check_texts(value: JSONValue, path: str) -> None:
    """As in the metadata of runs: databases index it as their own text, which holds neither NUL nor lone surrogates."""
    if isinstance(value, str):
        if _UNINDEXABLE.search(value):
            raise SerializationError(path, value=value, reason="metadata takes no NUL characters and no surrogates")
    elif isinstance(value, dict):
        for key, item in value.items():
            _check_texts(key, f"{path}[{key!r}]")
            _check_texts(item, f"{path}[{key!r}]")
    elif isinstance(value, list):
        for index, item in enumerate(value):
            _check_texts(item, f"{path}[{index}]")
