"""The kit as an author of a typed store or provider meets it."""

from __future__ import annotations

import functools
import re
from typing import TYPE_CHECKING, assert_type

import pytest
from hypothesis.strategies import SearchStrategy

from openharness.core import InMemoryRunStore, JSONValue, ProviderError, ProviderRequest, RunQuery, RunRecord, TextDelta
from openharness.testing import (
    Ability,
    Answer,
    Entry,
    Expectation,
    ProviderContract,
    RunStoreContract,
    ScriptedProvider,
    UnexpectedRequestError,
)
from openharness.testing.strategies import json_values, run_queries, run_records

if TYPE_CHECKING:
    import pathlib
    from collections.abc import Awaitable, Callable


class TestMyRunStore(RunStoreContract):
    """Fixtures may have parameters and narrower types than those of the contract."""

    abilities = frozenset({Ability.DURABLE, Ability.CHECKSUMS})
    max_bytes = 64 * 1024
    patience = 1.5

    @pytest.fixture
    def store(self, tmp_path: pathlib.Path) -> InMemoryRunStore:
        """Return a store."""
        del tmp_path
        return InMemoryRunStore(max_bytes=self.max_bytes)

    @pytest.fixture
    def reopen(self, tmp_path: pathlib.Path) -> Callable[[], InMemoryRunStore]:
        """Return what makes another."""
        del tmp_path
        return functools.partial(InMemoryRunStore, max_bytes=self.max_bytes)

    @pytest.fixture
    def damage(self) -> Callable[[str], Awaitable[None]]:
        """Return what damages one."""

        async def damage(run_id: str) -> None:
            del run_id

        return damage


class TestMyProvider(ProviderContract):
    """A provider's class needs one fixture, and may choose the request."""

    @pytest.fixture
    def provider(self) -> ScriptedProvider:
        """Return a provider."""
        return ScriptedProvider(shout)

    @pytest.fixture
    def provider_request(self) -> ProviderRequest:
        """Return a request."""
        return ProviderRequest(messages=[])


def shout(request: ProviderRequest) -> Answer:
    """Answer a request."""
    return [str(request.messages[-1].content).upper(), 0.1, TextDelta("!")]


async def use_scripts() -> None:
    """Scripts of every kind."""
    async with ScriptedProvider(["text", ["pieces", 0.5], ProviderError("no"), shout], delay=0.1) as provider:
        assert_type(provider, ScriptedProvider)
        assert_type(provider.requests, list[ProviderRequest])
        provider.assert_done()
        assert_type(provider.unused, list[Entry])
        assert_type(provider.unexpected, list[UnexpectedRequestError])
    ScriptedProvider(shout)
    ScriptedProvider({"a": ["text", Expectation(["x", 0.1], message=re.compile("y"), tools={"search"})], "b": shout})
    ScriptedProvider([Expectation("x", agent="a", system=len, when=lambda request: request.seed == 1)])  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    Expectation("x", tools=3)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    ScriptedProvider(3)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]


assert_type(json_values(), SearchStrategy[JSONValue])
assert_type(run_records(), SearchStrategy[RunRecord])
assert_type(run_queries(), SearchStrategy[RunQuery])
