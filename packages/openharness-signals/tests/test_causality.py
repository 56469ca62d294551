"""The tree of causes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hypothesis import given
from hypothesis import strategies as st
from signals_support import RUN_ID, delta, recorded_run, signal

from openharness.core.records import signal_id
from openharness.signals import causality_tree

if TYPE_CHECKING:
    from openharness.core import Signal


def caused(seq: int, parent: int | None, name: str = "a:b") -> Signal:
    """A signal that another one caused."""
    return signal(seq, name, parent=None if parent is None else signal_id(RUN_ID, parent))


def test_children_stand_below_what_caused_them() -> None:
    """Roots are the signals without a parent; children come in order, at any depth."""
    tree = causality_tree([caused(0, None), caused(1, 0), caused(2, 1), caused(3, 0), caused(4, None)])
    assert [root.signal.seq for root in tree.roots] == [0, 4]
    assert [node.signal.seq for node in tree.roots[0].children] == [1, 3]
    assert [node.signal.seq for node in tree.walk()] == [0, 1, 2, 3, 4]
    assert len(tree) == 5
    assert repr(tree) == "CausalityTree(5 signals, 2 roots)"
    assert repr(tree.roots[0]) == "CausalityNode('a:b', seq=0, 2 children)"


def test_how_it_came_to_a_signal() -> None:
    """The chain of a signal leads from its root to itself."""
    tree = causality_tree([caused(0, None), caused(1, 0), caused(2, 1), caused(3, 0)])
    assert [found.seq for found in tree.chain(signal_id(RUN_ID, 2))] == [0, 1, 2]
    assert tree.chain("nobody") == []
    node = tree.node(signal_id(RUN_ID, 1))
    assert node is not None
    assert [below.signal.seq for below in node.walk()] == [1, 2]
    assert tree.node("nobody") is None


def test_a_part_of_a_run_has_the_roots_it_has() -> None:
    """A signal whose parent is not among those given is a root."""
    tree = causality_tree([caused(3, 1), caused(4, 3)])
    assert [root.signal.seq for root in tree.roots] == [3]


def test_nothing_is_its_own_cause() -> None:
    """Parents that come later, or are the signal itself, are no causes, so that there are no circles."""
    tree = causality_tree([caused(0, 1), caused(1, 0), caused(2, 2)])
    assert [root.signal.seq for root in tree.roots] == [0, 2]
    assert [found.seq for found in tree.chain(signal_id(RUN_ID, 1))] == [0, 1]
    assert [found.seq for found in tree.chain(signal_id(RUN_ID, 2))] == [2]


@given(st.lists(st.none() | st.integers(-1, 30), max_size=25))
def test_every_signal_is_in_the_tree_once(parents: list[int | None]) -> None:
    """Whatever the parents say, walking the tree meets each signal exactly once, below one with a smaller seq."""
    signals = [caused(seq, parent) for seq, parent in enumerate(parents)]
    tree = causality_tree(signals)
    assert sorted(node.signal.seq for node in tree.walk()) == list(range(len(signals)))
    for node in tree.walk():
        assert all(child.signal.seq > node.signal.seq for child in node.children)
        assert tree.chain(node.signal.id)[-1] is node.signal


def test_a_long_chain_takes_no_recursion() -> None:
    """A chain of ten thousand causes is built, walked and rendered."""
    tree = causality_tree([caused(seq, seq - 1 if seq else None) for seq in range(10_000)])
    assert sum(1 for _ in tree.walk()) == 10_000
    assert len(tree.chain(signal_id(RUN_ID, 9_999))) == 10_000
    assert tree.render().count("\n") == 9_999


def test_the_text_of_a_tree() -> None:
    """Branches are drawn, activations are named, and consecutive deltas take one line."""
    signals = [
        caused(0, None, "harness:start"),
        caused(1, 0, "provider:start"),
        delta(2, "a"),
        delta(3, "b"),
        delta(4, "c"),
        signal(5, "provider:end", parent=signal_id(RUN_ID, 1), activation="analyzer#1", agent="analyzer"),
        signal(6, "text:complete", parent=signal_id(RUN_ID, 5), agent="analyzer"),
        caused(7, 0, "agent:skipped"),
        caused(8, None, "harness:end"),
    ]
    assert causality_tree(signals).render().splitlines() == [
        "0 harness:start",
        "├─ 1 provider:start",
        "│  ├─ 2-4 text:delta x 3 [analyzer#1]",
        "│  └─ 5 provider:end [analyzer#1]",
        "│     └─ 6 text:complete [analyzer]",
        "└─ 7 agent:skipped",
        "8 harness:end",
    ]
    assert causality_tree([]).render() == ""


async def test_a_recorded_run() -> None:
    """In a run of the harness, everything comes from what came from outside."""
    recording = await recorded_run()
    tree = causality_tree(recording.signals)
    assert len(tree) == len(recording.signals)
    assert {root.signal.name for root in tree.roots} <= {"harness:start", "harness:end"}
    written = next(found for found in recording.signals if found.name == "state:text:changed")
    names = [found.name for found in tree.chain(written.id)]
    assert names[0] == "harness:start"
    assert "analysis0:complete" in names
