"""What is true of the spans of every run, live and from its recording."""

from __future__ import annotations

import asyncio
import os
from typing import TYPE_CHECKING

import attrs
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans
from span_support import Spans, expected_of
from told_runs import random_run

from openharness.core import Recording, RecordingInfo, Signal, SignalSource
from openharness.core.records import signal_id
from openharness.opentelemetry import OpenTelemetryReporter, export_spans
from openharness.opentelemetry._spans import RunSpans, SpanOptions

if TYPE_CHECKING:
    from span_support import Seen

LONG = os.environ.get("OPENHARNESS_LONG") == "1"
NASTY = "é\ud83d\0日本"


def shape(seen: list[Seen]) -> list[tuple[str, str, str | None, tuple[str, ...]]]:
    """Id, name, parent and causes of each span."""
    return sorted((span.id, span.name, span.parent, tuple(key for key, _ in span.links)) for span in seen)


def check_runs(seeds: range, *, content: bool = True) -> int:
    """Compare the spans of runs, live and exported, with each other and with their logs; return how many there were."""
    total = 0
    for seed in seeds:
        live, later = Spans(), Spans()
        with OpenTelemetryReporter(live.provider, capture_content=content) as reporter:
            recording = asyncio.run(random_run(seed, reporter))
        export_spans(recording, later.provider, capture_content=content)
        assert live.seen == later.seen, seed
        assert shape(live.seen) == expected_of(recording), seed
        by_id = {span.id: span for span in live.seen}
        assert len(by_id) == len(live.seen), seed
        for span in live.seen:
            outer = by_id[span.parent or "run"]
            assert outer.start <= span.start <= span.end <= outer.end, (seed, span)
        total += len(live.seen)
    return total


def test_live_and_stored() -> None:
    """Live and stored export of a run give the same spans, as many as its log says, each inside of its parent."""
    assert check_runs(range(25)) > 150


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_live_and_stored_at_length() -> None:
    """The same is true of many runs."""
    assert check_runs(range(1000, 5000 if LONG else 1060)) > 300


def test_every_beginning() -> None:
    """However few signals of a run there are, all spans end, the same ones live and stored, none after the last signal."""
    for seed in range(3):
        recording = asyncio.run(random_run(seed))
        for count in range(0, len(recording.signals), 3):
            live, later = Spans(), Spans()
            cut = attrs.evolve(recording, signals=recording.signals[:count])
            export_spans(cut, later.provider)
            with OpenTelemetryReporter(live.provider) as reporter:
                for signal in cut.signals:
                    reporter(signal)
            assert live.seen == later.seen
            expected = expected_of(cut) if count else []
            assert shape(live.seen) == expected
            assert all(span.end <= cut.signals[-1].timestamp * 1_000_000 for span in live.seen)


def test_every_end() -> None:
    """A reporter that comes late tells of what it sees from then on, and leaves no span open."""
    for seed in range(3):
        recording = asyncio.run(random_run(seed))
        for first in range(1, len(recording.signals), 3):
            spans = Spans()
            export_spans(attrs.evolve(recording, signals=recording.signals[first:]), spans.provider)
            assert {span.name for span in spans.seen} >= {"invoke_workflow"}
            known = {row[0] for row in expected_of(recording)}
            assert {span.id for span in spans.seen} <= known


def test_what_is_kept() -> None:
    """What is kept of a run does not grow with its signals, only with its activations."""
    spans = RunSpans(SpanOptions())
    source = SignalSource("a", "p", "run/1", "a#1")
    for seq in range(2_000):
        name, payload = ("text:delta", {"call": "a#1/0/0", "text": "word"}) if seq % 2 else ("mine", {"n": seq})
        spans.apply(Signal(signal_id("run", seq), name=name, payload=payload, timestamp=seq, seq=seq, source=source))
    kept = [value for value in vars(spans).values() if isinstance(value, (dict, list, set))]
    assert sum(map(len, kept)) < 20


texts = st.one_of(st.text(max_size=8), st.sampled_from([NASTY, "", "a#1", "a#1/0/0", "a#1/0/1"]))
values = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(allow_nan=False, allow_infinity=False), texts),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.dictionaries(
            st.sampled_from(["usage", "request", "messages", "content", "tools", "model", "input_tokens", "stop"]),
            inner,
            max_size=4,
        ),
    ),
    max_leaves=8,
)
names = st.sampled_from(
    [
        *("harness:start", "harness:end", "harness:resumed", "harness:forked", "agent:activated", "agent:completed"),
        *("agent:error", "provider:start", "provider:restart", "provider:end", "provider:error", "text:delta"),
        *("thinking:delta", "tool:call", "tool:start", "tool:restart", "tool:result", "tool:unknown", "mine", NASTY),
    ]
)
members = st.sampled_from(
    [
        *("agent", "activation", "call", "tool_call", "output", "error", "status", "name", "id", "request", "data"),
        *("arguments", "result", "message", "kind", "type", "run_id", "resumed_from", "text", "history"),
    ]
)
payloads = st.one_of(values, st.dictionaries(members, st.one_of(texts, values), max_size=6))
sources = st.builds(SignalSource, *[st.one_of(st.none(), texts)] * 4)
hostile = st.lists(st.tuples(names, payloads, sources, st.integers(-(2**70), 2**70)), min_size=1, max_size=14)


@settings(max_examples=3000 if LONG else 60)
@given(hostile)
def test_hostile_logs(parts: list[tuple[str, object, SignalSource, int]]) -> None:
    """Whatever a log holds, all spans end, nothing is raised, live is as stored, and OTLP can encode every span."""
    signals = [
        Signal(signal_id("run", seq), name=name, payload=payload, timestamp=time, seq=seq, source=source)
        for seq, (name, payload, source, time) in enumerate(parts)
    ]
    live, later = Spans(), Spans()
    export_spans(
        Recording(info=RecordingInfo(id="rec", run_id="run", created_at=0), signals=signals),
        later.provider,
        capture_content=True,
        workflow=NASTY,
        conversation_of=lambda first: NASTY,
    )
    with OpenTelemetryReporter(
        live.provider, capture_content=True, workflow=NASTY, conversation_of=lambda first: NASTY
    ) as reporter:
        for signal in signals:
            reporter(signal)
    assert all(span.start <= span.end for span in later.seen)
    if "harness:end" not in [name for name, *_ in parts[:-1]]:
        assert live.seen == later.seen
    encoded = encode_spans(later.finished)
    written = [span for group in encoded.resource_spans for scope in group.scope_spans for span in scope.spans]
    assert [len(span.attributes) for span in written] == [len(span.attributes or {}) for span in later.finished]
