"""Assertions about runs: which claims hold, and what those say that do not."""

from __future__ import annotations

import asyncio
import re
from typing import Any

import pytest

from openharness.core import (
    Completed,
    InvalidValueError,
    ProviderError,
    ProviderOutput,
    ProviderRequest,
    Recording,
    RunError,
    RunResult,
    Usage,
    create_harness,
)
from openharness.signals import MemorySignalStore
from openharness.testing import RunAssertions, ScriptedProvider, assert_that, trajectory


def answer(request: ProviderRequest) -> Any:
    """Answer in two pieces, and tell what it took."""
    text = "two ducks" if "facts" in str(request.messages) else "Ducks cross"
    usage = Usage(input_tokens=10, output_tokens=5, cost=0.25)
    return [text[:3], 0.02, text[3:], Completed(ProviderOutput(content=text, usage=usage))]


def run(*, script: Any = answer) -> tuple[RunResult[dict[str, Any]], Recording]:
    """Run three agents, one of which is always skipped; return the result and the recording."""
    harness = create_harness()
    agents = {
        "reader": harness.agent(
            prompt="List facts", activate_on="harness:start", updates="facts", emits="facts:found", on_error="continue"
        ),
        "editor": harness.agent(prompt="Headline", activate_on="facts:found", updates="headline"),
        "lawyer": harness.agent(prompt="Check", activate_on="facts:*", when=lambda ctx: False),
    }

    async def record() -> tuple[RunResult[dict[str, Any]], Recording]:
        store = MemorySignalStore()
        state = {"facts": "", "headline": ""}
        result = await harness.run_reactive(
            agents=agents, state=state, provider=ScriptedProvider(script), store=store, seed=1
        )
        recording = await store.load_recording(str(result.recording_id))
        assert recording is not None
        return result, recording

    return asyncio.run(record())


@pytest.fixture(scope="module", params=["result", "recording"])
def claims(request: pytest.FixtureRequest) -> RunAssertions:
    """Claims about the same run, seen as a result and as a recording."""
    result, recording = run()
    return assert_that(result if request.param == "result" else recording)


def test_what_holds(claims: RunAssertions) -> None:
    """True claims of every kind pass, in one sentence."""
    same = (
        claims.emitted("facts:found")
        .emitted("facts:*", {"agent": "reader"})
        .emitted("facts:found", {"output": re.compile(r"\bducks\b")}, times=1)
        .emitted("facts:found", {"output": ..., "agent": str.islower})
        .emitted("text:delta", agent="editor", at_least=2, at_most=2)
        .emitted(re.compile("state:.*:changed"), times=2)
        .emitted("state:facts:changed", {"path": ["facts"]})
        .emitted("harness:start", {"agents": {"editor": {"emits": []}}, "input": None, "seed": 1})
        .emitted("absent:signal", at_most=3)
        .did_not_emit("facts:lost")
        .did_not_emit("facts:found", {"agent": "editor"})
        .did_not_emit("facts:found", agent="editor")
        .emitted_in_order("harness:start", ("agent:activated", {"agent": "reader"}), "facts:*", "harness:end")
        .emitted_in_order()
        .did_not_emit_in_order("facts:found", "harness:start")
        .activated("reader")
        .activated("editor", times=1)
        .activated_in_order("reader", "editor")
        .did_not_activate("lawyer")
        .skipped("lawyer", reason="guard", times=1)
        .did_not_skip("editor")
        .took(at_least=0.02, at_most=30)
        .took(at_least=0.01, at_most=30, agent="editor")
        .used_tokens(at_most=30, at_least=30)
        .used_tokens(at_most=15, agent="reader")
        .cost(at_most=0.5, at_least=0.5)
        .cost(at_most=0.25, agent="editor")
        .called_providers(times=2)
        .called_providers(times=0, agent="lawyer")
    )
    assert same is claims


