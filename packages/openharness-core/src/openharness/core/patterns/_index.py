"""One look-up per name, whatever the number of patterns."""

from __future__ import annotations

from typing import Final, Generic, TypeVar

import attrs

from openharness.core.patterns._pattern import Pattern, match_segment

__all__ = ("PatternIndex",)

T = TypeVar("T")

_MEMO_SIZE: Final = 4096
_SCAN_BELOW: Final = 16


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
    touches, and at most 4,096 answers are kept.
    """

    def __init__(self) -> None:
        self._order = 0
        self._patterns: dict[int, tuple[Pattern, T]] = {}
        self._exact: dict[str, dict[int, T]] = {}
        self._root: _Node[T] = _Node()
        self._globs = 0
        self._regexes: dict[int, tuple[Pattern, T]] = {}
        self._memo: dict[str, tuple[T, ...]] = {}

    def __len__(self) -> int:
        """The number of patterns."""
        return len(self._patterns)

    def add(self, pattern: Pattern, value: T) -> int:
        """Add a pattern and return the key that removes it."""
        self._order += 1
        key = self._order
        self._patterns[key] = (pattern, value)
        if pattern.is_literal:
            self._exact.setdefault(pattern.text, {})[key] = value
        elif isinstance(pattern.source, str):
            self._globs += 1
            self._leaf(pattern.source).entries[key] = value
        else:
            self._regexes[key] = (pattern, value)
        self._forget(pattern)
        return key

    def remove(self, key: int) -> None:
        """Remove a pattern; a key that was removed before is no error."""
        pattern, _ = self._patterns.pop(key, (None, None))
        if pattern is None:
            return
        if pattern.is_literal:
            entries = self._exact[pattern.text]
            del entries[key]
            if not entries:
                del self._exact[pattern.text]
        elif isinstance(pattern.source, str):
            self._globs -= 1
            self._prune(pattern.source.split(":"), key)
        else:
            del self._regexes[key]
        self._forget(pattern)

    def lookup(self, name: str) -> tuple[T, ...]:
        """Return the values whose patterns match the name, in the order in which they were added."""
        try:
            return self._memo[name]
        except KeyError:
            found = self._search(name)
            if len(self._memo) >= _MEMO_SIZE:
                # Names with ids in them never come back; dropping the oldest keeps the answers that do.
                del self._memo[next(iter(self._memo))]
            self._memo[name] = found
            return found

    def _search(self, name: str) -> tuple[T, ...]:
        if len(self._patterns) < _SCAN_BELOW:
            return tuple(value for pattern, value in self._patterns.values() if pattern.matches(name))
        found = dict(self._exact.get(name, {}))
        if self._globs:
            _collect(self._root, name.split(":"), found)
        for key, (pattern, value) in self._regexes.items():
            if pattern.matches(name):
                found[key] = value
        return tuple(found[key] for key in sorted(found))

    def _forget(self, pattern: Pattern) -> None:
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
