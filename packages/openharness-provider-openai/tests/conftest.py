"""Lets the tests of this folder import what the tests of providers over HTTP share."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2] / "openharness-provider-http" / "tests" / "support"))
