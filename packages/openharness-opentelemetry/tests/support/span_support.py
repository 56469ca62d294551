"""The spans that the SDK was given, as something that can be compared."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import attrs
from opentelemetry.sdk.trace import SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

if TYPE_CHECKING:
    from opentelemetry.context import Context
    from opentelemetry.sdk.trace import ReadableSpan, Span

    from openharness.core import Recording

__all__ = ("Seen", "Spans", "expected_of")

IDS = ("openharness.call", "openharness.tool_call", "openharness.activation")


@attrs.frozen
class Seen:
    """All that is known of a span but the numbers that tracing draws by lot."""

    id: str
    name: str
    kind: str
    start: int
    end: int
    status: str
    description: str | None
    parent: str | None
    links: tuple[tuple[str, tuple[tuple[str, Any], ...]], ...]
    attributes: tuple[tuple[str, Any], ...]

    def __getitem__(self, name: str) -> Any:
        """The value of an attribute."""
        return dict(self.attributes)[name]

    def get(self, name: str) -> Any:
        """The value of an attribute, None without one."""
        return dict(self.attributes).get(name)


class _Counter(SpanProcessor):
    """Counts how many spans are open."""

    def __init__(self) -> None:
        self.open = 0

    def on_start(self, span: Span, parent_context: Context | None = None) -> None:
        self.open += 1

    def on_end(self, span: ReadableSpan) -> None:
        self.open -= 1


class Spans:
    """A tracer provider of the SDK that keeps its spans in memory."""

    def __init__(self) -> None:
        self.exporter = InMemorySpanExporter()
        self.counter = _Counter()
        self.provider = TracerProvider(shutdown_on_exit=False)
        self.provider.add_span_processor(self.counter)
        self.provider.add_span_processor(SimpleSpanProcessor(self.exporter))

    @property
    def finished(self) -> tuple[ReadableSpan, ...]:
        """The spans as the SDK has them, in the order in which they ended."""
        return self.exporter.get_finished_spans()

    @property
    def seen(self) -> list[Seen]:
        """The spans, in the order in which they ended; no span is left open."""
        assert self.counter.open == 0
        names = {span.context.span_id: _id(span) for span in self.finished}
        return [_seen(span, names) for span in self.finished]

    def take(self) -> list[Seen]:
        """Return the spans and forget them."""
        seen = self.seen
        self.exporter.clear()
        return seen

    def one(self, id_: str) -> Seen:
        """Return the span of an activation, a call, or ``"run"``; the last one, where it began more than once."""
        return [span for span in self.seen if span.id == id_][-1]

    def named(self, start: str) -> list[Seen]:
        """Return the spans whose names begin like this."""
        return [span for span in self.seen if span.name.startswith(start)]


def _id(span: ReadableSpan) -> str:
    attributes = dict(span.attributes or {})
    kinds = {"chat": "chat ", "execute_tool": "tool "}
    kind = kinds.get(str(attributes.get("gen_ai.operation.name")), "")
    return next((kind + str(attributes[name]) for name in IDS if name in attributes), "run")


def _seen(span: ReadableSpan, names: dict[int, str]) -> Seen:
    assert span.context is not None
    assert span.start_time is not None
    assert span.end_time is not None
    return Seen(
        id=_id(span),
        name=span.name,
        kind=span.kind.name,
        start=span.start_time,
        end=span.end_time,
        status=span.status.status_code.name,
        description=span.status.description,
        parent=None if span.parent is None else names.get(span.parent.span_id, "outside"),
        links=tuple(
            (names[link.context.span_id], tuple(sorted((link.attributes or {}).items()))) for link in span.links
        ),
        attributes=tuple(sorted((span.attributes or {}).items())),
    )


def expected_of(recording: Recording) -> list[tuple[str, str, str | None, tuple[str, ...]]]:
    """What a whole log says of its spans, found by looking at all of it: id, name, parent and causes of each."""
    by_id = {signal.id: signal for signal in recording.signals}
    names: dict[str, str] = {}
    expected: list[tuple[str, str, str | None, tuple[str, ...]]] = [("run", "invoke_workflow", None, ())]
    for signal in recording.signals:
        payload = signal.payload
        if signal.name == "agent:activated":
            cause = by_id[signal.source.parent or ""].source.activation
            causes = () if cause is None else (cause,)
            expected.append((payload["activation"], f"invoke_agent {payload['agent']}", "run", causes))
        elif signal.name in {"provider:start", "provider:restart"}:
            model = payload.get("request", {}).get("model") or names.get(payload["call"])
            names[payload["call"]] = model
            name = f"chat {model}" if model else "chat"
            expected.append((f"chat {payload['call']}", name, signal.source.activation, ()))
        elif signal.name in {"tool:start", "tool:restart"}:
            tool = names.setdefault("tool " + payload["tool_call"], payload.get("name"))
            expected.append((f"tool {payload['tool_call']}", f"execute_tool {tool}", signal.source.activation, ()))
    return sorted(expected)
