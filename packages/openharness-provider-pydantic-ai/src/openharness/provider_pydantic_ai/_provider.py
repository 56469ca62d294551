"""The provider: which model is asked, and how."""

from __future__ import annotations

import functools
from contextlib import aclosing
from typing import TYPE_CHECKING, Any, ClassVar, Self, get_args

from openharness.core import (
    Completed,
    InvalidValueError,
    Provider,
    ProviderCapabilities,
    ProviderError,
    ProviderWarning,
)
from openharness.core.providers import check_request
from openharness.provider_http import (
    Clients,
    Service,
    closed_error,
    cost_of,
    settings_of,
)
from openharness.provider_pydantic_ai._answer import ModelAnswer, is_cut
from openharness.provider_pydantic_ai._errors import request_error
from openharness.provider_pydantic_ai._models import OpenedModel, named
from openharness.provider_pydantic_ai._request import StructuredOutput, prepared

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable

    from pydantic_ai.models import Model

    from openharness.core import ProviderEvent, ProviderRequest, RunContext
    from openharness.provider_pydantic_ai._request import Prepared

__all__ = ("PydanticAIProvider", "StructuredOutput")


class PydanticAIProvider(Provider):
    """Asks a model through Pydantic AI: Gemini, Bedrock, Mistral, Groq, Cohere, xAI, OpenRouter and all others it knows.

    ::

        PydanticAIProvider("google:gemini-3-flash")
        PydanticAIProvider(lambda: BedrockConverseModel("...", provider=...))

    Only the way to the model is Pydantic AI's: agents, tools, retries and typed output are those of this project. What a
    vendor needs is installed with an extra of its own: ``pydantic-ai-slim[google]``. For Claude, and for OpenAI and
    compatible servers, `ClaudeProvider` and `OpenAIProvider` take fewer layers.

    Pydantic AI is imported, and the model made, by the first request in each event loop. Keys and addresses come from the
    environment variables that Pydantic AI knows, or from the model. Options of a request are further settings of
    Pydantic AI's: ``{"top_p": 0.9}``, ``{"thinking": "low"}``, ``{"google_thinking_config": {...}}``. A user's message may
    hold a list in place of text: of texts, and of what Pydantic AI calls multi-modal content, in the form in which it
    stores it, such as ``{"kind": "image-url", "url": "..."}``.

    A vendor's SDK sends a failed request again, as often as it is told; when the harness tries again, each of its attempts
    is sent once, where Pydantic AI can say so to the SDK.

    Its errors are `ProviderError` with one of these kinds: ``"authentication"``, ``"permission"``, ``"quota"``,
    ``"rate_limit"``, ``"overloaded"``, ``"server"``, ``"timeout"``, ``"connection"``, ``"conflict"``,
    ``"context_length"``, ``"request_too_large"``, ``"invalid_request"``, ``"not_found"``, ``"model_not_found"``,
    ``"content_filter"``, ``"configuration"``, ``"protocol"``, ``"closed"``, ``"error"``.

    Args:
        model: The model that is asked where a request names none: a name such as ``"anthropic:claude-haiku-4-5"``; a
            function that makes a model, called once in each event loop; or a model, for use in one event loop. A model's
            own connections are closed with the provider, those of a client that it was given are yours. None: every
            request must name one. A request's model is a name.
        max_tokens: The most tokens of an answer where the request says none; None leaves it to the model.
        timeout: Seconds of silence after which a request fails; None is the model's own number.
        stream: Whether answers are streamed; models that cannot are asked for the whole answer.
        structured_output: How a model is held to the schema of a request: ``"native"`` by what its vendor has for that,
            ``"tool"`` by a tool it must call, ``"prompted"`` by the prompt alone; ``"auto"`` is the first of these that
            the model can do.

    Raises:
        InvalidValueError: An argument cannot be right. Whether there is such a model is seen by the first request.
    """

    type: ClassVar[str] = "pydantic-ai"
    display_name = "Pydantic AI"
    capabilities = ProviderCapabilities(seed=True, output_schema=True, tools=True, thinking=True)

    def __init__(
        self,
        model: str | Model | Callable[[], Model] | None = None,
        *,
        max_tokens: int | None = None,
        timeout: float | None = None,
        stream: bool = True,
        structured_output: StructuredOutput = "auto",
    ) -> None:
        if model == "":
            raise InvalidValueError("model", value=model, expected="a name such as 'google:gemini-3-flash', or a model")
        if max_tokens is not None and (type(max_tokens) is not int or max_tokens < 1):
            raise InvalidValueError("max_tokens", value=max_tokens, expected="an integer of 1 or more, or None")
        if timeout is not None and (isinstance(timeout, bool) or not timeout > 0):
            raise InvalidValueError("timeout", value=timeout, expected="seconds, more than 0, or None")
        if structured_output not in get_args(StructuredOutput):
            expected = ", ".join(map(repr, get_args(StructuredOutput)))
            raise InvalidValueError("structured_output", value=structured_output, expected=f"one of {expected}")
        self._model = model
        self._max_tokens = max_tokens
        self._timeout = timeout
        self._stream = stream
        self._structured_output: StructuredOutput = structured_output
        self._opened: dict[str | None, Clients[OpenedModel]] = {}
        self._closed = False
        if not stream:
            self.capabilities = ProviderCapabilities(
                streaming=False, seed=True, output_schema=True, tools=True, thinking=True
            )

    @classmethod
    def from_url(cls, url: str) -> Self:
        """Make a provider from what ``open_provider`` is given.

        Args:
            url: ``"pydantic-ai:google:gemini-3-flash"``; options may follow a question mark: ``max_tokens``, ``timeout``
                and ``structured_output``.

        Raises:
            InvalidValueError: The URL is not of this form.
        """
        return cls(**settings_of(url, options={"max_tokens": int, "structured_output": str, "timeout": float}))

    def __repr__(self) -> str:
        """Name the model."""
        return f"PydanticAIProvider({self._model!r})"

    async def run(self, request: ProviderRequest, context: RunContext) -> AsyncGenerator[ProviderEvent, None]:
        """Run one request. See `Provider.run`."""
        check_request(request)
        opened = await self._clients(request.model).get()
        model = await opened.enter()
        service = Service(name=f"The model {model.model_name}", base_url=model.base_url or "", key_variable=None)
        settings: dict[str, Any] = {}
        if self._timeout is not None:
            settings["timeout"] = self._timeout
        if context.attempt:
            settings["max_retries"] = 0
        asked = prepared(
            request,
            model=model,
            max_tokens=self._max_tokens,
            structured_output=self._structured_output,
            settings=settings,
        )
        if asked.replaced:
            yield ProviderWarning(
                f"{asked.replaced} lone surrogate(s) of the request were sent as U+FFFD: they have no UTF-8 form.",
                {"replaced": asked.replaced},
            )
        answer = ModelAnswer(model=model.model_name, request=asked)
        try:
            async with aclosing(self._events(model, asked, answer, service)) as events:
                async for event in events:
                    yield event
        except ProviderError:
            raise
        except Exception as error:
            raise (closed_error() if self._closed else request_error(error, service)) from error
        cost = await cost_of(answer.tokens, model=answer.model, base_url=service.base_url) if service.base_url else None
        yield Completed(answer.output(request_id=None, cost=cost))

    async def close(self) -> None:
        """Close the connections. Requests that run end with a `ProviderError`."""
        self._closed = True
        for clients in list(self._opened.values()):
            await clients.close()

    async def _events(
        self, model: Model, asked: Prepared, answer: ModelAnswer, service: Service
    ) -> AsyncGenerator[ProviderEvent, None]:
        from pydantic_ai.direct import model_request, model_request_stream

        options: dict[str, Any] = {
            "model_settings": asked.settings,
            "model_request_parameters": asked.parameters,
        }
        if not self._stream:
            response = await model_request(model, asked.messages, **options)
        else:
            read = answer.reader()
            async with model_request_stream(model, asked.messages, **options) as stream:
                async for part in stream:
                    for event in read(part):
                        yield event
                response = stream.get()
            if model.base_url and is_cut(response):
                raise closed_error() if self._closed else service.cut(answer)
        for event in answer.take(response):
            yield event

    def _clients(self, name: str | None) -> Clients[OpenedModel]:
        if self._closed:
            raise closed_error()
        given = name or self._model
        if given is None:
            raise ProviderError(
                'No model is named. Make the provider with a model such as "google:gemini-3-flash", or give the agent '
                "one.",
                kind="configuration",
            )
        clients = self._opened.get(name)
        if clients is None:
            make = (
                functools.partial(named, given)
                if isinstance(given, str) or callable(given)
                else functools.partial(OpenedModel, given)
            )
            clients = self._opened[name] = Clients(make)
        return clients
