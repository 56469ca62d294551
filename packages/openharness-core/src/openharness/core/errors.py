"""Every exception OpenHarness raises.

Each error says what was expected, what came and what to do, and carries the same facts as attributes, so that a
program can react to them without reading the sentence.

* OpenHarnessError
    x InvalidValueError            (also ValueError)
    x SerializationError           (also ValueError)
    x DefinitionError              (also ValueError)
        * PatternError
        * TemplateError
        * UnknownNameError
    x StoreError
        * StoreClosedError
        * StoreOpenError
        * StoreVersionError
        * StoreCorruptError
        * CorruptRecordError
        * StoreFullError
        * StoreReadOnlyError
        * StoreBusyError
        * StoreUnsupportedError
        * RecordingNotFoundError   (also LookupError)
        * RecordingConflictError
        * RecordingFinalizedError
    x ProviderError
        * MissingSecretError
    x ReplayError
        * FixtureNotFoundError     (also LookupError)
        * ReplayDriftError
        * RecordingEndedError
    x RunError
        * AgentError
        * LimitExceededError
        * UnknownUsageError
        * HarnessTimeoutError      (also TimeoutError)
        * RunCancelledError        (also asyncio.CancelledError)
        * InterruptedRunError
        * RecorderError
        * RunEndedError
        * RunSaveError
        * SecretFoundError
    x PluginError
        * NoPluginsError
        * UnknownPluginError
        * AmbiguousPluginError
        * PluginLoadError
        * NamespaceShadowedError
"""

from __future__ import annotations

import asyncio
import reprlib
from typing import TYPE_CHECKING, Any, Literal, TypeVar, cast

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

__all__ = (
    "AgentError",
    "AmbiguousPluginError",
    "CorruptRecordError",
    "DefinitionError",
    "FixtureNotFoundError",
    "HarnessTimeoutError",
    "InterruptedRunError",
    "InvalidValueError",
    "LimitExceededError",
    "MissingSecretError",
    "NamespaceShadowedError",
    "NoPluginsError",
    "OpenHarnessError",
    "PatternError",
    "PluginError",
    "PluginLoadError",
    "ProviderError",
    "RecorderError",
    "RecordingConflictError",
    "RecordingEndedError",
    "RecordingFinalizedError",
    "RecordingNotFoundError",
    "ReplayDriftError",
    "ReplayError",
    "RunCancelledError",
    "RunEndedError",
    "RunError",
    "RunSaveError",
    "SecretFoundError",
    "SerializationError",
    "StoreBusyError",
    "StoreClosedError",
    "StoreCorruptError",
    "StoreError",
    "StoreFullError",
    "StoreOpenError",
    "StoreReadOnlyError",
    "StoreUnsupportedError",
    "StoreVersionError",
    "TemplateError",
    "UnknownNameError",
    "UnknownPluginError",
    "UnknownUsageError",
)

_SHOWN = 200

_LISTED = 5

_NAMED = 20

_INTEGER_BITS = 1000

_T = TypeVar("_T")


class _Repr(reprlib.Repr):
    """Looks at the first items only: the repr of a whole state would take longer than what failed."""

    def __init__(self) -> None:
        super().__init__()
        self.maxdict = self.maxlist = self.maxtuple = self.maxset = self.maxfrozenset = 8
        self.maxstring = self.maxlong = _SHOWN

    def repr_str(self, x: str, level: int) -> str:
        """Show a long text as one that stands alone; reprlib would cut it in the middle of a word."""
        del level
        return repr(x) if len(x) <= _SHOWN else _beginning(x)

    def repr_instance(self, x: object, level: int) -> str:
        """Leave objects to themselves; they are cut with the rest."""
        del level
        return repr(x)


_repr = _Repr()


def _beginning(value: str | bytes) -> str:
    """The first words of a long text, and its length."""
    head = value[: _end_of_words(value)] if isinstance(value, str) else value[: _end_of_words(value.decode("latin-1"))]
    return f"{head!r}… (length {len(value)})" if head else f"<{type(value).__name__} of length {len(value)}>"


def _end_of_words(text: str) -> int:
    """Where a text may be cut. Never within a word: half a key is no longer known for what it is, and not redacted."""
    return max(0, text.rfind(" ", 0, _SHOWN), text.rfind("\n", 0, _SHOWN))


