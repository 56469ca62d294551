"""Tools over the life of a run: approvals, what a crash leaves behind, resume, fork, secrets, and what is refused."""

from __future__ import annotations

import asyncio
from typing import Any

import attrs
import pytest
from harness_kit import KeepingStore, ScriptedProvider, names_of, of_name
from tool_kit import AskingProvider, asks

from openharness.core import (
    AgentError,
    DefinitionError,
    InterruptedRunError,
    InvalidValueError,
    RunError,
    RunResult,
    RunStatus,
    Signal,
    ToolContext,
    create_harness,
    tool,
)
from openharness.core.log import RunFold
from openharness.core.memory import InMemoryRunStore


@attrs.define
class Order:
    """What the agents work on."""

    goods: str = "apples"
    letter: str = ""


HARNESS = create_harness(Order)


class Shop:
    """Tools that note what they did."""

    def __init__(self) -> None:
        self.done: list[str] = []

    def pay(self, amount: int) -> str:
        """Pay."""
        self.done.append(f"pay {amount}")
        return f"paid {amount}"

    async def look_up(self, word: str) -> str:
        """Look something up."""
        self.done.append(f"look up {word}")
        await asyncio.sleep(0)
        return word.upper()

    def options(self, store: Any, **tools: Any) -> dict[str, Any]:
        """The keywords of a run with both tools."""
        offered = [tool(self.pay, needs_approval=True), tool(self.look_up, idempotent=True)]
        seller = HARNESS.agent(
            prompt="Sell {{ state.goods }}.",
            activate_on="harness:start",
            updates="letter",
            tools=tools.get("tools", offered),
        )
        return {"agents": {"seller": seller}, "store": store}


BOTH = asks(("look_up", {"word": "price"}), ("pay", {"amount": 3}))
PENDING = {"tool_call": "seller#1/0/1", "agent": "seller", "name": "pay", "arguments": {"amount": 3}}
GRANTED = ("approval:granted", {"tool_call": "seller#1/0/1", "by": "Kim"})


async def replays(result: RunResult[Order], shop: Shop, store: KeepingStore, **options: Any) -> None:
    """Check that a recording replays signal for signal, and runs no tool."""
    before = list(shop.done)
    replayed = await HARNESS.run_reactive(**{**shop.options(store), **options}, recording=result.recording_id)
    assert replayed.signals == result.signals
    assert replayed.state == result.state
    assert shop.done == before


async def interrupted(shop: Shop, store: KeepingStore, **options: Any) -> InterruptedRunError:
    """Run up to where nothing but a person's approval is missing."""
    with pytest.raises(InterruptedRunError) as caught:
        await HARNESS.run_reactive(
            **{**shop.options(store), "state": Order(), "provider": AskingProvider(BOTH), **options}
        )
    return caught.value


async def test_a_run_that_waits_for_approvals_alone_is_interrupted() -> None:
    """Outside of ``start`` nobody can agree: the other tools end, and the error says what the run waits for."""
    shop, store, history = Shop(), KeepingStore(), InMemoryRunStore()
    error = await interrupted(shop, store, run_store=history)
    assert error.pending == (PENDING,)
    assert shop.done == ["look up price"]
    assert store.recordings[str(error.recording_id)].info.outcome == "interrupted"
    record = await history.get_run(str(error.run_id))
    assert record is not None
    assert record.status is RunStatus.INTERRUPTED
    assert names_of(error.result.signals)[-2:] == ["harness:interrupted", "harness:end"]
    with pytest.raises(InterruptedRunError) as caught:
        await HARNESS.run_reactive(**shop.options(store), recording=error.recording_id)
    assert caught.value.pending == error.pending
    assert caught.value.result.signals == error.result.signals


@pytest.mark.parametrize("rebuild", ["replay", "fold"])
async def test_an_approval_lets_the_run_go_on(rebuild: str) -> None:
    """``resume(signals=...)`` brings the approval: the tool runs once, and what had ended does not run again."""
    shop, store = Shop(), KeepingStore()
    error = await interrupted(shop, store)
    provider = AskingProvider("Sold.")
    result = await HARNESS.resume(
        str(error.recording_id), **shop.options(store), provider=provider, signals=[GRANTED], rebuild=rebuild
    )
    assert shop.done == ["look up price", "pay 3"]
    assert provider.told == ["PRICE", "paid 3"]
    assert provider.calls == ["seller#1/1/0"]
    assert (result.state.letter, result.status) == ("Sold.", RunStatus.COMPLETED)
    (granted,) = of_name(result.signals, "approval:granted")
    started = of_name(result.signals, "tool:start")[-1]
    assert (started.source.parent, granted.payload["by"]) == (granted.id, "Kim")
    await replays(result, shop, store)


