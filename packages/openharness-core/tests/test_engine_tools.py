"""Tools in a run: the way from a model to a tool and back, what stands in the log, and what a replay does."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import sys
import threading
from typing import Any

import attrs
import pytest
from harness_kit import KeepingStore, names_of, of_name
from tool_kit import AskingProvider, asks

from openharness.core import (
    AgentError,
    Completed,
    LimitExceededError,
    Message,
    ProviderError,
    ProviderOutput,
    ReplayDriftError,
    RunResult,
    Tool,
    ToolCall,
    ToolContext,
    create_harness,
    tool,
)
from openharness.core.log import RunFold


@attrs.define
class Trip:
    """What the agents work on."""

    city: str = "Lisbon"
    report: str = ""
    seen: list[str] = attrs.field(factory=list)


HARNESS = create_harness(Trip)


def weather(city: str, days: int = 1) -> dict[str, Any]:
    """Tell the weather of a city."""
    return {"city": city, "days": days, "sky": ("blue", "grey")}


async def add(numbers: list[int]) -> int:
    """Add numbers up."""
    await asyncio.sleep(0)
    return sum(numbers)


def agent(*tools: Any, **options: Any) -> Any:
    """An agent with tools that reports."""
    return HARNESS.agent(
        prompt="Report on {{ state.city }}.",
        **{"activate_on": "harness:start", "updates": "report", "tools": tools, **options},
    )


async def run(provider: AskingProvider, *tools: Any, **options: Any) -> RunResult[Trip]:
    """Run one agent with these tools."""
    own = {"max_turns", "tool_retries", "retries", "retry_delay", "on_error", "emits"}
    reporter = agent(*tools, **{key: value for key, value in options.items() if key in own})
    rest = {key: value for key, value in options.items() if key not in own}
    return await HARNESS.run_reactive(**{"agents": {"reporter": reporter}, "state": Trip(), **rest}, provider=provider)


async def test_a_model_gets_the_results_of_the_tools_it_asks_for() -> None:
    """The next request is the conversation so far, the answer with its calls, and one result for each in their order."""
    provider = AskingProvider(
        asks(("weather", {"city": "Lisbon"}), ("add", {"numbers": [1, 2]})), "It is blue.", text="Let me see."
    )
    result = await run(provider, weather, add)
    assert result.state.report == "It is blue."
    assert provider.calls == ["reporter#1/0/0", "reporter#1/1/0"]
    assert list(provider.conversation) == [
        Message("user", "Report on Lisbon."),
        Message(
            "assistant",
            "Let me see.",
            tool_calls=(
                ToolCall("id-0", "weather", {"city": "Lisbon"}),
                ToolCall("id-1", "add", {"numbers": [1, 2]}),
            ),
        ),
        Message("tool", '{"city":"Lisbon","days":1,"sky":["blue","grey"]}', tool_call_id="id-0"),
        Message("tool", "3", tool_call_id="id-1"),
    ]
    assert [one["name"] for one in provider.requests[0].tools] == ["weather", "add"]
    assert provider.requests[1].tools == provider.requests[0].tools
    assert (result.metrics.provider_calls, result.metrics.tool_calls, result.metrics.tool_errors) == (2, 2, 0)


async def test_the_log_has_every_call_its_start_and_its_result() -> None:
    """A call, its start and its result name each other as causes, and the start comes before the result."""
    result = await run(AskingProvider(asks(("add", {"numbers": [4]})), "4"), add, emits="done")
    assert names_of(result.signals) == [
        "harness:start",
        "agent:activated",
        "provider:start",
        "tool:call",
        "provider:end",
        "tool:start",
        "tool:result",
        "provider:start",
        "text:delta",
        "provider:end",
        "text:complete",
        "state:report:changed",
        "agent:completed",
        "done",
        "harness:end",
    ]
    call, start, end, second = (result.signals[index] for index in (3, 5, 6, 7))
    assert start.payload == {"tool_call": "reporter#1/0/0", "name": "add", "arguments": {"numbers": [4]}}
    assert end.payload == {"tool_call": "reporter#1/0/0", "result": 4}
    assert (start.source.parent, end.source.parent, second.source.parent) == (call.id, start.id, end.id)
    assert {signal.source.activation for signal in (start, end)} == {"reporter#1"}


@pytest.mark.virtual_time
async def test_results_stand_in_the_order_of_the_calls_whatever_ends_first() -> None:
    """Tools of one turn run at once; the request has their results in the order in which they were asked for."""
    gate = asyncio.Event()

    async def slow() -> str:
        """Wait for the other one."""
        await gate.wait()
        return "slow"

    async def fast() -> str:
        """Let the other one go on."""
        gate.set()
        return "fast"

    provider = AskingProvider(asks(("slow", {}), ("fast", {})), "done")
    result = await run(provider, slow, fast)
    assert [signal.payload["result"] for signal in of_name(result.signals, "tool:result")] == ["fast", "slow"]
    assert provider.told == ["slow", "fast"]


@pytest.mark.virtual_time
async def test_no_more_tools_run_at_once_than_the_run_allows() -> None:
    """``max_tool_concurrency`` bounds the tools of all agents together; the others are started as these end."""
    running = most = 0

    async def busy(number: int) -> int:
        """Be busy."""
        nonlocal running, most
        running += 1
        most = max(most, running)
        await asyncio.sleep(0.001)
        running -= 1
        return number

    provider = AskingProvider(
        script=lambda request, context: (
            asks(*(("busy", {"number": number}) for number in range(5))) if context.call.endswith("/0/0") else "ok"
        )
    )
    both = {"one": agent(busy), "two": agent(busy)}
    result = await run(provider, agents=both, max_tool_concurrency=3)
    assert most == 3
    assert provider.told == ["0", "1", "2", "3", "4"]
    assert len(of_name(result.signals, "tool:start")) == 10


async def test_a_plain_function_does_not_block_the_loop() -> None:
    """A function that waits does so in a thread: others go on meanwhile, and can even be what it waits for."""
    released = threading.Event()

    def blocks() -> str:
        """Wait for the other tool."""
        return "released" if released.wait(50) else "stuck"

    async def releases() -> None:
        """Release the other tool."""
        released.set()

    provider = AskingProvider(asks(("blocks", {}), ("releases", {})), "done")
    await run(provider, blocks, releases, max_tool_concurrency=None)
    assert provider.told == ["released", "null"]


async def test_a_tool_knows_its_call_and_the_state_it_was_started_in() -> None:
    """The context tells run, agent, activation and call; changing the state it shows changes nothing."""
    seen: list[Any] = []

    def look(ctx: ToolContext[Trip], word: str) -> str:
        """Look."""
        seen.append((ctx.run_id, ctx.agent, ctx.activation, ctx.tool_call, ctx.state.city))
        ctx.state.city = word
        return ctx.state.city

    provider = AskingProvider(asks(("look", {"word": "Faro"})), "done")
    result = await run(provider, look)
    assert seen == [(result.run_id, "reporter", "reporter#1", "reporter#1/0/0", "Lisbon")]
    assert provider.told == ["Lisbon"]
    assert result.state.city == "Lisbon"


def fails(kind: str) -> str:
    """Fail in one way or another."""
    if kind == "raises":
        message = "no such thing"
        raise LookupError(message)
    if kind == "stops":
        raise StopIteration
    if kind == "cancels":
        raise asyncio.CancelledError
    return object()  # type: ignore[return-value]


@pytest.mark.parametrize(
    "kind, error, words",
    [
        ("raises", {"kind": "exception", "type": "LookupError"}, "LookupError: no such thing"),
        ("stops", {"kind": "exception", "type": "RuntimeError"}, "RuntimeError"),
        ("cancels", {"kind": "exception", "type": "CancelledError"}, "CancelledError"),
        ("returns", {"kind": "result", "type": "SerializationError"}, "has no JSON form"),
    ],
)
async def test_a_tool_that_fails_tells_the_model_and_the_run_goes_on(kind: str, error: Any, words: str) -> None:
    """Whatever a tool raises, or returns that cannot be recorded, is a result like any other: an error, recorded."""
    provider = AskingProvider(asks(("fails", {"kind": kind})), "I see.")
    result = await run(provider, fails)
    (ended,) = of_name(result.signals, "tool:result")
    assert {key: ended.payload["error"][key] for key in error} == error
    assert words in ended.payload["error"]["message"]
    assert provider.conversation[-1].is_error
    assert provider.told[0].startswith("Error: ")
    assert words in provider.told[0]
    assert (result.state.report, result.metrics.tool_errors) == ("I see.", 1)


async def test_a_tool_whose_failure_cannot_be_told_does_not_hang_the_run() -> None:
    """Where even the telling of a failure fails, as in a filter of the program's logger, the run hears that much."""

    def refuse(record: logging.LogRecord) -> bool:
        if record.msg.startswith("The tool"):
            raise LookupError
        return True

    def failing() -> None:
        raise ValueError("no")

    provider = AskingProvider(asks(("failing", {})), "sorry")
    logger = logging.getLogger("openharness")
    logger.addFilter(refuse)
    try:
        async with asyncio.timeout(60):
            await run(provider, failing)
    finally:
        logger.removeFilter(refuse)
    assert provider.told == ["Error: CancelledError: what became of the call cannot be told (LookupError)"]


