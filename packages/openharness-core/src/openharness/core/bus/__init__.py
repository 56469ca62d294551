"""Signals to whoever subscribed to their names, synchronously and in order.

Leaves to others where signals come from; the harness delivers through queues of its own, which may wait.
"""

from __future__ import annotations

from openharness.core.bus._bus import ErrorHandler, SignalBus, SignalHandler, Subscription

__all__ = ("ErrorHandler", "SignalBus", "SignalHandler", "Subscription")
