"""Providers that need nothing beside Python: functions as models, and limits for other providers."""

from __future__ import annotations

from openharness.core.providers._events import open_events
from openharness.core.providers._function import AnswerPiece, FunctionProvider, ProviderAnswer
from openharness.core.providers._limited import LimitedProvider

__all__ = ("AnswerPiece", "FunctionProvider", "LimitedProvider", "ProviderAnswer", "open_events")
