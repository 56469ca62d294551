"""Replays with tools that go on where they differ: results, approvals and retries, and what a run that cannot go on is told."""

from __future__ import annotations

import asyncio
import warnings
from typing import Any

import pytest
from harness_kit import KeepingStore, ScriptedProvider, names_of, of_name, outline
from tool_kit import AskingProvider, asks

from openharness.core import (
    AgentError,
    Harness,
    InterruptedRunError,
    LimitExceededError,
    ProviderError,
    ReplayDriftError,
    ReplayDriftWarning,
    create_harness,
    tool,
)

HARNESS: Harness[dict[str, Any]] = create_harness()
MODES = pytest.mark.parametrize("mode", ["warn", "ignore"])
RAN: list[str] = []
"""What the tools did: nothing, in a replay."""


@pytest.fixture(autouse=True)
def nothing_ran() -> None:
    """Forget what the tools of other tests did."""
    RAN.clear()


async def look_up(word: str) -> str:
    """Look something up."""
    RAN.append(f"look up {word}")
    await asyncio.sleep(0)
    return word.upper()


async def pay(amount: int) -> str:
    """Pay."""
    RAN.append(f"pay {amount}")
    return f"paid {amount}"


def seller(*, approval: bool = False, **options: Any) -> Any:
    """An agent with both tools; paying may need a person."""
    tools = [tool(look_up), tool(pay, needs_approval=approval)]
    return HARNESS.agent(
        **{"prompt": "Sell.", "activate_on": "harness:start", "updates": "letter", "tools": tools, **options}
    )


BOTH = asks(("look_up", {"word": "price"}), ("pay", {"amount": 3}))
GRANTED = ("approval:granted", {"tool_call": "seller#1/0/1"})
DENIED = ("approval:denied", {"tool_call": "seller#1/0/1", "reason": "too much"})
PAYMENT = "of agent 'seller' (seller#1/0/1)"


async def record(agent: Any, *turns: Any, **options: Any) -> KeepingStore:
    """A store with the recording of a run of one agent, ``seller``, as ``rec-0``."""
    store = KeepingStore()
    options = {"state": {"letter": ""}, **options}
    try:
        await HARNESS.run_reactive(
            agents={"seller": agent}, provider=AskingProvider(*turns or (BOTH, "Sold.")), store=store, **options
        )
    except (InterruptedRunError, AgentError):
        assert store.recordings["rec-0"].info.outcome in ("interrupted", "failed")
    return store


async def decided(decision: tuple[str, Any]) -> tuple[KeepingStore, str]:
    """A store with the recording of a run that waited for a person, who then decided; and its id."""
    store = KeepingStore()
    async with HARNESS.start(
        agents={"seller": seller(approval=True)},
        provider=AskingProvider(BOTH, "Sold."),
        store=store,
        state={"letter": ""},
    ) as run:
        await run.wait_for("approval:requested")
        await run.emit(*decision)
        await run.finish()
        return store, str((await run.result()).recording_id)


async def replay(agent: Any, store: KeepingStore, mode: str, recording: str = "rec-0", **options: Any) -> Any:
    """The result of a replay, which must neither hang nor run a tool."""
    before = list(RAN)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ReplayDriftWarning)
            async with asyncio.timeout(50):
                return await HARNESS.run_reactive(
                    agents={"seller": agent}, store=store, recording=recording, drift=mode, **options
                )
    finally:
        assert before == RAN


async def refused(agent: Any, store: KeepingStore, mode: str, recording: str = "rec-0") -> Any:
    """The report of a replay that cannot go on."""
    with pytest.raises(ReplayDriftError) as caught:
        await replay(agent, store, mode, recording)
    return caught.value.report


@MODES
async def test_results_of_tools_come_as_they_were_recorded(mode: str) -> None:
    """The same code gives the recorded log, and what a tool would do now does not matter."""
    store = await record(seller())

    async def pay(amount: int) -> str:
        """Pay."""
        RAN.append("another")
        return "nothing"

    for agent in (seller(), seller(tools=[tool(look_up), tool(pay)])):
        result = await replay(agent, store, mode)
        assert list(result.signals) == store.signals("rec-0")
        assert (result.drift, result.state) == ((), {"letter": "Sold."})


