"""Random runs: agents, wiring, guards, reducers, failures and delays, all from one seed."""

from __future__ import annotations

import asyncio
import contextlib
import random
from typing import TYPE_CHECKING, Annotated, Any, Final

import attrs
import msgspec
from harness_kit import RandomProvider, wanted

from openharness.core import (
    AgentDefinition,
    AgentError,
    Completed,
    Context,
    Harness,
    InterruptedRunError,
    LimitExceededError,
    Provider,
    ProviderCapabilities,
    ProviderError,
    ProviderOutput,
    RunEndedError,
    RunResult,
    Signal,
    TextDelta,
    Tool,
    ToolContext,
    create_harness,
    tool,
)
from openharness.core.log import RunFold

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping, Sequence

    from openharness.core import ProviderEvent, ProviderRequest, RunContext

MOST_SEEN = 30
LAST = 250
"""After so many signals nobody is activated any more, so that agents which activate each other come to rest."""

FIELDS = ("f0", "f1", "f2", "f3")
TOOLS = ("steady", "failing", "blocking", "knowing")
TYPES: Final[dict[str, Any]] = {"int": int, "float": float, "described": Annotated[int, "How many."]}
"""What the parameter of a tool may be."""


@attrs.define
class State:
    """A state that remembers the order in which things happened."""

    f0: str = ""
    f1: str = ""
    f2: str = ""
    f3: str = ""
    total: int = 0
    ratio: float = 0
    seen: list[str] = attrs.field(factory=list)
    by_agent: dict[str, list[int]] = attrs.field(factory=dict)


Even = Annotated[str, msgspec.Meta(pattern="[02468]$")]
"""What agents with typed answers take: about every second answer is rejected, and asked for again."""


EXAMPLES: Final = ((), (), (("one", "eins"),), (("one", "eins"), ("two", "zwei")))
"""Worked examples that an agent may have."""


@attrs.define
class ToolSpec:
    """What a tool is made of: one of `TOOLS`, and how it is called and described."""

    does: str
    name: str
    described: str = "Be a tool."
    takes: str = "int"
    idempotent: bool = False
    needs_approval: bool = False


@attrs.define
class AgentSpec:
    """What an agent is made of, as plain data that a test can change."""

    name: str
    activate_on: list[str]
    emits: list[str]
    updates: str | None
    guard: tuple[str, int] | None
    prompt: tuple[str, int]
    on_error: str = "continue"
    retries: int = 0
    fails: tuple[str, ...] = ()
    model: str | None = None
    temperature: float | None = None
    max_tokens: int | None = None
    system: str | None = None
    stop: tuple[str, ...] = ()
    seed: int | None = None
    tools: list[ToolSpec] = attrs.field(factory=list)
    max_turns: int = 4
    tool_retries: int = 3
    typed: bool = False
    output_retries: int = 2
    history: str = "none"
    history_tokens: int = 200
    examples: tuple[tuple[str, str], ...] = ()


@attrs.define
class RunSpec:
    """What a run is made of, as plain data that a test can change."""

    seed: int
    agents: list[AgentSpec]
    reducers: list[tuple[str, str, int]]
    state: State
    input: Any
    end_at: int | None
    max_concurrency: int | None
    injections: list[tuple[str, Any]]
    interactive: bool
    repeatable: bool = False
    max_activations: int = 10_000
    max_depth: int = 10_000
    max_tool_concurrency: int | None = 16


