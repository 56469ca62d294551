"""What is wrong with a recorded arrival: recordings come from strangers, and are data."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, cast

from openharness.core.log import _names as names

if TYPE_CHECKING:
    from openharness.core.records import Signal

__all__ = ("flaw_of",)

_NUMBER: Final = (int, float)
_CALL: Final[dict[str, Any]] = {"call": str}
_TEXT: Final[dict[str, Any]] = {"call": str, "text": str}
_USAGE: Final = ("input_tokens", "output_tokens", "cached_tokens", "cost")

_SHAPES: Final[dict[str, dict[str, Any]]] = {
    names.HARNESS_START: {"state": dict, "input": object, "seed": int, "agents": object},
    names.HARNESS_TIMEOUT: {"timeout": _NUMBER},
    names.TEXT_DELTA: _TEXT,
    names.THINKING_DELTA: _TEXT,
    names.TOOL_CALL: {"call": str, "id": str, "name": str, "arguments": object},
    names.TOOL_RESULT: {"tool_call": str},
    names.HARNESS_INTERRUPTED: {"pending": list},
    names.PROVIDER_WARNING: _CALL,
    names.PROVIDER_RETRY: _CALL,
    names.PROVIDER_END: {"call": str, "output": {"content": str}},
    names.PROVIDER_ERROR: {"call": str, "error": {"kind": str, "message": str, "retryable": bool}},
}


def flaw_of(arrival: Signal) -> str | None:
    """Return what keeps an arrival from being replayed, as a phrase; None when it is as the engine writes it."""
    if type(arrival.timestamp) is not int:
        return "its timestamp is no integer"
    shape = _SHAPES.get(arrival.name)
    if shape is None:
        return None
    if ("call" in shape or "tool_call" in shape) and arrival.source.activation is None:
        return "it belongs to no activation"
    return _misfit("payload", arrival.payload, shape) or _odd_number(arrival) or _odd_result(arrival)


def _misfit(path: str, value: object, shape: dict[str, Any]) -> str | None:
    """Return where a value lacks what the shape asks for."""
    if not isinstance(value, dict):
        return f"{path} is no object"
    fields = cast("dict[str, object]", value)
    for key, kind in shape.items():
        if key not in fields:
            return f"{path}.{key} is missing"
        if isinstance(kind, dict):
            flaw = _misfit(f"{path}.{key}", fields[key], cast("dict[str, Any]", kind))
            if flaw is not None:
                return flaw
        elif not isinstance(fields[key], kind):
            return f"{path}.{key} has the wrong type"
    return None


def _odd_result(arrival: Signal) -> str | None:
    """Return what is wrong with the outcome of a tool: it has a result, or an error of the form that is told."""
    if arrival.name != names.TOOL_RESULT:
        return None
    payload = cast("dict[str, Any]", arrival.payload)
    error: object = payload.get("error")
    if ("result" in payload) == (error is not None):
        return "payload has a result and an error, or neither"
    return None if error is None else _misfit("payload.error", error, {"kind": str, "message": str})


def _odd_number(arrival: Signal) -> str | None:
    """Return which of the figures the engine calculates with is none."""
    payload = cast("dict[str, Any]", arrival.payload)
    if arrival.name == names.PROVIDER_END:
        usage: Any = payload["output"].get("usage") or {}
        if not isinstance(usage, dict):
            return "payload.output.usage is no object"
        return _no_number("payload.output.usage", cast("dict[str, object]", usage), _USAGE)
    if arrival.name == names.PROVIDER_ERROR:
        return _no_number("payload.error", payload["error"], ("retry_after",))
    return None


def _no_number(path: str, value: dict[str, object], members: tuple[str, ...]) -> str | None:
    """Return which of some members of an object is there and no number."""
    for name in members:
        figure = value.get(name)
        if figure is not None and not isinstance(figure, _NUMBER):
            return f"{path}.{name} is no number"
    return None
