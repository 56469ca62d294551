"""A request that a test expects, and how it is compared with the one that came."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Collection, Iterator, Sequence
from typing import Any, Final, TypeAlias

import attrs

from openharness.core import ProviderError, ProviderEvent, ProviderOutput, ProviderRequest, RunContext

__all__ = ("Answer", "Expectation", "Piece", "UnexpectedRequestError", "distance", "side_by_side")

Piece: TypeAlias = str | float | ProviderEvent | BaseException
"""A part of an answer: text is a `TextDelta`, a number a pause in seconds, an event itself, an exception is raised."""

Answer: TypeAlias = (
    "str | ProviderOutput | ProviderEvent | BaseException | Sequence[Piece] | Callable[[ProviderRequest], Answer]"
)
"""What one request gets: a text, a whole output, pieces in order, an exception, or a function that returns one of these."""

_Text: TypeAlias = str | re.Pattern[str] | Callable[[Any], bool]

_WIDTH: Final = 44
_CONTEXT: Final = 16


def _check_text(instance: Expectation, attribute: attrs.Attribute[Any], value: object) -> None:
    del instance
    if value is not None and not isinstance(value, (str, re.Pattern)) and not callable(value):
        raise TypeError(f"{attribute.name} must be a text, a compiled pattern or a function, got {value!r}.")


def _check_tools(instance: Expectation, attribute: attrs.Attribute[Any], value: object) -> None:
    del instance, attribute
    if isinstance(value, str):
        raise TypeError(
            f"tools must be the names of all tools that are offered, got the text {value!r}; write [{value!r}]."
        )


@attrs.frozen
class Expectation:
    """An answer, and what is known of the request that it answers. What is left out may be anything.

    ::

        Expectation("Paris.", agent="planner", message=re.compile("capital of France"), tools=["search"])

    A text must be the same, a compiled pattern must be found in it, and a function is given it and says whether it fits.

    Attributes:
        answer: The answer.
        agent: The name of the agent that asks.
        model: The model it asks for; a function is given None where the request names none.
        system: The system prompt; a function is given None where there is none.
        message: The text of the last message: the prompt, or the result of the last tool.
        tools: The names of all tools that are offered, in any order.
        when: Given the whole request, says whether it fits.
    """

    answer: Answer
    agent: str | None = attrs.field(default=None, kw_only=True)
    model: _Text | None = attrs.field(default=None, kw_only=True, validator=_check_text)
    system: _Text | None = attrs.field(default=None, kw_only=True, validator=_check_text)
    message: _Text | None = attrs.field(default=None, kw_only=True, validator=_check_text)
    tools: Collection[str] | None = attrs.field(default=None, kw_only=True, validator=_check_tools)
    when: Callable[[ProviderRequest], bool] | None = attrs.field(default=None, kw_only=True)

    def fits(self, request: ProviderRequest, context: RunContext) -> bool:
        """Tell whether this is the request.

        Args:
            request: The request that came.
            context: Whose it is.
        """
        return all(check.fits for check in checks(self, request, context))


class UnexpectedRequestError(ProviderError):
    """A `ScriptedProvider` was asked something that its script does not have. Its kind is ``"unexpected_request"``.

    Attributes:
        request: What was asked.
        context: Who asked.
        expectation: The expectation that comes nearest to it, which the message shows beside it; None if there is none.
    """

    def __init__(
        self, message: str, *, request: ProviderRequest, context: RunContext, expectation: Expectation | None
    ) -> None:
        super().__init__(message, kind="unexpected_request")
        self.request = request
        self.context = context
        self.expectation = expectation


@attrs.frozen
class Check:
    """One thing of a request, as it was expected and as it came.

    Attributes:
        name: What it is.
        expected: What was expected, as it is shown; None where anything fits.
        came: What came, as it is shown.
        fits: Whether that is the same.
    """

    name: str
    expected: str | None
    came: str
    fits: bool


def checks(expectation: Expectation | None, request: ProviderRequest, context: RunContext) -> Iterator[Check]:
    """Yield everything of a request that an expectation may speak of.

    Args:
        expectation: What was expected; None expects nothing.
        request: The request that came.
        context: Whose it is.
    """
    wanted = expectation or Expectation("")
    yield _check_of("agent", wanted.agent, context.agent)
    yield _check_of("model", wanted.model, request.model)
    yield _check_of("system", wanted.system, request.system)
    yield _check_of("message", wanted.message, request.messages[-1].content if request.messages else None)
    offered = sorted(str(tool["name"]) for tool in request.tools)
    tools = None if wanted.tools is None else sorted(wanted.tools)
    yield Check("tools", None if tools is None else _listed(tools), _listed(offered), tools is None or tools == offered)
    if wanted.when is not None:
        asked, fits = _asked(wanted.when, request)
        yield Check("when", asked, str(fits), fits)


def _check_of(name: str, wanted: _Text | None, came: Any) -> Check:
    if wanted is None:
        return Check(name, None, _cut(_written(came)), fits=True)
    if isinstance(wanted, str):
        expected, written = _written(wanted), _written(came)
        start = 0 if wanted == came else _difference(expected, written)
        return Check(name, _cut(expected, start), _cut(written, start), wanted == came)
    if isinstance(wanted, re.Pattern):
        found = isinstance(came, str) and wanted.search(came) is not None
        return Check(name, _cut(f"/{wanted.pattern}/"), _cut(_written(came)), found)
    asked, fits = _asked(wanted, came)
    return Check(name, asked, _cut(_written(came)), fits)


def _asked(function: Callable[[Any], bool], value: object) -> tuple[str, bool]:
    """Ask a function of the user's whether something fits; one that raises says no, and the table says so."""
    name = f"{getattr(function, '__name__', type(function).__name__)}()"
    try:
        return name, bool(function(value))
    except Exception as error:  # noqa: BLE001 - it may have been written for quite another request
        return f"{name} raised {type(error).__name__}", False


