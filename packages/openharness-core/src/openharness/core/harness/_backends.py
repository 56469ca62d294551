"""The stores and the provider of a run: given to it, to its harness, or by the environment."""

from __future__ import annotations

import os
from contextlib import AsyncExitStack
from typing import Any, Final, Self, TypeVar

import attrs

from openharness.core.errors import InvalidValueError
from openharness.core.harness._options import DriftMode, Mode, Settings
from openharness.core.interfaces import Provider, RunStore, SignalStore
from openharness.core.log import Volatile
from openharness.core.redaction import Redaction

__all__ = ("DEFAULT_REDACTION", "Backends", "Defaults", "needed")

DEFAULT_REDACTION: Final = Redaction()

T = TypeVar("T", Provider, RunStore, SignalStore)


@attrs.frozen(kw_only=True)
class Defaults:
    """What a harness gives to runs that do not say otherwise."""

    provider: Provider | str | None = None
    mode: Mode | None = None
    store: SignalStore | str | None = None
    run_store: RunStore | str | None = None
    redaction: Redaction | None = DEFAULT_REDACTION
    drift: DriftMode | None = None
    volatile: tuple[Volatile, ...] = ()


class Backends:
    """Finds the back ends of one run. What it opens from a URL or a name it closes at the end; what it was given, never.

    Args:
        settings: The options of the run.
        defaults: Those of its harness.
    """

    def __init__(self, settings: Settings, defaults: Defaults) -> None:
        self._settings = settings
        self._defaults = defaults
        self._opened = AsyncExitStack()

    async def __aenter__(self) -> Self:
        """Return itself."""
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        """Close what was opened."""
        await self._opened.aclose()

    async def signal_store(self) -> SignalStore | None:
        """Return the signal store, or None where there is none."""
        given = _first(self._settings.store, self._defaults.store, os.environ.get("OPENHARNESS_SIGNAL_STORE"))
        if isinstance(given, str):
            from openharness.core.plugins import open_signal_store

            return await self._opened.enter_async_context(open_signal_store(given))
        return _checked("store", given, SignalStore)

    async def run_store(self) -> RunStore | None:
        """Return the run store, or None where there is none."""
        given = _first(self._settings.run_store, self._defaults.run_store, os.environ.get("OPENHARNESS_RUN_STORE"))
        return await self._open_run_store(given)

    async def run_store_of_replay(self) -> RunStore | None:
        """Return the run store that this very run was given: replays are kept nowhere else."""
        return await self._open_run_store(self._settings.run_store)

    async def provider(self) -> Provider | None:
        """Return the provider for agents without one of their own, or None where there is none."""
        given = _first(self._settings.provider, self._defaults.provider, os.environ.get("OPENHARNESS_PROVIDER"))
        if isinstance(given, str):
            from openharness.core.plugins import open_provider

            return await self._opened.enter_async_context(open_provider(given))
        return _checked("provider", given, Provider)

    async def _open_run_store(self, given: RunStore | str | None) -> RunStore | None:
        if isinstance(given, str):
            from openharness.core.plugins import open_run_store

            return await self._opened.enter_async_context(open_run_store(given))
        return _checked("run_store", given, RunStore)


_EXAMPLES: Final = {"store": "file:tests/fixtures", "run_store": "sqlite:///runs.db"}


def _checked(name: str, given: T | None, kind: type[Any]) -> T | None:
    if given is None or isinstance(given, kind):
        return given
    expected = f"a {kind.__name__}, or the text that names one"
    if isinstance(given, type) and issubclass(given, kind):
        expected += " (this is a class: make an object of it)"
    elif name == "provider" and callable(given):
        expected += " (FunctionProvider makes one of a function)"
    elif name in _EXAMPLES and isinstance(given, os.PathLike):
        expected += f" (in the text a word says what is at the path, as in {_EXAMPLES[name]!r})"
    raise InvalidValueError(name, value=given, expected=expected)


def _first(*given: T | str | None) -> T | str | None:
    """What was given first; an empty text is nothing, as an empty environment variable is."""
    return next((one for one in given if one is not None and one != ""), None)


def needed(store: SignalStore | None, what: str) -> SignalStore:
    """Return the store.

    Raises:
        InvalidValueError: There is none, and ``what`` cannot do without.
    """
    if store is None:
        raise InvalidValueError(
            "store",
            value=None,
            expected=f"given, as {what} needs a signal store (for example FileSignalStore('tests/fixtures') of "
            "openharness-signals, or OPENHARNESS_SIGNAL_STORE)",
        )
    return store
