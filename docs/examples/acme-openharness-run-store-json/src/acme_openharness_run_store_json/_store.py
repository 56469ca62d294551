"""A run store over a folder of JSON files."""

from __future__ import annotations

import asyncio
import json
import pathlib
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, TypeVar

import attrs

from acme_openharness_run_store_json._files import Folder
from openharness.core import CorruptRecordError, InvalidValueError, RunQuery, RunStore, StoreClosedError, StoreError
from openharness.core.records import check_id
from openharness.core.storage import EncodedRun, decode_run, encode_run, select_runs
from openharness.core.values import MAX_BYTES

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Self

    from openharness.core import RunRecord

__all__ = ("JsonRunStore",)

T = TypeVar("T")


@attrs.frozen
class _Row:
    """A record as its file holds it.

    Attributes:
        run: The record's columns.
        checksum: Their checksum when they were written.
    """

    run: EncodedRun
    checksum: str


class JsonRunStore(RunStore):
    """Keeps each run in a JSON file of its own. Several instances and processes may use one folder.

    Listing reads every file, so this is a store for hundreds of runs, not for millions.

    Args:
        folder: Where the files are; made when the first run is saved.
        max_bytes: How large the JSON text of one state, or of one run's metadata, may be; 16 MiB by default.
    """

    def __init__(self, folder: str | pathlib.Path, *, max_bytes: int = MAX_BYTES) -> None:
        # Absolute, because a program that changes its current folder means the one it had here.
        self._folder = Folder(pathlib.Path(folder).absolute())
        self._max_bytes = max_bytes
        # One thread: what is done to one run takes effect in the order of the calls, and goes on when its caller is
        # cancelled, before anything that comes later. The thread starts with the first call.
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="json-run-store")
        self._closed = False

    @classmethod
    def from_url(cls, url: str) -> Self:
        """Return the store of a URL: ``json:runs`` is the folder ``runs``. What `open_run_store` calls.

        Raises:
            InvalidValueError: The URL names no folder.
        """
        _, _, folder = url.partition(":")
        if not folder:
            raise InvalidValueError("url", value=url, expected="json: and the path of a folder, as in 'json:runs'")
        return cls(folder)

    def __repr__(self) -> str:
        """Name the folder."""
        return f"JsonRunStore({str(self._folder.path)!r})"

    async def save_run(self, run: RunRecord) -> None:
        """Save a run, replacing the one with the same id. See `RunStore.save_run`."""
        # Before the first await: what the caller changes later is not saved, and what is refused is refused first.
        row = encode_run(run, max_bytes=self._max_bytes)
        text = json.dumps({"checksum": row.checksum, "run": attrs.asdict(row)}, ensure_ascii=False, indent=1)
        await self._do(lambda: self._folder.write(run.id, text))

    async def get_run(self, run_id: str) -> RunRecord | None:
        """Return the run with this id, or None. See `RunStore.get_run`."""
        check_id(run_id, name="run_id")
        text = await self._do(lambda: self._folder.read(run_id))
        return None if text is None else self._decode(self._parse(run_id, text))

    async def list_runs(self, query: RunQuery | None = None) -> list[RunRecord]:
        """Return the runs that match. See `RunStore.list_runs`."""
        wanted = query or RunQuery()
        return await self._do(lambda: self._list(wanted))

    async def delete_run(self, run_id: str) -> None:
        """Delete a run. See `RunStore.delete_run`."""
        check_id(run_id, name="run_id")
        await self._do(lambda: self._folder.delete(run_id))

    async def close(self) -> None:
        """Wait for what was begun. See `RunStore.close`."""
        self._closed = True
        await asyncio.to_thread(self._thread.shutdown)

    async def _do(self, work: Callable[[], T]) -> T:
        if self._closed:
            raise StoreClosedError("it was closed; make a new one.", store=repr(self))
        try:
            return await asyncio.get_running_loop().run_in_executor(self._thread, work)
        except OSError as error:
            raise StoreError(str(error), store=repr(self)) from error

    def _list(self, query: RunQuery) -> list[RunRecord]:
        rows: dict[str, _Row] = {}
        for name, text in self._folder.read_all():
            row = self._parse(name, text)
            rows[row.run.id] = row
        # A damaged record is an error only for who wants it, so checksums are looked at when it is known who is wanted.
        found = select_runs((decode_run(row.run, include_state=False) for row in rows.values()), query)
        return [self._decode(rows[run.id], include_state=query.include_state) for run in found]

    def _parse(self, name: str, text: str) -> _Row:
        try:
            stored = json.loads(text)
            return _Row(EncodedRun(**stored["run"]), stored["checksum"])
        except (ValueError, TypeError, KeyError) as error:
            raise CorruptRecordError(name, reason=f"its file is no record: {error!r}", store=repr(self)) from error

    def _decode(self, row: _Row, *, include_state: bool = True) -> RunRecord:
        return decode_run(row.run, checksum=row.checksum, include_state=include_state)
