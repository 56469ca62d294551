"""The interfaces that back ends implement: `RunStore`, `SignalStore` and `Provider`.

Each docstring is a contract a stranger can implement from; ``openharness.testing`` holds the same contracts as tests.
"""

from __future__ import annotations

from openharness.core.interfaces._provider import (
    Completed,
    Message,
    Provider,
    ProviderCapabilities,
    ProviderEvent,
    ProviderOutput,
    ProviderRequest,
    ProviderWarning,
    RunContext,
    TextDelta,
    ThinkingDelta,
    ToolCall,
    Usage,
)
from openharness.core.interfaces._run_store import RunStore
from openharness.core.interfaces._signal_store import SignalStore

__all__ = (
    "Completed",
    "Message",
    "Provider",
    "ProviderCapabilities",
    "ProviderEvent",
    "ProviderOutput",
    "ProviderRequest",
    "ProviderWarning",
    "RunContext",
    "RunStore",
    "SignalStore",
    "TextDelta",
    "ThinkingDelta",
    "ToolCall",
    "Usage",
)
