"""The reporter within runs and programs: failures go no further, nothing is left open, and metrics are recorded."""

from __future__ import annotations

import asyncio
import logging
import subprocess
import sys
import threading
from typing import TYPE_CHECKING, Any

import pytest
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF
from told_runs import Storyteller, listening, run_told

from openharness.core import RunError, create_harness
from openharness.opentelemetry import OpenTelemetryReporter, export_spans
from openharness.signals import MemorySignalStore

if TYPE_CHECKING:
    from collections.abc import Sequence

    from opentelemetry.sdk.trace import ReadableSpan, Span
    from span_support import Spans

    from openharness.core import Signal


class Raises(SpanProcessor):
    """Fails at the beginning or at the end of every span."""

    def __init__(self, moment: str) -> None:
        self.moment = moment

    def on_start(self, span: Span, parent_context: Any = None) -> None:
        """Fail."""
        if self.moment == "start":
            raise OSError("no disk")

    def on_end(self, span: ReadableSpan) -> None:
        """Fail."""
        if self.moment == "end":
            raise OSError("no disk")


@pytest.mark.parametrize("moment", ["start", "end"])
async def test_processor_that_raises(spans: Spans, moment: str, caplog: pytest.LogCaptureFixture) -> None:
    """A processor that raises changes nothing in the run or its log, is told of twice, and leaves no span open."""
    told: list[Signal] = []
    plain = await run_told(told.append)
    spans.provider.add_span_processor(Raises(moment))
    with caplog.at_level(logging.WARNING, "openharness"):
        recording = await run_told(OpenTelemetryReporter(spans.provider), told.append)
        export_spans(recording, spans.provider)
    assert recording.info.outcome == "completed"
    names = [
        [signal.name for signal in one.signals if not signal.name.startswith("tool")] for one in (plain, recording)
    ]
    assert names[0] == names[1]
    messages = [record.getMessage() for record in caplog.records if record.name == "openharness.opentelemetry"]
    assert messages == ["A run could not be traced in full: OSError('no disk')",
                        "8 parts of a run could not be traced"] * 2  # fmt: skip
    if moment == "end":
        assert spans.counter.open == 0


async def test_function_that_raises(spans: Spans, caplog: pytest.LogCaptureFixture) -> None:
    """Where the conversation cannot be found, the spans are without it, and the run is what it was."""

    def conversation_of(signal: Signal) -> str:
        raise KeyError(signal.name)

    recording = await run_told(OpenTelemetryReporter(spans.provider, conversation_of=conversation_of))
    assert recording.info.outcome == "completed"
    assert [signal for signal in recording.signals if signal.name == "subscriber:error"] == []
    assert spans.one("run").get("gen_ai.conversation.id") is None
    assert len(spans.seen) == 8
    assert "KeyError('harness:start')" in caplog.text


class Slow(SpanExporter):
    """Takes its time, in the thread of the SDK."""

    def __init__(self) -> None:
        self.spans: list[ReadableSpan] = []
        self.may = threading.Event()

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        """Wait until it may, and keep them."""
        assert self.may.wait(50)
        self.spans += spans
        return SpanExportResult.SUCCESS


async def test_slow_exporter() -> None:
    """A run does not wait for an exporter behind the SDK's batches: it is over before one of its spans is written."""
    exporter, provider = Slow(), TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(BatchSpanProcessor(exporter, schedule_delay_millis=1, max_export_batch_size=1))
    await run_told(OpenTelemetryReporter(provider))
    assert exporter.spans == []
    exporter.may.set()
    provider.shutdown()
    assert len(exporter.spans) == 8
    assert len(exporter.spans) == 8


async def test_store_that_fails(spans: Spans) -> None:
    """A run whose end is never told, as its store has failed, leaves no span open once it is over."""

    class Full(MemorySignalStore):
        """Has room for a few entries."""

        async def append(self, recording_id: str, entries: Any) -> None:
            if any(getattr(entry, "name", "") == "provider:end" for entry in entries):
                raise OSError("no space left")
            await super().append(recording_id, entries)

    harness = create_harness()
    agents = {"teller": harness.agent(prompt="Tell!", activate_on="harness:start")}
    reporter = OpenTelemetryReporter(spans.provider)
    with listening(harness, reporter), pytest.raises((RunError, OSError)):
        await harness.run_reactive(agents=agents, state={}, provider=Storyteller(), store=Full())
    await asyncio.sleep(0)
    assert {span.id: span.get("error.type") for span in spans.seen} == dict.fromkeys(
        ["run", "teller#1", "chat teller#1/0/0"], "incomplete"
    )
    assert reporter._runs == {}


async def test_closing(spans: Spans) -> None:
    """Closing a reporter ends the spans of what goes on, twice is no error, and no run is kept."""
    recording = await run_told()
    with OpenTelemetryReporter(spans.provider) as reporter:
        for signal in recording.signals[:3]:
            reporter(signal)
        assert spans.counter.open == 3
    reporter.close()
    assert [span.id for span in spans.seen] == ["chat teller#1/0/0", "teller#1", "run"]


