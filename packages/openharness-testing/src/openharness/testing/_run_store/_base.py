"""The fixtures of a run store's contract."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

import pytest
import pytest_asyncio

from openharness.core.values import MAX_BYTES
from openharness.testing._kit._abilities import Ability
from openharness.testing._kit._contract import Contract, undefined

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

    from openharness.core import RunStore

__all__ = ("RunStoreCase",)


class RunStoreCase(Contract):
    """What every part of the contract of run stores builds on.

    Attributes:
        max_bytes: The size limit of the store that the fixture makes.
    """

    max_bytes: ClassVar[int] = MAX_BYTES

    @pytest.fixture
    def store(self, request: pytest.FixtureRequest) -> RunStore:
        """Return the store under test: empty, new for each test. The contract closes it. Defined by the author."""
        store: RunStore = undefined(request, "store", "It returns the store under test: empty, and new for each test.")
        return store

    @pytest.fixture
    def reopen(self, request: pytest.FixtureRequest) -> Callable[[], RunStore]:
        """Return what makes another store on the data of `store`. Defined by authors that declare `Ability.DURABLE`."""
        make: Callable[[], RunStore] = undefined(
            request,
            "reopen",
            "It returns a function without arguments that makes another store on the same data; other processes call "
            "it too, so it must be one that pickle takes: functools.partial(MyStore, path).",
        )
        return make

    @pytest.fixture
    def damage(self, request: pytest.FixtureRequest) -> Callable[[str], Awaitable[None]]:
        """Return what damages a stored record. Defined by authors that declare `Ability.CHECKSUMS`."""
        damage: Callable[[str], Awaitable[None]] = undefined(
            request,
            "damage",
            "It returns an async function that takes a run's id and changes a byte of the state that is stored for it, "
            "behind the store's back.",
        )
        return damage

    @pytest.fixture
    def reopen_if_durable(
        self, declared_abilities: frozenset[Ability], request: pytest.FixtureRequest
    ) -> Callable[[], RunStore] | None:
        """Return the fixture `reopen` where the class declares `Ability.DURABLE`, else None."""
        if Ability.DURABLE not in declared_abilities:
            return None
        make: Callable[[], RunStore] = request.getfixturevalue("reopen")
        return make

    @pytest_asyncio.fixture(autouse=True)
    async def closed_at_the_end(self, declared_abilities: frozenset[Ability], store: RunStore) -> AsyncIterator[None]:
        """Close the store when the test ends."""
        del declared_abilities  # it comes first, to skip before a store is made
        yield
        await self.soon(store.close(), "close()")
