"""What a text delta and a tool turn cost from the SDK's event to the stored signal, beside Pydantic AI and the bare SDK.

A server in a process of its own replays stored streams of a real model. All ways are taken in turn, again and again, and
their CPU time in this process is compared with that of the bare SDK in the same round: medians, with the quartiles.

Run: python packages/openharness-provider-pydantic-ai/benchmarks/stream_overhead.py [ROUNDS]
"""

from __future__ import annotations

import asyncio
import importlib.metadata
import json
import pathlib
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable
from typing import Any

from openharness.core import create_harness
from openharness.provider_claude import ClaudeProvider
from openharness.provider_openai import OpenAIProvider
from openharness.signals import MemorySignalStore

PACKAGES = pathlib.Path(__file__).resolve().parents[2]
STREAMS = {name: PACKAGES / f"openharness-provider-{name}" / "tests" / "streams" for name in ("openai", "claude")}
LIBRARIES = ("anthropic", "openai", "pydantic-ai-slim")
# Requests of one measurement: a single one is too short for the clock.
REPEATS = 4

SERVER = """
import asyncio, pathlib, sys

TEXT, CALL, RESULT = (pathlib.Path(name).read_bytes() for name in sys.argv[1:])


async def answer(reader, writer):
    try:
        while True:
            head = await reader.readuntil(b"\\r\\n\\r\\n")
            length = next(int(l.split(b":")[1]) for l in head.split(b"\\r\\n") if l.lower().startswith(b"content-length"))
            asked = await reader.readexactly(length)
            body = TEXT if b"get_weather" not in asked else RESULT if b"18 degrees" in asked else CALL
            writer.write(b"HTTP/1.1 200 OK\\r\\ncontent-type: text/event-stream\\r\\ncontent-length: %d\\r\\n\\r\\n" % len(body))
            writer.write(body)
            await writer.drain()
    except (asyncio.IncompleteReadError, ConnectionError):
        writer.close()


async def main():
    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


asyncio.run(main())
"""

Way = Callable[[], Awaitable[int]]


def get_weather(city: str, unit: str) -> str:
    """Get the weather for a city."""
    del city, unit
    return "18 degrees, sunny"


TOOL = {
    "type": "object",
    "properties": {"city": {"type": "string"}, "unit": {"type": "string"}},
    "required": ["city", "unit"],
}


def ours(provider: Any, *, tools: bool) -> Way:
    """A recorded run of one agent."""
    harness = create_harness()
    agent = harness.agent(
        prompt="Go.", activate_on="harness:start", updates="answer", tools=[get_weather] if tools else []
    )

    async def run() -> int:
        result = await harness.run_reactive(
            agents={"a": agent},
            state={"answer": ""},
            provider=provider,
            store=MemorySignalStore(),
            mode="record",
            fixture="f",
        )
        return sum(signal.name == "text:delta" for signal in result.signals)

    return run


def peers(model: Any, *, tools: bool) -> Way:
    """A streamed run of Pydantic AI's agent."""
    from pydantic_ai import Agent
    from pydantic_ai.messages import PartDeltaEvent, PartStartEvent

    agent = Agent(model, tools=[get_weather] if tools else [])

    async def run() -> int:
        deltas = 0
        async with agent.iter("Go.") as steps:
            async for node in steps:
                if Agent.is_model_request_node(node):
                    async with node.stream(steps.ctx) as stream:
                        async for event in stream:
                            deltas += isinstance(event, (PartDeltaEvent, PartStartEvent))
        return deltas

    return run


def bare_openai(client: Any, *, tools: bool) -> Way:
    """The SDK alone, with the loop over tools that a user writes."""
    offered = [{"type": "function", "function": {"name": "get_weather", "description": "", "parameters": TOOL}}]

    async def run() -> int:
        messages: list[Any] = [{"role": "user", "content": "Go."}]
        options: dict[str, Any] = {"tools": offered} if tools else {}
        deltas = 0
        while True:
            call: Any = None
            async for chunk in await client.chat.completions.create(
                model="m", messages=messages, stream=True, **options
            ):
                for choice in chunk.choices[:1]:
                    deltas += bool(choice.delta.content)
                    for piece in choice.delta.tool_calls or ():
                        if call is None:
                            call = {"id": piece.id, "type": "function", "function": {"name": "", "arguments": ""}}
                        call["function"]["name"] += piece.function.name or ""
                        call["function"]["arguments"] += piece.function.arguments or ""
            if call is None:
                return deltas
            result = get_weather(**json.loads(call["function"]["arguments"]))
            messages += [
                {"role": "assistant", "content": None, "tool_calls": [call]},
                {"role": "tool", "tool_call_id": call["id"], "content": result},
            ]

    return run