def _shown_path(path: str) -> str:
    """A path without its middle, cut where a step begins; see `_end_of_words`."""
    if len(path) <= _SHOWN:
        return path
    begin = max(0, path.rfind(".", 0, 120), path.rfind("[", 0, 120))
    ends = [place for place in (path.find(".", len(path) - 60), path.find("[", len(path) - 60)) if place >= 0]
    return f"{path[:begin]}…{path[min(ends, default=len(path)) :]}"


def _shown(value: object) -> str:
    """The value as its repr, cut so that one bad value cannot fill a screen."""
    if isinstance(value, (str, bytes)) and len(value) > _SHOWN:
        return _beginning(value)
    if isinstance(value, int) and value.bit_length() > _INTEGER_BITS:
        return f"an integer of {value.bit_length()} bits"
    try:
        text = _repr.repr(value)
    except Exception:  # noqa: BLE001 - a broken __repr__ must not hide the error that shows it
        kind: type[object] = type(value)
        return f"<{kind.__module__}.{kind.__qualname__} object>"
    return text if len(text) <= _SHOWN else f"{text[: _end_of_words(text)]}…"


def _rebuild(cls: type[OpenHarnessError], args: tuple[Any, ...], data: dict[str, Any]) -> OpenHarnessError:
    error = cls.__new__(cls, *args)
    error.args = args
    error.__dict__.update(data)
    return error


class OpenHarnessError(Exception):
    """The base of every error of OpenHarness; catch it to catch them all."""

    def __reduce__(self) -> tuple[Any, ...]:
        # Keyword-only constructors do not survive the default protocol, and test runners send errors between processes.
        return _rebuild, (type(self), self.args, self.__dict__)


class InvalidValueError(OpenHarnessError, ValueError):
    """An argument is not what the function takes.

    Attributes:
        name: The argument, as the caller wrote it.
        value: What was given.
        expected: What would have been right, as a phrase.
    """

    def __init__(self, name: str, *, value: object, expected: str) -> None:
        self.name = name
        self.value = value
        self.expected = expected
        super().__init__(f"{name} must be {expected}, got {_shown(value)}.")


class SerializationError(OpenHarnessError, ValueError):
    """A value cannot be written as JSON, or does not have the type it is read as.

    Attributes:
        path: Where in the value, as one would write it in Python: ``state.items[3].score``.
        value: The part that was refused.
        reason: Why, as a phrase that completes "cannot be stored:".
        verb: What was to be done with the value: ``"stored"`` or ``"read"``.
    """

    def __init__(self, path: str, *, value: object, reason: str, verb: Literal["stored", "read"] = "stored") -> None:
        self.path = path
        self.value = value
        self.reason = reason
        self.verb = verb
        super().__init__(f"{_shown_path(path)} cannot be {verb}: {reason}, got {_shown(value)}.")


class DefinitionError(OpenHarnessError, ValueError):
    """An agent, reducer or harness is defined in a way that cannot work; found before anything runs."""


class PatternError(DefinitionError):
    """A signal pattern or a signal name is not well formed.

    Attributes:
        pattern: What was given.
        reason: What is wrong with it.
    """

    def __init__(self, pattern: object, *, reason: str) -> None:
        self.pattern = pattern
        self.reason = reason
        super().__init__(f"{_shown(pattern)} is not a signal pattern: {reason}.")


class TemplateError(DefinitionError):
    """A prompt template cannot be read or filled.

    Attributes:
        template: The template's text.
        reason: What is wrong.
    """

    def __init__(self, template: str, *, reason: str) -> None:
        self.template = template
        self.reason = reason
        super().__init__(f"The template {_shown(template)} {reason}.")


