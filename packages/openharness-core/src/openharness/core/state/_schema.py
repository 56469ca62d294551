"""The type of a run's state: its fields, and the way between its objects and JSON."""

from __future__ import annotations

import typing
from typing import TYPE_CHECKING, Any, Generic, TypeVar, cast

import attrs

from openharness.core.errors import DefinitionError, PatternError, SerializationError
from openharness.core.patterns import check_name
from openharness.core.state._typed import from_json
from openharness.core.values import field_names, to_json

if TYPE_CHECKING:
    from openharness.core.values import JSONObject

__all__ = ("StateSchema",)

S = TypeVar("S")


@attrs.frozen
class StateSchema(Generic[S]):
    """What the harness knows of a state type.

    Attributes:
        kind: An attrs class, dataclass, TypedDict, Pydantic model, or ``dict``.
        fields: The names of its fields; None for ``dict``, which has those it begins with.
    """

    kind: type[S]
    fields: tuple[str, ...] | None

    @classmethod
    def of(cls, type_: type[S]) -> StateSchema[S]:
        """Return the schema of a state type.

        Raises:
            DefinitionError: The type cannot be a state, or has a field that cannot stand in a signal's name.
        """
        fields = _fields(type_)
        for field in fields or ():
            check_field(field)
        return cls(type_, fields)

    def load(self, value: JSONObject) -> S:
        """Return the object of a state; it shares nothing with the JSON value.

        Raises:
            SerializationError: The value does not fit the type.
        """
        if self.fields is None:
            return cast("S", to_json(value))
        return from_json(value, self.kind, path="state")

    def normalize(self, state: object) -> JSONObject:
        """Return the JSON value of a state as its type reads and writes it: ``1`` as ``1.0`` in a float field.

        Raises:
            SerializationError: It is no object of this type, or holds what cannot be stored or read again.
        """
        return self.dump(self.load(self.dump(state)))

    def dump(self, state: object) -> JSONObject:
        """Return the JSON value of a state; it shares nothing with the object.

        Raises:
            SerializationError: It is no object of this type, or holds what cannot be stored.
        """
        if not isinstance(state, self._class):
            raise SerializationError("state", value=state, reason=f"it must be a {self.kind.__name__}")
        value = to_json(state, path="state")
        if self.fields is None:
            for field in cast("JSONObject", value):
                check_field(field)
        return cast("JSONObject", value)

    @property
    def _class(self) -> type:
        return dict if self.fields is None or typing.is_typeddict(self.kind) else self.kind


def check_field(field: str) -> None:
    """Refuse a field whose changes could not be told by a signal.

    Raises:
        DefinitionError: The name cannot be one segment of a signal's name.
    """
    try:
        check_name(f"state:{field}:changed")
    except PatternError as error:
        raise DefinitionError(f"The state field {field!r} cannot stand in a signal's name: {error.reason}.") from None
    if ":" in field:
        raise DefinitionError(f"The state field {field!r} cannot stand in a signal's name: it has a colon.")


def _fields(type_: Any) -> tuple[str, ...] | None:
    if type_ is dict or typing.get_origin(type_) is dict:
        return None
    if isinstance(type_, type):
        if typing.is_typeddict(type_):
            return tuple(typing.get_type_hints(type_))
        names = field_names(type_)
        if names is not None:
            return names
    raise DefinitionError(
        f"The state type must be an attrs class, a dataclass, a TypedDict, a Pydantic model or dict, got {type_!r}."
    )
