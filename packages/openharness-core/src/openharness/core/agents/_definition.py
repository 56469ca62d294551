"""An agent: what activates it, what it asks its model, and what becomes of the answer."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import Any, Final, Generic, Literal, TypeAlias, TypeVar, cast

import attrs

from openharness.core.agents._context import Context
from openharness.core.agents._examples import ExamplesLike, example_messages
from openharness.core.agents._output import Output, output_of
from openharness.core.agents._tool import Tool, collect_tools
from openharness.core.errors import DefinitionError, InvalidValueError, UnknownNameError
from openharness.core.interfaces import Provider
from openharness.core.log import RESERVED_PREFIXES, Volatile, VolatileLike, volatile_rules
from openharness.core.patterns import Pattern, PatternLike, check_name, compile_pattern
from openharness.core.templates import Template, compile_template
from openharness.core.values import JSONObject, JSONValue, to_json

__all__ = (
    "AgentDefinition",
    "Guard",
    "History",
    "OnError",
    "Prompt",
    "Reducer",
    "check_agent_name",
    "check_synchronous",
    "define_agent",
)

S = TypeVar("S")

Guard: TypeAlias = Callable[[Context[S]], bool]
"""Decides from the context, without waiting, whether an agent is activated."""

Prompt: TypeAlias = str | Callable[[Context[S]], str]
"""A template, or a function that makes the text from the context without waiting."""

Reducer: TypeAlias = Callable[..., Any]
"""Called as ``reducer(state, signal)`` or ``reducer(state, signal, context)``; changes the state in place and returns
None, or returns a new one."""

OnError: TypeAlias = Literal["fail", "continue"]
"""What a failing agent does to the run."""

History: TypeAlias = Literal["agent", "none"]
"""What an agent is told of its earlier activations: all that fits, or nothing."""

MAX_TURNS: Final = 10
HISTORY_TOKENS: Final = 8_000
TOOL_RETRIES: Final = 3
OUTPUT_RETRIES: Final = 2
NO_OPTIONS: Final[Mapping[str, JSONValue]] = MappingProxyType({})
_MAX_NAME: Final = 100
_SEED_BITS: Final = 64
_INFINITE: Final = 2**63
_OPTIONAL: Final = frozenset({"max_tokens", "temperature", "timeout"})
"""The numbers that an agent need not have."""


def check_agent_name(name: object) -> str:
    """Return ``name`` as plain text if an agent can have it: 1 to 100 characters, without white space, ``:``, ``*``, ``#`` and ``/``.

    Raises:
        DefinitionError: When it is not.
    """
    if (
        isinstance(name, str)
        and 0 < len(name) <= _MAX_NAME
        and name.isprintable()
        and not any(character in ":*#/" or character.isspace() for character in name)
    ):
        return str.__str__(name)
    raise DefinitionError(
        f"An agent's name has 1 to {_MAX_NAME} printable characters without white space, ':', '*', '#' and '/', "
        f"got {name!r}."
    )


def check_synchronous(function: object, role: str) -> None:
    """Refuse coroutine functions and generators: a step never waits, so that its order is the order of the log.

    Raises:
        DefinitionError: The function is not a plain function.
    """
    if not callable(function):
        raise DefinitionError(f"{role} must be a function, got {function!r}.")
    # An object with an asynchronous __call__ is one of these too.
    call: Any = getattr(type(function), "__call__", None)  # noqa: B004
    for unfit in (inspect.iscoroutinefunction, inspect.isasyncgenfunction, inspect.isgeneratorfunction):
        if unfit(function) or unfit(call):
            raise DefinitionError(
                f"{role} must be a plain function: steps never wait, so that a replay can repeat their order. "
                f"Got {function!r}. Do what has to wait in a provider or a tool."
            )


@attrs.frozen(kw_only=True, eq=False)
class AgentDefinition(Generic[S]):
    """An agent as it was defined. Made by `Harness.agent`.

    Attributes:
        name: The agent's name, where the definition says it (the decorator form does).
        prompt: What is sent as the user's message.
        system: What is sent as the system prompt.
        activate_on: The signals that activate the agent; one match is enough.
        emits: The signals it makes of its answer, with the payload ``{"agent": name, "output": answer}``.
        when: The guard; without one every match activates.
        updates: The state field that takes the answer.
        provider: The agent's own provider; the run's where it is None.
        model: The model's name.
        max_tokens: The most tokens the answer may have.
        temperature: Randomness from 0 on.
        stop: Texts at which the answer ends.
        seed: Makes sampling repeatable where the provider can.
        options: Further parameters of the model's API, passed on by the provider as they are.
        timeout: Seconds one attempt may take.
        retries: How often a request is sent again after an error that may pass.
        retry_delay: Seconds before the first retry, doubled for each further one; a provider's own wish goes first.
        on_error: ``"fail"``: the run fails with the agent. ``"continue"``: ``agent:error`` is all that happens.
        tools: The tools its model may ask for.
        max_turns: How many requests one activation may make; the last one's answer must ask for no tool.
        tool_retries: How many turns in a row may have calls that cannot be made before the agent fails.
        examples: Worked examples, as messages of a request in the log; they stand before the prompt.
        output: The type of the answer; None for text.
        history: ``"agent"``: requests begin with what earlier activations of the agent have said. ``"none"``: they do not.
        history_tokens: The most tokens that may take.
        output_retries: How often the model is asked again in one activation because its answer does not fit.
        volatile: Parts of its signals that do not count when a replay is compared with its recording.
    """

    name: str | None = None
    prompt: Template | Callable[[Context[S]], str]
    system: Template | Callable[[Context[S]], str] | None = None
    activate_on: tuple[Pattern, ...]
    emits: tuple[str, ...] = ()
    when: Guard[S] | None = None
    updates: str | None = None
    provider: Provider | None = None
    model: str | None = None
    max_tokens: int | None = None
    temperature: float | None = None
    stop: tuple[str, ...] = ()
    seed: int | None = None
    options: JSONObject = attrs.field(factory=dict[str, JSONValue])
    timeout: float | None = None
    retries: int = 0
    retry_delay: float = 0.5
    on_error: OnError = "fail"
    tools: tuple[Tool, ...] = ()
    max_turns: int = MAX_TURNS
    tool_retries: int = TOOL_RETRIES
    examples: tuple[JSONObject, ...] = ()
    output: Output | None = None
    output_retries: int = OUTPUT_RETRIES
    history: History = "none"
    history_tokens: int = HISTORY_TOKENS
    volatile: tuple[Volatile, ...] = ()

    def tool(self, name: str) -> Tool | None:
        """Return the tool with a name; None where there is none."""
        return next((tool for tool in self.tools if tool.name == name), None)

    def fingerprint(self) -> JSONObject:
        """Return how the agent is wired, as it is recorded with a run; its prompts and functions are not part of it."""
        return {
            "activate_on": [pattern.text for pattern in self.activate_on],
            "emits": list(self.emits),
            "updates": self.updates,
        }


def define_agent(
    *,
    fields: Sequence[str] | None,
    name: str | None,
    prompt: Prompt[S],
    system: Prompt[S] | None,
    activate_on: PatternLike | Iterable[PatternLike],
    emits: str | Iterable[str],
    when: Guard[S] | None,
    updates: str | None,
    provider: Provider | None,
    model: str | None,
    max_tokens: int | None,
    temperature: float | None,
    stop: str | Iterable[str],
    seed: int | None,
    options: Mapping[str, JSONValue],
    timeout: float | None,
    retries: int,
    retry_delay: float,
    on_error: OnError,
    tools: Iterable[Tool | Callable[..., Any]],
    max_turns: int,
    tool_retries: int,
    examples: ExamplesLike = (),
    output: Any = None,
    output_retries: int = OUTPUT_RETRIES,
    history: History = "none",
    history_tokens: int = HISTORY_TOKENS,
    volatile: VolatileLike | Iterable[VolatileLike] = (),
) -> AgentDefinition[S]:
    """Check the options of an agent and return its definition.

    ``fields`` are the fields of the state, None when they are not known; everything else is as in `AgentDefinition`.

    Raises:
        DefinitionError: An option cannot work.
    """
    patterns = _several(activate_on)
    if not patterns:
        raise DefinitionError("activate_on must name at least one signal: an agent without one never runs.")
    if when is not None:
        check_synchronous(when, "when")
    if provider is not None and not isinstance(provider, Provider):  # pyright: ignore[reportUnnecessaryIsInstance]
        raise InvalidValueError("provider", value=provider, expected="a Provider")
    if model is not None and not isinstance(model, str):  # pyright: ignore[reportUnnecessaryIsInstance]
        raise InvalidValueError("model", value=model, expected="the name of a model")
    stops = _several(stop)
    if not all(isinstance(text, str) and text for text in stops):
        raise InvalidValueError("stop", value=stop, expected="a text, or several, that are not empty")
    if seed is not None and (type(seed) is not int or seed.bit_length() >= _SEED_BITS):
        raise InvalidValueError("seed", value=seed, expected="an integer of at most 64 bits")
    numbers = _checked_numbers(
        max_tokens=max_tokens,
        temperature=temperature,
        timeout=timeout,
        retries=retries,
        retry_delay=retry_delay,
        max_turns=max_turns,
        tool_retries=tool_retries,
        output_retries=output_retries,
        history_tokens=history_tokens,
    )
    if on_error not in ("fail", "continue"):
        raise InvalidValueError("on_error", value=on_error, expected="'fail' or 'continue'")
    if history not in ("agent", "none"):
        raise InvalidValueError("history", value=history, expected="'agent' or 'none'")
    return AgentDefinition(
        name=None if name is None else check_agent_name(name),
        prompt=_prompt(prompt, fields, "prompt"),
        system=None if system is None else _prompt(system, fields, "system"),
        activate_on=tuple(compile_pattern(pattern) for pattern in patterns),
        emits=tuple(_emitted(signal) for signal in _several(emits)),
        when=when,
        updates=None if updates is None else _field(updates, fields),
        provider=provider,
        model=None if model is None else str.__str__(model),
        stop=tuple(map(str.__str__, stops)),
        seed=seed,
        options=_further_options(options),
        on_error=on_error,
        tools=collect_tools(tools),
        examples=example_messages(examples),
        output=output_of(output),
        history=history,
        volatile=volatile_rules(volatile),
        **numbers,
    )


def _several(given: Any) -> list[Any]:
    return list(given) if isinstance(given, Iterable) and not isinstance(given, str) else [given]  # pyright: ignore[reportUnknownVariableType, reportUnknownArgumentType]


def _field(name: object, fields: Sequence[str] | None) -> str:
    if not isinstance(name, str):
        raise InvalidValueError("updates", value=name, expected="the name of a field of the state")
    if fields is not None and name not in fields:
        raise UnknownNameError("state field", name=name, known=fields, where="updates")
    return str.__str__(name)


def _emitted(name: object) -> str:
    checked = check_name(name)
    if checked.split(":")[0] in RESERVED_PREFIXES:
        reserved = ", ".join(sorted(RESERVED_PREFIXES))
        raise DefinitionError(f"emits cannot name {checked!r}: the first segments {reserved} belong to the harness.")
    return checked


def _prompt(prompt: Prompt[S], fields: Sequence[str] | None, role: str) -> Template | Callable[[Context[S]], str]:
    if isinstance(prompt, str):
        return compile_template(str.__str__(prompt), fields=fields)
    check_synchronous(prompt, role)
    return prompt


def _further_options(given: Mapping[str, JSONValue]) -> JSONObject:
    if not isinstance(given, Mapping):  # pyright: ignore[reportUnnecessaryIsInstance]
        raise InvalidValueError("options", value=given, expected="a mapping of parameters of the model's API")
    try:
        return cast("JSONObject", to_json(dict(given), path="options"))
    except ValueError as error:
        raise DefinitionError(f"options must be made of JSON values: {error}") from error


def _checked_numbers(**numbers: Any) -> dict[str, Any]:
    """Return numbers as plain ones, as they stand in requests: that of an `IntEnum` or of numpy is none."""
    checked: dict[str, Any] = {}
    for name, number in numbers.items():
        whole = name not in ("temperature", "timeout", "retry_delay")
        kinds = (int,) if whole else (int, float)
        least = 1 if name in ("max_tokens", "max_turns") else 0
        if number is None and name in _OPTIONAL:
            checked[name] = None
            continue
        if isinstance(number, bool) or not isinstance(number, kinds) or not least <= number < _INFINITE:
            kind = "an integer" if whole else "a number"
            raise InvalidValueError(name, value=number, expected=f"{kind} from {least} on")
        checked[name] = to_json(number)
    return checked
