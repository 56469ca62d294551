"""What stands in the log of a run: its names, its changes of state, and the fold that gives it a meaning.

Leaves to others where logs are kept (`openharness.core.interfaces`) and what makes them (`openharness.core.engine`).
"""

from __future__ import annotations

from openharness.core.log._changes import Change, Operation, apply_change, find_changes
from openharness.core.log._conversation import NO_ANSWER, Exchange, Recollection, recall
from openharness.core.log._fold import (
    AgentTotals,
    OpenActivation,
    OpenCall,
    OpenToolCall,
    RunFold,
    ToolCallStatus,
)
from openharness.core.log._names import INERT, RESERVED_PREFIXES, STREAMING, is_arrival, state_changed
from openharness.core.log._volatile import Volatile, VolatileLike, VolatileRules, volatile_rules

__all__ = (
    "INERT",
    "NO_ANSWER",
    "RESERVED_PREFIXES",
    "STREAMING",
    "AgentTotals",
    "Change",
    "Exchange",
    "OpenActivation",
    "OpenCall",
    "OpenToolCall",
    "Operation",
    "Recollection",
    "RunFold",
    "ToolCallStatus",
    "Volatile",
    "VolatileLike",
    "VolatileRules",
    "apply_change",
    "find_changes",
    "is_arrival",
    "recall",
    "state_changed",
    "volatile_rules",
)
