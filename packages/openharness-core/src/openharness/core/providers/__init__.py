"""Providers that need nothing beside Python."""

from __future__ import annotations

from openharness.core.providers._function import AnswerPiece, FunctionProvider, ProviderAnswer

__all__ = ("AnswerPiece", "FunctionProvider", "ProviderAnswer")
