"""That the names used here are those of the conventions: compared with the packages that publish them."""

from __future__ import annotations

import importlib.metadata
import json
from typing import TYPE_CHECKING, Any

import pytest
from opentelemetry.semconv._incubating.attributes import gen_ai_attributes
from opentelemetry.semconv._incubating.metrics import gen_ai_metrics
from opentelemetry.semconv.attributes import error_attributes
from told_runs import run_told

from openharness.opentelemetry import OpenTelemetryReporter, _metrics, _names

if TYPE_CHECKING:
    from span_support import Spans

PUBLISHED = importlib.metadata.version("opentelemetry-semantic-conventions")
CURRENT = hasattr(gen_ai_attributes, "GEN_AI_WORKFLOW_NAME")
"""The oldest SDK that the suite runs with comes with conventions from before there were workflows."""

NAMES = {key: getattr(_names, key) for key in _names.__all__ if isinstance(getattr(_names, key), str)}
THEIRS = {key: name for key, name in NAMES.items() if "." in name and not name.startswith("openharness.")}
OPERATIONS = {key: name for key, name in NAMES.items() if "." not in name}


def values_of(module: Any) -> set[str]:
    """The names that a module of the conventions has."""
    return {value for key, value in vars(module).items() if key.isupper() and isinstance(value, str)}


@pytest.mark.skipif(not CURRENT, reason=f"The conventions {PUBLISHED} are older than what is used here.")
@pytest.mark.parametrize("name", sorted(THEIRS.values()))
def test_attributes(name: str) -> None:
    """Every attribute that is not our own is one of the published ones."""
    assert name in values_of(gen_ai_attributes) | values_of(error_attributes)


@pytest.mark.skipif(not CURRENT, reason=f"The conventions {PUBLISHED} are older than what is used here.")
@pytest.mark.parametrize("name", sorted(OPERATIONS.values()))
def test_operations(name: str) -> None:
    """Every operation is one of the published ones."""
    assert name in {value.value for value in gen_ai_attributes.GenAiOperationNameValues}


def test_token_types_and_providers() -> None:
    """The other words are published ones, too."""
    assert {"input", "output"} <= {value.value for value in gen_ai_attributes.GenAiTokenTypeValues}
    if CURRENT:
        providers = {value.value for value in gen_ai_attributes.GenAiProviderNameValues}
        assert set(_names.PROVIDER_NAMES.values()) <= providers


def test_our_own_names() -> None:
    """What the conventions have no word for begins with our name, and every name is used once."""
    assert all(name.startswith(("gen_ai.", "openharness.", "error.")) for name in [*THEIRS.values()])
    assert len(set(NAMES.values())) == len(NAMES)


@pytest.mark.skipif(not CURRENT, reason=f"The conventions {PUBLISHED} are older than what is used here.")
def test_metrics_of_clients() -> None:
    """The metrics of requests have the published names and units."""
    published = values_of(gen_ai_metrics)
    assert {
        "gen_ai.client.operation.duration",
        "gen_ai.client.operation.time_to_first_chunk",
        "gen_ai.client.token.usage",
    } <= published
    assert _metrics._DURATIONS["chat"][0] in published


async def test_like_the_official_instrumentations(spans: Spans) -> None:
    """Spans have the names, kinds and attributes that the library behind the official instrumentations gives to such."""
    handlers = pytest.importorskip("opentelemetry.util.genai.handler", reason="Only where it can be installed.")
    types = importlib.import_module("opentelemetry.util.genai.types")
    reporter = OpenTelemetryReporter(
        spans.provider,
        capture_content=True,
        workflow="stories",
        conversation_of=lambda first: "thread-1",
    )
    await run_told(reporter, system="Be brief.")
    ours = {name: spans.one(name) for name in ("run", "teller#1", "chat teller#1/1/0", "tool teller#1/0/0")}
    chat, tool = ours["chat teller#1/1/0"], ours["tool teller#1/0/0"]
    spans.exporter.clear()

    handler = handlers.TelemetryHandler(tracer_provider=spans.provider)
    mode = types.ContentCapturingMode.SPAN_ONLY
    for invocation in (
        handler.workflow("stories", conversation_id="thread-1"),
        handler.invoke_local_agent(agent_name="teller", request_model="story-0", conversation_id="thread-1"),
        handler.inference("storyteller", request_model="story-0", conversation_id="thread-1"),
        handler.tool("add", tool_type="function", agent_name="teller"),
    ):
        invocation._content_capturing_mode = mode
        for name, value in {
            "input_tokens": 5,
            "output_tokens": 2,
            "cache_read_input_tokens": 1,
            "max_tokens": 9,
            "temperature": 0.5,
            "stop_sequences": ["END"],
            "seed": 3,
            "finish_reasons": ["stop"],
            "response_model_name": "story-1",
            "request_stream": True,
            "ttfc_seconds": chat["gen_ai.response.time_to_first_chunk"],
            "tool_call_id": "call_0",
            "tool_description": "Add two numbers.",
            "arguments": {"left": 0, "right": 2},
            "tool_result": 2,
            "system_instruction": [types.TextPart("Be brief.")],
            "output_messages": [
                types.OutputMessage(
                    "assistant", [types.ReasoningPart("Well. "), types.TextPart("Once upon a time.")], "stop"
                )
            ],
        }.items():
            if isinstance(getattr(type(invocation), name, None), property):
                setattr(invocation, name, value)
        invocation.stop()
    theirs = {span.name: span for span in spans.finished}
    assert set(theirs) == {span.name for span in ours.values()}
    for span in ours.values():
        other = theirs[span.name]
        assert other.kind.name == span.kind
        for name, value in (other.attributes or {}).items():
            if name in {"gen_ai.input.messages", "gen_ai.output.messages", "gen_ai.system_instructions"}:
                if name in dict(span.attributes):
                    assert _without_name(json.loads(str(value))) == json.loads(span[name]), name
            elif not (span.id == "teller#1" and name.startswith("gen_ai.usage")) and not _of_the_request(span.id, name):
                assert span.get(name) == value, (span.name, name)
    assert tool["gen_ai.tool.call.result"] == "2"


def _of_the_request(id_: str, name: str) -> bool:
    """What the library can also say of an agent, and we say of its requests alone."""
    return id_ == "teller#1" and name.startswith("gen_ai.request.") and name != "gen_ai.request.model"


def _without_name(messages: Any) -> Any:
    for message in messages:
        message.pop("name", None)
    return messages