@pytest.mark.parametrize("kind", ["thread", "task"])
async def test_a_tool_that_takes_too_long_is_told_so(kind: str) -> None:
    """After its timeout the model is told; a task is cancelled, a thread is left to itself."""
    stopped: list[str] = []
    threads: list[threading.Thread] = []
    release = threading.Event()

    async def task() -> None:
        """Never end."""
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            stopped.append("cancelled")
            raise

    def thread() -> None:
        """Never end, as far as anybody waits."""
        threads.append(threading.current_thread())
        release.wait(300)

    provider = AskingProvider(asks((kind, {})), "Later, then.")
    result = await run(provider, tool(task if kind == "task" else thread, timeout=0.02))
    release.set()
    for left in threads:
        # What it does after the end of the event loop would be another test's.
        await asyncio.to_thread(left.join, 50)
    (ended,) = of_name(result.signals, "tool:result")
    assert ended.payload["error"] == {"kind": "timeout", "message": "it took longer than 0.02 s"}
    assert stopped == (["cancelled"] if kind == "task" else [])


async def test_a_call_that_cannot_be_made_goes_back_to_the_model() -> None:
    """An unknown tool and arguments that do not fit are told to the model, which can mend them; the others are made."""
    provider = AskingProvider(
        asks(("wether", {}), ("add", {"numbers": ["1"]}), ("add", {"numbers": [1]}), ("add", "numbers")),
        asks(("add", {"numbers": [2]})),
        "done",
    )
    result = await run(provider, add, weather)
    rejected = of_name(result.signals, "tool:rejected")
    assert [signal.payload["error"]["kind"] for signal in rejected] == ["unknown_tool", "arguments", "arguments"]
    assert [signal.payload["tool_call"] for signal in rejected] == [
        "reporter#1/0/0", "reporter#1/0/1", "reporter#1/0/3",
    ]  # fmt: skip
    told = [message.content for message in provider.requests[1].messages if message.role == "tool"]
    assert told == [
        "Error: there is no tool 'wether'. There are: 'add', 'weather'.",
        "Error: arguments.numbers[0] cannot be read: it must be an integer, got '1'.",
        "1",
        "Error: arguments cannot be read: they must be an object, got 'numbers'.",
    ]
    assert result.state.report == "done"
    assert (result.metrics.tool_calls, result.metrics.tool_errors) == (2, 3)


