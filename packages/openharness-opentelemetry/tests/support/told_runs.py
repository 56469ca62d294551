"""Runs that a reporter is told of while they go on: of every kind, and as a seed draws them."""

from __future__ import annotations

import asyncio
import contextlib
import random
from typing import TYPE_CHECKING, Any

import attrs

from openharness.core import (
    Completed,
    HarnessTimeoutError,
    Provider,
    ProviderCapabilities,
    ProviderError,
    ProviderOutput,
    RunError,
    TextDelta,
    ThinkingDelta,
    ToolCall,
    Usage,
    create_harness,
    tool,
)
from openharness.signals import MemorySignalStore

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable

    from openharness.core import Harness, ProviderEvent, ProviderRequest, Recording, RunContext, Signal

__all__ = ("MESSAGE", "Storyteller", "random_run", "recorded", "run_told")

MESSAGE = "It is too busy."
FIELDS = ("a", "b", "c")


@tool
def add(left: int, right: int) -> int:
    """Add two numbers."""
    return left + right


@tool
async def fail(left: int, right: int) -> int:
    """Fail."""
    await asyncio.sleep(0)
    raise ArithmeticError(f"{left} and {right}")


def let_pass(seconds: float) -> None:
    """Let it be later in the event loop, so that a timer ends when something happens and not when a machine is slow."""
    loop = asyncio.get_running_loop()
    time = loop.time
    loop.time = lambda: time() + seconds  # type: ignore[method-assign]


class Storyteller(Provider):
    """Thinks, asks for the tools there are, and writes; fails, waits, hangs or is late where the prompt says so.

    Attributes:
        hanging: Set when it hangs.
    """

    type = "storyteller"
    capabilities = ProviderCapabilities(tools=True, thinking=True, seed=True)

    def __init__(self) -> None:
        self.hanging = asyncio.Event()

    async def run(self, request: ProviderRequest, context: RunContext) -> AsyncGenerator[ProviderEvent, None]:
        """Answer, after the manner of the prompt."""
        prompt = str(request.messages[0].content)
        if "wait" in prompt:
            await asyncio.sleep(0.001)
        if "early" in prompt:
            raise ProviderError(MESSAGE, kind="overloaded")
        if "crash" in prompt:
            raise ZeroDivisionError("no kind")
        yield ThinkingDelta("Well. ")
        if "fail" in prompt or ("retry" in prompt and context.attempt == 0):
            raise ProviderError(MESSAGE, kind="rate_limit", retryable="retry" in prompt)
        if "hang" in prompt:
            self.hanging.set()
            await asyncio.Event().wait()
        if "late" in prompt:
            let_pass(1000)
            await asyncio.Event().wait()
        usage = Usage(input_tokens=len(prompt), output_tokens=2, cached_tokens=1, cost=0.25)
        if request.tools and len(request.messages) == 1:
            for number, asked in enumerate(request.tools):
                yield ToolCall(f"call_{number}", str(asked["name"]), {"left": number, "right": 2})
            content, reason = "", "tool_calls"
        else:
            yield TextDelta("Once ")
            yield TextDelta("upon a time.")
            content, reason = "Once upon a time.", "end"
        yield Completed(
            ProviderOutput(
                content=content,
                thinking="Well. ",
                usage=usage,
                model="story-1",
                stop_reason=reason,
                request_id=f"req-{context.call}",
            )
        )


@contextlib.contextmanager
def listening(harness: Harness[Any], *listeners: Callable[..., Any]) -> Any:
    """Subscribe them all for a while."""
    with contextlib.ExitStack() as stack:
        for listener in listeners:
            stack.enter_context(harness.subscribe("**", listener))
        yield


async def recorded(store: MemorySignalStore) -> Recording:
    """Return the only recording of a store."""
    (info,) = await store.list_recordings()
    recording = await store.load_recording(info.id)
    assert recording is not None
    return recording


