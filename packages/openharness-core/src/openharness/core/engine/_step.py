"""A step: everything that one arrival causes, done at once and without waiting."""

from __future__ import annotations

import inspect
from collections import deque
from typing import TYPE_CHECKING, Any, Final, Generic, NoReturn, TypeVar, cast

import attrs

from openharness.core.agents import Context
from openharness.core.engine._effects import StartCall, StartTimer
from openharness.core.engine._redacting import log_failure
from openharness.core.engine._requests import (
    call_id,
    described,
    plain_text,
    provider_error,
    request_digest,
    request_json,
)
from openharness.core.engine._state import StateView
from openharness.core.engine._turns import Turns
from openharness.core.errors import (
    AgentError,
    HarnessTimeoutError,
    InterruptedRunError,
    LimitExceededError,
    OpenHarnessError,
    ReplayDriftError,
    RunCancelledError,
    RunError,
    SerializationError,
    UnknownNameError,
)
from openharness.core.log import _names as names
from openharness.core.log import state_changed
from openharness.core.records import RunStatus, Signal
from openharness.core.redaction import Redactor
from openharness.core.templates import Template
from openharness.core.values import JSONObject, copy_json

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from openharness.core.engine._arrivals import Arrival
    from openharness.core.engine._effects import Effect
    from openharness.core.engine._journal import Journal
    from openharness.core.engine._plan import AgentPlan, RunPlan
    from openharness.core.log import Change, OpenActivation, OpenToolCall
    from openharness.core.values import JSONValue

__all__ = ("Outcome", "Stepper")

S = TypeVar("S")

MAX_CHAIN: Final = 100
"""Changes by reducers and failures of guards that may cause one another in a row within one step."""

MAX_CHAINED: Final = 10_000
"""How many there may be in one step that were caused by another one."""


@attrs.frozen
class Outcome:
    """How a run ended.

    Attributes:
        status: Its status.
        error: What it raises; None when it completed.
    """

    status: RunStatus
    error: RunError | None = None


class _RunFailed(Exception):  # noqa: N818 - it is control flow, not an error anybody sees
    """Ends the step at once: the run is over."""

    def __init__(self, status: RunStatus, error: RunError, parent: Signal) -> None:
        super().__init__(str(error))
        self.status = status
        self.error = error
        self.parent = parent


