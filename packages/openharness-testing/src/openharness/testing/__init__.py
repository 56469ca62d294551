"""The contracts of stores and providers as tests, and what tests of agents need."""

from __future__ import annotations

import pytest

# Plain asserts in the contract classes explain themselves only when pytest rewrites their modules, which it does on its
# own for editable installs, and not for wheels. It must be told before the first of them is imported.
pytest.register_assert_rewrite(
    "openharness.testing._kit",
    "openharness.testing._provider",
    "openharness.testing._run_store",
    "openharness.testing._signal_store",
)

from openharness.testing._kit._abilities import Ability  # noqa: E402
from openharness.testing._provider import ProviderContract  # noqa: E402
from openharness.testing._run_store import RunStoreContract  # noqa: E402
from openharness.testing._scripted import Answer, Piece, ScriptedProvider  # noqa: E402
from openharness.testing._signal_store import SignalStoreContract  # noqa: E402

__all__ = (
    "Ability",
    "Answer",
    "Piece",
    "ProviderContract",
    "RunStoreContract",
    "ScriptedProvider",
    "SignalStoreContract",
)
