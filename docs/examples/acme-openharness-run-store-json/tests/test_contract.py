"""The store keeps the contract of run stores."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING

import pytest
from acme_openharness_run_store_json import JsonRunStore

from openharness.testing import Ability, RunStoreContract

if TYPE_CHECKING:
    import pathlib
    from collections.abc import Awaitable, Callable


class TestJsonRunStore(RunStoreContract):
    """`JsonRunStore` keeps what it acknowledged, whoever else uses its folder, and notices damage."""

    abilities = frozenset({Ability.DURABLE, Ability.MULTI_INSTANCE, Ability.MULTI_PROCESS, Ability.CHECKSUMS})
    max_bytes = 256 * 1024

    @pytest.fixture
    def reopen(self, tmp_path: pathlib.Path) -> Callable[[], JsonRunStore]:
        """Return what makes a store on the test's folder."""
        return functools.partial(JsonRunStore, tmp_path / "runs", max_bytes=self.max_bytes)

    @pytest.fixture
    def store(self, reopen: Callable[[], JsonRunStore]) -> JsonRunStore:
        """Return an empty store."""
        return reopen()

    @pytest.fixture
    def damage(self, tmp_path: pathlib.Path) -> Callable[[str], Awaitable[None]]:
        """Return what changes a letter of a stored state."""

        async def damage(run_id: str) -> None:
            (file,) = (file for file in (tmp_path / "runs").iterdir() if f'"id": "{run_id}"' in file.read_text("utf-8"))
            file.write_text(file.read_text("utf-8").replace("the state of", "the stAte of"), "utf-8")

        return damage