class UnknownNameError(DefinitionError):
    """A state field, signal or agent is named that does not exist.

    Attributes:
        kind: What was looked for (``"state field"``, ``"signal"``, ``"agent"``).
        name: The name that was given.
        known: The names that exist, sorted.
        nearest: The known name most like it, or None.
    """

    def __init__(
        self,
        kind: str,
        *,
        name: str,
        known: Sequence[str],
        where: str,
        advice: str = "",
        is_own: Callable[[str], bool] | None = None,
    ) -> None:
        import difflib

        self.kind = kind
        self.name = name
        self.known = tuple(sorted(known))
        close = difflib.get_close_matches(name, self.known, n=1)
        self.nearest = close[0] if close else None
        hint = f" Did you mean {self.nearest!r}?" if self.nearest else ""
        listed = ", ".join(map(repr, self.known)) or "none"
        if is_own is not None:
            # The names that somebody chose are few, and one of them is meant more often.
            own = ", ".join(repr(one) for one in self.known if is_own(one)) or "none"
            listed = f"{own}; and of the harness: {', '.join(repr(one) for one in self.known if not is_own(one))}"
        more = f" {advice}" if advice else ""
        super().__init__(f"{where} names the {kind} {name!r}, which does not exist.{hint} Known: {listed}.{more}")


class StoreError(OpenHarnessError):
    """A store could not do what it was asked.

    Attributes:
        store: The store as it names itself: its class and where its data is.
    """

    def __init__(self, message: str, *, store: str = "") -> None:
        self.store = store
        super().__init__(f"{store}: {message}" if store else message)


class StoreClosedError(StoreError):
    """The store was closed (or belongs to another process or a closed event loop); make a new one."""


class StoreOpenError(StoreError):
    """The store could not be opened: no such folder, no permission, a path that is a folder, no server."""


class StoreVersionError(StoreError):
    """The data was written by a newer version of OpenHarness, perhaps while the store was open; nothing was changed.

    Attributes:
        found: The version the data has.
        supported: The newest version this code reads.
    """

    def __init__(self, *, found: int, supported: int, store: str = "") -> None:
        self.found = found
        self.supported = supported
        super().__init__(
            f"the data has format version {found}, this code reads up to {supported}. "
            "Install a newer release of the package; the data was left as it is.",
            store=store,
        )


class StoreCorruptError(StoreError):
    """The store's file is damaged, or is not a store of ours."""


class CorruptRecordError(StoreError):
    """One record does not match its checksum; the others can still be read.

    Attributes:
        record_id: The id of the damaged record.
        reason: What is wrong with it, as a phrase.
    """

    def __init__(self, record_id: str, *, reason: str, store: str = "") -> None:
        self.record_id = record_id
        self.reason = reason
        super().__init__(
            f"the record {record_id!r} is damaged ({reason}). Restore it from a backup or delete it.", store=store
        )


class StoreFullError(StoreError):
    """There is no room left (disk or quota). What was acknowledged before is safe; saving works again once there is room."""


class StoreReadOnlyError(StoreError):
    """The store's file or folder may only be read."""


class StoreBusyError(StoreError):
    """Another process held the store's lock for longer than the busy timeout; nothing was written, try again."""


class StoreUnsupportedError(StoreError):
    """The store has no way to do this; it is one of the things that not every store can.

    Attributes:
        operation: The method that was called.
    """

    def __init__(self, operation: str, *, store: str = "") -> None:
        self.operation = operation
        super().__init__(
            f"this store cannot do {operation}, which is an ability that stores may have or not. Use a store that has it.",
            store=store,
        )


class RecordingNotFoundError(StoreError, LookupError):
    """No recording has this id.

    Attributes:
        recording_id: The id that was asked for; None where any recording of a run was.
        run_id: The run whose recording was asked for; None where no run was named.
    """

    def __init__(self, recording_id: str | None, *, run_id: str | None = None, store: str = "") -> None:
        self.recording_id = recording_id
        self.run_id = run_id
        which = "" if recording_id is None else f" {recording_id!r}"
        of_run = "" if run_id is None else f" of run {run_id!r}"
        super().__init__(f"there is no recording{which}{of_run}.", store=store)


class RecordingConflictError(StoreError):
    """A signal is already there with other content, or would leave a gap: somebody else writes this recording.

    Attributes:
        recording_id: The recording.
        seq: The position that was to be written.
        reason: What stood in the way.
        successor: The recording that goes on with it, where that is what stood in the way of another one; else None.
    """

    def __init__(
        self, recording_id: str, *, seq: int, reason: str, store: str = "", successor: str | None = None
    ) -> None:
        self.recording_id = recording_id
        self.seq = seq
        self.reason = reason
        self.successor = successor
        super().__init__(f"recording {recording_id!r}, signal {seq}: {reason}. Nothing was written.", store=store)


