"""What the model answers, and how the answer arrives."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Literal

import attrs
import pytest
from asking import CONTEXT, ask, events, request

from openharness.core import (
    Completed,
    Message,
    ProviderRequest,
    ProviderWarning,
    TextDelta,
    ThinkingDelta,
    create_harness,
    from_json,
)
from openharness.provider_llamacpp import DEFAULT_MODEL, LlamaCppProvider

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

STORY = "Tell me a story about a fox."


async def test_text_streams_and_ends_with_the_whole(provider: LlamaCppProvider) -> None:
    """An answer is text deltas and one Completed, last, whose content is their sum."""
    *deltas, last = await events(provider, STORY)
    assert len(deltas) > 4
    assert isinstance(last, Completed)
    assert last.output.content == "".join(delta.text for delta in deltas if isinstance(delta, TextDelta))
    assert all(isinstance(delta, TextDelta) and delta.text for delta in deltas)


async def test_output_tells_the_facts(provider: LlamaCppProvider) -> None:
    """The output has tokens, the reason of the end and the model's name, and nothing that differs between two runs."""
    output = await ask(provider, STORY, max_tokens=7)
    assert output.usage.output_tokens == 7
    assert output.usage.input_tokens > 10
    assert output.usage.cached_tokens == 0
    assert output.stop_reason == "max_tokens"
    assert output.model == DEFAULT_MODEL
    assert output.request_id is None
    assert output == await ask(provider, STORY, max_tokens=7)


async def test_temperature_is_0_by_default(provider: LlamaCppProvider) -> None:
    """A request without a temperature, one with temperature 0, and either with any seed give the same text."""
    texts = {
        (await ask(provider, STORY)).content,
        (await ask(provider, STORY, temperature=0.0)).content,
        (await ask(provider, STORY, seed=1)).content,
        (await ask(provider, STORY, seed=2, temperature=0.0)).content,
    }
    assert len(texts) == 1


@pytest.mark.slow
async def test_the_request_before_does_not_matter(provider: LlamaCppProvider) -> None:
    """A request gets the same text after one with the same beginning, and after another one."""
    text = "On Tuesday the checkout of a web shop failed, because its database had no connections left. " * 4
    questions = [f"{text}{question}" for question in ("Who was affected?", "What is the cause?", "Write a title.")]
    forth = [(await ask(provider, question, max_tokens=24)).content for question in questions]
    back = [(await ask(provider, question, max_tokens=24)).content for question in reversed(questions)]
    assert forth == back[::-1]


@pytest.mark.slow
async def test_a_seed_repeats_what_chance_gave(provider: LlamaCppProvider) -> None:
    """With a temperature, a seed gives one text always, another seed another one, and seeds may be any integer."""
    first = await ask(provider, STORY, temperature=0.9, seed=1)
    assert first == await ask(provider, STORY, temperature=0.9, seed=1)
    assert first.content != (await ask(provider, STORY, temperature=0.9, seed=2)).content
    large = await ask(provider, STORY, temperature=0.9, seed=2**63 + 5)
    assert large == await ask(provider, STORY, temperature=0.9, seed=2**63 + 5)


async def test_a_stop_text_ends_the_answer(provider: LlamaCppProvider) -> None:
    """The answer ends before the stop text, says "stop", and names which one it was."""
    output = await ask(
        provider, "one, two, three, four", system="Repeat what the user says.", stop=[" three", "no such text"]
    )
    assert output.content == "One, two,"
    assert output.stop_reason == "stop"
    assert output.data == {"stop": " three"}


async def test_an_answer_that_is_complete_says_end(provider: LlamaCppProvider) -> None:
    """An answer the model ends by itself has the reason "end"."""
    output = await ask(provider, "Say hello.", options={"grammar": 'root ::= "Hello."'})
    assert (output.content, output.stop_reason, output.data) == ("Hello.", "end", None)


async def test_the_system_prompt_counts(provider: LlamaCppProvider) -> None:
    """A system prompt reaches the model."""
    without = await ask(provider, "Who are you?")
    pirate = await ask(provider, "Who are you?", system="You are a pirate named Blackbeard.")
    assert "pirate" in pirate.content.lower() or "blackbeard" in pirate.content.lower()
    assert pirate.content != without.content


async def test_a_conversation_is_sent_in_order(provider: LlamaCppProvider) -> None:
    """All messages of a conversation reach the model."""
    conversation = ProviderRequest(
        messages=[
            Message("user", "Colour?"),
            Message("assistant", "Turquoise."),
            Message("user", "Colour?"),
            Message("assistant", "Turquoise."),
            Message("user", [{"type": "text", "text": "Colour?"}]),
        ],
        max_tokens=16,
    )
    last = [event async for event in provider.run(conversation, CONTEXT)][-1]
    assert isinstance(last, Completed)
    assert last.output.content == "Turquoise."


