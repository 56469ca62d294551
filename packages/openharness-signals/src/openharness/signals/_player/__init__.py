"""Stepping through a recording: forward, back, and to any place, with the state of the run there.

From the bottom up: `_history` (the fold after any number of signals), `_snapshot` (what it says), `_player` (moving).
"""

from __future__ import annotations

from openharness.signals._player._player import Player
from openharness.signals._player._snapshot import Snapshot

__all__ = ("Player", "Snapshot")
