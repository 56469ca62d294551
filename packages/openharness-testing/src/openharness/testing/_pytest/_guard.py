"""Fails tests that reach a provider when the session is not to, and tests that pass though their replay failed.

Python's audit events are the hook: whoever is about to send a request raises ``openharness.provider.request`` with the
provider and the `RunContext`, a replay that fails raises ``openharness.replay.error`` with the error and the store of the
run, and one that warns of differences ``openharness.replay.drift`` with the reports. Nothing is patched, no context has to
reach the thread or the event loop of a run, and where nobody listens the event costs next to nothing.
"""

from __future__ import annotations

import functools
import sys
from typing import TYPE_CHECKING, Any, Final

import pytest

if TYPE_CHECKING:
    import pathlib
    from collections.abc import Callable, Collection, Iterable

    from openharness.core import DriftReport
    from openharness.testing._pytest._mode import SessionMode
    from openharness.testing._pytest._store import TestedSignalStore

__all__ = ("EVENT", "ProviderGuard", "guarding", "watching")

EVENT: Final = "openharness.provider.request"
"""The audit event; its arguments are the provider and the context of the call."""

REPLAY_ERROR: Final = "openharness.replay.error"
"""The audit event of a replay that failed; its arguments are the error and the store that the run was given."""

REPLAY_DRIFT: Final = "openharness.replay.drift"
"""The audit event of a replay that goes on though it differs; its argument is the sequence of reports."""

_CAUGHT: Final = (
    "Something caught this error, and the test went on without the replay. What it saw then is not what was recorded, so it "
    "has not passed."
)

_ALLOWING: Final = frozenset({"live", "record"})


class ProviderGuard:
    """Watches the calls of one test.

    Args:
        test: The test's node id.
        session: The mode of the session.
        mode: The mode of the test.
        doubles: Types of providers that are no models.
        sources: Files whose classes are no models: those of the tests.
        opened: Tells the store of the test's recordings; None while it has none.
        differed: Told the reports of every replay that went on though it differed.
    """

    def __init__(
        self,
        test: str,
        *,
        session: SessionMode,
        mode: str,
        doubles: Collection[str],
        sources: Collection[pathlib.Path],
        opened: Callable[[], TestedSignalStore | None],
        differed: Callable[[Iterable[DriftReport]], None],
    ) -> None:
        self._test = test
        self._session = session
        self._mode = mode
        self._doubles = doubles
        self._sources = {str(source) for source in sources}
        self._opened = opened
        self.differed: Final = differed
        self._refused: list[str] = []
        self._failed: list[Exception] = []

    def check(self, provider: Any, context: Any) -> None:
        """Refuse a call that this test must not make.

        Raises:
            ProviderReachedError: It must not.
        """
        if self._mode in _ALLOWING or self._is_recorded(context.run_id) or self._is_double(provider):
            return
        from openharness.testing._pytest._reached import ProviderReachedError

        error = ProviderReachedError(
            test=self._test,
            provider=str(provider.type),
            call=str(context.call),
            mode=self._mode,
            reason=self._session.reason if self._mode == self._session.mode else "its marker",
        )
        self._refused.append(str(error))
        raise error

    def note(self, error: Exception, store: object) -> None:
        """Remember that a replay failed, if it was one of the test's recordings.

        Args:
            error: What it failed with.
            store: The store that the run was given.
        """
        own = self._opened()
        # A run may have other stores, of which errors tell, too.
        if own is not None and store is own and getattr(error, "store", "") in ("", repr(own)):
            self._failed.append(error)

    def _is_recorded(self, run_id: str) -> bool:
        own = self._opened()
        return own is not None and run_id in own.recorded

    def _is_double(self, provider: Any) -> bool:
        from openharness.core import FunctionProvider, LimitedProvider

        while isinstance(provider, LimitedProvider):
            provider = provider.provider
        if provider.type in self._doubles:
            return True
        kinds = type(provider).__mro__
        if any(kind.__module__ == "openharness.testing._scripted._provider" for kind in kinds):
            return True
        # Whoever answers counts: a class of a test file that leaves this to a model it inherits from is that model.
        source: Any = next(kind for kind in kinds if "run" in vars(kind))
        if isinstance(provider, FunctionProvider) and source.__module__.startswith("openharness.core."):
            source = provider.function
            while isinstance(source, functools.partial):
                source = source.func
        module = sys.modules.get(getattr(source, "__module__", None) or "")
        return getattr(module, "__file__", None) in self._sources

    def told(self, error: BaseException | None) -> None:
        """Forget a replay that failed, as its error was reported."""
        self._failed = [failed for failed in self._failed if failed is not error]

    def forget(self) -> None:
        """Let nothing that has happened so far fail the test any more."""
        self._refused.clear()
        self._failed.clear()

    def verdict(self) -> None:
        """Fail the test if a call was refused or a replay failed, also where the test went on without it."""
        __tracebackhide__ = True
        if self._refused:
            pytest.fail("\n".join(dict.fromkeys(self._refused)), pytrace=False)
        if self._failed:
            error = self._failed[0]
            error.add_note(_CAUGHT)
            raise error


class _Listener:
    """The one audit hook of this process: Python has no way to remove one."""

    def __init__(self) -> None:
        self.guard: ProviderGuard | None = None
        self._is_installed = False

    def install(self) -> None:
        if not self._is_installed:
            self._is_installed = True
            sys.addaudithook(self._hear)

    def _hear(self, event: str, arguments: tuple[Any, ...]) -> None:
        if self.guard is None:
            return
        if event == EVENT:
            self.guard.check(*arguments)
        elif event == REPLAY_ERROR:
            self.guard.note(*arguments)
        elif event == REPLAY_DRIFT:
            self.guard.differed(*arguments)


_listener: Final = _Listener()


def watching() -> ProviderGuard | None:
    """Return the guard that watches now."""
    return _listener.guard


def guarding(guard: ProviderGuard | None) -> None:
    """Let a guard watch from now on, in place of the one before; None lets nobody."""
    if guard is not None:
        _listener.install()
    _listener.guard = guard
