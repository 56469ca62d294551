"""What comes to a run from outside, and the queue it comes through."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Final

import attrs

from openharness.core.records import Signal
from openharness.core.values import JSONValue

__all__ = ("Arrival", "ArrivalQueue", "Lane")

_LANE_SIZE: Final = 64


@attrs.frozen(kw_only=True)
class Arrival:
    """One thing that came from outside, as the signal it will become.

    Attributes:
        name: The signal's name.
        payload: The signal's payload: plain JSON that nobody else holds.
        timestamp: When it came, in milliseconds since the epoch.
        call: The call it answers; None for what no provider sent.
        lane: The lane it came through; told when the run has taken it.
        accepted: Called with the signal once it is durable, or with None when the run has ended without it.
    """

    name: str
    payload: JSONValue
    timestamp: int
    call: str | None = None
    lane: Lane | None = None
    accepted: Callable[[Signal | None], None] | None = None


class ArrivalQueue:
    """What has arrived and was not taken yet, first in, first out.

    The queue itself takes everything, so that a cancellation is never refused; providers are held back by their lanes.
    """

    def __init__(self) -> None:
        self._arrivals: deque[Arrival] = deque()
        self._waiter: asyncio.Future[None] | None = None
        self._closed = False

    def put(self, arrival: Arrival) -> None:
        """Add an arrival; never waits. Once the queue is closed, it is turned away."""
        if self._closed:
            if arrival.accepted is not None:
                arrival.accepted(None)
            return
        self._arrivals.append(arrival)
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    @property
    def is_empty(self) -> bool:
        """Whether everything that has arrived was taken."""
        return not self._arrivals

    async def take(self) -> list[Arrival]:
        """Wait until something has arrived, and return all of it in order."""
        while not self._arrivals:
            self._waiter = asyncio.get_running_loop().create_future()
            try:
                await self._waiter
            finally:
                self._waiter = None
        arrivals = list(self._arrivals)
        self._arrivals.clear()
        for arrival in arrivals:
            if arrival.lane is not None:
                arrival.lane.taken()
        return arrivals

    def close(self) -> None:
        """Turn away what was not taken, and what comes from now on: the run has ended."""
        self._closed = True
        while self._arrivals:
            arrival = self._arrivals.popleft()
            if arrival.accepted is not None:
                arrival.accepted(None)


class Lane:
    """A bounded way into the queue: who is 64 arrivals ahead of the run waits."""

    def __init__(self, queue: ArrivalQueue) -> None:
        self._queue = queue
        self._ahead = 0
        self._waiter: asyncio.Future[None] | None = None

    @property
    def is_full(self) -> bool:
        """Whether `room` is to be awaited before the next arrival."""
        return self._ahead >= _LANE_SIZE

    async def room(self) -> None:
        """Wait until there is room."""
        while self._ahead >= _LANE_SIZE:
            self._waiter = asyncio.get_running_loop().create_future()
            try:
                await self._waiter
            finally:
                self._waiter = None

    def put(self, arrival: Arrival) -> None:
        """Add an arrival."""
        self._ahead += 1
        self._queue.put(arrival)

    def taken(self) -> None:
        """Make room: the run has taken one arrival of this lane."""
        self._ahead -= 1
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)
