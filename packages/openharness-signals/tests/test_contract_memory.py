"""The contract of signal stores, on the store in memory."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from openharness.signals import MemorySignalStore
from openharness.testing import SignalStoreContract

if TYPE_CHECKING:
    from openharness.core import SignalStore


class TestMemorySignalStore(SignalStoreContract):
    """`MemorySignalStore` keeps the contract of signal stores; it promises nothing beyond it."""

    @pytest.fixture
    def store(self) -> SignalStore:
        """A store with nothing in it."""
        return MemorySignalStore()
