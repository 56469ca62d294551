"""Random examples on the test's own event loop."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from hypothesis import strategies as st

from openharness.testing._kit._contract import Contract
from openharness.testing._kit._explore import Bridge, explore


class Some(Contract):
    """A contract of few examples."""

    examples = 12
    patience = 50.0


async def test_every_example_runs_on_the_loop_of_the_test() -> None:
    """Checks are awaited on the test's loop, as many as the class says, the same ones every time."""
    rounds: list[list[int]] = []
    loop = asyncio.get_running_loop()
    for _ in range(2):
        seen: list[int] = []

        async def check(number: int, seen: list[int] = seen) -> None:
            assert asyncio.get_running_loop() is loop
            seen.append(number)

        await explore(Some(), st.integers(), check)
        rounds.append(seen)
    assert len(rounds[0]) == 12
    assert rounds[0] == rounds[1]


async def test_a_failing_example_comes_out_small() -> None:
    """The failure of a check is the failure of the test, with the smallest example."""

    async def check(number: int) -> None:
        assert number < 10

    with pytest.raises(AssertionError) as caught:
        await explore(Some(), st.integers(), check)
    assert any("example=10" in note for note in caught.value.__notes__)


async def test_the_environment_asks_for_more_examples(monkeypatch: pytest.MonkeyPatch) -> None:
    """``OPENHARNESS_CONTRACT_EXAMPLES`` overrides the number of examples."""
    monkeypatch.setenv("OPENHARNESS_CONTRACT_EXAMPLES", "30")
    seen: list[int] = []

    async def check(number: int) -> None:
        seen.append(number)

    await explore(Some(), st.integers(), check)
    assert len(seen) == 30


async def test_a_check_that_hangs_fails() -> None:
    """A coroutine that does not end within the patience fails with a sentence."""
    bridge = Bridge(asyncio.get_running_loop(), 0.05)

    def hang() -> Any:
        return bridge.run(asyncio.Event().wait())

    with pytest.raises(pytest.fail.Exception, match="it hangs"):
        await asyncio.to_thread(hang)
