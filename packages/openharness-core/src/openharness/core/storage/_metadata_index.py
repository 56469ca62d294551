"""What equality filters over metadata compare, for databases that keep it in an index."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from openharness.core.values import canonical_json, decode_json

if TYPE_CHECKING:
    from openharness.core.values import JSONObject

__all__ = ("metadata_index",)


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