@MODES
async def test_results_are_delivered_to_the_calls_that_wait_for_them(mode: str) -> None:
    """Fewer tools at once move starts, and each result goes to its own call; what moved is reported."""
    store = await record(seller())
    result = await replay(seller(), store, mode, max_tool_concurrency=1)
    assert [name for name in names_of(result.signals) if name.startswith("tool:")] == [
        "tool:call",
        "tool:call",
        "tool:start",
        "tool:result",
        "tool:start",
        "tool:result",
    ]
    told = {signal.payload["tool_call"]: signal.payload["result"] for signal in of_name(result.signals, "tool:result")}
    assert told == {"seller#1/0/0": "PRICE", "seller#1/0/1": "paid 3"}
    assert result.state == {"letter": "Sold."}
    kinds = [report.kind for report in result.drift]
    assert kinds[:1] == (["max_tool_concurrency"] if mode == "warn" else [])


@MODES
async def test_a_tool_that_needs_a_person_now_has_no_decision(mode: str) -> None:
    """The recorded result cannot come without the call, and nobody has decided: the report names tool and agent."""
    report = await refused(seller(approval=True), await record(seller()), mode)
    assert (report.kind, report.agent, report.activation) == ("unmatched", "seller", "seller#1")
    assert report.subject == "the decision about tool 'pay' of agent 'seller'"
    assert f"nothing more is recorded for the decision about tool 'pay' {PAYMENT}" in str(report)


@MODES
async def test_a_tool_that_needs_nobody_any_more_has_no_result_where_nobody_had_decided(mode: str) -> None:
    """A run that was interrupted is not interrupted again when it waits for a tool: its result is missing."""
    store = await record(seller(approval=True))
    report = await refused(seller(), store, mode)
    assert report.subject == "the result of tool 'pay' of agent 'seller'"
    assert f"nothing more is recorded for the result of tool 'pay' {PAYMENT}" in str(report)
    with pytest.raises(InterruptedRunError) as caught:
        await replay(seller(approval=True), store, mode)
    assert [call["tool_call"] for call in caught.value.pending] == ["seller#1/0/1"]
    assert caught.value.result.drift == ()


@MODES
async def test_an_interrupted_run_waits_for_what_it_waits_for_now(mode: str) -> None:
    """Where both tools wait for a person now, both are pending: the run does not say what another one waited for."""
    store = await record(seller(approval=True))
    both = [tool(look_up, needs_approval=True), tool(pay, needs_approval=True)]
    with pytest.raises(InterruptedRunError) as caught:
        await replay(seller(tools=both), store, mode)
    assert [call["name"] for call in caught.value.pending] == ["look_up", "pay"]
    kinds = [report.kind for report in caught.value.result.drift]
    assert ("tools" in kinds) == (mode == "warn")


@MODES
@pytest.mark.parametrize("decision", [GRANTED, DENIED])
async def test_decisions_are_delivered_as_they_were_recorded(mode: str, decision: tuple[str, Any]) -> None:
    """A run that a person let go on, or not, gives the recorded log again."""
    store, recording = await decided(decision)
    result = await replay(seller(approval=True), store, mode, recording)
    assert list(result.signals) == store.signals(recording)
    assert result.drift == ()


@MODES
async def test_a_decision_that_nothing_needs_any_more_is_a_signal_like_any_other(mode: str) -> None:
    """Without the approval the tool starts at once, has its recorded result, and the run ends as it did."""
    store, recording = await decided(GRANTED)
    result = await replay(seller(), store, mode, recording)
    assert result.state == {"letter": "Sold."}
    assert "approval:requested" not in names_of(result.signals)
    told = [str(report) for report in result.drift]
    assert any("needs_approval of tool 'pay' of agent 'seller'" in text for text in told) == (mode == "warn")


@MODES
async def test_a_denied_tool_has_no_result(mode: str) -> None:
    """What a person did not agree to never ran: code that would run it now waits for what is not there."""
    store, recording = await decided(DENIED)
    report = await refused(seller(), store, mode, recording)
    assert report.subject == "the result of tool 'pay' of agent 'seller'"


@MODES
async def test_a_tool_that_a_crash_would_have_left_unknown_is_named(mode: str) -> None:
    """Where a resumed run has another outcome of a tool than was recorded, the request names the tool that tells it."""
    store = await record(seller(approval=True))
    agents, provider = {"seller": seller(approval=True)}, AskingProvider("Sold.")
    result = await HARNESS.resume("rec-0", agents=agents, provider=provider, store=store, signals=[GRANTED])
    report = await refused(seller(), store, mode, str(result.recording_id))
    assert (report.kind, report.subject) == ("tools", "what tool 'pay' told agent 'seller'")
    assert "what tool 'pay' told agent 'seller' is not what was recorded" in str(report)


