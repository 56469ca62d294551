"""Which part of the code a difference comes of.

Two logs that were the same up to here go on with different signals. A step does everything in one order: it takes the
signals it has written one after the other; for each, first the reducers, then ``end_when``, then the agents in their
order. So of two signals that do not fit together the one belongs here that comes first in this order: if the run made
it, it is one too many, and if the recording has it, it is missing; at the same place, something was decided otherwise.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, Literal, cast

import attrs

from openharness.core.engine._drift._agents import AgentChanges
from openharness.core.engine._drift._kinds import DriftKind
from openharness.core.engine._drift._tools import compare_tools, limit_of_turns, tool_of, turn_order
from openharness.core.log import RESERVED_PREFIXES, is_arrival
from openharness.core.log import _names as names
from openharness.core.records import Signal
from openharness.core.values import dump_json

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from openharness.core.values import Difference

__all__ = ("Diagnosis", "diagnose")

_LAST: Final = 1 << 62
_AT_ONCE: Final = (-1, 0, 0)
_NEVER: Final = (_LAST, 0, 0)
_AT_FIRST, _TURN, _UPDATE, _COMPLETED, _EMITS, _REDUCER, _END_WHEN, _AGENT = range(8)
_MOST_CALLS: Final = 1 << 32
_DEALT_WITH: Final = frozenset(
    {
        names.AGENT_COMPLETED,
        names.TEXT_REJECTED,
        names.TOOL_START,
        names.TOOL_REJECTED,
        names.APPROVAL_REQUESTED,
        names.PROVIDER_START,
        names.AGENT_ERROR,
    }
)
_RANK: Final = {names.AGENT_COMPLETED: _COMPLETED, names.HARNESS_ENDING: _END_WHEN}
_RANK_OF_FAILURE: Final = {"update": _UPDATE, "reducer": _REDUCER, "end_when": _END_WHEN}
_DECISIONS: Final = frozenset({names.AGENT_ACTIVATED, names.AGENT_SKIPPED, names.AGENT_ERROR, names.HARNESS_LIMIT})
_CHOSEN: Final = {names.AGENT_ACTIVATED: "activated", names.AGENT_SKIPPED: "skipped"}
_KIND_OF_FAILURE: Final[dict[str, DriftKind]] = {
    "guard": "guard",
    "prompt": "prompt",
    "reducer": "reducer",
    "update": "update",
    "end_when": "end_when",
    "provider": "retries",
}
_MESSAGES: Final = "payload.request.messages"
_REQUEST: Final = "payload.request."
_OPTIONS: Final = {"output_schema": "the output type", "options": "a further parameter"}


@attrs.frozen
class Diagnosis:
    """What a difference is about.

    Attributes:
        kind: Which part of the code decides it.
        subject: That part by its name, as a phrase.
        reason: What is wrong, as a sentence without its full stop.
        agent: The agent it belongs to; None where it belongs to none.
        signal: The signal of the two that tells of it: the recorded one where that is missing, else the one that came.
    """

    kind: DriftKind
    subject: str
    reason: str
    agent: str | None = None
    signal: Signal | None = None


def diagnose(
    recorded: Signal | None,
    actual: Signal | None,
    *,
    differences: Sequence[Difference] = (),
    log: Sequence[Signal] = (),
    reducers: Callable[[str], Sequence[str]] | None = None,
) -> Diagnosis:
    """Return what the first difference of two logs is about.

    Args:
        recorded: The recorded signal; None where the recording, or its step, has none any more.
        actual: The run's; None where the step has caused all that it causes.
        differences: Where the two differ, if they have one name.
        log: What both have before.
        reducers: Tells the patterns of the run's reducers that take signals of a name.
    """
    found = _Case(log, reducers).diagnose(recorded, actual, differences)
    return found if found.signal is not None else attrs.evolve(found, signal=actual or recorded)


class _Case:
    """One difference, and what came before it."""

    def __init__(self, log: Sequence[Signal], reducers: Callable[[str], Sequence[str]] | None) -> None:
        self._log = log
        self._reducers = reducers
        start: object = log[0].payload if log else None
        agents = cast("dict[str, Any]", start).get("agents") if isinstance(start, dict) else None
        self._order = list(cast("dict[str, Any]", agents)) if isinstance(agents, dict) else []

    def diagnose(self, recorded: Signal | None, actual: Signal | None, differences: Sequence[Difference]) -> Diagnosis:
        """Return what the difference is about."""
        if recorded is None or actual is None:
            return self._one_sided(recorded, actual)
        if recorded.name == actual.name == names.HARNESS_START:
            return _beginning(recorded, actual, differences)
        places = self._place(recorded), self._place(actual)
        if places[0] < places[1]:
            return self._missing(recorded, actual)
        if places[1] < places[0]:
            return self._extra(actual, recorded)
        return self._decided_otherwise(recorded, actual, differences)

    def _one_sided(self, recorded: Signal | None, actual: Signal | None) -> Diagnosis:
        if recorded is not None:
            return self._missing(recorded, None)
        if actual is not None:
            return self._extra(actual, None)
        return Diagnosis("signal", "the run", "the run is not what was recorded")

    # The place of a signal in the order of its step.

    def _place(self, signal: Signal) -> tuple[int, int, int]:
        if is_arrival(signal):
            return _NEVER
        name, parent = signal.name, self._parent(signal)
        if name == names.HARNESS_END:
            return _NEVER if _get(signal, "status") == "completed" else _AT_ONCE
        turn = turn_order(signal)
        if turn is not None:
            # All of it follows from the arrival itself, whichever signal it answers.
            arrived = next((earlier.seq for earlier in reversed(self._log) if is_arrival(earlier)), -1)
            return arrived, _TURN, turn[0] * _MOST_CALLS + turn[1]
        if name == names.PROVIDER_START or _get(signal, "kind") in ("prompt", "provider"):
            # Asked at once if there is a slot, else at the end of a step.
            return _AT_ONCE if parent is None or parent.seq == len(self._log) - 1 else _NEVER
        position = -1 if parent is None else parent.seq
        rank, index = self._rank(signal, parent)
        return position, rank, index

    def _rank(self, signal: Signal, parent: Signal | None) -> tuple[int, int]:
        name, kind = signal.name, _get(signal, "kind")
        if name == names.AGENT_ERROR and kind in _RANK_OF_FAILURE:
            return _RANK_OF_FAILURE[kind], 0
        if name.startswith("state:"):
            after_answer = parent is not None and parent.name == names.PROVIDER_END
            return (_UPDATE if after_answer and not self._is_completed(signal) else _REDUCER), 0
        if name in _DECISIONS:
            agent = _get(signal, "agent")
            return _AGENT, self._order.index(agent) if agent in self._order else -1
        return _RANK.get(name, _AT_FIRST if name.split(":")[0] in RESERVED_PREFIXES else _EMITS), 0

    def _is_completed(self, change: Signal) -> bool:
        """Whether the answer that a change follows has been dealt with, so that only reducers are left to change it."""
        activation = change.source.activation
        return any(
            signal.name in _DEALT_WITH and signal.source.activation == activation
            for signal in reversed(self._log[_seq(change.source.parent) :])
        )

    def _parent(self, signal: Signal) -> Signal | None:
        seq = _seq(signal.source.parent)
        return self._log[seq] if 0 <= seq < len(self._log) else None

    # What it means.

    def _missing(self, recorded: Signal, actual: Signal | None) -> Diagnosis:
        return attrs.evolve(self._about(recorded, _told(recorded, actual), came=False), signal=recorded)

    def _extra(self, actual: Signal, recorded: Signal | None) -> Diagnosis:
        return self._about(actual, _told(recorded, actual), came=True)

    def _about(self, signal: Signal, told: str, *, came: bool, in_place: bool = False) -> Diagnosis:
        """Tell of a signal that is missing, or that came and was not recorded; or of one in the place of another."""
        if not in_place and signal.name == names.AGENT_ERROR and _get(signal, "kind") == "prompt":
            # A prompt that is another one has a request in this place; this one is asked for at another time.
            slot = self._slot(signal, came)
            return attrs.evolve(slot, reason=f"{slot.reason}: {told}")
        for tell in (
            self._arrival,
            self._end,
            self._change,
            self._answer,
            self._turn,
            self._failure,
            self._choice,
            self._sending,
            self._ending,
        ):
            found = tell(signal, came)
            if found is not None:
                return attrs.evolve(found, reason=f"{found.reason}: {told}")
        agent = signal.source.agent
        if signal.name.split(":")[0] not in RESERVED_PREFIXES and agent is not None:
            return Diagnosis("emits", f"emits of agent {agent!r}", told, agent)
        return Diagnosis("signal", f"signal {signal.name!r}", told, agent)

    def _arrival(self, signal: Signal, came: bool) -> Diagnosis | None:
        if came or not is_arrival(signal):
            return None
        agent = signal.source.agent
        if agent is not None:
            return Diagnosis(
                "unused", f"the answer to agent {agent!r}", f"an answer to agent {agent!r} is left over", agent
            )
        return Diagnosis(
            "unused", f"the signal {signal.name!r} from outside", f"{signal.name!r} from outside is left over"
        )

    def _end(self, signal: Signal, came: bool) -> Diagnosis | None:
        if signal.name != names.HARNESS_END:
            return None
        parent = self._parent(signal)
        # Where a function of the run has failed, there is no agent.
        agent = _get(parent, "agent") if parent is not None and parent.name == names.AGENT_ERROR else None
        if agent is not None and _get(signal, "status") != "completed":
            when = "ends the run now, and did not" if came else "ended the run when it was recorded, and does not now"
            subject = f"on_error of agent {agent!r}"
            return Diagnosis("on_error", subject, f"the failure of agent {agent!r} {when}, by {subject}", agent)
        reason = (
            "the run ends here, and went on when it was recorded" if came else "the run ended here, and goes on now"
        )
        return Diagnosis("signal", "the end of the run", reason)

    def _change(self, signal: Signal, came: bool) -> Diagnosis | None:
        if not signal.name.startswith("state:"):
            return None
        agent, where = signal.source.agent, f"state.{signal.name.split(':')[1]}"
        parent = self._parent(signal)
        when = "is changed here, and was not when it was recorded" if came else "was changed here, and is not now"
        rank, _ = self._rank(signal, parent)
        if rank == _UPDATE:
            subject = f"updates of agent {agent!r}"
            return Diagnosis("update", subject, f"{where} {when}, by {subject}", agent)
        subject = f"the reducer for {'a signal' if parent is None else repr(parent.name)}"
        return Diagnosis("reducer", subject, f"{where} {when}, by {subject}{self._now(parent)}", agent)

    def _now(self, trigger: Signal | None) -> str:
        if self._reducers is None or trigger is None:
            return ""
        patterns = ", ".join(repr(pattern) for pattern in self._reducers(trigger.name))
        return f" (the run has {patterns})" if patterns else " (the run has none)"

    def _answer(self, signal: Signal, came: bool) -> Diagnosis | None:
        if signal.name != names.TEXT_REJECTED:
            return None
        agent, told = signal.source.agent, _message(_get(signal, "error"))
        subject = f"the output type of agent {agent!r}"
        rejected = _when(came, "is rejected", "was rejected")
        return Diagnosis("output", subject, f"{subject}: an answer {rejected} ({told})", agent)

    def _turn(self, signal: Signal, came: bool) -> Diagnosis | None:
        """Tell of what becomes of the tools that a model asks for."""
        if turn_order(signal) is None:
            return None
        agent, name = signal.source.agent, signal.name
        if name == names.PROVIDER_START:
            subject = f"the next request of {signal.source.activation}"
            return Diagnosis("signal", subject, f"{subject} {_when(came, 'is sent', 'was sent')}", agent)
        if name == names.AGENT_ERROR:
            subject = f"{limit_of_turns(signal)} of agent {agent!r}"
            return Diagnosis("limit", subject, f"{subject} {_when(came, 'is reached', 'was reached')}", agent)
        tool = f"tool {tool_of(signal, self._log)!r} of agent {agent!r}"
        if name == names.TOOL_START:
            what = f"{tool} is started here, and waited" if came else f"{tool} was started here"
            reason = f"{what} when it was recorded" if came else f"{what}, and waits now"
            return Diagnosis("max_tool_concurrency", "max_tool_concurrency", f"{reason} (max_tool_concurrency)", agent)
        if name == names.TOOL_REJECTED:
            told = _message(_get(signal, "error"))
            subject = f"the parameters of {tool}"
            return Diagnosis(
                "tools", subject, f"{subject}: a call {_when(came, 'is rejected', 'was rejected')} ({told})", agent
            )
        if name == names.APPROVAL_REQUESTED:
            subject, does = f"needs_approval of {tool}", ("waits for a person", "waited for a person")
        else:
            subject = f"idempotent of {tool}"
            again = ("is run again", "was run again")
            does = again if name == names.TOOL_RESTART else ("is not run again", "was not run again")
        return Diagnosis("tools", subject, f"{subject}: a call {_when(came, *does)}", agent)

    def _failure(self, signal: Signal, came: bool) -> Diagnosis | None:
        if signal.name != names.AGENT_ERROR:
            return None
        agent, kind = signal.source.agent or _get(signal, "agent"), str(_get(signal, "kind"))
        when = (
            "fails here, and did not when it was recorded" if came else "failed when it was recorded, and does not now"
        )
        subject = _part(kind, agent)
        reason = f"{subject} {when} ({_get(signal, 'message')})"
        return Diagnosis(_KIND_OF_FAILURE.get(kind, "signal"), subject, reason, agent)

    def _choice(self, signal: Signal, came: bool) -> Diagnosis | None:
        if signal.name not in _CHOSEN:
            return None
        agent, chosen = _get(signal, "agent"), _CHOSEN[signal.name]
        reason = (
            f"agent {agent!r} is {chosen} where it was not asked when it was recorded"
            if came
            else f"agent {agent!r} was {chosen} when it was recorded, and is not asked now"
        )
        subject = f"the guard of agent {agent!r}"
        return Diagnosis("guard", subject, f"{reason}, by {subject}", agent)

    def _sending(self, signal: Signal, came: bool) -> Diagnosis | None:
        if signal.name != names.PROVIDER_START or _get(signal, "attempt") != 0:
            return None
        return self._slot(signal, came)

    def _slot(self, signal: Signal, came: bool) -> Diagnosis:
        when = "is sent here, and waited when it was recorded" if came else "was sent here, and waits now"
        reason = f"the request of {signal.source.activation} {when} (max_concurrency)"
        return Diagnosis("max_concurrency", "max_concurrency", reason, signal.source.agent)

    def _ending(self, signal: Signal, came: bool) -> Diagnosis | None:
        when = "here, and was not when it was recorded" if came else "when it was recorded, and is not now"
        was = "is" if came else "was"
        if signal.name == names.HARNESS_ENDING:
            return Diagnosis("end_when", "end_when", f"end_when {was} true {when}")
        if signal.name == names.HARNESS_LIMIT:
            limit = str(_get(signal, "limit"))
            return Diagnosis("limit", limit, f"{limit} {was} reached {when}", signal.source.agent)
        return None

    def _decided_otherwise(self, recorded: Signal, actual: Signal, differences: Sequence[Difference]) -> Diagnosis:
        if recorded.name != actual.name:
            return self._other_name(recorded, actual)
        if actual.name == names.PROVIDER_START:
            return _request(recorded, actual, differences)
        agent = actual.source.agent or recorded.source.agent
        reason = f"{actual.name!r} is not what was recorded"
        if actual.name == names.AGENT_SKIPPED:
            return Diagnosis("guard", f"the guard of agent {agent!r}", reason, agent)
        known = self._about(actual, "", came=True, in_place=True)
        if known.kind == "reducer":
            return attrs.evolve(known, reason=f"{reason}, by {known.subject}{self._now(self._parent(actual))}")
        return attrs.evolve(known, reason=f"{reason}, by {known.subject}" if known.kind != "signal" else reason)

    def _other_name(self, recorded: Signal, actual: Signal) -> Diagnosis:
        told = _told(recorded, actual)
        for telling in (names.AGENT_ERROR, names.HARNESS_LIMIT):
            if telling in (actual.name, recorded.name):
                came = actual.name == telling
                same = actual.source.activation == recorded.source.activation
                return self._about(actual if came else recorded, told, came=came, in_place=same)
        if actual.name in _CHOSEN and recorded.name in _CHOSEN:
            agent = _get(actual, "agent")
            subject = f"the guard of agent {agent!r}"
            reason = f"agent {agent!r} was {_CHOSEN[actual.name]} where it was {_CHOSEN[recorded.name]} when recorded"
            return Diagnosis("guard", subject, f"{reason}, by {subject}: {told}", agent)
        return self._about(actual, told, came=True)


def _beginning(recorded: Signal, actual: Signal, differences: Sequence[Difference]) -> Diagnosis:
    agents = AgentChanges.between(_get(recorded, "agents"), _get(actual, "agents"))
    parts: list[tuple[DriftKind, str, str]] = []
    if agents:
        parts.append(("agents", "the agents", str(agents)))
    if any(difference.path.startswith("payload.state") for difference in differences):
        parts.append(("initial_state", "the initial state", "the initial state is not the recorded one"))
    if any(difference.path.startswith("payload.input") for difference in differences):
        parts.append(("input", "the input", "the input is not the recorded one"))
    if not parts:
        parts.append(("start", "the beginning of the run", "'harness:start' is not what was recorded"))
    only = [*agents.added, *agents.removed, *agents.renamed.values(), *agents.changed]
    return Diagnosis(
        parts[0][0],
        " and ".join(subject for _, subject, _ in parts),
        ", and ".join(reason for _, _, reason in parts),
        only[0] if len(only) == 1 and not agents.reordered else None,
    )


def _request(recorded: Signal, actual: Signal, differences: Sequence[Difference]) -> Diagnosis:
    agent, other = actual.source.agent, recorded.source.agent
    if actual.source.activation != recorded.source.activation:
        reason = f"{actual.source.activation} asks where {recorded.source.activation} asked (max_concurrency)"
        return Diagnosis("max_concurrency", "max_concurrency", reason, agent)
    paths = [difference.path for difference in differences]
    requests = [cast("dict[str, Any]", _get(signal, "request")) for signal in (recorded, actual)]
    said_before = _said_before(recorded, actual, paths)
    if said_before is not None:
        subject = f"{said_before} of agent {agent!r}"
        return Diagnosis(said_before, subject, f"{subject} is not what was recorded", agent)
    if any(path.startswith(_MESSAGES) for path in paths):
        kind, what = _said(*map(_messages, requests))
        subject = f"{what} agent {agent!r}"
        return Diagnosis(kind, subject, f"{subject} is not what was recorded", agent)
    if any(path.startswith(f"{_REQUEST}tools") for path in paths):
        return Diagnosis("tools", *compare_tools(agent, *(request.get("tools") for request in requests)), agent)
    options = [path.removeprefix(_REQUEST).split("[")[0].split(".")[0] for path in paths if path.startswith(_REQUEST)]
    if options:
        told = [_OPTIONS.get(option, option) for option in dict.fromkeys(options)]
        subject = f"{', '.join(told)} of agent {agent!r}"
        changed: DriftKind = "output" if set(options) == {"output_schema"} else "parameters"
        return Diagnosis(changed, subject, f"{subject} is not what was recorded", agent)
    subject = f"the request of agent {agent or other!r}"
    return Diagnosis("signal", subject, f"{subject} is not what was recorded", agent)


def _said_before(recorded: Signal, actual: Signal, paths: Sequence[str]) -> Literal["examples", "history"] | None:
    """What of that which stands before the prompt of an activation differs; None where nothing does."""
    if dump_json(_examples(recorded)) != dump_json(_examples(actual)):
        return "examples"
    return "history" if any(path.startswith("payload.history") for path in paths) else None


def _examples(signal: Signal) -> list[Any]:
    """The worked examples in the first request of an activation, which stand before its prompt; none in later ones."""
    # In a damaged recording anything may stand there.
    call, request = _get(signal, "call"), cast("object", _get(signal, "request"))
    messages: object = cast("dict[str, Any]", request).get("messages") if isinstance(request, dict) else None
    if not isinstance(call, str) or call.split("/")[1:2] != ["0"] or not isinstance(messages, list):
        return []
    listed = cast("list[object]", messages)
    said: list[Any] = [
        one for one in listed if not isinstance(one, dict) or cast("dict[str, Any]", one).get("role") != "system"
    ]
    history: object = _get(signal, "history")
    if not isinstance(history, dict):
        return said[:-1]
    count: object = cast("dict[str, Any]", history).get("examples", 0)
    return said[: count if isinstance(count, int) else 0]


def _messages(request: dict[str, Any]) -> dict[str, list[Any]]:
    """The messages of a request by who says them."""
    found: dict[str, list[Any]] = {}
    messages: object = request.get("messages")
    for message in cast("list[object]", messages) if isinstance(messages, list) else []:
        role = cast("dict[str, Any]", message).get("role") if isinstance(message, dict) else None
        found.setdefault(str(role), []).append(message)
    return found


def _said(recorded: dict[str, list[Any]], actual: dict[str, list[Any]]) -> tuple[DriftKind, str]:
    """What of a conversation differs."""
    roles = {
        role for role in [*recorded, *actual] if dump_json(recorded.get(role, [])) != dump_json(actual.get(role, []))
    }
    told = [what for role, what in (("user", "the prompt"), ("system", "the system prompt")) if role in roles]
    if told:
        return "prompt", f"{' and '.join(told)} of"
    results = [
        other.get("tool_call_id")
        for one, other in zip(recorded.get("tool", []), actual.get("tool", []), strict=False)
        if dump_json(one) != dump_json(other)
    ]
    calls = [call for message in actual.get("assistant", []) for call in message.get("tool_calls", ())]
    # Vendors may call the calls of every turn alike; then each of these names may be meant.
    tools = dict.fromkeys(repr(call.get("name")) for call in calls if call.get("id") in results)
    return ("tools", f"what tool {' or '.join(tools)} told") if tools else ("prompt", "the conversation of")


def _when(came: bool, now: str, then: str) -> str:
    """Tell of what happens in one of the two runs only."""
    return f"{now} here, and was not when it was recorded" if came else f"{then} here when it was recorded, not now"


def _told(recorded: Signal | None, actual: Signal | None) -> str:
    if recorded is None:
        return f"the recording has ended, and the run goes on with {'' if actual is None else actual.name!r}"
    if actual is None:
        return f"the recording has {recorded.name!r} here, and the run caused nothing more"
    return f"the recording has {recorded.name!r} here, and the run made {actual.name!r}"


def _part(kind: str, agent: object) -> str:
    what = {"guard": "the guard", "prompt": "the prompt", "update": "updates", "provider": "the provider"}.get(kind)
    if what is None:
        return "end_when" if kind == "end_when" else f"a {kind}"
    return f"{what} of agent {agent!r}"


def _get(signal: Signal, key: str) -> Any:
    payload: object = signal.payload
    return cast("dict[str, Any]", payload).get(key) if isinstance(payload, dict) else None


def _message(error: object) -> object:
    return cast("dict[str, Any]", error).get("message") if isinstance(error, dict) else None


def _seq(signal_id: str | None) -> int:
    text = (signal_id or "").rpartition("/")[2]
    return int(text) if text.isascii() and text.isdigit() else -1
