"""Limits of a provider: so many requests at once, so many a minute, in the order in which they came."""

from __future__ import annotations

import asyncio
import itertools
import threading
from contextlib import aclosing
from typing import TYPE_CHECKING, Any, ClassVar, Self, cast

import attrs
import pytest
from harness_kit import EventsProvider, KeepingStore, ScriptedProvider
from hypothesis import given, settings
from hypothesis import strategies as st
from virtual_time import now, run_virtual

from openharness.core import (
    AgentError,
    Completed,
    Harness,
    HarnessTimeoutError,
    InvalidValueError,
    LimitedProvider,
    Message,
    Provider,
    ProviderCapabilities,
    ProviderError,
    ProviderOutput,
    ProviderRequest,
    RunContext,
    create_harness,
)
from openharness.core.providers._admission import Admission

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from openharness.core import ProviderEvent

HARNESS: Harness[dict[str, Any]] = create_harness()
REQUEST = ProviderRequest(messages=[Message("user", "x")])
CONTEXT = RunContext(run_id="r", agent="a", activation="a#1", call="a#1/0/0")


class TimedProvider(Provider):
    """Takes the seconds that a prompt says, and notes when each request began and ended.

    Attributes:
        starts: The prompt and the time of each beginning, in order.
        ends: The time of each end, also of those that were cancelled.
        running: How many run.
        most: The most there were at once.
    """

    type: ClassVar[str] = "timed"
    capabilities = ProviderCapabilities(seed=True)

    def __init__(self, *, refusals: dict[str, ProviderError] | None = None) -> None:
        self.starts: list[tuple[str, float]] = []
        self.ends: list[float] = []
        self.running = self.most = 0
        self._refusals = refusals or {}

    async def run(self, request: ProviderRequest, context: RunContext) -> AsyncGenerator[ProviderEvent, None]:
        """Answer as the class says."""
        prompt = str(request.messages[-1].content)
        self.starts.append((prompt, now()))
        self.running += 1
        self.most = max(self.most, self.running)
        try:
            await asyncio.sleep(float(prompt.partition(" ")[0]))
            if prompt in self._refusals:
                raise self._refusals.pop(prompt)
            yield Completed(ProviderOutput(content="done"))
        finally:
            self.running -= 1
            self.ends.append(now())


def limited(provider: Provider, **limits: int | None) -> LimitedProvider:
    """A limited provider that keeps to the time of the running event loop."""
    made = LimitedProvider(provider, **limits)
    limits = {"max_concurrency": None, "requests_per_minute": None, **limits}
    cast("Any", made)._admission = Admission(**limits, clock=now)
    return made


async def ask(provider: Provider, prompt: str = "0") -> list[ProviderEvent]:
    """Ask as the engine does, and return the events."""
    async with aclosing(provider.run(attrs.evolve(REQUEST, messages=[Message("user", prompt)]), CONTEXT)) as events:
        return [event async for event in events]


# What holds for all orders of requests.


@attrs.frozen
class Asked:
    """A request: when it comes, how long it takes, when it is cancelled, and how long a refusal asks to wait."""

    at: int
    seconds: int
    cancelled_after: int | None
    retry_after: int | None


ASKED = st.builds(
    Asked,
    at=st.integers(0, 90),
    seconds=st.integers(0, 50),
    cancelled_after=st.none() | st.integers(0, 200),
    retry_after=st.none() | st.none() | st.integers(1, 100),
)


@settings(max_examples=200)
@given(
    asked=st.lists(ASKED, min_size=1, max_size=25),
    max_concurrency=st.none() | st.integers(1, 4),
    requests_per_minute=st.none() | st.integers(1, 5),
)
def test_limits_hold_whatever_comes(
    asked: list[Asked], max_concurrency: int | None, requests_per_minute: int | None
) -> None:
    """Never more at once, never more starts in any minute, none before its turn, none forgotten, and none later than it must."""

    async def main() -> None:
        began = now()
        refusals = {
            f"{one.seconds} {number}": ProviderError("later", retryable=True, retry_after=one.retry_after)
            for number, one in enumerate(asked)
            if one.retry_after is not None
        }
        provider = TimedProvider(refusals=dict(refusals))
        shared = limited(provider, max_concurrency=max_concurrency, requests_per_minute=requests_per_minute)
        arrivals: list[str] = []
        pauses: list[tuple[float, float]] = []
        cancelled: list[str] = []
        cancels: list[float] = []

        async def one(number: int, given: Asked) -> None:
            prompt = f"{given.seconds} {number}"
            await asyncio.sleep(given.at)
            arrivals.append(prompt)
            try:
                async with asyncio.timeout(given.cancelled_after):
                    await ask(shared, prompt)
            except TimeoutError:
                cancelled.append(prompt)
                cancels.append(now())
            except ProviderError as error:
                pauses.append((now(), now() + (error.retry_after or 0)))

        await asyncio.gather(*(one(number, given) for number, given in enumerate(asked)))
        started = [prompt for prompt, _ in provider.starts]
        times = [at for _, at in provider.starts]
        assert max_concurrency is None or provider.most <= max_concurrency
        if requests_per_minute is not None:
            later = times[requests_per_minute:]
            assert all(after - before >= 60 for before, after in zip(times, later, strict=False))
        # In the order in which they came, and all of them but those that were cancelled.
        assert started == [prompt for prompt in arrivals if prompt in started]
        assert set(arrivals) - set(started) <= set(cancelled)
        assert not any(begin < at < end for at in times for begin, end in pauses)
        # Whoever began did so when it came, or at the moment at which something made room.
        room = {*provider.ends, *cancels, *(end for _, end in pauses), *(at + 60 for at in times)}
        for position, (prompt, at) in enumerate(provider.starts):
            came = began + asked[int(prompt.partition(" ")[2])].at
            assert at in {came, *room, *times[:position]}
        assert provider.running == 0
        assert await ask(shared, "0 999") == [Completed(ProviderOutput(content="done"))]

    run_virtual(main())