async def run_told(*listeners: Callable[..., Any], prompt: str = "Tell!", **options: Any) -> Recording:
    """Run a teller with tools, and a critic of what it told, tell the listeners live, and return the recording."""
    harness, store = create_harness(), MemorySignalStore()
    own = {name: options.pop(name) for name in ("retries", "on_error", "system", "model") if name in options}
    agents = options.pop("agents", None) or {
        "teller": harness.agent(
            prompt=prompt,
            activate_on="harness:start",
            updates="story",
            emits="story:told",
            tools=[add, fail],
            retry_delay=0.0,
            max_tokens=9,
            temperature=0.5,
            stop=["END"],
            seed=3,
            **{"model": "story-0", **own},
        ),
        "critic": harness.agent(prompt="Judge!", activate_on="story:told"),
    }
    with listening(harness, *listeners), contextlib.suppress(RunError, HarnessTimeoutError, asyncio.CancelledError):
        await harness.run_reactive(
            **{"agents": agents, "state": {"story": ""}, "provider": Storyteller(), "store": store, **options}
        )
    return await recorded(store)


async def random_run(seed: int, *listeners: Callable[..., Any]) -> Recording:
    """Run what a seed draws: agents that wait for each other, tools, failures, retries, limits, an end of some kind."""
    chance = random.Random(seed)
    harness, store = create_harness(), MemorySignalStore()
    agents: dict[str, Any] = {}
    for number in range(chance.randint(1, 6)):
        sources = [f"told:{earlier}" for earlier in range(number)] + ["state:a:changed", "text:delta", "agent:error"]
        active = ["harness:start"] if number == 0 else chance.sample(sources, chance.randint(1, min(2, len(sources))))
        agents[f"agent{number}"] = harness.agent(
            prompt=chance.choice(["Tell!", "Tell!", "wait", "retry", "fail", "early", "crash", "wait retry"]),
            activate_on=chance.choice([active, ["harness:start"]]),
            updates=chance.choice([None, *FIELDS]),
            emits=f"told:{number}",
            tools=chance.sample([add, fail], chance.randint(0, 2)),
            model=chance.choice([None, "story-0"]),
            retries=chance.randint(0, 2),
            retry_delay=0.0,
            history=chance.choice(["none", "agent"]),
            on_error=chance.choice(["continue", "continue", "continue", "fail"]),
            when=chance.choice([lambda ctx: True, lambda ctx: ctx.signal.seq < 60]),
        )
    # Agents that activate each other come to rest here.
    agents = {name: attrs.evolve(agent, when=_until(agent.when)) for name, agent in agents.items()}
    ends = chance.choice(["quiet", "quiet", "cancel", "timeout", "limit", "end_when"])
    options: dict[str, Any] = {"max_activations": 4 if ends == "limit" else 1000}
    if ends == "timeout":
        # Long after all but this one have come to rest.
        agents["hanging"] = harness.agent(prompt="hang", activate_on="harness:start")
        options["timeout"] = 0.1
    if ends == "end_when":
        options["end_when"] = lambda ctx: bool(ctx.state["b"])
    running = asyncio.create_task(
        harness.run_reactive(
            agents=agents,
            state=dict.fromkeys(FIELDS, ""),
            provider=Storyteller(),
            store=store,
            max_concurrency=chance.choice([None, 1, 2]),
            # However slow the machine is, the listeners are told all.
            shutdown_timeout=300.0,
            **options,
        )
    )
    last = chance.randint(0, 40) if ends == "cancel" else None

    def cancel(signal: Signal) -> None:
        if signal.seq == last:
            running.cancel()

    with (
        listening(harness, *listeners, cancel),
        contextlib.suppress(RunError, HarnessTimeoutError, asyncio.CancelledError),
    ):
        await running
    return await recorded(store)


def _until(guard: Any) -> Any:
    return lambda ctx: ctx.signal.seq < 120 and guard(ctx)
