"""Functions that block, in threads that keep nobody else waiting."""

from __future__ import annotations

from openharness.core.threads._worker import Worker

__all__ = ("Worker",)
