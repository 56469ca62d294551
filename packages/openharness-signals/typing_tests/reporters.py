"""What type checkers see of reporters; nothing here is ever run."""

from __future__ import annotations

import io
import logging
import sys
from collections.abc import Mapping
from typing import Any, assert_type

from openharness.core import Harness, JSONObject, Recording, Signal
from openharness.core.interfaces import Usage
from openharness.signals import (
    ConsoleReporter,
    Latency,
    MetricsReporter,
    MetricsSnapshot,
    ProgressReporter,
    ProviderFold,
    ProviderView,
    Reporter,
    Snapshot,
    WideEventReporter,
    report_recording,
)


class Names(Reporter):
    """A reporter of the user's."""

    def __call__(self, signal: Signal) -> None:
        """Take a signal."""
        print(signal.name)  # noqa: T201


def check_reporters(harness: Harness[Any], recording: Recording) -> None:
    """Every reporter is a subscriber, and is told of recordings."""
    for reporter in (Names(), MetricsReporter(), ConsoleReporter(sys.stdout), ProgressReporter(io.StringIO())):
        harness.subscribe("**", reporter)
        report_recording(recording, reporter, Names())
    with ConsoleReporter(level="verbose", include="agent:*", exclude=["tool:**"]) as console:
        assert_type(console, ConsoleReporter)
    ConsoleReporter(level="loud")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    report_recording(recording, print)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]


def check_events() -> None:
    """Events go to functions of JSON objects, to loggers and to streams."""
    events: list[JSONObject] = []
    WideEventReporter(events.append)
    WideEventReporter(sys.stderr, rate=0.1)
    WideEventReporter(logging.getLogger("runs"), metadata={"user": 7})
    WideEventReporter("runs.log")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]


def check_what_they_say(metrics: MetricsSnapshot, snapshot: Snapshot, fold: ProviderFold) -> None:
    """Every part has its type."""
    assert_type(metrics.agents["a"].duration, Latency)
    assert_type(metrics.agents["a"].input_tokens, int)
    assert_type(metrics.to_json(), JSONObject)
    assert_type(snapshot.providers, Mapping[str, ProviderView])
    assert_type(fold.at(3)["a#1/0/0"].usage, Usage | None)
