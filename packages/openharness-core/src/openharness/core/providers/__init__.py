"""Providers that need nothing beside Python: functions as models, and limits for other providers."""

from __future__ import annotations

from openharness.core.providers._events import open_events
from openharness.core.providers._function import AnswerPiece, FunctionProvider, ProviderAnswer
from openharness.core.providers._limited import LimitedProvider
from openharness.core.providers._request import (
    check_request,
    function_tool,
    further_options,
    json_text,
    without_surrogates,
)

__all__ = (
    "AnswerPiece",
    "FunctionProvider",
    "LimitedProvider",
    "ProviderAnswer",
    "check_request",
    "function_tool",
    "further_options",
    "json_text",
    "open_events",
    "without_surrogates",
)
