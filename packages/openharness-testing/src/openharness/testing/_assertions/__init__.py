"""Assertions about a run that read as sentences, and that show what was there when they fail.

From the bottom up: `_matching` (is this payload what was expected), `_counting` (how often, how much), `_rendering`
(signals as lines), `_observed` (a result and a recording, seen alike), `_claims` (the sentences).
"""

from __future__ import annotations

from openharness.testing._assertions._claims import RunAssertions, assert_that
from openharness.testing._assertions._observed import trajectory

__all__ = ("RunAssertions", "assert_that", "trajectory")
