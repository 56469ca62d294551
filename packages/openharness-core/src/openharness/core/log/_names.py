"""The names of the signals the harness itself makes, and which of them are arrivals."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from openharness.core.records import Signal

__all__ = (
    "AGENT_ACTIVATED",
    "AGENT_COMPLETED",
    "AGENT_ERROR",
    "AGENT_SKIPPED",
    "APPROVAL_DENIED",
    "APPROVAL_GRANTED",
    "APPROVAL_REQUESTED",
    "HARNESS_CANCELLED",
    "HARNESS_END",
    "HARNESS_ENDING",
    "HARNESS_FINISHED",
    "HARNESS_FORKED",
    "HARNESS_INTERRUPTED",
    "HARNESS_LIMIT",
    "HARNESS_RESUMED",
    "HARNESS_START",
    "HARNESS_TIMEOUT",
    "INERT",
    "PROVIDER_END",
    "PROVIDER_ERROR",
    "PROVIDER_RESTART",
    "PROVIDER_RETRY",
    "PROVIDER_START",
    "PROVIDER_WARNING",
    "RESERVED_PREFIXES",
    "STREAMING",
    "SUBSCRIBER_ERROR",
    "TEXT_COMPLETE",
    "TEXT_DELTA",
    "TEXT_REJECTED",
    "THINKING_COMPLETE",
    "THINKING_DELTA",
    "TOOL_CALL",
    "TOOL_REJECTED",
    "TOOL_RESTART",
    "TOOL_RESULT",
    "TOOL_START",
    "TOOL_UNKNOWN",
    "is_arrival",
    "state_changed",
)

HARNESS_START: Final = "harness:start"
HARNESS_ENDING: Final = "harness:ending"
HARNESS_FINISHED: Final = "harness:finished"
HARNESS_FORKED: Final = "harness:forked"
HARNESS_LIMIT: Final = "harness:limit"
HARNESS_TIMEOUT: Final = "harness:timeout"
HARNESS_CANCELLED: Final = "harness:cancelled"
HARNESS_INTERRUPTED: Final = "harness:interrupted"
HARNESS_RESUMED: Final = "harness:resumed"
HARNESS_END: Final = "harness:end"
AGENT_ACTIVATED: Final = "agent:activated"
AGENT_SKIPPED: Final = "agent:skipped"
AGENT_COMPLETED: Final = "agent:completed"
AGENT_ERROR: Final = "agent:error"
PROVIDER_START: Final = "provider:start"
PROVIDER_END: Final = "provider:end"
PROVIDER_ERROR: Final = "provider:error"
PROVIDER_RETRY: Final = "provider:retry"
PROVIDER_RESTART: Final = "provider:restart"
PROVIDER_WARNING: Final = "provider:warning"
TEXT_DELTA: Final = "text:delta"
TEXT_COMPLETE: Final = "text:complete"
TEXT_REJECTED: Final = "text:rejected"
THINKING_DELTA: Final = "thinking:delta"
THINKING_COMPLETE: Final = "thinking:complete"
TOOL_CALL: Final = "tool:call"
TOOL_START: Final = "tool:start"
TOOL_RESULT: Final = "tool:result"
TOOL_REJECTED: Final = "tool:rejected"
TOOL_RESTART: Final = "tool:restart"
TOOL_UNKNOWN: Final = "tool:unknown"
APPROVAL_REQUESTED: Final = "approval:requested"
APPROVAL_GRANTED: Final = "approval:granted"
APPROVAL_DENIED: Final = "approval:denied"
SUBSCRIBER_ERROR: Final = "subscriber:error"

RESERVED_PREFIXES: Final = frozenset(
    {"harness", "agent", "provider", "text", "thinking", "tool", "state", "subscriber"}
)
"""First segments that only the harness gives to its signals."""

STREAMING: Final = frozenset({TEXT_DELTA, THINKING_DELTA})
"""Signals that come by the hundred; an agent's wildcards do not match them, a literal name does."""

INERT: Final = frozenset({AGENT_SKIPPED, SUBSCRIBER_ERROR, HARNESS_END, HARNESS_LIMIT})
"""Signals that activate nobody."""

_ARRIVALS: Final = frozenset(
    {
        HARNESS_START,
        HARNESS_FINISHED,
        HARNESS_FORKED,
        HARNESS_TIMEOUT,
        HARNESS_CANCELLED,
        HARNESS_INTERRUPTED,
        HARNESS_RESUMED,
        PROVIDER_END,
        PROVIDER_ERROR,
        PROVIDER_RETRY,
        PROVIDER_WARNING,
        TEXT_DELTA,
        THINKING_DELTA,
        TOOL_CALL,
        TOOL_RESULT,
        SUBSCRIBER_ERROR,
    }
)


def is_arrival(signal: Signal) -> bool:
    """Tell whether a signal came from outside: from a provider, a person, a clock. All others follow from these.

    An arrival is the first signal of its step. Signals injected into a run have names of the user's and no parent;
    whatever the run causes itself has one.
    """
    return signal.name in _ARRIVALS or signal.source.parent is None


def state_changed(field: str) -> str:
    """Return the name of the signals that tell of changes of a state field."""
    return f"state:{field}:changed"
