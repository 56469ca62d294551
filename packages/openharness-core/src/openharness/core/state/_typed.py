"""From JSON values to the objects people write, with errors in their words."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar, cast, overload

from openharness.core.errors import SerializationError

if TYPE_CHECKING:
    from openharness.core.values import JSONValue

__all__ = ("from_json", "from_narrowed_json")

T = TypeVar("T")


@overload
def from_json(value: JSONValue, type_: type[T], *, path: str = "value") -> T: ...


@overload
def from_json(value: JSONValue, type_: Any, *, path: str = "value") -> Any: ...


def from_json(value: JSONValue, type_: Any, *, path: str = "value") -> Any:
    """Return a JSON value as an object of a type, the way back from `openharness.core.to_json`.

    Nothing is guessed: text is not taken for a number, nor a number for text or a bool; keys that are no field are an
    error; and so is a value that two members of a union would read differently (``date | str``).

    Args:
        value: The JSON value; it is not changed, and the object shares no list or dict with it.
        type_: An attrs class, dataclass, TypedDict, NamedTuple, Pydantic model, or a type made of these and of what
            ``to_json`` accepts: ``list``, ``tuple``, ``set``, ``dict`` with text as keys, ``Literal``, unions, ``Any``.
        path: What to call the value in errors.

    Raises:
        SerializationError: The value does not fit the type; the error names the path of what does not.
    """
    return _read(value, type_, path, narrowed=False)


def from_narrowed_json(value: JSONValue, type_: Any, *, path: str) -> Any:
    """Return what `from_json` does, of a type whose every ``msgspec.Meta`` is checked, too.

    Raises:
        SerializationError: The value does not fit the type, or what narrows it.
    """
    return _read(value, type_, path, narrowed=True)


def _read(value: JSONValue, type_: Any, path: str, *, narrowed: bool) -> Any:
    # Imported at the first use: listing runs, or stores on their own, need no converter.
    from openharness.core.state._converter import explain, the_converter

    try:
        return the_converter(narrowed=narrowed).structure(value, type_)
    except Exception as error:  # noqa: BLE001 - types of users raise whatever they like
        # What the converter raised on its way says nothing that the error does not; what a validator raised, does.
        steps, reason, cause = explain(error)
        where, part = path, value
        for step in steps:
            where += f".{step}" if isinstance(step, str) and step.isidentifier() else f"[{step!r}]"
            part = _part(part, step)
        raise SerializationError(where, value=part, reason=reason, verb="read") from cause


def _part(value: JSONValue, step: int | str) -> JSONValue:
    """What is at a step: what did not fit, or the whole where something is missing."""
    try:
        return cast("JSONValue", cast("Any", value)[step])
    except (KeyError, IndexError, TypeError):
        return value
