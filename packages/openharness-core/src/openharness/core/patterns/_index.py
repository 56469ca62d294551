"""One look-up per name, whatever the number of patterns."""

from __future__ import annotations

from bisect import bisect_left
from typing import TYPE_CHECKING, Final, Generic, TypeVar

import attrs

from openharness.core.patterns._pattern import MAX_LENGTH, Pattern, match_segment

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

__all__ = ("PatternIndex",)

T = TypeVar("T")

_MEMO_SIZE: Final = 4096
_SCAN_BELOW: Final = 16
_AMEND_AT_MOST: Final = 256


@attrs.define(eq=False)
class _Node(Generic[T]):
    """One segment of the patterns in the trie."""

    children: dict[str, _Node[T]] = attrs.field(factory=dict[str, "_Node[T]"])
    globs: dict[str, _Node[T]] = attrs.field(factory=dict[str, "_Node[T]"])
    star: _Node[T] | None = None
    deep: _Node[T] | None = None
    entries: dict[int, T] = attrs.field(factory=dict[int, T])


class _Answers(dict[str, tuple[T, ...]]):
    """The answers that are kept, and the others when they are asked for."""

    def __init__(self, answer: Callable[[str], tuple[T, ...]]) -> None:
        self._answer = answer

    def __missing__(self, name: str) -> tuple[T, ...]:
        return self._answer(name)


class PatternIndex(Generic[T]):
    """Maps patterns to values, and a name to the values of all patterns that match it, in the order they were added.

    The answer for a name is kept, so that asking again is one dictionary look-up; a change amends the answers it
    touches, and at most 4,096 answers are kept. Not for use by several threads at once.
    """

    def __init__(self) -> None:
        self._order = 0
        self._entries: dict[int, tuple[tuple[Pattern, ...], T]] = {}
        self._exact: dict[str, dict[int, T]] = {}
        self._root: _Node[T] = _Node()
        self._globs = 0
        self._regexes: dict[int, tuple[tuple[Pattern, ...], T]] = {}
        self._memo: _Answers[T] = _Answers(self._answer)
        self._memo_keys: dict[str, list[int]] = {}

    @property
    def answers(self) -> Mapping[str, tuple[T, ...]]:
        """`lookup` as a mapping, which always stays the same object: ``answers[name]`` saves a call."""
        return self._memo

    def __len__(self) -> int:
        """The number of values."""
        return len(self._entries)

    def add(self, patterns: Pattern | Iterable[Pattern], value: T) -> int:
        """Add a value under one pattern or several, and return the key that removes it.

        A name that several of them match finds the value once.
        """
        several = (patterns,) if isinstance(patterns, Pattern) else tuple(patterns)
        if len(several) > 1:
            several = tuple(dict.fromkeys(several))
        self._order += 1
        key = self._order
        self._entries[key] = (several, value)
        regexes: list[Pattern] = []
        for pattern in several:
            if pattern.is_literal:
                self._exact.setdefault(pattern.text, {})[key] = value
            elif isinstance(pattern.source, str):
                self._globs += 1
                self._leaf(pattern.source).entries[key] = value
            else:
                regexes.append(pattern)
        if regexes:
            self._regexes[key] = (tuple(regexes), value)
        for name in self._touched(several):
            self._memo[name] += (value,)
            self._memo_keys[name].append(key)
        return key

    def remove(self, key: int) -> None:
        """Remove a value with all its patterns; a key that was removed before is no error."""
        if key not in self._entries:
            return
        several, _ = self._entries.pop(key)
        for pattern in several:
            if pattern.is_literal:
                entries = self._exact[pattern.text]
                del entries[key]
                if not entries:
                    del self._exact[pattern.text]
            elif isinstance(pattern.source, str):
                self._globs -= 1
                self._prune(pattern.source.split(":"), key)
        self._regexes.pop(key, None)
        for name in self._touched(several):
            keys, values = self._memo_keys[name], self._memo[name]
            place = bisect_left(keys, key)
            del keys[place]
            self._memo[name] = values[:place] + values[place + 1 :]

    def lookup(self, name: str) -> tuple[T, ...]:
        """Return the values whose patterns match the name, in the order in which they were added."""
        return self._memo[name]

    def _answer(self, name: str) -> tuple[T, ...]:
        if len(name) > MAX_LENGTH:
            return ()  # It is no name, and must not fill the memory either.
        if len(self._memo) >= _MEMO_SIZE:
            # Names with ids in them never come back, those that do are soon found again; and dropping one at a time
            # would have to look for the oldest past all that were dropped before.
            self._clear()
        found = self._search(name)
        keys = sorted(found)
        self._memo_keys[name] = keys
        self._memo[name] = values = tuple(map(found.__getitem__, keys))
        return values

    def _search(self, name: str) -> dict[int, T]:
        if len(self._entries) < _SCAN_BELOW:
            return {key: value for key, (several, value) in self._entries.items() if _any_matches(several, name)}
        found = dict(self._exact[name]) if name in self._exact else {}
        if self._globs:
            _collect(self._root, name.split(":"), found)
        if self._regexes:
            found.update((key, value) for key, (several, value) in self._regexes.items() if _any_matches(several, name))
        return found

    def _touched(self, several: tuple[Pattern, ...]) -> list[str]:
        """The names whose answers the patterns touch; where finding them is dearer than answering anew, none are kept."""
        if all(pattern.is_literal for pattern in several):
            return [pattern.text for pattern in several if pattern.text in self._memo]
        if len(self._memo) > _AMEND_AT_MOST:
            self._clear()
        if len(several) == 1:
            return several[0].among(self._memo)
        return [name for name in self._memo if _any_matches(several, name)]

    def _clear(self) -> None:
        self._memo.clear()
        self._memo_keys.clear()

    def _leaf(self, source: str) -> _Node[T]:
        node = self._root
        for segment in source.split(":"):
            node = _child(node, segment)
        return node

    def _prune(self, segments: list[str], key: int) -> None:
        path = [self._root]
        for segment in segments:
            path.append(_child(path[-1], segment))
        del path[-1].entries[key]
        for parent, segment, node in zip(reversed(path[:-1]), reversed(segments), reversed(path[1:]), strict=True):
            if node.entries or node.children or node.globs or node.star or node.deep:
                return
            if segment == "**":
                parent.deep = None
            elif segment == "*":
                parent.star = None
            else:
                (parent.globs if "*" in segment else parent.children).pop(segment)


