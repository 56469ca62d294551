"""Runs and recordings moved from any store to any other: again and again, until all is there, and nothing overwritten.

`copy_runs` and `copy_recordings` use nothing but the interfaces. A copy that was interrupted, by an error or by the death
of its process, is simply begun again: what is there already is compared and passed over, and what is there in part is
completed. What was written is read back, and has the digest of what was read.
"""

from __future__ import annotations

from openharness.core.copying._digests import recording_digest, run_digest
from openharness.core.copying._recordings import copy_recordings
from openharness.core.copying._report import CopiedItem, CopyProgress, CopyReport, CopyStatus
from openharness.core.copying._runs import copy_runs

__all__ = (
    "CopiedItem",
    "CopyProgress",
    "CopyReport",
    "CopyStatus",
    "copy_recordings",
    "copy_runs",
    "recording_digest",
    "run_digest",
)
