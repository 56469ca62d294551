"""What type checkers must make of the stores, the player and the tree, as a user writes them. Never run."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, assert_type

import attrs

from openharness.core.log import AgentTotals, OpenActivation, OpenCall
from openharness.core.records import Checkpoint, Recording, RecordingInfo, Signal
from openharness.core.values import JSONObject
from openharness.signals import (
    CausalityNode,
    CausalityTree,
    CorruptLineError,
    FileSignalStore,
    MemorySignalStore,
    Player,
    Snapshot,
    causality_tree,
)

if TYPE_CHECKING:
    from openharness.core import SignalStore


@attrs.define
class State:
    """A state of a user's."""

    text: str = ""


async def stores() -> None:
    """Both stores are signal stores, and keep their own type where they make themselves."""
    memory: SignalStore = MemorySignalStore(max_bytes=1024)
    files: SignalStore = FileSignalStore(Path("recordings"), max_bytes=1024, max_recording_bytes=4096)
    files = FileSignalStore("recordings")
    assert_type(MemorySignalStore.from_url("memory:"), MemorySignalStore)
    assert_type(FileSignalStore.from_url("file:recordings"), FileSignalStore)
    assert_type(FileSignalStore("recordings").folder, Path)
    async with FileSignalStore("recordings") as store:
        assert_type(store, FileSignalStore)
        recording_id = await store.create_recording(run_id="run", tags=["a"], metadata={"k": [1, {"x": None}]})
        assert_type(recording_id, str)
        assert_type(await store.load_recording(recording_id), Recording | None)
        assert_type(store.iter_signals(recording_id, patterns="text:*"), AsyncIterator[Signal])
        assert_type(await store.list_recordings(), list[RecordingInfo])
        assert_type(await store.list_fixtures(), list[str])
        FileSignalStore("recordings", 1024)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    await memory.close()
    await files.close()


async def playing(store: SignalStore, recording: Recording) -> None:
    """What a player gives is typed, the state by the class that is asked for."""
    player = Player(recording)
    assert_type(await Player.load(store, "rec"), Player)
    assert_type(await Player.load_fixture(store, "my-test"), Player)
    assert_type(player.step(), Signal | None)
    assert_type(player.back(2), Signal | None)
    assert_type(player.seek(3), Signal)
    assert_type(player.until(["agent:*", "harness:end"]), Signal | None)
    assert_type(player.find("text:delta"), list[Signal])
    assert_type(player.checkpoints, Sequence[Checkpoint])
    assert_type(player.state, JSONObject)
    assert_type(player.state_as(State), State)
    snapshot = player.snapshot()
    assert_type(snapshot, Snapshot)
    assert_type(snapshot.state_as(State).text, str)
    assert_type(snapshot.calls, Mapping[str, OpenCall])
    assert_type(snapshot.activations, Sequence[OpenActivation])
    assert_type(snapshot.totals, Mapping[str, AgentTotals])
    player.position = 3  # type: ignore[misc]  # pyright: ignore[reportAttributeAccessIssue]


def causes(recording: Recording) -> None:
    """Trees are made of nodes, nodes of signals."""
    tree = causality_tree(recording.signals)
    assert_type(tree, CausalityTree)
    assert_type(tree.roots, Sequence[CausalityNode])
    assert_type(tree.node("run/1"), CausalityNode | None)
    assert_type(tree.chain("run/1"), list[Signal])
    assert_type(tree.render(), str)


def errors(error: CorruptLineError) -> None:
    """Errors carry what they say."""
    assert_type(error.line, int)
    assert_type(error.record_id, str)
