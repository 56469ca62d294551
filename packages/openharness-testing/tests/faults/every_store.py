"""All stores of either kind, empty and side by side, for tests that compare them."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

from openharness.core import InMemoryRunStore, RunStore, SignalStore
from openharness.core.plugins import open_run_store, open_signal_store
from openharness.signals import MemorySignalStore

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator
    from pathlib import Path

    from openharness.testing.postgres import PostgresPlace

__all__ = ("every_store",)


@contextlib.asynccontextmanager
async def every_store(
    folder: Path, place: PostgresPlace
) -> AsyncGenerator[tuple[dict[str, RunStore], dict[str, SignalStore]]]:
    """Open a store of each kind.

    Args:
        folder: Where their files are made.
        place: Where on a PostgreSQL server their tables are made.
    """
    server = f"{place.dsn}{'&' if '?' in place.dsn else '?'}schema={place.schema}"
    async with contextlib.AsyncExitStack() as opened:
        runs: dict[str, RunStore] = {"memory": InMemoryRunStore()}
        signals: dict[str, SignalStore] = {"memory": MemorySignalStore()}
        for name, url in (("sqlite", f"sqlite:///{folder / 'store.db'}"), ("postgres", server)):
            runs[name] = open_run_store(url)
            signals[name] = open_signal_store(url)
        signals["files"] = open_signal_store(f"file:{folder / 'recordings'}")
        for store in (*runs.values(), *signals.values()):
            await opened.enter_async_context(store)
        yield runs, signals