# One by one.


def test_requests_begin_in_order_and_not_too_many_at_once() -> None:
    """Of five requests of ten seconds two run at once, and the others follow as these end."""

    async def main() -> None:
        provider = TimedProvider()
        shared = limited(provider, max_concurrency=2)
        await asyncio.gather(*(ask(shared, f"10 {number}") for number in range(5)))
        assert [(prompt, at - 1000) for prompt, at in provider.starts] == [
            ("10 0", 0),
            ("10 1", 0),
            ("10 2", 10),
            ("10 3", 10),
            ("10 4", 20),
        ]

    run_virtual(main())


def test_no_window_of_a_minute_has_more_requests() -> None:
    """Two a minute: the third begins a minute after the first, the fourth a minute after the second."""

    async def main() -> None:
        provider = TimedProvider()
        shared = limited(provider, requests_per_minute=2)
        first = asyncio.gather(ask(shared), ask(shared))
        await asyncio.sleep(50)
        await asyncio.gather(first, ask(shared), ask(shared), ask(shared))
        assert [at - 1000 for _, at in provider.starts] == [0, 0, 60, 60, 120]

    run_virtual(main())


def test_what_waits_is_cancelled_at_once_and_counts_for_nothing() -> None:
    """A request that is cancelled while it waits never begins, and takes nothing from those behind it."""

    async def main() -> None:
        provider = TimedProvider()
        shared = limited(provider, max_concurrency=1, requests_per_minute=2)
        tasks = [asyncio.create_task(ask(shared, f"10 {number}")) for number in range(3)]
        await asyncio.sleep(5)
        tasks[1].cancel()
        await asyncio.wait([tasks[1]])
        assert now() == 1005
        assert tasks[1].cancelled()
        await asyncio.gather(tasks[0], tasks[2])
        assert [(prompt, at - 1000) for prompt, at in provider.starts] == [("10 0", 0), ("10 2", 10)]

    run_virtual(main())


def test_a_refusal_that_says_when_holds_everybody_back() -> None:
    """After ``retry_after`` of one request no other begins before that time; one that may not be retried says nothing."""

    async def main() -> None:
        passing = ProviderError("slow down", kind="rate_limit", retryable=True, retry_after=30)
        final = ProviderError("no credit", kind="quota", retry_after=500)
        provider = TimedProvider(refusals={"1 a": passing, "1 b": final})
        shared = limited(provider, max_concurrency=4)
        with pytest.raises(ProviderError, match="slow down"):
            await ask(shared, "1 a")
        with pytest.raises(ProviderError, match="no credit"):
            await ask(shared, "1 b")
        await ask(shared, "1 c")
        assert [at - 1000 for _, at in provider.starts] == [0, 31, 32]

    run_virtual(main())


@pytest.mark.parametrize("retry_after", [float("nan"), float("inf"), -5, "soon", True, None])
def test_a_wait_that_makes_no_sense_is_ignored(retry_after: Any) -> None:
    """A ``retry_after`` that is no number of seconds holds nobody back for long."""

    async def main() -> None:
        error = ProviderError("later", retryable=True, retry_after=retry_after)
        provider = TimedProvider(refusals={"0 a": error})
        shared = limited(provider)
        with pytest.raises(ProviderError):
            await ask(shared, "0 a")
        await ask(shared)
        assert now() - 1000 <= 1

    run_virtual(main())


