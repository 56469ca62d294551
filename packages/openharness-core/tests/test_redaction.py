"""Redaction of texts: what is taken for a secret, placeholders, and streams."""

from __future__ import annotations

import json
import re
from typing import Any
from urllib.parse import quote

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from openharness.core import InvalidValueError, MissingSecretError, Redaction
from openharness.core.redaction import RedactedStream, Redactor

KEYS = {
    "anthropic-key": "sk-ant-api03-" + "aB3_-" * 18 + "AA",
    "openai-key": "sk-proj-" + "aB3_" * 16 + "T3BlbkFJ" + "xY9-" * 16,
    "github-token": "ghp_" + "aB3d" * 9,
    "gitlab-token": "glpat-" + "aB3_-" * 4,
    "aws-access-key": "AKIA"
    + "IOSFODNN7EXAMPLE".replace("0", "2").replace("1", "3").replace("8", "4").replace("9", "5"),
    "google-key": "AIza" + "aB3_-" * 7,
    "google-client-secret": "GOCSPX-" + "aB3_" * 7,
    "slack-token": "xoxb-" + "1234567890-" * 2 + "aBcDeFgHiJkLmNoP",
    "stripe-key": "sk_live_" + "aB3d" * 6,
    "sendgrid-key": "SG." + "a" * 22 + "." + "b" * 43,
    "huggingface-token": "hf_" + "aB" * 17,
    "groq-key": "gsk_" + "aB3d" * 13,
    "xai-key": "xai-" + "aB3d" * 20,
    "npm-token": "npm_" + "aB3d" * 9,
    "pypi-token": "pypi-AgEIcHlwaS5vcmc" + "aB3_-" * 20,
    "digitalocean-token": "dop_v1_" + "0af9" * 16,
    "age-secret-key": "AGE-SECRET-KEY-1" + "QP" * 29,
    "json-web-token": "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.eyJzdWIiOiIxMjM0NTY3ODkwIn0.dozjgNryP4J3jVmNHl0w5N_XgL0n3I9P",
    "private-key": "-----BEGIN RSA PRIVATE KEY-----\n" + "MIIEpAIBAAKCAQEA7bq9\n" * 6 + "-----END RSA PRIVATE KEY-----",
}

ENVIRONMENT = {
    "OPENAI_API_KEY": "abcdabcdab",
    "SERVICE_TOKEN": "dabcdabxx",
    "DB_PASSWORD": 'pä"ss\\w/örd',
    "SHORT_TOKEN": "seven77",
    "HOME": "/home/somebody",
}


def redactor(redaction: Redaction | None = None, environment: dict[str, str] | None = None) -> Redactor:
    """A redactor with a small environment of its own."""
    return Redactor(
        Redaction() if redaction is None else redaction, ENVIRONMENT if environment is None else environment
    )


def streamed(using: Redactor, pieces: list[str]) -> list[str]:
    """The pieces of a text after redaction."""
    stream: RedactedStream[int] = RedactedStream(using)
    out = [text for index, piece in enumerate(pieces) for _, text in stream.feed(index, piece)]
    return out + [text for _, text in stream.end()]


# What is taken for a secret.


@pytest.mark.parametrize("name", KEYS)
def test_keys_of_well_known_services_are_recognised(name: str) -> None:
    """A key is found by its shape, in prose, in JSON, in a URL and behind an escape, and nothing around it is lost."""
    key = KEYS[name]
    for before, after in [
        ("", ""),
        ("key: ", " end"),
        ('{"k": "', '"}'),
        ("?k=", "&x=1"),
        ("\\n", "\\n"),
        ("%3D", "%26"),
    ]:
        assert redactor().text(before + key + after) == f"{before}[redacted:{name}]{after}"


@pytest.mark.parametrize(
    "text",
    [
        "a task-force of sk-learn users, desk-bound, risk-free: sk-",
        "github_pat_ and ghp_ are prefixes, so is AKIA, and AIza too",
        "see https://github.com/openai/openai-python and -----BEGIN CERTIFICATE-----",
        "eyJ is how a token begins. task-" + "word-" * 30,
        "commit 9fceb02d0ae598e95dc970b74767f19372d61af8, 550e8400-e29b-41d4-a716-446655440000",
        "The file begins with -----BEGIN RSA PRIVATE KEY----- and then comes text.",
    ],
)
def test_ordinary_text_is_left_alone(text: str) -> None:
    """What only looks like the beginning of a key, ids and hashes stay as they are: the same object comes back."""
    assert redactor().text(text) is text
    assert "".join(streamed(redactor(), list(text))) == text


