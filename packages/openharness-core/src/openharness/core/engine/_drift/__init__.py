"""Where a replay differs from its recording, told so that one sees why, and what to do.

`_same` compares two signals; `_agents` compares two sets of agents; `_diagnosis` finds out which part of the code a
difference comes of; `_report` is what is told, and `_completion` adds what it
takes the whole log to know; `_steps` finds all differences of two runs; `_text` and
`_json` are its two forms.
"""

from __future__ import annotations

from openharness.core.engine._drift._agents import AgentChanges
from openharness.core.engine._drift._completion import Surroundings, complete
from openharness.core.engine._drift._kinds import DriftKind
from openharness.core.engine._drift._report import DriftReport, LostActivation
from openharness.core.engine._drift._same import same_end, same_place, same_signal
from openharness.core.engine._drift._steps import StepComparison, step_of
from openharness.core.engine._drift._warning import ReplayDriftWarning

__all__ = (
    "AgentChanges",
    "DriftKind",
    "DriftReport",
    "LostActivation",
    "ReplayDriftWarning",
    "StepComparison",
    "Surroundings",
    "complete",
    "same_end",
    "same_place",
    "same_signal",
    "step_of",
)