def test_a_request_keeps_its_place_until_it_is_closed() -> None:
    """Whoever stops reading in the middle gives the place back by closing, and the provider is closed before."""

    async def main() -> None:
        provider = ScriptedProvider("a long answer", size=2)
        shared = limited(provider, max_concurrency=1)
        events = shared.run(REQUEST, CONTEXT)
        await anext(events)
        waiting = asyncio.create_task(ask(shared))
        await asyncio.sleep(100)
        assert (provider.running, waiting.done()) == (1, False)
        await events.aclose()
        await waiting
        assert (provider.running, provider.most) == (0, 1)

    run_virtual(main())


@pytest.mark.parametrize("name", ["max_concurrency", "requests_per_minute"])
@pytest.mark.parametrize("value", [0, -1, 1.5, True, "3"])
def test_limits_are_whole_numbers(name: str, value: Any) -> None:
    """What is no integer from 1 on is refused where it is given."""
    with pytest.raises(InvalidValueError) as caught:
        LimitedProvider(ScriptedProvider(), **{name: value})
    assert caught.value.name == name


def test_only_a_provider_can_be_limited() -> None:
    """A name is refused, with what makes a provider of it."""
    with pytest.raises(InvalidValueError, match="open_provider"):
        LimitedProvider(cast("Any", "claude"))


async def test_it_looks_like_the_provider_that_it_limits() -> None:
    """Type, name, abilities and life are those of the provider, and another's are not touched."""

    class Opened(TimedProvider):
        display_name = "Timed"
        said: ClassVar[list[str]] = []

        async def __aenter__(self) -> Self:
            self.said.append("enter")
            return self

        async def close(self) -> None:
            self.said.append("close")

    provider = Opened()
    shared = LimitedProvider(LimitedProvider(provider, max_concurrency=3), requests_per_minute=5)
    assert (shared.type, shared.display_name, shared.capabilities) == ("timed", "Timed", provider.capabilities)
    assert LimitedProvider.type == "limited"
    assert repr(LimitedProvider(provider, max_concurrency=3)) == f"LimitedProvider({provider!r}, max_concurrency=3)"
    async with shared as entered:
        assert entered is shared
    assert provider.said == ["enter", "close"]


async def test_a_provider_that_breaks_the_contract_is_told_so() -> None:
    """A ``run`` that is no asynchronous generator is the same error with limits as without, and no place is lost."""

    class Broken(ScriptedProvider):
        async def run(self, request: ProviderRequest, context: RunContext) -> Any:
            """Return instead of yielding."""

    shared = LimitedProvider(Broken(), max_concurrency=1)
    for _ in range(2):
        with pytest.raises(ProviderError, match="must be an async def with yield"):
            await ask(shared)


# In runs.


def agents(count: int, *, seconds: int = 1, **options: Any) -> dict[str, Any]:
    """So many agents that all begin at once."""
    return {
        f"a{number}": HARNESS.agent(prompt=f"{seconds} {number}", activate_on="harness:start", **options)
        for number in range(count)
    }


def test_runs_that_share_a_provider_share_its_limits() -> None:
    """Three runs of two agents each have, together, no more requests at once than one would have."""

    async def main() -> None:
        provider = TimedProvider()
        shared = limited(provider, max_concurrency=2)
        runs = (HARNESS.run_reactive(agents=agents(2), state={}, provider=shared) for _ in range(3))
        results = await asyncio.gather(*runs)
        assert [result.metrics.provider_calls for result in results] == [2, 2, 2]
        assert (provider.most, now()) == (2, 1003)

    run_virtual(main())


def test_the_timeout_of_an_agent_stands_still_while_it_waits() -> None:
    """An attempt may take its five seconds once it has begun, however long it waited; and not one more."""

    async def main() -> None:
        provider = TimedProvider()
        shared = limited(limited(provider, max_concurrency=1), requests_per_minute=1)
        result = await HARNESS.run_reactive(agents=agents(3, seconds=4, timeout=5), state={}, provider=shared)
        assert [at - 1000 for _, at in provider.starts] == [0, 60, 120]
        assert result.status == "completed"
        with pytest.raises(AgentError, match="longer than 5 s"):
            await HARNESS.run_reactive(agents=agents(1, seconds=6, timeout=5), state={}, provider=shared)
        assert now() == 1000 + 180 + 5

    run_virtual(main())


def test_the_timeout_of_a_run_ends_what_waits() -> None:
    """A run's timeout counts the waiting too; what waited has never begun, and others go on."""

    async def main() -> None:
        provider = TimedProvider()
        shared = limited(provider, max_concurrency=1)
        with pytest.raises(HarnessTimeoutError):
            await HARNESS.run_reactive(agents=agents(3, seconds=50), state={}, provider=shared, timeout=20)
        assert (len(provider.starts), now()) == (1, 1020)
        await ask(shared)
        assert now() == 1020

    run_virtual(main())


