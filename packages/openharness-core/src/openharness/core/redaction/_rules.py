"""What is taken for a secret by its shape, and how a secret is told from its beginning."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Final

import attrs

__all__ = ("LEFT", "PLACEHOLDER", "SHAPES", "Rule", "compiled", "note_placeholders", "pattern_rule", "unnumbered")

PLACEHOLDER: Final = re.compile(r"\[redacted:([A-Za-z0-9_.-]{1,100})(?:/(?:json|ascii|repr|url))?(?:#([0-9]{1,9}))?\]")
"""What stands in the place of a secret: the rule, how the value was written where that matters, and which of several."""

_NUMBER: Final = re.compile(r"(\[redacted:[A-Za-z0-9_.-]{1,100}(?:/(?:json|ascii|repr|url))?)#[0-9]{1,9}\]")

LEFT: Final = re.compile(
    r"(?:(?<![A-Za-z0-9])|(?<=\\[nrtbf])|(?<=%[0-9A-Fa-f]{2})|(?<=\\u[0-9A-Fa-f]{4}))",
)
"""A key of a known shape does not begin in the middle of a word; the end of an escape is no word."""

_PLAIN: Final = re.compile(r"(?:\\b)?((?:[A-Za-z0-9_-]|\\[-.])+)")
_QUANTIFIERS: Final = "?*+{"


# Most shapes never come up, and compiling them all would take longer than a short run.
compiled: Final = lru_cache(maxsize=256)(re.compile)


@attrs.frozen(kw_only=True, eq=False)
class Rule:
    """One shape of secrets.

    Attributes:
        name: What its placeholders say.
        pattern: What a whole secret looks like; bounded, so that no match is longer than ``longest``.
        begins: Every match begins with one of these texts; empty where nothing is known of its beginning.
        body: What may follow on the beginning, matched as far as a text goes; None for anything.
        longest: Once so many characters are there, whether they are a match cannot change any more.
        whole_words: Whether it never begins in the middle of a word.
    """

    name: str
    pattern: str | re.Pattern[str]
    begins: tuple[str, ...]
    body: str | None
    longest: int
    whole_words: bool = True

    def may_stand(self, text: str, position: int, after: int) -> bool:
        """Tell whether a match may begin at a position, seen from what is before it.

        Args:
            text: The text.
            position: Where the match would begin.
            after: Where the secret before it ends, behind which another one may stand without a gap.
        """
        return not self.whole_words or position == after or LEFT.match(text, position) is not None

    def may_begin(self, text: str, position: int, after: int) -> bool:
        """Tell whether what stands at a position, up to the end of the text, may become a match, or a longer one."""
        rest = len(text) - position
        if rest >= self.longest or not self.may_stand(text, position, after):
            return False
        for begin in self.begins:
            if rest < len(begin):
                if begin.startswith(text[position:]):
                    return True
            elif text.startswith(begin, position) and (
                self.body is None or compiled(self.body).fullmatch(text, position + len(begin)) is not None
            ):
                return True
        return False


def _shape(name: str, pattern: str, *, begins: tuple[str, ...], body: str, longest: int) -> Rule:
    return Rule(
        name=name,
        pattern=pattern,
        begins=begins,
        body=f"(?:{body})*",
        longest=longest,
    )


_WORD: Final = "[A-Za-z0-9_-]"
_ALNUM: Final = "[A-Za-z0-9]"
_BREAK: Final = r"(?:\s|\\[nrt])"
_PEM: Final = (
    rf"-----BEGIN (?:[A-Z0-9]{{1,12}} ){{0,3}}PRIVATE KEY(?: BLOCK)?-----"
    rf"(?:{_BREAK}{{0,4}}(?:Proc-Type|DEK-Info|Version|Comment): ?[^\n\\]{{1,80}}){{0,4}}"
    rf"(?:{_BREAK}{{0,4}}[A-Za-z0-9+/=]{{16,512}}){{1,400}}"
    rf"(?:(?:{_BREAK}{{0,4}}[A-Za-z0-9+/=]{{1,15}}){{0,2}}{_BREAK}{{0,4}}-----END (?:[A-Z0-9]{{1,12}} ){{0,3}}PRIVATE KEY(?: BLOCK)?-----)?"
)

# As the services document them and well-known scanners look for them; only shapes that ordinary text does not have.
SHAPES: Final = (
    _shape(
        "anthropic-key",
        r"sk-ant-[a-z]{3,10}[0-9]{2}-[A-Za-z0-9_-]{40,200}",
        begins=("sk-ant-",),
        body=_WORD,
        longest=220,
    ),
    _shape(
        "openai-key",
        r"sk-[A-Za-z0-9_-]{15,150}?T3BlbkFJ[A-Za-z0-9_-]{15,150}",
        begins=("sk-",),
        body=_WORD,
        longest=320,
    ),
    _shape(
        "github-token",
        r"(?:gh[pousr]_[A-Za-z0-9]{36,255}|github_pat_[A-Za-z0-9_]{36,255})",
        begins=("ghp_", "gho_", "ghu_", "ghs_", "ghr_", "github_pat_"),
        body="[A-Za-z0-9_]",
        longest=266,
    ),
    _shape("gitlab-token", r"glpat-[A-Za-z0-9_.-]{20,300}", begins=("glpat-",), body="[A-Za-z0-9_.-]", longest=306),
    _shape(
        "aws-access-key",
        r"(?:AKIA|ASIA|ABIA|ACCA)[A-Z2-7]{16}",
        begins=("AKIA", "ASIA", "ABIA", "ACCA"),
        body="[A-Z2-7]",
        longest=20,
    ),
    _shape("google-key", r"AIza[A-Za-z0-9_-]{35}", begins=("AIza",), body=_WORD, longest=39),
    _shape("google-client-secret", r"GOCSPX-[A-Za-z0-9_-]{28}", begins=("GOCSPX-",), body=_WORD, longest=35),
    _shape(
        "slack-token",
        r"xox[abeoprs]-[A-Za-z0-9-]{20,250}",
        begins=("xoxa-", "xoxb-", "xoxe-", "xoxo-", "xoxp-", "xoxr-", "xoxs-"),
        body="[A-Za-z0-9-]",
        longest=255,
    ),
    _shape(
        "stripe-key",
        r"[sr]k_(?:live|test|prod)_[A-Za-z0-9]{16,250}",
        begins=("sk_live_", "sk_test_", "sk_prod_", "rk_live_", "rk_test_", "rk_prod_"),
        body=_ALNUM,
        longest=258,
    ),
    _shape(
        "sendgrid-key",
        r"SG\.[A-Za-z0-9_-]{22}\.[A-Za-z0-9_-]{43}",
        begins=("SG.",),
        body="[A-Za-z0-9_.-]",
        longest=69,
    ),
    _shape("huggingface-token", r"hf_[A-Za-z0-9]{34,64}", begins=("hf_",), body=_ALNUM, longest=67),
    _shape("groq-key", r"gsk_[A-Za-z0-9]{40,80}", begins=("gsk_",), body=_ALNUM, longest=84),
    _shape("xai-key", r"xai-[A-Za-z0-9]{64,128}", begins=("xai-",), body=_ALNUM, longest=132),
    _shape("npm-token", r"npm_[A-Za-z0-9]{36}", begins=("npm_",), body=_ALNUM, longest=40),
    _shape(
        "pypi-token",
        r"pypi-AgEIcHlwaS5vcmc[A-Za-z0-9_-]{50,1000}",
        begins=("pypi-AgEIcHlwaS5vcmc",),
        body=_WORD,
        longest=1020,
    ),
    _shape(
        "digitalocean-token",
        r"do[opr]_v1_[a-f0-9]{64}",
        begins=("doo_v1_", "dop_v1_", "dor_v1_"),
        body="[a-f0-9]",
        longest=71,
    ),
    _shape(
        "age-secret-key",
        r"AGE-SECRET-KEY-1[QPZRY9X8GF2TVDW0S3JN54KHCE6MUA7L]{58}",
        begins=("AGE-SECRET-KEY-1",),
        body="[A-Z0-9]",
        longest=74,
    ),
    _shape(
        "json-web-token",
        r"eyJ[A-Za-z0-9_-]{14,4000}\.eyJ[A-Za-z0-9_-]{14,4000}\.[A-Za-z0-9_-]{10,1000}",
        begins=("eyJ",),
        body="[A-Za-z0-9_.-]",
        longest=9008,
    ),
    Rule(
        name="private-key",
        pattern=_PEM,
        begins=("-----BEGIN ",),
        body=(
            r"(?:[A-Z0-9 ]{0,60}-{0,5}|(?:[A-Z0-9]{1,12} ){0,3}PRIVATE KEY(?: BLOCK)?-----[A-Za-z0-9+/=\s\\:,.()-]*)"
        ),
        longest=30_000,
        whole_words=False,
    ),
)


def pattern_rule(name: str, pattern: re.Pattern[str], longest: int) -> Rule:
    """Return the rule of a user's pattern; its beginning is known where the pattern begins with plain text."""
    begin = ""
    flags = re.IGNORECASE | re.VERBOSE
    found = _PLAIN.match(pattern.pattern)
    if found is not None and "|" not in pattern.pattern and not pattern.flags & flags:
        plain = found.group(1)
        if pattern.pattern[found.end() : found.end() + 1] in tuple(_QUANTIFIERS):
            plain = plain[:-1].removesuffix("\\")
        begin = plain.replace("\\", "")
    begins = (begin,) if begin else ()
    return Rule(name=name, pattern=pattern, begins=begins, body=None, longest=longest, whole_words=False)


def note_placeholders(text: str, highest: dict[str, int]) -> None:
    """Note the highest number of each rule whose placeholder stands in a text."""
    if "[redacted:" not in text:
        return
    for found in PLACEHOLDER.finditer(text):
        rule, number = found.group(1), found.group(2)
        highest[rule] = max(highest.get(rule, 0), int(number or 1))


def unnumbered(text: str) -> str:
    """Return a text whose placeholders do not tell several secrets of one rule apart."""
    return _NUMBER.sub(r"\1]", text)
