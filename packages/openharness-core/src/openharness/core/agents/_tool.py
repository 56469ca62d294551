"""Tools: functions that a model may ask for."""

from __future__ import annotations

import functools
import inspect
import math
import re
import typing
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Final, Generic, TypeVar, cast, overload

import attrs
import msgspec

from openharness.core.agents._tool_schema import parameters_schema
from openharness.core.errors import DefinitionError, InvalidValueError, SerializationError
from openharness.core.state import from_narrowed_json
from openharness.core.values import JSONObject, JSONValue

if TYPE_CHECKING:
    from collections.abc import Iterable

    from docstring_parser import Docstring

__all__ = ("Tool", "ToolContext", "collect_tools", "tool")

S = TypeVar("S")

_NAME: Final = re.compile(r"[a-zA-Z0-9_-]{1,64}")
_NAMED: Final = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)


class ToolContext(Generic[S]):
    """What a tool may know of the run it works for. A parameter that is annotated with it gets it.

    Attributes:
        run_id: The run.
        agent: The agent whose model asked for the tool.
        activation: The activation: ``"analyzer#1"``.
        tool_call: The call: ``"analyzer#1/0/2"`` is the third call of its first turn. Together with the run it names the
            call once and for all, also when an idempotent tool is run again after a crash.
    """

    __slots__ = ("_state", "activation", "agent", "run_id", "tool_call")

    def __init__(
        self, *, run_id: str, agent: str, activation: str, tool_call: str, state: Callable[[], S] | None = None
    ) -> None:
        self.run_id = run_id
        self.agent = agent
        self.activation = activation
        self.tool_call = tool_call
        self._state: Any = state

    @property
    def state(self) -> S:
        """The state as it was when the tool was started: a copy, so that changing it changes nothing."""
        return cast("S", self._state())


