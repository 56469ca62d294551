"""What comes back from providers and tools, and what an activation does with it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Generic, TypeVar, cast

from openharness.core.engine._requests import corrected_request, plain_text, provider_error
from openharness.core.errors import LimitExceededError, OpenHarnessError, SerializationError
from openharness.core.log import _names as names

if TYPE_CHECKING:
    from openharness.core.engine._activations import Activations
    from openharness.core.engine._arrivals import Arrival
    from openharness.core.engine._failures import Failures
    from openharness.core.engine._journal import Journal
    from openharness.core.engine._plan import AgentPlan
    from openharness.core.engine._spending import Spending
    from openharness.core.engine._state import StateView
    from openharness.core.engine._step_log import StepLog
    from openharness.core.engine._turns import Turns
    from openharness.core.log import OpenActivation, OpenCall
    from openharness.core.records import Signal
    from openharness.core.redaction import Redactor
    from openharness.core.values import JSONObject, JSONValue

__all__ = ("Answers",)

S = TypeVar("S")


class Answers(Generic[S]):
    """Takes the arrivals that answer a call.

    Args:
        journal: The log.
        view: The state, which answers may go into.
        redactor: Keeps secrets out of what is said of answers.
        log: Where what happens is written.
        failures: Where failures are.
        activations: What the answers are for.
        turns: Takes up the tools that an answer asks for.
        spending: Ends the run where it has used too much.
    """

    def __init__(
        self,
        journal: Journal,
        view: StateView[S],
        redactor: Redactor,
        *,
        log: StepLog[S],
        failures: Failures[S],
        activations: Activations[S],
        turns: Turns[S],
        spending: Spending[S],
    ) -> None:
        self._journal = journal
        self._fold = journal.fold
        self._view = view
        self._redactor = redactor
        self._log = log
        self._failures = failures
        self._activations = activations
        self._turns = turns
        self._spending = spending

    def take(self, arrival: Arrival) -> Signal | None:
        """Write what has arrived and go on with its activation; None where no call waits for it.

        Raises:
            RunFailed: The activation failed, and the run with it; or the run has used more than it may.
        """
        name = arrival.name
        if name == names.PROVIDER_RETRY:
            return self._retry_is_due(arrival)
        if name == names.TOOL_RESULT:
            return self._tool_ended(arrival)
        id_: Any = arrival.call
        call = self._fold.calls.get(id_)
        if call is None:
            return None
        activation = self._fold.activations[call.activation]
        signal = self._write(arrival, activation, self._journal.signals[call.started])
        if name == names.PROVIDER_END:
            self._complete(activation, signal, call)
        elif name == names.PROVIDER_ERROR:
            self._provider_failed(activation, signal)
        return signal

    def _write(self, arrival: Arrival, activation: OpenActivation, parent: Signal) -> Signal:
        self._log.depth = activation.depth
        return self._log.write(
            arrival.name,
            arrival.payload,
            parent=parent,
            agent=activation.agent,
            provider=activation.provider,
            activation=activation.id,
        )

    def _tool_ended(self, arrival: Arrival) -> Signal | None:
        call = self._fold.tool_call(arrival.call)
        if call is None or call.status != "running" or call.started is None:
            return None
        activation = self._fold.activations[call.activation]
        self._log.depth = activation.depth
        started = self._journal.signals[call.started]
        signal = self._log.tell(activation, names.TOOL_RESULT, cast("JSONObject", arrival.payload), started)
        self._turns.ended(call, signal)
        return signal

    def _complete(self, activation: OpenActivation, end: Signal, call: OpenCall) -> None:
        agent = self._activations.agent_of(activation)
        self._spending.answered(agent, call.id, end)
        content: Any = end.payload["output"]["content"]
        asks = bool(activation.tool_calls and agent.definition.tools)
        if call.thinking and (thinking := plain_text("".join(call.thinking))):
            self._log.tell(activation, names.THINKING_COMPLETE, {"call": call.id, "text": thinking}, end)
        if content or not asks:
            self._log.tell(activation, names.TEXT_COMPLETE, {"call": call.id, "text": content}, end)
        if asks:
            self._turns.ask(activation, end)
            return
        # The last answer ends the activation, or is asked for again if it is not of the right type.
        output = agent.definition.output
        try:
            value: JSONValue = content if output is None else output.read(content)
        except SerializationError as error:
            self._reject(agent, activation, error, end)
        else:
            self._publish(agent, activation, value, end)

    def _reject(self, agent: AgentPlan[S], activation: OpenActivation, error: SerializationError, end: Signal) -> None:
        reason, message = self._redactor.text(error.reason), self._redactor.text(str(error))
        if end.payload["output"].get("stop_reason") == "max_tokens":
            message = f"{message} It was cut off, because it was longer than it may be."
        flaw: JSONObject = {"path": error.path, "reason": reason, "message": message}
        rejected = self._log.tell(activation, names.TEXT_REJECTED, {"call": end.payload["call"], "error": flaw}, end)
        most = agent.definition.output_retries
        if activation.rejections <= most:
            self._activations.send(activation, corrected_request(activation, message), rejected)
            return
        limit = LimitExceededError(limit="output_retries", value=most, agent=agent.name, reason=message)
        limit.__cause__ = error
        self._activations.give_up(activation, "output", limit, rejected, details={"error": flaw})

    def _publish(self, agent: AgentPlan[S], activation: OpenActivation, output: JSONValue, end: Signal) -> None:
        """End an activation with its output: into the state, and out as the signals that the agent emits."""
        definition, tell = agent.definition, self._log.tell
        self._activations.leave(activation)
        field = definition.updates
        if field is not None:
            try:
                changes = self._view.changes_of_field(field, output)
            except OpenHarnessError as error:
                self._failures.of_agent(agent, activation.id, "update", error, end)
                return
            if changes:
                self._log.change(changes, end, agent=agent.name, activation=activation.id)
        tell(activation, names.AGENT_COMPLETED, {"agent": agent.name, "activation": activation.id}, end)
        for name in definition.emits:
            tell(activation, name, {"agent": agent.name, "output": output}, end)

    def _provider_failed(self, activation: OpenActivation, signal: Signal) -> None:
        error = provider_error(signal.payload["error"])
        if error.retryable and activation.attempt < self._activations.agent_of(activation).definition.retries:
            self._activations.wait_for_retry(activation, error.retry_after)
            return
        self._activations.give_up(activation, "provider", error, signal, message=error.message)

    def _retry_is_due(self, arrival: Arrival) -> Signal | None:
        call = cast("str", arrival.call)
        activation = self._fold.activations.get(call.rsplit("/", 2)[0])
        if activation is None or not activation.waits_for_retry:
            return None
        signal = self._write(arrival, activation, self._journal.signals[activation.activated])
        self._activations.send_again(activation, cast("JSONObject", activation.request), signal)
        return signal