async def test_a_schema_constrains_the_answer(provider: LlamaCppProvider) -> None:
    """With an output schema the answer is JSON text that fits it."""
    schema = {
        "type": "object",
        "properties": {"name": {"type": "string"}, "age": {"type": "integer"}, "mood": {"enum": ["calm", "angry"]}},
        "required": ["name", "age", "mood"],
        "additionalProperties": False,
    }
    output = await ask(provider, "Anna is 31 and angry.", output_schema=schema, max_tokens=60)
    value = json.loads(output.content)
    assert list(value) == ["name", "age", "mood"]
    assert isinstance(value["age"], int)
    assert value["mood"] in ("calm", "angry")
    assert output.stop_reason == "end"


@attrs.frozen
class Mood:
    """What an agent asks for."""

    name: str
    age: int
    mood: Literal["calm", "angry"]


async def test_an_agent_with_typed_output(provider: LlamaCppProvider) -> None:
    """The type of an agent's output constrains what the model writes, also one that is no object."""
    harness = create_harness()
    for type_ in (Mood | None, Literal["calm", "angry"]):
        agent = harness.agent(
            prompt="Anna is 31 and angry.", activate_on="harness:start", updates="mood", output=type_, max_tokens=60
        )
        result = await harness.run_reactive(agents={"a": agent}, state={"mood": None}, provider=provider)
        from_json(result.state["mood"], type_)
        assert result.metrics.provider_calls == 1


@pytest.mark.slow
async def test_characters_arrive_whole(provider: LlamaCppProvider) -> None:
    """A character of several tokens is never cut, whatever the number of tokens allowed."""
    for limit in range(1, 10):
        output = await ask(
            provider,
            "Celebrate!",
            max_tokens=limit,
            options={"grammar": 'root ::= ("🎉" | "\U0001f469\u200d\U0001f4bb")+'},
        )
        assert re.fullmatch("[\U0001f389\U0001f469\u200d\U0001f4bb]*", output.content)


async def test_lone_surrogates_become_a_warning(provider: LlamaCppProvider) -> None:
    """Half a character, which no model can read, is replaced, and the user is told."""
    warning, *_, last = await events(provider, "hi \ud83d there \udc00", max_tokens=2)
    assert isinstance(warning, ProviderWarning)
    assert warning.data == {"replaced": 2}
    assert isinstance(last, Completed)


async def test_an_empty_text_and_a_nul_are_no_trouble(provider: LlamaCppProvider) -> None:
    """An empty message, and one with a NUL character, get answers like any other."""
    assert (await ask(provider, "", max_tokens=2)).usage.output_tokens == 2
    assert (await ask(provider, "a\0b", max_tokens=2)).usage.output_tokens == 2


async def test_options_are_passed_on(provider: LlamaCppProvider) -> None:
    """Options that are no attributes of a request reach llama.cpp as they are."""
    output = await ask(provider, "Yes or no?", options={"grammar": 'root ::= "maybe"'})
    assert output.content == "maybe"


@pytest.fixture
async def thinker(real_model: None) -> AsyncIterator[LlamaCppProvider]:
    """Give a model whose template knows of thinking."""
    template = (
        "{% for m in messages %}<|im_start|>{{ m.role }}\n"
        "{% if m.reasoning_content %}<think>\n{{ m.reasoning_content }}\n</think>\n\n{% endif %}"
        "{{ m.content }}<|im_end|>\n{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
    )
    async with LlamaCppProvider(parameters={"chat_template": template}) as thinker:
        yield thinker


async def test_thinking_is_told_from_the_answer(thinker: LlamaCppProvider) -> None:
    """What a reasoning model thinks arrives as thinking, and is no part of the content."""
    grammar = 'root ::= "<think>\\nWell.\\n</think>\\n\\nDone."'
    *parts, last = await events(thinker, "Think!", max_tokens=40, options={"grammar": grammar})
    assert isinstance(last, Completed)
    assert last.output.content == "Done."
    assert last.output.thinking is not None
    assert last.output.thinking.strip() == "Well."
    thinking = "".join(part.text for part in parts if isinstance(part, ThinkingDelta))
    assert thinking == last.output.thinking


@pytest.mark.slow
async def test_an_answer_without_a_limit_has_the_providers(real_model: None) -> None:
    """Where a request names no max_tokens the provider's own counts; room that is left in the context is the end."""
    async with LlamaCppProvider(max_tokens=5) as short:
        assert (await ask(short, STORY, max_tokens=None)).usage.output_tokens == 5
    async with LlamaCppProvider(context=256) as small:
        output = await ask(small, "word " * 200, max_tokens=100, options={"grammar": 'root ::= "word "+'})
        assert output.stop_reason == "max_tokens"
        assert output.usage.input_tokens + output.usage.output_tokens in (256, 257)


async def test_what_is_asked_is_what_is_sent(provider: LlamaCppProvider) -> None:
    """A request is not changed by being run."""
    asked = request("hi", max_tokens=1, options={"top_k": 1}, stop=["x"])
    before = repr(asked)
    async for _ in provider.run(asked, CONTEXT):
        pass
    assert repr(asked) == before