def test_limits_leave_no_trace_in_a_recording_and_none_in_a_replay() -> None:
    """With limits a run writes what it writes without them, and its replay waits for nothing."""
    chain = {
        f"a{number}": HARNESS.agent(
            prompt=f"1 {number}",
            activate_on="harness:start" if number == 0 else f"next:a{number}",
            emits=f"next:a{number + 1}",
        )
        for number in range(4)
    }

    async def record(provider: Provider, store: KeepingStore) -> list[Any]:
        options: dict[str, Any] = {"state": {}, "run_id": "r", "seed": 1}
        result = await HARNESS.run_reactive(agents=chain, provider=provider, store=store, **options)
        return [(signal.id, signal.name, signal.payload, signal.source) for signal in result.signals]

    async def main() -> None:
        plain, bound = KeepingStore(), KeepingStore()
        without = await record(TimedProvider(), plain)
        began = now()
        within = await record(limited(TimedProvider(), max_concurrency=1, requests_per_minute=2), bound)
        assert now() - began == 62
        assert within == without
        began = now()
        never = limited(TimedProvider(), requests_per_minute=1)
        result = await HARNESS.run_reactive(agents=chain, provider=never, recording="rec-0", store=bound)
        assert now() == began
        assert list(result.signals) == bound.signals("rec-0")

    run_virtual(main())


def test_a_retry_waits_for_its_turn() -> None:
    """A request that is sent again counts like a new one, and goes behind those that came before it."""

    async def main() -> None:
        error = ProviderError("busy", retryable=True)
        provider = TimedProvider(refusals={"1 0": error})
        shared = limited(provider, max_concurrency=1, requests_per_minute=3)
        await HARNESS.run_reactive(agents=agents(3, retries=1, retry_delay=0), state={}, provider=shared)
        assert [(prompt, at - 1000) for prompt, at in provider.starts] == [
            ("1 0", 0),
            ("1 1", 1),
            ("1 2", 2),
            ("1 0", 60),
        ]

    run_virtual(main())


# Event loops and threads.


def test_limits_outlive_an_event_loop() -> None:
    """A loop that was closed in the middle of a request keeps no place; the starts of the last minute still count."""
    clock = itertools.count(1000.0, 10.0)
    shared = LimitedProvider(EventsProvider([Completed(ProviderOutput(content="x"))]), max_concurrency=1)
    admission = Admission(max_concurrency=1, requests_per_minute=3, clock=lambda: next(clock))
    cast("Any", shared)._admission = admission
    loop = asyncio.new_event_loop()
    loop.run_until_complete(admission.enter())
    stuck = loop.create_task(admission.enter())
    loop.run_until_complete(asyncio.sleep(0))
    loop.close()
    assert len(asyncio.run(ask(shared))) == 1
    cast("Any", stuck.get_coro()).close()
    assert len(asyncio.run(ask(shared))) == 1
    assert len(cast("Any", admission)._starts) == 3


def test_who_waits_in_a_closed_event_loop_is_forgotten() -> None:
    """One who waited for the next minute in a loop that was closed does not keep others from it."""
    clock = iter([1000.0, 1000.0, 1001.0, 1061.0, 1061.0])
    admission = Admission(max_concurrency=None, requests_per_minute=1, clock=lambda: next(clock))
    loop = asyncio.new_event_loop()
    admission.leave(loop.run_until_complete(admission.enter()))
    stuck = loop.create_task(admission.enter())
    loop.run_until_complete(asyncio.sleep(0))
    loop.close()
    asyncio.run(asyncio.wait_for(admission.enter(), 50))
    cast("Any", stuck.get_coro()).close()


def test_threads_share_the_limits() -> None:
    """Event loops in four threads have, together, no more requests at once than the limit, and all are answered."""

    class Counting(Provider):
        type: ClassVar[str] = "counting"

        def __init__(self) -> None:
            self.running = self.most = self.answered = 0
            self.lock = threading.Lock()

        async def run(self, request: ProviderRequest, context: RunContext) -> AsyncGenerator[ProviderEvent, None]:
            with self.lock:
                self.running += 1
                self.most = max(self.most, self.running)
            for _ in range(3):
                await asyncio.sleep(0)
            with self.lock:
                self.running -= 1
                self.answered += 1
            yield Completed(ProviderOutput(content="x"))

    provider = Counting()
    shared = LimitedProvider(provider, max_concurrency=2)
    together = threading.Barrier(4)

    async def many() -> None:
        await asyncio.gather(*(ask(shared) for _ in range(25)))

    def work() -> None:
        together.wait()
        asyncio.run(many())

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=30)
    assert (provider.answered, provider.running, provider.most) == (100, 0, 2)
