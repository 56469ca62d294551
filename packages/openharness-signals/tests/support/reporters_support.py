"""Runs to report: of every kind, recorded, with what a subscriber was told of them."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any

from openharness.core import HarnessTimeoutError, RunError, create_harness
from openharness.core.errors import ProviderError
from openharness.core.interfaces import Completed, Provider, ProviderOutput, TextDelta, ThinkingDelta, ToolCall, Usage
from openharness.signals import MemorySignalStore

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Mapping

    from openharness.core import Recording
    from openharness.core.interfaces import ProviderEvent, ProviderRequest, RunContext
    from openharness.signals import Reporter

KINDS = ("completed", "failed", "timed_out", "retried", "continued")
"""What may become of a run; of those that fail at a call of a provider, three ways."""


class Storyteller(Provider):
    """Thinks, asks for a tool and writes; fails, or never ends, where the prompt says so.

    Args:
        text: What it writes, word by word.
    """

    type = "storyteller"

    def __init__(self, text: str = "Once upon a time.") -> None:
        self.text = text

    async def run(self, request: ProviderRequest, context: RunContext) -> AsyncGenerator[ProviderEvent, None]:
        """Answer, after the manner of the prompt."""
        prompt = request.messages[-1].content
        yield ThinkingDelta("Well. ")
        if "fail" in prompt or ("retry" in prompt and context.attempt == 0):
            raise ProviderError("It is too busy.", kind="overloaded", retryable="retry" in prompt)
        if "hang" in prompt:
            import asyncio

            await asyncio.sleep(60)
        yield ToolCall("t1", "search", {"q": "rain"})
        for word in self.text.split(" "):
            yield TextDelta(word + " ")
        usage = Usage(input_tokens=len(prompt), output_tokens=len(self.text.split()), cached_tokens=1, cost=0.125)
        yield Completed(
            ProviderOutput(content=self.text + " ", thinking="Well. ", usage=usage, model="story-1", stop_reason="end")
        )


async def run_told(
    *reporters: Reporter, kind: str = "completed", text: str = "Once upon a time.", **options: Any
) -> Recording:
    """Run two agents at once and one after them, tell the reporters live, and return the recording."""
    harness, store = create_harness(), MemorySignalStore()
    prompts: Mapping[str, dict[str, Any]] = {
        "completed": {"prompt": "Tell!"},
        "failed": {"prompt": "fail"},
        "timed_out": {"prompt": "hang"},
        "retried": {"prompt": "retry", "retries": 2, "retry_delay": 0.0},
        "continued": {"prompt": "fail", "on_error": "continue"},
    }
    agents = {
        "teller": harness.agent(activate_on="harness:start", updates="story", emits="story:told", **prompts[kind]),
        "helper": harness.agent(prompt="Help!", activate_on="harness:start", updates="help"),
        "critic": harness.agent(prompt="Judge!", activate_on="story:told", when=lambda ctx: ctx.state["help"] == "?"),
    }
    with contextlib.ExitStack() as stack:
        for reporter in reporters:
            stack.enter_context(harness.subscribe("**", reporter))
        with contextlib.suppress(RunError, HarnessTimeoutError):
            await harness.run_reactive(
                agents=agents,
                state={"story": "", "help": ""},
                provider=Storyteller(text),
                store=store,
                timeout=0.1 if kind == "timed_out" else None,
                **options,
            )
    (info,) = await store.list_recordings()
    recording = await store.load_recording(info.id)
    assert recording is not None
    return recording
