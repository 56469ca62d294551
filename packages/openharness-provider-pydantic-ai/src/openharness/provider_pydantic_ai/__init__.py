"""Every model that Pydantic AI reaches as a provider, through its direct requests to models."""

from __future__ import annotations

from openharness.provider_pydantic_ai._provider import PydanticAIProvider, StructuredOutput

__all__ = ("PydanticAIProvider", "StructuredOutput")
