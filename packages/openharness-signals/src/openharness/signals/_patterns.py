"""Patterns as `SignalStore.iter_signals` and `Player` take them: one or several, text or regular expressions."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from openharness.core.patterns import compile_pattern

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from openharness.core.patterns import PatternLike

__all__ = ("name_filter",)


def name_filter(patterns: PatternLike | Sequence[PatternLike]) -> Callable[[str], bool]:
    """Return a function that tells whether a signal's name matches one of the patterns; without patterns all do.

    Raises:
        PatternError: A pattern is not well formed.
    """
    several = (patterns,) if isinstance(patterns, (str, re.Pattern)) else tuple(patterns)
    compiled = [compile_pattern(pattern) for pattern in several]
    if not compiled:
        return lambda _: True
    return lambda name: any(pattern.matches(name) for pattern in compiled)
