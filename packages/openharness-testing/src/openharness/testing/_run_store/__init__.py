"""The contract of `openharness.core.RunStore` as tests, a part of it in each module.

Leaves to others what every contract needs (`openharness.testing._kit`) and the values that go wrong
(`openharness.testing.corpus`).
"""

from __future__ import annotations

from openharness.testing._run_store._contract import RunStoreContract

__all__ = ("RunStoreContract",)