class RecordingFinalizedError(StoreError):
    """The recording was finalized and takes no more entries.

    Attributes:
        recording_id: The recording.
        outcome: The outcome it was finalized with.
    """

    def __init__(self, recording_id: str, *, outcome: str, store: str = "") -> None:
        self.recording_id = recording_id
        self.outcome = outcome
        super().__init__(f"recording {recording_id!r} was finalized as '{outcome}' and cannot be changed.", store=store)


class ProviderError(OpenHarnessError):
    """A provider could not complete a request. Providers raise it; the harness records it as ``provider:error``.

    Attributes:
        kind: A short word for the cause: ``"timeout"``, ``"rate_limit"``, ``"authentication"``, ``"protocol"``,
            ``"context_length"`` …; ``"error"`` where none fits.
        status: The HTTP status, where there is one.
        retryable: Whether the same request may succeed later.
        retry_after: Seconds the provider asks to wait, where it says so.
        data: Anything else as a JSON value.
    """

    def __init__(
        self,
        message: str,
        *,
        kind: str = "error",
        status: int | None = None,
        retryable: bool = False,
        retry_after: float | None = None,
        data: object = None,
    ) -> None:
        self.message = message
        self.kind = kind
        self.status = status
        self.retryable = retryable
        self.retry_after = retry_after
        self.data = data
        super().__init__(message)


class MissingSecretError(ProviderError):
    """A request holds the placeholder of a secret whose value this process does not know; nothing was sent.

    It happens where the state comes from a recording: a run that is resumed or forked. The harness records it as
    ``provider:error`` of the kind ``"redaction"``.

    Attributes:
        placeholders: The placeholders: ``"[redacted:OPENAI_API_KEY]"``.
        names: What they name, as ``Redaction(secrets=...)`` takes it.
    """

    def __init__(self, placeholders: Sequence[str]) -> None:
        self.placeholders = tuple(placeholders)
        self.names = tuple(dict.fromkeys(_secret_name(placeholder) for placeholder in placeholders))
        listed = ", ".join(self.placeholders)
        example = ", ".join(f"{name!r}: ..." for name in self.names)
        super().__init__(
            f"The request holds {listed}, which stands for a secret that is not known here, and was not sent. Set the "
            f"environment variable of that name, or give redaction=Redaction(secrets={{{example}}}); "
            'Redaction(unknown="send") sends placeholders as they are.',
            kind="redaction",
            data={"placeholders": list(self.placeholders)},
        )


def _secret_name(placeholder: str) -> str:
    """The name in a placeholder, with its number, without how the value was written."""
    name, mark, number = placeholder.removeprefix("[redacted:").removesuffix("]").partition("#")
    return f"{name.partition('/')[0]}{mark}{number}"


class ReplayError(OpenHarnessError):
    """A recording could not be replayed."""


class FixtureNotFoundError(ReplayError, LookupError):
    """Replay was asked for a fixture, or a recording, that the store does not have.

    Attributes:
        name: What was asked for: the name of a fixture, or the id of a recording.
        existing: The names of the fixtures the store does have, sorted; the ids of its newest recordings where a recording
            was asked for.
        run_recording: The newest recording of the run of this id, where the id of a run was given for that of a recording.
    """

    def __init__(
        self, name: str, *, existing: Sequence[str], is_recording: bool = False, run_recording: str | None = None
    ) -> None:
        self.name = name
        self.existing = tuple(existing) if is_recording else tuple(sorted(existing))
        self.run_recording = run_recording
        listed = ", ".join(map(repr, self.existing[:_NAMED])) or "none"
        more = f" and {len(self.existing) - _NAMED} more" if len(self.existing) > _NAMED else ""
        if run_recording is not None:
            message = (
                f"{name!r} is the id of a run. Its newest recording in this store is {run_recording!r}: give that."
            )
        elif is_recording:
            message = (
                f"There is no recording {name!r} in this store. Its newest recordings: {listed}. The id of a recording is "
                "the recording_id of the run's result, of its error, and of its record in the history."
            )
        else:
            message = (
                f"There is no recording for the fixture {name!r}. Fixtures in this store: {listed}{more}. "
                'Record it by running once with mode="record" (or OPENHARNESS_MODE=record) and a provider.'
            )
        super().__init__(message)


