"""Starts llama.cpp on one model: the only module that knows xllamacpp."""

from __future__ import annotations

import http.client
import importlib
import json
import secrets
import urllib.parse
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Protocol, cast

import attrs

from openharness.core import ProviderError
from openharness.provider_llamacpp._models import chat_template, find_model, model_name
from openharness.provider_llamacpp._signals import kept_signal_handlers

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ("ModelSettings", "Server", "start_server")

# Tokens of the prompt that are read at once. Between two such steps a request can be cancelled: at 64 that is twice a
# second on one slow core, and no slower in sum than the library's 2,048.
_BATCH = 64
# Seconds in which llama.cpp tells about the model, which it does at once.
_PATIENCE = 10.0


class _Library(Protocol):
    """What is used of ``xllamacpp.Server``."""

    @property
    def listening_address(self) -> str:
        """The URL of the port it has opened."""
        ...

    def handle_chat_completions(self, prompt: bytes, callback: Callable[[bytes], bool], /) -> None:
        """Answer one request, calling back with each part of the answer until the callback returns True."""


class Server:
    """A model that is loaded.

    Args:
        library: llama.cpp with the model in it.
        key: What opens its port.

    Attributes:
        handle_chat_completions: Answers one request, calling back with each part of the answer until the callback
            returns True. The library's own, so that an error's traceback has no frame that keeps the model in memory.
    """

    def __init__(self, library: _Library, key: str) -> None:
        self.handle_chat_completions = library.handle_chat_completions
        self._address = library.listening_address
        self._key = key
        self._offers_tools: bool | None = None

    @property
    def offers_tools(self) -> bool:
        """Whether the model's chat template has a place for tools; llama.cpp leaves them out in silence where not."""
        if self._offers_tools is None:
            properties = self._properties()
            capabilities = cast("Mapping[str, object]", properties.get("chat_template_caps") or {})
            # A release that does not tell is trusted.
            self._offers_tools = bool(capabilities.get("supports_tools", True))
        return self._offers_tools

    def _properties(self) -> Mapping[str, object]:
        # Of all that llama.cpp knows of the model, the library hands out nothing but through the port.
        address = urllib.parse.urlsplit(self._address)
        connection = http.client.HTTPConnection(address.hostname or "", address.port, timeout=_PATIENCE)
        try:
            connection.request("GET", "/props", headers={"Authorization": f"Bearer {self._key}"})
            answer = connection.getresponse()
            return cast("Mapping[str, object]", json.load(answer)) if answer.status == http.HTTPStatus.OK else {}
        except (OSError, http.client.HTTPException, ValueError):
            return {}
        finally:
            connection.close()


@attrs.frozen(kw_only=True)
class ModelSettings:
    """Which model runs, and how.

    Attributes:
        model: A name or a path.
        context: How many tokens prompt and answer may have together.
        threads: How many threads compute.
        gpu_layers: How many of the model's layers run on a GPU.
        cache_prompt: Whether the beginning that a prompt shares with the one before is not computed again.
        parameters: Attributes of ``xllamacpp.CommonParams``, set last.
    """

    model: str
    context: int
    threads: int
    gpu_layers: int
    cache_prompt: bool
    parameters: Mapping[str, object]


def start_server(settings: ModelSettings) -> Server:
    """Load the model, in this thread.

    Raises:
        ProviderError: xllamacpp is not installed, or the model cannot be found or loaded.
    """
    path = find_model(settings.model)
    try:
        library: Any = importlib.import_module("xllamacpp")
    except ImportError as error:
        raise ProviderError(
            f"Running a GGUF model needs the package xllamacpp, which cannot be imported ({error}). "
            "Bring it with: pip install xllamacpp",
            kind="not_installed",
        ) from error
    key = secrets.token_urlsafe(32)
    parameters = _parameters(library, settings, key)
    parameters.model.path = str(path)
    try:
        with kept_signal_handlers():
            server = library.Server(parameters)
        # Its thread takes work from a queue. Dropped before that has begun, it would be waited for, with the
        # interpreter's lock held, and never end; so it does some work first.
        server.handle_metrics()
        return Server(server, key)
    except Exception as error:
        raise ProviderError(
            f"llama.cpp cannot load {str(path)!r}: {error} Is the file complete, is it an instruct model of a kind this "
            f"release of xllamacpp ({library.__version__}) knows, and is there memory for it?",
            kind="model_load",
        ) from error


def _parameters(library: Any, settings: ModelSettings, key: str) -> Any:
    parameters = library.CommonParams()
    # Without an alias every answer would name the file's full path.
    parameters.model_alias = {model_name(settings.model)}
    parameters.n_ctx = settings.context
    parameters.n_gpu_layers = settings.gpu_layers
    parameters.cpuparams.n_threads = parameters.cpuparams_batch.n_threads = settings.threads
    parameters.n_batch = parameters.n_ubatch = _BATCH
    parameters.cache_prompt = settings.cache_prompt
    # One request at a time: two in one batch influence each other's rounding, and then temperature 0 gives two answers.
    parameters.n_parallel = 1
    parameters.cache_ram_mib = 0
    # Nothing on standard error.
    parameters.verbosity = 0
    # Loading holds the interpreter's lock, so it does only what must be done: no trial run, no probing of the memory,
    # no second copy of the weights in another layout.
    parameters.warmup = False
    parameters.fit_params = False
    parameters.no_extra_bufts = True
    # The library always opens a port of the loopback device, which nobody else may use.
    parameters.api_keys = [key]
    parameters.n_threads_http = 1
    parameters.endpoint_slots = False
    # One of the two names, depending on the release.
    for name in ("ui", "webui"):
        if hasattr(parameters, name):
            setattr(parameters, name, False)
    template = chat_template(settings.model)
    if template is not None:
        parameters.chat_template = template
    for name, value in settings.parameters.items():
        try:
            setattr(parameters, name, value)
        except (AttributeError, TypeError, ValueError) as error:
            raise ProviderError(
                f"parameters must hold attributes of xllamacpp.CommonParams with values of their types, "
                f"got {name}={value!r} ({error}).",
                kind="invalid_request",
            ) from error
    # What is asked of it first, see `start_server`.
    parameters.endpoint_metrics = True
    return parameters
