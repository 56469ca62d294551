"""Text made safe to look at, in a terminal or on a page."""

from __future__ import annotations

from typing import Final

__all__ = ("visible",)

_JOINERS: Final = "\u200c\u200d"
"""They join characters into one, as in many emoji, and cannot make a text look like another."""


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
