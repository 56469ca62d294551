"""The store in memory keeps the contract of run stores."""

from __future__ import annotations

import pytest

from openharness.core import InMemoryRunStore
from openharness.testing import RunStoreContract


class TestInMemoryRunStore(RunStoreContract):
    """`InMemoryRunStore` promises no more than the contract."""

    max_bytes = 1024 * 1024

    @pytest.fixture
    def store(self) -> InMemoryRunStore:
        """Return an empty store."""
        return InMemoryRunStore(max_bytes=self.max_bytes)
