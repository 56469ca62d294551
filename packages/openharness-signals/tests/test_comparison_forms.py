"""A comparison as text, JSON and HTML: readable, complete or cut with a word about it, and safe to look at."""

from __future__ import annotations

import asyncio
import json
import re
from html.parser import HTMLParser
from typing import Any

import attrs
import pytest
from comparison_support import ANSWERS, Writer, newsroom
from hypothesis import given, settings
from hypothesis import strategies as st
from signals_support import EXAMPLES

from openharness.core.values import diff_lines, visible
from openharness.signals import RecordingDiff, diff_recordings

NASTY = (
    "</pre><script>alert(1)</script><img src=x onerror=alert(2)>&lt;b&gt;\"'`\x1b[31mred\x1b[0m\0\ud800\u202egnp.exe\n"
    "<style>body{display:none}</style><a href='javascript:alert(3)'>x</a>\r\x85\u2028end of it, and some more to be long"
)
TAGS = {
    *(
        "html",
        "head",
        "meta",
        "title",
        "style",
        "body",
        "main",
        "h1",
        "h2",
        "p",
        "span",
        "div",
        "code",
        "pre",
        "ol",
        "li",
    ),
    *("del", "ins", "details", "summary", "table", "thead", "tbody", "tr", "th", "td"),
}
LINES = st.lists(st.sampled_from(["", "one", "two words", "two other words", "three", "\r", "\u2028"]), max_size=30)


class Reader(HTMLParser):
    """Reads a page as a browser would, and keeps its tags, attributes and text."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.attributes: set[str] = set()
        self.contents: list[str] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Keep what an element is."""
        self.tags.add(tag)
        self.attributes.update(name for name, _ in attrs)

    def handle_data(self, data: str) -> None:
        """Keep what is shown."""
        self.contents.append(data)


def compared(*editors: str, store_more: bool = False) -> RecordingDiff:
    """The comparison of two runs in which the editor gave these answers."""
    one, other = (
        asyncio.run(newsroom(Writer({**ANSWERS, "editor": editor}), critic=critic))[0]
        for editor, critic in zip(editors, (False, store_more), strict=True)
    )
    return diff_recordings(one, other)


@pytest.fixture(scope="module")
def nasty() -> RecordingDiff:
    """A comparison with answers that would harm whoever believes them."""
    return compared("Fine.", NASTY, store_more=True)


def test_text_obeys_nobody(nasty: RecordingDiff) -> None:
    """What acts on a terminal, turns the direction of text or is no character is written out."""
    text = str(nasty)
    assert all(char.isprintable() or char in "\n\t" for char in text)
    assert "\\x1b[31mred" in text
    assert "\\u202egnp.exe" in text
    text.encode()


def test_page_obeys_nobody(nasty: RecordingDiff) -> None:
    """A page has our elements and attributes only, runs nothing and loads nothing, and shows the text as it is."""
    page = nasty.to_html()
    page.encode()
    reader = Reader(page)
    assert reader.tags <= TAGS
    assert reader.attributes <= {"lang", "charset", "http-equiv", "content", "name", "class"}
    assert "<script>alert(1)</script>" in "".join(reader.contents)
    assert "default-src 'none'" in page
    assert "unsafe" not in page
    assert not re.search(r"(src|href|url|@import|https?:)\s*[=(/]", page.partition("</style>")[0])
    assert page.count("<meta ") == 4
    assert "@media (prefers-color-scheme: dark)" in page


def test_page_shows_everything(nasty: RecordingDiff) -> None:
    """The first divergence, the answers, the state, the figures and every signal that differs stand in the page."""
    page = nasty.to_html()
    for title in ("First divergence", "Answers", "Final state", "All signals that differ", "Tokens, cost and time"):
        assert f"<h2>{title}</h2>" in page
    assert page.count("<details>") == len(nasty.changes) + len(nasty.figures.agents) + 1
    equal = diff_recordings(*[asyncio.run(newsroom())[0]] * 2).to_html()
    assert "<h2>First divergence</h2>" not in equal
    assert '<span class="badge equal">equal</span>' in equal


