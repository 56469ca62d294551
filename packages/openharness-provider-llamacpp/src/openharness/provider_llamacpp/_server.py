"""Starts llama.cpp on one model: the only module that knows xllamacpp."""

from __future__ import annotations

import importlib
import secrets
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Protocol, cast

import attrs

from openharness.core import ProviderError
from openharness.provider_llamacpp._models import find_model, model_name
from openharness.provider_llamacpp._signals import kept_signal_handlers

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ("ModelSettings", "Server", "start_server")

# Tokens of the prompt that are read at once. Between two such steps a request can be cancelled: at 64 that is twice a
# second on one slow core, and no slower in sum than the library's 2,048.
_BATCH = 64


class Server(Protocol):
    """What is used of ``xllamacpp.Server``."""

    def handle_chat_completions(self, prompt: bytes, callback: Callable[[bytes], bool], /) -> None:
        """Answer one request, calling back with each part of the answer until the callback returns True."""


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
    parameters = _parameters(library, settings)
    parameters.model.path = str(path)
    try:
        with kept_signal_handlers():
            return cast("Server", library.Server(parameters))
    except Exception as error:
        raise ProviderError(
            f"llama.cpp cannot load {str(path)!r}: {error} Is the file complete, is it an instruct model of a kind this "
            f"release of xllamacpp ({library.__version__}) knows, and is there memory for it?",
            kind="model_load",
        ) from error


def _parameters(library: Any, settings: ModelSettings) -> Any:
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
    # The library always opens a port of the loopback device, which is not used here: nobody else may use it either.
    parameters.api_keys = [secrets.token_urlsafe(32)]
    parameters.n_threads_http = 1
    parameters.endpoint_slots = False
    # One of the two names, depending on the release.
    for name in ("ui", "webui"):
        if hasattr(parameters, name):
            setattr(parameters, name, False)
    for name, value in settings.parameters.items():
        try:
            setattr(parameters, name, value)
        except (AttributeError, TypeError, ValueError) as error:
            raise ProviderError(
                f"parameters must hold attributes of xllamacpp.CommonParams with values of their types, "
                f"got {name}={value!r} ({error}).",
                kind="invalid_request",
            ) from error
    return parameters
