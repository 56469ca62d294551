"""Finds secrets in texts: known values, users' patterns and well-known shapes, from left to right."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Final

import attrs

from openharness.core.redaction._rules import LEFT, PLACEHOLDER, Rule, compiled

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

__all__ = ("Found", "Matcher")

_STEM: Final = 4
_MARK: Final = "[redacted:"
_PIVOT: Final = 24
_PATIENCE: Final = 65_536
_LEAST_CUT: Final = 4


@attrs.frozen
class Found:
    """A place in a text.

    Attributes:
        start: Where it begins.
        end: Where it ends; None where only more text tells whether there is a secret at all.
        rule: The rule; None for a known value, and for a placeholder that is there already.
    """

    start: int
    end: int | None = None
    rule: str | None = None


class Matcher:
    """Says where the secrets in a text are.

    The first secret from the left counts; at one place a placeholder that is there already goes first, then the longest
    known value, then rules in their order.

    Args:
        values: The placeholder of each known value.
        rules: Patterns and shapes.
    """

    def __init__(self, values: Mapping[str, str], rules: Sequence[Rule]) -> None:
        self.values = dict(values)
        self._names = {value: PLACEHOLDER.sub(r"\1", placeholder) for value, placeholder in values.items()}
        mark = Rule(
            name="",
            pattern=PLACEHOLDER,
            begins=(_MARK,),
            body=r"[A-Za-z0-9_./#-]*",
            longest=len(_MARK) + 120,
            whole_words=False,
        )
        anchored = [mark, *(rule for rule in rules if rule.begins)]
        self._loose = [rule for rule in rules if not rule.begins]
        self._longest_loose = max((rule.longest for rule in self._loose), default=0)
        self._values: dict[str, list[str]] = {}
        for value in sorted(self.values, key=lambda value: (-len(value), value)):
            self._values.setdefault(value[0], []).append(value)
        self._mark = mark
        self._rules: dict[str, list[Rule]] = {}
        for rule in [mark, *rules]:
            for first in dict.fromkeys(begin[0] for begin in rule.begins):
                self._rules.setdefault(first, []).append(rule)
        begins = [*self.values, *(begin for rule in anchored for begin in rule.begins)]
        self._stem = re.compile(_trie({begin[:_STEM] for begin in begins}, cut=False)).search
        self._cut_stem = re.compile(_trie({begin[:_STEM] for begin in begins}, cut=True)).search
        # A placeholder that is there already is no reason to look at a text. The text may be a value written as JSON, in
        # which the texts of the value, which may be JSON themselves, stand escaped.
        written = (json.dumps(begin, ensure_ascii=False)[1:-1] for begin in begins if begin != _MARK)
        suspects = dict.fromkeys([*(begin for begin in begins if begin != _MARK), *written])
        self._suspect = re.compile(_pivots(suspects)).search
        self._suspect_piece = re.compile(_pivots(begins)).search
        words = [begin for rule in anchored if rule.whole_words for begin in rule.begins]
        others = [begin for rule in anchored if not rule.whole_words for begin in rule.begins]
        self._cut_words = _by_last(words)
        self._cut_others = {last: tuple(cut) for last, cut in _by_last([*self.values, *others]).items()}
        self._order = {rule.name: place for place, rule in enumerate(rules)}

    def name(self, secret: str) -> str | None:
        """Return the name of a known value; None for any other text, such as a placeholder."""
        return self._names.get(secret)

    def is_clear(self, text: str) -> bool:
        """Tell, quickly, that a text holds no secret; otherwise it has to be looked at."""
        return not self._loose and self._suspect(text) is None

    def is_clear_piece(self, text: str) -> bool:
        """Tell, quickly, that a piece of a stream holds no secret and not the beginning of one."""
        if self._loose or self._suspect_piece(text) is not None:
            return False
        last = text[-1:]
        if text.endswith(self._cut_others.get(last, ())):
            return False
        for cut in self._cut_words.get(last, ()):
            if text.endswith(cut):
                before = len(text) - len(cut)
                if before == 0 or LEFT.match(text, before) is not None:
                    return False
        return True

    def find(
        self, text: str, position: int, *, final: bool, after: int = -1, counts: Callable[[str], bool] | None = None
    ) -> Found | None:
        """Return the first secret from a position on; None where there is none.

        Args:
            text: The text.
            position: Where to begin.
            after: Where the last secret before that position ends.
            final: Whether the text ends there; else more may follow, and the answer may be that it is needed.
            counts: Tells whether a rule counts; all do where it is None.
        """
        length = len(text)
        search = self._stem if final else self._cut_stem
        while True:
            stem = search(text, position)
            start = length if stem is None else stem.start()
            for rule in self._loose:
                found = compiled(rule.pattern).search(text, position)
                if found is not None:
                    start = min(start, found.start())
            if not final and self._loose:
                # Of a pattern whose beginning is unknown, every place may be the beginning.
                undecided = max(position, length - self._longest_loose + 1)
                if undecided < length and start >= undecided:
                    return Found(undecided)
            if start >= length:
                return None
            if not final and self._may_begin(text, start, after):
                return Found(start)
            match = self._match(text, start, after, final=final, counts=counts)
            if match is not None:
                return match
            position = start + 1

    def cut_secret(self, text: str, start: int, after: int) -> str | None:
        """Return the name of the secret that a text which breaks off has the greater part of at its end.

        Args:
            text: The text.
            start: Where that part begins.
            after: Where the last secret before it ends.

        Returns:
            The name of a known value of which half is there, and no less than 4 characters; or the rule of which as many
            come after the plain text it begins with; None where less is there.
        """
        first, rest = text[start], len(text) - start
        for value in self._values.get(first, ()):
            if rest >= max(_LEAST_CUT, len(value) / 2) and value.startswith(text[start:]):
                return self._names[value]
        for rule in self._rules.get(first, ()):
            if rule is not self._mark and rule.may_begin(text, start, after):
                begins = [begin for begin in rule.begins if text.startswith(begin, start)]
                if begins and rest >= max(map(len, begins)) + _LEAST_CUT:
                    return rule.name
        return None

    def _may_begin(self, text: str, start: int, after: int) -> bool:
        first, rest = text[start], len(text) - start
        for value in self._values.get(first, ()):
            if len(value) > rest and value.startswith(text[start:]):
                return True
        return any(rule.may_begin(text, start, after) for rule in self._rules.get(first, ()))

    def _match(
        self, text: str, start: int, after: int, *, final: bool, counts: Callable[[str], bool] | None
    ) -> Found | None:
        first = text[start]
        if first == "[":
            there = PLACEHOLDER.match(text, start)
            if there is not None:
                return Found(start, there.end())
        for value in self._values.get(first, ()):
            if text.startswith(value, start) and (counts is None or counts(self._names[value])):
                return Found(start, start + len(value))
        for rule in self._at(first):
            found = compiled(rule.pattern).match(text, start) if rule.may_stand(text, start, after) else None
            if found is None or found.end() == start or (counts is not None and not counts(rule.name)):
                continue
            if not final and not rule.whole_words and found.end() == len(text) and len(text) - start < _PATIENCE:
                return Found(start)
            return Found(start, found.end(), rule.name)
        return None

    def _at(self, first: str) -> Iterable[Rule]:
        rules = [rule for rule in self._rules.get(first, ()) if rule is not self._mark]
        if not self._loose:
            return rules
        return sorted([*rules, *self._loose], key=lambda rule: self._order[rule.name])


def _trie(stems: Iterable[str], *, cut: bool) -> str:
    """Return a regular expression for any of some texts; with ``cut`` also for the beginning of one, at the very end."""
    groups: dict[str, set[str]] = {}
    for stem in stems:
        groups.setdefault(stem[0], set()).add(stem[1:])
    branches: list[str] = []
    for first, rests in sorted(groups.items()):
        branch = re.escape(first)
        if "" not in rests:
            more = _trie(rests, cut=cut)
            branch += rf"(?:{more}|\Z)" if cut else f"(?:{more})"
        branches.append(branch)
    return "|".join(branches) or r"(?!)"


def _pivots(begins: Iterable[str]) -> str:
    """Return a regular expression for any of some texts, which looks for the character of each that texts have least."""
    pivots: dict[str, set[tuple[str, str]]] = {}
    for begin in begins:
        place = min(range(min(len(begin), _PIVOT)), key=lambda place: (_commonness(begin[place]), place))
        pivots.setdefault(begin[place], set()).add((begin[:place], begin[place + 1 : _PIVOT]))
    branches: list[str] = []
    for pivot, around in sorted(pivots.items()):
        looks = (
            f"(?<={re.escape(before + pivot)}){re.escape(after)}" if before else re.escape(after)
            for before, after in sorted(around)
        )
        branches.append(f"{re.escape(pivot)}(?:{'|'.join(looks)})")
    return "|".join(branches) or r"(?!)"


def _commonness(character: str) -> int:
    if character == "_" or character.isupper():
        return 0
    if not character.isalpha() and not character.isspace():
        return 1
    return 2 if character in "jqxz" else 3


def _by_last(begins: Iterable[str]) -> dict[str, list[str]]:
    """Return the proper beginnings of some texts by their last character."""
    cuts: dict[str, list[str]] = {}
    for begin in begins:
        for length in range(1, len(begin)):
            cuts.setdefault(begin[length - 1], []).append(begin[:length])
    return {last: sorted(set(found), key=len) for last, found in cuts.items()}