def make_spec(  # noqa: C901 - one draw after another
    seed: int, *, most: int = 30, repeatable: bool = False, tools: bool = False
) -> RunSpec:
    """Return the run of a seed: 2 agents or more, that wait for the start, for each other, and for the state.

    A repeatable one depends on no clock, so that with a steady provider two live runs of it have the same signals.
    """
    chance = random.Random(seed)
    count = chance.randint(2, most)
    interactive = chance.random() < 0.3 and not repeatable
    injections = (
        [(f"outside:{chance.randint(0, 2)}", {"n": n}) for n in range(chance.randint(1, 4))] if interactive else []
    )
    agents: list[AgentSpec] = []
    for number in range(count):
        emitted = [f"out:{number}"] if chance.random() < 0.8 else []
        if chance.random() < 0.2:
            emitted.append("shared:news")
        earlier = [name for agent in agents for name in agent.emits]
        sources = ["harness:start"]
        if earlier and chance.random() < 0.7:
            sources = chance.sample(earlier, min(len(earlier), chance.randint(1, 2)))
            if chance.random() < 0.1:
                sources.append("harness:start")
        if agents and chance.random() < 0.15:
            sources.append(chance.choice(["shared:*", "agent:error", "state:f0:changed", "text:complete", "outside:*"]))
        if interactive and chance.random() < 0.3:
            sources.append(f"outside:{chance.randint(0, 2)}")
        if not interactive or not injections:
            sources = [source for source in sources if not source.startswith("outside")] or ["harness:start"]
        agents.append(
            AgentSpec(
                name=f"agent{number}",
                activate_on=list(dict.fromkeys(sources)),
                emits=emitted,
                updates=chance.choice([None, None, *FIELDS]),
                guard=chance.choice(
                    [None, ("order", chance.randint(2, 5)), ("state", chance.randint(2, 4)), ("random", 2), ("now", 3)]
                ),
                prompt=(chance.choice(["template", "order", "random", "now", "input"]), chance.randint(0, 9)),
                on_error="continue",
                retries=chance.choice([0, 0, 1, 2]),
                fails=tuple(chance.choices(["", "retry", "hard", "prompt", "guard"], weights=[8, 2, 1, 1, 1], k=2)),
            )
        )
    _repair(agents)
    patterns = [
        "harness:start",
        "text:complete",
        "agent:**",
        "text:delta",
        "provider:end",
        "state:f1:changed",
        "*:complete",
    ]
    reducers = [
        (pattern, chance.choice(["append", "count", "new", "random"]), chance.randint(1, 9))
        for pattern in chance.sample(patterns, chance.randint(0, 4))
    ]
    if repeatable:
        for agent in agents:
            agent.retries = 0
            agent.guard = ("order", 3) if agent.guard is not None and agent.guard[0] == "now" else agent.guard
            agent.prompt = ("order", agent.prompt[1]) if agent.prompt[0] in ("now", "template") else agent.prompt
    spec = RunSpec(
        seed=chance.getrandbits(32),
        agents=agents,
        reducers=reducers,
        state=State(f0=chance.choice(["", "é\ud83d", "x"]), total=chance.randint(0, 3)),
        input=chance.choice([None, 1, "text", {"a": [1, 2.5, None]}]),
        end_at=chance.choice([None, None, None, chance.randint(5, 60)]),
        max_concurrency=chance.choice([None, None, 1, 3]),
        injections=injections,
        interactive=interactive,
        repeatable=repeatable,
    )
    spec.max_tool_concurrency = 1 + spec.seed % 5
    if tools:
        # Drawn apart, so that the runs are otherwise what they are without tools.
        _equip(spec, random.Random(f"tools/{seed}"))
        let_remember(spec, seed)
    return spec


def _equip(spec: RunSpec, chance: random.Random) -> None:
    """Give tools to agents; in repeatable runs also what only tools and whoever limits them make use of."""
    for agent in spec.agents:
        idempotent = agent.name.endswith(("1", "3"))
        # Nobody knows in which turn of the loop a thread ends.
        names = [name for name in TOOLS if chance.random() < 0.25 and not (spec.repeatable and name == "blocking")]
        agent.tools = [ToolSpec(name, name, idempotent=idempotent) for name in names]
    if not spec.repeatable:
        return
    for agent in spec.agents:
        agent.system = chance.choice([None, None, "Be brief."])
        agent.stop = chance.choice([(), (), ("END",)])
        agent.seed = chance.choice([None, None, 1])
        agent.max_turns = chance.choice([4, 4, 2])
        agent.tool_retries = chance.choice([3, 3, 1, 0])
        if chance.random() < 0.1:
            agent.activate_on.append(chance.choice(["tool:result", "tool:*", "approval:requested"]))
        for each in agent.tools:
            each.needs_approval = chance.random() < 0.1
    if chance.random() < 0.4:
        spec.reducers.append(("tool:*", chance.choice(["append", "count"]), chance.randint(1, 9)))
    spec.max_activations = chance.choice([10_000] * 5 + [chance.randint(3, 20)])
    spec.max_depth = chance.choice([10_000] * 5 + [chance.randint(2, 4)])


