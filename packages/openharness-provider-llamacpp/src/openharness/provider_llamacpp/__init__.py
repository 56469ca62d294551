"""A local GGUF model as a provider: llama.cpp inside the process, no key and no network."""

from __future__ import annotations

from openharness.provider_llamacpp._models import DEFAULT_MODEL
from openharness.provider_llamacpp._provider import LlamaCppProvider

__all__ = ("DEFAULT_MODEL", "LlamaCppProvider")
