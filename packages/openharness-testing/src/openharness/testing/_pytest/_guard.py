"""Fails tests that reach a provider when the session is not to.

Python's audit events are the hook: whoever is about to send a request raises ``openharness.provider.request`` with the
provider and the `RunContext`. Nothing is patched, no context has to reach the thread or the event loop of a run, and
where nobody listens the event costs next to nothing.
"""

from __future__ import annotations

import functools
import sys
from typing import TYPE_CHECKING, Any, Final

import pytest

if TYPE_CHECKING:
    import pathlib
    from collections.abc import Callable, Collection

    from openharness.testing._pytest._mode import SessionMode

__all__ = ("EVENT", "ProviderGuard", "guarding", "watching")

EVENT: Final = "openharness.provider.request"
"""The audit event; its arguments are the provider and the context of the call."""

_ALLOWING: Final = frozenset({"live", "record"})


class ProviderGuard:
    """Watches the calls of one test.

    Args:
        test: The test's node id.
        session: The mode of the session.
        mode: The mode of the test.
        doubles: Types of providers that are no models.
        sources: Files whose classes are no models: those of the tests.
        recorded: Tells the runs that the test records as it should.
    """

    def __init__(
        self,
        test: str,
        *,
        session: SessionMode,
        mode: str,
        doubles: Collection[str],
        sources: Collection[pathlib.Path],
        recorded: Callable[[], Collection[str]],
    ) -> None:
        self._test = test
        self._session = session
        self._mode = mode
        self._doubles = doubles
        self._sources = {str(source) for source in sources}
        self._recorded = recorded
        self.refused: list[str] = []
        """What was said to every call that was refused."""

    def check(self, provider: Any, context: Any) -> None:
        """Refuse a call that this test must not make.

        Raises:
            ProviderReachedError: It must not.
        """
        if self._mode in _ALLOWING or context.run_id in self._recorded() or self._is_double(provider):
            return
        from openharness.testing._pytest._reached import ProviderReachedError

        error = ProviderReachedError(
            test=self._test,
            provider=str(provider.type),
            call=str(context.call),
            mode=self._mode,
            reason=self._session.reason if self._mode == self._session.mode else "its marker",
        )
        self.refused.append(str(error))
        raise error

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

    def verdict(self, *, since: int = 0) -> None:
        """Fail the test if a call was refused, also where the run went on without it.

        Args:
            since: How many refused calls have failed it already.
        """
        __tracebackhide__ = True
        if len(self.refused) > since:
            pytest.fail("\n".join(dict.fromkeys(self.refused[since:])), pytrace=False)


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
        if event == EVENT and self.guard is not None:
            self.guard.check(*arguments)


_listener: Final = _Listener()


def watching() -> ProviderGuard | None:
    """Return the guard that watches now."""
    return _listener.guard


def guarding(guard: ProviderGuard | None) -> None:
    """Let a guard watch from now on, in place of the one before; None lets nobody."""
    if guard is not None:
        _listener.install()
    _listener.guard = guard
