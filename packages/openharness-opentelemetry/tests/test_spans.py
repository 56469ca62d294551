"""What spans a run has: their names, kinds, times, attributes, parents, links and status."""

from __future__ import annotations

import asyncio
import contextlib
import json
from typing import TYPE_CHECKING, Any

import attrs
import pytest
from opentelemetry import context, trace
from span_support import expected_of
from told_runs import MESSAGE, Storyteller, listening, run_told

from openharness.core import InterruptedRunError, InvalidValueError, create_harness, tool
from openharness.opentelemetry import OpenTelemetryReporter, export_spans
from openharness.signals import MemorySignalStore

if TYPE_CHECKING:
    from span_support import Spans

    from openharness.core import Recording

MS = 1_000_000


def at(recording: Recording, name: str, number: int = 0) -> int:
    """When a signal of this name was, as spans have it."""
    return [signal.timestamp for signal in recording.signals if signal.name == name][number] * MS


async def test_tree(spans: Spans) -> None:
    """A run has a span, its activations are in it, and their requests and tools in these, at the times of the log."""
    recording = await run_told(OpenTelemetryReporter(spans.provider))
    shape = sorted((span.id, span.name, span.parent, tuple(key for key, _ in span.links)) for span in spans.seen)
    assert shape == expected_of(recording)
    assert [row[:3] for row in shape] == [
        ("chat critic#1/0/0", "chat", "critic#1"),
        ("chat teller#1/0/0", "chat story-0", "teller#1"),
        ("chat teller#1/1/0", "chat story-0", "teller#1"),
        ("critic#1", "invoke_agent critic", "run"),
        ("run", "invoke_workflow", None),
        ("teller#1", "invoke_agent teller", "run"),
        ("tool teller#1/0/0", "execute_tool add", "teller#1"),
        ("tool teller#1/0/1", "execute_tool fail", "teller#1"),
    ]
    assert {span.kind for span in spans.named("chat")} == {"CLIENT"}
    assert {span.kind for span in spans.seen if not span.name.startswith("chat")} == {"INTERNAL"}
    run, teller, chat = spans.one("run"), spans.one("teller#1"), spans.one("chat teller#1/0/0")
    assert (run.start, run.end) == (at(recording, "harness:start"), at(recording, "harness:end"))
    assert (teller.start, teller.end) == (at(recording, "agent:activated"), at(recording, "agent:completed"))
    assert (chat.start, chat.end) == (at(recording, "provider:start"), at(recording, "provider:end"))


async def test_attributes(spans: Spans) -> None:
    """Spans say what the conventions ask for, with their words, and nothing of what was said."""
    reporter = OpenTelemetryReporter(
        spans.provider,
        workflow="stories",
        conversation_of=lambda first: first.payload["input"],
        provider_names={"storyteller": "acme"},
    )
    recording = await run_told(reporter, input="thread-1", system="Be brief.")
    run_id = recording.info.run_id
    common = {"gen_ai.conversation.id": "thread-1", "openharness.run.id": run_id}
    assert dict(spans.one("run").attributes) == {
        "gen_ai.operation.name": "invoke_workflow",
        "gen_ai.workflow.name": "stories",
        "openharness.run.status": "completed",
        **common,
    }
    assert spans.one("run").name == "invoke_workflow stories"
    assert dict(spans.one("teller#1").attributes) == {
        "gen_ai.operation.name": "invoke_agent",
        "gen_ai.agent.name": "teller",
        "gen_ai.request.model": "story-0",
        "gen_ai.response.finish_reasons": ("stop",),
        "gen_ai.usage.input_tokens": 10,
        "gen_ai.usage.output_tokens": 4,
        "gen_ai.usage.cache_read.input_tokens": 2,
        "openharness.activation": "teller#1",
        **common,
    }
    waited = (at(recording, "thinking:delta") - at(recording, "provider:start")) / 10**9
    assert dict(spans.one("chat teller#1/0/0").attributes) == {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": "acme",
        "gen_ai.request.model": "story-0",
        "gen_ai.request.max_tokens": 9,
        "gen_ai.request.temperature": 0.5,
        "gen_ai.request.stop_sequences": ("END",),
        "gen_ai.request.seed": 3,
        "gen_ai.request.stream": True,
        "gen_ai.response.model": "story-1",
        "gen_ai.response.finish_reasons": ("tool_call",),
        "gen_ai.response.time_to_first_chunk": waited,
        "gen_ai.usage.input_tokens": 5,
        "gen_ai.usage.output_tokens": 2,
        "gen_ai.usage.cache_read.input_tokens": 1,
        "openharness.call": "teller#1/0/0",
        "openharness.request_id": "req-teller#1/0/0",
        "openharness.cost": 0.25,
        **common,
    }
    assert dict(spans.one("tool teller#1/0/1").attributes) == {
        "gen_ai.operation.name": "execute_tool",
        "gen_ai.tool.name": "fail",
        "gen_ai.tool.type": "function",
        "gen_ai.tool.description": "Fail.",
        "gen_ai.tool.call.id": "call_1",
        "gen_ai.agent.name": "teller",
        "error.type": "ArithmeticError",
        "openharness.tool_call": "teller#1/0/1",
        "openharness.run.id": run_id,
    }


