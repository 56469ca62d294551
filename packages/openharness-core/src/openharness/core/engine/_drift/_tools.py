"""How the tools of a request differ from the recorded ones, and what the signals of tools tell of the code."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

from openharness.core.log import _names as names
from openharness.core.values import dump_json

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from openharness.core.records import Signal

__all__ = ("compare_tools", "limit_of_turns", "tool_of", "turn_order")


def compare_tools(agent: str | None, recorded: object, actual: object) -> tuple[str, str]:
    """Return what of an agent's tools has changed, as a phrase, and how, as a sentence without its full stop.

    Args:
        agent: The agent.
        recorded: The tools of the recorded request.
        actual: The tools of the request that came.
    """
    one, other = _by_name(recorded), _by_name(actual)
    parts = list(_parts(f"of agent {agent!r}", one, other))
    if not parts:
        # Nothing that a tool is made of; a request that somebody else wrote may have it.
        subject = f"the tools of agent {agent!r}"
        return subject, f"{subject} are not what was recorded"
    return " and ".join(dict.fromkeys(subject for subject, _ in parts)), ", ".join(
        f"{subject} {verb}" for subject, verb in parts
    )


def _parts(whose: str, one: dict[str, Any], other: dict[str, Any]) -> Iterator[tuple[str, str]]:
    added, removed = ([name for name in these if name not in those] for these, those in ((other, one), (one, other)))
    if len(added) == len(removed) == 1 and _alike(one[removed[0]], other[added[0]]):
        yield f"tool {removed[0]!r} {whose}", f"was renamed to {added[0]!r}"
        added, removed = [], []
    for name in added:
        yield f"tool {name!r} {whose}", "was added"
    for name in removed:
        yield f"tool {name!r} {whose}", "was removed"
    common = [name for name in one if name in other]
    for name in common:
        for key in dict.fromkeys([*one[name], *other[name]]):
            if dump_json(one[name].get(key)) != dump_json(other[name].get(key)):
                number = "are" if key == "parameters" else "is"
                yield f"the {key} of tool {name!r} {whose}", f"{number} not what was recorded"
    if common != [name for name in other if name in one]:
        yield f"the order of the tools {whose}", "has changed"


def _by_name(tools: object) -> dict[str, Any]:
    listed = cast("list[object]", tools) if isinstance(tools, list) else []
    found = [cast("dict[str, Any]", tool) for tool in listed if isinstance(tool, dict)]
    return {str(tool.get("name")): tool for tool in found}


def _alike(one: dict[str, Any], other: dict[str, Any]) -> bool:
    return dump_json({**one, "name": None}) == dump_json({**other, "name": None})


def tool_of(signal: Signal, log: Sequence[Signal]) -> str | None:
    """Return the name of the tool that a signal of a call tells of; None where nothing says it.

    Args:
        signal: A signal whose payload has the call as ``tool_call``.
        log: The signals before it.
    """
    payload = _payload(signal)
    if isinstance(payload.get("name"), str):
        return cast("str", payload["name"])
    call = payload.get("tool_call")
    for earlier in reversed(log):
        if earlier.name == names.TOOL_START and _payload(earlier).get("tool_call") == call:
            name: object = _payload(earlier).get("name")
            return name if isinstance(name, str) else None
    return None


def turn_order(signal: Signal) -> tuple[int, int] | None:
    """Return when in its step a signal comes that tells how an activation goes on; None for every other signal.

    First of all an activation may be out of turns, or its answer may not be of the right type. Then each call is looked
    at in order: it is rejected, or a person is asked, or what had begun before a crash is taken up. Then tools are
    started. Then the next request is sent, or the model has done once too often what it was told it cannot.
    """
    payload, name = _payload(signal), signal.name
    if name == names.TEXT_REJECTED:
        return 0, 0
    if name == names.AGENT_ERROR and payload.get("kind") in ("tools", "output"):
        return (0 if limit_of_turns(signal) == "max_turns" else 3), 0
    if name in (names.TOOL_REJECTED, names.APPROVAL_REQUESTED, names.TOOL_RESTART, names.TOOL_UNKNOWN):
        index = str(payload.get("tool_call")).rpartition("/")[2]
        return 1, int(index) if index.isascii() and index.isdigit() else 0
    if name == names.TOOL_START:
        return 2, 0
    if name == names.PROVIDER_START:
        turn, _, attempt = str(payload.get("call")).rpartition("/")
        return (3, 0) if attempt == "0" and not turn.endswith("/0") else None
    return None


def limit_of_turns(signal: Signal) -> str:
    """Return which limit of an agent an ``agent:error`` of the kind ``tools`` or ``output`` tells of."""
    if _payload(signal).get("kind") == "output":
        return "output_retries"
    return "max_turns" if "max_turns=" in str(_payload(signal).get("message")) else "tool_retries"


def _payload(signal: Signal) -> dict[str, Any]:
    payload: object = signal.payload
    return cast("dict[str, Any]", payload) if isinstance(payload, dict) else {}
