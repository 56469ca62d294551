"""The contract of every provider, on the bytes of a real model and on the model itself."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from real_contract import RealModelContract, real_url
from real_server import MODEL
from serving import Reply, served_elsewhere

from openharness.core import Message, ToolCall
from openharness.provider_claude import ClaudeProvider
from openharness.provider_claude._request import OUTPUT_TOOL
from openharness.testing import Ability, ProviderContract

if TYPE_CHECKING:
    from collections.abc import Iterator

    from openharness.core import Provider

__all__ = ("real_url",)

ANSWER = Reply(body=(Path(__file__).parent / "streams" / "01_text.sse").read_bytes(), size=100)


class TestClaudeProvider(ProviderContract):
    """The provider keeps the contract."""

    abilities = frozenset({Ability.FAILURES})

    @pytest.fixture
    def provider(self) -> Iterator[Provider]:
        """Return a provider of a server that always says the same."""
        with served_elsewhere(ANSWER) as url:
            yield ClaudeProvider(base_url=url, api_key="k", timeout=500)

    @pytest.fixture
    def failing_provider(self) -> Provider:
        """Return a provider of a server that is not there."""
        return ClaudeProvider(base_url="http://127.0.0.1:9", api_key="k", max_retries=0)


@pytest.mark.slow
class TestClaudeProviderOnARealModel(RealModelContract):
    """The provider keeps the contract on a real model."""

    tells_stop_texts = True

    def make(self, url: str, **options: Any) -> Provider:
        """Return a provider that asks the server at a URL."""
        return ClaudeProvider(MODEL, base_url=url, **options)

    def make_typed(self, url: str) -> Provider:
        """Return a provider that asks for typed output by a tool, since the server drops schemas from this API."""
        return self.make(url, structured_output="tool")

    @property
    def typed_example(self) -> list[Message]:
        """Return an example, which so small a model needs even where it is forced to call a tool."""
        return [
            Message("user", "Who is Eve? She is 41."),
            Message("assistant", "", tool_calls=[ToolCall("toolu_0", OUTPUT_TOOL, {"name": "Eve", "age": 41})]),
            Message("tool", "Eve, 41 years", tool_call_id="toolu_0"),
            Message("assistant", "She is Eve and 41 years old."),
        ]

    @property
    def typed_prompt(self) -> str:
        """Return the example and the question as the words of the chat template."""
        return f"""Who is Eve? She is 41.<|im_end|>
<|im_start|>assistant
<tool_call>
{{"name": "{OUTPUT_TOOL}", "arguments": {{"name": "Eve", "age": 41}}}}
</tool_call><|im_end|>
<|im_start|>user
The tool answered: Eve, 41 years<|im_end|>
<|im_start|>assistant
She is Eve and 41 years old.<|im_end|>
<|im_start|>user
Who is Adam? He is 30."""