async def test_calls_that_cannot_be_made_are_borne_a_few_times() -> None:
    """``tool_retries`` turns in a row may have such calls; a turn without any begins the count anew."""
    wrong, right = asks(("nothing", {})), asks(("add", {"numbers": []}))
    provider = AskingProvider(wrong, wrong, right, wrong, wrong, wrong)
    with pytest.raises(AgentError, match="after it was told 2 times") as caught:
        await run(provider, add, tool_retries=2)
    assert len(provider.calls) == 6
    assert caught.value.kind == "tools"
    assert isinstance(caught.value.__cause__, LimitExceededError)
    with pytest.raises(AgentError):
        await run(AskingProvider(wrong), add, tool_retries=0)


async def test_an_agent_has_a_last_turn() -> None:
    """``max_turns`` requests are made; when the last answer asks for tools, none of them runs and the agent fails."""
    ran: list[int] = []

    def count(number: int) -> None:
        """Count."""
        ran.append(number)

    def again() -> AskingProvider:
        return AskingProvider(*(asks(("count", {"number": number})) for number in range(3)))

    with pytest.raises(AgentError, match="max_turns=3") as caught:
        await run(again(), count, max_turns=3)
    assert caught.value.data == {"type": "LimitExceededError", "limit": "max_turns", "value": 3}
    assert ran == [0, 1]
    assert caught.value.kind == "tools"
    result = await run(again(), count, max_turns=3, on_error="continue")
    assert result.metrics.errors == 1


