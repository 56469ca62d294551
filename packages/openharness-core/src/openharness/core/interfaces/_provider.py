"""The contract of a provider: what runs a request on a model."""

from __future__ import annotations

import abc
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any, ClassVar, Literal, Self, TypeAlias

import attrs

from openharness.core.errors import DefinitionError
from openharness.core.values import JSONValue

__all__ = (
    "Completed",
    "Message",
    "Provider",
    "ProviderCapabilities",
    "ProviderEvent",
    "ProviderOutput",
    "ProviderRequest",
    "ProviderWarning",
    "RunContext",
    "TextDelta",
    "ThinkingDelta",
    "ToolCall",
    "Usage",
)


@attrs.frozen
class ToolCall:
    """The model asks for a tool.

    Attributes:
        id: The vendor's id of the call; data, never used as an identity.
        name: The tool's name.
        arguments: The arguments as a JSON value.
    """

    id: str
    name: str
    arguments: Any


@attrs.frozen
class Message:
    """One message of a conversation.

    Attributes:
        role: Who speaks: ``"user"``, ``"assistant"`` or ``"tool"``.
        content: What is said: text, or a list of JSON objects for what is more than text. Of a tool it is text: what the
            tool returned if that is text, else its JSON; after a failure, what went wrong.
        tool_calls: The tools an assistant's message asks for, in order. Its text may then be empty.
        tool_call_id: The `ToolCall.id` that a tool's message answers; None for other messages. One such message for
            each call follows the message that asks, in the order of the calls.
        is_error: Whether a tool's message tells of a failure.
        continuation: In an assistant's message, the `ProviderOutput.continuation` it came with.
    """

    role: Literal["user", "assistant", "tool"]
    content: Any
    tool_calls: Sequence[ToolCall] = attrs.field(default=(), kw_only=True)
    tool_call_id: str | None = attrs.field(default=None, kw_only=True)
    is_error: bool = attrs.field(default=False, kw_only=True)
    continuation: Any = attrs.field(default=None, kw_only=True)


@attrs.frozen(kw_only=True)
class ProviderRequest:
    """One request to a model. None always means: the provider's own default.

    Attributes:
        messages: The conversation, oldest first; at least one message, the last one not the assistant's.
        system: The system prompt.
        model: The model's name, as the provider knows it.
        max_tokens: The most tokens the answer may have.
        temperature: Randomness from 0 on.
        stop: Texts at which the answer ends; the text itself is not part of it.
        seed: Makes sampling repeatable where the provider can.
        output_schema: The JSON Schema the answer must fit; the answer is then the JSON text.
        tools: The tools the model may call, as JSON objects with ``name``, ``description`` and ``parameters`` (the JSON
            Schema of an object).
        options: Further parameters, passed on to the provider as they are.
    """

    messages: Sequence[Message]
    system: str | None = None
    model: str | None = None
    max_tokens: int | None = None
    temperature: float | None = None
    stop: Sequence[str] = ()
    seed: int | None = None
    output_schema: Mapping[str, JSONValue] | None = None
    tools: Sequence[Mapping[str, JSONValue]] = ()
    options: Mapping[str, JSONValue] = attrs.field(factory=dict[str, JSONValue])


@attrs.frozen(kw_only=True)
class RunContext:
    """What a provider may know of the run it works for; nothing of it belongs into the request.

    Attributes:
        run_id: The run.
        agent: The agent's name.
        activation: The activation: ``"analyzer#1"``.
        call: The call: ``"analyzer#1/0/0"`` is its first turn's first attempt.
        attempt: 0 for the first try of the request, then counting up.
        waiting: ``with context.waiting():`` around what the provider waits for before it asks the model, such as its
            place in a queue of its own: the agent's ``timeout`` stands still meanwhile.
    """

    run_id: str
    agent: str
    activation: str
    call: str
    attempt: int = 0
    waiting: Callable[[], AbstractContextManager[None]] = attrs.field(default=nullcontext, eq=False, repr=False)


@attrs.frozen(kw_only=True)
class ProviderCapabilities:
    """What a provider can do; requests that need more are refused before they are sent.

    Attributes:
        streaming: Text arrives in pieces while the model works.
        system: System prompts.
        seed: Repeatable sampling.
        output_schema: Answers constrained to a JSON Schema.
        tools: Tool calls.
        thinking: The model's reasoning as events of its own.
    """

    streaming: bool = True
    system: bool = True
    seed: bool = False
    output_schema: bool = False
    tools: bool = False
    thinking: bool = False


