"""The state of a run: typed for the people who write it, JSON for everything else."""

from __future__ import annotations

from openharness.core.state._schema import StateSchema
from openharness.core.state._typed import from_json, from_narrowed_json

__all__ = ("StateSchema", "from_json", "from_narrowed_json")
