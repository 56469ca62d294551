"""The turns of an activation: the tools that an answer asks for, and the request that brings their results."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Any, Generic, TypeVar, cast

from openharness.core.agents import Tool, ToolContext
from openharness.core.engine._effects import StartTool
from openharness.core.engine._requests import next_request
from openharness.core.errors import LimitExceededError, SerializationError
from openharness.core.log import _names as names

if TYPE_CHECKING:
    from openharness.core.engine._activations import Activations
    from openharness.core.engine._journal import Journal
    from openharness.core.engine._plan import AgentPlan, RunPlan
    from openharness.core.engine._step_log import StepLog
    from openharness.core.log import OpenActivation, OpenToolCall
    from openharness.core.records import Signal
    from openharness.core.redaction import Redactor
    from openharness.core.values import JSONObject, JSONValue

__all__ = ("Turns",)

S = TypeVar("S")

_UNKNOWN = (
    "the process ended while this call was running, and nobody knows whether it did what it was to do. Find that out "
    "before you call it again."
)


class Turns(Generic[S]):
    """Decides which tools are started, and when an activation goes on.

    Args:
        plan: The run.
        journal: Its log.
        redactor: Knows the secrets that the state has placeholders for.
        log: Where what is decided is written.
        activations: Send the requests that bring the results.
    """

    def __init__(
        self, plan: RunPlan[S], journal: Journal, redactor: Redactor, log: StepLog[S], activations: Activations[S]
    ) -> None:
        self._redactor = redactor
        self._plan = plan
        self._journal = journal
        self._fold = journal.fold
        self._log = log
        self._activations = activations
        self._agents = {agent.name: agent for agent in plan.agents}
        # Calls that may be started as soon as fewer tools run, with what let them.
        self._ready: deque[tuple[str, Signal]] = deque()

    def ask(self, activation: OpenActivation, end: Signal) -> None:
        """Take up the calls of an answer that has just come."""
        agent = self._agents[activation.agent]
        definition = agent.definition
        if activation.turn + 1 - activation.rejections >= definition.max_turns:
            error = LimitExceededError(limit="max_turns", value=definition.max_turns, agent=agent.name)
            self._activations.give_up(activation, "tools", error, end)
            return
        for call in list(activation.tool_calls.values()):
            self._consider(activation, call)
        self._fill()
        self._go_on(activation, end)

    def ended(self, call: OpenToolCall, result: Signal) -> None:
        """Go on after the result of a tool."""
        activation = self._fold.activations[call.activation]
        self._fill()
        self._go_on(activation, result)

    def decided(self, call: OpenToolCall, decision: Signal) -> None:
        """Go on after a person has agreed to a call, or has not."""
        activation = self._fold.activations[call.activation]
        if decision.name == names.APPROVAL_GRANTED:
            self._ready.append((call.id, decision))
            self._fill()
        else:
            reason: object = cast("dict[str, Any]", decision.payload).get("reason")
            said = f": {reason}" if isinstance(reason, str) and reason else "."
            self._reject(activation, call, "denied", f"a person did not agree to this call{said}", decision)
        self._go_on(activation, decision)

    def resume(self, resumed: Signal) -> None:
        """Take up what nobody waits for any more: no tool is run twice unless it says that it may be."""
        # A log that was cut in the middle of a step has been completed before: what was announced only then never ran.
        # Nor did what was announced in the very step in which the run failed.
        payload = cast("dict[str, Any]", resumed.payload)
        carried_out: object = payload.get("carried_out", payload.get("recorded"))
        first_new = carried_out if isinstance(carried_out, int) else resumed.seq
        ready = {id_ for id_, _ in self._ready}
        for activation in list(self._fold.activations.values()):
            agent = self._agents[activation.agent]
            if not agent.definition.tools or not activation.tool_calls:
                continue
            for call in list(activation.tool_calls.values()):
                if call.status == "called" and call.id not in ready:
                    self._consider(activation, call)
                elif call.status == "approved" and call.id not in ready:
                    self._ready.append((call.id, resumed))
                elif call.status == "running":
                    self._restart(agent, activation, call, resumed, began=(call.started or 0) < first_new)
        self._fill()
        for activation in list(self._fold.activations.values()):
            if self._agents[activation.agent].definition.tools:
                self._go_on(activation, resumed)

    def forget(self) -> None:
        """Forget what was to be started: all activations ask again."""
        self._ready.clear()

    def pending(self) -> list[JSONValue]:
        """Return the calls that wait for a person, if the run waits for nothing else; else nothing."""
        fold = self._fold
        if fold.calls or fold.awaited or any(activation.waits_for_retry for activation in fold.activations.values()):
            return []
        calls = [call for activation in fold.activations.values() for call in activation.tool_calls.values()]
        if any(call.status not in ("waiting", "ended") for call in calls):
            return []
        return [
            {
                "tool_call": call.id,
                "agent": fold.activations[call.activation].agent,
                "name": call.name,
                "arguments": call.arguments,
            }
            for call in calls
            if call.status == "waiting"
        ]

    # The way of one call.

    def _consider(self, activation: OpenActivation, call: OpenToolCall) -> None:
        """Reject a call, ask a person about it, or put it where it waits for its turn."""
        called = self._journal.signals[call.called]
        prepared = self._prepare(activation, call, called)
        if prepared is None:
            return
        if prepared.tool.needs_approval:
            self._log.tell(activation, names.APPROVAL_REQUESTED, _announced(call), called)
        else:
            self._ready.append((call.id, called))

    def _fill(self) -> None:
        """Start what may be started, as long as not too many tools run."""
        most = self._plan.limits.max_tool_concurrency
        while self._ready and (most is None or self._running() < most):
            id_, parent = self._ready.popleft()
            call = self._fold.tool_call(id_)
            if call is None:
                continue
            activation = self._fold.activations[call.activation]
            prepared = self._prepare(activation, call, parent)
            if prepared is None:
                # A resumed run may have other tools than the one that found the call fit.
                self._go_on(activation, parent)
                continue
            self._log.tell(activation, names.TOOL_START, _announced(call), parent)
            self._log.do(prepared)

    def _running(self) -> int:
        return sum(
            call.status == "running"
            for activation in self._fold.activations.values()
            for call in activation.tool_calls.values()
        )

    def _prepare(self, activation: OpenActivation, call: OpenToolCall, parent: Signal) -> StartTool | None:
        """Return what starts a call; None for one that cannot be made, which is rejected."""
        tools = self._agents[activation.agent].definition
        tool = tools.tool(call.name)
        if tool is None:
            known = ", ".join(repr(other.name) for other in tools.tools)
            message = f"there is no tool {call.name!r}. There are: {known}."
            self._reject(activation, call, "unknown_tool", message, parent)
            return None
        try:
            return self._start(tool, activation, call)
        except SerializationError as error:
            self._reject(activation, call, "arguments", str(error), parent)
            return None

    def _start(self, tool: Tool, activation: OpenActivation, call: OpenToolCall) -> StartTool:
        context = self._context(activation, call)
        # Only to see whether they fit: the tool is given the secrets that these have placeholders for.
        tool.bind(call.arguments, context)
        return StartTool(tool=tool, context=context, arguments=call.arguments)

    def _context(self, activation: OpenActivation, call: OpenToolCall) -> ToolContext[S]:
        # A state never changes: this one stays what it is now.
        state, schema, redactor = self._fold.state, self._plan.schema, self._redactor
        return ToolContext(
            run_id=self._journal.run_id,
            agent=activation.agent,
            activation=activation.id,
            tool_call=call.id,
            state=lambda: schema.load(redactor.restore(state)),
        )

    def _reject(self, activation: OpenActivation, call: OpenToolCall, kind: str, message: str, parent: Signal) -> None:
        error: JSONObject = {"kind": kind, "message": message}
        payload: JSONObject = {"tool_call": call.id, "name": call.name, "error": error}
        self._log.tell(activation, names.TOOL_REJECTED, payload, parent)

    def _restart(
        self, agent: AgentPlan[S], activation: OpenActivation, call: OpenToolCall, resumed: Signal, *, began: bool
    ) -> None:
        tool = agent.definition.tool(call.name)
        if tool is not None and (tool.idempotent or not began):
            try:
                prepared = self._start(tool, activation, call)
            except SerializationError:
                pass  # The tool takes other arguments by now.
            else:
                if began:
                    self._log.tell(activation, names.TOOL_RESTART, {"tool_call": call.id}, resumed)
                self._log.do(prepared)
                return
        error: JSONObject = {"kind": "unknown", "message": _UNKNOWN}
        payload: JSONObject = {"tool_call": call.id, "name": call.name, "error": error}
        self._log.tell(activation, names.TOOL_UNKNOWN, payload, resumed)

    def _go_on(self, activation: OpenActivation, parent: Signal) -> None:
        """Send the next request once every call of the turn has ended."""
        calls = activation.tool_calls.values()
        if activation.id not in self._fold.activations or not calls or any(call.status != "ended" for call in calls):
            return
        definition = self._agents[activation.agent].definition
        if activation.is_unfit and activation.unfit_turns >= definition.tool_retries:
            error = LimitExceededError(limit="tool_retries", value=definition.tool_retries, agent=activation.agent)
            self._activations.give_up(activation, "tools", error, parent)
            return
        self._activations.send(activation, next_request(activation), parent)


def _announced(call: OpenToolCall) -> JSONObject:
    return {"tool_call": call.id, "name": call.name, "arguments": call.arguments}