async def test_in_a_stream(spans: Spans) -> None:
    """In a loop over one run the reporter is called for each signal, with the same result."""
    harness = create_harness()
    reporter = OpenTelemetryReporter(spans.provider)
    agents = {"teller": harness.agent(prompt="Tell!", activate_on="harness:start")}
    async with harness.stream(agents=agents, state={}, provider=Storyteller()) as run:
        async for signal in run:
            reporter(signal)
    assert [span.id for span in spans.seen] == ["chat teller#1/0/0", "teller#1", "run"]
    assert {span.status for span in spans.seen} == {"UNSET"}


async def test_sampled_out(spans: Spans) -> None:
    """A run that is not sampled has no spans, and no failures either."""
    provider = TracerProvider(sampler=ALWAYS_OFF, shutdown_on_exit=False)
    for processor in spans.provider._active_span_processor._span_processors:
        provider.add_span_processor(processor)
    recording = await run_told(OpenTelemetryReporter(provider))
    assert recording.info.outcome == "completed"
    assert spans.finished == ()


def points(reader: InMemoryMetricReader) -> dict[str, list[Any]]:
    """The data points of each metric."""
    data = reader.get_metrics_data()
    assert data is not None
    (resource,) = data.resource_metrics
    (scope,) = resource.scope_metrics
    assert scope.scope.name == "openharness.opentelemetry"
    return {metric.name: list(metric.data.data_points) for metric in scope.metrics}


async def test_metrics(spans: Spans) -> None:
    """Durations, tokens and the time to the first chunk are recorded, told apart as the conventions say."""
    reader = InMemoryMetricReader()
    meters = MeterProvider([reader], shutdown_on_exit=False)
    recording = await run_told(OpenTelemetryReporter(spans.provider, meters, workflow="stories"))
    measured = points(reader)
    assert set(measured) == {
        "gen_ai.invoke_workflow.duration",
        "gen_ai.invoke_agent.duration",
        "gen_ai.client.operation.duration",
        "gen_ai.client.operation.time_to_first_chunk",
        "gen_ai.client.token.usage",
        "gen_ai.execute_tool.duration",
    }
    asked = {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": "storyteller",
        "gen_ai.request.model": "story-0",
        "gen_ai.response.model": "story-1",
    }
    calls = {
        point.attributes.get("gen_ai.request.model"): point for point in measured["gen_ai.client.operation.duration"]
    }
    assert dict(calls["story-0"].attributes) == asked
    took = [span.end - span.start for span in spans.named("chat story-0")]
    assert (calls["story-0"].count, calls["story-0"].sum) == (2, pytest.approx(sum(took) / 10**9))
    assert calls["story-0"].explicit_bounds[0] == 0.01
    tokens = {
        (point.attributes.get("gen_ai.request.model"), point.attributes["gen_ai.token.type"]): point.sum
        for point in measured["gen_ai.client.token.usage"]
    }
    assert tokens == {("story-0", "input"): 10, ("story-0", "output"): 4, (None, "input"): 6, (None, "output"): 2}
    assert sum(point.count for point in measured["gen_ai.client.operation.time_to_first_chunk"]) == 3
    tools = {
        point.attributes["gen_ai.tool.name"]: dict(point.attributes)
        for point in measured["gen_ai.execute_tool.duration"]
    }
    assert tools["fail"] == {
        "gen_ai.tool.name": "fail",
        "gen_ai.tool.type": "function",
        "gen_ai.agent.name": "teller",
        "error.type": "ArithmeticError",
    }
    (run,) = measured["gen_ai.invoke_workflow.duration"]
    assert dict(run.attributes) == {"gen_ai.workflow.name": "stories"}
    assert run.sum == pytest.approx((recording.signals[-1].timestamp - recording.signals[0].timestamp) / 1000)
    agents = [dict(point.attributes) for point in measured["gen_ai.invoke_agent.duration"]]
    assert {"gen_ai.agent.name": "teller", "gen_ai.request.model": "story-0"} in agents


async def test_metrics_of_failures(spans: Spans) -> None:
    """What failed is told apart by its kind."""
    reader = InMemoryMetricReader()
    await run_told(
        OpenTelemetryReporter(spans.provider, MeterProvider([reader], shutdown_on_exit=False)), prompt="fail"
    )
    measured = points(reader)
    kinds = {name: [point.attributes.get("error.type") for point in found] for name, found in measured.items()}
    assert kinds["gen_ai.client.operation.duration"] == ["rate_limit"]
    assert kinds["gen_ai.invoke_workflow.duration"] == ["AgentError"]
    assert "gen_ai.client.token.usage" not in kinds


def test_needs_the_interface_alone() -> None:
    """Importing the package imports nothing of an SDK: that is the application's choice."""
    program = "import sys, openharness.opentelemetry; print([m for m in sys.modules if 'opentelemetry.sdk' in m])"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)  # noqa: S603
    assert done.stdout.strip() == "[]"


async def test_without_an_sdk() -> None:
    """Where no SDK is set up, a run is what it was: nothing is written, and nothing fails."""
    told: list[str] = []
    recording = await run_told(OpenTelemetryReporter(), lambda signal: told.append(signal.name))
    export_spans(recording)
    assert told == [signal.name for signal in recording.signals]
