"""What a log means: the state of a run, and what it is waiting for, after any number of its signals."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, Literal, TypeAlias, cast

import attrs

from openharness.core.errors import SerializationError
from openharness.core.log import _names as names
from openharness.core.log._changes import Change, apply_change
from openharness.core.log._conversation import Exchange, exchange_of
from openharness.core.values import JSONObject, JSONValue

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from typing import Self

    from openharness.core.records import Signal

__all__ = ("AgentTotals", "OpenActivation", "OpenCall", "OpenToolCall", "RunFold", "ToolCallStatus")

ToolCallStatus: TypeAlias = Literal["called", "waiting", "approved", "running", "ended"]
"""``called``: the model asked for it. ``waiting``: for a person's approval. ``approved``: a person has agreed.
``running``: it was started. ``ended``: there is a result, or a reason why there is none."""

_UNFIT: Final = frozenset({"unknown_tool", "arguments"})


@attrs.define
class OpenCall:
    """A request that was sent and not answered yet.

    Attributes:
        id: The call: ``"analyzer#1/0/0"``.
        activation: The activation it works for.
        started: The seq of its ``provider:start``.
        text: The text that has arrived, in pieces.
        thinking: The reasoning that has arrived, in pieces.
        tool_calls: The payloads of its ``tool:call`` signals.
        tool_call_seqs: The seqs of these signals.
    """

    id: str
    activation: str
    started: int
    text: list[str]
    thinking: list[str]
    tool_calls: list[JSONValue]
    tool_call_seqs: list[int]

    def copy(self) -> OpenCall:
        """Return an independent copy."""
        return attrs.evolve(
            self,
            text=[*self.text],
            thinking=[*self.thinking],
            tool_calls=[*self.tool_calls],
            tool_call_seqs=[*self.tool_call_seqs],
        )


@attrs.define
class OpenToolCall:
    """A call of a tool, in the turn of an activation that has not gone on to the next one yet.

    Attributes:
        id: The call: ``"analyzer#1/0/2"`` is the third one of the first turn.
        activation: The activation it works for.
        name: The tool's name.
        provider_id: The vendor's id of the call.
        arguments: What the model sent.
        called: The seq of its ``tool:call``.
        status: How far it is.
        started: The seq of its ``tool:start``; None before.
        result: What the tool returned, once it has ended; None where it has failed.
        error: Why there is no result, with ``kind`` and ``message``; None where there is one.
    """

    id: str
    activation: str
    name: str
    provider_id: str
    arguments: JSONValue
    called: int
    status: ToolCallStatus = "called"
    started: int | None = None
    result: JSONValue = None
    error: JSONObject | None = None


@attrs.define
class OpenActivation:
    """An activation that has begun and not ended.

    Attributes:
        id: The activation: ``"analyzer#1"``.
        agent: The agent's name.
        depth: How many activations caused one another to lead here, this one included.
        activated: The seq of its ``agent:activated``.
        trigger: The id of the signal that activated the agent.
        tool_calls: The tools that the answer of this turn asks for, by id, in the order of the calls.
        request: The request as it stands in the log; None while it waits for a slot.
        provider: The `Provider.type` it was sent to; None likewise.
        turn: The turn it is in, from 0: each begins with a request, and ends with the results of the tools that the
            answer asks for.
        attempt: The attempt that is running or that failed last, from 0.
        waits_for_retry: Whether the last attempt failed and the next one is due.
        answer: The answer of this turn, once it is there.
        unfit_turns: How many turns before this one, in a row, had calls that could not be made.
        rejections: How many of its answers did not fit the type of the agent's output.
        history: How many of the request's messages, but the system prompt, are older than the activation: worked
            examples and what earlier activations have said. None where the agent keeps no history.
    """

    id: str
    agent: str
    depth: int
    activated: int
    trigger: str | None
    tool_calls: dict[str, OpenToolCall]
    request: JSONObject | None = None
    provider: str | None = None
    turn: int = 0
    attempt: int = 0
    waits_for_retry: bool = False
    answer: JSONObject | None = None
    unfit_turns: int = 0
    rejections: int = 0
    history: int | None = None

    @property
    def is_unfit(self) -> bool:
        """Whether this turn has calls that could not be made: of an unknown tool, or with arguments that do not fit."""
        return any(call.error is not None and call.error["kind"] in _UNFIT for call in self.tool_calls.values())

    def copy(self) -> OpenActivation:
        """Return an independent copy."""
        return attrs.evolve(self, tool_calls={key: attrs.evolve(call) for key, call in self.tool_calls.items()})


@attrs.define(weakref_slot=False)
class AgentTotals:
    """What an agent has done so far.

    Attributes:
        activations: How often it was activated.
        skipped: How often it was not, although a signal matched.
        errors: How many of its activations failed.
        provider_calls: Requests sent, retries included.
        retries: Requests sent again.
        input_tokens: Tokens of the requests.
        output_tokens: Tokens of the answers.
        cached_tokens: Input tokens that were read from a cache.
        cost: In US dollars, as far as providers told.
        tool_calls: Tools started.
        tool_errors: Calls of tools that failed, were not made, or whose outcome is unknown.
    """

    activations: int = 0
    skipped: int = 0
    errors: int = 0
    provider_calls: int = 0
    retries: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    cached_tokens: int = 0
    cost: float = 0.0
    tool_calls: int = 0
    tool_errors: int = 0


@attrs.define
class RunFold:
    """The state and the bookkeeping of a run after the signals applied so far.

    It depends on nothing but these signals and runs no code of the user's. The harness keeps its own books with it, so
    what `Player`, resume and fork read from a log is what the run itself knew.

    Attributes:
        count: How many signals were applied.
        state: The state as a JSON value. Never changed in place: keeping a reference is keeping that state.
        input: The run's input.
        seed: The seed of the run's randomness.
        agents: The fingerprint of the agent set.
        started_at: The time of ``harness:start`` in milliseconds since the epoch; None before it.
        last_at: The time of the last signal.
        calls: The open calls by id.
        activations: The open activations by id, in the order in which they began.
        activation_count: How many activations there were.
        totals: What each agent has done, by name.
        conversations: What the activations of each agent that keeps a history have said, by name, oldest first.
        ending: Whether ``end_when`` has stopped new activations.
        finished: Whether the run was told that nothing more comes from outside.
        awaited: How many of the signals that the run was given when it was resumed or forked have not come yet.
        end: The payload of ``harness:end``; None while the run goes on.
    """

    count: int = 0
    state: JSONObject = attrs.field(factory=dict[str, "JSONValue"])
    input: JSONValue = None
    seed: int = 0
    agents: JSONValue = None
    started_at: int | None = None
    last_at: int = 0
    calls: dict[str, OpenCall] = attrs.field(factory=dict[str, OpenCall])
    activations: dict[str, OpenActivation] = attrs.field(factory=dict[str, OpenActivation])
    activation_count: int = 0
    totals: dict[str, AgentTotals] = attrs.field(factory=dict[str, AgentTotals])
    conversations: dict[str, tuple[Exchange, ...]] = attrs.field(factory=dict[str, "tuple[Exchange, ...]"])
    ending: bool = False
    finished: bool = False
    awaited: int = 0
    end: JSONObject | None = None

    @classmethod
    def of(cls, signals: Iterable[Signal]) -> Self:
        """Return the fold of a log, or of the beginning of one."""
        fold = cls()
        for signal in signals:
            fold.apply(signal)
        return fold

    def apply(self, signal: Signal) -> None:
        """Take the next signal of the log into account. Signals without a meaning of their own only count.

        Raises:
            SerializationError: The signal cannot follow on the ones before it: this is no log of ours.
        """
        try:
            handler = _HANDLERS.get(signal.name)
            if handler is not None:
                handler(self, signal)
            elif signal.name.startswith("state:"):
                payload = signal.payload
                path = tuple(payload["path"])
                self.state = _checked_object(
                    apply_change(self.state, Change(path, payload["operation"], payload["value"]))
                )
            else:
                _arrived(self, signal)
        except (KeyError, TypeError, AttributeError) as error:
            reason = f"it does not fit the log before it ({error!r})"
            where = f"signal {signal.seq} ({signal.name})"
            raise SerializationError(where, value=signal.payload, reason=reason, verb="read") from error
        self.count += 1
        self.last_at = signal.timestamp

    def copy(self) -> RunFold:
        """Return an independent copy; the state itself is shared, as it never changes in place."""
        return attrs.evolve(
            self,
            calls={key: call.copy() for key, call in self.calls.items()},
            activations={key: activation.copy() for key, activation in self.activations.items()},
            totals={key: attrs.evolve(totals) for key, totals in self.totals.items()},
            conversations={**self.conversations},
        )

    def tool_call(self, id_: object) -> OpenToolCall | None:
        """Return the call of a tool by its id; None where no activation is in the turn that made it."""
        if not isinstance(id_, str):
            return None
        activation = self.activations.get(id_.rpartition("/")[0].rpartition("/")[0])
        return None if activation is None else activation.tool_calls.get(id_)

    def totals_of(self, agent: str) -> AgentTotals:
        """Return the totals of an agent, all zero if it was never activated."""
        totals = self.totals.get(agent)
        if totals is None:
            totals = self.totals[_checked_name(agent)] = AgentTotals()
        return totals


def _checked_name(value: Any) -> str:
    if type(value) is not str:
        raise TypeError(f"it must be a text, got {value!r}")
    return value


def _checked_object(value: Any) -> JSONObject:
    if type(value) is not dict:
        raise TypeError(f"it must be an object, got {value!r}")
    return cast("JSONObject", value)


def _checked_count(value: Any) -> int:
    if type(value) is not int or value < 0:
        raise TypeError(f"it must be a number from 0 on, got {value!r}")
    return value


def _start(fold: RunFold, signal: Signal) -> None:
    payload = signal.payload
    fold.state = _checked_object(payload["state"])
    fold.input = payload["input"]
    fold.seed = payload["seed"]
    fold.agents = payload["agents"]
    fold.started_at = signal.timestamp


def _activated(fold: RunFold, signal: Signal) -> None:
    payload = signal.payload
    name, activation = payload["agent"], _checked_name(payload["activation"])
    fold.activation_count += 1
    fold.totals_of(name).activations += 1
    fold.activations[activation] = OpenActivation(
        activation, name, payload["depth"], signal.seq, signal.source.parent, {}
    )


def _skipped(fold: RunFold, signal: Signal) -> None:
    fold.totals_of(signal.payload["agent"]).skipped += 1


def _provider_start(fold: RunFold, signal: Signal) -> None:
    payload, source = signal.payload, signal.source
    call, attempt = payload["call"], payload["attempt"]
    key: Any = source.activation
    activation = fold.activations[key]
    totals = fold.totals_of(activation.agent)
    totals.provider_calls += 1
    if attempt > 0:
        totals.retries += 1
    elif attempt == 0 and activation.request is not None:
        activation.unfit_turns = activation.unfit_turns + 1 if activation.is_unfit else 0
        activation.turn += 1
    activation.answer = None
    if activation.tool_calls:
        activation.tool_calls = {}
    activation.request = payload["request"]
    activation.provider = source.provider
    activation.attempt = attempt
    activation.waits_for_retry = False
    if "history" in payload:
        history = payload["history"]
        examples = _checked_count(history["examples"]) if "examples" in history else 0
        activation.history = examples + _checked_count(history["messages"])
        # What was left out once is never taken up again.
        dropped = _checked_count(history["dropped"])
        fold.conversations[activation.agent] = fold.conversations.get(activation.agent, ())[dropped:]
    fold.calls[call] = OpenCall(call, activation.id, signal.seq, [], [], [], [])


def _text(fold: RunFold, signal: Signal) -> None:
    fold.calls[signal.payload["call"]].text.append(signal.payload["text"])


def _thinking(fold: RunFold, signal: Signal) -> None:
    fold.calls[signal.payload["call"]].thinking.append(signal.payload["text"])


def _tool_call(fold: RunFold, signal: Signal) -> None:
    call = fold.calls[signal.payload["call"]]
    call.tool_calls.append(signal.payload)
    call.tool_call_seqs.append(signal.seq)


def _provider_end(fold: RunFold, signal: Signal) -> None:
    payload = signal.payload
    output: dict[str, Any] = payload["output"]
    call = fold.calls.pop(payload["call"])
    activation = fold.activations[call.activation]
    totals = fold.totals_of(activation.agent)
    activation.answer = output
    if call.tool_calls:
        for index, (asked, seq) in enumerate(zip(call.tool_calls, call.tool_call_seqs, strict=True)):
            id_ = f"{activation.id}/{activation.turn}/{index}"
            details = cast("dict[str, Any]", asked)
            activation.tool_calls[id_] = OpenToolCall(
                id_, activation.id, details["name"], details["id"], details["arguments"], seq
            )
    usage: dict[str, Any] = output.get("usage") or {}
    totals.input_tokens += usage.get("input_tokens") or 0
    totals.output_tokens += usage.get("output_tokens") or 0
    totals.cached_tokens += usage.get("cached_tokens") or 0
    totals.cost += usage.get("cost") or 0.0


def _rejected(fold: RunFold, signal: Signal) -> None:
    fold.activations[cast("str", signal.source.activation)].rejections += 1


def _provider_error(fold: RunFold, signal: Signal) -> None:
    call = fold.calls.pop(signal.payload["call"])
    fold.activations[call.activation].waits_for_retry = True


def _restart(fold: RunFold, signal: Signal) -> None:
    call = fold.calls[signal.payload["call"]]
    for pieces in (call.text, call.thinking, call.tool_calls, call.tool_call_seqs):
        pieces.clear()


def _resumed(fold: RunFold, signal: Signal) -> None:
    given = signal.payload.get("signals", 0)
    fold.awaited = given if type(given) is int else 0


def _forked(fold: RunFold, signal: Signal) -> None:
    _resumed(fold, signal)
    # What was asked is asked again, by the agents as they are now.
    fold.calls.clear()
    for activation in fold.activations.values():
        activation.request = None
        activation.provider = None
        activation.turn = activation.attempt = activation.unfit_turns = activation.rejections = 0
        activation.waits_for_retry = False
        activation.answer = None
        activation.tool_calls = {}
        activation.history = None


def _tool_start(fold: RunFold, signal: Signal) -> None:
    call = _open_tool_call(fold, signal)
    call.status = "running"
    call.started = signal.seq
    fold.totals_of(fold.activations[call.activation].agent).tool_calls += 1


def _tool_ended(fold: RunFold, signal: Signal) -> None:
    call = _open_tool_call(fold, signal)
    call.status = "ended"
    call.result = signal.payload.get("result")
    call.error = signal.payload.get("error")
    if call.error is not None:
        fold.totals_of(fold.activations[call.activation].agent).tool_errors += 1


def _open_tool_call(fold: RunFold, signal: Signal) -> OpenToolCall:
    id_ = signal.payload["tool_call"]
    call = fold.tool_call(id_)
    if call is None:
        raise KeyError(id_)
    return call


def _arrived(fold: RunFold, signal: Signal) -> None:
    """Count the signals that the run was given and waits for."""
    if fold.awaited and signal.source.parent is None:
        fold.awaited -= 1


def _approval(fold: RunFold, signal: Signal) -> None:
    _arrived(fold, signal)
    # These names are not the harness's alone: a signal that speaks of no call of a tool here means something else.
    payload: object = signal.payload
    call = fold.tool_call(cast("dict[str, Any]", payload).get("tool_call")) if isinstance(payload, dict) else None
    if call is None:
        return
    if signal.name == names.APPROVAL_REQUESTED and call.status == "called":
        call.status = "waiting"
    elif signal.name == names.APPROVAL_GRANTED and call.status == "waiting":
        call.status = "approved"


def _completed(fold: RunFold, signal: Signal) -> None:
    ended = fold.activations.pop(signal.payload["activation"], None)
    if ended is not None and ended.history is not None:
        exchange = exchange_of(cast("JSONObject", ended.request), cast("JSONObject", ended.answer), ended.history)
        fold.conversations[ended.agent] = (*fold.conversations.get(ended.agent, ()), exchange)


def _error(fold: RunFold, signal: Signal) -> None:
    payload = signal.payload
    if payload["agent"] is not None:
        fold.totals_of(payload["agent"]).errors += 1
    if payload["activation"] is not None:
        fold.activations.pop(payload["activation"], None)


def _ending(fold: RunFold, _: Signal) -> None:
    fold.ending = True


def _finished(fold: RunFold, _: Signal) -> None:
    fold.finished = True


def _end(fold: RunFold, signal: Signal) -> None:
    fold.end = _checked_object(signal.payload)


_HANDLERS: Final[dict[str, Callable[[RunFold, Signal], None]]] = {
    names.HARNESS_START: _start,
    names.AGENT_ACTIVATED: _activated,
    names.AGENT_SKIPPED: _skipped,
    names.PROVIDER_START: _provider_start,
    names.TEXT_DELTA: _text,
    names.THINKING_DELTA: _thinking,
    names.TOOL_CALL: _tool_call,
    names.PROVIDER_END: _provider_end,
    names.TEXT_REJECTED: _rejected,
    names.PROVIDER_ERROR: _provider_error,
    names.PROVIDER_RESTART: _restart,
    names.TOOL_START: _tool_start,
    names.TOOL_RESULT: _tool_ended,
    names.TOOL_REJECTED: _tool_ended,
    names.TOOL_UNKNOWN: _tool_ended,
    names.APPROVAL_REQUESTED: _approval,
    names.APPROVAL_GRANTED: _approval,
    names.HARNESS_FORKED: _forked,
    names.HARNESS_RESUMED: _resumed,
    names.AGENT_COMPLETED: _completed,
    names.AGENT_ERROR: _error,
    names.HARNESS_ENDING: _ending,
    names.HARNESS_FINISHED: _finished,
    names.HARNESS_END: _end,
}
