"""Patterns match as they say, in bounded time; and an index of them finds what looking at each would find."""

from __future__ import annotations

import enum
import re
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, initialize, invariant, precondition, rule

from openharness.core.errors import PatternError
from openharness.core.patterns import PatternIndex, _index, _pattern, check_name, compile_pattern

NAMES = st.lists(st.text("ab", min_size=1, max_size=3), min_size=1, max_size=5).map(":".join)
GLOBS = st.lists(
    st.text("ab*", min_size=1, max_size=4).filter(lambda text: "**" not in text) | st.just("**"), min_size=1, max_size=5
).map(":".join)
REGEXES = st.sampled_from(["a.*", "(a|b)+", ".*:b", "a:?b?"]).map(re.compile)
PATTERNS = GLOBS | NAMES | REGEXES


def naive(pattern: str | re.Pattern[str], name: str) -> bool:
    """What a pattern means, said in the slowest way."""
    if isinstance(pattern, re.Pattern):
        return pattern.fullmatch(name) is not None

    def match(segments: list[str], parts: list[str]) -> bool:
        if not segments:
            return not parts
        if segments[0] == "**":
            return any(match(segments[1:], parts[skipped:]) for skipped in range(len(parts) + 1))
        regex = ".*".join(map(re.escape, segments[0].split("*")))
        return bool(parts) and re.fullmatch(regex, parts[0]) is not None and match(segments[1:], parts[1:])

    return match(pattern.split(":"), name.split(":"))


@settings(max_examples=500)
@given(PATTERNS, NAMES)
@example("**", "a")
@example("a:**", "a")
@example("**:a:**:a", "a:a")
@example("a*a", "a")
@example("*a*", "a")
def test_a_pattern_matches_what_it_says(pattern: str | re.Pattern[str], name: str) -> None:
    """Over random patterns and names, the matcher agrees with the definition."""
    assert compile_pattern(pattern).matches(name) is naive(pattern, name)


@pytest.mark.parametrize(
    "pattern,matching,other",
    [
        ("tool:*", ["tool:call"], ["tool", "tool:call:late", "tools:call", "xtool:call"]),
        ("tool:**", ["tool", "tool:call", "tool:call:late"], ["tools", "a:tool"]),
        ("**:error", ["error", "a:error", "a:b:error"], ["errors", "error:a"]),
        ("a:*:c", ["a:b:c"], ["a:c", "a:b:b:c"]),
        ("a:**:c", ["a:c", "a:b:c", "a:b:b:c"], ["a", "c", "a:c:b"]),
        ("*", ["a"], ["a:b"]),
        ("**", ["a", "a:b"], []),
        ("pre*post", ["prepost", "pre-post"], ["prepos", "pre:post"]),
        ("a.c", ["a.c"], ["abc"]),
        (re.compile("a|ab"), ["a", "ab"], ["abc", "xa"]),
    ],
)
def test_the_documented_examples(pattern: Any, matching: list[str], other: list[str]) -> None:
    """What the documentation says of wildcards holds."""
    compiled = compile_pattern(pattern)
    assert [name for name in matching + other if compiled.matches(name)] == matching


@pytest.mark.parametrize(
    "pattern",
    ["", ":", "a:", ":a", "a::b", "a b", "a\n", "a\u00a0b", "a\u2028b", "a\0", "\x7f", "a\ud800", "a**", "**a", "***", "a:b**",
     "x" * 257, None, 5, b"a", ["a"], {}, re.compile(b"a")],
)  # fmt: skip
def test_what_is_no_pattern_is_refused(pattern: object) -> None:
    """Anything but a well-formed pattern is one kind of error, that shows it."""
    with pytest.raises(PatternError) as caught:
        compile_pattern(pattern)  # type: ignore[arg-type]
    assert caught.value.pattern is pattern or caught.value.pattern == pattern


@pytest.mark.parametrize("name", ["a", "a:b", "a-b_c.d", "\u00e9:\U0001f600", "x" * 256])
def test_names(name: str) -> None:
    """A name is segments of any visible characters."""
    assert check_name(name) == name
    assert compile_pattern(name).is_literal


@pytest.mark.parametrize("name", ["*", "a:*", "", "a::b", "a b", "x" * 257, None, 1, b"a"])
def test_what_is_no_name_is_refused(name: object) -> None:
    """A name has no wildcards, and is otherwise what a pattern is."""
    with pytest.raises(PatternError):
        check_name(name)


class Names(enum.StrEnum):
    """Names of a user's, as an enumeration."""

    DONE = "a:done"


def test_names_become_plain_strings() -> None:
    """A member of an enumeration of strings is the name it stands for."""
    assert type(check_name(Names.DONE)) is str
    assert type(compile_pattern(Names.DONE).source) is str


def test_patterns_are_compiled_once() -> None:
    """The same text is the same pattern; what it shows of itself is its source."""
    assert compile_pattern("a:*") is compile_pattern("a:*")
    assert compile_pattern("a:*").text == "a:*"
    assert compile_pattern(re.compile("a+")).text == "a+"