@attrs.frozen(kw_only=True, eq=False)
class Tool:
    """A function that a model may ask for. Made by `tool`; it can still be called as the function it is made of.

    Attributes:
        name: What the model calls it.
        description: What the model is told it does.
        parameters: The JSON Schema of its arguments.
        function: What is called. Plain functions run in a thread of their own, coroutine functions on the event loop.
        timeout: Seconds a call may take; None for any time.
        idempotent: Whether it may be run again when nobody knows whether it has run.
        needs_approval: Whether a person must agree to every call.
    """

    name: str
    description: str
    parameters: JSONObject
    function: Callable[..., Any]
    timeout: float | None = None
    idempotent: bool = False
    needs_approval: bool = False
    _types: Mapping[str, Any] = attrs.field(alias="types", repr=False)
    _required: frozenset[str] = attrs.field(alias="required", repr=False)
    _context: str | None = attrs.field(alias="context", repr=False)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Call the function."""
        return self.function(*args, **kwargs)

    @property
    def is_async(self) -> bool:
        """Whether the function is a coroutine function."""
        call: Any = getattr(type(self.function), "__call__", None)  # noqa: B004 - it may be an object with an async one
        return inspect.iscoroutinefunction(self.function) or inspect.iscoroutinefunction(call)

    def definition(self) -> JSONObject:
        """Return the tool as it stands in a request."""
        return {"name": self.name, "description": self.description, "parameters": self.parameters}

    def bind(self, arguments: JSONValue, context: ToolContext[Any]) -> dict[str, Any]:
        """Return the keyword arguments of a call, as the types the function asks for.

        Args:
            arguments: What the model sent; None counts as no arguments.
            context: Given to the parameter that asks for it.

        Raises:
            SerializationError: They are no arguments of this function.
        """
        given = {} if arguments is None else arguments
        if not isinstance(given, dict):
            raise SerializationError("arguments", value=arguments, reason="they must be an object", verb="read")
        for name in given:
            if name not in self._types:
                known = ", ".join(map(repr, self._types)) or "none"
                raise SerializationError(
                    f"arguments.{name}",
                    value=given[name],
                    reason=f"there is no such parameter (known: {known})",
                    verb="read",
                )
        for name in self._types:
            if name in self._required and name not in given:
                raise SerializationError(f"arguments.{name}", value=given, reason="it is missing", verb="read")
        bound = {
            name: from_narrowed_json(given[name], type_, path=f"arguments.{name}")
            for name, type_ in self._types.items()
            if name in given
        }
        if self._context is not None:
            bound[self._context] = context
        return bound


@overload
def tool(function: Callable[..., Any], /) -> Tool: ...


@overload
def tool(
    function: Callable[..., Any],
    /,
    *,
    name: str | None = ...,
    description: str | None = ...,
    timeout: float | None = ...,
    idempotent: bool = ...,
    needs_approval: bool = ...,
) -> Tool: ...


@overload
def tool(
    *,
    name: str | None = ...,
    description: str | None = ...,
    timeout: float | None = ...,
    idempotent: bool = ...,
    needs_approval: bool = ...,
) -> Callable[[Callable[..., Any]], Tool]: ...


def tool(
    function: Callable[..., Any] | None = None,
    /,
    *,
    name: str | None = None,
    description: str | None = None,
    timeout: float | None = None,
    idempotent: bool = False,
    needs_approval: bool = False,
) -> Tool | Callable[[Callable[..., Any]], Tool]:
    """Make a tool of a typed function: ``@tool``, ``@tool(timeout=10)`` or ``tool(function, needs_approval=True)``.

    The types of the parameters say what the model may send: the JSON types, attrs classes, dataclasses, TypedDicts,
    Pydantic models, enumerations, ``Literal``, ``X | None``, and lists and dicts of these; a ``msgspec.Meta`` in
    ``Annotated[int, msgspec.Meta(ge=1)]`` narrows what a parameter, an item or a field takes. What is sent is checked
    and turned into these types. The docstring describes the tool; its section of arguments (in the style of Google,
    NumPy or Sphinx) describes the parameters, as a text in ``Annotated[str, "The city."]`` does. A parameter annotated as
    `ToolContext` is not the model's: it tells which call this is.

    What the function returns must be a JSON value, or what `to_json` makes one of. What it raises is told to the model.

    Args:
        function: A plain function, which runs in a thread of its own, or a coroutine function.
        name: What the model calls it, 1 to 64 letters, digits, ``_`` and ``-``; by default the function's name.
        description: What the model is told it does; by default the docstring up to its sections.
        timeout: Seconds a call may take; then the model is told that it took too long. A thread cannot be stopped: what
            it does after that, it does for nothing.
        idempotent: Whether it may be run again after a crash that left unknown whether it had run.
        needs_approval: Whether each call waits for a person: for the signal ``approval:granted`` or
            ``approval:denied``.

    Raises:
        DefinitionError: No tool can be made of it: a parameter without a type, a type without a JSON Schema,
            ``*args``, a name that models do not take.
    """

    def make(function: Callable[..., Any]) -> Tool:
        return _make_tool(
            function,
            name=name,
            description=description,
            timeout=timeout,
            idempotent=idempotent,
            needs_approval=needs_approval,
        )

    return make if function is None else make(function)


def collect_tools(tools: Iterable[Tool | Callable[..., Any]]) -> tuple[Tool, ...]:
    """Return what an agent was given as tools; functions become tools.

    Raises:
        DefinitionError: No tool can be made of one of them, or two have one name.
    """
    if isinstance(tools, (str, Mapping)) or not hasattr(tools, "__iter__"):
        raise InvalidValueError("tools", value=cast("object", tools), expected="a sequence of functions and tools")
    made = tuple(item if isinstance(item, Tool) else tool(item) for item in tools)
    names = [item.name for item in made]
    for name in names:
        if names.count(name) > 1:
            raise DefinitionError(f"Two tools are called {name!r}; the model could not tell them apart.")
    return made


def _make_tool(
    function: Callable[..., Any],
    *,
    name: str | None,
    description: str | None,
    timeout: float | None,
    idempotent: bool,
    needs_approval: bool,
) -> Tool:
    given_function: object = function
    if not callable(given_function) or isinstance(given_function, type):
        raise DefinitionError(f"A tool is made of a function, got {function!r}.")
    if inspect.isgeneratorfunction(function) or inspect.isasyncgenfunction(function):
        raise DefinitionError(f"A tool returns its result at once; {function!r} is a generator.")
    given = getattr(function, "__name__", None) if name is None else name
    if not isinstance(given, str) or _NAME.fullmatch(given) is None:
        raise DefinitionError(
            f"A tool's name has 1 to 64 ASCII letters, digits, '_' and '-', got {given!r}. Give one with tool(name=...)."
        )
    if description is not None and not isinstance(description, str):  # pyright: ignore[reportUnnecessaryIsInstance]
        raise InvalidValueError("description", value=description, expected="a text")
    for option, value in (("idempotent", idempotent), ("needs_approval", needs_approval)):
        if type(value) is not bool:
            raise InvalidValueError(option, value=value, expected="True or False")
    _check_timeout(timeout)
    docstring = _docstring(function)
    types_, defaults, descriptions, context = _read_signature(given, function)
    for parameter in docstring.params:
        if parameter.description:
            descriptions.setdefault(parameter.arg_name, " ".join(parameter.description.split()))
    return Tool(
        name=str.__str__(given),
        description=(docstring.description or "").strip() if description is None else str.__str__(description),
        parameters=parameters_schema(given, types_, defaults=defaults, descriptions=descriptions),
        function=function,
        timeout=timeout,
        idempotent=idempotent,
        needs_approval=needs_approval,
        types=types_,
        required=frozenset(types_) - defaults.keys(),
        context=context,
    )


def _annotated(kind: Any, constraint: msgspec.Meta) -> Any:
    return typing.Annotated[kind, constraint]


def _check_timeout(timeout: object) -> None:
    if timeout is None or (type(timeout) in (int, float) and 0 < cast("float", timeout) < math.inf):
        return
    raise InvalidValueError("timeout", value=timeout, expected="a number of seconds greater than 0")


def _docstring(function: Callable[..., Any]) -> Docstring:
    # Imported by what needs it: agents without tools do not.
    from docstring_parser import parse

    return parse(inspect.getdoc(_written(function)) or "")


def _written(function: Callable[..., Any]) -> Callable[..., Any]:
    """Return what somebody has written: the docstring and the types of a partial are those of its function."""
    while isinstance(function, functools.partial):
        function = function.func
    return function


def _read_signature(
    name: str, function: Callable[..., Any]
) -> tuple[dict[str, Any], dict[str, Any], dict[str, str], str | None]:
    """Return the types, defaults and descriptions of the model's parameters, and which one takes the context."""
    where = f"tool {name!r}"
    try:
        signature = inspect.signature(function)
        written: Any = _written(function)
        hinted = written if inspect.isroutine(written) else type(written).__call__
        hints = typing.get_type_hints(hinted, include_extras=True)
    except (TypeError, ValueError, NameError) as error:
        raise DefinitionError(
            f"The types of {where} cannot be read: {error}. What they name must be defined, and imported when the program "
            "runs, at the top of the module."
        ) from error
    types_: dict[str, Any] = {}
    defaults: dict[str, Any] = {}
    descriptions: dict[str, str] = {}
    context: str | None = None
    for parameter in signature.parameters.values():
        if parameter.kind not in _NAMED:
            raise DefinitionError(f"The parameter {parameter.name!r} of {where} cannot be given by name: {signature}.")
        if parameter.name not in hints:
            raise DefinitionError(f"The parameter {parameter.name!r} of {where} needs a type: {signature}.")
        hint = hints[parameter.name]
        if typing.get_origin(hint) is typing.Annotated:
            said = [extra for extra in hint.__metadata__ if isinstance(extra, str)]
            if said:
                descriptions[parameter.name] = said[0]
            narrowed = [extra for extra in hint.__metadata__ if isinstance(extra, msgspec.Meta)]
            hint = functools.reduce(_annotated, narrowed, typing.get_args(hint)[0])
        if hint is ToolContext or typing.get_origin(hint) is ToolContext:
            if context is not None:
                raise DefinitionError(
                    f"{where} has two parameters for the context, {context!r} and {parameter.name!r}."
                )
            context = parameter.name
            continue
        types_[parameter.name] = hint
        if parameter.default is not inspect.Parameter.empty:
            defaults[parameter.name] = parameter.default
    return types_, defaults, descriptions, context
