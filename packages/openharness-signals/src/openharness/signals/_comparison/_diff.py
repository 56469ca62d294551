"""How two recordings differ: what is compared with what, and what comes of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

import attrs

from openharness.core.errors import CorruptRecordError, SerializationError
from openharness.core.harness import RunResult
from openharness.core.log import RunFold
from openharness.core.records import Outcome, Signal
from openharness.core.values import Difference, find_differences
from openharness.signals._causality import causality_tree
from openharness.signals._comparison._alignment import align
from openharness.signals._comparison._events import read_events
from openharness.signals._comparison._figures import RunFigures, compare_figures
from openharness.signals._provider_view import fields_of, object_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from openharness.core.records import Recording
    from openharness.core.values import JSONObject
    from openharness.signals._comparison._alignment import Pair
    from openharness.signals._comparison._events import Event

__all__ = ("ComparedRun", "OutputChange", "RecordingDiff", "SignalChange", "diff_recordings")


@attrs.frozen(kw_only=True)
class ComparedRun:
    """One side of a comparison.

    Attributes:
        recording_id: The recording; None for a result of a run that was not recorded.
        run_id: The run.
        outcome: How it ended.
        signal_count: How many signals it has.
    """

    recording_id: str | None
    run_id: str
    outcome: Outcome
    signal_count: int


@attrs.frozen(kw_only=True)
class SignalChange:
    """A signal that only one of two runs has, or that means something else in the other one.

    All pieces of one streamed text count as one signal: the first of them, with the whole text in its payload.

    Attributes:
        kind: ``"added"``: only the right run has it. ``"removed"``: only the left run has it. ``"changed"``: both have
            it, and it differs.
        name: Its name.
        agent: The agent it belongs to.
        activation: The activation it belongs to: ``"editor#1"``.
        call: The call it belongs to: ``"editor#1/0/0"`` is the first attempt of the activation's first turn.
        ordinal: How many signals of the same name in the same place came before it.
        left: The signal of the left run.
        right: The signal of the right run.
        differences: Where the two differ, if there are two: in `Difference`, ``recorded`` is the left one and
            ``actual`` the right one.
        is_consequence: Whether the first divergence caused it, on the side that has it.
    """

    kind: Literal["added", "removed", "changed"]
    name: str
    agent: str | None
    activation: str | None
    call: str | None
    ordinal: int
    left: Signal | None
    right: Signal | None
    differences: tuple[Difference, ...] = ()
    is_consequence: bool = False


@attrs.frozen(kw_only=True)
class OutputChange:
    """An answer that differs.

    Attributes:
        call: The call it answers: ``"editor#1/0/0"``.
        left: Its text in the left run, as far as it came; None where there was none.
        right: Its text in the right run.
    """

    call: str
    left: str | None
    right: str | None


@attrs.frozen(kw_only=True)
class RecordingDiff:
    """How two recordings differ. ``str(diff)`` tells it to people.

    What belongs to one run alone does not count: ids of runs, recordings and signals, positions and times, the seed,
    the ids that providers give to requests and to tool calls, and into how many pieces a streamed text was cut. Neither
    does the order of what happened in different activations, unless something else came of it. Tokens and cost make no
    signal another one; they are compared as `figures`.

    Attributes:
        left: The left run.
        right: The right run.
        changes: The signals that differ, in the order of the left run; an added one stands after what caused it.
        unchanged: How many signals are the same, a streamed text counted once.
        chain: How it came to the first divergence: its causes from outside on, ending with the signal itself, in the
            run that has it. Empty without one.
        outputs: The answers that differ, in the order of the left run.
        state: Where the final states differ; paths begin with ``state``.
        figures: Tokens, cost and time of both.
    """

    left: ComparedRun
    right: ComparedRun
    changes: tuple[SignalChange, ...]
    unchanged: int
    chain: tuple[Signal, ...]
    outputs: tuple[OutputChange, ...]
    state: tuple[Difference, ...]
    figures: RunFigures

    @property
    def is_equal(self) -> bool:
        """Whether the two are the same run, apart from what belongs to one run alone. Times play no part; usage does."""
        same_end = not self.state and self.left.outcome == self.right.outcome
        return same_end and not self.changes and self.figures.is_equal

    @property
    def first_divergence(self) -> SignalChange | None:
        """The first signal that differs; None where all are the same."""
        return self.changes[0] if self.changes else None

    @property
    def added(self) -> tuple[SignalChange, ...]:
        """The signals that only the right run has."""
        return tuple(change for change in self.changes if change.kind == "added")

    @property
    def removed(self) -> tuple[SignalChange, ...]:
        """The signals that only the left run has."""
        return tuple(change for change in self.changes if change.kind == "removed")

    @property
    def changed(self) -> tuple[SignalChange, ...]:
        """The signals that both have, and that differ."""
        return tuple(change for change in self.changes if change.kind == "changed")

    def __str__(self) -> str:
        """Return the whole as text: a summary in one line, the first divergence, then the rest. Cuts are stated."""
        from openharness.signals._comparison._as_text import as_text  # Imported by those who look at a diff.

        return as_text(self)

    def to_json(self) -> JSONObject:
        """Return the whole as a JSON value. The same two recordings always give the same.

        The keys:

        - ``format`` (``"openharness/recording-diff"``), ``version`` (1; a later one adds keys and changes none),
          ``equal``
        - ``left``, ``right``: each with ``recording_id``, ``run_id``, ``outcome``, ``signals``
        - ``summary``: ``unchanged``, ``changed``, ``added``, ``removed``, ``consequences`` (of the first divergence)
        - ``first_divergence``: one of the changes, or null; ``chain``: a list of ``seq``, ``name`` and ``activation``
        - ``changes``: each with ``kind``, ``name``, ``agent``, ``activation``, ``call``, ``ordinal``, ``left`` and
          ``right`` (null, or ``seq``, and the ``payload`` where the other side is null), ``differences``,
          ``is_consequence``
        - ``outputs``: each with ``call``, ``left``, ``right``, and ``diff``: the lines of a unified diff
        - ``state``: differences; each has ``path``, ``kind``, ``left``, ``right``
        - ``figures``: ``run``, ``agents`` by name and ``latencies_ms`` by activation; each figure has ``left``,
          ``right``, ``change``
        """
        from openharness.signals._comparison._as_json import as_json  # As above.

        return as_json(self)

    def to_html(self) -> str:
        """Return the whole as one HTML page that needs nothing else: no script, no style and no image from elsewhere.

        What models and users wrote is shown as the text it is. Save it as UTF-8.
        """
        from openharness.signals._comparison._as_html import as_html  # As above.

        return as_html(self)


def diff_recordings(left: Recording | RunResult[Any], right: Recording | RunResult[Any]) -> RecordingDiff:
    """Compare two runs.

    Signals are compared by what they are called in both runs, not by their position: by activation, by the call (which
    tells turn and attempt), then by name and by order among those of the same name.

    Args:
        left: A recording as a store loads it, or the result of a run.
        right: The one to compare it with, usually the newer one.

    Raises:
        CorruptRecordError: A log has a signal that does not fit the ones before it.
    """
    one, other = read_events(left.signals), read_events(right.signals)
    folds = _fold(left), _fold(right)
    changes: list[SignalChange] = []
    unchanged = 0
    affected = _Affected()
    chain: tuple[Signal, ...] = ()
    for pair in align(one, other):
        change = _compared(pair, affected)
        if change is None:
            unchanged += 1
            continue
        if not changes:
            affected.add(pair)
            chain = _chain(left.signals if change.left else right.signals, change.left or change.right)
        changes.append(change)
    return RecordingDiff(
        left=_side(left),
        right=_side(right),
        changes=tuple(changes),
        unchanged=unchanged,
        chain=chain,
        outputs=tuple(_output_changes(one, other)),
        state=tuple(find_differences(folds[0].state, folds[1].state, path="state")),
        figures=compare_figures(left.signals, right.signals, left_fold=folds[0], right_fold=folds[1]),
    )


class _Affected:
    """The first divergence and all that comes of it, on either side."""

    def __init__(self) -> None:
        self._events: set[Event] = set()
        # A request is caused by the tool that ended last, and has what came of all of them.
        self._conversations: set[str | None] = set()

    def add(self, pair: Pair) -> None:
        """Add an event."""
        for event in (pair.left, pair.right):
            if event is not None:
                self._events.add(event)
                if event.is_tool_end:
                    self._conversations.add(event.identity.activation)

    def take(self, pair: Pair) -> bool:
        """Tell whether an event comes of the first divergence, and add it where it does."""
        if any(event is not None and self._hangs(event) for event in (pair.left, pair.right)):
            self.add(pair)
            return True
        return False

    def _hangs(self, event: Event) -> bool:
        return event.cause in self._events or (event.is_request and event.identity.activation in self._conversations)


def _compared(pair: Pair, affected: _Affected) -> SignalChange | None:
    """What is to be told of an event; those that come of the first divergence are added to what it has affected."""
    present = pair.left or pair.right
    assert present is not None  # noqa: S101 - for type checkers
    is_consequence = affected.take(pair)
    differences = pair.differences()
    if pair.left is not None and pair.right is not None and not differences:
        return None
    identity = present.identity
    return SignalChange(
        kind="added" if pair.left is None else "removed" if pair.right is None else "changed",
        name=identity.name,
        agent=identity.agent,
        activation=identity.activation,
        call=identity.call,
        ordinal=identity.ordinal,
        left=None if pair.left is None else pair.left.signal(),
        right=None if pair.right is None else pair.right.signal(),
        differences=differences,
        is_consequence=is_consequence,
    )


def _chain(signals: Sequence[Signal], last: Signal | None) -> tuple[Signal, ...]:
    return () if last is None else tuple(causality_tree(signals).chain(last.id))


def _fold(run: Recording | RunResult[Any]) -> RunFold:
    try:
        return RunFold.of(run.signals)
    except SerializationError as error:
        side = _side(run)
        raise CorruptRecordError(side.recording_id or side.run_id, reason=str(error)) from error


def _side(run: Recording | RunResult[Any]) -> ComparedRun:
    count = len(run.signals)
    if isinstance(run, RunResult):
        return ComparedRun(recording_id=run.recording_id, run_id=run.run_id, outcome=run.status, signal_count=count)
    info = run.info
    return ComparedRun(recording_id=info.id, run_id=info.run_id, outcome=info.outcome, signal_count=count)


def _output_changes(left: Sequence[Event], right: Sequence[Event]) -> list[OutputChange]:
    one, other = _outputs(left), _outputs(right)
    changes = [
        OutputChange(call=call, left=one.get(call), right=other.get(call)) for call in dict.fromkeys([*one, *other])
    ]
    return [change for change in changes if change.left != change.right]


def _outputs(events: Sequence[Event]) -> dict[str, str]:
    """The answer of each call: whole, or as far as it was streamed before the call failed."""
    outputs: dict[str, str] = {}
    for event in events:
        name, call = event.identity.name, event.identity.call
        if call is None:
            continue
        if name == "text:delta":
            text: object = event.signal().payload["text"]
        elif name == "provider:end":
            text = object_of(fields_of(event.first).get("output")).get("content")
        else:
            continue
        if isinstance(text, str):
            outputs[call] = text
    return outputs
