"""The kit catches every one of many known bugs, and finds none in the stores and providers without them.

Each bug is planted in a copy of something that is right, and the part of the contract that is about it runs on it, in a
test run of its own.
"""

from __future__ import annotations

import pathlib
import sys

import pytest

pytest_plugins = ("pytester",)
# Hundreds of runs of the contracts, which say something about the kit and little about a Python.
pytestmark = pytest.mark.slow

# The test runs that are started here import them, too.
_HERE = pathlib.Path(__file__).parent
_EXAMPLE = _HERE.parents[2] / "docs" / "examples" / "acme-openharness-run-store-json" / "src"
sys.path[:0] = [str(_HERE / "planted"), str(_EXAMPLE)]

import planted_durable_stores  # noqa: E402
import planted_providers  # noqa: E402
import planted_run_stores  # noqa: E402
import planted_signal_stores  # noqa: E402

SUBTLE_IN_RUN_STORES = [
    "cursor_skips_ties",
    "none_equals_absent",
    "prefix_ignores_case",
    "prune_includes_its_moment",
    "true_equals_one",
    "upsert_keeps_old_metadata",
]
SUBTLE_IN_SIGNAL_STORES = [
    "checkpoint_moves",
    "conflicting_append_accepted",
    "delete_keeps_the_name",
    "gap_accepted",
    "one_tag_is_enough",
    "providers_not_sorted",
    "repeated_signals_counted",
    "stop_included",
]

INI = """
[pytest]
asyncio_mode = strict
asyncio_default_fixture_loop_scope = function
filterwarnings = error
"""

STORE = """
import pytest
import {module} as planted
from openharness.testing import Ability, RunStoreContract, SignalStoreContract
from openharness.testing._run_store._model import ModelTests as RunStoreModelTests
from openharness.testing._signal_store._model import ModelTests as SignalStoreModelTests

class TestPlanted({contract}):
    abilities = frozenset({{Ability.RESTORE}})
    max_bytes = planted.MAX_BYTES
    patience = {patience}
    examples = {examples}
    shrink = False

    @pytest.fixture
    def store(self):
        return planted.{make}()
"""

DURABLE = """
import functools
import pytest
import planted_durable_stores as planted
from openharness.testing import Ability

class TestPlanted(planted.{part}):
    abilities = frozenset({{Ability.DURABLE, Ability.MULTI_INSTANCE, Ability.MULTI_PROCESS, Ability.CHECKSUMS}})
    max_bytes = 1024 * 1024
    startup = {startup}

    @pytest.fixture
    def reopen(self, tmp_path):
        return functools.partial(planted.{make}, tmp_path / "runs", max_bytes=self.max_bytes)

    @pytest.fixture
    def store(self, reopen):
        return reopen()

    @pytest.fixture
    def damage(self, tmp_path):
        async def damage(run_id):
            for file in (tmp_path / "runs").iterdir():
                text = file.read_text("utf-8")
                if f'"id": "{{run_id}}"' in text:
                    file.write_text(text.replace("the state of", "the stAte of"), "utf-8")
        return damage
"""

PROVIDER = """
import pytest
import planted_providers as planted
from openharness.testing import Ability, ProviderContract

class TestPlanted({contract}):
    abilities = frozenset({{Ability.FAILURES}})
    patience = {patience}
    max_lag = {max_lag}

    @pytest.fixture
    def provider(self):
        return planted.{provider}()

    @pytest.fixture
    def failing_provider(self):
        return planted.{failing}()
"""


def run(pytester: pytest.Pytester, source: str) -> tuple[int, int]:
    """Run a contract and return how many tests passed and failed, up to the first failure."""
    pytester.makeini(INI)
    path = pytester.makepyfile(test_planted=source)
    record = pytester.inline_run("-x", "-q", "-p", "no:cacheprovider", "-p", "no:timeout", path)
    passed, _, failed = record.countoutcomes()
    return passed, failed


@pytest.mark.parametrize(
    "module, make, contract, least",
    [
        ("planted_run_stores", "PlainRunStore", "RunStoreContract", 100),
        ("planted_signal_stores", "PlainSignalStore", "SignalStoreContract", 100),
    ],
)
def test_a_store_without_a_bug_passes(
    pytester: pytest.Pytester, module: str, make: str, contract: str, least: int
) -> None:
    """The stores that the bugs are planted in keep their whole contract."""
    passed, failed = run(pytester, STORE.format(module=module, make=make, contract=contract, patience=30, examples=15))
    assert failed == 0
    assert passed >= least


