"""What is told of a difference between a recording and its replay."""

from __future__ import annotations

from typing import TYPE_CHECKING

import attrs

from openharness.core.engine._drift._agents import AgentChanges
from openharness.core.engine._drift._causes import causes
from openharness.core.engine._drift._diagnosis import diagnose
from openharness.core.engine._drift._kinds import DriftKind
from openharness.core.engine._drift._same import differences_between
from openharness.core.records import Signal
from openharness.core.values import Difference, visible

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from openharness.core.values import JSONObject

__all__ = ("DriftReport", "LostActivation")

REMEDY = 'If the change is meant, record the run again: mode="record".'


@attrs.frozen(kw_only=True)
class LostActivation:
    """A recorded activation that the replay cannot reach, or not to its end.

    Attributes:
        activation: The activation: ``"editor#1"``.
        agent: Its agent.
        seq: The recorded signal of it that comes first from here on.
        depends: Whether that comes of the signal that differs; else it only comes later.
    """

    activation: str
    agent: str | None
    seq: int
    depends: bool


@attrs.frozen(kw_only=True)
class DriftReport:
    """A difference between a recording and its replay. ``str(report)`` tells it to people, `to_json` to programs.

    Attributes:
        recording_id: The recording.
        seq: The position of the difference in the recording; -1 where it has none.
        reason: What is wrong, in one sentence.
        activation: The activation it happened in; None outside of one.
        recorded: The recorded signal; None where the recording has none.
        actual: The signal that came; None where none came.
        differences: Where the two differ, if there are two of one name; of final states, where these differ.
        kind: Which part of the run it comes of; see `DriftKind`.
        subject: That part by its name: ``"the prompt of agent 'editor'"``.
        agent: The agent it belongs to; None where it belongs to none.
        fixture: The fixture's name; None where the recording has none.
        chain: How it came to this: its causes, from a signal that came from outside to the signal itself. That is the
            recorded one where the run did not make it, else the one that came.
        agents: How the agents differ from those of the recording.
        unreachable: The recorded activations that have signals from here on, in their recorded order.
        remaining: How many recorded signals, from this one on, the replay has not looked at.
        unused: Recorded arrivals that were left over.
        cause: What a function of yours raised at this place, in one line; None if none did. The exception itself is
            the ``__cause__`` of the `ReplayDriftError`.
        remedy: What to do.
    """

    recording_id: str
    seq: int
    reason: str
    activation: str | None
    recorded: Signal | None
    actual: Signal | None
    differences: tuple[Difference, ...] = ()
    kind: DriftKind = "signal"
    subject: str = "the run"
    agent: str | None = None
    fixture: str | None = None
    chain: tuple[Signal, ...] = ()
    agents: AgentChanges = attrs.field(factory=AgentChanges)
    unreachable: tuple[LostActivation, ...] = ()
    remaining: int = 0
    unused: tuple[Signal, ...] = ()
    cause: str | None = None
    remedy: str = REMEDY

    @classmethod
    def between(
        cls,
        recording_id: str,
        seq: int,
        recorded: Signal | None,
        actual: Signal | None,
        *,
        log: Sequence[Signal] = (),
        reducers: Callable[[str], Sequence[str]] | None = None,
    ) -> DriftReport:
        """Return the report for a position where the recording has one signal and the replay another.

        Args:
            recording_id: The recording.
            seq: The position.
            recorded: The recorded signal; None where the recording has none.
            actual: The signal that came; None where none came.
            log: The signals before, which both have.
            reducers: Tells the patterns of the run's reducers that take signals of a name.
        """
        differences: tuple[Difference, ...] = ()
        if recorded is not None and actual is not None and recorded.name == actual.name:
            differences = differences_between(recorded, actual)
        found = diagnose(recorded, actual, differences=differences, log=log, reducers=reducers)
        return cls(
            recording_id=recording_id,
            seq=seq,
            reason=found.reason,
            activation=None if found.signal is None else found.signal.source.activation,
            chain=causes(log, found.signal),
            recorded=recorded,
            actual=actual,
            differences=differences,
            kind=found.kind,
            subject=found.subject,
            agent=found.agent,
        )

    @property
    def headline(self) -> str:
        """Where it is and what is wrong, in one line."""
        where = f"signal {self.seq}" if self.seq >= 0 else "no signal"
        inside = f" in {self.activation}" if self.activation else ""
        return visible(f"{where}{inside}: {self.reason}")

    def __str__(self) -> str:
        """Return the report as plain text for a terminal. Every cut says how much it leaves out."""
        from openharness.core.engine._drift._text import as_text  # Needed only where a report is looked at.

        return as_text(self)

    def to_json(self) -> JSONObject:
        """Return the report as a JSON value.

        The keys:

        - ``format`` (``"openharness/drift-report"``), ``version`` (1; a later one adds keys and changes none)
        - ``recording_id``, ``fixture``, ``seq``, ``kind``, ``subject``, ``reason``, ``agent``, ``activation``,
          ``cause``, ``remedy``, ``remaining``: as the attributes of these names
        - ``recorded``, ``actual``: null, or a signal with ``id``, ``seq``, ``name``, ``payload``, ``timestamp``,
          ``agent``, ``activation``, ``parent``
        - ``differences``: each with ``path``, ``kind``, ``recorded`` (absent if it was added), ``actual`` (absent if it
          was removed), and for long texts ``diff``: the lines of a unified diff
        - ``chain``: each with ``seq``, ``name``, ``agent``, ``activation``
        - ``agents``: ``added``, ``removed``, ``renamed`` (an object of old and new names), ``changed``, ``parts`` (an
          object of these agents and what of their wiring differs), ``reordered``
        - ``unreachable``: each with ``activation``, ``agent``, ``seq``, ``depends``
        - ``unused``: each with ``seq``, ``name``, ``agent``, ``activation``
        """
        from openharness.core.engine._drift._json import as_json  # As above.

        return as_json(self)
