"""What is stopped when the interpreter ends."""

from __future__ import annotations

import threading
import time
import weakref

import pytest

from openharness.sqlite import _exit


class Holder:
    """Something to be stopped, used until it is told otherwise."""

    def __init__(self, uses: int) -> None:
        self.uses = uses
        self.stopped = 0

    def in_use(self) -> bool:
        """Be in use for so many questions."""
        self.uses -= 1
        return self.uses >= 0

    def stop(self) -> None:
        """Count the stops."""
        self.stopped += 1


def test_after_the_main_thread_what_is_no_longer_used_is_stopped(monkeypatch: pytest.MonkeyPatch) -> None:
    """What nobody uses is stopped at once and once; what a thread of the user's still works with, when it is done."""
    ended = threading.Thread(target=bool)
    ended.start()
    ended.join()
    unused, used = Holder(0), Holder(2)
    seen: list[tuple[int, int]] = []

    def pause(_: float) -> None:
        seen.append((unused.stopped, used.stopped))
        if len(seen) == 4:
            raise SystemExit

    with monkeypatch.context() as patch:
        patch.setattr(_exit, "_watched", weakref.WeakSet([unused, used]))
        patch.setattr(threading, "main_thread", lambda: ended)
        patch.setattr(time, "sleep", pause)
        with pytest.raises(SystemExit):
            _exit._watch()
        # With the main thread gone no other can be started: it is stopped where one is.
        late = Holder(0)
        _exit.stop_now(late)
        assert late.stopped == 1
    assert seen == [(1, 0), (1, 0), (1, 1), (1, 1)]
