"""Signal names and the patterns that match them."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from functools import lru_cache
from typing import Final, TypeAlias, cast

import attrs

from openharness.core.errors import PatternError

__all__ = ("Pattern", "PatternLike", "check_name", "compile_pattern")

PatternLike: TypeAlias = "str | re.Pattern[str]"
"""What may be given as a pattern: text with ``*`` and ``**``, or a compiled regular expression."""

MAX_LENGTH: Final = 256

# With as many wildcards, a regular expression takes at most the square of a name's length; each one more is a power more.
_EXPRESSION_DEEP: Final = 1
_EXPRESSION_WILDCARDS: Final = 2
_FORBIDDEN = re.compile("[\\s\x00-\x1f\x7f-\x9f\ud800-\udfff]")


def check_name(name: object) -> str:
    """Return ``name`` if it can be the name of a signal.

    A name has segments joined by colons. No segment is empty or holds white space, control characters, surrogates
    or ``*``; a name has at most 256 characters.

    Raises:
        PatternError: When it is not.
    """
    if isinstance(name, str) and "*" in name:
        raise PatternError(name, reason="a signal's name has no wildcards")
    return _check(name)


def _check(text: object) -> str:
    if not isinstance(text, str):
        raise PatternError(text, reason="it must be a string or a compiled regular expression")
    if not 0 < len(text) <= MAX_LENGTH:
        raise PatternError(text, reason=f"it must have 1 to {MAX_LENGTH} characters")
    if _FORBIDDEN.search(text):
        raise PatternError(text, reason="white space, control characters and surrogates are not allowed")
    if "" in text.split(":"):
        raise PatternError(text, reason="a segment between colons is empty")
    return str.__str__(text)


@attrs.frozen
class Pattern:
    """A compiled pattern. ``*`` stands for any text within a segment, ``**`` for any number of segments, also none.

    ``tool:*`` matches ``tool:call`` and not ``tool:call:late``; ``tool:**`` matches both, and ``tool``; ``**:error``
    matches every name whose last segment is ``error``. Matching takes time in proportion to pattern times name,
    whatever the pattern. A regular expression must match the whole name; its own cost is its author's.

    Attributes:
        source: What was compiled.
        is_literal: Whether it matches exactly one name, `source`.
    """

    source: PatternLike
    is_literal: bool
    _segments: tuple[str, ...] = attrs.field(alias="segments", repr=False)
    _fullmatch: Callable[[str], object] | None = attrs.field(alias="fullmatch", default=None, repr=False, eq=False)

    @property
    def text(self) -> str:
        """The pattern as text, also for a regular expression."""
        return self.source if isinstance(self.source, str) else self.source.pattern

    def matches(self, name: str) -> bool:
        """Tell whether the pattern matches the whole name. What is longer than a name may be matches nothing."""
        if len(name) > MAX_LENGTH:
            return False
        if self.is_literal:
            return name == self.source
        if self._fullmatch is not None:
            return self._fullmatch(name) is not None
        return _match_segments(self._segments, name.split(":"))

    def among(self, names: Iterable[str]) -> list[str]:
        """Return those of the names that the pattern matches, in their order; none is longer than a name may be."""
        return list(filter(self._fullmatch or self.matches, names))


def compile_pattern(pattern: PatternLike) -> Pattern:
    """Return a pattern in its compiled form.

    Raises:
        PatternError: It is not well formed: an empty segment, white space, more than 256 characters, or ``**`` that is
            not a whole segment; or a regular expression over bytes.
    """
    if not isinstance(cast("object", pattern), re.Pattern):
        return _compile_text(_check(pattern))
    expression = cast("re.Pattern[str]", pattern)
    if not isinstance(cast("object", expression.pattern), str):
        raise PatternError(pattern, reason="a regular expression must be over str, not bytes")
    return Pattern(expression, is_literal=False, segments=(), fullmatch=expression.fullmatch)


@lru_cache(maxsize=4096)
def _compile_text(text: str) -> Pattern:
    segments = tuple(text.split(":"))
    for segment in segments:
        if "**" in segment and segment != "**":
            raise PatternError(text, reason="'**' must be a whole segment, as in 'tool:**'")
    deep = segments.count("**")
    wildcards = text.count("*") - 2 * deep
    expression = None
    if deep + wildcards > 0 and deep <= _EXPRESSION_DEEP and wildcards <= _EXPRESSION_WILDCARDS:
        expression = re.compile(_expression(segments), re.DOTALL)
    return Pattern(
        text,
        is_literal="*" not in text,
        segments=segments,
        fullmatch=None if expression is None else expression.fullmatch,
    )


def _expression(segments: tuple[str, ...]) -> str:
    """The pattern as a regular expression, which is several times as fast, and safe with a few wildcards only."""
    parts: list[str] = []
    for position, segment in enumerate(segments):
        joined = position > 0 and segments[position - 1] != "**"
        if segment != "**":
            parts += [":" if joined else "", "[^:]*".join(map(re.escape, segment.split("*")))]
        elif len(segments) == 1:
            parts.append(".*")
        elif position == len(segments) - 1:
            parts.append("(?::[^:]*)*")
        else:
            # It takes the colon that follows it along, so that there is one less when it stands for nothing.
            parts += [":" if joined else "", "(?:[^:]*:)*"]
    return "".join(parts)


def _match_segments(pattern: tuple[str, ...], name: list[str]) -> bool:
    """Match with ``**`` by going back to the last one only, which is enough and keeps the time bounded."""
    at = position = 0
    star, resume = -1, 0
    while position < len(name):
        if at < len(pattern) and pattern[at] == "**":
            star, resume = at, position
            at += 1
        elif at < len(pattern) and match_segment(pattern[at], name[position]):
            at += 1
            position += 1
        elif star >= 0:
            resume += 1
            at, position = star + 1, resume
        else:
            return False
    return all(segment == "**" for segment in pattern[at:])


def match_segment(pattern: str, text: str) -> bool:
    """Tell whether one segment of a pattern, with any number of ``*``, matches one segment of a name."""
    if "*" not in pattern:
        return pattern == text
    first, *middle, last = pattern.split("*")
    if len(text) < len(first) + len(last) or not text.startswith(first) or not text.endswith(last):
        return False
    position, end = len(first), len(text) - len(last)
    for part in middle:
        found = text.find(part, position, end)
        if found < 0:
            return False
        position = found + len(part)
    return True
