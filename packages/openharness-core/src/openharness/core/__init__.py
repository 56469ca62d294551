"""OpenHarness core: records, interfaces, the in-memory run store, the signal bus, the harness, plugin discovery."""

from __future__ import annotations

from openharness.core._version import __version__
from openharness.core.errors import *
from openharness.core.interfaces import *
from openharness.core.memory import *
from openharness.core.records import *
from openharness.core.values import *