def bare_claude(client: Any, *, tools: bool) -> Way:
    """The SDK alone, with the loop over tools that a user writes."""
    offered = [{"name": "get_weather", "description": "", "input_schema": TOOL}]

    async def run() -> int:
        messages: list[Any] = [{"role": "user", "content": "Go."}]
        options: dict[str, Any] = {"tools": offered} if tools else {}
        deltas = 0
        while True:
            call: Any = None
            arguments = ""
            async for event in await client.messages.create(
                model="m", max_tokens=500, messages=messages, stream=True, **options
            ):
                if event.type == "content_block_start" and event.content_block.type == "tool_use":
                    call = event.content_block
                elif event.type == "content_block_delta":
                    deltas += event.delta.type == "text_delta"
                    arguments += getattr(event.delta, "partial_json", "")
            if call is None:
                return deltas
            used = {"type": "tool_use", "id": call.id, "name": call.name, "input": json.loads(arguments)}
            result = {"type": "tool_result", "tool_use_id": call.id, "content": get_weather(**used["input"])}
            messages += [{"role": "assistant", "content": [used]}, {"role": "user", "content": [result]}]

    return run


def ways(vendor: str, url: str, *, tools: bool) -> dict[str, Way]:
    """All ways to do the same work."""
    from pydantic_ai.models.anthropic import AnthropicModel
    from pydantic_ai.models.openai import OpenAIChatModel
    from pydantic_ai.providers.anthropic import AnthropicProvider
    from pydantic_ai.providers.openai import OpenAIProvider as ModelsOfOpenAI

    from openharness.provider_pydantic_ai import PydanticAIProvider

    if vendor == "openai":
        import openai

        model: Any = OpenAIChatModel("m", provider=ModelsOfOpenAI(base_url=f"{url}/v1", api_key="k"))
        return {
            "bare SDK": bare_openai(openai.AsyncOpenAI(base_url=f"{url}/v1", api_key="k"), tools=tools),
            "OpenAIProvider": ours(OpenAIProvider("m", base_url=f"{url}/v1", api_key="k"), tools=tools),
            "PydanticAIProvider": ours(PydanticAIProvider(model), tools=tools),
            "Pydantic AI": peers(model, tools=tools),
        }
    import anthropic

    model = AnthropicModel("m", provider=AnthropicProvider(base_url=url, api_key="k"))
    return {
        "bare SDK": bare_claude(anthropic.AsyncAnthropic(base_url=url, api_key="k"), tools=tools),
        "ClaudeProvider": ours(ClaudeProvider("m", base_url=url, api_key="k"), tools=tools),
        "PydanticAIProvider": ours(PydanticAIProvider(model), tools=tools),
        "Pydantic AI": peers(model, tools=tools),
    }


async def measure(compared: dict[str, Way], rounds: int) -> tuple[dict[str, list[float]], int]:
    """Return the CPU seconds of each way in each round, and how many deltas a request has."""
    deltas = {await way() for way in compared.values()}
    taken: dict[str, list[float]] = {name: [] for name in compared}
    for _ in range(rounds):
        for name, way in compared.items():
            started = time.process_time()
            for _ in range(REPEATS):
                await way()
            taken[name].append((time.process_time() - started) / REPEATS)
    return taken, max(deltas)


def shown(title: str, taken: dict[str, list[float]], units: int, unit: str) -> None:
    """Print a table: what a unit of work takes, and the ratio to the bare SDK in the same rounds."""
    print(f"\n{title}: CPU time a {unit}, and its ratio to the bare SDK (median, quartiles)")
    base = taken["bare SDK"]
    for name, seconds in taken.items():
        ratios = [one / other for one, other in zip(seconds, base, strict=True)]
        low, middle, high = statistics.quantiles(ratios, n=4)
        micro = statistics.median(seconds) / units * 1e6
        print(f"  {name:<20} {micro:8.1f} us   {middle:5.2f}x ({low:.2f}-{high:.2f})")


async def compare(rounds: int) -> None:
    """Measure both dialects, text and tools. In one event loop: the clients of the SDKs belong to the one they began in."""
    for vendor, folder in STREAMS.items():
        files = [str(folder / name) for name in ("03_long.sse", "05_tool_use.sse", "06_tool_result.sse")]
        server = subprocess.Popen([sys.executable, "-c", SERVER, *files], stdout=subprocess.PIPE, text=True)  # noqa: ASYNC220, S603
        assert server.stdout is not None
        try:
            url = f"http://127.0.0.1:{server.stdout.readline().strip()}"
            taken, deltas = await measure(ways(vendor, url, tools=False), rounds)
            shown(f"{vendor}, {deltas} text deltas", taken, deltas, "text delta")
            taken, _ = await measure(ways(vendor, url, tools=True), rounds)
            shown(f"{vendor}, a call of a tool and the answer", taken, 2, "turn")
        finally:
            server.terminate()
            server.wait()


def main() -> None:
    """Print the tables."""
    versions = ", ".join(f"{name} {importlib.metadata.version(name)}" for name in LIBRARIES)
    print(f"Python {platform.python_version()}, {versions}")
    asyncio.run(compare(int(sys.argv[1]) if len(sys.argv) > 1 else 15))


if __name__ == "__main__":
    main()
