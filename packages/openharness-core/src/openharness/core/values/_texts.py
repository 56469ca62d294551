"""Two texts as the lines of a diff, with the words marked that changed."""

from __future__ import annotations

import json
import re
from difflib import SequenceMatcher
from typing import TYPE_CHECKING, Final, Literal

import attrs

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

__all__ = ("DiffLine", "Piece", "diff_lines", "is_long_text", "shown_value", "text_diff", "visible")

_WORD: Final = re.compile(r"\w+\s*|[^\w\s]\s*|\s+")
_CONTEXT: Final = 2
_MOST_LINES: Final = 1_000
"""Beyond this many changed lines no common ones are looked for: the time grows with the square of their number."""
_MOST_WORDS: Final = 1_000
_LEAST_ALIKE: Final = 0.3
"""Where less than this of two lines is the same, marks would be a riddle."""
_JOINERS: Final = "\u200c\u200d"
"""They join characters into one, as in many emoji, and cannot make a text look like another."""
_LONG: Final = 60
_WIDTH: Final = 160
_BEFORE: Final = 40
_SIGNS: Final = {"same": " ", "removed": "-", "added": "+", "place": ""}


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


def text_diff(left: str, right: str, *, names: tuple[str, str], most: int = 30) -> list[str]:
    """Return the diff of two texts as lines for a terminal; below a line of which only a part changed, that is marked.

    Args:
        left: One text.
        right: The other.
        names: What to call the two.
        most: How many lines are shown; the last one counts those that are not.
    """
    lines = diff_lines(left, right)
    told = [f"--- {names[0]}", f"+++ {names[1]}"]
    for line in lines[:most]:
        told += _told(line)
    if len(lines) > most:
        told.append(f"… {len(lines) - most:,} more lines of this diff")
    return told


def shown_value(value: object, *, most: int) -> str:
    """Return a JSON value in one line; what is cut off is counted."""
    text = visible(json.dumps(value, ensure_ascii=False))
    return text if len(text) <= most else f"{text[:most]}… ({len(text) - most:,} more characters)"


def is_long_text(*values: object) -> bool:
    """Tell whether values are texts whose difference is best shown line by line."""
    texts = [value for value in values if isinstance(value, str)]
    return len(texts) == len(values) and any(len(text) > _LONG or "\n" in text for text in texts)


def visible(text: str) -> str:
    """Return a text with every character written out that would not be seen, or would act instead of being shown.

    Models write control characters, half characters and marks that turn the direction of text; a terminal obeys them,
    and a file in UTF-8 cannot hold them all.
    """
    if text.isprintable():
        return text
    return "".join(
        char if char.isprintable() or char in _JOINERS else repr(char)[1:-1] if char != "\t" else char for char in text
    )


def _told(line: DiffLine) -> list[str]:
    """A line that fits, cut so that what changed in it can be seen, and the marks below it."""
    pieces = [(visible(piece.text), piece.changed) for piece in line.pieces]
    text = "".join(shown for shown, _ in pieces)
    marks = "".join(("^" if changed else " ") * len(shown) for shown, changed in pieces)
    first = marks.find("^")
    start = 0 if len(text) <= _WIDTH or first <= 2 * _BEFORE else first - _BEFORE
    before = f"({start:,} characters) …" if start else ""
    after = f"… ({len(text) - start - _WIDTH:,} more characters)" if len(text) > start + _WIDTH else ""
    sign = _SIGNS[line.kind]
    told = [f"{sign}{before}{text[start : start + _WIDTH]}{after}"]
    # Marks under most of a line would tell nothing.
    if 0 < marks.count("^") <= len(marks) / 2:
        told.append(f"?{' ' * len(before)}{marks[start : start + _WIDTH].rstrip()}")
    return told


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
