"""A replay from its first arrival to its end, and what is told of its differences."""

from __future__ import annotations

import sys
import warnings
from typing import TYPE_CHECKING, Generic, TypeVar

import attrs

from openharness.core.engine import (
    DriftReport,
    Journal,
    Listeners,
    Matcher,
    Outcome,
    RecordedRun,
    ReplayDriftWarning,
    RunPlan,
    StartOfRun,
    StepComparison,
    Stepper,
    Surroundings,
    Transcript,
    run_matched,
    run_replay,
)
from openharness.core.errors import ReplayDriftError, ReplayError
from openharness.core.harness._explaining import explain, fixture_of
from openharness.core.interfaces import SignalStore

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

    from openharness.core.records import Signal

__all__ = ("Replay", "close_signals")

S = TypeVar("S")


@attrs.frozen(kw_only=True, eq=False)
class Replay(Generic[S]):
    """What a replay is made of.

    Attributes:
        stepper: What takes the arrivals.
        journal: The log that it writes.
        start: What it begins with.
        listeners: Who is told of its signals.
        plan: Its agents and all that belongs to them.
        store: Where the recording is.
        fixture: The name it was asked for by; None where it was asked for by its id.
    """

    stepper: Stepper[S]
    journal: Journal
    start: StartOfRun
    listeners: Listeners
    plan: RunPlan[S]
    store: SignalStore
    fixture: str | None

    async def run(self, recorded: Transcript | Matcher, *, reporting: bool) -> tuple[Outcome, tuple[DriftReport, ...]]:
        """Replay to the end, and return how it ended and how it differed.

        Args:
            recorded: The recording: to be followed signal by signal, or to be matched request by request.
            reporting: Whether differences are reported that do not end the replay.

        Raises:
            ReplayDriftError: The run does something else than was recorded, or asks for what was not recorded.
            RecordingEndedError: The recording ends before the run does.
        """
        if isinstance(recorded, Matcher):
            return await self._match(recorded, reporting=reporting)
        try:
            return await self._follow(recorded), ()
        except ReplayDriftError as error:
            await self._explain(error, recorded, await recorded.rest())
            raise

    async def _follow(self, transcript: Transcript) -> Outcome:
        return await run_replay(
            stepper=self.stepper,
            journal=self.journal,
            transcript=transcript,
            start=self.start,
            listeners=self.listeners,
            recording_id=transcript.recording_id,
        )

    async def _match(self, matcher: Matcher, *, reporting: bool) -> tuple[Outcome, tuple[DriftReport, ...]]:
        comparison = (
            StepComparison(matcher.signals, folded=matcher.folded, volatile=self.plan.volatile) if reporting else None
        )
        try:
            outcome = await run_matched(
                stepper=self.stepper,
                journal=self.journal,
                matcher=matcher,
                comparison=comparison,
                start=self.start,
                listeners=self.listeners,
            )
        except ReplayDriftError as error:
            recorded = error.report.recorded
            await self._explain(error, matcher, () if recorded is None else matcher.signals[recorded.seq :])
            await self._warn(matcher, comparison, ended=False)
            raise
        except ReplayError:
            await self._warn(matcher, comparison, ended=False)
            raise
        return outcome, await self._warn(matcher, comparison, ended=True)

    async def _explain(self, error: ReplayDriftError, recorded: RecordedRun, rest: Sequence[Signal]) -> None:
        await explain(
            error,
            store=self.store,
            start=recorded.start,
            rest=rest,
            journal=self.journal,
            plan=self.plan,
            fixture=self.fixture,
            mask=recorded.mask,
        )

    async def _warn(
        self, matcher: Matcher, comparison: StepComparison | None, *, ended: bool
    ) -> tuple[DriftReport, ...]:
        """Report what differed, and warn of it."""
        if comparison is None:
            return ()
        log, recording_id = self.journal.signals, matcher.recording_id
        name = await fixture_of(self.store, recording_id, run_id=self.journal.run_id, known=self.fixture)
        reports = comparison.reports(
            recording_id,
            log,
            left_over=matcher.left_over(),
            ended=ended,
            around=Surroundings(log=log, start=matcher.start, rest=(), agents=self.plan.fingerprint(), fixture=name),
            reducers=self.plan.reducer_patterns,
            mask=matcher.mask,
        )
        if reports:
            # The pytest plugin listens to this: a warning may be filtered, or become an error that somebody catches.
            sys.audit("openharness.replay.drift", reports)
            # Nobody is named as the place: a coroutine is not called from where it was awaited.
            warnings.warn(ReplayDriftWarning(reports), stacklevel=1)
        return reports


async def close_signals(signals: AsyncIterator[Signal]) -> None:
    """Close what a store reads a recording with, where it can be closed."""
    close = getattr(signals, "aclose", None)
    if close is not None:
        await close()
