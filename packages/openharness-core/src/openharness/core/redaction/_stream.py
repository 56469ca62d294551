"""Redacts a text that comes in pieces."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Final, Generic, TypeVar

if TYPE_CHECKING:
    from openharness.core.redaction._redactor import Redactor

__all__ = ("RedactedStream",)

T = TypeVar("T")

_CONTEXT: Final = 16
_MOST_CONTEXT: Final = 256
"""So that not every piece costs a cut."""


class RedactedStream(Generic[T]):
    """Lets the pieces of a text through, redacted so that their texts joined are the joined text redacted.

    A piece is held back only while it may hold a part of a secret that further pieces decide about. Where there is no
    secret, pieces come out as they went in.
    """

    def __init__(self, redactor: Redactor) -> None:
        self._redactor = redactor
        # The text before what is held back, for patterns that look at it.
        self._before = ""
        self._held: deque[tuple[T, str]] = deque()
        # How much of what is held back belongs to a secret whose placeholder went out already.
        self._taken = 0
        # Whether the text before ends with a secret.
        self._behind_secret = False

    def passes(self, text: str) -> bool:
        """Take the next piece if it can go out as it is and at once, as most can; tell whether it can."""
        matcher = self._redactor.matcher
        if self._held or (matcher is not None and not matcher.is_clear_piece(text)):
            return False
        self._remember(text)
        self._behind_secret = False
        return True

    def feed(self, piece: T, text: str) -> list[tuple[T, str]]:
        """Take the next piece, and return those that are decided, each with its text; without those left empty."""
        if self.passes(text):
            return [(piece, text)]
        self._held.append((piece, text))
        return self._decided(final=False)

    def end(self, *, cut: bool = False) -> list[tuple[T, str]]:
        """Return the pieces that were held back: nothing follows.

        Args:
            cut: Whether the text breaks off, so that the greater part of a secret at its end counts as one.
        """
        return self._decided(final=True, cut=cut) if self._held else []

    def _remember(self, text: str) -> None:
        before = self._before + text
        self._before = before if len(before) < _MOST_CONTEXT else before[-_CONTEXT:]

    def _decided(self, *, final: bool, cut: bool = False) -> list[tuple[T, str]]:
        text = self._before + "".join(held for _, held in self._held)
        begin = len(self._before)
        edits, decided = self._edits(text, begin, final=final and not cut)
        if cut and decided < len(text):
            edits, decided = self._cut_edits(text, begin, edits, decided)
        released: list[tuple[T, str]] = []
        released_any = bool(self._held) and begin + len(self._held[0][1]) <= decided
        while self._held and begin + len(self._held[0][1]) <= decided:
            piece, original = self._held.popleft()
            end = begin + len(original)
            redacted = _edited(text, begin, end, edits)
            if redacted:
                released.append((piece, redacted))
            self._remember(original)
            begin = end
        self._taken = max([0, *(end - begin for start, end, _ in edits if start < begin)])
        if released_any:
            self._behind_secret = any(end == begin for _, end, _ in edits)
        return released

    def _cut_edits(
        self, text: str, begin: int, edits: list[tuple[int, int, str]], decided: int
    ) -> tuple[list[tuple[int, int, str]], int]:
        """Return what is to be replaced in a text that breaks off where it may be within a secret."""
        after = edits[-1][1] if edits else begin if self._behind_secret else -1
        matcher = self._redactor.matcher
        whole, _ = self._edits(text, begin, final=True)
        for start in range(decided, len(text) if matcher is not None else 0):
            rule = None if matcher is None else matcher.cut_secret(text, start, after)
            if rule is not None and not any(first < start < end for first, end, _ in whole):
                before = [edit for edit in whole if edit[1] <= start]
                return [*before, (start, len(text), self._redactor.cut_placeholder(rule, text[start:]))], len(text)
        return whole, len(text)

    def _edits(self, text: str, begin: int, *, final: bool) -> tuple[list[tuple[int, int, str]], int]:
        """Return what is to be replaced, and how much of the text is decided."""
        position = begin + self._taken
        after = position if self._taken or self._behind_secret else -1
        edits = [(begin - 1, position, "")] if self._taken else []
        matcher = self._redactor.matcher
        while matcher is not None and (found := matcher.find(text, position, final=final, after=after)) is not None:
            if found.end is None:
                return edits, found.start
            edits.append((found.start, found.end, self._redactor.placeholder_of_arrival(text, found)))
            position = after = found.end
        return edits, len(text)


def _edited(text: str, begin: int, end: int, edits: list[tuple[int, int, str]]) -> str:
    """Return one piece of a text; what replaces a secret stands in the piece where the secret begins."""
    parts: list[str] = []
    position = begin
    for start, stop, replacement in edits:
        if stop <= begin or start >= end:
            continue
        if start >= begin:
            parts += text[position:start], replacement
        position = min(stop, end)
    return "".join([*parts, text[position:end]])