async def test_times(spans: Spans) -> None:
    """The time to the first chunk is that of the first piece, and all times are those of the signals."""
    recording = await run_told()
    slow = [attrs.evolve(signal, timestamp=1000 + 250 * signal.seq) for signal in recording.signals]
    export_spans(attrs.evolve(recording, signals=slow), spans.provider)
    chat, run = spans.one("chat teller#1/0/0"), spans.one("run")
    names = [signal.name for signal in slow]
    assert names[:5] == ["harness:start", "agent:activated", "provider:start", "thinking:delta", "tool:call"]
    assert chat["gen_ai.response.time_to_first_chunk"] == 0.25
    assert (run.start, run.end) == (1000 * MS, (1000 + 250 * (len(slow) - 1)) * MS)
    written = spans.one("chat critic#1/0/0")
    assert written["gen_ai.response.time_to_first_chunk"] == 0.25
    assert written.end - written.start > 500 * MS


async def test_words_and_numbers(spans: Spans) -> None:
    """An answer that was cut has the conventions' word for it, and a number that OTLP cannot hold is left out."""
    recording = await run_told()
    signals = list(recording.signals)
    for number, one in enumerate(signals):
        if one.name == "provider:end":
            output = {"content": "", "stop_reason": "max_tokens", "usage": {"input_tokens": 2**70, "output_tokens": 3}}
            signals[number] = attrs.evolve(one, payload={**one.payload, "output": output})
    export_spans(attrs.evolve(recording, signals=signals), spans.provider)
    chat = spans.one("chat teller#1/0/0")
    assert chat["gen_ai.response.finish_reasons"] == ("length",)
    assert (chat.get("gen_ai.usage.input_tokens"), chat["gen_ai.usage.output_tokens"]) == (None, 3)


async def test_link_to_the_cause(spans: Spans) -> None:
    """An activation that another one caused is linked to it, and the link says by which signal."""
    recording = await run_told(OpenTelemetryReporter(spans.provider))
    (cause,) = [signal for signal in recording.signals if signal.name == "story:told"]
    about = (("openharness.signal.id", cause.id), ("openharness.signal.name", "story:told"))
    assert spans.one("critic#1").links == (("teller#1", about),)
    assert spans.one("teller#1").links == ()


