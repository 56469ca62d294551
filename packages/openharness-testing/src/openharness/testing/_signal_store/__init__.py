"""The contract of `openharness.core.SignalStore` as tests, a part of it in each module.

Leaves to others what every contract needs (`openharness.testing._kit`) and the values that go wrong
(`openharness.testing.corpus`).
"""

from __future__ import annotations

from openharness.testing._signal_store._contract import SignalStoreContract

__all__ = ("SignalStoreContract",)
