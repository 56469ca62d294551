"""How a run ends, also from the middle of a step."""

from __future__ import annotations

from typing import TYPE_CHECKING

import attrs

from openharness.core.errors import RunError
from openharness.core.records import RunStatus

if TYPE_CHECKING:
    from openharness.core.records import Signal

__all__ = ("Outcome", "RunFailed")


@attrs.frozen
class Outcome:
    """How a run ended.

    Attributes:
        status: Its status.
        error: What it raises; None when it completed.
    """

    status: RunStatus
    error: RunError | None = None


class RunFailed(Exception):  # noqa: N818 - it is control flow, not an error anybody sees
    """Ends the step at once: the run is over.

    Attributes:
        status: How it ends.
        error: What it raises.
        parent: The signal that tells why.
    """

    def __init__(self, status: RunStatus, error: RunError, parent: Signal) -> None:
        super().__init__(str(error))
        self.status = status
        self.error = error
        self.parent = parent