class ReplayDriftError(ReplayError):
    """The code no longer does what the recording says it did.

    Where a function of yours raised at this place, its exception is the ``__cause__``.

    Attributes:
        report: The first difference, as a `DriftReport`. The error's text is that of the report.
    """

    def __init__(self, report: Any) -> None:
        self.report = report
        super().__init__(str(report))

    def __str__(self) -> str:
        """Return the report as text."""
        return str(self.report)


class RecordingEndedError(ReplayError):
    """The recording was never finalized and ends before the run does; up to there the replay agreed with it.

    Attributes:
        recording_id: The recording.
        seq: The number of signals that were replayed.
        state: The state after the last of them.
    """

    def __init__(self, recording_id: str, *, seq: int, state: object) -> None:
        self.recording_id = recording_id
        self.seq = seq
        self.state = state
        super().__init__(
            f"Recording {recording_id!r} is incomplete: it ends after {seq} signals while the run goes on. "
            "Record it again, or resume it."
        )


class RunError(OpenHarnessError):
    """A run did not complete.

    Attributes:
        run_id: The run, or None when it never began.
        recording_id: The recording that holds its signals, or None when nothing was recorded.
        result: The `RunResult` up to the end of the run, or None when there is none.
    """

    run_id: str | None = None
    recording_id: str | None = None
    result: Any = None


class AgentError(RunError):
    """An agent failed: its provider, a tool, its guard, its prompt, or a reducer.

    Attributes:
        agent: The agent's name; None for a failing reducer or ``end_when``.
        activation: The activation (``"analyzer#1"``), or None.
        kind: What failed: ``"provider"``, ``"guard"``, ``"prompt"``, ``"reducer"``, ``"update"``, ``"emit"``,
            ``"end_when"``, ``"tools"`` where the model went beyond ``max_turns`` or ``tool_retries``, or ``"output"``
            where it went beyond ``output_retries``.
        message: The message of what failed.
        data: Details as a JSON value: ``type``, the name of the exception. For ``"provider"`` also ``kind``, ``status``,
            ``retryable``, ``retry_after`` and ``data`` of the `ProviderError`, as far as it has them, as they are recorded
            and so without secrets. For ``"tools"`` and ``"output"`` also ``limit`` and ``value`` of what was reached; for
            ``"output"`` also, as ``error``, the ``path``, ``reason`` and ``message`` of what is wrong with the last answer.
    """

    def __init__(
        self, *, agent: str | None, activation: str | None, kind: str, message: str, data: object = None
    ) -> None:
        self.agent = agent
        self.activation = activation
        self.kind = kind
        self.message = message
        self.data = data
        who = f"Agent {agent!r} failed" if agent else "The run failed"
        where = f" in {activation}" if activation else ""
        super().__init__(f"{who}{where} ({kind}): {message}")