async def test_a_denial_tells_the_model_why() -> None:
    """A call that a person does not agree to is never made; the model gets an error with the reason, if there is one."""
    for reason, words in (("too dear", "a person did not agree to this call: too dear"), (None, "to this call.")):
        shop, store = Shop(), KeepingStore()
        error = await interrupted(shop, store)
        denied = ("approval:denied", {"tool_call": "seller#1/0/1", "reason": reason})
        provider = AskingProvider("Not sold.")
        result = await HARNESS.resume(
            str(error.recording_id), **shop.options(store), provider=provider, signals=[denied]
        )
        assert shop.done == ["look up price"]
        assert provider.told[1].startswith("Error: ")
        assert provider.told[1].endswith(words)
        assert [signal.payload["error"]["kind"] for signal in of_name(result.signals, "tool:rejected")] == ["denied"]
        await replays(result, shop, store)


async def test_other_signals_and_other_calls_approve_nothing() -> None:
    """An approval of another call, of one twice, or without a call is a signal like any other."""
    shop, store = Shop(), KeepingStore()
    error = await interrupted(shop, store)
    signals = [("approval:granted", payload) for payload in (None, {}, {"tool_call": 1}, {"tool_call": "seller#1/0/0"})]
    with pytest.raises(InterruptedRunError) as caught:
        await HARNESS.resume(str(error.recording_id), **shop.options(store), provider=AskingProvider(), signals=signals)
    assert caught.value.pending == (PENDING,)
    twice = [GRANTED, GRANTED, ("approval:denied", GRANTED[1])]
    result = await HARNESS.resume(
        str(caught.value.recording_id), **shop.options(store), provider=AskingProvider("Sold."), signals=twice
    )
    assert shop.done == ["look up price", "pay 3"]
    assert result.state.letter == "Sold."
    await replays(result, shop, store)


async def test_a_person_approves_while_the_run_goes_on() -> None:
    """Inside of ``start`` the run waits for as long as it takes; one that is told to finish first is interrupted."""
    shop, store = Shop(), KeepingStore()
    options = {**shop.options(store), "state": Order()}
    async with HARNESS.start(**options, provider=AskingProvider(BOTH, "Sold.")) as run:
        asked = await run.wait_for("approval:requested")
        assert asked.payload == {"tool_call": "seller#1/0/1", "name": "pay", "arguments": {"amount": 3}}
        await run.emit("approval:granted", {"tool_call": asked.payload["tool_call"]})
    result = await run.result()
    assert result.state.letter == "Sold."
    await replays(result, shop, store)
    with pytest.raises(InterruptedRunError):
        async with HARNESS.start(**options, provider=AskingProvider(BOTH)) as run:
            await run.wait_for("approval:requested")


async def begun(store: KeepingStore, signals: list[Signal]) -> str:
    """An unfinished recording with these signals, as a crash leaves it behind."""
    recording_id = await store.create_recording(run_id=signals[0].id.removesuffix("/0"))
    await store.append(recording_id, list(signals))
    return recording_id


async def test_a_run_that_crashed_while_it_waited_for_an_approval_resumes() -> None:
    """The request for an approval is durable: after a crash the approval is all that is needed."""
    shop, store = Shop(), KeepingStore()
    error = await interrupted(shop, store)
    cut = next(signal.seq for signal in error.result.signals if signal.name == "harness:interrupted")
    recording = await begun(store, list(error.result.signals[:cut]))
    result = await HARNESS.resume(recording, **shop.options(store), provider=AskingProvider("Sold."), signals=[GRANTED])
    assert result.recording_id == recording
    assert shop.done == ["look up price", "pay 3"]
    await replays(result, shop, store)


async def whole(shop: Shop, store: KeepingStore) -> RunResult[Order]:
    """A run of two turns whose tools need nobody."""
    return await HARNESS.run_reactive(
        **plain(shop, store), state=Order(), provider=AskingProvider(BOTH, asks(("look_up", {"word": "x"})), "Sold.")
    )


def plain(shop: Shop, store: KeepingStore) -> dict[str, Any]:
    """The keywords of a run in which no tool needs an approval."""
    return shop.options(store, tools=[tool(shop.pay), tool(shop.look_up, idempotent=True)])