WRONG = [
    (lambda run: run.emitted("facts:lost"), "Expected at least 1 x 'facts:lost', found 0.", "#0 harness:start"),
    (lambda run: run.emitted("facts:found", times=2), "exactly 2 x 'facts:found', found 1.", "two ducks"),
    (
        lambda run: run.emitted("facts:*", {"agent": "editor"}),
        "with {'agent': 'editor'}, found 0.",
        '<- payload.agent is "reader", not "editor"',
    ),
    (lambda run: run.emitted("facts:*", {"by": 1}), "found 0.", "payload has no 'by'; it has 'agent', 'output'"),
    (lambda run: run.emitted("facts:*", "ducks"), "found 0.", 'not "ducks"'),
    (lambda run: run.emitted("facts:*", ["ducks"]), "found 0.", "not a list"),
    (
        lambda run: run.emitted("harness:end", {"status": {}}),
        "found 0.",
        'payload.status is "completed", not an object',
    ),
    (lambda run: run.emitted("harness:end", {"status": re.compile("fail")}), "/fail/", "'fail' is not found"),
    (lambda run: run.emitted("harness:end", {"status": str.isupper}), "isupper", "which isupper does not accept"),
    (lambda run: run.emitted("harness:end", {"terminated_early": 0}), "found 0.", "is false, not 0"),
    (lambda run: run.emitted("state:facts:changed", {"path": []}), "found 0.", "payload.path has 1 items, not 0"),
    (lambda run: run.emitted("state:facts:changed", {"path": ["x"]}), "found 0.", 'path[0] is "facts", not "x"'),
    (lambda run: run.emitted("facts:*", agent="editor"), "of agent 'editor', found 0.", "<- of agent 'reader'"),
    (lambda run: run.did_not_emit("text:delta"), "Expected no 'text:delta', found 4.", 'text:delta x 2 "two ducks"'),
    (
        lambda run: run.emitted_in_order("harness:start", "facts:found", "harness:start"),
        "-> 'facts:found' -> 'harness:start'. Step 3, 'harness:start', does not come after #9. There is one before, at #0.",
        "<- step 2",
    ),
    (lambda run: run.emitted_in_order("a:b"), "Step 1, 'a:b', does not come.", "#0 harness:start"),
    (lambda run: run.did_not_emit_in_order("harness:start", "harness:end"), "the order is not", "harness:end"),
    (
        lambda run: run.activated("lawyer"),
        "Expected agent 'lawyer' to be activated at least 1 x, it was 0 x.",
        "skipped",
    ),
    (lambda run: run.activated("editor", times=2), "exactly 2 x, it was 1 x.", '"editor#1"'),
    (lambda run: run.activated_in_order("editor", "reader"), "Step 2,", "<- step 1"),
    (lambda run: run.did_not_activate("editor"), "exactly 0 x, it was 1 x.", "agent:activated"),
    (lambda run: run.did_not_activate("editr"), "no agent 'editr'", "'reader', 'editor', 'lawyer'"),
    (lambda run: run.activated_in_order("reader", "editr"), "no agent 'editr'", "'lawyer'"),
    (lambda run: run.skipped("lawyer", reason="ending"), "(reason 'ending'), it was 0 x.", '"guard"'),
    (lambda run: run.did_not_skip("lawyer"), "to be skipped exactly 0 x, it was 1 x.", "agent:skipped"),
    (lambda run: run.took(at_most=0.001), "Expected the run to take at most 0.001 s, it took 0.", " ms"),
    (lambda run: run.took(at_most=0, agent="editor"), "the longest activation of 'editor'", " ms"),
    (lambda run: run.took(at_most=1, agent="lawyer"), "'lawyer' to be activated, so that it takes time", "skipped"),
    (lambda run: run.used_tokens(at_most=29), "Expected at most 29 tokens, used 30.", "<- 15 tokens"),
    (lambda run: run.used_tokens(at_least=16, agent="editor"), "at least 16 tokens of agent 'editor'", "used 15"),
    (lambda run: run.cost(at_most=0.4), "Expected a cost of at most 0.4 USD, it was 0.5.", "<- 0.25 USD"),
    (lambda run: run.cost(at_least=0.3, at_most=0.4, agent="editor"), "0.3 to 0.4 USD of agent", "it was 0.25"),
    (
        lambda run: run.called_providers(at_most=1),
        "Expected at most 1 requests to providers, found 2.",
        "provider:start",
    ),
    (lambda run: run.called_providers(agent="editr"), "no agent 'editr'", "'lawyer'"),
]


