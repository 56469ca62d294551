"""The options of a run, and where those come from that nobody gave."""

from __future__ import annotations

import difflib
import os
from typing import TYPE_CHECKING, Any, Final, Generic, Literal, Required, TypeAlias, TypedDict, TypeVar, cast

import attrs

from openharness.core.engine import Limits
from openharness.core.errors import InvalidValueError
from openharness.core.interfaces import Provider, RunStore, SignalStore
from openharness.core.log import Volatile, VolatileLike, volatile_rules
from openharness.core.records import check_id
from openharness.core.records._identifiers import optional_id
from openharness.core.redaction import Redaction
from openharness.core.values import JSONObject, JSONValue, to_json

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from openharness.core.agents import AgentDefinition, Context, Reducer

__all__ = (
    "CommonOptions",
    "DriftMode",
    "ForkOptions",
    "Mode",
    "ResumeOptions",
    "RunOptions",
    "Settings",
    "check_drift",
    "check_redaction",
    "read_mode",
)

S = TypeVar("S")

Mode: TypeAlias = Literal["live", "record", "replay", "auto"]
"""``live``: call providers. ``record``: call them and publish the recording as the fixture. ``replay``: never call
them. ``auto``: replay if the fixture exists, else record."""

DriftMode: TypeAlias = Literal["error", "warn", "ignore"]
"""What a replay does with differences. ``error``: raise at the first one. ``warn``: go on as far as the recording has
what the run asks for, and report all differences. ``ignore``: the same, without a word."""

DRIFT_MODES: Final = ("error", "warn", "ignore")
MODES: Final = ("live", "record", "replay", "auto")
SHUTDOWN_TIMEOUT: Final = 5.0


class CommonOptions(TypedDict, Generic[S], total=False):
    """The keywords that all runs take, however they begin.

    Attributes:
        agents: The agents: a mapping from names, or a sequence of agents that were named when defined. They are asked
            in this order.
        provider: What answers requests of agents without a provider of their own: a `Provider`, or the name of an
            installed one (``"claude"``).
        store: Where signals are recorded and found: a `SignalStore` or a URL (``"file:tests/fixtures"``). A ``live``
            run with a store is recorded too, under no fixture name.
        run_store: Where the run's record is kept: a `RunStore` or a URL (``"sqlite:///runs.db"``). A replay is kept
            only in one that is given here.
        reducers: Functions by the pattern of the signals they take. Each is called with the state, the signal, and (if
            it requires a third argument) the context; it changes the state in place or returns a new one.
        end_when: A function of the context. Once it is true no agent is activated any more; running ones finish.
        tags: Words to find the recording by.
        metadata: JSON values to find the run by; kept with the recording as well.
        timeout: Seconds the run may take, from the call on: what comes before its first signal counts, such as the search
            for a fixture. The replay of a recording has no limit: what timed out in it does so again.
        max_activations: Activations the run may have; 1,000 by default.
        max_depth: Activations that may cause one another in a row; 100 by default.
        max_concurrency: Activations that may run at once; any number by default. One that waits for a tool counts.
        max_tool_concurrency: Tools that may run at once, over all agents; 16 by default, None for any number.
        max_tokens: Tokens that all its requests and answers together may take, over all agents, turns and retries. The
            answer that goes beyond it ends the run with `LimitExceededError`; what runs is cancelled. A provider that
            does not tell what an answer took ends it with `UnknownUsageError`.
        max_cost: US dollars that they may cost together, by what providers tell; likewise.
        shutdown_timeout: Seconds that the end of a run may take, from where it is told to stop or ends by itself, until its
            recording is closed, its record is saved, and providers, tools and subscribers have ended; 5 by default. What
            takes longer is given up, and told.
        redaction: Which texts are secrets and are kept out of the log and the run's record; that of the harness by
            default. None turns redaction off, which the recording tells.
        allow_secrets: Publish the recording as a fixture although something in it still looks like a secret. Without it,
            such a run raises `SecretFoundError` at its end, and its recording stays unpublished.
        volatile: What does not count when a replay is compared with its recording: one or several `Volatile`, compiled
            regular expressions or paths. Adds to those of the harness and of the agents.
    """

    agents: Required[Mapping[str, AgentDefinition[S]] | Sequence[AgentDefinition[S]]]
    provider: Provider | str | None
    store: SignalStore | str | None
    run_store: RunStore | str | None
    reducers: Mapping[Any, Reducer] | None
    end_when: Callable[[Context[S]], bool] | None
    tags: Iterable[str]
    metadata: Mapping[str, Any] | None
    timeout: float | None
    max_activations: int
    max_depth: int
    max_concurrency: int | None
    max_tool_concurrency: int | None
    max_tokens: int | None
    max_cost: float | None
    shutdown_timeout: float
    redaction: Redaction | None
    allow_secrets: bool
    volatile: VolatileLike | Iterable[VolatileLike]


