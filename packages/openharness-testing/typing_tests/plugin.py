"""What type checkers must make of recordings and assertions, as a user writes them. Never run."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, assert_type

import attrs

from openharness.core import Mode, Recording, RunResult, SignalStore, create_harness
from openharness.testing import (
    RecordingFixture,
    RecordingOptions,
    RunAssertions,
    ScriptedProvider,
    assert_that,
    trajectory,
)

if TYPE_CHECKING:
    from pathlib import Path


@attrs.define
class Desk:
    """A state of a user's."""

    headline: str = ""


harness = create_harness(Desk)
AGENTS = {"editor": harness.agent(prompt="Write!", activate_on="harness:start", updates="headline")}


async def test_headline(recording: RecordingFixture) -> None:
    """The options go into every way to run agents, and the state keeps its type."""
    result = await harness.run_reactive(agents=AGENTS, state=Desk(), **recording.options())
    assert_type(result, RunResult[Desk])
    again = await harness.run_reactive(agents=AGENTS, timeout=3.0, **recording.options("follow-up", mode="replay"))
    assert_type(again.state.headline, str)
    async with harness.start(agents=AGENTS, **recording.options()) as run:
        await run.finish()
    assert_type(recording.options(), RecordingOptions)
    assert_type(recording.options()["mode"], Mode)
    assert_type(recording.name, str)
    folder: Path = recording.folder
    store: SignalStore = recording.store
    recording.options(mode="lively")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    del folder, store


async def test_scripts(scripted_provider: type[ScriptedProvider]) -> None:
    """The fixture is the class."""
    provider = scripted_provider(["text"], delay=0.1)
    assert_type(provider, ScriptedProvider)
    await harness.run_reactive(agents=AGENTS, state=Desk(), provider=provider)


def claims(result: RunResult[Desk], recording: Recording) -> None:
    """Claims chain, whatever they are about."""
    claim = assert_that(result).emitted("facts:*", {"agent": re.compile("x")}, times=1).activated("editor")
    assert_type(claim, RunAssertions)
    assert_type(claim.emitted_in_order("a", ("b:*", {"c": ...}), re.compile("d")), RunAssertions)
    assert_type(assert_that(recording).took(at_most=2).cost(at_most=0.1, agent="editor"), RunAssertions)
    assert_type(trajectory(recording, "agent:*"), list[str])
    assert_that("result")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    claim.activated("editor", "guard")  # type: ignore[call-arg,arg-type]  # pyright: ignore[reportCallIssue]
