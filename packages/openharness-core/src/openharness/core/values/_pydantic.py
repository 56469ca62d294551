"""Pydantic models, where they are installed: known by what they carry, so that Pydantic itself is never imported.

Pydantic 2.11 or newer: before, a model with aliases cannot be read by the names of its fields.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

from openharness.core.values._canonical_text import canonical_text

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

__all__ = ("dump_model", "is_model", "load_model", "model_fields")


def is_model(cls: object) -> bool:
    """Tell whether a class is a Pydantic model or a Pydantic dataclass."""
    return isinstance(cls, type) and hasattr(cls, "__pydantic_serializer__")


def model_fields(cls: Any) -> tuple[str, ...] | None:
    """Return the names of a model's fields; None for a ``RootModel``, which is what it holds."""
    return None if getattr(cls, "__pydantic_root_model__", False) else tuple(cls.__pydantic_fields__)


def dump_model(model: Any) -> object:
    """Return the JSON form a model gives itself, by field name and with its extra fields.

    Raises:
        ValueError: The model holds a secret, which its JSON form would not, or keys that become the same text.
        Exception: Whatever the model's own serializers raise, and Pydantic for a value that is not of its field's type.
    """
    serializer: Any = model.__pydantic_serializer__
    options = {"by_alias": False, "round_trip": True, "warnings": "error"}
    # The Python form tells what the JSON form no longer does: which lists were sets, and which texts hide a secret.
    return _settled(serializer.to_python(model, **options), serializer.to_python(model, mode="json", **options))


def load_model(cls: Any, text: bytes) -> Any:
    """Return the model of a JSON text that `dump_model` gave.

    Raises:
        ValueError: The text does not fit the model (Pydantic's ``ValidationError``).
    """
    return cls.__pydantic_validator__.validate_json(text, by_name=True)


def _settled(live: object, wire: object) -> object:
    if hasattr(live, "get_secret_value"):
        message = "a secret is masked in JSON; keep it out of what is stored"
        raise ValueError(message)
    unchanged = wire
    if isinstance(wire, list):
        items = cast("Sequence[Any]", wire)
        if isinstance(live, (set, frozenset)):
            return sorted(items, key=canonical_text)
        parts = list(cast("Sequence[Any]", live)) if isinstance(live, (list, tuple)) else []
        if len(parts) == len(items):
            return [_settled(part, item) for part, item in zip(parts, items, strict=True)]
    elif isinstance(wire, dict) and isinstance(live, dict):
        entries = cast("Mapping[str, Any]", wire)
        values = list(cast("Mapping[Any, Any]", live).values())
        if len(entries) != len(values):
            message = "two of its keys become the same text"
            raise ValueError(message)
        return {key: _settled(part, item) for part, (key, item) in zip(values, entries.items(), strict=True)}
    return unchanged
