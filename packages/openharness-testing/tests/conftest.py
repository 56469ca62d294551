"""Lets the tests of this folder generate examples without a clock."""

from __future__ import annotations

from hypothesis import HealthCheck, settings

# How long an example takes says more about who else uses the machine than about the code.
settings.register_profile("openharness-testing", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("openharness-testing")