async def test_the_default_number_of_turns_is_ten() -> None:
    """Nine turns with tools and one without are what an agent has if it says nothing else."""
    turns = [asks(("add", {"numbers": [number]})) for number in range(9)]
    provider = AskingProvider(*turns, "done")
    assert (await run(provider, add)).state.report == "done"
    assert provider.calls[-1] == "reporter#1/9/0"
    with pytest.raises(AgentError):
        await run(AskingProvider(*turns, asks(("add", {"numbers": []}))), add)


async def test_a_request_of_a_later_turn_is_tried_again() -> None:
    """Each turn has attempts of its own; the tools of the turn before do not run again."""
    tries: list[str] = []
    ran: list[int] = []

    def count(number: int) -> int:
        """Count."""
        ran.append(number)
        return number

    def script(request: Any, context: Any) -> Any:
        tries.append(context.call)
        if context.call == "reporter#1/0/0":
            raise ProviderError("busy", retryable=True)
        if context.call == "reporter#1/0/1":
            return asks(("count", {"number": 1}))
        if context.attempt < 2:
            raise ProviderError("busy", retryable=True)
        return "done"

    store = KeepingStore()
    provider = AskingProvider(script=script)
    result = await run(provider, count, retries=2, retry_delay=0, store=store)
    assert tries == ["reporter#1/0/0", "reporter#1/0/1", "reporter#1/1/0", "reporter#1/1/1", "reporter#1/1/2"]
    assert ran == [1]
    assert len(provider.conversation) == 3
    await replays(result, store, count, retries=2, retry_delay=0)


async def replays(result: RunResult[Trip], store: KeepingStore, *tools: Any, **options: Any) -> None:
    """Check that a recording replays signal for signal without running a tool, from its text."""

    def forbidden(**arguments: Any) -> None:
        message = f"a tool ran in a replay, with {arguments}"
        raise AssertionError(message)

    made = [attrs.evolve(one if isinstance(one, Tool) else tool(one), function=forbidden) for one in tools]
    replayed = await HARNESS.run_reactive(
        agents={"reporter": agent(*made, **options)}, recording=result.recording_id, store=store
    )
    assert replayed.signals == result.signals
    assert replayed.state == result.state
    assert replayed.metrics == result.metrics


async def test_a_replay_runs_no_tool() -> None:
    """A recorded run with several turns replays from its text, and the functions are never called."""
    store = KeepingStore()
    provider = AskingProvider(
        asks(("weather", {"city": "é\ud83d"}), ("add", {"numbers": [1]}), ("fails", {"kind": "raises"})),
        asks(("nothing", None), ("weather", {"city": "Faro", "days": 2})),
        "done",
    )
    result = await run(provider, weather, add, fails, store=store)
    await replays(result, store, weather, add, fails)
    fold = RunFold()
    for signal in result.signals:
        copied = fold.copy()
        copied.apply(signal)
        fold.apply(signal)
        assert copied == fold
    assert fold.activations == {}


async def test_an_agent_without_tools_ignores_calls() -> None:
    """What a model asks for that was offered nothing stays in the log, and its answer is the answer."""
    provider = AskingProvider(asks(("weather", {})), text="Well.")
    result = await run(provider)
    assert result.state.report == "Well."
    assert names_of(result.signals).count("tool:call") == 1
    assert not any(name in names_of(result.signals) for name in ("tool:start", "tool:rejected"))


@pytest.mark.parametrize(
    "ids, expected",
    [(["", "b"], ["call_0_0", "b"]), (["a", "a"], ["call_0_0", "call_0_1"]), (["a", "b"], ["a", "b"])],
)
async def test_ids_of_vendors_are_data(ids: list[str], expected: list[str]) -> None:
    """A vendor's ids stand in the conversation; where they are no use, the position tells calls apart."""
    provider = AskingProvider([ToolCall(id_, "add", {"numbers": []}) for id_ in ids], "done")
    await run(provider, add)
    asked, *told = provider.conversation[1:]
    assert [call.id for call in asked.tool_calls] == expected
    assert [message.tool_call_id for message in told] == expected


