"""How two sets of agents differ, by the fingerprints that stand in ``harness:start``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, cast

import attrs

from openharness.core.values import dump_json

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ("AgentChanges",)


@attrs.frozen(kw_only=True)
class AgentChanges:
    """How the agents of a run differ from those of its recording.

    Attributes:
        added: The agents that only the run has.
        removed: The agents that only the recording has.
        renamed: Recorded names and the new ones of agents that are wired as before; they are neither added nor removed.
        changed: The agents whose ``activate_on``, ``emits`` or ``updates`` differ.
        parts: Which of these three that is, for each agent of ``changed``.
        reordered: Whether those that both have are in another order, in which they would be asked.
    """

    added: tuple[str, ...] = ()
    removed: tuple[str, ...] = ()
    renamed: Mapping[str, str] = attrs.field(factory=dict[str, str])
    changed: tuple[str, ...] = ()
    parts: Mapping[str, tuple[str, ...]] = attrs.field(factory=dict[str, tuple[str, ...]])
    reordered: bool = False

    def __bool__(self) -> bool:
        """Tell whether there is any difference."""
        return any((self.added, self.removed, self.renamed, self.changed, self.reordered))

    def __str__(self) -> str:
        """Return the differences as phrases: ``agent 'editor' was added``."""
        return ", ".join(self._phrases())

    def _phrases(self) -> Iterator[str]:
        for name in self.added:
            yield f"agent {name!r} was added"
        for name in self.removed:
            yield f"agent {name!r} was removed"
        for old, new in self.renamed.items():
            yield f"agent {old!r} was renamed to {new!r}"
        for name in self.changed:
            parts = ", ".join(self.parts.get(name, ()))
            yield f"agent {name!r} is wired in another way{f' ({parts})' if parts else ''}"
        if self.reordered:
            yield "the order of the agents has changed"

    @classmethod
    def between(cls, recorded: object, actual: object) -> AgentChanges:
        """Return how two fingerprints of agent sets differ; nothing where one of them is none."""
        if not isinstance(recorded, dict) or not isinstance(actual, dict):
            return cls()
        one, other = cast("dict[str, Any]", recorded), cast("dict[str, Any]", actual)
        added = [name for name in other if name not in one]
        removed = [name for name in one if name not in other]
        renamed: dict[str, str] = {}
        for name in list(removed):
            # Only where there is no doubt: who is wired alike is not who was meant.
            alike = [new for new in added if dump_json(other[new]) == dump_json(one[name])]
            if len(alike) == 1 and len(removed) == len(added) == 1:
                renamed[name] = alike[0]
                added.remove(alike[0])
                removed.remove(name)
        common = [name for name in one if name in other]
        orders = [renamed.get(name, name) for name in one], list(other)
        kept = [name for name in orders[0] if name in orders[1]], [name for name in orders[1] if name in orders[0]]
        parts = {name: _parts(one[name], other[name]) for name in common}
        return cls(
            added=tuple(added),
            removed=tuple(removed),
            renamed=renamed,
            changed=tuple(name for name in common if dump_json(one[name]) != dump_json(other[name])),
            parts={name: found for name, found in parts.items() if found},
            reordered=kept[0] != kept[1],
        )


def _parts(recorded: object, actual: object) -> tuple[str, ...]:
    """The parts of one agent's fingerprint that differ."""
    if not isinstance(recorded, dict) or not isinstance(actual, dict):
        return ()
    one, other = cast("dict[str, Any]", recorded), cast("dict[str, Any]", actual)
    return tuple(key for key in dict.fromkeys([*one, *other]) if dump_json(one.get(key)) != dump_json(other.get(key)))