def test_values_of_the_environment_are_found_anywhere_and_however_they_are_written() -> None:
    """Values of 8 characters or more of variables with telling names: as they are, in JSON text and in a URL."""
    value = ENVIRONMENT["DB_PASSWORD"]
    using = redactor()
    assert using.text(f"x{value}y") == "x[redacted:DB_PASSWORD]y"
    assert using.text(json.dumps({"p": value})) == '{"p": "[redacted:DB_PASSWORD/ascii]"}'
    assert using.text(json.dumps({"p": value}, ensure_ascii=False)) == '{"p": "[redacted:DB_PASSWORD/json]"}'
    assert using.text(f"postgres://me:{quote(value, safe='')}@host") == "postgres://me:[redacted:DB_PASSWORD/url]@host"
    for text in ("seven77", "/home/somebody"):
        assert using.text(text) == text


def test_names_of_variables_can_be_chosen() -> None:
    """`environment` replaces the names; it takes shell patterns, in any case."""
    environment = {"my_pin_code": "12345678", "X_TOKEN": "87654321"}
    using = redactor(Redaction(environment="*_PIN_*"), environment)
    assert using.text("12345678 87654321") == "[redacted:my_pin_code] 87654321"
    assert redactor(Redaction(environment=()), environment).text("12345678 87654321") == "12345678 87654321"


def test_named_secrets_and_patterns() -> None:
    """A named secret goes before the environment, and patterns are regular expressions of the user's."""
    redaction = Redaction(
        secrets={"OPENAI_API_KEY": "from-the-vault"},
        patterns={"acme": r"acme_[0-9]{4}", "pin": re.compile(r"(?i)pin \d{4}")},
    )
    using = redactor(redaction)
    text = "from-the-vault acme_1234 acme_12 PIN 1234"
    assert using.text(text) == "[redacted:OPENAI_API_KEY] [redacted:acme] acme_12 [redacted:pin]"
    assert "from-the-vault" not in repr(redaction)


def test_keys_of_objects_are_redacted_at_any_depth() -> None:
    """Texts and keys of a JSON value, however deep; what holds no secret comes back as the same object."""
    using = redactor()
    value: Any = {"a": [1, None, {"abcdabcdab": {"b": "x abcdabcdab"}}], "n": 1.5}
    expected = {"a": [1, None, {"[redacted:OPENAI_API_KEY]": {"b": "x [redacted:OPENAI_API_KEY]"}}], "n": 1.5}
    assert using.json(value) == expected
    clean: Any = {"a": [1, {"b": "nothing"}]}
    assert using.json(clean) is clean
    assert redactor(None).restore(using.json(value)) == value


def test_several_secrets_of_one_rule_are_told_apart() -> None:
    """Numbers follow the order of first appearance, the same secret always has the same one, and restoring is exact."""
    using = redactor()
    first, second = KEYS["github-token"], KEYS["github-token"][:-1] + "X"
    text = f"{first} {second} {first}"
    redacted = using.text(text)
    assert redacted == "[redacted:github-token] [redacted:github-token#2] [redacted:github-token]"
    assert using.restore(redacted) == text


def test_a_placeholder_that_is_there_keeps_its_number() -> None:
    """A new secret never takes the placeholder of another one that stands beside it, or stands in the log."""
    key = KEYS["github-token"]
    assert redactor().text(f"{key} [redacted:github-token]") == "[redacted:github-token#2] [redacted:github-token]"
    assert redactor().json([key, "[redacted:github-token#4]"]) == [
        "[redacted:github-token#5]",
        "[redacted:github-token#4]",
    ]
    using = redactor()
    using.placed = lambda rule: 7
    assert using.text(key) == "[redacted:github-token#8]"


def test_a_named_secret_keeps_its_number_from_others() -> None:
    """A secret named like a rule, as it is given to a resumed run, and another one of that rule are told apart."""
    key = KEYS["github-token"]
    using = redactor(Redaction(secrets={"github-token": "ghp-from-before"}))
    text = f"{key} ghp-from-before"
    assert using.text(text) == "[redacted:github-token#2] [redacted:github-token]"
    assert using.restore(using.text(text)) == text


def test_restoring_an_unknown_placeholder_is_an_error() -> None:
    """The error names the rule and how to give the value again; a text that speaks of placeholders can be let through."""
    value: Any = {"m": "a [redacted:GONE_TOKEN/json] and [redacted:github-token#2]"}
    with pytest.raises(MissingSecretError, match=r"secrets=\{'GONE_TOKEN': ..., 'github-token#2': ...\}") as caught:
        redactor().restore(value)
    assert caught.value.names == ("GONE_TOKEN", "github-token#2")
    assert redactor(Redaction(unknown="send")).restore(value) == value
    given = Redaction(secrets={"GONE_TOKEN": 'qu"oted', "github-token#2": "ghp-two"})
    assert redactor(given).restore(value) == {"m": 'a qu\\"oted and ghp-two'}


