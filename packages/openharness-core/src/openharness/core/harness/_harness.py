"""The harness: where agents are defined and runs begin."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Generic, TypeVar, Unpack, cast, overload

from openharness.core.agents import (
    HISTORY_TOKENS,
    MAX_TURNS,
    NO_OPTIONS,
    OUTPUT_RETRIES,
    TOOL_RETRIES,
    AgentDefinition,
    define_agent,
)
from openharness.core.engine import KeptPlans
from openharness.core.errors import DefinitionError
from openharness.core.harness._backends import DEFAULT_REDACTION, Defaults
from openharness.core.harness._handle import RunStream, StartedRun
from openharness.core.harness._options import (
    DriftMode,
    ForkOptions,
    Mode,
    ResumeOptions,
    RunOptions,
    Settings,
    check_drift,
    check_redaction,
)
from openharness.core.harness._runner import Runner
from openharness.core.harness._subscriptions import BUFFER, StreamBuffer, subscription
from openharness.core.log import volatile_rules
from openharness.core.state import StateSchema

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from openharness.core.agents import Context, ExamplesLike, Guard, History, OnError, Prompt, Tool
    from openharness.core.harness._result import RunResult
    from openharness.core.harness._subscriptions import BufferPolicy, Subscriber, Subscription
    from openharness.core.interfaces import Provider, RunStore, SignalStore
    from openharness.core.log import VolatileLike
    from openharness.core.patterns import PatternLike
    from openharness.core.redaction import Redaction
    from openharness.core.values import JSONValue

__all__ = ("Harness", "create_harness")

S = TypeVar("S")


class Harness(Generic[S]):
    """Defines agents over one type of state, and runs them. Made by `create_harness`.

    A harness holds no state of a run: any number of runs may go on at once.
    """

    def __init__(self, schema: StateSchema[S], defaults: Defaults) -> None:
        self._schema = schema
        self._defaults = defaults
        self._plans: KeptPlans[S] = KeptPlans()
        self._subscriptions: list[Subscription] = []

    def __repr__(self) -> str:
        """Name the type of the state."""
        return f"Harness({self._schema.kind.__name__})"

    @overload
    def agent(
        self,
        *,
        prompt: Prompt[S],
        activate_on: PatternLike | Iterable[PatternLike],
        name: str | None = ...,
        system: Prompt[S] | None = ...,
        emits: str | Iterable[str] = ...,
        when: Guard[S] | None = ...,
        updates: str | None = ...,
        provider: Provider | None = ...,
        model: str | None = ...,
        max_tokens: int | None = ...,
        temperature: float | None = ...,
        stop: str | Iterable[str] = ...,
        seed: int | None = ...,
        options: Mapping[str, JSONValue] = ...,
        timeout: float | None = ...,
        retries: int = ...,
        retry_delay: float = ...,
        on_error: OnError = ...,
        tools: Iterable[Tool | Callable[..., Any]] = ...,
        max_turns: int = ...,
        tool_retries: int = ...,
        examples: ExamplesLike = ...,
        output: Any = ...,
        output_retries: int = ...,
        history: History = ...,
        history_tokens: int = ...,
        volatile: VolatileLike | Iterable[VolatileLike] = ...,
    ) -> AgentDefinition[S]: ...

    @overload
    def agent(
        self,
        *,
        activate_on: PatternLike | Iterable[PatternLike],
        name: str | None = ...,
        system: Prompt[S] | None = ...,
        emits: str | Iterable[str] = ...,
        when: Guard[S] | None = ...,
        updates: str | None = ...,
        provider: Provider | None = ...,
        model: str | None = ...,
        max_tokens: int | None = ...,
        temperature: float | None = ...,
        stop: str | Iterable[str] = ...,
        seed: int | None = ...,
        options: Mapping[str, JSONValue] = ...,
        timeout: float | None = ...,
        retries: int = ...,
        retry_delay: float = ...,
        on_error: OnError = ...,
        tools: Iterable[Tool | Callable[..., Any]] = ...,
        max_turns: int = ...,
        tool_retries: int = ...,
        examples: ExamplesLike = ...,
        output: Any = ...,
        output_retries: int = ...,
        history: History = ...,
        history_tokens: int = ...,
        volatile: VolatileLike | Iterable[VolatileLike] = ...,
    ) -> Callable[[Callable[[Context[S]], str]], AgentDefinition[S]]: ...

    def agent(
        self,
        *,
        prompt: Prompt[S] | None = None,
        activate_on: PatternLike | Iterable[PatternLike],
        name: str | None = None,
        system: Prompt[S] | None = None,
        emits: str | Iterable[str] = (),
        when: Guard[S] | None = None,
        updates: str | None = None,
        provider: Provider | None = None,
        model: str | None = None,
        max_tokens: int | None = None,
        temperature: float | None = None,
        stop: str | Iterable[str] = (),
        seed: int | None = None,
        options: Mapping[str, JSONValue] = NO_OPTIONS,
        timeout: float | None = None,
        retries: int = 0,
        retry_delay: float = 0.5,
        on_error: OnError = "fail",
        tools: Iterable[Tool | Callable[..., Any]] = (),
        max_turns: int = MAX_TURNS,
        tool_retries: int = TOOL_RETRIES,
        examples: ExamplesLike = (),
        output: Any = None,
        output_retries: int = OUTPUT_RETRIES,
        history: History = "none",
        history_tokens: int = HISTORY_TOKENS,
        volatile: VolatileLike | Iterable[VolatileLike] = (),
    ) -> AgentDefinition[S] | Callable[[Callable[[Context[S]], str]], AgentDefinition[S]]:
        """Define an agent; or, without ``prompt``, decorate the function that makes its prompt.

        The decorated function takes the context and returns the prompt; the agent's name is the function's. Functions
        are called inside of a step and never wait: ``async def`` is refused.

        Args:
            prompt: Sent as the user's message: a template (``"Analyse: {{ state.input }}"``), or a function of the
                context.
            activate_on: A pattern, or several, of the signals that activate the agent. Wildcards do not match
                streaming deltas (``text:delta``); the literal name does.
            name: The agent's name, for agents given to a run as a sequence.
            system: The system prompt, in the same forms.
            emits: Names of the signals that announce the answer, with the payload ``{"agent": name, "output": answer}``.
            when: A guard: a function of the context that decides whether a match activates the agent.
            updates: The state field that takes the answer.
            provider: The agent's own provider.
            model: The model's name.
            max_tokens: The most tokens the answer may have.
            temperature: Randomness from 0 on.
            stop: Texts at which the answer ends.
            seed: Makes sampling repeatable where the provider can.
            options: Further parameters of the model's API, by the names it has for them: ``{"top_p": 0.9}``. The
                provider passes them on as they are; a recording holds them.
            timeout: Seconds one attempt may take.
            retries: How often a request is sent again after an error that may pass; 0 by default.
            retry_delay: Seconds before the first retry, doubled for each further one; what the provider asks for goes
                first.
            on_error: ``"fail"`` (default): the run fails with the agent. ``"continue"``: ``agent:error`` is all that
                happens.
            tools: Functions and `Tool` objects that the model may ask for. Functions are made tools as `tool` does. The
                model is given their results and asked again, until it asks for no tool any more.
            max_turns: Requests that one activation may make, 10 by default. An answer to the last one that asks for a
                tool fails the agent.
            tool_retries: Turns in a row, 3 by default, in which the model may ask for tools that do not exist, or with
                arguments that do not fit. It is told so each time; after that the agent fails.
            examples: Worked examples, which stand between system prompt and prompt in every request: `Message` objects,
                or pairs of what a user says and what the model should answer. Small models need them to call tools.
            output: The type of the answer: an attrs class, dataclass, TypedDict or Pydantic model, or another type that a
                tool's parameter may have. The provider is asked for its structured output, what it answers is checked,
                and ``updates`` and ``emits`` get the object. Without it, the answer is text.
            output_retries: How often in one activation, 2 by default, a model whose answer does not fit ``output`` is
                told so and asked again; after that the agent fails. These requests do not count for ``max_turns``.
            history: ``"agent"``: each request begins with what earlier activations of this agent in the run have said,
                with their tools and results. ``"none"`` (default): an activation knows of none before it.
            history_tokens: The most tokens that may take, 8,000 by default. The oldest activations are left out, each as
                a whole. Tokens are those that the provider has counted; where it counts none, one is taken for every
                four bytes.
            volatile: Parts of the agent's signals that do not count when a replay is compared with its recording, such
                as a date in its prompt; see `Volatile`.

        Raises:
            DefinitionError: An option cannot work; nothing has to run to find out.
        """

        def define(prompt: Prompt[S], name: str | None) -> AgentDefinition[S]:
            return define_agent(
                fields=self._schema.fields,
                name=name,
                prompt=prompt,
                system=system,
                activate_on=activate_on,
                emits=emits,
                when=when,
                updates=updates,
                provider=provider,
                model=model,
                max_tokens=max_tokens,
                temperature=temperature,
                stop=stop,
                seed=seed,
                options=options,
                timeout=timeout,
                retries=retries,
                retry_delay=retry_delay,
                on_error=on_error,
                tools=tools,
                max_turns=max_turns,
                tool_retries=tool_retries,
                examples=examples,
                output=output,
                output_retries=output_retries,
                history=history,
                history_tokens=history_tokens,
                volatile=volatile,
            )

        def decorate(function: Callable[[Context[S]], str]) -> AgentDefinition[S]:
            given = name or getattr(function, "__name__", None)
            if isinstance(function, str):
                raise DefinitionError("The decorator form takes a function; a template is given as prompt=.")
            return define(function, given)

        return decorate if prompt is None else define(prompt, name)

    async def run_reactive(self, **options: Unpack[RunOptions[S]]) -> RunResult[S]:
        """Run agents until nothing is left to do, and return the result.

        The run begins with the signal ``harness:start``; each signal may activate agents, whose answers make further
        signals; when no agent is active, ``harness:end`` ends it.

        Args:
            **options: See `RunOptions`.

        Raises:
            DefinitionError: Something about the agents cannot work; nothing has run.
            AgentError: An agent failed (and its ``on_error`` is ``"fail"``), or a reducer or ``end_when`` did.
            LimitExceededError: The run reached one of its limits.
            UnknownUsageError: A limit was given for what a provider does not tell.
            HarnessTimeoutError: It took longer than ``timeout``.
            InterruptedRunError: It waits for approvals alone, which can only come when it is resumed.
            RecorderError: The signal store failed.
            SecretFoundError: It completed, and something that looks like a secret keeps its recording from being
                published.
            RunSaveError: The run ended, but its record could not be saved; the error has the result.
            FixtureNotFoundError: Replay was asked for a recording that does not exist.
            ReplayDriftError: The code no longer does what was recorded.
            RecordingEndedError: The recording is incomplete.
        """
        return await self._runner(Settings.of("run_reactive", options, RunOptions)).run()

    def start(self, **options: Unpack[RunOptions[S]]) -> StartedRun[S]:
        """Begin a run that takes signals from outside, such as a person's approval or a webhook.

        ``async with harness.start(...) as run:`` begins it; inside, ``await run.emit(name, payload)`` injects signals.
        It ends once nothing is left to do after ``run.finish()``, which leaving the block calls.

        Args:
            **options: See `RunOptions`.
        """
        return StartedRun(self._runner(Settings.of("start", options, RunOptions), interactive=True))

    def stream(self, **options: Unpack[RunOptions[S]]) -> RunStream[S]:
        """Run agents and yield the run's signals while it goes on, each once it is durable.

        ``async for signal in harness.stream(...)``; leaving the loop cancels the run. The run waits when nobody takes
        its signals.

        Args:
            **options: See `RunOptions`.
        """
        buffer = StreamBuffer()
        return RunStream(self._runner(Settings.of("stream", options, RunOptions), stream=buffer), buffer)

    async def resume(self, recording_id: str, **options: Unpack[ResumeOptions[S]]) -> RunResult[S]:
        """Go on with a run that crashed, was cancelled, timed out or failed, and return its result.

        What was recorded is run again without calling anybody, up to where the recording ends or to before what ended
        the run; then the run goes on with real providers. Calls that had ended are not made again; calls in flight
        begin anew (``provider:restart``). A recording that was never finalized is written further; any other one
        stays as it is, and the run goes on in a new one (`RecordingInfo.resumed_from`).

        Args:
            recording_id: The recording of the run.
            **options: See `ResumeOptions`.

        Raises:
            InvalidValueError: The run has completed, or the recording is empty; or ``signals`` were given to a run that
                ends with what is recorded.
            RecordingConflictError: Somebody else goes on with this recording, or has done so (as the cause of a
                `RecorderError`, which names the recording that goes on); no provider was called and no tool run.
            ReplayDriftError: The code no longer does what was recorded; ``rebuild="fold"`` accepts that.
            FixtureNotFoundError: There is no such recording.

        Everything else as in `run_reactive`.
        """
        return await self._runner(Settings.of("resume", options, ResumeOptions)).resume(recording_id)

    async def fork(self, recording_id: str, **options: Unpack[ForkOptions[S]]) -> RunResult[S]:
        """Begin a new run that shares the beginning of a recorded one, with other agents or another state.

        The beginning is taken over without running anything of it again. Activations that were at work at that point
        ask again, with the prompts and the providers they have now.

        Args:
            recording_id: The recording of the run to fork.
            **options: See `ForkOptions`.

        Returns:
            The result of the new run; its record names the old one as `RunRecord.parent_run_id`.

        Raises:
            FixtureNotFoundError: There is no such recording.
            UnknownNameError: An agent is at work at that point that the fork does not have.

        Everything else as in `run_reactive`.
        """
        return await self._runner(Settings.of("fork", options, ForkOptions)).fork(recording_id)

    def subscribe(
        self,
        pattern: PatternLike | Sequence[PatternLike],
        function: Subscriber,
        *,
        buffer: int = BUFFER,
        policy: BufferPolicy = "block",
    ) -> Subscription:
        """Call a function with the signals of every run of this harness that begins from now on.

        It is called outside of the run's steps, after the signal is durable, one signal at a time and in order. One
        that raises does not break the run: ``subscriber:error`` tells of it.

        Args:
            pattern: The signals it wants; one pattern or several.
            function: Takes a signal; may be a coroutine function.
            buffer: How many signals may wait for it; 1,024 by default.
            policy: What happens when that many do: ``"block"`` makes the run wait (though not for a subscriber
                that itself waits for the run, in ``emit`` or ``wait_for``), ``"drop"`` drops and counts,
                ``"disconnect"`` ends the subscription.

        Returns:
            The subscription, to be cancelled or used as a context manager.
        """
        subscribed = subscription(pattern, function, buffer=buffer, policy=policy)
        self._subscriptions = [other for other in self._subscriptions if other.connected]
        self._subscriptions.append(subscribed)
        return subscribed

    def _runner(
        self, settings: Settings, *, stream: StreamBuffer | None = None, interactive: bool = False
    ) -> Runner[S]:
        return Runner(
            self._schema,
            self._defaults,
            settings,
            plans=self._plans,
            subscriptions=[subscribed for subscribed in self._subscriptions if subscribed.connected],
            stream=stream,
            interactive=interactive,
        )


@overload
def create_harness(
    state_type: type[S],
    *,
    provider: Provider | str | None = ...,
    mode: Mode | None = ...,
    store: SignalStore | str | None = ...,
    run_store: RunStore | str | None = ...,
    redaction: Redaction | None = ...,
    drift: DriftMode | None = ...,
    volatile: VolatileLike | Iterable[VolatileLike] = ...,
) -> Harness[S]: ...


@overload
def create_harness(
    *,
    provider: Provider | str | None = ...,
    mode: Mode | None = ...,
    store: SignalStore | str | None = ...,
    run_store: RunStore | str | None = ...,
    redaction: Redaction | None = ...,
    drift: DriftMode | None = ...,
    volatile: VolatileLike | Iterable[VolatileLike] = ...,
) -> Harness[dict[str, Any]]: ...


def create_harness(
    state_type: Any = dict,
    *,
    provider: Provider | str | None = None,
    mode: Mode | None = None,
    store: SignalStore | str | None = None,
    run_store: RunStore | str | None = None,
    redaction: Redaction | None = DEFAULT_REDACTION,
    drift: DriftMode | None = None,
    volatile: VolatileLike | Iterable[VolatileLike] = (),
) -> Harness[Any]:
    """Return a harness for agents over one type of state.

    Args:
        state_type: An attrs class, dataclass, TypedDict, Pydantic model, or ``dict`` (the default).
        provider: For runs that do not say otherwise; else ``OPENHARNESS_PROVIDER`` is taken.
        mode: Likewise; else ``OPENHARNESS_MODE``, else ``"live"``.
        store: Likewise; else ``OPENHARNESS_SIGNAL_STORE``.
        run_store: Likewise; else ``OPENHARNESS_RUN_STORE``.
        redaction: Which texts are secrets, for runs that do not say otherwise; by default what `Redaction` says. None
            turns redaction off, which recordings tell.
        drift: Likewise; else ``"error"``.
        volatile: What does not count in replays of any of its runs; see `Volatile`. Runs and agents add to it.

    Raises:
        DefinitionError: The type cannot be a state.
        InvalidValueError: ``redaction`` is neither a `Redaction` nor None.
    """
    schema = StateSchema[Any].of(cast("type[Any]", state_type))
    check_redaction(redaction)
    return Harness(
        schema,
        Defaults(
            provider=provider,
            mode=mode,
            store=store,
            run_store=run_store,
            redaction=redaction,
            drift=check_drift(drift),
            volatile=volatile_rules(volatile),
        ),
    )
