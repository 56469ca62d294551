"""Replaces secrets by placeholders, and placeholders by secrets, in the texts of one run."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from openharness.core.errors import MissingSecretError
from openharness.core.redaction._configuration import Redaction, matcher_of
from openharness.core.redaction._rules import PLACEHOLDER, note_placeholders
from openharness.core.values import json_text

if TYPE_CHECKING:
    import re
    from collections.abc import Callable, Mapping
    from typing import TypeVar

    from openharness.core.redaction._matcher import Found
    from openharness.core.values import JSONValue

    J = TypeVar("J", bound=JSONValue)

__all__ = ("Redactor",)

_MARK: Final = "[redacted:"
_DISARMED: Final = "[redacted "


def _written(value: JSONValue) -> str:
    return value if isinstance(value, str) else json_text(value)


class Redactor:
    """Redacts what one run reads and writes.

    Several secrets of one rule are told apart by numbers, in the order in which the run comes upon them:
    ``[redacted:github-token]``, ``[redacted:github-token#2]``. So every placeholder stands for one text, and
    `restore` gives back exactly what was there.

    Args:
        redaction: What is taken for a secret; None for nothing.
        environment: The environment variables; those of the process if not given.

    Attributes:
        placed: Tells the highest number that the log has of a rule so far (0 where it has none); asked when a secret is
            new to this object, which may have come upon the log half way.
        counts: In a replay: tells whether a rule counted when the run was recorded. None where every rule counts.
    """

    def __init__(self, redaction: Redaction | None, environment: Mapping[str, str] | None = None) -> None:
        self._redaction = redaction
        self.matcher = None if redaction is None else matcher_of(redaction, environment)
        self._placeholders: dict[tuple[str, str], str] = {}
        self._texts: dict[str, str] = {}
        if self.matcher is not None:
            self._texts = {placeholder: value for value, placeholder in self.matcher.values.items()}
        self._numbers = self._given()
        self._around: JSONValue = None
        self.placed: Callable[[str], int] | None = None
        self.counts: Callable[[str], bool] | None = None

    @property
    def active(self) -> bool:
        """Whether anything is taken for a secret at all."""
        return self.matcher is not None

    def is_clear(self, text: str) -> bool:
        """Tell, quickly, that a text holds no secret; otherwise it has to be looked at."""
        return self.matcher is None or self.matcher.is_clear(text)

    def text(self, text: str) -> str:
        """Return a text with placeholders in the place of secrets; the same object where there are none."""
        if self.matcher is None or self.matcher.is_clear(text):
            return text
        return self._replaced(text, self.placeholder)

    def mask(self, text: str) -> str:
        """Return a text likewise that goes nowhere from where a run could need its secrets back: a log line, a tag."""
        if self.matcher is None or self.matcher.is_clear(text):
            return text
        return self._replaced(text, self._plain_placeholder, all_count=True)

    def arrived(self, value: J) -> J:
        """Return a JSON value that comes from a provider, a tool, a user or anybody else outside, redacted as by `json`.

        What looks like a placeholder in it, and is none that the log has, cannot be taken for one any more:
        ``[redacted OPENAI_API_KEY]``. Else a stranger's text could name any secret of the environment, and have it
        filled in.
        """
        if self.matcher is None or self.is_untouched(value):
            return value
        return self._walk_within(value, lambda text: self._replaced(text, self.placeholder_of_arrival))

    def foreign(self, value: JSONValue) -> list[str]:
        """Return the placeholders in what a run begins with: none of them is the run's own.

        Whoever wrote them would decide which secret is sent. Empty where they would be taken for plain text.
        """
        if self._redaction is None or self._redaction.unknown == "send":
            return []
        return list(dict.fromkeys(found.group() for found in PLACEHOLDER.finditer(_written(value))))

    def is_untouched(self, value: JSONValue) -> bool:
        """Tell, quickly, that `arrived` would change nothing; otherwise it may."""
        written = _written(value)
        return _MARK not in written and self.is_clear(written)

    def json(self, value: J, *, mask: bool = False) -> J:
        """Return a JSON value with its texts and keys redacted; the same object where there is nothing to redact."""
        # As JSON text at once, which takes a fraction of looking at its texts one by one; in it a secret stands as it
        # is or escaped, and the matcher knows both.
        if self.matcher is None or self.matcher.is_clear(_written(value)):
            return value
        return self._walk_within(value, self.mask if mask else self.text)

    def sent(self, request: J) -> tuple[J, bool]:
        """Return a request redacted as by `json`, and whether it has placeholders, for `restore` to look at."""
        if self.matcher is None:
            return request, False
        written = _written(request)
        logged = request if self.matcher.is_clear(written) else self._walk_within(request, self.text)
        return logged, _MARK in written

    def restore(self, value: J) -> J:
        """Return a JSON value with the secrets in the place of their placeholders.

        Raises:
            MissingSecretError: The value of a placeholder is not known.
        """
        if self._redaction is None or _MARK not in _written(value):
            return value
        missing: dict[str, None] = {}

        def secret(found: re.Match[str]) -> str:
            known = self._texts.get(found.group())
            if known is None:
                missing[found.group()] = None
                return found.group()
            return known

        def restored(text: str) -> str:
            return PLACEHOLDER.sub(secret, text) if _MARK in text else text

        result = self._walk(value, restored)
        if missing and self._redaction.unknown == "error":
            raise MissingSecretError(list(missing))
        return result

    def placeholder(self, text: str, found: Found) -> str:
        """Return what stands in the place of a secret from now on."""
        secret = text[found.start : found.end]
        if found.rule is None:
            return self._known(secret)
        return self._numbered(found.rule, secret, text)

    def cut_placeholder(self, rule: str, part: str) -> str:
        """Return what stands in the place of a part of a secret, which never has the number of the whole."""
        self._numbers[rule] = max(1, self._numbers.get(rule, 0))
        return self._numbered(rule, part, part)

    def _numbered(self, rule: str, secret: str, text: str) -> str:
        key = (rule, secret)
        placeholder = self._placeholders.get(key)
        if placeholder is None:
            number = 1 + self._highest(rule, text)
            self._numbers[rule] = number
            placeholder = f"{_MARK}{rule}]" if number == 1 else f"{_MARK}{rule}#{number}]"
            self._placeholders[key] = placeholder
            self._texts[placeholder] = secret
        return placeholder

    def placeholder_of_arrival(self, text: str, found: Found) -> str:
        """Return what stands in the place of a secret in what comes from outside; see `arrived`."""
        there = PLACEHOLDER.fullmatch(text, found.start, found.end or len(text)) if found.rule is None else None
        if there is None:
            return self.placeholder(text, found)
        written, rule, number = there.group(), there.group(1), int(there.group(2) or 1)
        spoken_of = self._redaction is not None and self._redaction.unknown == "send" and written not in self._texts
        if spoken_of or (self.placed is not None and self.placed(rule) >= number):
            return written
        return f"{_DISARMED}{written.removeprefix(_MARK)}"

    def forget(self) -> None:
        """Forget which numbers stand for which secrets: the log has given them away in another order."""
        for placeholder in self._placeholders.values():
            del self._texts[placeholder]
        self._placeholders.clear()
        self._numbers = self._given()

    def _given(self) -> dict[str, int]:
        """Return the numbers that named secrets have, as they stand for those of a recording."""
        numbers: dict[str, int] = {}
        for name in () if self._redaction is None else self._redaction.secrets:
            note_placeholders(f"{_MARK}{name}]", numbers)
        return numbers

    def _highest(self, rule: str, text: str) -> int:
        """Return the highest number of a rule that is given away already, also by placeholders that stand around."""
        note_placeholders(text, self._numbers)
        if self._around is not None:
            note_placeholders(_written(self._around), self._numbers)
        return max(self._numbers.get(rule, 0), 0 if self.placed is None else self.placed(rule))

    def _plain_placeholder(self, text: str, found: Found) -> str:
        secret = text[found.start : found.end]
        if found.rule is None:
            return self._known(secret)
        return self._placeholders.get((found.rule, secret), f"{_MARK}{found.rule}]")

    def _known(self, secret: str) -> str:
        # A placeholder that was there before stays what it is.
        return secret if self.matcher is None else self.matcher.values.get(secret, secret)

    def _replaced(self, text: str, placeholder: Callable[[str, Found], str], *, all_count: bool = False) -> str:
        if self.matcher is None:
            return text
        counts = None if all_count else self.counts
        parts: list[str] = []
        position, after = 0, -1
        while (found := self.matcher.find(text, position, final=True, after=after, counts=counts)) is not None:
            parts += text[position : found.start], placeholder(text, found)
            position = after = found.end or len(text)
        return "".join([*parts, text[position:]]) if parts else text

    def _walk_within(self, value: J, change: Callable[[str], str]) -> J:
        """Change the texts of a value, with the placeholders that stand anywhere in it in mind."""
        self._around = value
        try:
            return self._walk(value, change)
        finally:
            self._around = None

    def _walk(self, value: J, change: Callable[[str], str]) -> J:
        result: JSONValue = value
        if isinstance(value, str):
            result = change(value)
        elif isinstance(value, list):
            items = [self._walk(item, change) for item in value]
            if any(new is not old for new, old in zip(items, value, strict=True)):
                result = items
        elif isinstance(value, dict):
            pairs = {change(key): self._walk(item, change) for key, item in value.items()}
            if list(pairs) != list(value) or any(pairs[key] is not item for key, item in value.items()):
                result = pairs
        return result  # type: ignore[return-value]
