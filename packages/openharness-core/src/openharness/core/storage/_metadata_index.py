"""What equality filters over metadata compare, for databases that keep it in an index."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from openharness.core.values import canonical_json, decode_json, dump_json

if TYPE_CHECKING:
    from collections.abc import Iterable

    from openharness.core.values import JSONObject

__all__ = ("metadata_index", "metadata_index_text")


def metadata_index(metadata: str | bytes | None) -> list[tuple[str, str]]:
    """Return each key with a scalar value, the key and the value as canonical JSON text.

    Args:
        metadata: The metadata as JSON text; None when there is none.
    """
    if metadata is None:
        return []
    return [
        (canonical_json(key), canonical_json(item))
        for key, item in cast("JSONObject", decode_json(metadata)).items()
        if not isinstance(item, (list, dict))
    ]


def metadata_index_text(pairs: Iterable[tuple[str, str]]) -> str | None:
    """Return what a database is given that fills its index by itself: an object of each key to the text of its value.

    Args:
        pairs: What `metadata_index` returned; keys and values may have been shortened.

    Returns:
        JSON text; None where there is nothing to find.
    """
    entries = ",".join([f"{key}:{dump_json(value).decode()}" for key, value in pairs])
    return f"{{{entries}}}" if entries else None