def let_remember(spec: RunSpec, seed: int) -> None:
    """Give agents typed answers, a history, and worked examples."""
    chance = random.Random(f"conversations/{seed}")
    for agent in spec.agents:
        agent.typed = chance.random() < 0.3
        agent.output_retries = chance.choice([2, 2, 1, 0])
        agent.history = chance.choice(["none", "agent", "agent"])
        agent.history_tokens = chance.choice([0, 100, 8_000, 8_000])
        agent.examples = chance.choice(EXAMPLES)


def _repair(agents: list[AgentSpec]) -> None:
    """Make sure that every pattern can match, and that something begins."""
    if not any(name.startswith("shared:") for agent in agents for name in agent.emits):
        for agent in agents:
            agent.activate_on = [source for source in agent.activate_on if source != "shared:*"] or ["harness:start"]
    if all("harness:start" not in agent.activate_on for agent in agents):
        agents[0].activate_on = ["harness:start"]


def _guard(spec: AgentSpec) -> Callable[[Context[State]], bool]:
    guard = _own_guard(spec)
    return lambda ctx: ctx.signal.seq < LAST and guard(ctx)


def _own_guard(spec: AgentSpec) -> Callable[[Context[State]], bool]:
    if "guard" in spec.fails:

        def failing(ctx: Context[State]) -> bool:
            if len(ctx.state.seen) % 3 == 1:
                message = f"guard at {len(ctx.state.seen)}"
                raise RuntimeError(message)
            return True

        return failing
    if spec.guard is None:
        return lambda ctx: True
    kind, number = spec.guard
    guards: dict[str, Callable[[Context[State]], bool]] = {
        "order": lambda ctx: len(ctx.state.seen) % number != 1,
        "state": lambda ctx: (ctx.state.total + len(ctx.state.f1)) % number != 0,
        "random": lambda ctx: ctx.random.random() < 0.7,
        "now": lambda ctx: ctx.now % number != 0,
    }
    return guards[kind]


def _prompt(spec: AgentSpec) -> str | Callable[[Context[State]], str]:
    kind, number = spec.prompt
    if "prompt" in spec.fails:

        def failing(ctx: Context[State]) -> str:
            if ctx.state.total % 4 == 3:
                raise RuntimeError("prompt")
            return f"p{number} {ctx.state.total}"

        return failing
    prompts: dict[str, str | Callable[[Context[State]], str]] = {
        "state": "{{ state }}",
        "template": f"{number}: {{{{ state.f0 }}}} {{{{ state.seen|length }}}} {{{{ signal.name }}}} {{{{ now }}}}",
        "order": lambda ctx: f"{number} {'/'.join(ctx.state.seen[-5:])}",
        "random": lambda ctx: f"{number} {ctx.random.randint(0, 999)}",
        "now": lambda ctx: f"{number} {ctx.now}",
        "input": lambda ctx: f"{number} {ctx.input} {ctx.signal.seq}",
    }
    return prompts[kind]


