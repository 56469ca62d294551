"""Cancelling an operation at every one of its suspensions."""

from __future__ import annotations

import asyncio
import contextlib

import pytest

from openharness.testing._kit._cancelling import Moment, cancel_at, every_cancellation


class Counter:
    """Counts to three, with a wait before each number."""

    def __init__(self) -> None:
        self.reached: list[int] = []

    async def count(self) -> None:
        """Count."""
        for number in (1, 2, 3):
            await asyncio.sleep(0 if number == 2 else 0.001)
            self.reached.append(number)


async def nothing() -> None:
    """Look at nothing."""


@pytest.mark.parametrize("moment", list(Moment))
@pytest.mark.parametrize("point", [1, 2, 3])
async def test_it_stops_at_the_suspension_that_was_asked_for(point: int, moment: Moment) -> None:
    """Cancelled at its n-th suspension, an operation has done what comes before it."""
    counter = Counter()
    assert await cancel_at(counter.count, point=point, moment=moment)
    assert counter.reached == list(range(1, point))


async def test_a_point_beyond_the_end_cancels_nothing() -> None:
    """An operation that suspends less often runs to its end."""
    counter = Counter()
    assert not await cancel_at(counter.count, point=4, moment=Moment.EARLY)
    assert counter.reached == [1, 2, 3]


async def test_every_suspension_is_found() -> None:
    """The loop goes on until the operation ends by itself, for each of the moments."""
    assert await every_cancellation(lambda: Counter().count(), nothing, patience=50) == 3
    assert await every_cancellation(nothing, nothing, patience=50) == 0


async def test_an_error_of_the_operation_comes_out() -> None:
    """What fails by itself is not taken for cancelled."""

    async def fail() -> None:
        await asyncio.sleep(0)
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await cancel_at(fail, point=5, moment=Moment.EARLY)


async def test_a_swallowed_cancellation_fails() -> None:
    """An operation that goes on as if nothing had happened is told so."""

    async def swallow() -> None:
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.Event().wait()

    with pytest.raises(pytest.fail.Exception, match="CancelledError was lost"):
        await cancel_at(swallow, point=1, moment=Moment.EARLY)


async def test_an_operation_that_does_not_end_fails() -> None:
    """A cancelled operation has as long as the class has patience."""

    async def hang() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            await asyncio.Event().wait()

    with pytest.raises(pytest.fail.Exception, match="did not end within"):
        await every_cancellation(hang, nothing, patience=0.05)


async def test_a_failing_look_says_where() -> None:
    """What is wrong afterwards is told with the suspension and the moment."""

    async def look() -> None:
        pytest.fail("wrong")

    async def look_with_assert() -> None:
        raise AssertionError("wrong")

    with pytest.raises(AssertionError) as caught:
        await every_cancellation(Counter().count, look_with_assert, patience=50)
    assert caught.value.__notes__ == ["after an operation was cancelled at its suspension 1 (while it waits)"]
    with pytest.raises(pytest.fail.Exception):
        await every_cancellation(Counter().count, look, patience=50)