@pytest.mark.parametrize("rebuild", ["replay", "fold"])
async def test_wherever_a_run_was_cut_no_tool_that_ended_runs_again(rebuild: str) -> None:
    """After a cut at any step: what had ended stays, what was running is unknown or (idempotent) runs again."""
    first, store = Shop(), KeepingStore()
    result = await whole(first, store)
    seen: set[str] = set()
    for cut in range(1, len(result.signals) - 1):
        prefix = list(result.signals[:cut])
        shop = Shop()
        recording = await begun(store, prefix)

        def script(request: Any, context: Any) -> Any:
            turns = {"0": BOTH, "1": asks(("look_up", {"word": "x"}))}
            return turns.get(context.call.split("/")[1], "Sold.")

        again = await HARNESS.resume(
            recording, **plain(shop, store), provider=AskingProvider(script=script), rebuild=rebuild
        )
        assert again.state.letter == "Sold."
        fold = RunFold.of(prefix)
        calls = [call for activation in fold.activations.values() for call in activation.tool_calls.values()]
        unknown = {call.id for call in calls if call.status == "running" and call.name == "pay"}
        restarted = {call.id for call in calls if call.status == "running" and call.name == "look_up"}
        told = again.signals[cut:]
        assert {signal.payload["tool_call"] for signal in of_name(told, "tool:unknown")} == unknown
        assert {signal.payload["tool_call"] for signal in of_name(told, "tool:restart")} == restarted
        ended = {signal.payload["tool_call"] for signal in of_name(prefix, "tool:result")}
        results = [signal.payload["tool_call"] for signal in of_name(again.signals, "tool:result")]
        assert sorted(set(results)) == sorted(results)
        paid = "seller#1/0/1"
        assert shop.done.count("pay 3") == (0 if paid in ended or paid in unknown else 1)
        seen |= {"unknown"} if unknown else set()
        seen |= {"restarted"} if restarted else set()
        replayed = await HARNESS.run_reactive(**plain(shop, store), recording=again.recording_id)
        assert replayed.signals == again.signals
    assert seen == {"unknown", "restarted"}


@pytest.mark.parametrize("rebuild", ["replay", "fold"])
@pytest.mark.parametrize("failure", ["limit", "reducer"])
async def test_tools_of_the_step_in_which_a_run_failed_run_when_it_resumes(rebuild: str, failure: str) -> None:
    """What was announced in a step that a limit or an error cut short never ran: it runs then, and only once."""
    shop, store = Shop(), KeepingStore()

    def fail(state: Order, signal: Signal) -> None:
        raise RuntimeError("no")

    def options(*, fails: bool) -> dict[str, Any]:
        given = plain(shop, store)
        given["agents"]["watcher"] = HARNESS.agent(prompt="Watch.", activate_on="tool:start")
        if failure == "limit":
            return {**given, "max_activations": 2 if fails else 9}
        return {**given, "reducers": {"tool:start": fail} if fails else {}}

    def script(request: Any, context: Any) -> Any:
        return BOTH if context.call == "seller#1/0/0" else "Sold."

    provider = AskingProvider(script=script)
    with pytest.raises(RunError) as caught:
        await HARNESS.run_reactive(**options(fails=True), state=Order(), provider=provider)
    result = caught.value.result
    assert len(of_name(result.signals, "tool:start")) == 2
    assert shop.done == []
    again = await HARNESS.resume(str(result.recording_id), **options(fails=False), provider=provider, rebuild=rebuild)
    assert sorted(shop.done) == ["look up price", "pay 3"]
    assert not of_name(again.signals, "tool:unknown")
    replayed = await HARNESS.run_reactive(**options(fails=False), recording=again.recording_id)
    assert replayed.signals == again.signals
    assert len(shop.done) == 2


async def test_what_is_unknown_is_told_to_the_model() -> None:
    """The model hears that nobody knows, and can find out before it tries again."""
    shop, store = Shop(), KeepingStore()
    result = await whole(shop, store)
    cut = next(signal.seq for signal in result.signals if signal.name == "tool:result")
    recording = await begun(store, list(result.signals[:cut]))
    provider = AskingProvider("I ask the bank.")
    again = await HARNESS.resume(recording, **plain(Shop(), store), provider=provider)
    assert provider.told[0] == "PRICE"
    assert "nobody knows whether" in provider.told[1]
    assert again.metrics.tool_errors == 1


