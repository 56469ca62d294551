"""The provider: the SDK's client, and the settings of requests."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Self, TypeAlias

from openharness.core import InvalidValueError, ProviderCapabilities, ProviderWarning
from openharness.provider_claude._answer import MessageAnswer
from openharness.provider_claude._request import OUTPUT_TOOL, RequestSettings, object_schema, request_body
from openharness.provider_http import HTTPProvider, PartStream, Service, certificates, settings_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    # As the SDK's `AsyncAnthropic`, its clients for Bedrock, Vertex and others have what is used here.
    from anthropic import AsyncAnthropic

    from openharness.core import ProviderRequest

__all__ = ("DEFAULT_MODEL", "ClaudeProvider")

DEFAULT_MODEL = "claude-sonnet-5-5"
"""The model that is asked where none is named."""

Thinking: TypeAlias = "int | Literal['adaptive', 'disabled']"

_KEY_VARIABLE = "ANTHROPIC_API_KEY"
_URL_VARIABLE = "ANTHROPIC_BASE_URL"
# What an answer may have beside the thinking.
_MAX_TOKENS = 4096


class ClaudeProvider(HTTPProvider["AsyncAnthropic"]):
    """Asks Claude through the streaming Messages API of the official ``anthropic`` SDK.

    The key, the address and everything else that is not given here come from the SDK's environment variables:
    ``ANTHROPIC_API_KEY``, ``ANTHROPIC_AUTH_TOKEN``, ``ANTHROPIC_BASE_URL``. The SDK is imported by the first request.

    A request's ``output_schema`` is met in one of two ways. ``"native"`` is the API's own structured output. ``"tool"``
    forces the model to call a tool whose parameters are the schema, which also works where a server knows no schemas, and
    with schemas that the API refuses; whatever the model says beside that call is thinking.

    Options of a request are further parameters of the Messages API: ``{"top_p": 0.9}``, ``{"tool_choice": ...}``.

    Its errors are `ProviderError` with one of these kinds: ``"authentication"``, ``"permission"``, ``"quota"``,
    ``"rate_limit"``, ``"overloaded"``, ``"server"``, ``"timeout"``, ``"connection"``, ``"conflict"``,
    ``"context_length"``, ``"request_too_large"``, ``"invalid_request"``, ``"not_found"``, ``"model_not_found"``,
    ``"configuration"``, ``"protocol"``, ``"closed"``, ``"error"``.

    Args:
        model: The model that is asked where a request names none.
        api_key: The key; None takes the SDK's environment variables.
        base_url: Where the API is; None takes the environment variable, then the SDK's own address.
        max_tokens: The most tokens of an answer where the request says none, which the API insists on. None is 4,096,
            and as many more as the model may think.
        thinking: ``"adaptive"`` lets the model think as much as it wants and shows a summary, a number is how many
            tokens it may think with, ``"disabled"`` forbids it; None leaves it to the model.
        prompt_caching: Let the API keep what comes before and with the last message: True or ``"5m"`` for five minutes,
            ``"1h"`` for an hour. The system prompt, the tools and the last message are marked.
        structured_output: How an ``output_schema`` is met, see above.
        max_retries: How often the SDK sends a failed request again before the harness hears of it; None is the SDK's
            own number, which is 2. When the harness tries again, each of its attempts is sent once.
        timeout: Seconds of silence after which a request fails; None is the SDK's own number, which is 600.
        client: A client of yours, such as ``AsyncAnthropicBedrock()``. It is used as it is, and you close it;
            `api_key`, `base_url`, `max_retries` and `timeout` are then its own business.

    Raises:
        InvalidValueError: An argument cannot be right. Whether there is a key is seen by the first request.
    """

    type: ClassVar[str] = "claude"
    display_name = "Claude"
    capabilities = ProviderCapabilities(output_schema=True, tools=True, thinking=True)

    def __init__(
        self,
        model: str = DEFAULT_MODEL,
        *,
        api_key: str | None = None,
        base_url: str | None = None,
        max_tokens: int | None = None,
        thinking: Thinking | None = None,
        prompt_caching: bool | Literal["5m", "1h"] = False,
        structured_output: Literal["native", "tool"] = "native",
        max_retries: int | None = None,
        timeout: float | None = None,
        client: AsyncAnthropic | None = None,
    ) -> None:
        super().__init__(client=client, max_tokens=max_tokens, max_retries=max_retries, timeout=timeout)
        if not model:
            raise InvalidValueError("model", value=model, expected="the name of a model")
        budget = thinking if isinstance(thinking, int) else None
        if isinstance(thinking, bool) or not (thinking in (None, "adaptive", "disabled") or (budget or 0) >= 1):
            raise InvalidValueError(
                "thinking", value=thinking, expected="'adaptive', 'disabled', a number of tokens or None"
            )
        if prompt_caching not in (False, True, "5m", "1h"):
            raise InvalidValueError("prompt_caching", value=prompt_caching, expected="False, True, '5m' or '1h'")
        if structured_output not in ("native", "tool"):
            raise InvalidValueError("structured_output", value=structured_output, expected="'native' or 'tool'")
        self._api_key = api_key
        self._base_url = base_url
        self._request_settings = RequestSettings(
            model=model,
            max_tokens=_MAX_TOKENS + (budget or 0) if max_tokens is None else max_tokens,
            thinking=thinking,
            caching="5m" if prompt_caching is True else prompt_caching or None,
            by_tool=structured_output == "tool",
        )

    @classmethod
    def from_url(cls, url: str) -> Self:
        """Make a provider from what ``open_provider`` is given.

        Args:
            url: ``"claude"`` for the default model, or ``"claude:claude-haiku-5-5"``; options may follow:
                ``"claude:claude-haiku-5-5?max_tokens=1000&base_url=http://localhost:8080"``. They are ``base_url``,
                ``max_tokens``, ``max_retries``, ``timeout``, ``thinking``, ``prompt_caching`` and ``structured_output``.

        Raises:
            InvalidValueError: The URL is not of this form.
        """
        return cls(
            **settings_of(
                url,
                options={
                    "base_url": str,
                    "max_retries": int,
                    "max_tokens": int,
                    "prompt_caching": str,
                    "structured_output": str,
                    "thinking": lambda text: int(text) if text.isdecimal() else text,
                    "timeout": float,
                },
            )
        )

    def __repr__(self) -> str:
        """Name the model."""
        return f"ClaudeProvider({self.model!r})"

    @property
    def model(self) -> str:
        """The model that is asked where a request names none."""
        return self._request_settings.model

    def make_client(self, settings: Mapping[str, Any]) -> AsyncAnthropic:
        """Import the SDK and make a client. See `HTTPProvider`."""
        import anthropic

        # The SDK's usual client closes itself when it is collected, in whichever event loop then runs; this one does not.
        http_client = anthropic.DefaultAsyncHttpxClient(verify=certificates())
        client = anthropic.AsyncAnthropic(
            api_key=self._api_key, base_url=self._base_url, http_client=http_client, **settings
        )
        if not (client.api_key or client.auth_token or client.credentials):
            if self._base_url is None and not os.environ.get(_URL_VARIABLE):
                raise self.service(client).no_key()
            # A server of one's own may need none, but the SDK sends nothing without.
            client.api_key = "none"
        return client

    def service(self, client: AsyncAnthropic) -> Service:
        """Return whom this client asks. See `HTTPProvider`."""
        return Service(name="Claude", base_url=str(client.base_url), key_variable=_KEY_VARIABLE)

    def body(self, request: ProviderRequest, client: AsyncAnthropic) -> dict[str, Any]:
        """Return the request's body. See `HTTPProvider`."""
        del client
        return request_body(request, self._request_settings)

    def warnings(self, request: ProviderRequest) -> list[ProviderWarning]:
        """Tell of stop texts that are left out. See `HTTPProvider`."""
        blank = [text for text in request.stop if not text.strip()]
        if not blank:
            return []
        return [
            ProviderWarning(
                f"{len(blank)} stop text(s) were left out: the API takes none that are white space alone.",
                {"stop": blank},
            )
        ]

    async def open(self, client: AsyncAnthropic, body: Mapping[str, Any], *, retries: bool) -> PartStream:
        """Send the request. See `HTTPProvider`."""
        asked = client if retries else client.with_options(max_retries=0)
        # As `extra_body` go what the SDK's releases know under different names, or not at all, such as the temperature.
        further = {name: value for name, value in body.items() if name not in ("model", "max_tokens", "messages")}
        return await asked.messages.create(
            model=body["model"],
            max_tokens=body["max_tokens"],
            messages=body["messages"],
            stream=True,
            extra_body=further,
        )

    def answer(self, request: ProviderRequest, body: Mapping[str, Any]) -> MessageAnswer:
        """Return what reads the answer. See `HTTPProvider`."""
        schema = request.output_schema if self._request_settings.by_tool else None
        return MessageAnswer(
            model=body["model"],
            output_tool=None if schema is None else OUTPUT_TOOL,
            wrapped=schema is not None and object_schema(schema) is None,
        )
