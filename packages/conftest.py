"""How the tests of all packages generate examples."""

from __future__ import annotations

from hypothesis import HealthCheck, settings

# The first example imports what the others find imported, and a busy machine is not a slow program.
settings.register_profile("openharness", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("openharness")