@attrs.frozen
class TextDelta:
    """The next piece of the answer.

    Attributes:
        text: The piece; not empty.
    """

    text: str


@attrs.frozen
class ThinkingDelta:
    """The next piece of the model's reasoning.

    Attributes:
        text: The piece; not empty.
    """

    text: str


@attrs.frozen
class ProviderWarning:
    """Something the user should know that does not stop the request.

    Attributes:
        message: One sentence.
        data: Details as a JSON value.
    """

    message: str
    data: Any = None


@attrs.frozen(kw_only=True)
class Usage:
    """What a request used.

    Attributes:
        input_tokens: Tokens of the request, those read from a cache included.
        output_tokens: Tokens of the answer.
        cached_tokens: How many of the input tokens were read from a cache.
        cost: In US dollars, where the provider knows it.
    """

    input_tokens: int = 0
    output_tokens: int = 0
    cached_tokens: int = 0
    cost: float | None = None


@attrs.frozen(kw_only=True)
class ProviderOutput:
    """The whole answer.

    Attributes:
        content: The answer's text: all `TextDelta` texts joined, where any were sent.
        thinking: All `ThinkingDelta` texts joined; None when there were none.
        usage: What it used.
        stop_reason: Why the model stopped: ``"end"``, ``"max_tokens"``, ``"stop"``, ``"tool_calls"``, or the vendor's
            own word.
        model: The model that answered, where the provider says so.
        request_id: The vendor's id of the request.
        data: Anything else worth keeping, as a JSON value.
        continuation: What the provider must be given again with this answer, as a JSON value, when the conversation goes
            on with the results of tools, or in the agent's next activation (signed reasoning, for example, or the id of
            a session that the provider keeps); it comes back as `Message.continuation`.
    """

    content: str
    thinking: str | None = None
    usage: Usage = attrs.field(factory=Usage)
    stop_reason: str | None = None
    model: str | None = None
    request_id: str | None = None
    data: Any = None
    continuation: Any = None


@attrs.frozen
class Completed:
    """The last event of every successful request.

    Attributes:
        output: The whole answer.
    """

    output: ProviderOutput


ProviderEvent: TypeAlias = TextDelta | ThinkingDelta | ToolCall | ProviderWarning | Completed
"""What a provider yields."""


class Provider(abc.ABC):
    """Runs requests on a model, and tells what happens as events.

    Write `type` and `run` and pass ``openharness.testing.ProviderContract``. The harness makes the signals, so a
    provider cannot break the log. Constructing a provider does no I/O.
    """

    type: ClassVar[str]
    """A short name for the kind of provider, such as ``"claude"``. It stands in every signal the provider causes."""

    display_name: str = ""
    """What to call it for people; `type` where it is empty."""

    capabilities: ProviderCapabilities = ProviderCapabilities()
    """What it can do."""

    def __init_subclass__(cls, **options: Any) -> None:
        """Refuse a provider without a type where it is defined, and not where its first signal is written."""
        super().__init_subclass__(**options)
        kind = getattr(cls, "type", None)
        if not getattr(cls.run, "__isabstractmethod__", False) and not (isinstance(kind, str) and kind):
            raise DefinitionError(f'{cls.__name__} needs a type: a class attribute such as type = "mine".')

    @abc.abstractmethod
    def run(self, request: ProviderRequest, context: RunContext) -> AsyncGenerator[ProviderEvent, None]:
        """Run one request. Written as an ``async def`` with ``yield``.

        Yield events in the order in which they happen, and exactly one `Completed`, last. Several requests may run at
        once. The generator is always closed by the harness (``aclose()``), also in the middle, when the run is
        cancelled or times out: stop the work then and give back what it holds, promptly, and let ``CancelledError``
        and ``GeneratorExit`` through. The event loop must never be blocked.

        Args:
            request: What to ask.
            context: Which call of which run this is.

        Raises:
            ProviderError: The request failed: with a kind, and whether trying again can help. Any other exception
                counts as a failure that trying again does not help.
        """

    async def close(self) -> None:
        """Give back what the provider holds. Closing twice is no error. The default does nothing."""

    async def __aenter__(self) -> Self:
        """Return the provider."""
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        """Close the provider."""
        await self.close()