def _any_matches(several: tuple[Pattern, ...], name: str) -> bool:
    return several[0].matches(name) if len(several) == 1 else any(pattern.matches(name) for pattern in several)


def _child(node: _Node[T], segment: str) -> _Node[T]:
    if segment == "**":
        if node.deep is None:
            node.deep = _Node()
        return node.deep
    if segment == "*":
        if node.star is None:
            node.star = _Node()
        return node.star
    return (node.globs if "*" in segment else node.children).setdefault(segment, _Node())


def _collect(root: _Node[T], segments: list[str], found: dict[int, T]) -> None:
    """Walk the trie a segment at a time with the nodes reached, so that no pattern makes it go back."""
    reached = [root]
    # A `**` that was reached stays so, whatever comes: it matches no segment as well as many.
    deep: list[_Node[T]] = []
    if root.deep is not None:
        _deepen(root, deep)
    for segment in segments:
        reached = _following((reached + deep) if deep else reached, segment)
        for node in reached:
            if node.deep is not None:
                _deepen(node, deep)
    for node in reached + deep:
        if node.entries:
            found.update(node.entries)


def _following(nodes: list[_Node[T]], segment: str) -> list[_Node[T]]:
    """The nodes that a segment leads to, ``**`` apart."""
    following: list[_Node[T]] = []
    for node in nodes:
        child = node.children.get(segment)
        if child is not None:
            following.append(child)
        if node.star is not None:
            following.append(node.star)
        if node.globs:
            following += [target for glob, target in node.globs.items() if match_segment(glob, segment)]
    return following


def _deepen(node: _Node[T], deep: list[_Node[T]]) -> None:
    """Add the ``**`` nodes below a node, unless they are there."""
    below = node.deep
    while below is not None and below not in deep:
        deep.append(below)
        below = below.deep