@pytest.mark.parametrize(
    "pattern,name",
    [
        ("**:a:" * 42 + "b", "a:" * 127 + "a"),
        ("**:" * 80 + "b", "a:" * 127 + "a"),
        ("*a" * 127 + "b", "a" * 256),
        ("**:*a*a*a*a*a*a*a*b", "a" * 20 + (":" + "a" * 20) * 10),
        (":".join(["*a*a*a*b"] * 28), ":".join(["a" * 8] * 28)),
    ],
)
def test_hostile_patterns_cannot_backtrack(pattern: str, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The most a pattern can cost is its segments times those of the name, each as long as one search through it."""
    steps = 0
    match_segment = _pattern.match_segment

    def counting(segment: str, text: str) -> bool:
        nonlocal steps
        steps += 1 + segment.count("*") * len(text)
        return match_segment(segment, text)

    monkeypatch.setattr(_pattern, "match_segment", counting)
    monkeypatch.setattr(_index, "match_segment", counting)
    assert not compile_pattern(pattern).matches(name)
    index: PatternIndex[int] = PatternIndex()
    for number in range(20):
        index.add(compile_pattern(pattern), number)
    assert index.lookup(name) == ()
    assert steps < 1_000_000


def test_what_is_longer_than_a_name_matches_nothing() -> None:
    """A name of a megabyte is answered at once, and is not kept."""
    index: PatternIndex[int] = PatternIndex()
    index.add(compile_pattern("**"), 1)
    assert not compile_pattern("**").matches("a:" * 500_000 + "a")
    assert index.lookup("a:" * 500_000 + "a") == ()
    assert index.lookup("a" * 256) == (1,)
    assert list(index._memo) == ["a" * 256]


@given(st.lists(st.lists(PATTERNS, min_size=1, max_size=3), max_size=40), st.lists(NAMES, max_size=5))
def test_an_index_finds_what_looking_at_each_finds(added: list[list[Any]], names: list[str]) -> None:
    """A look-up gives the values of all matching patterns, each once, in the order in which they were added."""
    index: PatternIndex[int] = PatternIndex()
    for number, patterns in enumerate(added):
        index.add([compile_pattern(pattern) for pattern in patterns], number)
    assert len(index) == len(added)
    for name in [*names, *names]:
        expected = [
            number for number, patterns in enumerate(added) if any(naive(pattern, name) for pattern in patterns)
        ]
        assert list(index.lookup(name)) == expected


class IndexMachine(RuleBasedStateMachine):
    """Patterns come and go between look-ups; the answers are always those of a plain list."""

    keys = Bundle("keys")

    def __init__(self) -> None:
        super().__init__()
        self.index: PatternIndex[int] = PatternIndex()
        self.model: dict[int, tuple[list[Any], int]] = {}
        self.value = 0

    @initialize(many=st.booleans())
    def fill(self, many: bool) -> None:
        """Begin below the number of patterns from which the trie is used, or above."""
        for number in range(20 if many else 0):
            self.index.add(compile_pattern(f"x:{number}:*"), -1)

    @rule(target=keys, patterns=st.lists(PATTERNS, min_size=1, max_size=3))
    def add(self, patterns: list[Any]) -> int:
        """Add a value under patterns of every kind."""
        self.value += 1
        key = self.index.add([compile_pattern(pattern) for pattern in patterns], self.value)
        self.model[key] = (patterns, self.value)
        return key

    @rule(key=consumes(keys))
    def remove(self, key: int) -> None:
        """Remove a value, and once more, which is no error."""
        self.index.remove(key)
        self.index.remove(key)
        del self.model[key]

    @rule(name=NAMES)
    def lookup(self, name: str) -> None:
        """Compare an answer with the list."""
        expected = [
            value for patterns, value in self.model.values() if any(naive(pattern, name) for pattern in patterns)
        ]
        assert list(self.index.lookup(name)) == expected

    @precondition(lambda self: not self.model)
    @invariant()
    def leaves_nothing_behind(self) -> None:
        """Patterns that are gone hold no memory."""
        assert not self.index._exact
        assert not self.index._regexes
        assert set(self.index._root.children) <= {"x"}
        assert not self.index._root.globs
        assert self.index._root.deep is None


TestIndexMachine = IndexMachine.TestCase
TestIndexMachine.settings = settings(max_examples=60, stateful_step_count=30, deadline=None)


def test_the_memory_is_bounded() -> None:
    """Names that are never seen again do not fill the memory, with a few patterns as with many."""
    for count in (1, 50):
        index: PatternIndex[int] = PatternIndex()
        for number in range(count):
            index.add(compile_pattern(f"a:{number}:**"), number)
        for number in range(10_000):
            index.lookup(f"a:0:{number}")
            assert len(index._memo) <= _index._MEMO_SIZE
        assert len(index._memo) > 1
        assert index.lookup("a:0:0") == (0,)


def test_a_change_amends_the_answers_it_touches() -> None:
    """Answers are kept over changes, and are right; with many answers kept, a wildcard drops them all instead."""
    index: PatternIndex[int] = PatternIndex()
    index.add(compile_pattern("**"), 0)
    for name in ("a:b", "b:a"):
        index.lookup(name)
    answers = index.answers
    key = index.add(compile_pattern("a:*"), 1)
    index.add(compile_pattern("a:b"), 2)
    assert answers == {"a:b": (0, 1, 2), "b:a": (0,)}
    index.remove(key)
    assert answers == {"a:b": (0, 2), "b:a": (0,)}
    for number in range(300):
        index.lookup(f"n:{number}")
    index.add(compile_pattern("n:7"), 3)
    assert answers["n:7"] == (0, 3)
    assert len(answers) == 302
    index.add(compile_pattern("z:*"), 4)
    assert not answers
    assert index.lookup("n:7") == (0, 3)