class LimitExceededError(RunError):
    """The run was stopped by one of its limits.

    Attributes:
        limit: The name of the limit: ``"max_activations"``, ``"max_depth"``, ``"max_tokens"`` or ``"max_cost"``;
            ``"max_chain"`` and ``"max_chained"`` where reducers, or guards that fail, cause one another within one
            step. ``"max_turns"``, ``"tool_retries"`` and ``"output_retries"`` are those of an agent, and the cause of an
            `AgentError`.
        value: The limit's value; of ``"max_cost"`` in US dollars.
        agent: The agent whose activation would have gone beyond it, or whose answer did; None where neither is so, as
            when a run is resumed or forked that has used more already.
        spent: What the run has used, of ``"max_tokens"`` and ``"max_cost"``; None for the others.
        reason: For ``"output_retries"``, what is wrong with the last answer; else empty.
    """

    def __init__(
        self, *, limit: str, value: float, agent: str | None, spent: float | None = None, reason: str = ""
    ) -> None:
        self.limit = limit
        self.value = value
        self.agent = agent
        self.spent = spent
        self.reason = reason
        if spent is not None:
            used = f"has used {spent} tokens" if limit == "max_tokens" else f"has cost {spent:.6g} US dollars"
            whose = "" if agent is None else f" with an answer to agent {agent!r}"
            super().__init__(
                f"The run {used}{whose}, and may not go beyond {limit}={value}. If the rest is worth it, resume the run "
                "with a higher limit: no answer that it has is paid for again."
            )
        elif agent is None:
            super().__init__(
                f"The run reached {limit}={value} within one step: reducers, or guards that fail, cause one another "
                "without end. A reducer for '**' also sees the changes it makes itself."
            )
        elif limit == "max_turns":
            super().__init__(
                f"The model of agent {agent!r} asked for tools in all of {limit}={value} turns. If it is not going round in "
                "circles, raise max_turns."
            )
        elif limit == "tool_retries":
            super().__init__(
                f"The model of agent {agent!r} went on asking for tools that do not exist, or with arguments that do not "
                f"fit, after it was told {value} times ({limit}={value})."
            )
        elif limit == "output_retries":
            super().__init__(
                f"The model of agent {agent!r} gave an answer that is not of the type of the agent's output, after it was "
                f"told {value} times ({limit}={value}): {reason}"
            )
        else:
            super().__init__(
                f"The run reached {limit}={value} when agent {agent!r} was to be activated once more. "
                "If agents are not triggering each other without end, raise the limit."
            )


class UnknownUsageError(RunError):
    """The run has a limit on tokens or cost, and a provider did not tell what an answer took: it was stopped.

    Attributes:
        limit: The name of the limit: ``"max_tokens"`` or ``"max_cost"``.
        value: The limit's value; of ``"max_cost"`` in US dollars.
        agent: The agent that was answered.
        call: The request: ``"analyzer#1/0/0"``.
    """

    def __init__(self, *, limit: str, value: float, agent: str, call: str) -> None:
        self.limit = limit
        self.value = value
        self.agent = agent
        self.call = call
        if limit == "max_tokens":
            unknown, remedy = "how many tokens it took", "leave max_tokens out"
        else:
            unknown = "what it cost, as for a model without a known price"
            remedy = "limit max_tokens instead"
        super().__init__(
            f"The run may not go beyond {limit}={value}, and the provider of agent {agent!r} did not tell of the answer to "
            f"{call} {unknown}. Use a provider and a model that do, tell it in ProviderOutput.usage of a provider of your "
            f"own (a cost of 0.0 is known), or {remedy}; the run can be resumed."
        )


def _few(items: Sequence[_T], tell: Callable[[_T], str]) -> list[str]:
    """Return what is told of the first few, and how many more there are."""
    more = [f"{len(items) - _LISTED} more"] if len(items) > _LISTED else []
    return [*map(tell, items[:_LISTED]), *more]


_WAITED = {
    "provider": "the answer of provider {name!r} to agent {agent!r} ({id})",
    "retry": "the next attempt of agent {agent!r} ({id})",
    "tool": "the tool {name!r} of agent {agent!r} ({id})",
    "approval": "the approval of the tool {name!r} of agent {agent!r} ({id})",
    "slot": "a slot for agent {agent!r} ({id})",
}


class HarnessTimeoutError(RunError, TimeoutError):
    """The run took longer than its ``timeout``; what was under way was stopped, and its recording finalized.

    Attributes:
        timeout: The limit in seconds.
        pending: What the run was waiting for, as JSON objects. ``kind`` is ``"provider"`` (an answer), ``"retry"`` (the next
            attempt), ``"tool"``, ``"approval"`` of a tool, or ``"slot"`` (``max_concurrency``); ``id`` is the call, or the
            activation where there is none; ``agent`` is the agent's name, ``name`` the tool's name or the type of the
            provider.
    """

    def __init__(
        self, *, timeout: float | None, pending: Sequence[Mapping[str, Any]] = (), waits_for_finish: bool = False
    ) -> None:
        self.timeout = timeout
        self.pending = tuple(pending)
        limit = "its timeout" if timeout is None else f"its timeout of {timeout:g} s"
        listed = _few(self.pending, lambda one: _WAITED[one["kind"]].format(**one))
        if not listed and waits_for_finish:
            listed.append("signals from outside, or finish()")
        waited = f" It was waiting for {', '.join(listed)}." if listed else ""
        super().__init__(f"The run took longer than {limit}.{waited}")


