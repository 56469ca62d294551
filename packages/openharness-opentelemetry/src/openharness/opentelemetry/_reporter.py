"""Runs as spans, while they go on."""

from __future__ import annotations

import asyncio
import logging
import os
from typing import TYPE_CHECKING, Final

import attrs
from opentelemetry import context as otel_context
from opentelemetry import metrics, trace

from openharness.core import __version__
from openharness.core.errors import InvalidValueError
from openharness.opentelemetry._metrics import Instruments
from openharness.opentelemetry._names import PROVIDER_NAMES
from openharness.opentelemetry._spans import RunSpans, SpanOptions
from openharness.opentelemetry._writer import SpanWriter

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import Self

    from opentelemetry.context import Context
    from opentelemetry.metrics import MeterProvider
    from opentelemetry.trace import TracerProvider

    from openharness.core.records import Recording, Signal

__all__ = ("OpenTelemetryReporter", "export_spans")

_SCOPE: Final = "openharness.opentelemetry"
_CAPTURE: Final = "OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT"
_MODES: Final = {"": False, "NO_CONTENT": False, "EVENT_ONLY": False, "SPAN_ONLY": True, "SPAN_AND_EVENT": True}

_log: Final = logging.getLogger(_SCOPE)


class _Run:
    """One run: what begins and ends, and where it is written."""

    def __init__(self, options: SpanOptions, writer: SpanWriter) -> None:
        self._options = options
        self._writer = writer
        self.spans = RunSpans(attrs.evolve(options, conversation_of=self._conversation))

    def _conversation(self, first: Signal) -> str | None:
        """Ask the application's function; the run is traced also where it raises."""
        find = self._options.conversation_of
        try:
            return None if find is None else find(first)
        except Exception as error:  # noqa: BLE001 - it may raise anything
            self._writer.failed(error)
            return None

    def take(self, signal: Signal) -> None:
        try:
            steps = self.spans.apply(signal)
        except Exception as error:  # noqa: BLE001 - a signal that cannot be understood must not break the run
            self._writer.failed(error)
            return
        self._writer.write(steps)
        if self.spans.ended:
            self._writer.close()

    def leave(self) -> None:
        self._writer.write(self.spans.leave())
        self._writer.close()


class OpenTelemetryReporter:
    """Turns runs into spans and metrics of the GenAI conventions while they go on. A context manager, which closes it.

    It is a function of a signal, so it is subscribed as it is: ``harness.subscribe("**", reporter)``. It may be told of
    several runs, also at the same time. Each has a tree of spans: ``invoke_workflow`` for the run, in it
    ``invoke_agent`` for each activation, and in these ``chat`` for each request to a model, retries included, and
    ``execute_tool`` for each call of a tool. The times are those of the signals. An activation that a signal of another
    one caused has a link to it. The span of the run is in the one that was current where the run began.

    Whatever a tracer, an exporter or one of the functions given here raises is logged to ``openharness.opentelemetry``
    and goes no further. A replay is a run, too: its spans have the times of the recording.

    Args:
        tracer_provider: Where spans go; None: the global one.
        meter_provider: Where metrics go; None: the global one.
        capture_content: Whether spans hold prompts, answers, arguments and results of tools, as the log has them. None:
            as the environment variable ``OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT`` says, and without it: no.
        workflow: The name of what is run: ``gen_ai.workflow.name``.
        conversation_of: Given the first signal of a run, returns the conversation it belongs to, or None. Then agents
            with ``history="agent"`` have one each in that run, by the name ``RUN/AGENT``.
        provider_names: ``gen_ai.provider.name`` by `openharness.core.Provider.type`, where it is not the type itself;
            ``claude`` is known to be ``anthropic``.

    Raises:
        InvalidValueError: An option is none of these.
    """

    def __init__(
        self,
        tracer_provider: TracerProvider | None = None,
        meter_provider: MeterProvider | None = None,
        *,
        capture_content: bool | None = None,
        workflow: str | None = None,
        conversation_of: Callable[[Signal], str | None] | None = None,
        provider_names: Mapping[str, str] | None = None,
    ) -> None:
        self._options = _options(capture_content, workflow, conversation_of, provider_names)
        self._tracer = trace.get_tracer(_SCOPE, __version__, tracer_provider)
        self._instruments = Instruments(metrics.get_meter(_SCOPE, __version__, meter_provider))
        self._runs: dict[str, _Run] = {}

    def __call__(self, signal: Signal) -> None:
        """Take the next signal of a run."""
        run_id = signal.id.removesuffix(f"/{signal.seq}")
        if signal.seq == 0:
            # A run that was left in the middle, and is replayed.
            self._leave(run_id)
        run = self._runs.get(run_id)
        if run is None:
            writer = SpanWriter(self._tracer, otel_context.get_current(), self._instruments)
            run = self._runs[run_id] = _Run(self._options, writer)
            self._leave_with_task(run_id, run)
        run.take(signal)
        if run.spans.ended:
            del self._runs[run_id]

    def close(self) -> None:
        """End the spans of runs that have not ended. Closing twice is no error."""
        for run_id in list(self._runs):
            self._leave(run_id)

    def __enter__(self) -> Self:
        """Return the reporter."""
        return self

    def __exit__(self, *exc_info: object) -> None:
        """Close it."""
        self.close()

    def _leave(self, run_id: str) -> None:
        run = self._runs.pop(run_id, None)
        if run is not None:
            run.leave()

    def _leave_with_task(self, run_id: str, run: _Run) -> None:
        """End the spans of a run whose end is never told, as when its store fails: with the task that tells of it."""
        try:
            task = asyncio.current_task()
        except RuntimeError:
            return

        def leave(_: object) -> None:
            if self._runs.get(run_id) is run:
                self._leave(run_id)

        if task is not None:
            task.add_done_callback(leave)


