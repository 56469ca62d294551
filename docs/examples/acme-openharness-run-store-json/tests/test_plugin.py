"""The store is found by the scheme of a URL, and makes readable files."""

from __future__ import annotations

import asyncio
import importlib.metadata
import json
from typing import TYPE_CHECKING

import pytest
from acme_openharness_run_store_json import JsonRunStore

from openharness.core import InvalidValueError, RunRecord, StoreError

if TYPE_CHECKING:
    import pathlib


def test_the_entry_point_is_the_class() -> None:
    """``json`` among the run stores is `JsonRunStore`."""
    (point,) = importlib.metadata.entry_points(group="openharness.run_stores", name="json")
    assert point.load() is JsonRunStore


def test_a_url_names_the_folder() -> None:
    """``json:folder`` is the store of that folder; without one it is an error that says so."""
    assert repr(JsonRunStore.from_url("json:my/runs")) == repr(JsonRunStore("my/runs"))
    with pytest.raises(InvalidValueError):
        JsonRunStore.from_url("json:")


def test_a_run_is_a_readable_file(tmp_path: pathlib.Path) -> None:
    """Each run is one JSON file, and nothing else is left in the folder."""

    async def save() -> None:
        async with JsonRunStore(tmp_path) as store:
            await store.save_run(RunRecord("a/b", created_at=1, state={"answer": 42}))
            await store.save_run(RunRecord("a/b", created_at=1, state={"answer": 43}))

    asyncio.run(save())
    (file,) = tmp_path.iterdir()
    stored = json.loads(file.read_text("utf-8"))["run"]
    assert (stored["id"], stored["state"]) == ("a/b", '{"answer":43}')


@pytest.mark.asyncio
async def test_a_folder_that_cannot_be_one_is_a_store_error(tmp_path: pathlib.Path) -> None:
    """Where the folder's path is a file, saving raises StoreError, which names the store."""
    (tmp_path / "file").write_text("x")
    async with JsonRunStore(tmp_path / "file") as store:
        with pytest.raises(StoreError, match="JsonRunStore"):
            await store.save_run(RunRecord("a", created_at=1, state=None))
