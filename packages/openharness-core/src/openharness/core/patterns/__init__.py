"""Patterns over signal names, and an index that finds all matching ones with one look-up."""

from __future__ import annotations

from openharness.core.patterns._index import PatternIndex
from openharness.core.patterns._pattern import Pattern, PatternLike, check_name, compile_pattern

__all__ = ("Pattern", "PatternIndex", "PatternLike", "check_name", "compile_pattern")