@pytest.mark.parametrize(
    "options",
    [
        {"secrets": {"a b": "12345678"}},
        {"secrets": {"a": "123"}},
        {"secrets": {"a": 12345678}},
        {"patterns": {"a]": "x"}},
        {"patterns": {"a": "x*"}},
        {"longest": 0},
        {"unknown": "ignore"},
    ],
)
def test_options_that_cannot_work_are_refused(options: dict[str, Any]) -> None:
    """Names that no placeholder could hold, secrets that are too short, patterns that match nothing at all."""
    with pytest.raises(InvalidValueError) as caught:
        Redaction(**options)
    assert "123" not in str(caught.value)


# For all texts.

LETTERS = 'abdX_-\\"[]é:'
VALUES = st.lists(st.text(LETTERS, min_size=4, max_size=9), max_size=4, unique=True)
FRAGMENTS = [
    "ghp_", "a" * 12, "b" * 24, " ", "sk-", "T3BlbkFJ", "AKIA", "ABCDEFGHIJKLMNOP", "[redacted:", "S0]", "]", "#2", "eyJ", ".",
    "-----BEGIN ", "PRIVATE KEY-----", "-----END ", "acme_", "12345", "pin 77", "\n", *LETTERS, *KEYS.values(),
]  # fmt: skip


@st.composite
def cases(draw: st.DrawFn) -> tuple[Redaction, list[str]]:
    """Secrets of all kinds, and a text with some of them, cut anywhere."""
    values = draw(VALUES)
    patterns = draw(st.sampled_from([{}, {"acme": r"acme_[0-9]{2,6}"}, {"pin": r"(?i)pin \d{2,4}"}]))
    redaction = Redaction(
        secrets={f"S{index}": value for index, value in enumerate(values)}, patterns=patterns, longest=20
    )
    text = "".join(draw(st.lists(st.sampled_from([*FRAGMENTS, *values]), max_size=14)))
    cuts = sorted(draw(st.lists(st.integers(0, len(text)), max_size=12)))
    pieces = [text[start:stop] for start, stop in zip([0, *cuts], [*cuts, len(text)], strict=True)]
    return redaction, [piece for piece in pieces if piece]


@given(cases())
def test_a_stream_redacted_is_the_text_redacted(case: tuple[Redaction, list[str]]) -> None:
    """However a text is cut: its redacted pieces joined are the redacted text, and without a secret the pieces stay."""
    redaction, pieces = case
    text = "".join(pieces)
    whole = redactor(redaction, {}).arrived(text)
    out = streamed(redactor(redaction, {}), pieces)
    assert "".join(out) == whole
    assert "" not in out
    if whole == text and "[redacted:" not in text:
        assert out == pieces


@given(cases())
def test_redaction_can_be_undone_and_done_again(case: tuple[Redaction, list[str]]) -> None:
    """Restoring gives the text back; redacting what is redacted changes nothing; no named secret is left."""
    redaction, pieces = case
    using = redactor(redaction, {})
    text = "".join(pieces)
    redacted = using.text(text)
    if "[redacted:" not in text:
        assert using.restore(redacted) == text
        remaining = re.sub(r"\[redacted:[^\]]*\]", "\0", redacted)
        assert not any(value in remaining for value in redaction.secrets.values())
    assert using.mask(text) == redactor(redaction, {}).mask(redacted) or "#" in redacted


@given(st.sampled_from(sorted(KEYS)), st.data())
def test_a_key_is_found_wherever_a_stream_is_cut(name: str, data: st.DataObject) -> None:
    """No cut hides a key, and text around it is not held back once it is clear that it is none of it."""
    text = f"the key is {KEYS[name]} and the rest"
    cut = data.draw(st.integers(1, len(text) - 1))
    assert "".join(streamed(redactor(), [text[:cut], text[cut:]])) == f"the key is [redacted:{name}] and the rest"


def test_an_ordinary_stream_is_not_held_back() -> None:
    """Words of ordinary text come out at once; only what begins like a secret waits for the next piece."""
    stream: RedactedStream[int] = RedactedStream(redactor())
    text = "one person sees the ghost, he helps: sk eyes AKI glance -"
    for index, word in enumerate(re.findall(r"\S+\s*", text)[:-1]):
        assert stream.feed(index, word) == [(index, word)]
    assert stream.feed(90, "g") == []
    assert stream.feed(91, "hp") == []
    assert stream.feed(92, "ost") == [(90, "g"), (91, "hp"), (92, "ost")]
    assert stream.feed(93, "abc") == []
    assert stream.feed(94, "dabcdabc def") == [(93, "[redacted:OPENAI_API_KEY]"), (94, "c def")]


