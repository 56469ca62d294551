"""What a caller is told when a driver has failed."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, TypeAlias

from openharness.core.errors import StoreError

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ("ErrorMeaning", "caller_error")

ErrorMeaning: TypeAlias = "tuple[type[StoreError], str]"
"""What an error of a driver means: the class for what a caller can do about it, and a sentence that says what."""


def caller_error(
    error: BaseException, meaning: Callable[[BaseException], ErrorMeaning], *, said: str, store: str
) -> StoreError:
    """Return the error a caller gets; each call makes a new one, as each caller raises its own.

    Args:
        error: What the driver raised, or a `StoreError`, which stays what it is.
        meaning: Tells what it means.
        said: What was said, and by whom.
        store: What the store calls itself.
    """
    if isinstance(error, StoreError):
        own = copy.copy(error)
        own.__cause__ = error.__cause__
        return own
    kind, sentence = meaning(error)
    made = kind(f"{sentence} ({said})", store=store)
    made.__cause__ = error
    return made
