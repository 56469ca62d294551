"""Recordings that no test uses any more: finding them, telling of them, deleting them."""

from __future__ import annotations

import fnmatch
import pathlib
from typing import TYPE_CHECKING

import attrs

from openharness.signals import FileSignalStore
from openharness.testing._pytest._apart import run_apart
from openharness.testing._pytest._names import FOLDER, display_path, is_run_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    import pytest

    from openharness.testing._pytest._books import Books

__all__ = ("Unused", "delete_unused", "find_unused")


@attrs.frozen
class Unused:
    """A recording that no test uses.

    Attributes:
        folder: Where it is.
        name: Its fixture name.
    """

    folder: pathlib.Path
    name: str

    def told(self, config: pytest.Config) -> str:
        """Return how to call it."""
        return f"{display_path(self.folder, config)}: {self.name}"


def find_unused(books: Books, *, modules: Iterable[str]) -> list[Unused]:
    """Return the recordings that no test used, of the modules that were run and of those that are gone.

    What a test that did not pass could have used is not among them.

    Args:
        books: What the tests used.
        modules: How files of tests are called, as the ini option ``python_files`` says it. A folder of another name is
            somebody's own.
    """
    unfinished = [place for test, place in books.collected.items() if test not in books.passed]
    unused: list[Unused] = []
    for folder in _folders(books, [pathlib.PurePath(pattern).name for pattern in modules]):
        names = run_apart(FileSignalStore(folder).list_fixtures())
        spared = [name for place, name in unfinished if place == str(folder)]
        unused += [
            Unused(folder, name)
            for name in names
            if (str(folder), name) not in books.used and not any(is_run_of(name, test) for test in spared)
        ]
    return unused


def delete_unused(unused: list[Unused]) -> None:
    """Delete recordings."""

    async def delete() -> None:
        for one in unused:
            # Not its recording, which is that of a used fixture too where somebody copied the file.
            await FileSignalStore(one.folder).delete_fixture(one.name)

    run_apart(delete())


def _folders(books: Books, patterns: Sequence[str]) -> Iterator[pathlib.Path]:
    """Yield the folders of the modules whose tests were run, and beside them those of modules that are not there."""
    run = {pathlib.Path(folder) for folder, _ in books.collected.values()}
    yield from sorted(folder for folder in run if folder.is_dir())
    for parent in sorted({folder.parent for folder in run}):
        if parent.name != FOLDER or not parent.is_dir():
            continue
        modules = {path.stem for path in parent.parent.iterdir() if path.is_file()}
        yield from sorted(
            folder
            for folder in parent.iterdir()
            if folder.is_dir()
            and folder.name not in modules | {"unpublished"}
            and any(fnmatch.fnmatch(f"{folder.name}.py", pattern) for pattern in patterns)
        )