@pytest.mark.parametrize("claim, says, shows", WRONG)
def test_what_does_not_hold(claims: RunAssertions, claim: Any, says: str, shows: str) -> None:
    """A claim that does not hold says what was expected, and shows what was there."""
    with pytest.raises(AssertionError) as failed:
        claim(claims)

    assert says in str(failed.value)
    assert shows in str(failed.value)


@pytest.mark.parametrize(
    "claim",
    [
        lambda run: run.emitted("a", times=1, at_least=1),
        lambda run: run.emitted("a", at_least=2, at_most=1),
        lambda run: run.emitted("a", times=-1),
        lambda run: run.took(),
        lambda run: run.used_tokens(at_most=float("nan")),
        lambda run: run.cost(at_least=-0.1),
    ],
)
def test_claims_that_say_nothing(claims: RunAssertions, claim: Any) -> None:
    """Bounds that contradict one another, or that everything is within, are mistakes of the test."""
    with pytest.raises(InvalidValueError, match="must be"):
        claim(claims)


def test_what_nobody_counts() -> None:
    """A bound on tokens or cost fails where the provider told none, instead of passing for ever."""
    result, _ = run(script=["two ducks", "Ducks cross"])

    with pytest.raises(AssertionError, match=r"(?s)how many tokens it used; these did not:.*editor#1"):
        assert_that(result).used_tokens(at_most=1)
    with pytest.raises(AssertionError, match=r"(?s)what its answers cost; these did not:.*reader#1"):
        assert_that(result).cost(at_most=1)


def test_failed_agents_take_time_too() -> None:
    """The time of an activation that fails counts, and nothing was used by requests that got no answer."""
    result, _ = run(script=[[0.03, ProviderError("no")]])

    assert_that(result).took(at_least=0.02, agent="reader").used_tokens(at_most=0).cost(at_most=0)
    assert_that(result).emitted("agent:error", {"kind": "provider"}).did_not_activate("editor")


def test_result_of_an_error() -> None:
    """What a failed run did can be asserted, too."""
    harness = create_harness()
    agents = {"reader": harness.agent(prompt="x", activate_on="harness:start")}
    with pytest.raises(RunError) as failed:
        asyncio.run(harness.run_reactive(agents=agents, provider=ScriptedProvider([ProviderError("no")])))

    assert_that(failed.value.result).emitted("harness:end", {"status": "failed"})


def test_trajectory() -> None:
    """A trajectory has nothing that changes from run to run, leaves deltas out, and is the same for both."""
    result, recording = run()
    again, _ = run()

    assert trajectory(result) == trajectory(recording) == trajectory(again)
    assert trajectory(result, "agent:*", "facts:found") == [
        "reader#1 agent:activated",
        "reader#1 agent:completed",
        "reader#1 facts:found",
        "editor#1 agent:activated",
        "agent:skipped",
        "editor#1 agent:completed",
    ]
    assert not any("delta" in word for word in trajectory(result))
    assert len(trajectory(result, "text:delta")) == 4


def test_long_logs_are_cut() -> None:
    """A run of thousands of signals does not fill the screen: its beginning and its end are shown."""
    harness = create_harness()
    agents = {"again": harness.agent(prompt="x", activate_on=["harness:start", "next:one"], emits="next:one")}
    provider = ScriptedProvider(lambda request: "x" * 500)
    with pytest.raises(RunError) as limited:
        asyncio.run(harness.run_reactive(agents=agents, provider=provider, max_activations=30))

    with pytest.raises(AssertionError) as failed:
        assert_that(limited.value.result).emitted("no:such")

    lines = str(failed.value).splitlines()
    assert len(lines) < 50
    assert "#0 harness:start" in lines[2]
    assert "harness:end" in lines[-1]
    assert any(re.fullmatch(r"  … \d+ more …", line) for line in lines)
    assert max(map(len, lines)) < 200


def test_only_runs() -> None:
    """Anything but a result or a recording is refused with what it is."""
    with pytest.raises(TypeError, match=r"takes a RunResult or a Recording, got 'run'"):
        assert_that("run")  # type: ignore[arg-type]


def test_repr(claims: RunAssertions) -> None:
    """Claims name their run."""
    assert re.fullmatch(r"assert_that\((run|recording) r\w+, \d+ signals\)", repr(claims))
