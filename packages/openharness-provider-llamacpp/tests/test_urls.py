"""Providers made from a URL, and found as a plugin."""

from __future__ import annotations

import importlib.metadata

import pytest

from openharness.core import InvalidValueError
from openharness.provider_llamacpp import DEFAULT_MODEL, LlamaCppProvider


@pytest.mark.parametrize(
    "url, model",
    [
        ("llamacpp", DEFAULT_MODEL),
        ("llamacpp:", DEFAULT_MODEL),
        ("llamacpp:smollm2-135m-instruct", DEFAULT_MODEL),
        ("llamacpp:models/small.gguf", "small"),
        ("llamacpp:/models/a%20b.gguf?context=512&threads=2", "a b"),
    ],
)
def test_a_url_names_the_model(url: str, model: str) -> None:
    """What follows the colon is a known name or a path."""
    assert LlamaCppProvider.from_url(url).model == model


def test_a_url_sets_numbers() -> None:
    """The query of a URL sets the options that are numbers."""
    settings = LlamaCppProvider.from_url("llamacpp:?context=512&threads=2&gpu_layers=3")._settings
    assert (settings.context, settings.threads, settings.gpu_layers) == (512, 2, 3)


@pytest.mark.parametrize("query", ["ctx=1", "context=many", "context=", "parameters=1", "context=-1", "context=0"])
def test_a_url_with_something_else_is_refused(query: str) -> None:
    """An unknown option, or one that is no number, is an error."""
    with pytest.raises(InvalidValueError):
        LlamaCppProvider.from_url(f"llamacpp:small.gguf?{query}")


def test_the_plugin_is_found() -> None:
    """The entry point leads to the class."""
    (entry,) = importlib.metadata.entry_points(group="openharness.providers", name="llamacpp")
    assert entry.load() is LlamaCppProvider


def test_it_shows_its_model() -> None:
    """The repr of a provider names its model."""
    assert repr(LlamaCppProvider("models/small.gguf")) == "LlamaCppProvider('models/small.gguf')"