async def test_what_a_provider_must_see_again_comes_back() -> None:
    """The continuation of an answer is part of the assistant's message in the next request, and of the recording."""

    class Reasoning(AskingProvider):
        """Adds something of its own to every answer."""

        async def run(self, request: Any, context: Any) -> Any:
            """Answer."""
            async for event in super().run(request, context):
                if isinstance(event, Completed):
                    output = attrs.evolve(event.output, continuation={"signature": ["x"]})
                    yield Completed(output)
                else:
                    yield event

    provider, store = Reasoning(asks(("add", {"numbers": []})), "done"), KeepingStore()
    result = await run(provider, add, store=store)
    assert provider.conversation[1].continuation == {"signature": ["x"]}
    await replays(result, store, add)


async def test_messages_that_differ_in_spelling_alone_are_restored_as_they_were_sent() -> None:
    """Two turns with the same arguments in another order of keys, and as 1 and 1.0, replay to the letter."""

    def free(values: dict[str, float]) -> str:
        """Take anything."""
        return "ok"

    store = KeepingStore()
    provider = AskingProvider(
        asks(("free", {"values": {"a": 1, "b": 2}})), asks(("free", {"values": {"b": 2, "a": 1.0}})), "done"
    )
    result = await run(provider, free, store=store)
    kept = store.signals(str(result.recording_id))
    assert [repr(signal.payload) for signal in kept] == [repr(signal.payload) for signal in result.signals]
    await replays(result, store, free)


async def test_no_tool_starts_before_its_announcement_is_durable() -> None:
    """A tool begins only after the store has acknowledged its ``tool:start``; where that fails, it never runs."""
    ran: list[str] = []
    order: list[str] = []

    async def hook(what: str, subject: Any) -> None:
        if what == "append" and "tool:start" in subject:
            await asyncio.sleep(0.02)
            assert ran == []
            order.append("durable")

    def effect() -> None:
        """Have an effect."""
        ran.append("ran")
        order.append("ran")

    store = KeepingStore(hook)
    await run(AskingProvider(asks(("effect", {})), "done"), effect, store=store)
    assert order == ["durable", "ran"]

    async def broken(what: str, subject: Any) -> None:
        if what == "append" and "tool:start" in subject:
            message = "the disk is full"
            raise OSError(message)

    ran.clear()
    with contextlib.suppress(Exception):
        await run(AskingProvider(asks(("effect", {})), "done"), effect, store=KeepingStore(broken))
    assert ran == []


async def test_a_run_that_is_stopped_stops_its_tools() -> None:
    """The end of the run cancels tools that wait, and leaves threads that do not end behind."""
    stopped: list[str] = []
    waiting = asyncio.Event()
    blocked, release = threading.Event(), threading.Event()
    threads: list[threading.Thread] = []

    async def waits() -> None:
        """Wait for ever."""
        waiting.set()
        try:
            await asyncio.Event().wait()
        finally:
            stopped.append("waits")

    def blocks() -> None:
        """Block for ever, as far as anybody waits."""
        threads.append(threading.current_thread())
        blocked.set()
        release.wait(300)

    store = KeepingStore()
    running = asyncio.create_task(
        run(AskingProvider(asks(("waits", {}), ("blocks", {}))), waits, blocks, store=store, shutdown_timeout=60.0)
    )
    await waiting.wait()
    assert await asyncio.to_thread(blocked.wait, 30)
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert stopped == ["waits"]
    assert threads[0].is_alive()
    release.set()
    # What it does after the end of the event loop would be another test's.
    await asyncio.to_thread(threads[0].join, 50)
    assert names_of(store.signals("rec-0"))[-2:] == ["harness:cancelled", "harness:end"]


async def drift(change: Any, **options: Any) -> ReplayDriftError:
    """Record a run with a tool, and replay it with another agent or another log."""
    store = KeepingStore()
    provider = AskingProvider(asks(("add", {"numbers": [1]})), "done")
    result = await run(provider, add, store=store)
    recording = str(result.recording_id)
    if callable(change):
        recording = store.rewrite(recording, change)
    with pytest.raises(ReplayDriftError) as caught:
        await HARNESS.run_reactive(
            agents={"reporter": agent(*options.pop("tools", (add,)), **options)}, recording=recording, store=store
        )
    return caught.value


def renamed(number: int) -> int:
    """Add numbers up."""
    return number


async def test_a_changed_tool_is_drift_in_the_request() -> None:
    """Another schema, description or set of tools differs at the first ``provider:start``, and the report says where."""
    for tools in ((tool(renamed, name="add"),), (tool(add, description="Another."),), (add, weather), ()):
        error = await drift(None, tools=tools)
        assert error.report.seq == 2
        assert "tools" in str(error)