@given(
    value=st.text("ab1\"'\\\n\t\x1b\x7f/%é\u2028", min_size=3, max_size=12).map(lambda text: f"{text}2"),
    write=st.sampled_from([str, json.dumps, lambda value: json.dumps(value, ensure_ascii=False), repr]),
    before=st.sampled_from(["", "x", '{"k": ', "\\"]),
    beside=st.sampled_from(["", "\ud83d"]),
)
@example(value='a"12\n', write=json.dumps, before="", beside="")
@example(value='é"122', write=lambda value: json.dumps(value, ensure_ascii=False), before="", beside="\ud83d")
def test_a_secret_that_is_escaped_is_found_within_any_value(value: str, write: Any, before: str, beside: str) -> None:
    """In a text within a list within a dict, or as a key, a secret is found however it is written, and comes back.

    Also beside half of a character, for which the value as a whole is written in another way.
    """
    using = redactor(Redaction(secrets={"S": value}), {})
    text = before + write(value)
    redacted: Any = using.json({"body": [text, beside], text: 1})
    assert redacted == {"body": [using.text(text), beside], using.text(text): 1}
    assert "[redacted:S" in redacted["body"][0]
    assert using.restore(redacted) == {"body": [text, beside], text: 1}


@pytest.mark.parametrize("known", ["error", "send"])
def test_a_stranger_cannot_name_a_secret(known: Any) -> None:
    """What arrives and looks like the placeholder of a secret is made plain text, also in pieces; the log's own stay."""
    using = redactor(Redaction(unknown=known))
    told: Any = {"[redacted:SERVICE_TOKEN]": ["see [redacted:OPENAI_API_KEY] and [redacted:SERVICE_TOKEN#2]"]}
    second = "[redacted SERVICE_TOKEN#2]" if known == "error" else "[redacted:SERVICE_TOKEN#2]"
    assert using.arrived(told) == {"[redacted SERVICE_TOKEN]": [f"see [redacted OPENAI_API_KEY] and {second}"]}
    pieces = ["a [reda", "cted:OPENAI_A", "PI_KEY", "] b"]
    assert "".join(streamed(using, pieces)) == "a [redacted OPENAI_API_KEY] b"
    using.placed = lambda rule: 2 * (rule == "SERVICE_TOKEN")
    assert using.arrived("[redacted:SERVICE_TOKEN#2] [redacted:OPENAI_API_KEY]") == (
        "[redacted:SERVICE_TOKEN#2] [redacted OPENAI_API_KEY]"
    )


@pytest.mark.parametrize(
    "pieces, expected",
    [
        (["key abcd", "abcda"], "key [redacted:OPENAI_API_KEY#2]"),
        (["key abcd"], "key abcd"),
        (["s abcdabcda"], "s [redacted:OPENAI_API_KEY#2]"),
        (["token ghp_", "aB3"], "token ghp_aB3"),
        (["token ghp_", "aB3daB3d"], "token [redacted:github-token#2]"),
        (["abcdabcdab, s", "k-"], "[redacted:OPENAI_API_KEY], sk-"),
        (["a [reda", "cted:X"], "a [redacted:X"),
    ],
)
def test_a_text_that_breaks_off_within_a_secret_does_not_show_most_of_it(pieces: list[str], expected: str) -> None:
    """Where a stream is cut, half of a known value and more is a secret; less of it, and other text, is kept."""
    using = redactor()
    stream: RedactedStream[int] = RedactedStream(using)
    out = [text for index, piece in enumerate(pieces) for _, text in stream.feed(index, piece)]
    redacted = "".join([*out, *(text for _, text in stream.end(cut=True))])
    assert redacted == expected
    assert using.restore(redacted) == "".join(pieces) or "[redacted:X" in redacted


@given(cases())
def test_a_stream_that_breaks_off_loses_nothing(case: tuple[Redaction, list[str]]) -> None:
    """However a text is cut, and breaks off: what comes out has no secret in it, and restored it is the text."""
    redaction, pieces = case
    using = redactor(redaction, {})
    stream: RedactedStream[int] = RedactedStream(using)
    out = [text for index, piece in enumerate(pieces) for _, text in stream.feed(index, piece)]
    redacted = "".join([*out, *(text for _, text in stream.end(cut=True))])
    text = "".join(pieces)
    if "[redacted:" not in text:
        assert using.restore(redacted) == text
