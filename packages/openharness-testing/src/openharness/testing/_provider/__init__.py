"""The contract of `openharness.core.Provider` as tests, a part of it in each module.

Leaves to others what every contract needs (`openharness.testing._kit`).
"""

from __future__ import annotations

from openharness.testing._provider._contract import ProviderContract

__all__ = ("ProviderContract",)
