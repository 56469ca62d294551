"""The mode of a test session, and who chose it."""

from __future__ import annotations

import dataclasses
import os
from typing import TYPE_CHECKING, Final

import pytest

if TYPE_CHECKING:
    from openharness.core import Mode

__all__ = ("DRIFT_MODES", "MODES", "SessionMode", "session_mode")

DRIFT_MODES: Final = ("error", "warn", "ignore")
MODES: Final = ("replay", "record", "auto", "live")

_FALSE: Final = frozenset({"", "0", "false", "no", "off"})


@dataclasses.dataclass(frozen=True)
class SessionMode:
    """How the tests of a session run their agents, unless a test says otherwise.

    Attributes:
        mode: The mode.
        reason: Who chose it, as a phrase.
    """

    mode: Mode
    reason: str


def session_mode(option: Mode | None) -> SessionMode:
    """Return the mode: that of the option, else of the environment, else ``replay`` in CI and ``auto`` elsewhere.

    Args:
        option: What ``--harness-mode`` says.

    Raises:
        UsageError: The environment names no mode.
    """
    if option is not None:
        return SessionMode(option, "--harness-mode")
    given = os.environ.get("OPENHARNESS_MODE", "")
    if given:
        mode: Mode | None = next((mode for mode in MODES if mode == given), None)
        if mode is None:
            raise pytest.UsageError(f"OPENHARNESS_MODE must be one of {', '.join(MODES)}, got {given!r}.")
        return SessionMode(mode, "OPENHARNESS_MODE")
    if os.environ.get("CI", "").lower() not in _FALSE:
        return SessionMode("replay", "the default where CI is set")
    return SessionMode("auto", "the default")
