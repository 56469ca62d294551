"""The life of an activation: its beginning, its slot, its requests, and its failure."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Generic, TypeVar

from openharness.core.engine._effects import StartCall, StartTimer
from openharness.core.engine._requests import call_id, request_digest, request_json
from openharness.core.engine._user_code import USER_FAILURES
from openharness.core.errors import UnknownNameError
from openharness.core.log import _names as names
from openharness.core.log import recall

if TYPE_CHECKING:
    from openharness.core.engine._failures import Failures
    from openharness.core.engine._journal import Journal
    from openharness.core.engine._plan import AgentPlan, RunPlan
    from openharness.core.engine._step_log import StepLog
    from openharness.core.engine._user_code import UserCode
    from openharness.core.log import OpenActivation, Recollection
    from openharness.core.records import Signal
    from openharness.core.redaction import Redactor
    from openharness.core.values import JSONObject

__all__ = ("Activations",)

S = TypeVar("S")


class Activations(Generic[S]):
    """Lets agents begin, one slot each, and sends their requests.

    Args:
        plan: The run.
        journal: Its log.
        redactor: Keeps secrets out of the requests as they are logged.
        log: Where what happens is written.
        failures: Where failures are.
        code: Makes the prompts.
    """

    def __init__(
        self,
        plan: RunPlan[S],
        journal: Journal,
        redactor: Redactor,
        *,
        log: StepLog[S],
        failures: Failures[S],
        code: UserCode[S],
    ) -> None:
        self._limits = plan.limits
        self._journal = journal
        self._fold = journal.fold
        self._redactor = redactor
        self._log = log
        self._failures = failures
        self._code = code
        self._by_name = {agent.name: agent for agent in plan.agents}
        self._waiting: deque[str] = deque()
        self._running = 0
        self._triggers: dict[str, Signal] = {}

    def agent_of(self, activation: OpenActivation) -> AgentPlan[S]:
        """Return the agent that an activation is one of."""
        return self._by_name[activation.agent]

    # Beginning.

    def activate(self, agent: AgentPlan[S], signal: Signal) -> None:
        """Begin an activation; it asks at once where nobody waits for a slot.

        Raises:
            RunFailed: There were too many, or too many that caused one another.
        """
        depth = self._log.depth + 1
        if self._fold.activation_count >= self._limits.max_activations:
            self._failures.limit_reached("max_activations", self._limits.max_activations, agent, signal)
        if depth > self._limits.max_depth:
            self._failures.limit_reached("max_depth", self._limits.max_depth, agent, signal)
        identity = f"{agent.name}#{self._fold.totals_of(agent.name).activations + 1}"
        self._log.write(
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
            self.fill_slot()

    def fill_slot(self) -> bool:
        """Let the one that waits longest ask, if there is room, and tell whether there was one."""
        most = self._limits.max_concurrency
        if not self._waiting or (most is not None and self._running >= most):
            return False
        activation = self._fold.activations[self._waiting.popleft()]
        self._running += 1
        self._ask(activation)
        return True

    def abandon(self) -> None:
        """Let nobody in any more: the run is over."""
        self._waiting.clear()

    def _ask(self, activation: OpenActivation) -> None:
        agent, activated = self._by_name[activation.agent], self._journal.signals[activation.activated]
        depth, self._log.depth = self._log.depth, activation.depth
        try:
            prompt, system = self._code.texts(agent, activation, self._triggers[activation.id])
        except USER_FAILURES as error:
            self.give_up(activation, "prompt", error, activated)
        else:
            recalled = None if agent.definition.history == "none" else self._recall(agent)
            history = () if recalled is None else recalled.messages
            request = request_json(agent.definition, prompt=prompt, system=system, history=history)
            self._send(activation, request, activated, turn=activation.turn, recalled=recalled)
        self._log.depth = depth

    def _recall(self, agent: AgentPlan[S]) -> Recollection:
        """Return what an agent is told of its earlier activations."""
        return recall(self._fold.conversations.get(agent.name, ()), agent.definition.history_tokens)

    # Requests.

    def send(self, activation: OpenActivation, request: JSONObject, parent: Signal) -> None:
        """Send the request of the next turn."""
        depth, self._log.depth = self._log.depth, activation.depth
        self._send(activation, request, parent, turn=activation.turn + 1)
        self._log.depth = depth

    def send_again(self, activation: OpenActivation, request: JSONObject, parent: Signal) -> None:
        """Send a request once more after it failed."""
        self._send(activation, request, parent, turn=activation.turn, attempt=activation.attempt + 1)

    def wait_for_retry(self, activation: OpenActivation, delay: float | None = None) -> None:
        """Let a retry arrive: after so many seconds, by default those that the agent waits before this one."""
        own = self.agent_of(activation).definition.retry_delay * 2**activation.attempt
        call = call_id(activation.id, turn=activation.turn, attempt=activation.attempt + 1)
        self._log.do(StartTimer(call=call, delay=own if delay is None else delay))

    def start_call(self, activation: OpenActivation, call: str, request: JSONObject) -> None:
        """Let a request that the log holds be sent."""
        attempt, agent = int(call.rpartition("/")[2]), self.agent_of(activation)
        self._log.do(StartCall(call, attempt, activation.id, agent, request, restore=True))

    def _send(
        self,
        activation: OpenActivation,
        request: JSONObject,
        parent: Signal,
        *,
        turn: int,
        attempt: int = 0,
        recalled: Recollection | None = None,
    ) -> None:
        agent = self._by_name[activation.agent]
        call = call_id(activation.id, turn=turn, attempt=attempt)
        # The log and its digest are redacted; who answers the request is told what it really says.
        logged, restore = self._redactor.sent(request)
        payload: JSONObject = {"call": call, "attempt": attempt, "digest": request_digest(logged), "request": logged}
        if recalled is not None:
            payload["history"] = recalled.to_payload(examples=len(agent.definition.examples))
        self._log.write(
            names.PROVIDER_START,
            payload,
            parent=parent,
            agent=agent.name,
            provider=None if agent.provider is None else agent.provider.type,
            activation=activation.id,
        )
        self._log.do(StartCall(call, attempt, activation.id, agent, request, restore))

    # Ending.

    def leave(self, activation: OpenActivation) -> None:
        """Give the slot of an activation free: it ends now."""
        self._running -= 1
        self._triggers.pop(activation.id, None)

    def give_up(
        self,
        activation: OpenActivation,
        kind: str,
        error: BaseException,
        parent: Signal,
        *,
        message: str | None = None,
        details: JSONObject | None = None,
    ) -> None:
        """End an activation that has failed.

        Raises:
            RunFailed: The agent does not go on after errors.
        """
        depth, self._log.depth = self._log.depth, activation.depth
        self.leave(activation)
        agent = self.agent_of(activation)
        self._failures.of_agent(agent, activation.id, kind, error, parent, message=message, details=details)
        self._log.depth = depth

    # Going on with a log that was begun elsewhere.

    def adopt(self) -> None:
        """Take over the activations that the log has open.

        Raises:
            UnknownNameError: An agent is at work that this run does not have.
        """
        for activation in self._fold.activations.values():
            if activation.agent not in self._by_name:
                known = list(self._by_name)
                raise UnknownNameError("agent", name=activation.agent, known=known, where="The recording")
            self._triggers[activation.id] = self._journal.signal(activation.trigger)
            if activation.request is None:
                self._waiting.append(activation.id)
            else:
                self._running += 1

    def begin_anew(self) -> None:
        """Let every open activation ask again, as if it had just begun."""
        self._running = 0
        self._waiting = deque(self._fold.activations)
