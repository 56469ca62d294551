"""Run history for OpenHarness as one JSON file for each run."""

from __future__ import annotations

from acme_openharness_run_store_json._store import JsonRunStore

__all__ = ("JsonRunStore",)
