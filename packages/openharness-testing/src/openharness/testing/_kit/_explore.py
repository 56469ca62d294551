"""Random examples and random sequences of operations, for code that runs on the test's own event loop.

Hypothesis calls synchronous functions. It runs in a thread here and hands each coroutine to the loop of the test, so
that a store is used by one loop alone, as it is in an application.
"""

from __future__ import annotations

import asyncio
import random
from typing import TYPE_CHECKING, Any, TypeVar, cast

import attrs
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis.stateful import run_state_machine_as_test

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Coroutine, Iterable

    from hypothesis.stateful import RuleBasedStateMachine
    from hypothesis.strategies import SearchStrategy

    from openharness.testing._kit._contract import Contract

__all__ = ("Bridge", "explore", "explore_chances", "explore_sequences")

T = TypeVar("T")


@attrs.frozen
class Bridge:
    """Runs coroutines on an event loop from another thread.

    Attributes:
        loop: The loop.
        patience: Seconds after which a coroutine counts as hanging.
    """

    loop: asyncio.AbstractEventLoop
    patience: float

    def run(self, coroutine: Coroutine[Any, Any, T]) -> T:
        """Run a coroutine on the loop and return what it returns."""
        future = asyncio.run_coroutine_threadsafe(coroutine, self.loop)
        try:
            return future.result(self.patience)
        except TimeoutError:
            if future.done():
                raise
            future.cancel()
            pytest.fail(f"The operation took longer than {self.patience:g} s: it hangs.")


def _settings(contract: Contract) -> settings:
    examples, repeatable = contract.example_count
    return settings(
        max_examples=examples,
        stateful_step_count=contract.step_count,
        derandomize=repeatable,
        database=None,
        deadline=None,
        phases=(Phase.generate, Phase.shrink) if contract.shrink else (Phase.generate,),
        suppress_health_check=list(cast("Iterable[HealthCheck]", HealthCheck)),
        print_blob=not repeatable,
    )


async def explore(contract: Contract, strategy: SearchStrategy[T], check: Callable[[T], Awaitable[None]]) -> None:
    """Check random examples.

    Args:
        contract: The contract class, which says how many.
        strategy: Makes the examples.
        check: Fails for an example that shows a bug.
    """
    bridge = Bridge(asyncio.get_running_loop(), contract.patience)

    count = 0

    async def one(example: T) -> None:
        nonlocal count
        count += 1
        await check(example)

    @_settings(contract)
    @given(strategy)
    def every(example: T) -> None:
        bridge.run(one(example))

    await asyncio.to_thread(every)
    contract.note_figure("examples", count)


async def explore_sequences(contract: Contract, machine: Callable[[Bridge], RuleBasedStateMachine]) -> None:
    """Check random sequences of operations.

    Args:
        contract: The contract class, which says how many and how long.
        machine: Makes the state machine of one sequence.
    """
    bridge = Bridge(asyncio.get_running_loop(), contract.patience)
    count = 0

    def make() -> RuleBasedStateMachine:
        nonlocal count
        count += 1
        return machine(bridge)

    # The annotation asks for the class; the function calls it, and a function that makes one serves as well.
    run: Callable[..., None] = run_state_machine_as_test
    await asyncio.to_thread(run, make, settings=_settings(contract))
    contract.note_figure("sequences", count)


async def explore_chances(
    contract: Contract, check: Callable[[random.Random], Awaitable[int]], *, counted: str
) -> None:
    """Check what happens at random moments.

    Args:
        contract: The contract class, which says how often.
        check: Does something, as a source of chance decides, and fails for a bug; returns how much it tried.
        counted: What that is, for the report.
    """
    examples, repeatable = contract.example_count
    first = 0 if repeatable else random.SystemRandom().randrange(1 << 32)
    count = 0
    for seed in range(first, first + examples):
        try:
            count += await check(random.Random(seed))  # noqa: S311 - the same for the same seed
        except BaseException as error:
            error.add_note(f"with random.Random({seed})")
            raise
    contract.note_figure(counted, count)
