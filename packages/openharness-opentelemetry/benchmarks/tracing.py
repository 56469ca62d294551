"""What tracing costs: the same run with no listener, with one that does nothing, and with the reporter.

Each kind takes its turn in every round, so that a loaded machine is as slow for one as for the other; the figures are CPU
time of the process a signal, the median of the rounds, and what it is times that of the run without a listener.

Run it with ``python tracing.py``, with a number of rounds if you like; it takes half a minute.
"""

from __future__ import annotations

import asyncio
import gc
import statistics
import sys
import time
from typing import TYPE_CHECKING, Any

from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor, SpanExporter, SpanExportResult

from openharness.core import create_harness
from openharness.opentelemetry import OpenTelemetryReporter, export_spans
from openharness.signals import MemorySignalStore
from openharness.testing import ScriptedProvider

if TYPE_CHECKING:
    from collections.abc import Callable

ROUNDS = 15
AGENTS = 40
PIECES = ["word "] * 20


class Nowhere(SpanExporter):
    """Drops what it is given: what an exporter costs is not what is measured."""

    def export(self, spans: Any) -> SpanExportResult:
        """Drop them."""
        del spans
        return SpanExportResult.SUCCESS


async def run(listener: Callable[..., Any] | None) -> tuple[float, int, MemorySignalStore]:
    """Run agents one after the other, and return the CPU seconds, the number of signals, and the store."""
    harness, store = create_harness(), MemorySignalStore()
    agents = {
        f"agent{number}": harness.agent(
            prompt="Go on.", activate_on=f"told:{number - 1}" if number else "harness:start", emits=f"told:{number}"
        )
        for number in range(AGENTS)
    }
    if listener is not None:
        harness.subscribe("**", listener)
    gc.collect()
    began = time.process_time()
    result = await harness.run_reactive(
        agents=agents, state={}, provider=ScriptedProvider(lambda _: PIECES), store=store
    )
    return time.process_time() - began, len(result.signals), store


def tracing(**options: Any) -> OpenTelemetryReporter:
    """Return a reporter whose spans go nowhere."""
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(Nowhere()))
    return OpenTelemetryReporter(provider, **options)


def main(rounds: int) -> None:
    """Measure, and print a table."""
    kinds: dict[str, Callable[[], Callable[..., Any] | None]] = {
        "no listener": lambda: None,
        "a listener that does nothing": lambda: lambda _: None,
        "OpenTelemetryReporter, no SDK": OpenTelemetryReporter,
        "OpenTelemetryReporter": tracing,
        "OpenTelemetryReporter, capture_content": lambda: tracing(capture_content=True),
    }
    times: dict[str, list[float]] = {kind: [] for kind in kinds}
    exports: list[float] = []
    count = 0
    for _ in range(rounds + 1):
        for kind, make in kinds.items():
            seconds, count, store = asyncio.run(run(make()))
            times[kind].append(seconds / count)
        (info,) = asyncio.run(store.list_recordings())
        recording = asyncio.run(store.load_recording(info.id))
        assert recording is not None
        provider = TracerProvider(shutdown_on_exit=False)
        provider.add_span_processor(SimpleSpanProcessor(Nowhere()))
        began = time.process_time()
        export_spans(recording, provider)
        exports.append((time.process_time() - began) / count)
    # The first round imports what is imported late.
    base = statistics.median(times["no listener"][1:])
    print(f"{count} signals, {AGENTS} activations, {len(PIECES)} pieces an answer; {rounds} rounds; CPU time a signal")
    for kind, seconds in [*times.items(), ("export_spans of the recording", exports)]:
        middle = statistics.median(seconds[1:])
        print(f"  {kind:<40} {middle * 1e6:6.1f} us  {middle / base:5.2f} x")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else ROUNDS)
