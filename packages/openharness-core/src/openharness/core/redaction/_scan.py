"""Looks for what still looks like a secret, before a recording is published where many read it."""

from __future__ import annotations

import math
import re
from collections import Counter
from typing import TYPE_CHECKING, Final

import attrs

from openharness.core.errors import SecretFoundError
from openharness.core.redaction._configuration import Redaction, matcher_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from openharness.core.redaction._matcher import Matcher
    from openharness.core.values import JSONValue

__all__ = ("SuspectedSecret", "refuse_secrets")

_MOST: Final = 20
_SHORTEST: Final = 16
_BITS: Final = 3.3
_SHAPES_ALONE: Final = Redaction(environment=())
_EVERYTHING: Final = Redaction()

_NAME: Final = (
    r"(?:api[_-]?key|access[_-]?key|private[_-]?key|secret|token|passw(?:or)?d|passphrase|credentials?|authorization)"
)
_NAMED: Final = re.compile(rf"{_NAME}(?:[_-](?:key|value|id))?$", re.IGNORECASE)
_QUOTE: Final = r"[\"'`\\]{0,4}"
_SUSPICIOUS: Final = (
    ("authorization", re.compile(r"\b(?:bearer|basic)\s+([A-Za-z0-9._~+/=-]{16,})", re.IGNORECASE)),
    ("assignment", re.compile(rf"{_NAME}{_QUOTE}\s{{0,3}}(?:=>|:=|[=:])\s{{0,3}}{_QUOTE}([^\s\"'`\\,;&<>()]{{16,}})", re.IGNORECASE)),
    ("url-password", re.compile(r"\b[a-z][a-z0-9+.-]{1,20}://[^\s/:@]{0,100}:([^\s/:@\[\]]{8,})@", re.IGNORECASE)),
)  # fmt: skip
_HINT: Final = re.compile(rf"bearer|basic|://|{_NAME}", re.IGNORECASE)
_HINTS: Final = ("bearer", "bas", "://", "key", "secret", "token", "pass", "credent", "author")
"""One of these stands wherever `_HINT` matches, and looking for them takes a tenth of the time.

None has an ``i``: where case does not matter the Turkish letters without and with a dot count as one, which folded are none.
"""


@attrs.frozen
class SuspectedSecret:
    """A place in a recording where something looks like a secret.

    Attributes:
        seq: The signal; None for what is known about the recording: its tags and metadata.
        path: Where in it: ``payload.request.messages[0].content``.
        rule: What it looks like: the shape of a key (``github-token``), the name of an environment variable whose value
            it is, ``authorization``, ``assignment`` or ``url-password``.
    """

    seq: int | None
    path: str
    rule: str


def refuse_secrets(parts: Iterable[tuple[int | None, str, JSONValue]], *, what: str, redacted: bool) -> None:
    """Make sure that nothing in some JSON values still looks like a secret.

    Args:
        parts: The values, with the signals they belong to and what to call them.
        what: What is refused, for the error: a sentence about what happened and what stays.
        redacted: Whether secrets were redacted when this was recorded; where not, the environment's are looked for too.

    Raises:
        SecretFoundError: Something does. The error says where, and shows nothing of it.
    """
    matcher = matcher_of(_SHAPES_ALONE if redacted else _EVERYTHING)
    found: list[SuspectedSecret] = []
    for seq, path, value in parts:
        for place, rule in _suspects(path, value, matcher):
            found.append(SuspectedSecret(seq, place, rule))
            if len(found) == _MOST:
                raise SecretFoundError(what, found=found)
    if found:
        raise SecretFoundError(what, found=found)


def _suspects(path: str, value: JSONValue, matcher: Matcher) -> Iterator[tuple[str, str]]:
    if isinstance(value, str):
        rule = _suspicion(value, matcher)
        if rule is not None:
            yield path, rule
    elif isinstance(value, list):
        for index, item in enumerate(value):
            yield from _suspects(f"{path}[{index}]", item, matcher)
    elif isinstance(value, dict):
        for number, (key, item) in enumerate(value.items()):
            # The key itself may be what must not be shown.
            rule = _suspicion(key, matcher)
            place = f"{path}.{key}" if rule is None else f"{path}, key {number}"
            if rule is not None:
                yield place, rule
            if isinstance(item, str) and _NAMED.search(key) and _is_random(item) and " " not in item:
                yield place, "assignment"
            else:
                yield from _suspects(place, item, matcher)


def _suspicion(text: str, matcher: Matcher) -> str | None:
    """Return what a text looks like; None where it looks like nothing."""
    position, after = 0, -1
    if not matcher.is_clear(text):
        while (found := matcher.find(text, position, final=True, after=after)) is not None:
            if found.rule is not None:
                return found.rule
            known = matcher.name(text[found.start : found.end])
            if known is not None:
                return known
            position = after = found.end or len(text)
    if len(text) < _SHORTEST:
        return None
    folded = text.casefold()
    if not any(hint in folded for hint in _HINTS) or _HINT.search(text) is None:
        return None
    for rule, pattern in _SUSPICIOUS:
        for match in pattern.finditer(text):
            if _is_random(match.group(1), shortest=8 if rule == "url-password" else _SHORTEST):
                return rule
    return None


def _is_random(text: str, *, shortest: int = _SHORTEST) -> bool:
    """Tell whether a text looks as if chance had made it: letters and digits, and no character much more often than others."""
    if len(text) < shortest or text.startswith(("[redacted:", "{{", "${", "$")):
        return False
    if not (any(map(str.isdigit, text)) and any(map(str.isalpha, text))):
        return False
    counts = Counter(text)
    bits = -sum(count / len(text) * math.log2(count / len(text)) for count in counts.values())
    return bits >= min(_BITS, 0.8 * math.log2(len(text)))