async def test_a_fork_asks_again_and_keeps_nothing_of_the_turn() -> None:
    """A fork in the middle of a turn begins the activation anew, with its own calls of tools."""
    shop, store = Shop(), KeepingStore()
    result = await whole(shop, store)
    at = next(signal.seq for signal in result.signals if signal.name == "tool:result")
    provider = AskingProvider(asks(("look_up", {"word": "other"})), "Forked.")
    forked = await HARNESS.fork(
        str(result.recording_id), at=at, **plain(shop, store), provider=provider, state={"goods": "pears"}
    )
    assert forked.state == Order("pears", "Forked.")
    assert [message.content for message in provider.conversation[:1]] == ["Sell pears."]
    assert provider.told == ["OTHER"]
    replayed = await HARNESS.run_reactive(**plain(shop, store), recording=forked.recording_id)
    assert replayed.signals == forked.signals


async def test_a_tool_gets_the_secrets_that_the_log_does_not(monkeypatch: pytest.MonkeyPatch) -> None:
    """Arguments and state reach a tool as they are; what it returns is redacted before anybody sees it."""
    monkeypatch.setenv("BANK_API_KEY", "k-0123456789abcdef")
    got: list[str] = []

    def bank(key: str, ctx: ToolContext[Order]) -> str:
        """Ask the bank."""
        got.extend([key, ctx.state.goods])
        return f"key {key} accepted"

    store = KeepingStore()
    options = Shop().options(store, tools=[bank])
    provider = AskingProvider(asks(("bank", {"key": "k-0123456789abcdef"})), "done")
    result = await HARNESS.run_reactive(**options, state=Order("k-0123456789abcdef"), provider=provider)
    assert got == ["k-0123456789abcdef", "k-0123456789abcdef"]
    assert provider.told == ["key k-0123456789abcdef accepted"]
    assert b"k-0123456789abcdef" not in b"".join(store.recordings[str(result.recording_id)].lines)
    assert of_name(result.signals, "tool:result")[0].payload["result"] == "key [redacted:BANK_API_KEY] accepted"
    replayed = await HARNESS.run_reactive(**options, recording=result.recording_id)
    assert replayed.signals == result.signals


async def test_the_decorator_form_takes_tools_too() -> None:
    """An agent made of a function has tools like any other."""
    shop = Shop()

    @HARNESS.agent(activate_on="harness:start", updates="letter", tools=[shop.look_up], max_turns=2, tool_retries=0)
    def seller(ctx: Any) -> str:
        return f"Sell {ctx.state.goods}."

    assert [made.name for made in seller.tools] == ["look_up"]
    provider = AskingProvider(asks(("look_up", {"word": "a"})), "Sold.")
    result = await HARNESS.run_reactive(agents=[seller], state=Order(), provider=provider)
    assert result.state.letter == "Sold."


@pytest.mark.parametrize(
    "options",
    [{"max_turns": 0}, {"max_turns": 1.5}, {"tool_retries": -1}, {"tools": "pay"}, {"tools": [1]}, {"tools": [str]}],
    ids=str,
)
def test_options_that_cannot_work_are_refused(options: Any) -> None:
    """What is wrong with an agent's tools is found when the agent is defined."""
    with pytest.raises(DefinitionError if isinstance(options.get("tools"), list) else InvalidValueError):
        HARNESS.agent(prompt="x", activate_on="harness:start", **options)


async def test_what_a_run_cannot_do_is_refused_before_it_begins() -> None:
    """A provider that knows no tools is refused for an agent that has some; limits are checked."""
    with pytest.raises(DefinitionError, match="'seller' has tools; scripted cannot offer them"):
        await HARNESS.run_reactive(**Shop().options(None), state=Order(), provider=ScriptedProvider("x"))
    with pytest.raises(InvalidValueError, match="max_tool_concurrency"):
        await HARNESS.run_reactive(
            **Shop().options(None), state=Order(), provider=AskingProvider("x"), max_tool_concurrency=0
        )


async def test_a_failed_run_with_tools_resumes_where_it_failed() -> None:
    """A run that went beyond its turns goes on with more of them, and repeats no tool."""
    shop, store = Shop(), KeepingStore()
    look = asks(("look_up", {"word": "again"}))

    def options(turns: int) -> dict[str, Any]:
        seller = HARNESS.agent(
            prompt="Sell.", activate_on="harness:start", updates="letter", tools=[shop.look_up], max_turns=turns
        )
        return {"agents": {"seller": seller}, "store": store}

    with pytest.raises(AgentError) as caught:
        await HARNESS.run_reactive(**options(2), state=Order(), provider=AskingProvider(look, look))
    assert shop.done == ["look up again"]
    result = await HARNESS.resume(str(caught.value.recording_id), **options(5), provider=AskingProvider("Sold."))
    assert shop.done == ["look up again"] * 2
    assert result.state.letter == "Sold."