def _reducer(kind: str, number: int) -> Any:
    def append(state: State, signal: Signal) -> None:
        state.seen.append(f"{signal.name}@{signal.source.agent}")
        if len(state.seen) > MOST_SEEN:
            del state.seen[: MOST_SEEN // 2]
        if signal.source.agent is not None and signal.seq % 3 == 0:
            state.by_agent[signal.source.agent] = [*state.by_agent.get(signal.source.agent, []), signal.seq][-5:]

    def count(state: State, signal: Signal) -> None:
        state.total = (state.total * 31 + signal.seq + number) % 1009
        state.ratio = state.total / 7 if signal.seq % 3 else 1

    def new(state: State, signal: Signal) -> State:
        return attrs.evolve(state, f3=f"{state.f3[-20:]}{signal.name[:1]}", total=state.total + 1)

    def draw(state: State, signal: Signal, context: Context[State]) -> None:
        state.total += context.random.randint(0, number)

    return {"append": append, "count": count, "new": new, "random": draw}[kind]


def _tool(spec: ToolSpec, wait: Callable[[int], Awaitable[None]]) -> Tool:
    async def steady(number: int) -> dict[str, float]:
        await wait(number)
        return {"b": number, "a": number / 2}

    async def failing(number: int) -> None:
        await wait(number)
        message = f"no {number}"
        raise LookupError(message)

    def blocking(number: int) -> str:
        return "x" * (number % 5)

    async def knowing(number: int, ctx: ToolContext[State]) -> str:
        await wait(number)
        return f"{ctx.tool_call} {number}"

    function: Any = {"steady": steady, "failing": failing, "blocking": blocking, "knowing": knowing}[spec.does]
    function.__annotations__["number"] = TYPES[spec.takes]
    return tool(
        function,
        name=spec.name,
        description=spec.described,
        idempotent=spec.idempotent,
        needs_approval=spec.needs_approval,
    )


async def _by_number(number: int) -> None:
    """Wait for a number of turns of the loop that is the same in every run."""
    for _ in range(number % 4):
        await asyncio.sleep(0)


async def _by_chance(number: int) -> None:
    """Wait for as long as it happens to take."""
    await (asyncio.sleep(random.random() * 0.002) if random.random() < 0.5 else _by_number(number))


def _failing(spec: RunSpec) -> Callable[[str, int], ProviderError | None]:
    kinds = {agent.name: agent.fails for agent in spec.agents}

    def failing(agent: str, attempt: int) -> ProviderError | None:
        if "hard" in kinds.get(agent, ()):
            return ProviderError("it will not", kind="refused", status=400, data={"agent": agent})
        if "retry" in kinds.get(agent, ()) and attempt < 2:
            return ProviderError("later", kind="rate_limit", retryable=True, retry_after=0.0 if attempt else None)
        return None

    return failing


def build(spec: RunSpec) -> tuple[Harness[State], dict[str, Any]]:
    """Return a harness and the keywords of the run."""
    harness = create_harness(State)
    # The order in which tools end that run at once is a matter of time; in repeatable runs, of turns of the loop.
    wait = _by_number if spec.repeatable else _by_chance
    agents: Mapping[str, AgentDefinition[State]] = {
        agent.name: harness.agent(
            prompt=_prompt(agent),
            activate_on=agent.activate_on,
            emits=agent.emits,
            updates=agent.updates,
            when=_guard(agent),
            on_error="continue" if agent.on_error == "continue" else "fail",
            retries=agent.retries,
            retry_delay=0.0005,
            model=agent.model,
            temperature=agent.temperature,
            max_tokens=agent.max_tokens,
            system=agent.system,
            stop=agent.stop,
            seed=agent.seed,
            tools=[_tool(each, wait) for each in agent.tools],
            max_turns=agent.max_turns,
            tool_retries=agent.tool_retries,
            output=Even if agent.typed else None,
            output_retries=agent.output_retries,
            history="agent" if agent.history == "agent" else "none",
            history_tokens=agent.history_tokens,
            examples=agent.examples,
        )
        for agent in spec.agents
    }
    end_at = spec.end_at
    return harness, {
        "agents": agents,
        "state": spec.state,
        "input": spec.input,
        "reducers": {pattern: _reducer(kind, number) for pattern, kind, number in spec.reducers},
        "end_when": None if end_at is None else (lambda ctx: ctx.signal.seq >= end_at),
        "max_concurrency": spec.max_concurrency,
        "max_activations": spec.max_activations,
        "max_depth": spec.max_depth,
        "max_tool_concurrency": spec.max_tool_concurrency,
    }


def provider_of(spec: RunSpec) -> RandomProvider:
    """Return the provider of a run: its delays and pieces are different every time, its answers and failures are not."""
    return RandomProvider(random.Random(), failing=_failing(spec))


def build_continuation(spec: RunSpec) -> tuple[Harness[State], dict[str, Any]]:
    """Return a harness and the keywords that a resumed or forked run takes."""
    harness, keywords = build(spec)
    for name in ("state", "input"):
        del keywords[name]
    return harness, keywords


async def live(spec: RunSpec, **options: Any) -> RunResult[State]:
    """Run live; if not told otherwise, with a provider whose delays and pieces are different every time."""
    harness, keywords = build(spec)
    keywords |= {"provider": provider_of(spec), "seed": spec.seed, **options}
    return await _outcome(harness, spec, keywords, wait=lambda: random.random() * 0.003)


async def again(spec: RunSpec, **options: Any) -> RunResult[State]:
    """Replay, with no provider; signals from outside are given at once."""
    harness, keywords = build(spec)
    keywords |= options
    return await _outcome(harness, spec, keywords, wait=lambda: 0)


async def carry_on(spec: RunSpec, recording: str, **options: Any) -> RunResult[State]:
    """Resume a recording that was cut off."""
    harness, keywords = build_continuation(spec)
    try:
        return await harness.resume(recording, **{**keywords, **options})
    except (AgentError, LimitExceededError, InterruptedRunError) as error:
        result: RunResult[State] = error.result
        return result


async def _outcome(
    harness: Harness[State], spec: RunSpec, keywords: dict[str, Any], *, wait: Callable[[], float]
) -> RunResult[State]:
    """Run to the end, whatever that is: a run that failed has a result as well."""
    try:
        if not spec.interactive:
            return await harness.run_reactive(**keywords)
        async with harness.start(**keywords) as run:
            for name, payload in spec.injections:
                await asyncio.sleep(wait())
                with contextlib.suppress(RunEndedError):
                    await run.emit(name, payload)
            await run.finish()
            return await run.result()
    except (AgentError, LimitExceededError, InterruptedRunError) as error:
        result: RunResult[State] = error.result
        return result


def check_conversations(log: Sequence[Signal]) -> int:
    """Check that requests begin with what earlier activations of their agent have said; return how many were told of it.

    What that is, is put together here from requests and answers alone; the fold of the log must say the same.
    """
    said: dict[str, list[list[Any]]] = {}
    prompts: dict[str, int] = {}
    requests: dict[str, list[Any]] = {}
    answers: dict[str, str] = {}
    told = 0
    for signal in log:
        agent, activation, payload = str(signal.source.agent), str(signal.source.activation), signal.payload
        if signal.name == "provider:start":
            requests[activation] = messages = payload["request"]["messages"]
            if payload["call"] == f"{activation}/0/0":
                history = payload.get("history")
                if history is None:
                    prompts.pop(activation, None)
                    continue
                prompts[activation] = len(messages) - 1
                said[agent] = said.get(agent, [])[history["dropped"] :]
                recalled = [message for exchange in said[agent] for message in exchange]
                assert len(recalled) == history["messages"]
                assert messages[len(messages) - 1 - len(recalled) : -1] == recalled
                told += bool(recalled)
        elif signal.name == "provider:end":
            answers[activation] = payload["output"]["content"]
        elif signal.name == "agent:completed" and activation in prompts:
            answer = {"role": "assistant", "content": answers[activation]}
            said.setdefault(agent, []).append([*requests[activation][prompts[activation] :], answer])
    folded = RunFold.of(log).conversations
    assert {agent: [list(exchange.messages) for exchange in folded[agent]] for agent in folded} == said
    return told


class SteadyProvider(Provider):
    """Answers a function of the request in a number of turns that is one too, so that live runs repeat."""

    type = "steady"
    capabilities = ProviderCapabilities(tools=True, output_schema=True)

    def __init__(self, spec: RunSpec) -> None:
        self._hard = {agent.name for agent in spec.agents if "hard" in agent.fails}

    async def run(self, request: ProviderRequest, context: RunContext) -> AsyncGenerator[ProviderEvent, None]:
        """Answer."""
        number = sum(map(ord, f"{context.agent}{request.messages[-1].content}"))
        for _ in range(number % 7):
            await asyncio.sleep(0)
        if context.agent in self._hard:
            raise ProviderError("it will not", kind="refused")
        for call in wanted(request):
            yield call
        answer = f"{context.agent}:{number % 97}"
        if request.output_schema is not None:
            answer = f'{{"value": "{answer}"}}'
        yield TextDelta(answer[:6])
        for _ in range(number % 3):
            await asyncio.sleep(0)
        yield TextDelta(answer[6:])
        yield Completed(ProviderOutput(content=answer))
