"""A step: everything that one arrival causes, done at once and without waiting."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Generic, TypeVar, cast

from openharness.core.engine._activations import Activations
from openharness.core.engine._answers import Answers
from openharness.core.engine._failures import Failures
from openharness.core.engine._in_flight import in_flight
from openharness.core.engine._outcome import Outcome, RunFailed
from openharness.core.engine._spending import Spending
from openharness.core.engine._state import StateView
from openharness.core.engine._step_log import StepLog
from openharness.core.engine._turns import Turns
from openharness.core.engine._user_code import USER_FAILURES, UserCode
from openharness.core.errors import HarnessTimeoutError, InterruptedRunError, ReplayDriftError, RunCancelledError
from openharness.core.log import _names as names
from openharness.core.records import RunStatus, Signal, SignalSource
from openharness.core.redaction import Redactor

if TYPE_CHECKING:
    from collections.abc import Callable

    from openharness.core.agents import Context
    from openharness.core.engine._arrivals import Arrival
    from openharness.core.engine._effects import Effect
    from openharness.core.engine._journal import Journal
    from openharness.core.engine._plan import AgentPlan, RunPlan
    from openharness.core.errors import RunError
    from openharness.core.log import OpenToolCall
    from openharness.core.values import JSONObject, JSONValue

__all__ = ("Stepper",)

S = TypeVar("S")


class Stepper(Generic[S]):
    """Takes arrivals one at a time; the same arrivals in the same order always give the same log.

    Attributes:
        outcome: How the run ended; None while it goes on.
    """

    def __init__(self, plan: RunPlan[S], journal: Journal, redactor: Redactor | None = None) -> None:
        redactor = Redactor(None) if redactor is None else redactor
        self._plan = plan
        self._journal = journal
        self._fold = journal.fold
        self._view = StateView(plan.schema, journal.fold, redactor)
        self._log = log = StepLog(plan, journal, self._view)
        self._failures = failures = Failures(log, redactor, journal.run_id)
        self._code = UserCode(journal, self._view)
        self._activations = activations = Activations(
            plan, journal, redactor, log=log, failures=failures, code=self._code
        )
        self._turns = turns = Turns(plan, journal, redactor, log, activations)
        self._spending = spending = Spending(plan.limits, journal.fold, failures)
        self._answers = Answers(
            journal,
            self._view,
            redactor,
            log=log,
            failures=failures,
            activations=activations,
            turns=turns,
            spending=spending,
        )
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
        self._log.begin(arrival.timestamp)
        first = len(self._journal.signals)
        try:
            if self._begin(arrival) is not None:
                self._work()
        except RunFailed as failed:
            self._log.abandon()
            self._activations.abandon()
            try:
                self._end(failed.status, failed.error, failed.parent)
            except ReplayDriftError as drift:
                raise drift from failed.error
        written = self._journal.signals
        return (written[first] if len(written) > first else None), self._log.effects

    def timed_out(self, timeout: float | None) -> HarnessTimeoutError:
        """Return the error of a run that has taken too long, with what it waits for now."""
        waits = self._plan.interactive and not self._fold.finished
        return HarnessTimeoutError(timeout=timeout, pending=in_flight(self._fold), waits_for_finish=waits)

    def adopt(self) -> None:
        """Take up the work where the journal's log, which this stepper has not made, left it.

        Raises:
            UnknownNameError: An agent is at work that this run does not have.
        """
        self._code.take_input()
        if self._fold.end is not None:
            self.outcome = Outcome(RunStatus.COMPLETED)
        self._activations.adopt()

    def _work(self) -> None:
        while True:
            while (signal := self._log.next()) is not None:
                self._process(signal)
            if not self._activations.fill_slot():
                break
        fold = self._fold
        if not fold.activations and not fold.awaited and (not self._plan.interactive or fold.finished):
            self._end(RunStatus.COMPLETED, None, self._journal.signals[-1])

    def _end(self, status: RunStatus, error: RunError | None, parent: Signal) -> None:
        described = None if error is None else {"type": type(error).__name__, "message": str(error)}
        payload = {"status": status.value, "error": described, "terminated_early": self._fold.ending}
        self._journal.append(names.HARNESS_END, payload, SignalSource(parent=parent.id))
        self.outcome = Outcome(status, error)

    # What an arrival means before anybody else has looked at it.

    def _begin(self, arrival: Arrival) -> Signal | None:
        if arrival.call is not None:
            return self._answers.take(arrival)
        awaiting = self._awaiting_decision(arrival)
        signal = self._log.write(arrival.name, arrival.payload, parent=None)
        if awaiting is not None:
            self._turns.decided(awaiting, signal)
        if arrival.name == names.HARNESS_START:
            self._code.take_input()
        if arrival.name == names.HARNESS_RESUMED:
            self._restart(signal)
        if arrival.name == names.HARNESS_FORKED:
            self._fork(signal)
        if arrival.name == names.HARNESS_TIMEOUT:
            timeout = cast("dict[str, Any]", arrival.payload)["timeout"]
            raise RunFailed(RunStatus.TIMED_OUT, self.timed_out(timeout), signal)
        if arrival.name == names.HARNESS_CANCELLED:
            raise RunFailed(RunStatus.CANCELLED, RunCancelledError(), signal)
        if arrival.name == names.HARNESS_INTERRUPTED:
            pending = cast("dict[str, Any]", arrival.payload)["pending"]
            raise RunFailed(RunStatus.INTERRUPTED, InterruptedRunError(pending=pending), signal)
        return signal

    def _awaiting_decision(self, arrival: Arrival) -> OpenToolCall | None:
        """Return the call that waits for what a person has decided here; None for every other arrival."""
        payload: object = arrival.payload
        if arrival.name not in (names.APPROVAL_GRANTED, names.APPROVAL_DENIED) or not isinstance(payload, dict):
            return None
        call = self._fold.tool_call(cast("dict[str, Any]", payload).get("tool_call"))
        return call if call is not None and call.status == "waiting" else None

    def _restart(self, resumed: Signal) -> None:
        """Send the requests again that nobody waits for any more; their answers begin anew."""
        self._spending.goes_on(resumed)
        for activation in list(self._fold.activations.values()):
            if activation.waits_for_retry:
                self._activations.wait_for_retry(activation)
        for call in list(self._fold.calls.values()):
            activation = self._fold.activations[call.activation]
            self._log.write(
                names.PROVIDER_RESTART,
                {"call": call.id},
                parent=resumed,
                agent=activation.agent,
                provider=activation.provider,
                activation=activation.id,
            )
            self._activations.start_call(activation, call.id, cast("JSONObject", activation.request))
        self._turns.resume(resumed)

    def _fork(self, forked: Signal) -> None:
        """Change the state as the fork was asked to, and let every activation ask again."""
        self._spending.goes_on(forked)
        self._turns.forget()
        self._activations.begin_anew()
        for field, value in cast("dict[str, JSONValue]", forked.payload["state"]).items():
            self._log.change(self._view.changes_of_field(field, value), forked, agent=None, activation=None)

    # What a signal means to reducers, end_when and agents.

    def _process(self, signal: Signal) -> None:
        interested = self._plan.interested_in(signal.name)
        end_when = None if self._fold.ending else self._plan.end_when
        if not interested.reducers and not interested.agents and end_when is None:
            return
        for reducer in interested.reducers:
            try:
                changes = self._code.reduce(reducer, signal)
            except USER_FAILURES as error:
                self._failures.of_run("reducer", f"The reducer for {reducer.pattern!r}", error, signal)
            if changes:
                self._failures.lengthen_chain(signal)
                self._log.change(changes, signal, agent=signal.source.agent, activation=signal.source.activation)
                self._log.chain -= 1
        if end_when is not None:
            self._check_end(end_when, signal)
        for agent in interested.agents:
            self._consider(agent, signal)

    def _check_end(self, end_when: Callable[[Context[S]], bool], signal: Signal) -> None:
        try:
            ends = self._code.ends(end_when, signal)
        except USER_FAILURES as error:
            self._failures.of_run("end_when", "end_when", error, signal)
        if ends:
            self._log.write(names.HARNESS_ENDING, {"reason": "end_when"}, parent=signal)

    def _consider(self, agent: AgentPlan[S], signal: Signal) -> None:
        reason = "ending" if self._fold.ending else None
        guard = agent.definition.when
        if reason is None and guard is not None:
            try:
                wanted = self._code.wants(guard, signal, agent)
            except USER_FAILURES as error:
                self._failures.lengthen_chain(signal)
                self._failures.of_agent(agent, None, "guard", error, signal)
                self._log.chain -= 1
                return
            reason = None if wanted else "guard"
        if reason is not None:
            payload: JSONObject = {"agent": agent.name, "reason": reason}
            self._log.write(names.AGENT_SKIPPED, payload, parent=signal, agent=agent.name)
            return
        self._activations.activate(agent, signal)