async def test_a_tool_that_asks_now_is_drift_where_it_was_started() -> None:
    """An option that changes what the run does differs where it does."""
    error = await drift(None, tools=(tool(add, needs_approval=True),))
    assert error.report.recorded is not None
    assert error.report.actual is not None
    assert (error.report.recorded.name, error.report.actual.name) == ("tool:start", "approval:requested")


def with_payload(name: str, payload: Any) -> Any:
    """A change of a log: other details in every signal of a name."""
    return lambda signals: [
        attrs.evolve(signal, payload={**signal.payload, **payload}) if signal.name == name else signal
        for signal in signals
    ]


async def test_a_changed_result_or_argument_in_the_log_is_drift_where_it_matters() -> None:
    """Another result differs in the next request; other arguments differ where the tool is started."""
    error = await drift(with_payload("tool:result", {"result": 7}))
    assert (error.report.seq, error.report.recorded and error.report.recorded.name) == (7, "provider:start")
    error = await drift(with_payload("tool:call", {"arguments": {"numbers": [5]}}))
    assert (error.report.seq, error.report.recorded and error.report.recorded.name) == (5, "tool:start")


async def test_a_result_nobody_waits_for_is_drift() -> None:
    """A result of a call that this run never made, or of one that has ended, is no result."""
    for id_ in ("reporter#1/0/9", "reporter#7/0/0", "nothing"):
        error = await drift(with_payload("tool:result", {"tool_call": id_}))
        assert f"arrived for {id_!r}" in str(error)


@pytest.mark.virtual_time
async def test_tools_of_a_run_that_failed_elsewhere_are_dropped() -> None:
    """A result that comes after the end of the run is not part of it."""

    async def late() -> None:
        """End late."""
        await asyncio.sleep(0.05)

    broken = HARNESS.agent(prompt="x", activate_on="tool:start")

    def script(request: Any, context: Any) -> Any:
        if context.agent == "broken":
            raise ProviderError("no")
        return asks(("late", {}))

    with pytest.raises(AgentError) as caught:
        await run(AskingProvider(script=script), agents={"reporter": agent(late), "broken": broken})
    assert "tool:result" not in names_of(caught.value.result.signals)


def test_an_output_with_nothing_to_say_has_no_continuation() -> None:
    """A provider that needs nothing back says nothing."""
    assert ProviderOutput(content="x").continuation is None


@pytest.mark.parametrize(
    "kind", ["cancels its task", "exits", "exits in a thread", "huge result", "huge text", "deep result", "huge error"]
)
async def test_no_tool_ends_or_hangs_a_run(kind: str) -> None:
    """A tool that cancels its own task, ends the process, or returns what no log can hold is a tool that has failed."""

    async def cancels() -> None:
        task = asyncio.current_task()
        assert task is not None
        task.cancel()
        await asyncio.sleep(0)

    async def exits() -> None:
        sys.exit(2)

    def exits_in_thread() -> None:
        sys.exit(2)

    def huge_result() -> Any:
        return ['"' * 1000] * 8_000

    def huge_text() -> Any:
        return "x" * 16 * 2**20

    def deep_result() -> Any:
        result: Any = 1
        for _ in range(200):
            result = [result]
        return result

    def huge_error() -> Any:
        raise ValueError("x" * 17 * 2**20)

    function, words = {
        "cancels its task": (cancels, "CancelledError"),
        "exits": (exits, "SystemExit"),
        "exits in a thread": (exits_in_thread, "SystemExit"),
        "huge result": (huge_result, "about 15 MiB"),
        "huge text": (huge_text, "about 15 MiB"),
        "deep result": (deep_result, "nested deeper than 192 levels"),
        "huge error": (huge_error, "too long to be recorded"),
    }[kind]
    store = KeepingStore()
    provider = AskingProvider(asks((function.__name__, {})), "I see.")
    result = await run(provider, function, store=store, mode="record", fixture="f")
    (ended,) = of_name(result.signals, "tool:result")
    assert words in ended.payload["error"]["message"]
    assert provider.told[0].startswith("Error: ")
    replayed = await HARNESS.run_reactive(
        agents={"reporter": agent(function)}, store=store, recording=result.recording_id
    )
    assert replayed.signals == result.signals
