"""Patterns over signal names, and an index that finds all matching ones with one look-up; sequences of them."""

from __future__ import annotations

from openharness.core.patterns._index import PatternIndex
from openharness.core.patterns._pattern import Pattern, PatternLike, check_name, compile_pattern
from openharness.core.patterns._sequence import PatternSequence, SequenceSearch

__all__ = (
    "Pattern",
    "PatternIndex",
    "PatternLike",
    "PatternSequence",
    "SequenceSearch",
    "check_name",
    "compile_pattern",
)
