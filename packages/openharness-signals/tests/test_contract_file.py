"""The contract of signal stores, on the store in files."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, ClassVar

import pytest

from openharness.signals import FileSignalStore
from openharness.testing import Ability, SignalStoreContract

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from pathlib import Path

    from openharness.core import SignalStore

_MAX_BYTES = 256 * 1024


class TestFileSignalStore(SignalStoreContract):
    """`FileSignalStore` keeps the contract of signal stores, with all that a store on disk can promise."""

    abilities = frozenset(
        {Ability.DURABLE, Ability.MULTI_INSTANCE, Ability.MULTI_PROCESS, Ability.CHECKSUMS, Ability.RESTORE}
    )
    max_bytes: ClassVar[int] = _MAX_BYTES

    @pytest.fixture
    def reopen(self, tmp_path: Path) -> Callable[[], SignalStore]:
        """What makes another store on the same folder."""
        return partial(FileSignalStore, tmp_path / "recordings", max_bytes=_MAX_BYTES)

    @pytest.fixture
    def store(self, reopen: Callable[[], SignalStore]) -> SignalStore:
        """A store on an empty folder."""
        return reopen()

    @pytest.fixture
    def damage(self, tmp_path: Path) -> Callable[[str], Awaitable[None]]:
        """What changes one byte in the payload of the first signal of a recording."""

        async def flip(recording_id: str) -> None:
            path = tmp_path / "recordings" / "unpublished" / f"{recording_id}.jsonl"
            data = bytearray(path.read_bytes())
            data[data.index(b'"payload":') + len(b'"payload":')] ^= 1
            path.write_bytes(data)

        return flip
