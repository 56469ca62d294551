"""Lets the tests of this folder import what they share from ``support/``."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent / "support"))

from hypothesis import HealthCheck, settings

# How long an example takes says more about who else uses the machine than about the code.
settings.register_profile("openharness-signals", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("openharness-signals")
