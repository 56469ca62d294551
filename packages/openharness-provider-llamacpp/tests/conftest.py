"""Lets the tests of this folder import what they share from ``support/``, and gives them a provider."""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

sys.path.insert(0, str(Path(__file__).parent / "support"))

from openharness.provider_llamacpp import LlamaCppProvider

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(scope="session")
def real_model() -> None:
    """Skip the test where the machine is known to have no model; elsewhere a missing one is a failure."""
    if os.environ.get("OPENHARNESS_TESTS_WITHOUT_MODEL"):
        pytest.skip("OPENHARNESS_TESTS_WITHOUT_MODEL is set")


@pytest.fixture(scope="module")
def provider(real_model: None) -> Iterator[LlamaCppProvider]:
    """Give one provider to all tests of a module: the model is loaded once, and every test has its own event loop."""
    provider = LlamaCppProvider()
    yield provider
    asyncio.run(provider.close())
