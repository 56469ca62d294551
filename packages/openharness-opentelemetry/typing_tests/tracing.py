"""What type checkers see of the exports; nothing here is ever run."""

from __future__ import annotations

from typing import TYPE_CHECKING, assert_type

from opentelemetry.context import Context

from openharness.core.harness import Subscription
from openharness.opentelemetry import OpenTelemetryReporter, export_spans

if TYPE_CHECKING:
    from opentelemetry.metrics import MeterProvider
    from opentelemetry.trace import TracerProvider

    from openharness.core import Harness, Recording, Signal


def thread_of(first: Signal) -> str | None:
    """Find the conversation of a run."""
    return str(first.payload)


def check_reporter(tracing: TracerProvider, meters: MeterProvider, harness: Harness[dict[str, str]]) -> None:
    """A reporter takes the interfaces' providers, is a context manager, and can be subscribed as it is."""
    assert_type(OpenTelemetryReporter(), OpenTelemetryReporter)
    with OpenTelemetryReporter(
        tracing,
        meters,
        capture_content=True,
        workflow="poems",
        conversation_of=thread_of,
        provider_names={"mine": "acme"},
    ) as reporter:
        assert_type(reporter, OpenTelemetryReporter)
        assert_type(harness.subscribe("**", reporter), Subscription)
    reporter.close()


def check_export(recording: Recording, tracing: TracerProvider) -> None:
    """A recording is exported with the same options, but without metrics."""
    assert_type(export_spans(recording), None)
    export_spans(recording, tracing, context=Context(), capture_content=None, workflow=None, conversation_of=thread_of)


def check_wrong_arguments(recording: Recording, meters: MeterProvider) -> None:
    """Checkers refuse what cannot work."""
    OpenTelemetryReporter(meters)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    OpenTelemetryReporter(workflow=3)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    export_spans(recording, meter_provider=meters)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    export_spans()  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
