"""Which answer of a script belongs to a request."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Final, TypeAlias, cast

import attrs

from openharness.core import ProviderRequest
from openharness.testing._scripted._expectation import (
    Answer,
    Expectation,
    UnexpectedRequestError,
    distance,
    side_by_side,
)

if TYPE_CHECKING:
    from openharness.core import RunContext

__all__ = ("Entry", "Script", "Scripts")

Entry: TypeAlias = "Answer | Expectation"
"""A line of a script: an answer for whatever request comes, or an `Expectation`."""

_Lines: TypeAlias = "Iterable[Entry] | Callable[[ProviderRequest], Answer]"

Script: TypeAlias = "_Lines | Mapping[str, _Lines]"
"""The answers in the order of the requests, one function for all, or either of these for each agent by its name."""

_MOST_SHOWN: Final = 10


class Scripts:
    """What is left of a script, which has one part for everybody or one for each agent.

    Args:
        script: The script.

    Raises:
        TypeError: It, or a part of it, is a text.
    """

    def __init__(self, script: Script) -> None:
        self._begun = 0
        self._by_name = isinstance(script, Mapping)
        parts = cast("Mapping[str, _Lines]", script if self._by_name else {"": script})
        self._parts = {name: _part(name, lines) for name, lines in parts.items()}

    @property
    def written(self) -> int:
        """How many answers there are, without those of functions."""
        return sum(len(part.entries) for part in self._parts.values())

    @property
    def unused(self) -> list[tuple[str, Entry]]:
        """The answers that no request has got yet, each with whom it is for."""
        return [
            (f"{name} {number}".strip(), part.entries[number - 1])
            for name, part in self._parts.items()
            for number in range(part.used + 1, len(part.entries) + 1)
        ]

    @property
    def is_endless(self) -> bool:
        """Whether one function answers everybody."""
        return not self._by_name and self._parts[""].always is not None

    def told(self) -> str:
        """Return what is left, a line for each answer."""
        unused = self.unused
        lines = [f"  {place}: {entry!r}" for place, entry in unused[:_MOST_SHOWN]]
        if len(unused) > _MOST_SHOWN:
            lines.append(f"  … and {len(unused) - _MOST_SHOWN} more")
        return "\n".join(lines)

    def take(self, request: ProviderRequest, context: RunContext) -> Answer:
        """Return the answer to a request.

        Raises:
            UnexpectedRequestError: The script has none, or expects another request.
        """
        self._begun += 1
        name = next((one for one in (context.activation, context.agent) if one in self._parts), "")
        part = self._parts.get(name)
        if part is None:
            names = ", ".join(map(repr, self._parts)) or "nobody"
            raise self._unexpected(f"The script has answers for {names}, and none for this", request, context)
        if part.always is not None:
            return part.always
        if part.used == len(part.entries):
            whom = f" for {name!r}" if name else ""
            number = part.used + 1 if name else self._begun
            said = f"The script has {part.used} answers{whom}, and this is request {number}"
            raise self._unexpected(said, request, context)
        entry = part.entries[part.used]
        if isinstance(entry, Expectation) and not entry.fits(request, context):
            place = f"{name} {part.used + 1}".strip()
            said = f"Answer {place} of the script is for another request than this"
            raise self._unexpected(said, request, context, nearest=entry)
        part.used += 1
        return entry.answer if isinstance(entry, Expectation) else entry

    def _unexpected(
        self, said: str, request: ProviderRequest, context: RunContext, *, nearest: Expectation | None = None
    ) -> UnexpectedRequestError:
        lines = [f"{said} ({context.call}):"]
        left = [(place, entry) for place, entry in self.unused if isinstance(entry, Expectation)]
        fitting = next((place for place, entry in left if entry.fits(request, context)), None)
        if nearest is None:
            pool = [entry for _, entry in left] or [
                entry for part in self._parts.values() for entry in part.entries if isinstance(entry, Expectation)
            ]
            # The first of those that are equally near.
            nearest = min(pool, key=lambda entry: distance(entry, request, context), default=None)
            if nearest is not None:
                lines.append("The nearest expectation, which " + ("is left:" if left else "was used before:"))
        lines.append(side_by_side(nearest, request, context))
        if fitting is not None:
            lines.append(
                f"It is what answer {fitting} is for. If agents run at once, give each a script of its own: "
                "ScriptedProvider({agent: [...]})."
            )
        return UnexpectedRequestError("\n".join(lines), request=request, context=context, expectation=nearest)


@attrs.define
class _Part:
    entries: list[Entry]
    always: Callable[[ProviderRequest], Answer] | None = None
    used: int = 0


def _part(name: str, lines: _Lines) -> _Part:
    if isinstance(lines, (str, bytes)):
        whose = f" of {name!r}" if name else ""
        raise TypeError(
            f"script{whose} must be a list of answers or a function, got the text {lines!r}; write [{lines!r}]."
        )
    if isinstance(lines, Expectation):
        raise TypeError("script must be a list of answers, got one Expectation; write [Expectation(...)].")
    return _Part([], always=lines) if callable(lines) else _Part(list(lines))
