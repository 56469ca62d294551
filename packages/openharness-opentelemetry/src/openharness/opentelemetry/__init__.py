"""Runs of OpenHarness as spans and metrics of OpenTelemetry, after its GenAI semantic conventions."""

from __future__ import annotations

from openharness.opentelemetry._reporter import OpenTelemetryReporter, export_spans

__all__ = ("OpenTelemetryReporter", "export_spans")
