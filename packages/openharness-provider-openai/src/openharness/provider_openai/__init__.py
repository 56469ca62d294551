"""OpenAI, and every server that speaks its Chat Completions API, as a provider through the official ``openai`` SDK."""

from __future__ import annotations

from openharness.provider_openai._provider import DEFAULT_MODEL, OpenAIProvider

__all__ = ("DEFAULT_MODEL", "OpenAIProvider")
