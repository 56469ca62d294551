"""What the tests of all packages have in common: how examples are generated, and which tests of the kit are slow."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, settings

# The first example imports what the others find imported, and a busy machine is not a slow program.
settings.register_profile("openharness", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("openharness")


@pytest.hookimpl(tryfirst=True)  # before tests are left out by their marks
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark the tests of the contracts that start processes, which users of the kit have in every run."""
    for item in items:
        if isinstance(item, pytest.Function) and item.function.__qualname__.startswith("ProcessTests."):
            item.add_marker(pytest.mark.slow)
