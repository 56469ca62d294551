"""What is told of failures in a step, and when they end the run."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, Generic, NoReturn, TypeVar

from openharness.core.engine._outcome import RunFailed
from openharness.core.engine._redacting import log_failure
from openharness.core.engine._requests import described
from openharness.core.errors import AgentError, LimitExceededError, ProviderError, ReplayDriftError, UnknownUsageError
from openharness.core.log import _names as names
from openharness.core.records import RunStatus
from openharness.core.values import copy_json

if TYPE_CHECKING:
    from openharness.core.engine._plan import AgentPlan
    from openharness.core.engine._step_log import StepLog
    from openharness.core.records import Signal
    from openharness.core.redaction import Redactor
    from openharness.core.values import JSONObject

__all__ = ("Failures",)

S = TypeVar("S")

MAX_CHAIN: Final = 100
"""Changes by reducers and failures of guards that may cause one another in a row within one step."""

MAX_CHAINED: Final = 10_000
"""How many there may be in one step that were caused by another one."""


class Failures(Generic[S]):
    """Writes ``agent:error`` and ``harness:limit``, and ends the run where they do.

    Args:
        log: What is written.
        redactor: Keeps secrets out of messages.
        run_id: The run, for the logger.
    """

    def __init__(self, log: StepLog[S], redactor: Redactor, run_id: str) -> None:
        self._log = log
        self._redactor = redactor
        self._run_id = run_id

    def of_agent(
        self,
        agent: AgentPlan[S],
        activation: str | None,
        kind: str,
        error: BaseException,
        parent: Signal,
        *,
        message: str | None = None,
        details: JSONObject | None = None,
    ) -> None:
        """Tell that an agent has failed.

        Raises:
            RunFailed: The agent does not go on after errors.
        """
        message = self._redactor.text(described(error)) if message is None else message
        data: JSONObject = {"type": type(error).__name__, **({} if details is None else details)}
        if kind != "provider":
            log_failure(self._redactor, "%s of agent %r failed in run %s", kind, agent.name, self._run_id, error=error)
        payload: JSONObject = {
            "agent": agent.name,
            "activation": activation,
            "kind": kind,
            "message": message,
            "data": data,
        }
        told = self._write(payload, error, parent, agent=agent.name, activation=activation)
        if agent.definition.on_error == "fail":
            told_data: JSONObject = {**data, **_facts(kind, error)}
            failure = AgentError(agent=agent.name, activation=activation, kind=kind, message=message, data=told_data)
            failure.__cause__ = error
            raise RunFailed(RunStatus.FAILED, failure, told)

    def of_run(self, kind: str, what: str, error: BaseException, parent: Signal) -> NoReturn:
        """Tell that a function of the run's has failed.

        Raises:
            RunFailed: Always.
        """
        log_failure(self._redactor, "%s failed in run %s", what, self._run_id, error=error)
        message = self._redactor.text(f"{what} raised {described(error)}")
        data: JSONObject = {"type": type(error).__name__}
        payload: JSONObject = {"agent": None, "activation": None, "kind": kind, "message": message, "data": data}
        told = self._write(payload, error, parent)
        failure = AgentError(agent=None, activation=None, kind=kind, message=message, data=data)
        failure.__cause__ = error
        raise RunFailed(RunStatus.FAILED, failure, told)

    def lengthen_chain(self, signal: Signal) -> None:
        """Count what happens without any activation, so that reducers and guards cannot cause one another for ever.

        Raises:
            RunFailed: They have caused one another too often.
        """
        self._log.chain += 1
        self._log.chained += self._log.chain > 1
        if self._log.chain > MAX_CHAIN:
            self.limit_reached("max_chain", MAX_CHAIN, None, signal)
        if self._log.chained > MAX_CHAINED:
            self.limit_reached("max_chained", MAX_CHAINED, None, signal)

    def limit_reached(
        self, limit: str, value: float, agent: AgentPlan[S] | None, signal: Signal, *, spent: float | None = None
    ) -> NoReturn:
        """Tell that a limit of the run was reached.

        Raises:
            RunFailed: Always.
        """
        name = None if agent is None else agent.name
        error = LimitExceededError(limit=limit, value=value, agent=name, spent=spent)
        payload: JSONObject = {"limit": limit, "value": value, "agent": name}
        if spent is not None:
            payload["spent"] = spent
        self._end_by_limit(error, payload, signal)

    def usage_unknown(self, limit: str, value: float, agent: AgentPlan[S], call: str, signal: Signal) -> NoReturn:
        """Tell that nobody knows whether a limit of the run was reached.

        Raises:
            RunFailed: Always.
        """
        error = UnknownUsageError(limit=limit, value=value, agent=agent.name, call=call)
        payload: JSONObject = {"limit": limit, "value": value, "agent": agent.name, "unknown": call}
        self._end_by_limit(error, payload, signal)

    def _end_by_limit(
        self, error: LimitExceededError | UnknownUsageError, payload: JSONObject, signal: Signal
    ) -> NoReturn:
        told = self._log.write(names.HARNESS_LIMIT, payload, parent=signal, agent=error.agent)
        raise RunFailed(RunStatus.FAILED, error, told)

    def _write(self, payload: JSONObject, error: BaseException, parent: Signal, **source: Any) -> Signal:
        """Write ``agent:error``. Where a recording has something else, whoever looks for the cause is shown the error."""
        try:
            return self._log.write(names.AGENT_ERROR, payload, parent=parent, **source)
        except ReplayDriftError as drift:
            raise drift from error


def _facts(kind: str, error: BaseException) -> JSONObject:
    """Return what a program may want to know of a failure; of a provider's what the log holds, and so no secret."""
    if kind == "provider" and isinstance(error, ProviderError):
        facts = {name: getattr(error, name) for name in ("status", "retryable", "retry_after", "data")}
        return {"kind": error.kind, **{name: copy_json(value) for name, value in facts.items() if value is not None}}
    if isinstance(error, LimitExceededError):
        return {"limit": error.limit, "value": error.value}
    return {}
