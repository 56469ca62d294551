"""The metrics of the conventions, from spans that end."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from openharness.opentelemetry import _names as names

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from opentelemetry.metrics import Histogram, Meter

    from openharness.opentelemetry._attributes import Value
    from openharness.opentelemetry._spans import SpanEnd, SpanStart

__all__ = ("Instruments",)

_SECONDS: Final = (0.01, 0.02, 0.04, 0.08, 0.16, 0.32, 0.64, 1.28, 2.56, 5.12, 10.24, 20.48, 40.96, 81.92)
_AGENT_SECONDS: Final = (0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 6.4, 12.8, 25.6, 51.2, 102.4, 204.8, 409.6)
_RUN_SECONDS: Final = (1, 5, 10, 30, 60, 120, 300, 600, 1800, 3600, 7200)
_TOKENS: Final = (1, 4, 16, 64, 256, 1024, 4096, 16384, 65536, 262144, 1048576, 4194304, 16777216, 67108864)
_NANOSECONDS: Final = 1_000_000_000

_DURATIONS: Final[Mapping[str, tuple[str, str, Sequence[float], tuple[str, ...]]]] = {
    names.INVOKE_WORKFLOW: ("gen_ai.invoke_workflow.duration", "Runs.", _RUN_SECONDS, (names.WORKFLOW_NAME,)),
    names.INVOKE_AGENT: (
        "gen_ai.invoke_agent.duration",
        "Activations of agents.",
        _AGENT_SECONDS,
        (names.AGENT_NAME, names.REQUEST_MODEL),
    ),
    names.CHAT: (
        "gen_ai.client.operation.duration",
        "Requests to models.",
        _SECONDS,
        (names.OPERATION_NAME, names.PROVIDER_NAME, names.REQUEST_MODEL, names.RESPONSE_MODEL),
    ),
    names.EXECUTE_TOOL: (
        "gen_ai.execute_tool.duration",
        "Calls of tools.",
        _SECONDS,
        (names.TOOL_NAME, names.TOOL_TYPE, names.AGENT_NAME),
    ),
}
"""By operation: the name of its metric, what it measures, its buckets, and the attributes it is told apart by."""


class Instruments:
    """The histograms of the conventions.

    Args:
        meter: What they are made with.
    """

    def __init__(self, meter: Meter) -> None:
        self._durations: dict[str, Histogram] = {
            operation: meter.create_histogram(
                name, unit="s", description=f"How long it took: {what}", explicit_bucket_boundaries_advisory=buckets
            )
            for operation, (name, what, buckets, _) in _DURATIONS.items()
        }
        self._tokens = meter.create_histogram(
            "gen_ai.client.token.usage",
            unit="{token}",
            description="Tokens of requests and of answers.",
            explicit_bucket_boundaries_advisory=_TOKENS,
        )
        self._first_chunk = meter.create_histogram(
            "gen_ai.client.operation.time_to_first_chunk",
            unit="s",
            description="From a request to the first piece of its answer.",
            explicit_bucket_boundaries_advisory=_SECONDS,
        )

    def record(self, start: SpanStart, end: SpanEnd) -> None:
        """Record a span that has ended."""
        attributes: dict[str, Value] = {**start.attributes, **end.attributes}
        operation = str(attributes[names.OPERATION_NAME])
        kept = (*_DURATIONS[operation][3], names.ERROR_TYPE)
        told = {name: attributes[name] for name in kept if name in attributes}
        self._durations[operation].record((end.at - start.at) / _NANOSECONDS, told)
        if operation != names.CHAT:
            return
        first = attributes.get(names.TIME_TO_FIRST_CHUNK)
        if isinstance(first, float):
            self._first_chunk.record(first, told)
        for attribute, kind in ((names.INPUT_TOKENS, "input"), (names.OUTPUT_TOKENS, "output")):
            count = attributes.get(attribute)
            if isinstance(count, int):
                self._tokens.record(count, {**told, names.TOKEN_TYPE: kind})