class Stepper(Generic[S]):
    """Takes arrivals one at a time; the same arrivals in the same order always give the same log.

    Attributes:
        outcome: How the run ended; None while it goes on.
    """

    def __init__(self, plan: RunPlan[S], journal: Journal, redactor: Redactor | None = None) -> None:
        self._plan = plan
        self._journal = journal
        self._fold = journal.fold
        self._redactor = Redactor(None) if redactor is None else redactor
        self._view = StateView(plan.schema, journal.fold, self._redactor)
        self._turns = Turns(plan, journal, self._redactor, self)
        self._by_name = {agent.name: agent for agent in plan.agents}
        # Signals that were written and not looked at yet, with the causal depth of what they may activate, and how
        # many reducers and guards caused one another to lead to them.
        self._queue: deque[tuple[Signal, int, int]] = deque()
        self._effects: list[Effect] = []
        self._waiting: deque[str] = deque()
        self._running = 0
        self._depth = 0
        self._chain = 0
        self._chained = 0
        self._triggers: dict[str, Signal] = {}
        self._input: JSONValue = None
        self.outcome: Outcome | None = None

    @property
    def pending(self) -> list[JSONValue]:
        """What keeps the run from going on, if it waits for nothing but people and they cannot be asked any more."""
        if self.ended or (self._plan.interactive and not self._fold.finished):
            return []
        return self._turns.pending()

    @property
    def ended(self) -> bool:
        """Whether the run has ended."""
        return self.outcome is not None

    def take(self, arrival: Arrival) -> tuple[Signal | None, list[Effect]]:
        """Do everything an arrival causes, to the end.

        Returns:
            The arrival's own signal (None when it was too late to matter), and what is to be done outside.

        Raises:
            ReplayDriftError: The log is compared with a recording that has something else.
        """
        self._journal.begin_step(arrival.timestamp)
        self._effects = []
        self._chain = self._chained = 0
        first = len(self._journal.signals)
        try:
            if self._begin(arrival) is not None:
                self._work()
        except _RunFailed as failed:
            self._queue.clear()
            self._waiting.clear()
            self._effects = []
            try:
                self._end(failed.status, failed.error, failed.parent)
            except ReplayDriftError as drift:
                raise drift from failed.error
        written = self._journal.signals
        return (written[first] if len(written) > first else None), self._effects

    def _work(self) -> None:
        while True:
            while self._queue:
                signal, self._depth, self._chain = self._queue.popleft()
                self._process(signal)
            self._chain = 0
            if not self._fill_slot():
                break
        fold = self._fold
        if not fold.activations and not fold.awaited and (not self._plan.interactive or fold.finished):
            self._end(RunStatus.COMPLETED, None, self._journal.signals[-1])

    def _end(self, status: RunStatus, error: RunError | None, parent: Signal) -> None:
        described = None if error is None else {"type": type(error).__name__, "message": str(error)}
        payload = {"status": status.value, "error": described, "terminated_early": self._fold.ending}
        self._journal.append(names.HARNESS_END, payload, parent=parent.id)
        self.outcome = Outcome(status, error)

    # What an arrival means before anybody else has looked at it.

    def _begin(self, arrival: Arrival) -> Signal | None:
        self._depth = 0
        if arrival.call is not None:
            return self._answered(arrival)
        awaiting = self._awaiting_decision(arrival)
        signal = self._write(arrival.name, arrival.payload, parent=None)
        if awaiting is not None:
            self._turns.decided(awaiting, signal)
        if arrival.name == names.HARNESS_START:
            self._input = copy_json(self._fold.input)
        if arrival.name == names.HARNESS_RESUMED:
            self._restart(signal)
        if arrival.name == names.HARNESS_FORKED:
            self._fork(signal)
        if arrival.name == names.HARNESS_TIMEOUT:
            timeout = cast("dict[str, Any]", arrival.payload)["timeout"]
            raise _RunFailed(RunStatus.TIMED_OUT, HarnessTimeoutError(timeout=timeout), signal)
        if arrival.name == names.HARNESS_CANCELLED:
            raise _RunFailed(RunStatus.CANCELLED, RunCancelledError(), signal)
        if arrival.name == names.HARNESS_INTERRUPTED:
            pending = cast("dict[str, Any]", arrival.payload)["pending"]
            raise _RunFailed(RunStatus.INTERRUPTED, InterruptedRunError(pending=pending), signal)
        return signal

    def _awaiting_decision(self, arrival: Arrival) -> OpenToolCall | None:
        """Return the call that waits for what a person has decided here; None for every other arrival."""
        payload: object = arrival.payload
        if arrival.name not in (names.APPROVAL_GRANTED, names.APPROVAL_DENIED) or not isinstance(payload, dict):
            return None
        call = self._fold.tool_call(cast("dict[str, Any]", payload).get("tool_call"))
        return call if call is not None and call.status == "waiting" else None

    def _answered(self, arrival: Arrival) -> Signal | None:
        if arrival.name == names.PROVIDER_RETRY:
            return self._retry_is_due(arrival)
        if arrival.name == names.TOOL_RESULT:
            return self._tool_ended(arrival)
        call = self._fold.calls.get(cast("str", arrival.call))
        if call is None:
            return None
        activation = self._fold.activations[call.activation]
        self._depth = activation.depth
        signal = self._write(
            arrival.name,
            arrival.payload,
            parent=self._journal.signals[call.started].id,
            agent=activation.agent,
            provider=activation.provider,
            activation=activation.id,
        )
        if arrival.name == names.PROVIDER_END:
            self._complete(activation, signal, call.id, plain_text("".join(call.thinking)))
        elif arrival.name == names.PROVIDER_ERROR:
            self._provider_failed(activation, signal)
        return signal

    def _tool_ended(self, arrival: Arrival) -> Signal | None:
        call = self._fold.tool_call(arrival.call)
        if call is None or call.status != "running" or call.started is None:
            return None
        activation = self._fold.activations[call.activation]
        self._depth = activation.depth
        started = self._journal.signals[call.started]
        signal = self.tell(activation, names.TOOL_RESULT, cast("JSONObject", arrival.payload), started)
        self._turns.ended(call, signal)
        return signal

    def _complete(self, activation: OpenActivation, end: Signal, call: str, thinking: str) -> None:
        content = cast("JSONValue", end.payload["output"]["content"])
        agent = self._by_name[activation.agent]
        asks = bool(agent.definition.tools and activation.tool_calls)
        if thinking:
            self.tell(activation, names.THINKING_COMPLETE, {"call": call, "text": thinking}, end)
        if content or not asks:
            self.tell(activation, names.TEXT_COMPLETE, {"call": call, "text": content}, end)
        if asks:
            self._turns.ask(activation, end)
            return
        self._running -= 1
        self._triggers.pop(activation.id, None)
        field = agent.definition.updates
        if field is not None:
            try:
                changes = self._view.changes_of_field(field, content)
            except OpenHarnessError as error:
                self._agent_failed(agent, activation.id, "update", error, end)
                return
            self._change(changes, end, agent=agent.name, activation=activation.id)
        self.tell(activation, names.AGENT_COMPLETED, {"agent": agent.name, "activation": activation.id}, end)
        for name in agent.definition.emits:
            self.tell(activation, name, {"agent": agent.name, "output": content}, end)

    def _provider_failed(self, activation: OpenActivation, signal: Signal) -> None:
        agent = self._by_name[activation.agent]
        error = provider_error(signal.payload["error"])
        retries = agent.definition.retries
        if error.retryable and activation.attempt < retries:
            delay = error.retry_after
            if delay is None:
                delay = agent.definition.retry_delay * 2**activation.attempt
            self.do(StartTimer(call=_call_of(activation, activation.attempt + 1), delay=delay))
            return
        self.give_up(activation, "provider", error, signal, message=error.message)

    def _retry_is_due(self, arrival: Arrival) -> Signal | None:
        call = cast("str", arrival.call)
        activation = self._fold.activations.get(call.rsplit("/", 2)[0])
        if activation is None or not activation.waits_for_retry:
            return None
        self._depth = activation.depth
        signal = self._write(
            arrival.name,
            arrival.payload,
            parent=self._journal.signals[activation.activated].id,
            agent=activation.agent,
            provider=activation.provider,
            activation=activation.id,
        )
        request = cast("JSONObject", activation.request)
        self._send(activation, request, _call_of(activation, activation.attempt + 1), signal)
        return signal

    # Going on with a log that was begun elsewhere.

    def adopt(self) -> None:
        """Take up the work where the journal's log, which this stepper has not made, left it.

        Raises:
            UnknownNameError: An agent is at work that this run does not have.
        """
        self._input = copy_json(self._fold.input)
        if self._fold.end is not None:
            self.outcome = Outcome(RunStatus.COMPLETED)
        for activation in self._fold.activations.values():
            if activation.agent not in self._by_name:
                known = list(self._by_name)
                raise UnknownNameError("agent", name=activation.agent, known=known, where="The recording")
            trigger = self._journal.signal(activation.trigger)
            self._triggers[activation.id] = attrs.evolve(trigger, payload=copy_json(trigger.payload))
            if activation.request is None:
                self._waiting.append(activation.id)
            else:
                self._running += 1

    def _restart(self, resumed: Signal) -> None:
        """Send the requests again that nobody waits for any more; their answers begin anew."""
        for activation in list(self._fold.activations.values()):
            if activation.waits_for_retry:
                agent = self._by_name[activation.agent]
                delay = agent.definition.retry_delay * 2**activation.attempt
                self.do(StartTimer(call=_call_of(activation, activation.attempt + 1), delay=delay))
        for call in list(self._fold.calls.values()):
            activation = self._fold.activations[call.activation]
            self._write(
                names.PROVIDER_RESTART,
                {"call": call.id},
                parent=resumed,
                agent=activation.agent,
                provider=activation.provider,
                activation=activation.id,
            )
            self.do(
                StartCall(
                    call=call.id,
                    attempt=activation.attempt,
                    activation=activation.id,
                    agent=self._by_name[activation.agent],
                    request=cast("JSONObject", activation.request),
                )
            )
        self._turns.resume(resumed)

    def _fork(self, forked: Signal) -> None:
        """Change the state as the fork was asked to, and let every activation ask again."""
        self._running = 0
        self._turns.forget()
        self._waiting = deque(self._fold.activations)
        for field, value in cast("dict[str, JSONValue]", forked.payload["state"]).items():
            self._change(self._view.changes_of_field(field, value), forked, agent=None, activation=None)

    # What a signal means to reducers, end_when and agents.

    def _process(self, signal: Signal) -> None:
        interested = self._plan.interested_in(signal.name)
        end_when = None if self._fold.ending else self._plan.end_when
        if not interested.reducers and not interested.agents and end_when is None:
            return
        if interested.shows or end_when is not None:
            # A copy: the log must not change under a function that keeps a list and extends it.
            signal = Signal(
                signal.id,
                name=signal.name,
                payload=copy_json(signal.payload),
                timestamp=signal.timestamp,
                seq=signal.seq,
                source=signal.source,
            )
        for reducer in interested.reducers:
            draft = self._view.draft()
            try:
                reduced = reducer.function(draft, signal, self._context(signal, purpose=f"reducer/{reducer.pattern}"))
                _refuse_waiting(reduced)
                changes = self._view.changes_by(reduced, draft)
            except Exception as error:  # noqa: BLE001 - the user's function may raise anything
                self._failed("reducer", f"The reducer for {reducer.pattern!r}", error, signal)
            if changes:
                self._lengthen_chain(signal)
                self._change(changes, signal, agent=signal.source.agent, activation=signal.source.activation)
                self._chain -= 1
        if end_when is not None:
            self._check_end(end_when, signal)
        for agent in interested.agents:
            self._consider(agent, signal)

    def _check_end(self, end_when: Callable[[Context[S]], bool], signal: Signal) -> None:
        try:
            ends = end_when(self._context(signal, purpose="end_when"))
            _refuse_waiting(ends)
            self._view.verify_unchanged()
        except Exception as error:  # noqa: BLE001 - the user's function may raise anything
            self._failed("end_when", "end_when", error, signal)
        if ends:
            self._write(names.HARNESS_ENDING, {"reason": "end_when"}, parent=signal)

    def _consider(self, agent: AgentPlan[S], signal: Signal) -> None:
        reason = "ending" if self._fold.ending else None
        if reason is None and agent.definition.when is not None:
            try:
                wanted = agent.definition.when(self._context(signal, purpose="when", agent=agent.name))
                _refuse_waiting(wanted)
                self._view.verify_unchanged()
            except Exception as error:  # noqa: BLE001 - the user's function may raise anything
                self._view.forget()
                self._lengthen_chain(signal)
                self._agent_failed(agent, None, "guard", error, signal)
                self._chain -= 1
                return
            reason = None if wanted else "guard"
        if reason is not None:
            payload: JSONObject = {"agent": agent.name, "reason": reason}
            self._write(names.AGENT_SKIPPED, payload, parent=signal, agent=agent.name)
            return
        self._activate(agent, signal)

    def _activate(self, agent: AgentPlan[S], signal: Signal) -> None:
        limits = self._plan.limits
        depth = self._depth + 1
        if self._fold.activation_count >= limits.max_activations:
            self._limit_reached("max_activations", limits.max_activations, agent, signal)
        if depth > limits.max_depth:
            self._limit_reached("max_depth", limits.max_depth, agent, signal)
        identity = f"{agent.name}#{self._fold.totals_of(agent.name).activations + 1}"
        self._write(
            names.AGENT_ACTIVATED,
            {"agent": agent.name, "activation": identity, "depth": depth},
            parent=signal,
            agent=agent.name,
            activation=identity,
        )
        self._triggers[identity] = signal
        self._waiting.append(identity)
        if len(self._waiting) == 1:
            # Whoever waits already goes first; the others are let in at the end of the step.
            self._fill_slot()

    def _lengthen_chain(self, signal: Signal) -> None:
        """Count what happens without any activation, so that reducers and guards cannot cause one another for ever."""
        self._chain += 1
        self._chained += self._chain > 1
        if self._chain > MAX_CHAIN:
            self._limit_reached("max_chain", MAX_CHAIN, None, signal)
        if self._chained > MAX_CHAINED:
            self._limit_reached("max_chained", MAX_CHAINED, None, signal)

    def _limit_reached(self, limit: str, value: int, agent: AgentPlan[S] | None, signal: Signal) -> None:
        name = None if agent is None else agent.name
        payload: JSONObject = {"limit": limit, "value": value, "agent": name}
        told = self._write(names.HARNESS_LIMIT, payload, parent=signal, agent=name)
        raise _RunFailed(RunStatus.FAILED, LimitExceededError(limit=limit, value=value, agent=name), told)

    def _fill_slot(self) -> bool:
        most = self._plan.limits.max_concurrency
        if not self._waiting or (most is not None and self._running >= most):
            return False
        activation = self._fold.activations[self._waiting.popleft()]
        self._running += 1
        self._ask(self._by_name[activation.agent], activation)
        return True

    def _ask(self, agent: AgentPlan[S], activation: OpenActivation) -> None:
        activated = self._journal.signals[activation.activated]
        depth, self._depth = self._depth, activation.depth
        definition = agent.definition
        signal, context = self._triggers[activation.id], None
        if not (isinstance(definition.prompt, Template) and isinstance(definition.system, Template | None)):
            # One for both functions: what it gives by chance to one comes after what it gave to the other.
            context = self._context(signal, purpose="prompt", agent=agent.name, activation=activation.id)
        try:
            prompt = self._text(definition.prompt, signal, agent, context)
            system = None if definition.system is None else self._text(definition.system, signal, agent, context)
        except Exception as error:  # noqa: BLE001 - the user's function may raise anything
            self._view.forget()
            self.give_up(activation, "prompt", error, activated)
        else:
            self._send(
                activation, request_json(definition, prompt=prompt, system=system), _call_of(activation, 0), activated
            )
        self._depth = depth

    def _text(
        self,
        prompt: Template | Callable[[Context[S]], str],
        signal: Signal,
        agent: AgentPlan[S],
        context: Context[S] | None,
    ) -> str:
        if isinstance(prompt, Template):
            if prompt.compiled is None:
                return prompt.source
            return prompt.render(
                {
                    "state": self._fold.state,
                    "signal": {"id": signal.id, "name": signal.name, "payload": signal.payload},
                    "input": self._input,
                    "now": self._journal.now,
                    "agent": agent.name,
                }
            )
        text = prompt(cast("Context[S]", context))
        _refuse_waiting(text)
        self._view.verify_unchanged()
        if not isinstance(text, str):  # pyright: ignore[reportUnnecessaryIsInstance] - users' functions are not checked
            raise SerializationError("prompt", value=text, reason="a prompt function returns a string")
        return text

    def _send(self, activation: OpenActivation, request: JSONObject, call: str, parent: Signal) -> None:
        agent = self._by_name[activation.agent]
        attempt = int(call.rpartition("/")[2])
        # The log and its digest are redacted; who answers the request is told what it really says.
        logged = self._redactor.json(request)
        payload: JSONObject = {"call": call, "attempt": attempt, "digest": request_digest(logged), "request": logged}
        self._write(
            names.PROVIDER_START,
            payload,
            parent=parent,
            agent=agent.name,
            provider=None if agent.provider is None else agent.provider.type,
            activation=activation.id,
        )
        self.do(
            StartCall(
                call=call,
                attempt=attempt,
                activation=activation.id,
                agent=agent,
                request=request,
            )
        )

    # What the turns of an activation need; see `Writing`.

    def tell(self, activation: OpenActivation, name: str, payload: JSONObject, parent: Signal) -> Signal:
        """Write a signal of an activation."""
        depth, self._depth = self._depth, activation.depth
        signal = self._write(name, payload, parent=parent, agent=activation.agent, activation=activation.id)
        self._depth = depth
        return signal

    def send(self, activation: OpenActivation, request: JSONObject, parent: Signal) -> None:
        """Send the request of the next turn."""
        depth, self._depth = self._depth, activation.depth
        self._send(activation, request, call_id(activation.id, turn=activation.turn + 1, attempt=0), parent)
        self._depth = depth

    def give_up(
        self, activation: OpenActivation, kind: str, error: Exception, parent: Signal, *, message: str | None = None
    ) -> None:
        """End an activation that has failed."""
        depth, self._depth = self._depth, activation.depth
        self._running -= 1
        self._triggers.pop(activation.id, None)
        self._agent_failed(self._by_name[activation.agent], activation.id, kind, error, parent, message=message)
        self._depth = depth

    def do(self, effect: Effect) -> None:
        """Ask for something to be done once the log is durable."""
        self._effects.append(effect)

    # How things are written and how they fail.

    def _write(
        self,
        name: str,
        payload: Any,
        *,
        parent: Signal | str | None,
        agent: str | None = None,
        provider: str | None = None,
        activation: str | None = None,
    ) -> Signal:
        signal = self._journal.append(
            name,
            payload,
            parent=parent if parent is None or isinstance(parent, str) else parent.id,
            agent=agent,
            provider=provider,
            activation=activation,
        )
        if self._plan.has_interest(name):
            self._queue.append((signal, self._depth, self._chain))
        return signal

    def _change(self, changes: Iterable[Change], parent: Signal, *, agent: str | None, activation: str | None) -> None:
        changed = False
        for change in changes:
            field = cast("str", change.path[0])
            self._write(state_changed(field), change.to_payload(), parent=parent, agent=agent, activation=activation)
            changed = True
        if changed:
            if self._journal.substitutes:
                # What the log holds may be another value than the view has.
                self._view.forget()
            else:
                self._view.committed()

    def _context(
        self, signal: Signal, *, purpose: str, agent: str | None = None, activation: str | None = None
    ) -> Context[S]:
        return Context(
            state=self._view.get,
            signal=signal,
            input=self._input,
            now=self._journal.now,
            run_id=self._journal.run_id,
            agent=agent,
            activation=activation,
            seed=(self._fold.seed, signal.seq, agent, activation, purpose),
        )

    def _agent_failed(
        self,
        agent: AgentPlan[S],
        activation: str | None,
        kind: str,
        error: BaseException,
        parent: Signal,
        *,
        message: str | None = None,
    ) -> None:
        message = self._redactor.text(described(error)) if message is None else message
        data: JSONObject = {"type": type(error).__name__}
        if kind != "provider":
            run_id = self._journal.run_id
            log_failure(self._redactor, "%s of agent %r failed in run %s", kind, agent.name, run_id, error=error)
        payload: JSONObject = {
            "agent": agent.name,
            "activation": activation,
            "kind": kind,
            "message": message,
            "data": data,
        }
        told = self._write_failure(payload, error, parent, agent=agent.name, activation=activation)
        if agent.definition.on_error == "fail":
            failure = AgentError(agent=agent.name, activation=activation, kind=kind, message=message, data=data)
            failure.__cause__ = error
            raise _RunFailed(RunStatus.FAILED, failure, told)

    def _failed(self, kind: str, what: str, error: BaseException, parent: Signal) -> NoReturn:
        log_failure(self._redactor, "%s failed in run %s", what, self._journal.run_id, error=error)
        message = self._redactor.text(f"{what} raised {described(error)}")
        data: JSONObject = {"type": type(error).__name__}
        payload: JSONObject = {"agent": None, "activation": None, "kind": kind, "message": message, "data": data}
        told = self._write_failure(payload, error, parent)
        failure = AgentError(agent=None, activation=None, kind=kind, message=message, data=data)
        failure.__cause__ = error
        raise _RunFailed(RunStatus.FAILED, failure, told)

    def _write_failure(
        self,
        payload: JSONObject,
        error: BaseException,
        parent: Signal,
        *,
        agent: str | None = None,
        activation: str | None = None,
    ) -> Signal:
        """Write ``agent:error``. Where a recording has something else, whoever looks for the cause is shown the error."""
        try:
            return self._write(names.AGENT_ERROR, payload, parent=parent, agent=agent, activation=activation)
        except ReplayDriftError as drift:
            raise drift from error


def _call_of(activation: OpenActivation, attempt: int) -> str:
    """Return the identity of a request of the turn that an activation is in."""
    return call_id(activation.id, turn=activation.turn, attempt=attempt)


def _refuse_waiting(value: object) -> None:
    """Refuse what only an ``await`` could use: a plain function may return a coroutine all the same."""
    if inspect.isawaitable(value):
        if inspect.iscoroutine(value):
            value.close()
        message = "it returned something to be awaited; steps never wait"
        raise TypeError(message)
