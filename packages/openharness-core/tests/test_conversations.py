"""The conversation of an agent: what later activations are told of earlier ones, and what is left out."""

from __future__ import annotations

import json
import warnings
from typing import TYPE_CHECKING, Any

import attrs
import pytest
from harness_kit import KeepingStore, ScriptedProvider, names_of, of_name
from hypothesis import given
from hypothesis import strategies as st
from tool_kit import AskingProvider, asks

from openharness.core import (
    Completed,
    InvalidValueError,
    ProviderCapabilities,
    ProviderOutput,
    ReplayDriftError,
    ReplayDriftWarning,
    SerializationError,
    Signal,
    Usage,
    create_harness,
    tool,
)
from openharness.core.log import Exchange, RunFold, recall
from openharness.core.log._conversation import exchange_of

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator


@attrs.define
class State:
    """What the agent talks about."""

    count: int = 0
    text: str = ""


HARNESS = create_harness(State)


async def look_up(word: str) -> str:
    """Look something up."""
    return word.upper()


def talker(*, turns: int = 4, **options: Any) -> Any:
    """An agent that goes on with what it has said itself, and remembers it."""
    return HARNESS.agent(
        **{
            "prompt": "Number {{ state.count }}?",
            "system": "Count for {{ state.count }}.",
            "activate_on": ["harness:start", "number:said"],
            "when": lambda ctx: ctx.state.count < turns,
            "emits": "number:said",
            "updates": "text",
            "history": "agent",
            **options,
        }
    )


def count(state: State, _: Signal) -> None:
    """Count the activations that have ended."""
    state.count += 1


def options(agent: Any = None, **more: Any) -> dict[str, Any]:
    """The keywords of a run with the talker."""
    return {"agents": {"talker": agent or talker()}, "reducers": {"number:said": count}, **more}


def echo(request: Any, _: Any) -> Any:
    """Ask for a tool once in each activation, and then say what it told; a function of the request alone."""
    last = request.messages[-1]
    if last.role == "tool":
        return f"{last.content}!"
    return asks(("look_up", {"word": f"n{len(request.messages)}"})) if request.tools else f"re: {last.content}"


async def talk(agent: Any = None, *, store: KeepingStore | None = None, provider: Any = None) -> tuple[Any, Any]:
    """A run of the talker, and its provider."""
    provider = provider or AskingProvider(script=echo)
    result = await HARNESS.run_reactive(
        **options(agent), state=State(), provider=provider, store=store or KeepingStore()
    )
    return result, provider


def said(request: Any) -> list[tuple[str, Any]]:
    """The messages of a request, in short."""
    return [(message.role, message.content) for message in request.messages]


def told(signals: Any) -> list[Any]:
    """What the requests of a run tell of the history, one for each activation."""
    return [signal.payload["history"] for signal in of_name(signals, "provider:start") if "history" in signal.payload]


async def test_a_request_begins_with_what_was_said_before() -> None:
    """Prompts and answers of earlier activations come first, in order; the system prompt is that of now."""
    result, provider = await talk()
    assert said(provider.requests[2]) == [
        ("user", "Number 0?"),
        ("assistant", "re: Number 0?"),
        ("user", "Number 1?"),
        ("assistant", "re: Number 1?"),
        ("user", "Number 2?"),
    ]
    assert [request.system for request in provider.requests] == [f"Count for {number}." for number in range(4)]
    assert [(one["messages"], one["dropped"]) for one in told(result.signals)] == [(0, 0), (2, 0), (4, 0), (6, 0)]


async def test_without_history_nothing_is_remembered() -> None:
    """By default each activation knows its prompt alone, and the log says nothing of a history."""
    result, provider = await talk(talker(history="none"))
    assert [len(request.messages) for request in provider.requests] == [1, 1, 1, 1]
    assert told(result.signals) == []
    assert RunFold.of(result.signals).conversations == {}


async def test_tools_and_rejected_answers_are_part_of_the_conversation() -> None:
    """What an activation has asked of tools, and what it was told of its answers, is remembered as it was."""
    turns = [asks(("look_up", {"word": "a"})), "no JSON", "7", "8"]
    _, provider = await talk(
        talker(turns=2, tools=[look_up], output=int, updates=None), provider=AskingProvider(*turns)
    )
    last = provider.requests[-1].messages
    assert [message.role for message in last] == ["user", "assistant", "tool", "assistant", "user", "assistant", "user"]
    assert last[1].tool_calls[0].id == last[2].tool_call_id
    assert [last[index].content for index in (2, 3, 5, 6)] == ["A", "no JSON", "7", "Number 1?"]


