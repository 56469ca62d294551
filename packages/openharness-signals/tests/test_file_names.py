"""File names for fixtures: readable for ordinary names, safe and different for all others."""

from __future__ import annotations

import re
import unicodedata
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from signals_support import delta, fill, load, names_in

from openharness.signals import FileSignalStore
from openharness.signals._file_store._names import file_stem, stem_as_name
from openharness.testing.corpus import HOSTILE_IDS
from openharness.testing.strategies import identifiers

SAFE = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9._~-]*")
WINDOWS = {"con", "prn", "aux", "nul", *(f"{kind}{digit}" for kind in ("com", "lpt") for digit in range(10))}

HOSTILE = [
    *HOSTILE_IDS,
    "..",
    ".",
    "../escape",
    "/etc/passwd",
    "C:\\Windows\\x",
    "a/../../b",
    "CON",
    "con",
    "con.txt",
    "com1",
    "LPT9.a.b",
    "name.",
    "name ",
    " name",
    ".hidden",
    "-rf",
    "unpublished",
    ".gitignore",
    "a" * 200,
    "\xe9" * 100,
    "\u6f22" * 66,
    "caf\xe9",
    "cafe\u0301",
    "A",
    "a",
    "x~1",
    "test_login[param-A/1]",
    "a:b",
    "a\u202eb",
    "%2e%2e",
    "my-test.jsonl",
]


@pytest.mark.parametrize("name", ["my-test", "test_foo", "a", "0", "login.v2", "x_", "a-b_c.d"])
def test_ordinary_names_are_their_own_file_names(name: str) -> None:
    """A name of lower-case letters, digits and -_. is the name of its file, so that it can be found by eye."""
    assert file_stem(name) == name
    assert stem_as_name(name) == name


def test_other_names_stay_readable() -> None:
    """What is readable of any other name begins the name of its file."""
    assert file_stem("TestLogin.test_ok[a/b]").startswith("TestLogin-test_ok-a-b~")


@given(identifiers() | st.sampled_from(HOSTILE))
def test_every_file_name_is_safe_everywhere(name: str) -> None:
    """A file name has harmless ASCII only, is no reserved name, ends in no dot, and has at most 255 bytes."""
    stem = file_stem(name)
    assert SAFE.fullmatch(stem) or re.fullmatch("~[0-9a-f]{32}", stem)
    assert stem.partition(".")[0].lower() not in WINDOWS
    assert not stem.endswith((".", " ", "-."))
    assert len(stem) + len(".jsonl") <= 255


@given(st.lists(identifiers() | st.sampled_from(HOSTILE), unique=True, max_size=20))
def test_different_names_are_different_files(names: list[str]) -> None:
    """No two names share a file, also where case and Unicode normalisation do not count."""
    folded = {unicodedata.normalize("NFC", file_stem(name)).lower() for name in names}
    assert len(folded) == len(names)


async def test_hostile_fixture_names_stay_in_their_folder(tmp_path: Path) -> None:
    """Whatever a fixture is called, it is published, found and listed, and nothing appears outside of the folder."""
    folder = tmp_path / "deep" / "recordings"
    store = FileSignalStore(folder)
    names = sorted(set(HOSTILE))
    made: dict[str, str] = {}
    for name in names:
        made[name] = await fill(store, [delta(0, name)], name=name)
        await store.finalize(made[name], outcome="completed")
        await store.publish(made[name], name)
    again = FileSignalStore(folder)
    assert await again.list_fixtures() == names
    for name in names:
        found = await again.find_recording(name)
        assert found is not None
        assert (found.id, found.name) == (made[name], name)
        assert (await load(again, found.id)).signals == [delta(0, name)]
    assert names_in(tmp_path) == ["deep"]
    assert names_in(tmp_path / "deep") == ["recordings"]
    assert {Path(name).suffix for name in names_in(folder) if name != "unpublished"} == {".jsonl"}


async def test_a_name_that_no_file_can_spell_is_kept_inside(tmp_path: Path) -> None:
    """A recording published under an odd name it was not made for is found by that name in every store."""
    store = FileSignalStore(tmp_path)
    for outcome in (None, "completed"):
        recording_id = await fill(store, [delta(0, "a")], name="my-test")
        if outcome:
            await store.finalize(recording_id, outcome=outcome)
        await store.publish(recording_id, "Odd / Name")
        await store.publish(recording_id, "other")
        again = FileSignalStore(tmp_path)
        assert await again.list_fixtures() == ["Odd / Name", "other"]
        for name in ("Odd / Name", "other"):
            found = await again.find_recording(name)
            assert found is not None
            assert (found.id, found.name) == (recording_id, "my-test")


async def test_a_renamed_file_is_the_fixture_of_its_new_name(tmp_path: Path) -> None:
    """Whoever renames the file of a fixture renames the fixture."""
    store = FileSignalStore(tmp_path)
    recording_id = await fill(store, [delta(0, "a")], name="before")
    await store.publish(recording_id, "before")
    (tmp_path / "before.jsonl").rename(tmp_path / "after.jsonl")
    assert await store.list_fixtures() == ["after"]
    assert await store.find_recording("before") is None
    found = await store.find_recording("after")
    assert found is not None
    assert found.id == recording_id
    assert len((await load(store, recording_id)).signals) == 1


async def test_a_file_whose_name_is_no_fixture_name_is_a_recording_all_the_same(tmp_path: Path) -> None:
    """A file somebody put into the folder under a name of their own is listed and loads, but is no fixture."""
    store = FileSignalStore(tmp_path)
    recording_id = await fill(store, [delta(0, "a")], name="before")
    await store.publish(recording_id, "before")
    (tmp_path / "before.jsonl").rename(tmp_path / "Copy of before.jsonl")
    assert await store.list_fixtures() == []
    assert [info.id for info in await store.list_recordings()] == [recording_id]
    assert len((await load(store, recording_id)).signals) == 1