def side_by_side(expectation: Expectation | None, request: ProviderRequest, context: RunContext) -> str:
    """Return a table of what was expected and what came, of which the lines that differ are marked.

    Args:
        expectation: What was expected; None shows what came alone.
        request: The request that came.
        context: Whose it is.
    """
    rows = list(checks(expectation, request, context))
    if expectation is None:
        return "\n".join(f"    {row.name:<9}{row.came}" for row in rows)
    expected = [row.expected or "(anything)" for row in rows]
    width = max(len("expected"), *map(len, expected))
    lines = [f"    {'':<9}{'expected':<{width}}   came"]
    for row, shown in zip(rows, expected, strict=True):
        mark = " " if row.fits else "!"
        lines.append(f"  {mark} {row.name:<9}{shown:<{width}}   {row.came}")
    return "\n".join(lines)


def distance(expectation: Expectation, request: ProviderRequest, context: RunContext) -> tuple[int, int]:
    """Return how far a request is from an expectation: what differs, and, with a minus, what was expected and came."""
    compared = list(checks(expectation, request, context))
    return sum(not one.fits for one in compared), -sum(one.fits and one.expected is not None for one in compared)


def _written(value: Any) -> str:
    return "-" if value is None else json.dumps(value, ensure_ascii=False, default=repr)


def _listed(names: Sequence[str]) -> str:
    return ", ".join(names) or "-"


def _difference(one: str, other: str) -> int:
    """Where to begin to show two texts, so that the place where they part can be seen."""
    same = next((at for at, (a, b) in enumerate(zip(one, other, strict=False)) if a != b), min(len(one), len(other)))
    return 0 if max(len(one), len(other)) <= _WIDTH else max(0, same - _CONTEXT)


def _cut(text: str, start: int = 0) -> str:
    shown = f"…{text[start:]}" if start else text
    return shown if len(shown) <= _WIDTH else f"{shown[: _WIDTH - 1]}…"