async def test_agents_have_conversations_of_their_own() -> None:
    """Two agents that answer one another are each told of their own words only."""
    agents = {
        name: HARNESS.agent(
            prompt=f"{name} {{{{ state.count }}}}",
            activate_on=other,
            emits=f"{name}:said",
            when=lambda ctx: ctx.state.count < 5,
            history="agent",
        )
        for name, other in (("one", ["harness:start", "two:said"]), ("two", ["one:said"]))
    }
    provider = AskingProvider(script=echo)
    await HARNESS.run_reactive(agents=agents, reducers={"*:said": count}, state=State(), provider=provider)
    assert said(provider.requests[4])[::2] == [("user", "one 0"), ("user", "one 2"), ("user", "one 4")]
    assert said(provider.requests[3])[::2] == [("user", "two 1"), ("user", "two 3")]


async def test_activations_at_once_are_told_what_had_ended() -> None:
    """Two activations at once do not know of one another; the next one knows both, in the order in which they ended."""
    agent = HARNESS.agent(
        prompt="{{ signal.name }}", activate_on=["harness:start", "go:*"], emits="done:it", history="agent"
    )
    starter = HARNESS.agent(prompt="x", activate_on="harness:start", emits=["go:a", "go:b"])
    last = HARNESS.agent(prompt="y", activate_on="done:it", when=lambda ctx: ctx.state.count == 3, emits="go:c")
    provider = AskingProvider(script=echo)
    store = KeepingStore()
    run = {"agents": {"agent": agent, "starter": starter, "last": last}, "reducers": {"done:it": count}, "store": store}
    result = await HARNESS.run_reactive(**run, state=State(), provider=provider)
    histories = [one["messages"] for one in told(result.signals)]
    assert histories[0] == 0
    assert histories[1] == histories[2] < 4
    assert histories[3] == 6
    users = [content for role, content in said(provider.requests[-1]) if role == "user"]
    assert sorted(users) == ["go:a", "go:b", "go:c", "harness:start"]
    replayed = await HARNESS.run_reactive(**run, recording=result.recording_id)
    assert replayed.signals == result.signals


async def test_what_failed_is_not_remembered() -> None:
    """An activation that fails leaves nothing in the conversation: there is no answer to go on from."""
    agent = talker(
        turns=2,
        output=int,
        updates=None,
        output_retries=0,
        on_error="continue",
        activate_on=["harness:start", "agent:error", "number:said"],
    )
    _, provider = await talk(agent, provider=AskingProvider("no number", "1", "2"))
    assert [len(request.messages) for request in provider.requests] == [1, 1, 3]


async def test_what_a_provider_needs_again_comes_back() -> None:
    """The continuation of an answer, such as the id of a session on the provider's side, stands in the conversation."""

    class Sessions(ScriptedProvider):
        async def run(self, request: Any, context: Any) -> AsyncGenerator[Any, None]:
            self.requests.append((request, context))
            last = request.messages[-2].continuation["session"] if len(request.messages) > 1 else 0
            yield Completed(ProviderOutput(content="" if last else "x", continuation={"session": last + 1}))

    provider = Sessions()
    await talk(provider=provider)
    messages = provider.requests[-1][0].messages
    assert [message.continuation for message in messages[1::2]] == [{"session": number} for number in (1, 2, 3)]
    assert messages[3].content == "(no answer)"


async def test_what_a_provider_needs_again_comes_back_with_an_answer_that_does_not_fit() -> None:
    """Also where an answer is not of the agent's type, the request to mend it goes on with the provider's session."""

    class Sessions(ScriptedProvider):
        capabilities = ProviderCapabilities(output_schema=True)

        async def run(self, request: Any, context: Any) -> AsyncGenerator[Any, None]:
            self.requests.append((request, context))
            number = len(self.requests)
            yield Completed(ProviderOutput(content=str(number) if number % 2 == 0 else "?", continuation=number))

    provider = Sessions()
    await talk(talker(turns=2, output=int, updates=None), provider=provider)
    asked = [request.messages for request, _ in provider.requests]
    sessions = [[message.continuation for message in messages if message.role == "assistant"] for messages in asked]
    assert sessions == [[], [1], [1, 2], [1, 2, 3]]


# --- The bound --------------------------------------------------------------------------------------------------------


@given(st.lists(st.integers(0, 50), max_size=12), st.integers(0, 200))
def test_the_newest_that_fit_are_kept(sizes: list[int], most: int) -> None:
    """What is recalled is the longest end of the conversation that stays within the bound; all before it is dropped."""
    conversation = [Exchange(({"role": "user", "content": str(index)},), size) for index, size in enumerate(sizes)]
    kept = recall(conversation, most)
    assert kept.tokens == sum(sizes[kept.dropped :]) <= most
    assert [message["content"] for message in kept.messages] == [
        str(index) for index in range(kept.dropped, len(sizes))
    ]
    assert kept.dropped == 0 or kept.tokens + sizes[kept.dropped - 1] > most


