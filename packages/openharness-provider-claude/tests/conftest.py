"""Lets the tests of this folder import what the tests of providers over HTTP share, and generate examples without a clock."""

from __future__ import annotations

import sys
from pathlib import Path

from hypothesis import HealthCheck, settings

sys.path.insert(0, str(Path(__file__).parents[2] / "openharness-provider-http" / "tests" / "support"))

# How long an example takes says more about who else uses the machine than about the code.
settings.register_profile("openharness-provider-claude", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("openharness-provider-claude")
