"""One look-up per name, whatever the number of patterns."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Generic, TypeVar

import attrs

from openharness.core.patterns._pattern import MAX_LENGTH, Pattern, match_segment

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ("PatternIndex",)

T = TypeVar("T")

_MEMO_SIZE: Final = 4096
_SCAN_BELOW: Final = 16
_FORGET_ONE_BY_ONE_BELOW: Final = 256


@attrs.define(eq=False)
class _Node(Generic[T]):
    """One segment of the patterns in the trie."""

    children: dict[str, _Node[T]] = attrs.field(factory=dict[str, "_Node[T]"])
    globs: dict[str, _Node[T]] = attrs.field(factory=dict[str, "_Node[T]"])
    deep: _Node[T] | None = None
    entries: dict[int, T] = attrs.field(factory=dict[int, T])


class PatternIndex(Generic[T]):
    """Maps patterns to values, and a name to the values of all patterns that match it, in the order they were added.

    The answer for a name is kept, so that asking again is one dictionary look-up; a change drops only the answers it
    touches, and at most 4,096 answers are kept. Not for use by several threads at once.
    """

    def __init__(self) -> None:
        self._order = 0
        self._entries: dict[int, tuple[tuple[Pattern, ...], T]] = {}
        self._exact: dict[str, dict[int, T]] = {}
        self._root: _Node[T] = _Node()
        self._globs = 0
        self._regexes: dict[int, tuple[tuple[Pattern, ...], T]] = {}
        self._memo: dict[str, tuple[T, ...]] = {}

    def __len__(self) -> int:
        """The number of values."""
        return len(self._entries)

    def add(self, patterns: Pattern | Iterable[Pattern], value: T) -> int:
        """Add a value under one pattern or several, and return the key that removes it.

        A name that several of them match finds the value once.
        """
        several = (patterns,) if isinstance(patterns, Pattern) else tuple(dict.fromkeys(patterns))
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
        self._forget(several)
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
        self._forget(several)

    def lookup(self, name: str) -> tuple[T, ...]:
        """Return the values whose patterns match the name, in the order in which they were added."""
        try:
            return self._memo[name]
        except KeyError:
            return self._remember(name)

    def _remember(self, name: str) -> tuple[T, ...]:
        if len(name) > MAX_LENGTH:
            return ()  # It is no name, and must not fill the memory either.
        found = self._search(name)
        if len(self._memo) >= _MEMO_SIZE:
            # Names with ids in them never come back; a name that does is found again the next time.
            del self._memo[next(iter(self._memo))]
        self._memo[name] = found
        return found

    def _search(self, name: str) -> tuple[T, ...]:
        if len(self._entries) < _SCAN_BELOW:
            return tuple(value for several, value in self._entries.values() if _any_matches(several, name))
        found = dict(self._exact.get(name, {}))
        if self._globs:
            _collect(self._root, name.split(":"), found)
        for key, (several, value) in self._regexes.items():
            if _any_matches(several, name):
                found[key] = value
        return tuple(found[key] for key in sorted(found))

    def _forget(self, several: tuple[Pattern, ...]) -> None:
        """Drop the answers that the patterns touch; where finding them is dearer than finding them anew, drop all."""
        if len(self._memo) > _FORGET_ONE_BY_ONE_BELOW and not all(pattern.is_literal for pattern in several):
            self._memo.clear()
            return
        for pattern in several:
            if pattern.is_literal:
                self._memo.pop(pattern.text, None)
            else:
                for name in [name for name in self._memo if pattern.matches(name)]:
                    del self._memo[name]

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
            if node.entries or node.children or node.globs or node.deep:
                return
            if segment == "**":
                parent.deep = None
            else:
                (parent.globs if "*" in segment else parent.children).pop(segment)


def _any_matches(several: tuple[Pattern, ...], name: str) -> bool:
    return several[0].matches(name) if len(several) == 1 else any(pattern.matches(name) for pattern in several)


def _child(node: _Node[T], segment: str) -> _Node[T]:
    if segment == "**":
        if node.deep is None:
            node.deep = _Node()
        return node.deep
    return (node.globs if "*" in segment else node.children).setdefault(segment, _Node())


def _collect(root: _Node[T], segments: list[str], found: dict[int, T]) -> None:
    """Walk the trie a segment at a time with the set of nodes reached, so that no pattern makes it go back."""
    reached = _with_deep({id(root): (root, False)})
    for segment in segments:
        following: dict[int, tuple[_Node[T], bool]] = {}
        for node, is_deep in reached.values():
            if is_deep:
                following[id(node)] = (node, True)
            child = node.children.get(segment)
            if child is not None:
                following.setdefault(id(child), (child, False))
            for glob, target in node.globs.items():
                if match_segment(glob, segment):
                    following.setdefault(id(target), (target, False))
        reached = _with_deep(following)
        if not reached:
            return
    for node, _ in reached.values():
        found.update(node.entries)


def _with_deep(reached: dict[int, tuple[_Node[T], bool]]) -> dict[int, tuple[_Node[T], bool]]:
    """Add the ``**`` nodes below the reached ones: they match no segment as well as many."""
    todo = [node for node, _ in reached.values()]
    while todo:
        deep = todo.pop().deep
        if deep is not None and id(deep) not in reached:
            reached[id(deep)] = (deep, True)
            todo.append(deep)
    return reached
