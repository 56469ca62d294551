"""The contracts of stores and providers as tests, and what tests of agents need: recordings, assertions, a script."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any, Final

import pytest

# Plain asserts in the contract classes explain themselves only when pytest rewrites their modules, which it does on its
# own for editable installs, and not for wheels. It must be told before the first of them is imported.
pytest.register_assert_rewrite(
    "openharness.testing._kit",
    "openharness.testing._provider",
    "openharness.testing._run_store",
    "openharness.testing._signal_store",
)

if TYPE_CHECKING:
    from openharness.testing._assertions import RunAssertions, assert_that, trajectory
    from openharness.testing._kit._abilities import Ability
    from openharness.testing._provider import ProviderContract
    from openharness.testing._pytest._fixture import RecordingFixture, RecordingOptions
    from openharness.testing._pytest._reached import ProviderReachedError
    from openharness.testing._pytest._store import SharedRecordingError
    from openharness.testing._run_store import RunStoreContract
    from openharness.testing._scripted import (
        Answer,
        Entry,
        Expectation,
        Piece,
        Script,
        ScriptedProvider,
        UnexpectedRequestError,
    )
    from openharness.testing._signal_store import SignalStoreContract

__all__ = (
    "Ability",
    "Answer",
    "Entry",
    "Expectation",
    "Piece",
    "ProviderContract",
    "ProviderReachedError",
    "RecordingFixture",
    "RecordingOptions",
    "RunAssertions",
    "RunStoreContract",
    "Script",
    "ScriptedProvider",
    "SharedRecordingError",
    "SignalStoreContract",
    "UnexpectedRequestError",
    "assert_that",
    "trajectory",
)

# Every test run on a machine with this package loads its pytest plugin, and with it this module: what takes a second to
# import waits until somebody asks for it.
_WHERE: Final = {
    "Ability": "_kit._abilities",
    "Answer": "_scripted",
    "Entry": "_scripted",
    "Expectation": "_scripted",
    "Piece": "_scripted",
    "ProviderContract": "_provider",
    "ProviderReachedError": "_pytest._reached",
    "RecordingFixture": "_pytest._fixture",
    "RecordingOptions": "_pytest._fixture",
    "RunAssertions": "_assertions",
    "RunStoreContract": "_run_store",
    "Script": "_scripted",
    "ScriptedProvider": "_scripted",
    "SharedRecordingError": "_pytest._store",
    "SignalStoreContract": "_signal_store",
    "UnexpectedRequestError": "_scripted",
    "assert_that": "_assertions",
    "trajectory": "_assertions",
}


def __getattr__(name: str) -> Any:
    if name not in _WHERE:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(importlib.import_module(f"{__name__}.{_WHERE[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