class RunOptions(CommonOptions[S], Generic[S], total=False):
    """The keywords of `Harness.run_reactive`, `Harness.stream` and `Harness.start`: those of `CommonOptions`, and these.

    Attributes:
        state: The initial state. Copied into the run, never shared. May be left out in a replay, which then takes the
            recorded one, and for state types that need no arguments.
        input: Any JSON value: recorded, ``ctx.input`` and ``{{ input }}``.
        mode: See `Mode`. By default that of the harness, else ``OPENHARNESS_MODE``, else ``"live"``.
        fixture: The name that the recording is published under, and that a replay looks for. A run that is given one
            must be told its mode, here, by the harness or by ``OPENHARNESS_MODE``; a ``live`` run makes no use of it.
        recording: Replay the recording with this id, whatever its name; implies ``mode="replay"``, and is refused with
            another ``mode=`` or a ``fixture=``.
        run_id: The run's id; made if not given.
        seed: The seed of ``ctx.random``; chosen by chance if not given.
        drift: What a replay does with differences to the recording; see `DriftMode`. By default that of the harness,
            else ``"error"``. Means nothing in a run that is no replay.
    """

    state: S | None
    input: Any
    mode: Mode | None
    fixture: str | None
    recording: str | None
    run_id: str | None
    seed: int | None
    drift: DriftMode | None


class ResumeOptions(CommonOptions[S], Generic[S], total=False):
    """The keywords of `Harness.resume`: those of `CommonOptions`, and these.

    Attributes:
        rebuild: ``"replay"`` (default) runs the recorded part again and compares it, so the code must be the same.
            ``"fold"`` takes it as it is and accepts changed code; the run then goes on in a recording of its own.
        signals: Signals to inject once the run goes on, as pairs of name and payload; what is refused is what
            `RunHandle.emit` refuses. Refused altogether for a run that ends with what is recorded, as one that was killed
            when it was done.
    """

    rebuild: Literal["replay", "fold"]
    signals: Iterable[tuple[str, Any]]


class ForkOptions(CommonOptions[S], Generic[S], total=False):
    """The keywords of `Harness.fork`: those of `CommonOptions`, and these.

    Attributes:
        at: The seq of a signal; the fork begins after the step it belongs to. The last one by default.
        state: What to change of the state at that point: fields and their new values, or a whole state.
        run_id: The new run's id; made if not given.
        signals: Signals to inject once the run goes on, as pairs of name and payload; what is refused is what
            `RunHandle.emit` refuses.
    """

    at: int | None
    state: Mapping[str, Any] | S | None
    run_id: str | None
    signals: Iterable[tuple[str, Any]]


NOTHING: Final = object()
_SEED_BITS: Final = 64


def _fixture(value: str | None) -> str | None:
    return optional_id(value, name="fixture")


def _recording(value: str | None) -> str | None:
    return optional_id(value, name="recording")


def _run_id(value: str | None) -> str | None:
    return optional_id(value, name="run_id")


def _timeout(value: float | None) -> float | None:
    return None if value is None else _seconds("timeout", value)


def _shutdown_timeout(value: float) -> float:
    return _seconds("shutdown_timeout", value)