@MODES
async def test_a_decision_waits_for_the_call_that_it_is_about(mode: str) -> None:
    """A call that is made later than when it was recorded has its decision all the same: it is not spent before."""
    store, granted = KeepingStore(), asyncio.Event()

    class Slow(ScriptedProvider):
        async def run(self, request: Any, context: Any) -> Any:
            """Answer once the other agent may go on."""
            await granted.wait()
            async for event in super().run(request, context):
                yield event

    slow = HARNESS.agent(prompt="Wait.", activate_on="harness:start", provider=Slow())
    agents = {"slow": slow, "seller": seller(approval=True)}

    async def run(**options: Any) -> Any:
        async with (
            asyncio.timeout(50),
            HARNESS.start(agents=agents, store=store, state={"letter": ""}, **options) as run,
        ):
            asked = await run.wait_for("approval:requested")
            await run.emit("approval:granted", {"tool_call": asked.payload["tool_call"]})
            granted.set()
            await run.finish()
            return await run.result()

    recorded = await run(provider=AskingProvider(BOTH, "Sold."))
    names = outline(recorded.signals)
    assert names.index("approval:granted") < names.index("agent:completed slow")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ReplayDriftWarning)
        result = await run(recording=recorded.recording_id, drift=mode, max_concurrency=1)
    names = outline(result.signals)
    assert names.index("approval:granted") > names.index("agent:completed slow")
    assert result.state == {"letter": "Sold."}
    assert len(RAN) == 2


@MODES
async def test_tools_that_are_refused_otherwise_end_the_run_otherwise(mode: str) -> None:
    """Fewer turns or less patience end the run; more of them ask for what was not recorded, which is an error."""
    nonsense = asks(("look_up", {"word": 1}))
    for option, turns in (("max_turns", (BOTH, "Sold.")), ("tool_retries", (nonsense, "Sold."))):
        few = {option: 1 if option == "max_turns" else 0}
        store = await record(seller(), *turns)
        with pytest.raises(AgentError) as caught:
            await replay(seller(**few), store, mode)
        assert isinstance(caught.value.__cause__, LimitExceededError)
        told = [str(report) for report in caught.value.result.drift]
        assert any(f"{option} of agent 'seller' is reached here" in text for text in told) == (mode == "warn")

    store = await record(seller(tool_retries=0), nonsense)
    report = await refused(seller(), store, mode)
    assert (report.kind, report.agent) == ("unmatched", "seller")
    assert "the recording has no request seller#1/1/0" in str(report)
    store = await record(seller(max_turns=1), BOTH)
    report = await refused(seller(), store, mode)
    assert report.subject == (
        "the result of tool 'look_up' of agent 'seller' and the result of tool 'pay' of agent 'seller'"
    )


def busy_once(request: Any, context: Any) -> Any:
    """Ask for both tools, be busy when their results come, and answer when they come again."""
    if context.call == "seller#1/1/0":
        message = "busy"
        raise ProviderError(message, kind="busy", retryable=True)
    return BOTH if context.call == "seller#1/0/0" else "Sold."


@MODES
async def test_results_are_sent_again_where_that_was_recorded(mode: str) -> None:
    """A request with the results of tools that failed and was sent again replays; one retry more has no answer."""
    patient = {"retries": 1, "retry_delay": 0}
    store = KeepingStore()
    provider = AskingProvider(script=busy_once)
    agents = {"seller": seller(**patient)}
    await HARNESS.run_reactive(agents=agents, provider=provider, store=store, state={"letter": ""})
    result = await replay(seller(**patient), store, mode)
    assert list(result.signals) == store.signals("rec-0")
    assert (result.drift, result.state) == ((), {"letter": "Sold."})

    with pytest.raises(AgentError, match="busy") as caught:
        await replay(seller(), store, mode)
    kinds = [report.kind for report in caught.value.result.drift]
    assert kinds[:1] == (["retries"] if mode == "warn" else [])

    store = KeepingStore()
    with pytest.raises(AgentError):
        await HARNESS.run_reactive(
            agents={"seller": seller()}, provider=AskingProvider(script=busy_once), store=store, state={"letter": ""}
        )
    report = await refused(seller(**patient), store, mode)
    assert (report.subject, report.agent) == ("the retry of seller#1", "seller")


async def test_a_reducer_of_an_answer_that_asks_for_tools_is_no_update() -> None:
    """What a reducer makes of an answer that ends nothing is told as the reducer's, and not as that of ``updates``."""

    def note(state: dict[str, Any], signal: Any) -> None:
        state["letter"] = f"{signal.seq}"

    store = await record(seller(), reducers={"provider:end": note})
    with pytest.raises(ReplayDriftError) as caught:
        await HARNESS.run_reactive(agents={"seller": seller()}, store=store, recording="rec-0")
    report = caught.value.report
    assert (report.kind, report.subject) == ("reducer", "the reducer for 'provider:end'")
