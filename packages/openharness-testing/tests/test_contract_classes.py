"""What an author sees who subclasses a contract class: errors that help, skips with reasons, a report."""

from __future__ import annotations

import pytest

pytest_plugins = ("pytester",)

INI = """
[pytest]
asyncio_mode = strict
asyncio_default_fixture_loop_scope = function
filterwarnings = error
"""

BEGIN = """
import pytest
from openharness.core import InMemoryRunStore
from openharness.testing import Ability, ProviderContract, RunStoreContract, ScriptedProvider, SignalStoreContract

ALL = frozenset(Ability)
"""


def run(pytester: pytest.Pytester, source: str, *options: str) -> pytest.RunResult:
    """Run an author's tests in the strict mode of pytest-asyncio."""
    pytester.makeini(INI)
    pytester.makepyfile(BEGIN + source)
    return pytester.runpytest_inprocess("-p", "no:cacheprovider", "-p", "no:timeout", *options)


@pytest.mark.parametrize(
    "contract, fixture, test",
    [
        ("RunStoreContract", "store", "a_saved_run_comes_back_equal"),
        ("SignalStoreContract", "store", "a_new_recording_is_empty"),
        ("ProviderContract", "provider", "the_type_is_a_short_name"),
    ],
)
def test_a_missing_fixture_is_explained(pytester: pytest.Pytester, contract: str, fixture: str, test: str) -> None:
    """Without the one fixture, the error names it and says what it returns."""
    result = run(pytester, f"class TestMine({contract}): pass", "-k", test)
    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines([f"*TestMine must define the fixture `{fixture}`. It returns*"])


@pytest.mark.parametrize(
    "ability, fixture, test",
    [("DURABLE", "reopen", "a_new_instance_finds"), ("CHECKSUMS", "damage", "a_damaged_record_is_not_returned")],
)
def test_a_declared_ability_asks_for_its_fixture(
    pytester: pytest.Pytester, ability: str, fixture: str, test: str
) -> None:
    """Who declares an ability and does not define what belongs to it is told so."""
    source = f"""
class TestMine(RunStoreContract):
    abilities = frozenset({{Ability.{ability}}})

    @pytest.fixture
    def store(self):
        return InMemoryRunStore()
"""
    result = run(pytester, source, "-k", test)
    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines([f"*TestMine must define the fixture `{fixture}`. It returns*"])


def test_what_is_not_declared_is_skipped_with_the_reason(pytester: pytest.Pytester) -> None:
    """A test of an ability that the class does not declare is a skip that names both."""
    source = """
class TestMine(RunStoreContract):
    @pytest.fixture
    def store(self):
        raise RuntimeError("not made for a test that is skipped")
"""
    result = run(pytester, source, "-rs", "-k", "test_instances_see_each_others_saves")
    result.assert_outcomes(skipped=1)
    result.stdout.fnmatch_lines(["*TestMine does not declare Ability.DURABLE, Ability.MULTI_INSTANCE*"])


def test_an_ability_that_needs_another_is_refused_alone(pytester: pytest.Pytester) -> None:
    """Several instances of what is not durable cannot be."""
    source = """
class TestMine(RunStoreContract):
    abilities = frozenset({Ability.MULTI_PROCESS})

    @pytest.fixture
    def store(self):
        return InMemoryRunStore()
"""
    result = run(pytester, source, "-k", "a_saved_run_comes_back_equal")
    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines(["*TestMine declares Ability.MULTI_PROCESS without Ability.DURABLE.*"])


def test_a_store_that_cannot_be_sent_to_a_process_is_explained(pytester: pytest.Pytester) -> None:
    """A lambda as `reopen` fails with what to write instead."""
    source = """
class TestMine(RunStoreContract):
    abilities = frozenset({Ability.DURABLE})

    @pytest.fixture
    def store(self):
        return InMemoryRunStore()

    @pytest.fixture
    def reopen(self):
        return lambda: InMemoryRunStore()
"""
    result = run(pytester, source, "-k", "never_closed and global")
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["*functools.partial(MyStore, path) instead of a lambda*"])


def test_the_report_names_the_classes_their_abilities_and_the_kit(pytester: pytest.Pytester) -> None:
    """At the end of the run stands what was declared, and which kit tested it."""
    source = """
class TestOne(RunStoreContract):
    @pytest.fixture
    def store(self):
        return InMemoryRunStore()

class TestTwo(ProviderContract):
    abilities = frozenset({Ability.FAILURES})

    @pytest.fixture
    def provider(self):
        return ScriptedProvider(lambda request: "hello")
"""
    result = run(pytester, source, "-k", "a_saved_run_comes_back or the_type_is")
    result.assert_outcomes(passed=2)
    result.stdout.fnmatch_lines(["*contracts of openharness-testing 0.*", "TestOne: no abilities", "TestTwo: FAILURES"])


def test_failures_explain_themselves(pytester: pytest.Pytester) -> None:
    """Plain asserts in the contract classes show both sides, as in an author's own tests."""
    source = """
class Store(InMemoryRunStore):
    async def count_runs(self, query=None):
        return 7

class TestMine(RunStoreContract):
    @pytest.fixture
    def store(self):
        return Store()
"""
    result = run(pytester, source, "-k", "a_deleted_run_is_gone")
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["E*assert 7 == 1*"])


def test_what_hangs_is_told_in_a_sentence(pytester: pytest.Pytester) -> None:
    """A store that never answers fails within the patience of the class, also when it is closed."""
    source = """
import asyncio

class Store(InMemoryRunStore):
    async def close(self):
        await asyncio.Event().wait()

class TestMine(RunStoreContract):
    patience = 0.05

    @pytest.fixture
    def store(self):
        return Store()
"""
    result = run(pytester, source, "-k", "closing_at_once and never")
    result.assert_outcomes(failed=1, errors=1)
    result.stdout.fnmatch_lines(["*closing from five tasks at once took longer than 0.05 s: it hangs.*"])
