"""What caused what: the signals of a run as a tree, whose roots came from outside."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Final

import attrs

from openharness.core.log import STREAMING
from openharness.core.records import Signal

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ("CausalityNode", "CausalityTree", "causality_tree")

_LEAST_FOLDED: Final = 2


@attrs.frozen(eq=False, repr=False)
class CausalityNode:
    """A signal and what it caused.

    Attributes:
        signal: The signal.
        children: The signals it caused, in order of `Signal.seq`.
    """

    signal: Signal
    children: Sequence[CausalityNode]

    def __repr__(self) -> str:
        """Name the signal; the whole tree below would fill a screen."""
        return f"CausalityNode({self.signal.name!r}, seq={self.signal.seq}, {len(self.children)} children)"

    def walk(self) -> Iterator[CausalityNode]:
        """Yield this node and all below it, each before its children."""
        waiting: list[CausalityNode] = [self]
        while waiting:
            node = waiting.pop()
            yield node
            waiting.extend(reversed(node.children))


@attrs.frozen(eq=False, repr=False)
class CausalityTree:
    """The signals of a run, or of a part of one, by what caused them.

    Attributes:
        roots: The signals that nothing among them caused: what came from outside, in order of `Signal.seq`.
    """

    roots: Sequence[CausalityNode]
    _nodes: dict[str, CausalityNode] = attrs.field(alias="nodes")

    def __repr__(self) -> str:
        """Say how large it is."""
        return f"CausalityTree({len(self._nodes)} signals, {len(self.roots)} roots)"

    def __len__(self) -> int:
        """The number of signals."""
        return len(self._nodes)

    def walk(self) -> Iterator[CausalityNode]:
        """Yield all nodes, each before its children."""
        for root in self.roots:
            yield from root.walk()

    def node(self, signal_id: str) -> CausalityNode | None:
        """Return the node of a signal, or None if the tree does not hold it."""
        return self._nodes.get(signal_id)

    def chain(self, signal_id: str) -> list[Signal]:
        """Return how it came to a signal: from the root to the signal itself. Empty if the tree does not hold it."""
        chain: list[Signal] = []
        node = self._nodes.get(signal_id)
        while node is not None:
            chain.append(node.signal)
            parent = node.signal.source.parent
            above = None if parent is None else self._nodes.get(parent)
            # The rule of `causality_tree`: a cause comes before what it causes.
            node = above if above is not None and above.signal.seq < node.signal.seq else None
        return chain[::-1]

    def render(self) -> str:
        """Return the tree as text, one signal a line; streamed text that belongs together takes one line."""
        lines: list[str] = []
        for root in self.roots:
            _render(root, lines)
        return "\n".join(lines)


def causality_tree(signals: Iterable[Signal]) -> CausalityTree:
    """Return signals as a tree of causes.

    A signal without a parent is a root, and so is one whose parent is not among the signals, or does not come before it.

    Args:
        signals: Signals of one run, in order of `Signal.seq`.
    """
    nodes: dict[str, CausalityNode] = {}
    children: dict[str, list[CausalityNode]] = {}
    roots: list[CausalityNode] = []
    for signal in signals:
        below: list[CausalityNode] = []
        node = CausalityNode(signal, below)
        parent = signal.source.parent
        # What causes a signal comes before it, so that nothing can be its own cause.
        siblings = children.get(parent) if parent is not None else None
        (roots if siblings is None else siblings).append(node)
        nodes[signal.id] = node
        children[signal.id] = below
    return CausalityTree(roots, nodes)


def _render(root: CausalityNode, lines: list[str]) -> None:
    waiting: list[tuple[Sequence[CausalityNode], str, str]] = [((root,), "", "")]
    while waiting:
        group, indent, branch = waiting.pop()
        lines.append(f"{indent}{branch}{_label(group)}")
        inner = indent + {"": "", "├─ ": "│  ", "└─ ": "   "}[branch]
        groups = _grouped(group[-1].children)
        for index, below in reversed(list(enumerate(groups))):
            waiting.append((below, inner, "└─ " if index == len(groups) - 1 else "├─ "))


def _grouped(nodes: Sequence[CausalityNode]) -> list[list[CausalityNode]]:
    groups: list[list[CausalityNode]] = []
    for node in nodes:
        if groups and node.signal.name in STREAMING and not node.children:
            last = groups[-1][-1]
            if last.signal.name == node.signal.name and not last.children:
                groups[-1].append(node)
                continue
        groups.append([node])
    return groups


def _label(group: Sequence[CausalityNode]) -> str:
    first, last = group[0].signal, group[-1].signal
    who = f" [{first.source.activation or first.source.agent}]" if first.source.activation or first.source.agent else ""
    if len(group) >= _LEAST_FOLDED:
        return f"{first.seq}-{last.seq} {first.name} x {len(group)}{who}"
    return f"{first.seq} {first.name}{who}"