@given(st.integers(0, 4_000), st.integers(0, 4_000), st.text(), st.text())
def test_tokens_are_shares_of_what_the_provider_counted(read: int, written: int, prompt: str, answer: str) -> None:
    """The exchanges of one conversation have no more tokens than were counted for it; uncounted ones, a quarter of their bytes."""
    history: Any = [{"role": "user", "content": "before"}, {"role": "assistant", "content": "this"}]
    request: Any = {"messages": [{"role": "system", "content": "s"}, *history, {"role": "user", "content": prompt}]}
    output: Any = {"content": answer, "usage": {"input_tokens": read, "output_tokens": written}}
    exchange = exchange_of(request, output, 2)
    assert [message["role"] for message in exchange.messages] == ["user", "assistant"]
    size = sum(
        len(json.dumps(message, separators=(",", ":"), ensure_ascii=False).encode()) for message in exchange.messages
    )
    if read + written == 0:
        assert exchange.tokens == -(-size // 4)
    else:
        assert 0 < exchange.tokens <= read + written


async def test_the_bound_is_in_tokens_of_the_provider() -> None:
    """A provider that counts more tokens for the same words is told less of the past."""

    class Counting(ScriptedProvider):
        def __init__(self, tokens: int) -> None:
            super().__init__()
            self.tokens = tokens

        async def run(self, request: Any, context: Any) -> AsyncGenerator[Any, None]:
            self.requests.append((request, context))
            usage = Usage(input_tokens=self.tokens * len(request.messages), output_tokens=self.tokens)
            yield Completed(ProviderOutput(content="a", usage=usage))

    kept = []
    for tokens in (10, 40, 1000):
        result, _ = await talk(talker(turns=8, history_tokens=400), provider=Counting(tokens))
        kept.append([one["messages"] for one in told(result.signals)])
        assert all(one["tokens"] <= 400 for one in told(result.signals))
    assert kept[0] == [0, 2, 4, 6, 8, 10, 12, 14]
    assert kept[1][-1] < 14
    assert set(kept[2]) == {0}


@pytest.mark.parametrize("most", [0, 40, 90, 200, 10_000])
async def test_a_call_never_loses_its_result(most: int) -> None:
    """Whatever is left out, each call of a tool in a request is followed by its result, and nothing answers no call."""
    result, provider = await talk(talker(turns=6, tools=[look_up], history_tokens=most))
    for request in provider.requests:
        pending: list[str] = []
        for message in request.messages:
            if message.role == "tool":
                assert message.tool_call_id == pending.pop(0)
            else:
                assert pending == []
                pending = [call.id for call in message.tool_calls]
        assert request.messages[0].role == "user"
    dropped = sum(one["dropped"] for one in told(result.signals))
    assert dropped == (5 if most == 0 else 0 if most == 10_000 else dropped)


@pytest.mark.parametrize("most", [8_000, 300])
async def test_a_log_grows_with_what_is_said(most: int) -> None:
    """Twice as long a conversation takes twice the room, kept whole or within a bound, as messages are written once."""
    sizes = []
    for turns in (40, 80):
        store = KeepingStore()
        await talk(talker(turns=turns, history_tokens=most, system=None), store=store)
        kept = store.recordings["rec-0"]
        sizes.append(sum(map(len, kept.lines)) + sum(len(json.dumps(data)) for data in kept.blobs.values()))
    assert sizes[1] < 2.2 * sizes[0]


# --- Replay, resume, fork ---------------------------------------------------------------------------------------------

SHORT = {"turns": 3, "tools": [tool(look_up, idempotent=True)], "history_tokens": 90}


async def test_a_conversation_replays_without_a_provider() -> None:
    """What was left out follows from the log alone: a replay makes the same requests, in every mode."""
    store = KeepingStore()
    result, _ = await talk(talker(**SHORT), store=store)
    assert any(one["dropped"] for one in told(result.signals))
    for drift in ("error", "warn", "ignore"):
        with warnings.catch_warnings():
            warnings.simplefilter("error", ReplayDriftWarning)
            replayed = await HARNESS.run_reactive(
                **options(talker(**SHORT), store=store), recording=result.recording_id, drift=drift
            )
        assert (replayed.signals, replayed.state) == (result.signals, result.state)


@pytest.mark.parametrize("rebuild", ["replay", "fold"])
async def test_a_conversation_goes_on_wherever_the_run_was_killed(rebuild: str) -> None:
    """Killed after any signal, a run goes on with the same conversation, and its whole log replays."""
    store = KeepingStore()
    whole, _ = await talk(talker(**SHORT), store=store)
    requests = [signal.payload["digest"] for signal in of_name(whole.signals, "provider:start")]
    for stop in range(1, len(whole.signals)):
        cut = await store.cut("rec-0", stop)
        run = options(talker(**SHORT), store=store)
        result = await HARNESS.resume(cut, **run, provider=AskingProvider(script=echo), rebuild=rebuild)
        assert [signal.payload["digest"] for signal in of_name(result.signals, "provider:start")] == requests, stop
        assert told(result.signals) == told(whole.signals)
        replayed = await HARNESS.run_reactive(**run, recording=result.recording_id)
        assert replayed.signals == result.signals


async def test_a_fork_remembers_what_was_said_before_it() -> None:
    """A fork begins with the conversation up to its point, also for an activation that asks anew."""
    store = KeepingStore()
    await talk(store=store)
    signals = store.signals("rec-0")
    at = of_name(signals, "provider:start")[2].seq
    provider = AskingProvider(script=lambda *_: "other")
    forked = await HARNESS.fork("rec-0", at=at, **options(store=store), provider=provider)
    assert [len(request.messages) for request in provider.requests] == [5, 7]
    assert said(provider.requests[1])[:6] == [
        *[
            (role, f"{what}Number {number}?")
            for number in (0, 1)
            for role, what in (("user", ""), ("assistant", "re: "))
        ],
        ("user", "Number 2?"),
        ("assistant", "other"),
    ]
    replayed = await HARNESS.run_reactive(**options(store=store), recording=forked.recording_id)
    assert replayed.signals == forked.signals


async def test_a_fork_that_keeps_no_history_adds_nothing() -> None:
    """An activation that asks anew for an agent without a history leaves the conversation as it was."""
    store = KeepingStore()
    await talk(store=store)
    at = of_name(store.signals("rec-0"), "provider:start")[2].seq
    agent = talker(history="none")
    provider = AskingProvider(script=echo)
    forked = await HARNESS.fork("rec-0", at=at, **options(agent, store=store), provider=provider)
    assert [len(request.messages) for request in provider.requests] == [1, 1]
    assert len(RunFold.of(forked.signals).conversations["talker"]) == 2


async def test_secrets_in_a_conversation_stay_out_of_the_log(monkeypatch: pytest.MonkeyPatch) -> None:
    """The provider is told again what was said; the log has placeholders, from the first request to the last."""
    secret = "v4ult-s3cret-value"  # noqa: S105 - it is none
    monkeypatch.setenv("VAULT_API_KEY", secret)
    store = KeepingStore()
    agent = talker(turns=3, prompt=f"Keep {secret} {{{{ state.count }}}}")
    result, provider = await talk(agent, store=store, provider=AskingProvider(script=lambda *_: f"I keep {secret}."))
    assert said(provider.requests[-1])[:2] == [("user", f"Keep {secret} 0"), ("assistant", f"I keep {secret}.")]
    assert secret not in json.dumps([signal.payload for signal in result.signals])
    replayed = await HARNESS.run_reactive(**options(agent, store=store), recording="rec-0")
    assert replayed.signals == result.signals


@pytest.mark.parametrize("change", [{"history": "none"}, {"history_tokens": 40}])
async def test_another_history_is_drift_that_names_it(change: dict[str, Any]) -> None:
    """A history that is turned off, or cut elsewhere, is told as the history of its agent."""
    store = KeepingStore()
    await talk(store=store)
    with pytest.raises(ReplayDriftError) as caught:
        await HARNESS.run_reactive(**options(talker(**change), store=store), recording="rec-0")
    report = caught.value.report
    assert (report.kind, report.subject, report.agent) == ("history", "history of agent 'talker'", "talker")


@pytest.mark.parametrize("history", [None, {}, {"messages": -1, "dropped": 0}, {"messages": 0, "dropped": "x"}])
async def test_a_strange_history_is_no_log_of_ours(history: Any) -> None:
    """A log whose history is not as the harness writes it is refused with the signal that has it."""
    result, _ = await talk(talker(turns=1))
    signals = [
        attrs.evolve(signal, payload={**signal.payload, "history": history})
        if signal.name == "provider:start"
        else signal
        for signal in result.signals
    ]
    with pytest.raises(SerializationError, match="provider:start"):
        RunFold.of(signals)


async def test_a_copy_of_the_fold_has_a_conversation_of_its_own() -> None:
    """What is applied to a fold does not come into its copies."""
    result, _ = await talk()
    fold = RunFold.of(result.signals[: names_of(result.signals).index("agent:completed") + 1])
    copy = fold.copy()
    for signal in result.signals[fold.count :]:
        fold.apply(signal)
    assert (len(copy.conversations["talker"]), len(fold.conversations["talker"])) == (1, 4)


def test_the_options_are_checked() -> None:
    """There are two kinds of history, and a bound is a whole number."""
    for wrong in ({"history": "all"}, {"history_tokens": -1}, {"history_tokens": 1.5}):
        with pytest.raises(InvalidValueError, match="history"):
            talker(**wrong)