def _seconds(name: str, value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not value >= 0:
        raise InvalidValueError(name, value=value, expected="seconds as a number from 0 on")
    # A plain number, as it stands in the log.
    return value if type(value) is int else float(value)


def _seed(instance: object, attribute: attrs.Attribute[Any], value: Any) -> None:
    del instance
    if value is not None and (type(value) is not int or value.bit_length() >= _SEED_BITS):
        raise InvalidValueError(attribute.name, value=value, expected="an integer of at most 64 bits")


def _pairs(value: Iterable[tuple[str, Any]]) -> tuple[tuple[str, Any], ...]:
    try:
        return tuple((name, payload) for name, payload in value)
    except (TypeError, ValueError):
        raise InvalidValueError("signals", value=value, expected="pairs of a name and a payload") from None


def _redaction(instance: object, attribute: attrs.Attribute[Any], value: object) -> None:
    del instance
    if value is not NOTHING:
        check_redaction(value, attribute.name)


def check_redaction(value: object, name: str = "redaction") -> None:
    """Refuse what is neither a `Redaction` nor None.

    Raises:
        InvalidValueError: It is something else.
    """
    if value is not None and not isinstance(value, Redaction):
        raise InvalidValueError(name, value=value, expected="a Redaction, or None for none")


def _rebuild(instance: object, attribute: attrs.Attribute[Any], value: object) -> None:
    del instance
    if value not in ("replay", "fold"):
        raise InvalidValueError(attribute.name, value=value, expected="'replay' or 'fold'")


def check_drift(mode: DriftMode | None) -> DriftMode | None:
    """Return what a replay is to do with differences.

    Raises:
        InvalidValueError: It is nothing that a replay could do.
    """
    if mode is not None and mode not in DRIFT_MODES:
        raise InvalidValueError("drift", value=mode, expected=f"one of {', '.join(DRIFT_MODES)}")
    return mode


def _drift(instance: object, attribute: attrs.Attribute[Any], value: Any) -> None:
    del instance, attribute
    check_drift(value)


def _tags(value: str | Iterable[str]) -> tuple[str, ...]:
    return tuple([check_id(tag, name="tags") for tag in ((value,) if isinstance(value, str) else value)])


def _metadata(value: Mapping[str, Any] | None) -> JSONObject | None:
    return None if value is None else cast("JSONObject", to_json(value, path="metadata"))


@attrs.frozen(kw_only=True)
class Settings:
    """The options of one run, checked; the attributes are those of the option types above."""

    agents: Any
    state: Any = None
    input: Any = NOTHING
    provider: Provider | str | None = None
    mode: Mode | None = None
    fixture: str | None = attrs.field(default=None, converter=_fixture)
    recording: str | None = attrs.field(default=None, converter=_recording)
    store: SignalStore | str | None = None
    run_store: RunStore | str | None = None
    reducers: Any = None
    end_when: Any = None
    run_id: str | None = attrs.field(default=None, converter=_run_id)
    tags: tuple[str, ...] = attrs.field(default=(), converter=_tags)
    metadata: JSONObject | None = attrs.field(default=None, converter=_metadata)
    timeout: float | None = attrs.field(default=None, converter=_timeout)
    max_activations: int = Limits().max_activations
    max_depth: int = Limits().max_depth
    max_concurrency: int | None = None
    max_tool_concurrency: int | None = Limits().max_tool_concurrency
    max_tokens: int | None = None
    max_cost: float | None = None
    shutdown_timeout: float = attrs.field(default=SHUTDOWN_TIMEOUT, converter=_shutdown_timeout)
    seed: int | None = attrs.field(default=None, validator=_seed)
    redaction: Any = attrs.field(default=NOTHING, validator=_redaction)
    allow_secrets: bool = False
    rebuild: Literal["replay", "fold"] = attrs.field(default="replay", validator=_rebuild)
    signals: tuple[tuple[str, Any], ...] = attrs.field(default=(), converter=_pairs)
    at: int | None = None
    drift: DriftMode | None = attrs.field(default=None, validator=_drift)
    volatile: tuple[Volatile, ...] = attrs.field(default=(), converter=volatile_rules)

    @classmethod
    def of(cls, function: str, options: Mapping[str, Any], kind: Any) -> Settings:
        """Return the settings of one run.

        Args:
            function: The function that was given the options, for errors.
            options: The options.
            kind: The TypedDict that says which there are.

        Raises:
            TypeError: An option does not exist, or agents are missing.
            InvalidValueError: The value of one is not right.
        """
        known: frozenset[str] = kind.__required_keys__ | kind.__optional_keys__
        for name in options:
            if name not in known:
                close = difflib.get_close_matches(name, known, n=1)
                hint = f" Did you mean {close[0]!r}?" if close else ""
                raise TypeError(f"{function}() got an unexpected keyword argument {name!r}.{hint}")
        if "agents" not in options:
            raise TypeError(f"{function}() needs agents=.")
        return cls(**options)

    def mode_of(self, default: Mode | None) -> Mode:
        """Return the mode of the run, which fits its fixture and its recording.

        Args:
            default: The mode of the harness.

        Raises:
            InvalidValueError: It is no mode, or the run was given what its mode would not use.
        """
        if self.recording is not None:
            if self.mode not in (None, "", "replay"):
                raise InvalidValueError(
                    "mode", value=self.mode, expected="'replay' or left out with recording=, which is always replayed"
                )
            if self.fixture is not None:
                raise InvalidValueError(
                    "fixture", value=self.fixture, expected="left out with recording=, which says what is replayed"
                )
            return "replay"
        mode = read_mode(self.mode, default)
        if mode is None and self.fixture is not None:
            # Whoever says "live" may leave the name in the code, which another mode then uses.
            raise InvalidValueError(
                "fixture",
                value=self.fixture,
                expected="given with a mode, as without one nothing is recorded and nothing replayed: "
                "give mode= (or OPENHARNESS_MODE) as 'record', 'replay', 'auto' or 'live'",
            )
        mode = mode or "live"
        if mode != "live" and self.fixture is None:
            raise InvalidValueError("fixture", value=None, expected=f"given with mode={mode!r}")
        return mode

    @property
    def limits(self) -> Limits:
        """The run's limits."""
        return Limits(
            max_activations=self.max_activations,
            max_depth=self.max_depth,
            max_concurrency=self.max_concurrency,
            max_tool_concurrency=self.max_tool_concurrency,
            max_tokens=self.max_tokens,
            max_cost=self.max_cost,
        )

    @property
    def input_json(self) -> JSONValue:
        """The input as JSON; None where none was given."""
        return None if self.input is NOTHING else to_json(self.input, path="input")

    @property
    def has_input(self) -> bool:
        """Whether an input was given."""
        return self.input is not NOTHING


def read_mode(given: Mode | None, default: Mode | None) -> Mode | None:
    """Return the mode of a run: the one given, else the harness's, else that of the environment; None if none is said.

    Raises:
        InvalidValueError: It is no mode.
    """
    mode = given or default
    name = "mode"
    if mode is None:
        mode = cast("Mode | None", os.environ.get("OPENHARNESS_MODE") or None)
        name = "OPENHARNESS_MODE"
    if mode is not None and mode not in MODES:
        raise InvalidValueError(name, value=mode, expected=f"one of {', '.join(MODES)}")
    return mode