async def test_inside_of_the_current_span(spans: Spans) -> None:
    """A run that begins inside of a span is in its trace; two that go on at once are each in their own."""
    reporter, tracer = OpenTelemetryReporter(spans.provider), trace.get_tracer("test", tracer_provider=spans.provider)

    async def request(name: str) -> None:
        with tracer.start_as_current_span(name):
            await run_told(reporter, prompt="wait")

    await asyncio.gather(request("first"), request("second"))
    outer = {span.name: span.context for span in spans.finished if span.name in {"first", "second"}}
    runs = [span for span in spans.finished if span.name == "invoke_workflow"]
    assert {span.parent.span_id for span in runs if span.parent} == {one.span_id for one in outer.values() if one}
    traces = [span.context.trace_id for span in spans.finished if span.context]
    assert sorted(map(traces.count, set(traces))) == [len(traces) // 2] * 2


async def test_a_recording_is_a_trace_of_its_own(spans: Spans) -> None:
    """What is exported is in no span of the moment, but in the context that is given."""
    recording = await run_told()
    tracer = trace.get_tracer("test", tracer_provider=spans.provider)
    with tracer.start_as_current_span("now") as now:
        export_spans(recording, spans.provider)
        alone = spans.named("invoke_workflow") if not spans.counter.open else spans.finished
        export_spans(recording, spans.provider, context=context.get_current())
    assert [span.parent for span in alone if span.name == "invoke_workflow"] == [None]
    given = [span for span in spans.finished if span.name == "invoke_workflow"][-1]
    assert given.parent is not None
    assert given.parent.span_id == now.get_span_context().span_id


@pytest.mark.parametrize(
    "prompt, kind, message, streamed",
    [
        ("fail", "rate_limit", MESSAGE, True),
        ("early", "overloaded", MESSAGE, None),
        ("crash", "ZeroDivisionError", "ZeroDivisionError: no kind", None),
    ],
)
async def test_failed_run(spans: Spans, prompt: str, kind: str, message: str, streamed: bool | None) -> None:
    """A provider that fails is an error of its request, of the activation and of the run, each with its kind."""
    await run_told(OpenTelemetryReporter(spans.provider), prompt=prompt)
    chat, teller, run = spans.one("chat teller#1/0/0"), spans.one("teller#1"), spans.one("run")
    assert (chat.status, chat["error.type"], chat.description) == ("ERROR", kind, message)
    assert chat.get("gen_ai.request.stream") is streamed
    assert (teller.status, teller["error.type"]) == ("ERROR", "provider")
    assert (run.status, run["error.type"], run["openharness.run.status"]) == ("ERROR", "AgentError", "failed")
    assert "teller" in str(run.description)


async def test_retried_request(spans: Spans) -> None:
    """Every attempt is a span of its own; one that failed does not make an error of the activation."""
    await run_told(OpenTelemetryReporter(spans.provider), prompt="retry", retries=2)
    first, second = spans.one("chat teller#1/0/0"), spans.one("chat teller#1/0/1")
    assert (first.status, first["error.type"], second.status) == ("ERROR", "rate_limit", "UNSET")
    assert {first.parent, second.parent} == {"teller#1"}
    assert (spans.one("teller#1").status, spans.one("run").status) == ("UNSET", "UNSET")


async def test_continued_run(spans: Spans) -> None:
    """Where a run goes on after a failure, the activation is an error and the run is none."""
    await run_told(OpenTelemetryReporter(spans.provider), prompt="fail", on_error="continue")
    assert (spans.one("teller#1").status, spans.one("run").status) == ("ERROR", "UNSET")


async def test_timed_out_run(spans: Spans) -> None:
    """What was under way when a run's time was over is ended with it, as cancelled."""
    recording = await run_told(OpenTelemetryReporter(spans.provider), prompt="late", timeout=500)
    run = spans.one("run")
    assert (run.status, run["error.type"]) == ("ERROR", "HarnessTimeoutError")
    assert run["openharness.run.status"] == "timed_out"
    for id_ in ("chat teller#1/0/0", "teller#1"):
        span = spans.one(id_)
        assert (span.status, span["error.type"], span.end) == ("ERROR", "cancelled", at(recording, "harness:end"))


async def test_cancelled_run(spans: Spans) -> None:
    """A run that is cancelled is an error of that name, and so is what was under way."""
    provider = Storyteller()
    running = asyncio.create_task(run_told(OpenTelemetryReporter(spans.provider), prompt="hang", provider=provider))
    await provider.hanging.wait()
    running.cancel()
    await running
    kinds = {span.id: (span.status, span["error.type"]) for span in spans.seen}
    assert kinds == dict.fromkeys(["run", "teller#1", "chat teller#1/0/0"], ("ERROR", "cancelled"))
    assert spans.one("run")["openharness.run.status"] == "cancelled"


async def test_interrupted_run(spans: Spans) -> None:
    """A run that waits for a person went not wrong, and neither did who waits in it."""

    @tool(needs_approval=True)
    def pay(left: int, right: int) -> int:
        """Pay."""
        return left + right

    harness = create_harness()
    payer = harness.agent(prompt="Pay!", activate_on="harness:start", tools=[pay])
    with listening(harness, OpenTelemetryReporter(spans.provider)), pytest.raises(InterruptedRunError):
        await harness.run_reactive(agents={"payer": payer}, state={}, provider=Storyteller(), store=MemorySignalStore())
    assert {span.id: span.status for span in spans.seen} == dict.fromkeys(
        ["run", "payer#1", "chat payer#1/0/0"], "UNSET"
    )
    assert spans.one("run")["openharness.run.status"] == "interrupted"


async def test_early_end(spans: Spans) -> None:
    """A run that `end_when` ended says so."""
    await run_told(OpenTelemetryReporter(spans.provider), end_when=lambda ctx: ctx.state["story"] != "")
    assert spans.one("run")["openharness.run.terminated_early"] is True
    assert spans.one("run").status == "UNSET"


async def test_killed_run(spans: Spans) -> None:
    """A recording that just stops has spans that end with its last signal and say that their end is not known."""
    recording = await run_told()
    started = next(signal.seq for signal in recording.signals if signal.name == "tool:start")
    cut = attrs.evolve(recording, signals=recording.signals[: started + 1])
    export_spans(cut, spans.provider)
    left = {span.id: span for span in spans.seen if span.status == "ERROR"}
    assert set(left) == {"run", "teller#1", "tool teller#1/0/0"}
    assert {span["error.type"] for span in left.values()} == {"incomplete"}
    assert {span.end for span in left.values()} == {cut.signals[-1].timestamp * MS}
    assert left["run"]["openharness.run.status"] == "incomplete"
    assert spans.one("chat teller#1/0/0").status == "UNSET"


async def test_resumed_run(spans: Spans) -> None:
    """What was in flight when a process died ends there, and begins anew with the same request when it is resumed."""
    store, harness = MemorySignalStore(), create_harness()
    provider = Storyteller()
    agents = {"teller": harness.agent(prompt="hang", model="story-0", activate_on="harness:start", tools=[])}
    running = asyncio.create_task(
        harness.run_reactive(agents=agents, state={}, provider=provider, store=store, shutdown_timeout=60)
    )
    await provider.hanging.wait()
    (info,) = await store.list_recordings()
    whole = await store.load_recording(info.id)
    running.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await running
    assert whole is not None
    dead = MemorySignalStore()
    dead_id = await dead.create_recording(run_id=info.run_id)
    await dead.append(dead_id, whole.signals)
    quick = {"teller": attrs.evolve(agents["teller"], tools=())}

    class Quick(Storyteller):
        """Does not hang any more."""

        async def run(self, request: Any, context: Any) -> Any:
            async for event in super().run(
                attrs.evolve(request, messages=[attrs.evolve(request.messages[0], content="go on")]), context
            ):
                yield event

    reporter = OpenTelemetryReporter(spans.provider)
    with listening(harness, reporter):
        await harness.resume(dead_id, agents=quick, provider=Quick(), store=dead)
    live = spans.take()
    assert [span.id for span in live] == ["chat teller#1/0/0", "teller#1", "run"]
    assert dict(live[-1].attributes)["openharness.run.resumed_from"] == dead_id
    assert {span.status for span in live} == {"UNSET"}

    recording = await dead.load_recording(dead_id)
    assert recording is not None
    export_spans(recording, spans.provider)
    before, after = [span for span in spans.seen if span.name.startswith("chat")]
    assert (before["error.type"], before.end) == ("interrupted", whole.signals[-1].timestamp * MS)
    assert (after.name, after.status, after["gen_ai.request.model"]) == ("chat story-0", "UNSET", "story-0")
    assert after.start == at(recording, "provider:restart")
    assert [span.id for span in spans.seen].count("teller#1") == 1


async def test_tool_that_runs_again(spans: Spans) -> None:
    """A tool that ran when its process died has a span that ends there, and one of the same name when it runs again."""
    recording = await run_told()
    started = next(signal for signal in recording.signals if signal.name == "tool:start")
    parts = [("harness:resumed", {"resumed_from": "rec"}), ("tool:restart", {"tool_call": "teller#1/0/0"}),
             ("tool:result", {"tool_call": "teller#1/0/0", "result": 2})]  # fmt: skip
    later = [
        attrs.evolve(started, id=f"run/{seq}", name=name, payload=payload, seq=seq, timestamp=started.timestamp + 50)
        for seq, (name, payload) in enumerate(parts, started.seq + 1)
    ]
    signals = [*recording.signals[: started.seq + 1], *later]
    export_spans(attrs.evolve(recording, signals=signals), spans.provider, capture_content=True)
    first, second = spans.named("execute_tool")
    assert (first.name, first["error.type"], first.end) == ("execute_tool add", "interrupted", started.timestamp * MS)
    assert (second.name, second.status, second.start) == ("execute_tool add", "UNSET", later[0].timestamp * MS)
    assert second["gen_ai.tool.call.arguments"] == first["gen_ai.tool.call.arguments"]
    assert second["gen_ai.tool.call.result"] == "2"


async def test_nothing_after_the_end(spans: Spans) -> None:
    """What stands behind the end of a run in a log of somebody else's begins nothing."""
    recording = await run_told()
    again = [attrs.evolve(signal, seq=100 + signal.seq) for signal in recording.signals]
    export_spans(recording, spans.provider)
    plain = spans.take()
    export_spans(attrs.evolve(recording, signals=[*recording.signals, *again]), spans.provider)
    assert spans.seen == plain


async def test_content_is_left_out(spans: Spans) -> None:
    """Unless it is asked for, no prompt, answer, argument or result is in any span."""
    await run_told(OpenTelemetryReporter(spans.provider), system="Be brief.")
    everything = repr([(span.name, span.attributes, span.description) for span in spans.seen if span.status == "UNSET"])
    for said in ("Tell!", "Once upon", "Well. ", "Be brief", "left"):
        assert said not in everything
    named = {name for span in spans.seen for name, _ in span.attributes}
    assert not [name for name in named if name.endswith((".messages", "_instructions", ".arguments", ".result"))]


@pytest.mark.parametrize(
    "mode, argument, captured",
    [("SPAN_ONLY", None, True), ("span_and_event", None, True), ("EVENT_ONLY", None, False), ("", None, False),
     ("NO_CONTENT", True, True), ("SPAN_ONLY", False, False)],
)  # fmt: skip
async def test_content_by_the_environment(
    spans: Spans, monkeypatch: pytest.MonkeyPatch, mode: str, argument: bool | None, captured: bool
) -> None:
    """The variable that the field knows asks for content on spans, and the argument goes before it."""
    monkeypatch.setenv("OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT", mode)
    recording = await run_told(OpenTelemetryReporter(spans.provider, capture_content=argument))
    export_spans(recording, spans.provider, capture_content=argument)
    found = ["gen_ai.input.messages" in dict(span.attributes) for span in spans.named("chat")]
    assert found == [captured] * 6


def test_unknown_mode(spans: Spans, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    """A mode that nobody knows captures nothing, and is told of."""
    monkeypatch.setenv("OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT", "yes")
    OpenTelemetryReporter(spans.provider)
    assert "'YES' is none of NO_CONTENT, EVENT_ONLY, SPAN_ONLY, SPAN_AND_EVENT" in caplog.text


async def test_content(spans: Spans) -> None:
    """Where it is asked for, messages have the form of the conventions' schemas."""
    await run_told(OpenTelemetryReporter(spans.provider, capture_content=True), system="Be brief.")
    chat = spans.one("chat teller#1/1/0")
    assert json.loads(chat["gen_ai.system_instructions"]) == [{"type": "text", "content": "Be brief."}]
    asked = [
        {"type": "tool_call", "id": f"call_{n}", "name": name, "arguments": {"left": n, "right": 2}}
        for n, name in enumerate(["add", "fail"])
    ]
    assert json.loads(chat["gen_ai.input.messages"]) == [
        {"role": "user", "parts": [{"type": "text", "content": "Tell!"}]},
        {"role": "assistant", "parts": asked},
        {"role": "tool", "parts": [{"type": "tool_call_response", "id": "call_0", "response": "2"}]},
        {
            "role": "tool",
            "parts": [{"type": "tool_call_response", "id": "call_1", "response": "Error: ArithmeticError: 1 and 2"}],
        },
    ]
    told = [{"type": "reasoning", "content": "Well. "}, {"type": "text", "content": "Once upon a time."}]
    assert json.loads(chat["gen_ai.output.messages"]) == [{"role": "assistant", "parts": told, "finish_reason": "stop"}]
    first = json.loads(spans.one("chat teller#1/0/0")["gen_ai.output.messages"])
    assert first[0]["parts"][1:] == asked
    definitions = json.loads(chat["gen_ai.tool.definitions"])
    assert [(one["type"], one["name"], one["description"]) for one in definitions] == [
        ("function", "add", "Add two numbers."),
        ("function", "fail", "Fail."),
    ]
    added = spans.one("tool teller#1/0/0")
    assert json.loads(added["gen_ai.tool.call.arguments"]) == {"left": 0, "right": 2}
    assert json.loads(added["gen_ai.tool.call.result"]) == 2


async def test_content_of_several_parts(spans: Spans) -> None:
    """A message of more than text has the parts it has; text among them is text of the conventions."""
    recording = await run_told(agents=None)
    image = {"type": "image", "url": "x"}
    signals = list(recording.signals)
    (number, asked) = next((n, one) for n, one in enumerate(signals) if one.name == "provider:start")
    parts = [{"type": "text", "text": "Look:"}, image, {"odd": 1}]
    payload = {**asked.payload, "request": {"messages": [{"role": "user", "content": parts}]}}
    signals[number] = attrs.evolve(asked, payload=payload)
    export_spans(attrs.evolve(recording, signals=signals), spans.provider, capture_content=True)
    (message,) = json.loads(spans.one("chat teller#1/0/0")["gen_ai.input.messages"])
    assert message["parts"] == [
        {"type": "text", "content": "Look:"},
        image,
        {"type": "text", "content": '{"odd":1}'},
    ]


async def test_secrets_are_redacted(spans: Spans, monkeypatch: pytest.MonkeyPatch) -> None:
    """What spans hold is what the log holds: secrets are placeholders in them, too."""
    monkeypatch.setenv("ACME_API_KEY", "correct-horse-battery")
    await run_told(
        OpenTelemetryReporter(spans.provider, capture_content=True),
        prompt="Tell! The key is correct-horse-battery",
        system="correct-horse-battery",
    )
    everything = repr([(span.attributes, span.description) for span in spans.seen])
    assert "correct-horse" not in everything
    assert "[redacted:ACME_API_KEY]" in everything


async def test_models_of_the_process(spans: Spans) -> None:
    """A request to a model inside of the process is no request to another one."""

    class Local(Storyteller):
        """As the provider of that type."""

        type = "llamacpp"

    await run_told(OpenTelemetryReporter(spans.provider), provider=Local())
    assert {span.kind for span in spans.named("chat")} == {"INTERNAL"}


async def test_claude_is_anthropic(spans: Spans) -> None:
    """Providers have the names that the conventions give them."""

    class Claude(Storyteller):
        """As the provider of that type."""

        type = "claude"

    await run_told(OpenTelemetryReporter(spans.provider), provider=Claude())
    assert {span["gen_ai.provider.name"] for span in spans.named("chat")} == {"anthropic"}


async def test_several_runs_at_once(spans: Spans) -> None:
    """One reporter keeps runs apart that go on at the same time, whatever their agents are called."""
    reporter = OpenTelemetryReporter(spans.provider)
    recordings = await asyncio.gather(*(run_told(reporter, prompt="wait") for _ in range(5)))
    seen = spans.seen
    for recording in recordings:
        ours = [span for span in seen if span["openharness.run.id"] == recording.info.run_id]
        assert sorted((span.id, span.name, span.parent, tuple(key for key, _ in span.links)) for span in ours) == (
            expected_of(recording)
        )
    assert len({span.context.trace_id for span in spans.finished if span.context}) == 5


async def test_a_run_begun_again(spans: Spans) -> None:
    """A run that was left in the middle and is replayed is two traces, and the first one is incomplete."""
    recording = await run_told()
    reporter = OpenTelemetryReporter(spans.provider)
    for signal in recording.signals[:4]:
        reporter(signal)
    for signal in recording.signals:
        reporter(signal)
    runs = spans.named("invoke_workflow")
    assert [span["openharness.run.status"] for span in runs] == ["incomplete", "completed"]
    assert reporter._runs == {}


@pytest.mark.parametrize("thread", [None, "thread-1"])
async def test_conversations_of_agents(spans: Spans, thread: str | None) -> None:
    """What an agent with a history asks belongs to its conversation in the run, unless that of the run is named."""
    harness = create_harness()
    agents = {
        "teller": harness.agent(prompt="Tell!", activate_on="harness:start", emits="story:told"),
        "clerk": harness.agent(
            prompt="retry", activate_on=["harness:start", "story:told"], history="agent", retries=1, retry_delay=0.0
        ),
    }
    reporter = OpenTelemetryReporter(spans.provider, conversation_of=lambda first: thread)
    recording = await run_told(reporter, agents=agents)
    told = {span.id: span.get("gen_ai.conversation.id") for span in spans.seen}
    own = [f"{kind}clerk#{number}{call}" for number in (1, 2) for kind, call in (("", ""), ("chat ", "/0/0"))]
    own += ["chat clerk#1/0/1", "chat clerk#2/0/1"]
    run_id = recording.info.run_id
    assert told == {
        **dict.fromkeys(["run", "teller#1", "chat teller#1/0/0"], thread),
        **dict.fromkeys(own, thread or f"{run_id}/clerk"),
    }


async def test_an_agent_that_forgets_in_a_fork(spans: Spans) -> None:
    """An activation that asks again in a fork without the history it had is in no conversation any more."""
    harness, store = create_harness(), MemorySignalStore()
    remembering = harness.agent(prompt="Tell!", activate_on="harness:start", history="agent")
    options = {"provider": Storyteller(), "store": store}
    first = await harness.run_reactive(agents={"clerk": remembering}, state={}, mode="record", fixture="one", **options)
    asked = next(signal.seq for signal in first.signals if signal.name == "provider:start")
    fork = await harness.fork(
        str(first.recording_id), at=asked, agents={"clerk": attrs.evolve(remembering, history="none")}, **options
    )
    recording = await store.load_recording(str(fork.recording_id))
    assert recording is not None
    export_spans(recording, spans.provider)
    assert [span.get("gen_ai.conversation.id") for span in spans.named("invoke_agent clerk")] == [None]
    calls = [span.get("gen_ai.conversation.id") for span in spans.named("chat")]
    assert calls == [f"{fork.run_id}/clerk", None]


@pytest.mark.parametrize(
    "options",
    [{"capture_content": "yes"}, {"workflow": 3}, {"conversation_of": "thread"}],
)
async def test_wrong_options(spans: Spans, options: dict[str, Any]) -> None:
    """An option of the wrong kind is refused where it is given, by both."""
    recording = await run_told()
    with pytest.raises(InvalidValueError, match=next(iter(options))):
        OpenTelemetryReporter(spans.provider, **options)
    with pytest.raises(InvalidValueError, match=next(iter(options))):
        export_spans(recording, spans.provider, **options)
    assert spans.finished == ()
