"""Lets the tests of this folder import what they share from ``support/``, and generate examples without a clock."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from hypothesis import settings

sys.path.insert(0, str(Path(__file__).parent / "support"))

# Whatever secrets the environment has, tests of streams see the pieces that were sent: none looks like their beginning.
for name in list(os.environ):
    if name.upper().endswith(("_KEY", "_TOKEN", "_SECRET", "_PASSWORD")):
        del os.environ[name]

# The first example imports what the others find imported, and a busy machine is not a slow program.
settings.register_profile("openharness", deadline=None)
settings.load_profile("openharness")
