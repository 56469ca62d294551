"""Claude as a provider, through the official ``anthropic`` SDK."""

from __future__ import annotations

from openharness.provider_claude._provider import DEFAULT_MODEL, ClaudeProvider

__all__ = ("DEFAULT_MODEL", "ClaudeProvider")
