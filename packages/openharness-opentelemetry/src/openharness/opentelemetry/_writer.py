"""Spans as a tracer has them."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Final

from opentelemetry import trace
from opentelemetry.trace import Link, SpanKind, Status, StatusCode

from openharness.opentelemetry._spans import SpanStart

if TYPE_CHECKING:
    from collections.abc import Iterable

    from opentelemetry.context import Context
    from opentelemetry.trace import Span, SpanContext, Tracer

    from openharness.opentelemetry._metrics import Instruments
    from openharness.opentelemetry._spans import SpanEnd, SpanKey, SpanStep

__all__ = ("SpanWriter",)

_log: Final = logging.getLogger("openharness.opentelemetry")


class SpanWriter:
    """Begins and ends the spans of one run. A failure is logged and loses the span it happened at, no more.

    Args:
        tracer: What makes the spans.
        context: What the span of the run is in.
        instruments: Where to measure; None: nowhere.
    """

    def __init__(self, tracer: Tracer, context: Context, instruments: Instruments | None = None) -> None:
        self._tracer = tracer
        self._context = context
        self._instruments = instruments
        self._open: dict[SpanKey, tuple[Span, SpanStart]] = {}
        self._contexts: dict[SpanKey, SpanContext] = {}
        self._failures = 0

    def write(self, steps: Iterable[SpanStep]) -> None:
        """Begin and end what the steps say."""
        for step in steps:
            try:
                if isinstance(step, SpanStart):
                    self._start(step)
                else:
                    self._end(step)
            except Exception as error:  # noqa: BLE001 - an exporter may raise anything, and the run goes on
                self.failed(error)

    def failed(self, error: Exception) -> None:
        """Log that something could not be told: the first time in full, as what fails once will fail at every span."""
        self._failures += 1
        if self._failures == 1:
            _log.warning("A run could not be traced in full: %r", error, exc_info=error)

    def close(self) -> None:
        """Say how often something could not be told."""
        if self._failures > 1:
            _log.warning("%d parts of a run could not be traced", self._failures)
        self._failures = 0

    def _start(self, step: SpanStart) -> None:
        context = self._context
        if step.parent is not None and step.parent in self._open:
            context = trace.set_span_in_context(self._open[step.parent][0], context)
        span = self._tracer.start_span(
            step.name,
            context,
            SpanKind.CLIENT if step.client else SpanKind.INTERNAL,
            dict(step.attributes),
            [
                Link(self._contexts[link.key], dict(link.attributes))
                for link in step.links
                if link.key in self._contexts
            ],
            step.at,
        )
        self._open[step.key] = (span, step)
        if step.key[0] == "agent":
            # Links lead to activations that have long ended.
            self._contexts[step.key] = span.get_span_context()

    def _end(self, step: SpanEnd) -> None:
        found = self._open.pop(step.key, None)
        if found is None:
            return
        span, start = found
        try:
            span.set_attributes(dict(step.attributes))
            if step.failure is not None:
                span.set_status(Status(StatusCode.ERROR, step.failure.message))
        finally:
            try:
                span.end(step.at)
            finally:
                if self._instruments is not None:
                    self._instruments.record(start, step)
