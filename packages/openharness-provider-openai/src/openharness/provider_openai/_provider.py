"""The provider: the SDK's client, and the settings of requests."""

from __future__ import annotations

import os
import urllib.parse
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Self

from openharness.core import InvalidValueError, ProviderCapabilities
from openharness.provider_http import HTTPProvider, PartStream, Service, certificates, settings_of
from openharness.provider_openai._answer import CompletionAnswer
from openharness.provider_openai._request import request_body

if TYPE_CHECKING:
    from collections.abc import Mapping

    # As the SDK's `AsyncOpenAI`, its client for Azure has what is used here.
    from openai import AsyncOpenAI

    from openharness.core import ProviderRequest

__all__ = ("DEFAULT_MODEL", "OpenAIProvider")

DEFAULT_MODEL = "gpt-5.4-mini"
"""The model of OpenAI's that is asked where none is named."""

_KEY_VARIABLE = "OPENAI_API_KEY"
_URL_VARIABLE = "OPENAI_BASE_URL"
# OpenAI's own models refuse the older name for the most tokens, and many other servers know no other.
_OWN_HOSTS = (".openai.com", ".openai.azure.com", ".services.ai.azure.com")


class OpenAIProvider(HTTPProvider["AsyncOpenAI"]):
    """Asks OpenAI, or any server that speaks its Chat Completions API: Ollama, vLLM, llama.cpp, LM Studio and others.

    It uses Chat Completions, not the SDK's newer Responses API: every compatible server has the one, few have all of the
    other. What servers leave out is missed: ids, usage, the index of a tool call, the reason for the end where usage came,
    and streaming itself.

    The key, the address and everything else that is not given here come from the SDK's environment variables:
    ``OPENAI_API_KEY``, ``OPENAI_BASE_URL``, ``OPENAI_ORG_ID``, ``OPENAI_PROJECT_ID``. The SDK is imported by the first
    request.

    A request's ``output_schema`` is sent as ``response_format``; it is marked as strict where OpenAI takes it as that: all
    its objects require all their fields, and nothing in it is unknown there. Options of a request are further parameters:
    ``{"top_p": 0.9}``, ``{"reasoning_effort": "low"}``, and what only one server knows, ``{"min_p": 0.1}``.

    Its errors are `ProviderError` with one of these kinds: ``"authentication"``, ``"permission"``, ``"quota"``,
    ``"rate_limit"``, ``"overloaded"``, ``"server"``, ``"timeout"``, ``"connection"``, ``"conflict"``,
    ``"context_length"``, ``"request_too_large"``, ``"invalid_request"``, ``"not_found"``, ``"model_not_found"``,
    ``"configuration"``, ``"protocol"``, ``"closed"``, ``"error"``.

    Args:
        model: The model that is asked where a request names none. None is `DEFAULT_MODEL` at OpenAI; other servers have
            none, and a request must name one.
        api_key: The key; None takes the environment variable. Servers other than OpenAI's are also asked without one.
        base_url: Where the API is, ``"http://localhost:11434/v1"`` for Ollama; None takes the environment variable, then
            OpenAI's own address.
        max_tokens: The most tokens of an answer where the request says none; None leaves it to the server.
        max_tokens_name: What the server calls that number; None is ``"max_completion_tokens"`` at OpenAI and Azure, and
            ``"max_tokens"``, which is older, elsewhere.
        max_retries: How often the SDK sends a failed request again before the harness hears of it; None is the SDK's
            own number, which is 2. When the harness tries again, each of its attempts is sent once.
        timeout: Seconds of silence after which a request fails; None is the SDK's own number, which is 600.
        client: A client of yours, such as ``AsyncAzureOpenAI(...)``. It is used as it is, and you close it; `api_key`,
            `base_url`, `max_retries` and `timeout` are then its own business.

    Raises:
        InvalidValueError: An argument cannot be right. Whether there is a key is seen by the first request.
    """

    type: ClassVar[str] = "openai"
    display_name = "OpenAI"
    capabilities = ProviderCapabilities(seed=True, output_schema=True, tools=True, thinking=True)

    def __init__(
        self,
        model: str | None = None,
        *,
        api_key: str | None = None,
        base_url: str | None = None,
        max_tokens: int | None = None,
        max_tokens_name: Literal["max_tokens", "max_completion_tokens"] | None = None,
        max_retries: int | None = None,
        timeout: float | None = None,
        client: AsyncOpenAI | None = None,
    ) -> None:
        super().__init__(client=client, max_tokens=max_tokens, max_retries=max_retries, timeout=timeout)
        if model == "":
            raise InvalidValueError("model", value=model, expected="the name of a model, or None")
        if max_tokens_name not in (None, "max_tokens", "max_completion_tokens"):
            raise InvalidValueError(
                "max_tokens_name", value=max_tokens_name, expected="'max_tokens', 'max_completion_tokens' or None"
            )
        self._model = model
        self._api_key = api_key
        self._base_url = base_url
        self._max_tokens_name = max_tokens_name

    @classmethod
    def from_url(cls, url: str) -> Self:
        """Make a provider from what ``open_provider`` is given.

        Args:
            url: ``"openai"`` for the default model, or ``"openai:gpt-5.5"``; options may follow:
                ``"openai:llama3.2?base_url=http://localhost:11434/v1"``. They are ``base_url``, ``max_tokens``,
                ``max_tokens_name``, ``max_retries`` and ``timeout``.

        Raises:
            InvalidValueError: The URL is not of this form.
        """
        options = {
            "base_url": str,
            "max_retries": int,
            "max_tokens": int,
            "max_tokens_name": str,
            "timeout": float,
        }
        return cls(**settings_of(url, options=options))

    def __repr__(self) -> str:
        """Name the model."""
        return f"OpenAIProvider({self._model!r})"

    @property
    def model(self) -> str | None:
        """The model that is asked where a request names none, as it was given."""
        return self._model

    def make_client(self, settings: Mapping[str, Any]) -> AsyncOpenAI:
        """Import the SDK and make a client. See `HTTPProvider`."""
        import openai

        base_url = self._base_url or os.environ.get(_URL_VARIABLE) or None
        api_key = self._api_key
        if api_key is None and not os.environ.get(_KEY_VARIABLE) and not os.environ.get("OPENAI_ADMIN_KEY"):
            if base_url is None or _is_own(base_url):
                raise _service(base_url or "https://api.openai.com/v1").no_key()
            # A server of one's own may need none, but the SDK sends nothing without.
            api_key = "none"
        # The SDK's usual client closes itself when it is collected, in whichever event loop then runs; this one does not.
        http_client = openai.DefaultAsyncHttpxClient(verify=certificates())
        return openai.AsyncOpenAI(api_key=api_key, base_url=base_url, http_client=http_client, **settings)

    def service(self, client: AsyncOpenAI) -> Service:
        """Return whom this client asks. See `HTTPProvider`."""
        return _service(str(client.base_url))

    def body(self, request: ProviderRequest, client: AsyncOpenAI) -> dict[str, Any]:
        """Return the request's body. See `HTTPProvider`."""
        own = _is_own(str(client.base_url))
        return request_body(
            request,
            model=self._model or (DEFAULT_MODEL if own else None),
            max_tokens=self._max_tokens,
            max_tokens_name=self._max_tokens_name or ("max_completion_tokens" if own else "max_tokens"),
        )

    async def open(self, client: AsyncOpenAI, body: Mapping[str, Any], *, retries: bool) -> PartStream:
        """Send the request. See `HTTPProvider`."""
        asked = client if retries else client.with_options(max_retries=0)
        # As `extra_body` goes what only some of the SDK's releases, or only some servers, know by name.
        further = {name: value for name, value in body.items() if name not in ("model", "messages")}
        return await asked.chat.completions.create(
            model=body["model"], messages=body["messages"], stream=True, extra_body=further
        )

    def answer(self, request: ProviderRequest, body: Mapping[str, Any]) -> CompletionAnswer:
        """Return what reads the answer. See `HTTPProvider`."""
        del request
        return CompletionAnswer(model=body["model"])


def _service(base_url: str) -> Service:
    name = "OpenAI" if _is_own(base_url) else "The server"
    return Service(name=name, base_url=base_url, key_variable=_KEY_VARIABLE)


def _is_own(base_url: str) -> bool:
    return f".{urllib.parse.urlsplit(base_url).hostname or ''}".endswith(_OWN_HOSTS)
