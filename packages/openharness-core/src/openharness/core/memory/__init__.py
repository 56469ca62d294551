"""Stores that keep everything in memory."""

from __future__ import annotations

from openharness.core.memory._run_store import InMemoryRunStore

__all__ = ("InMemoryRunStore",)