@pytest.mark.parametrize("bug", planted_run_stores.garden.bugs)
def test_a_bug_in_a_run_store_is_caught(pytester: pytest.Pytester, bug: str) -> None:
    """With the bug, at least one test of the contract of run stores fails."""
    planted = planted_run_stores.garden.bugs[bug]
    names = {"module": "planted_run_stores", "make": planted.make.__name__}
    _, failed = run(
        pytester, STORE.format(**names, contract=f"planted.{planted.part.__name__}", examples=15, patience=1)
    )
    assert failed, f"nothing noticed the bug {bug!r}"


@pytest.mark.parametrize(
    "module, bug",
    [
        *(("planted_run_stores", bug) for bug in SUBTLE_IN_RUN_STORES),
        *(("planted_signal_stores", bug) for bug in SUBTLE_IN_SIGNAL_STORES),
    ],
)
def test_the_model_alone_catches_a_bug(pytester: pytest.Pytester, module: str, bug: str) -> None:
    """Random operations compared with the model notice bugs that no test was written for."""
    kind = planted_run_stores if module == "planted_run_stores" else planted_signal_stores
    contract = "RunStoreModelTests" if module == "planted_run_stores" else "SignalStoreModelTests"
    make = kind.garden.bugs[bug].make.__name__
    # Which operations a number of examples holds depends on the version of Hypothesis.
    source = STORE.format(module=module, make=make, contract=contract, patience=30, examples=100)
    _, failed = run(pytester, source)
    assert failed, f"the model did not notice the bug {bug!r}"


@pytest.mark.parametrize("bug", planted_durable_stores.garden.bugs)
def test_a_bug_in_a_durable_run_store_is_caught(pytester: pytest.Pytester, bug: str) -> None:
    """A bug that shows to other instances and processes alone is noticed by the tests that start them."""
    planted = planted_durable_stores.garden.bugs[bug]
    # Waiting for a process that never ends takes all the time that it is given.
    startup = 4 if bug == "thread_keeps_the_process" else 20
    _, failed = run(pytester, DURABLE.format(part=planted.part.__name__, make=planted.make.__name__, startup=startup))
    assert failed, f"nothing noticed the bug {bug!r}"


@pytest.mark.parametrize("bug", planted_signal_stores.garden.bugs)
def test_a_bug_in_a_signal_store_is_caught(pytester: pytest.Pytester, bug: str) -> None:
    """With the bug, at least one test of the contract of signal stores fails."""
    planted = planted_signal_stores.garden.bugs[bug]
    names = {"module": "planted_signal_stores", "make": planted.make.__name__}
    _, failed = run(
        pytester, STORE.format(**names, contract=f"planted.{planted.part.__name__}", examples=15, patience=1)
    )
    assert failed, f"nothing noticed the bug {bug!r}"


def test_a_provider_without_a_bug_passes(pytester: pytest.Pytester) -> None:
    """The provider that the bugs are planted in keeps the whole contract."""
    source = PROVIDER.format(
        contract="ProviderContract", provider="PlainProvider", failing="FailingProvider", patience=30, max_lag=0.5
    )
    passed, failed = run(pytester, source)
    assert failed == 0
    assert passed >= 20


@pytest.mark.parametrize("bug", planted_providers.garden.bugs)
def test_a_bug_in_a_provider_is_caught(pytester: pytest.Pytester, bug: str) -> None:
    """With the bug, at least one test of the contract of providers fails."""
    planted = planted_providers.garden.bugs[bug]
    name = planted.make.__name__
    fails = issubclass(planted.make, planted_providers.FailingProvider)
    source = PROVIDER.format(
        contract=f"planted.{planted.part.__name__}",
        provider="PlainProvider" if fails else name,
        failing=name if fails else "FailingProvider",
        patience=1,
        max_lag=0.2,
    )
    _, failed = run(pytester, source)
    assert failed, f"nothing noticed the bug {bug!r}"