def export_spans(
    recording: Recording,
    tracer_provider: TracerProvider | None = None,
    *,
    context: Context | None = None,
    capture_content: bool | None = None,
    workflow: str | None = None,
    conversation_of: Callable[[Signal], str | None] | None = None,
    provider_names: Mapping[str, str] | None = None,
) -> None:
    """Export a recorded run as the spans that `OpenTelemetryReporter` would have made of it, with the recorded times.

    A recording without an end, as that of a process that was killed, has spans that end with its last signal and a
    status that says so. Metrics are not recorded: they would count as of now. As with the reporter, nothing that an
    exporter raises comes out of here.

    Args:
        recording: The run.
        tracer_provider: Where spans go; None: the global one.
        context: What the span of the run is in; None: nothing, a trace of its own.
        capture_content: As for `OpenTelemetryReporter`.
        workflow: Likewise.
        conversation_of: Likewise.
        provider_names: Likewise.

    Raises:
        InvalidValueError: An option is none of these.
    """
    options = _options(capture_content, workflow, conversation_of, provider_names)
    tracer = trace.get_tracer(_SCOPE, __version__, tracer_provider)
    run = _Run(options, SpanWriter(tracer, otel_context.Context() if context is None else context))
    for signal in recording.signals:
        run.take(signal)
    run.leave()


def _options(
    capture_content: bool | None,
    workflow: str | None,
    conversation_of: Callable[[Signal], str | None] | None,
    provider_names: Mapping[str, str] | None,
) -> SpanOptions:
    if capture_content is None:
        capture_content = _captured()
    if type(capture_content) is not bool:
        raise InvalidValueError("capture_content", value=capture_content, expected="True, False or None")
    if workflow is not None and type(workflow) is not str:
        raise InvalidValueError("workflow", value=workflow, expected="a text or None")
    if conversation_of is not None and not callable(conversation_of):
        raise InvalidValueError("conversation_of", value=conversation_of, expected="a function of a signal, or None")
    return SpanOptions(
        content=capture_content,
        workflow=workflow,
        conversation_of=conversation_of,
        provider_names={**PROVIDER_NAMES, **(provider_names or {})},
    )


def _captured() -> bool:
    """Whether the environment asks for what was said. There are no events here, so those modes mean nothing."""
    given = os.environ.get(_CAPTURE, "").strip().upper()
    if given not in _MODES:
        _log.warning("%s=%r is none of %s: nothing is captured", _CAPTURE, given, ", ".join(filter(None, _MODES)))
    return _MODES.get(given, False)