class RunCancelledError(RunError, asyncio.CancelledError):
    """The recorded run was cancelled, and its replay ends the same way."""

    def __init__(self) -> None:
        super().__init__("The recorded run was cancelled.")


def _approval(pending: Any) -> str:
    # A recording may hold anything.
    call = cast("dict[str, Any]", pending) if isinstance(pending, dict) else {}
    return f"the approval of the tool {call.get('name')!r} ({call.get('tool_call')})"


class InterruptedRunError(RunError):
    """The run waits for something that can only come from outside, such as an approval; resume it when it is there.

    Attributes:
        pending: What the run waits for, as JSON objects: of each call of a tool that needs an approval the ``tool_call``,
            ``agent``, ``name`` and ``arguments``.
    """

    def __init__(self, *, pending: Sequence[Any]) -> None:
        self.pending = tuple(pending)
        listed = ", ".join(_few(self.pending, _approval))
        super().__init__(
            f"The run waits for {listed}. When it is there, resume the run with "
            'signals=[("approval:granted", {"tool_call": ...})], or "approval:denied".'
        )


class RecorderError(RunError):
    """The signal store failed, and with it the run: what is not recorded does not happen."""


class RunEndedError(RunError):
    """A signal was injected into a run, or waited for, that has already ended; it is not part of the run.

    Attributes:
        name: The signal's name.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        super().__init__(f"The run has ended; the signal {name!r} is not part of it.")


class RunSaveError(RunError):
    """The run ended, but its record could not be saved; `result` holds what would have been returned."""


class SecretFoundError(RunError):
    """A recording was not made a fixture: something in it still looks like a secret. The recording itself is kept.

    Attributes:
        found: Where, as `SuspectedSecret` objects; at most 20. The secrets themselves are nowhere in the error.
    """

    def __init__(self, message: str, *, found: Sequence[Any]) -> None:
        self.found = tuple(found)
        listed = "; ".join(
            f"{'its header' if one.seq is None else f'signal {one.seq}'}, {one.path} ({one.rule})"
            for one in self.found[:_LISTED]
        )
        more = f"; and {len(self.found) - _LISTED} more" if len(self.found) > _LISTED else ""
        super().__init__(
            f"{message} Something in it still looks like a secret: {listed}{more}. Name the secret in Redaction(secrets=...) "
            "or Redaction(patterns=...) and record again; or, if it is none, say allow_secrets=True."
        )


class PluginError(OpenHarnessError):
    """A plugin could not be found or loaded.

    Attributes:
        group: The entry-point group that was searched.
        name: The name that was asked for.
        installed: The plugins of this kind that are installed, as pairs of name and distribution, sorted.
        command: What installs what is missing, as far as it is known; None where nothing does.
    """

    def __init__(
        self,
        message: str,
        *,
        group: str,
        name: str,
        installed: Iterable[tuple[str, str]] = (),
        command: str | None = None,
    ) -> None:
        self.group = group
        self.name = name
        self.installed = tuple(sorted(installed))
        self.command = command
        listed = ", ".join(f"{one!r} ({distribution})" for one, distribution in self.installed) or "none"
        hint = f" Install it with: {command}" if command else ""
        super().__init__(f"{message} Installed in {group}: {listed}.{hint}")


class NoPluginsError(PluginError):
    """No plugin of this kind is installed at all."""


class UnknownPluginError(PluginError):
    """Plugins of this kind are installed, but none has this name."""


class AmbiguousPluginError(PluginError):
    """Two installed distributions offer a plugin of the same name; uninstall one of them."""


class PluginLoadError(PluginError):
    """The plugin is installed, but cannot be imported, or is not what its entry point says."""


class NamespaceShadowedError(PluginError):
    """A regular package or module named ``openharness`` hides the namespace the packages share.

    Attributes:
        file: The file that hides it.
    """

    def __init__(self, message: str, *, file: str, group: str, name: str, installed: Iterable[tuple[str, str]]) -> None:
        self.file = file
        super().__init__(message, group=group, name=name, installed=installed)
