"""Two texts as the lines of a diff, with the words marked that changed."""

from __future__ import annotations

import re
from difflib import SequenceMatcher
from typing import TYPE_CHECKING, Final, Literal

import attrs

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

__all__ = ("DiffLine", "Piece", "diff_lines")

_WORD: Final = re.compile(r"\w+\s*|[^\w\s]\s*|\s+")
_CONTEXT: Final = 2
_MOST_LINES: Final = 1_000
"""Beyond this many changed lines no common ones are looked for: the time grows with the square of their number."""
_MOST_WORDS: Final = 1_000
_LEAST_ALIKE: Final = 0.3
"""Where less than this of two lines is the same, marks would be a riddle."""


@attrs.frozen
class Piece:
    """A part of a line.

    Attributes:
        text: The part.
        changed: Whether it is what makes the line differ from its counterpart.
    """

    text: str
    changed: bool = False


@attrs.frozen
class DiffLine:
    """One line of a diff.

    Attributes:
        kind: Whether it is the same on both sides, on the left only, on the right only, or begins a group of lines and
            tells where that stands.
        pieces: Its text in parts.
    """

    kind: Literal["same", "removed", "added", "place"]
    pieces: tuple[Piece, ...]

    @property
    def text(self) -> str:
        """The whole line."""
        return "".join(piece.text for piece in self.pieces)


def diff_lines(left: str, right: str) -> list[DiffLine]:
    """Return the diff of two texts: groups of changed lines, with two lines around each.

    Only a line feed ends a line, so that texts which differ in any character have a line that differs.
    """
    one, other = left.split("\n"), right.split("\n")
    lines: list[DiffLine] = []
    for group in _grouped(one, other):
        (_, from_left, _, from_right, _), (_, _, to_left, _, to_right) = group[0], group[-1]
        place = f"@@ -{_span(from_left, to_left)} +{_span(from_right, to_right)} @@"
        lines.append(DiffLine("place", (Piece(place),)))
        for tag, first_left, last_left, first_right, last_right in group:
            removed, added = one[first_left:last_left], other[first_right:last_right]
            if tag == "equal":
                lines += [DiffLine("same", (Piece(line),)) for line in removed]
                continue
            marked = [_marked(*pair) for pair in zip(removed, added, strict=False)]
            lines += [DiffLine("removed", pieces) for pieces, _ in marked]
            lines += [DiffLine("removed", (Piece(line),)) for line in removed[len(marked) :]]
            lines += [DiffLine("added", pieces) for _, pieces in marked]
            lines += [DiffLine("added", (Piece(line),)) for line in added[len(marked) :]]
    return lines


def _grouped(left: Sequence[str], right: Sequence[str]) -> Iterator[list[tuple[str, int, int, int, int]]]:
    shortest = min(len(left), len(right))
    start = next((index for index in range(shortest) if left[index] != right[index]), shortest)
    rest = shortest - start
    end = next((index for index in range(rest) if left[-1 - index] != right[-1 - index]), rest)
    if max(len(left), len(right)) - start - end <= _MOST_LINES:
        yield from SequenceMatcher(None, left, right).get_grouped_opcodes(_CONTEXT)
        return
    ends = len(left) - end, len(right) - end
    before, after = min(start, _CONTEXT), min(end, _CONTEXT)
    group = [("replace", start, ends[0], start, ends[1])]
    if before:
        group.insert(0, ("equal", start - before, start, start - before, start))
    if after:
        group.append(("equal", ends[0], ends[0] + after, ends[1], ends[1] + after))
    yield group


def _span(start: int, stop: int) -> str:
    # As in every unified diff: an empty span is named by the line before it.
    length = stop - start
    if length == 1:
        return str(start + 1)
    return f"{start + 1 if length else start},{length}"


def _marked(left: str, right: str) -> tuple[tuple[Piece, ...], tuple[Piece, ...]]:
    """Two lines in parts: those they share, and those that make them differ."""
    one, other = _WORD.findall(left), _WORD.findall(right)
    unmarked = (Piece(left),), (Piece(right),)
    if max(len(one), len(other)) > _MOST_WORDS:
        return unmarked
    matcher = SequenceMatcher(None, one, other)
    if matcher.quick_ratio() < _LEAST_ALIKE or matcher.ratio() < _LEAST_ALIKE:
        return unmarked
    pieces: tuple[list[Piece], list[Piece]] = ([], [])
    for tag, first_left, last_left, first_right, last_right in matcher.get_opcodes():
        for side, words in zip(pieces, (one[first_left:last_left], other[first_right:last_right]), strict=True):
            if words:
                side.append(Piece("".join(words), tag != "equal"))
    return tuple(pieces[0]), tuple(pieces[1])
