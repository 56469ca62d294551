"""Runs to report: of every kind, recorded, with what a subscriber was told of them."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING, Any

import attrs
from hypothesis import strategies as st
from signals_support import NOON, RUN_ID

from openharness.core import HarnessTimeoutError, RunError, create_harness
from openharness.core.errors import ProviderError
from openharness.core.interfaces import Completed, Provider, ProviderOutput, TextDelta, ThinkingDelta, ToolCall, Usage
from openharness.core.records import signal_id
from openharness.signals import MemorySignalStore

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Mapping

    from openharness.core import Recording
    from openharness.core.interfaces import ProviderEvent, ProviderRequest, RunContext
    from openharness.signals import Reporter

NASTY = "\x1b]0;owned\x07\x1b[2J\x9b31m\r\n\x08\0\u202e\ud83d\u200b日本\U0001f468\u200d\U0001f469\u200d\U0001f467e\u0301\ufe0f"
"""What terminals obey, cannot be stored, or takes an unusual number of columns."""

KINDS = ("completed", "failed", "timed_out", "retried", "continued")
"""What may become of a run; of those that fail at a call of a provider, three ways."""


texts = st.text(
    st.one_of(st.characters(), st.sampled_from(NASTY + "  \n\t"), st.characters(codec="ascii")), max_size=120
)
payloads = st.recursive(
    st.one_of(st.none(), st.integers(), texts), lambda inner: st.dictionaries(texts, inner, max_size=3), max_leaves=5
)
names = st.sampled_from(
    [
        *("harness:start", "harness:end", "agent:error", "provider:end", "provider:error", "text:delta"),
        *("thinking:delta", "tool:call", "provider:retry", "state:x:changed", "mine:too", "日本:" + "語" * 40),
    ]
)
hostile_logs = st.lists(
    st.tuples(
        names,
        st.one_of(payloads, st.fixed_dictionaries({"call": st.sampled_from(["a#1/0/0", NASTY]), "text": texts})),
        st.one_of(st.none(), texts),
    ),
    max_size=12,
)
"""Names, payloads and activations of signals as no harness writes them."""


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
            # The others come to rest; then it is later than the run may take, however fast the machine is.
            for _ in range(1000):
                await asyncio.sleep(0)
            loop = asyncio.get_running_loop()
            time = loop.time
            loop.time = lambda: time() + 1000  # type: ignore[method-assign]
            await asyncio.Event().wait()
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
                timeout=500 if kind == "timed_out" else None,
                **options,
            )
    (info,) = await store.list_recordings()
    recording = await store.load_recording(info.id)
    assert recording is not None
    return recording


def settled(recording: Recording) -> Recording:
    """The recording with a run id, and times a tenth of a second apart, that are always the same."""
    signals = [
        attrs.evolve(one, id=signal_id(RUN_ID, one.seq), timestamp=NOON + 100 * one.seq) for one in recording.signals
    ]
    return attrs.evolve(recording, signals=signals)
