"""Recordings of runs: signal stores, the player, snapshots and the causality tree.

`MemorySignalStore` and `FileSignalStore` keep what happened; `Player` steps through it, and a `Snapshot` holds
all that is known at one signal; `causality_tree` shows what caused what; `diff_recordings` compares two runs;
`export_recording` makes a test of one. A `Reporter` tells of runs while they go on, and of recordings.
"""

from __future__ import annotations

from openharness.signals._causality import CausalityNode, CausalityTree, causality_tree
from openharness.signals._comparison import (
    AgentFigures,
    ComparedRun,
    Figure,
    OutputChange,
    RecordingDiff,
    RunFigures,
    SignalChange,
    diff_recordings,
)
from openharness.signals._errors import CorruptLineError, MissingLibraryError, RecordingTooLargeError
from openharness.signals._export import FixtureExistsError, IncompleteRecordingError, export_recording
from openharness.signals._file_store import FileSignalStore
from openharness.signals._memory_store import MemorySignalStore
from openharness.signals._migrating import MigratedFile, MigrationReport, MigrationStatus, migrate
from openharness.signals._player import Player, Snapshot
from openharness.signals._provider_view import CallState, ProviderFold, ProviderView
from openharness.signals._reporters import (
    AgentMeasurements,
    ConsoleReporter,
    EventTarget,
    Latency,
    Level,
    MetricsReporter,
    MetricsSnapshot,
    ProgressReporter,
    ProviderMeasurements,
    Reporter,
    TextTarget,
    ToolMeasurements,
    WideEventReporter,
    report_recording,
)
from openharness.signals._upcasting import SignalUpcaster, SignalUpcasters, UpcastError

__all__ = (
    "AgentFigures",
    "AgentMeasurements",
    "CallState",
    "CausalityNode",
    "CausalityTree",
    "ComparedRun",
    "ConsoleReporter",
    "CorruptLineError",
    "EventTarget",
    "Figure",
    "FileSignalStore",
    "FixtureExistsError",
    "IncompleteRecordingError",
    "Latency",
    "Level",
    "MemorySignalStore",
    "MetricsReporter",
    "MetricsSnapshot",
    "MigratedFile",
    "MigrationReport",
    "MigrationStatus",
    "MissingLibraryError",
    "OutputChange",
    "Player",
    "ProgressReporter",
    "ProviderFold",
    "ProviderMeasurements",
    "ProviderView",
    "RecordingDiff",
    "RecordingTooLargeError",
    "Reporter",
    "RunFigures",
    "SignalChange",
    "SignalUpcaster",
    "SignalUpcasters",
    "Snapshot",
    "TextTarget",
    "ToolMeasurements",
    "UpcastError",
    "WideEventReporter",
    "causality_tree",
    "diff_recordings",
    "export_recording",
    "migrate",
    "report_recording",
)
