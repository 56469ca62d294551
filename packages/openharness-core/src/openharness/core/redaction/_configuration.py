"""What users set: which texts are secrets."""

from __future__ import annotations

import fnmatch
import json
import os
import re
from collections.abc import Callable, Iterable, Mapping
from functools import lru_cache
from typing import Final, Literal, cast
from urllib.parse import quote

import attrs

from openharness.core.errors import InvalidValueError
from openharness.core.redaction._matcher import Matcher
from openharness.core.redaction._rules import SHAPES, Rule, pattern_rule

__all__ = ("Redaction", "matcher_of")

ENVIRONMENT: Final = (
    "*_API_KEY",
    "*_TOKEN",
    "*_SECRET",
    "*_PASSWORD",
    "*_ACCESS_KEY",
    "*_SECRET_KEY",
    "*_PRIVATE_KEY",
)
SHORTEST_VALUE: Final = 8
SHORTEST_NAMED: Final = 4
LONGEST: Final = 1_000
_NAME: Final = re.compile(r"[A-Za-z0-9_.-]{1,100}(?:#[0-9]{1,9})?")


def _texts(value: str | Iterable[str]) -> tuple[str, ...]:
    return (value,) if isinstance(value, str) else tuple(value)


def _patterns(value: Mapping[str, str | re.Pattern[str]]) -> dict[str, re.Pattern[str]]:
    return {name: re.compile(pattern) for name, pattern in value.items()}


def _copy(value: Mapping[str, str]) -> dict[str, str]:
    return dict(value)


def _names_only(secrets: Mapping[str, str]) -> str:
    return repr(list(secrets))


@attrs.frozen(kw_only=True, eq=False)
class Redaction:
    """Which texts are secrets. They are replaced by a placeholder that names the rule: ``[redacted:OPENAI_API_KEY]``.

    Attributes:
        environment: Names of environment variables whose values are secrets, as shell patterns; only values of 8
            characters or more count. By default those that end in ``_API_KEY``, ``_TOKEN``, ``_SECRET``,
            ``_PASSWORD``, ``_ACCESS_KEY``, ``_SECRET_KEY`` or ``_PRIVATE_KEY``. Read once, at the start of a run.
        secrets: Further secrets by name, of 4 characters or more; also what fills the placeholders of a recording
            that is resumed or forked. A name given here goes before an environment variable of that name.
        patterns: Regular expressions by name; every match is a secret. One that begins with plain text
            (``acme_[0-9a-f]{32}``) costs least, and does not hold streams back.
        shapes: Whether keys of well-known services, tokens and private keys are recognised by their shape.
        longest: How many characters a match of one of ``patterns`` has at most when it comes in pieces; 1,000 by
            default.
        unknown: What happens when a request would send a placeholder whose value is not known: ``"error"`` (default)
            or ``"send"``, for texts that speak of placeholders. So it is with the state that a new run is begun with.

    Raises:
        InvalidValueError: A name, a value or a pattern is not right; secrets are not shown.
    """

    environment: tuple[str, ...] = attrs.field(default=ENVIRONMENT, converter=_texts)
    secrets: Mapping[str, str] = attrs.field(factory=dict[str, str], converter=_copy, repr=_names_only)
    patterns: Mapping[str, re.Pattern[str]] = attrs.field(factory=dict[str, re.Pattern[str]], converter=_patterns)
    shapes: bool = True
    longest: int = LONGEST
    unknown: Literal["error", "send"] = "error"

    def __attrs_post_init__(self) -> None:
        """Check names, values and patterns."""
        for name in (*self.secrets, *self.patterns):
            if _NAME.fullmatch(name) is None:
                expected = "a name of up to 100 letters, digits, '_', '-' and '.'"
                raise InvalidValueError("the name of a secret", value=name, expected=expected)
        for name, value in self.secrets.items():
            if not isinstance(cast("object", value), str) or len(value) < SHORTEST_NAMED:
                expected = f"a text of at least {SHORTEST_NAMED} characters"
                raise InvalidValueError(f"secrets[{name!r}]", value=type(value), expected=expected)
        for name, pattern in self.patterns.items():
            if not isinstance(cast("object", pattern.pattern), str) or pattern.match("") is not None:
                expected = "a regular expression over str that does not match the empty text"
                raise InvalidValueError(f"patterns[{name!r}]", value=pattern.pattern, expected=expected)
        if type(self.longest) is not int or self.longest < 1:
            raise InvalidValueError("longest", value=self.longest, expected="an integer from 1 on")
        if self.unknown not in ("error", "send"):
            raise InvalidValueError("unknown", value=self.unknown, expected="'error' or 'send'")


def matcher_of(redaction: Redaction, environment: Mapping[str, str] | None = None) -> Matcher:
    """Return what finds the secrets, with the environment as it is now."""
    environment = os.environ if environment is None else environment
    wanted = _names(redaction.environment)
    found = tuple(
        (name, value)
        for name in environment
        if wanted(name) and len(value := environment[name].strip()) >= SHORTEST_VALUE
    )
    return _compiled(redaction, tuple(sorted(found)))


@lru_cache(maxsize=8)
def _compiled(redaction: Redaction, environment: tuple[tuple[str, str], ...]) -> Matcher:
    values: dict[str, str] = {}
    named = [*redaction.secrets.items(), *environment]
    # Each way of writing has a name of its own, so that what is restored is what was there.
    ways = (("", str), ("/json", _escaped), ("/ascii", _escaped_ascii), ("/repr", _shown), ("/url", _quoted))
    for how, write in ways:
        for name, value in named:
            # A rule's second secret is named like its placeholder: "github-token#2".
            base, mark, number = name.partition("#")
            values.setdefault(write(value), f"[redacted:{base}{how}{mark}{number}]")
    rules: list[Rule] = [pattern_rule(name, pattern, redaction.longest) for name, pattern in redaction.patterns.items()]
    return Matcher(values, [*rules, *(SHAPES if redaction.shapes else ())])


@lru_cache(maxsize=8)
def _names(patterns: tuple[str, ...]) -> Callable[[str], bool]:
    """Return what tells whether a variable's name matches one of some shell patterns, in any case."""
    # Looked at for every variable at the start of every run: ends of names are compared, other patterns matched.
    ends = tuple(pattern[1:].upper() for pattern in patterns if re.fullmatch(r"\*[A-Za-z0-9_]+", pattern))
    others = [pattern for pattern in patterns if pattern[1:].upper() not in ends]
    match = re.compile("|".join(map(fnmatch.translate, others)) or r"(?!)", re.IGNORECASE).match

    # Variables seldom change their names, and every run asks for all of them again.
    @lru_cache(maxsize=1024)
    def wanted(name: str) -> bool:
        return name.upper().endswith(ends) or (bool(others) and match(name) is not None)

    return wanted


def _escaped(value: str) -> str:
    return json.dumps(value, ensure_ascii=False)[1:-1]


def _escaped_ascii(value: str) -> str:
    return json.dumps(value)[1:-1]


def _shown(value: str) -> str:
    return repr(value)[1:-1]


def _quoted(value: str) -> str:
    return quote(value, safe="", errors="replace")
