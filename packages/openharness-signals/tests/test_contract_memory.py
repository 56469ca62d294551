"""The contract of signal stores, on the store in memory."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

import pytest

from openharness.signals import MemorySignalStore
from openharness.testing import Ability, SignalStoreContract

_MAX_BYTES = 256 * 1024

if TYPE_CHECKING:
    from openharness.core import SignalStore


class TestMemorySignalStore(SignalStoreContract):
    """`MemorySignalStore` keeps the contract of signal stores; it takes over recordings, and promises nothing else beyond it."""

    abilities = frozenset({Ability.RESTORE})
    max_bytes: ClassVar[int] = _MAX_BYTES

    @pytest.fixture
    def store(self) -> SignalStore:
        """A store with nothing in it."""
        return MemorySignalStore(max_bytes=_MAX_BYTES)
