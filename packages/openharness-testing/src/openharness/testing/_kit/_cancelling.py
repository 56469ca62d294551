"""Cancels an operation at its first, second, … n-th suspension, until it has none left."""

from __future__ import annotations

import asyncio
import enum
from collections.abc import Awaitable
from typing import TYPE_CHECKING, Any, cast

import attrs
import pytest

if TYPE_CHECKING:
    from collections.abc import Callable, Generator

__all__ = ("Moment", "cancel_at", "every_cancellation")

_MOST_POINTS = 200
_INSISTENCE = 3


class Moment(enum.Enum):
    """When, at a suspension, the cancellation comes."""

    EARLY = "while it waits"
    """Before what is waited for has happened."""
    LATE = "when the wait is over"
    """After what is waited for has happened, and before the operation hears of it."""
    INSISTENT = "again and again"
    """While it waits, and while it waits the next times."""


@attrs.define(eq=False)
class _Suspensions:
    """An awaitable that passes everything on and cancels the task that awaits it at one of the suspensions."""

    awaitable: Awaitable[object]
    point: int
    moment: Moment
    count: int = 0

    def __await__(self) -> Generator[Any, Any, object]:
        inner = self.awaitable.__await__()
        error: BaseException | None = None
        while True:
            try:
                waited = next(inner) if error is None else inner.throw(error)
            except StopIteration as stop:
                return stop.value
            self.count += 1
            self._suspended(waited)
            try:
                yield waited
                error = None
            except BaseException as raised:  # noqa: BLE001 - cancellation included, all of it belongs to the inner one
                error = raised

    def _suspended(self, waited: object) -> None:
        task = asyncio.current_task()
        assert task is not None
        last = self.point + (_INSISTENCE - 1 if self.moment is Moment.INSISTENT else 0)
        if not self.point <= self.count <= last:
            return
        if self.moment is Moment.LATE and isinstance(waited, asyncio.Future):
            cast("asyncio.Future[object]", waited).add_done_callback(lambda _: task.cancel())
        else:
            task.cancel()


async def _drive(suspensions: _Suspensions) -> None:
    await suspensions


async def cancel_at(operation: Callable[[], Awaitable[object]], *, point: int, moment: Moment) -> bool:
    """Run an operation, cancel it at its n-th suspension, and wait until it ended.

    Args:
        operation: Begins the operation.
        point: The suspension, counted from 1.
        moment: When the cancellation comes.

    Returns:
        Whether it was cancelled; it was not when it suspends less often.
    """
    suspensions = _Suspensions(operation(), point, moment)
    task = asyncio.ensure_future(_drive(suspensions))
    try:
        await asyncio.wait([task])
    finally:
        task.cancel()
    if suspensions.count < point:
        task.result()
        return False
    if not task.cancelled():
        error = task.exception()
        if error is not None:
            raise error
        pytest.fail(
            f"It was cancelled at its suspension {point} ({moment.value}) and went on: CancelledError was lost."
        )
    return True


async def every_cancellation(
    operation: Callable[[], Awaitable[object]], afterwards: Callable[[], Awaitable[None]], *, patience: float
) -> int:
    """Cancel an operation at every one of its suspensions, each time anew, and look at what it left.

    Args:
        operation: Begins the operation.
        afterwards: Called after each; fails when something is wrong.
        patience: How long the cancelled operation, and the look, may take.

    Returns:
        How many suspensions there are.
    """
    most = 0
    for moment in Moment:
        for point in range(1, _MOST_POINTS + 1):
            place = f"cancelled at its suspension {point} ({moment.value})"
            try:
                async with asyncio.timeout(patience):
                    was_cancelled = await cancel_at(operation, point=point, moment=moment)
            except TimeoutError:
                pytest.fail(f"The operation, {place}, did not end within {patience:g} s.")
            try:
                async with asyncio.timeout(patience):
                    await afterwards()
            except TimeoutError:
                pytest.fail(f"After an operation was {place}, the next did not end within {patience:g} s.")
            except AssertionError as error:
                error.add_note(f"after an operation was {place}")
                raise
            if not was_cancelled:
                break
            most = max(most, point)
    return most
