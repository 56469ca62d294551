"""Lets the tests of this folder import what they share from ``support/``, and be independent of the clock."""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    import pytest

sys.path.insert(0, str(Path(__file__).parent / "support"))

# Whatever secrets the environment has, tests of streams see the pieces that were sent: none looks like their beginning.
for name in list(os.environ):
    if name.upper().endswith(("_KEY", "_TOKEN", "_SECRET", "_PASSWORD")):
        del os.environ[name]


def pytest_configure(config: pytest.Config) -> None:
    """Make the marker known."""
    config.addinivalue_line("markers", "virtual_time: time passes in the event loop when there is nothing else to do")


def pytest_asyncio_loop_factories(item: pytest.Item) -> dict[str, Callable[[], asyncio.AbstractEventLoop]]:
    """Give a test the event loop that it asks for."""
    from virtual_time import VirtualTimeLoop

    virtual = item.get_closest_marker("virtual_time") is not None
    return {"virtual": VirtualTimeLoop} if virtual else {"real": asyncio.new_event_loop}