def test_json_has_the_documented_shape(nasty: RecordingDiff) -> None:
    """The keys are those of the documentation, and the value is JSON that shares nothing with the recordings."""
    value = json.loads(json.dumps(nasty.to_json()))
    assert list(value) == [
        *("format", "version", "equal", "left", "right", "summary", "first_divergence", "chain"),
        *("changes", "outputs", "state", "figures"),
    ]
    assert (value["format"], value["version"], value["equal"]) == ("openharness/recording-diff", 1, False)
    assert list(value["left"]) == ["recording_id", "run_id", "outcome", "signals"]
    assert list(value["summary"]) == ["unchanged", "changed", "added", "removed", "consequences"]
    assert value["first_divergence"] == value["changes"][0]
    assert [list(change) for change in value["changes"]] == [
        [
            *("kind", "name", "agent", "activation", "call", "ordinal"),
            *("left", "right", "differences", "is_consequence"),
        ]
    ] * len(nasty.changes)
    assert [list(link) for link in value["chain"]] == [["seq", "name", "activation"]] * len(nasty.chain)
    assert list(value["outputs"][0]) == ["call", "left", "right", "diff"]
    assert value["state"][0] == {
        "path": "state.headline",
        "kind": "changed",
        "left": "Fine.",
        "right": nasty.outputs[0].right,
    }
    assert list(value["figures"]) == ["run", "agents", "latencies_ms"]
    assert value["figures"]["agents"]["critic"]["activations"] == {"left": 0, "right": 1, "change": 1}
    assert nasty.to_json() == nasty.to_json()

    shown = json.dumps(nasty.to_json())
    emptied: Any = nasty.to_json()
    for change in emptied["changes"]:
        for side in ("left", "right"):
            (change[side] or {}).get("payload", {}).clear()
    assert json.dumps(nasty.to_json()) == shown


def test_cuts_say_what_they_leave_out() -> None:
    """A long diff and a long value tell how much more there is, in the text."""
    answer = "\n".join(f"line {number}" for number in range(200))
    diff = compared(answer, answer.replace("line", "row"))
    assert re.search(r"… \d+ more lines of this diff", str(diff))
    assert len(str(diff)) < 20_000
    assert "more characters)" in str(compared("short", "x" * 5_000, store_more=True))


def test_a_word_at_the_end_of_a_long_line_is_seen() -> None:
    """A line that is cut is cut so that what differs in it stays."""
    words = "the same words again and again " * 100
    text = str(compared(f"{words}NORTH", f"{words}SOUTH"))
    assert "NORTH" in text
    assert "SOUTH" in text
    assert max(map(len, text.splitlines())) < 400


def test_many_differences_are_counted(nasty: RecordingDiff) -> None:
    """A comparison with more differences than a screen holds says how many there are."""
    many = attrs.evolve(nasty, changes=nasty.changes[:1] * 2_000)
    assert "… 1,969 more" in str(many)
    assert "1,500 more are left out of this page" in many.to_html()


@settings(max_examples=EXAMPLES * 5)
@given(left=LINES, right=LINES)
def test_a_diff_makes_one_text_of_the_other(left: list[str], right: list[str]) -> None:
    """Applied to the left text, its lines give the right one; there are none exactly for equal texts."""
    one, other = "\n".join(left), "\n".join(right)
    lines = diff_lines(one, other)
    assert bool(lines) == (one != other)
    old, new, position = one.split("\n"), list[str](), 0
    for line in lines:
        if line.kind == "place":
            start, _, count = line.text.split()[1][1:].partition(",")
            begin = int(start) if count == "0" else int(start) - 1
            new += old[position:begin]
            position = begin
            continue
        if line.kind != "added":
            assert old[position] == line.text
            position += 1
        if line.kind != "removed":
            new.append(line.text)
    assert "\n".join([*new, *old[position:]]) == other


def test_texts_of_many_lines_take_no_time() -> None:
    """Two long texts without a common line are compared at once; the lines around them are still found."""
    one = "\n".join(["same", *(f"a{number}" for number in range(5_000)), "end"])
    lines = diff_lines(one, one.replace("a", "b").replace("sbme", "same"))
    assert [line.text for line in lines if line.kind == "same"] == ["same", "end"]
    assert sum(line.kind == "removed" for line in lines) == 5_000


@given(text=st.text(st.characters()))
def test_visible_text_can_be_shown(text: str) -> None:
    """Whatever a text holds, it becomes one that can be encoded and does nothing."""
    shown = visible(text)
    shown.encode()
    assert all(char.isprintable() or char in "\t\u200c\u200d" for char in shown)


def test_recordings_of_no_signals_are_equal() -> None:
    """Two recordings of runs that never began are equal, in all three forms."""
    recording, _ = asyncio.run(newsroom())
    empty = attrs.evolve(recording, signals=[])
    diff = diff_recordings(empty, empty)
    assert diff.is_equal
    assert str(diff).startswith("The runs are equal: 0 signals")
    assert diff.to_json()["equal"] is True
    assert "equal" in diff.to_html()
