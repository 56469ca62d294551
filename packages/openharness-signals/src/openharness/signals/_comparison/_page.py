"""HTML made of elements: text becomes part of a page in one way only, escaped."""

from __future__ import annotations

from base64 import b64encode
from hashlib import sha256
from html import escape
from typing import TYPE_CHECKING

import attrs

from openharness.core.values import visible

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ("Markup", "element", "joined", "page")


@attrs.frozen
class Markup:
    """A part of a page. Only `element` and `joined` make one.

    Attributes:
        html: Its HTML.
    """

    html: str


def element(tag: str, *children: Markup | str, css: str = "") -> Markup:
    """Return an element.

    Args:
        tag: Its name, ours.
        children: What is in it; strings are text, whatever they say.
        css: Its classes, ours.
    """
    head = f'{tag} class="{escape(css)}"' if css else tag
    return Markup(f"<{head}>{joined(children).html}</{tag}>")


def joined(parts: Iterable[Markup | str]) -> Markup:
    """Return parts of a page one after the other."""
    return Markup("".join(part.html if isinstance(part, Markup) else escape(_lines(part)) for part in parts))


def page(title: str, body: Markup, *, style: str) -> str:
    """Return a whole page, which may load nothing and run nothing.

    Args:
        title: Its title.
        body: What is in its body.
        style: Its style sheet, ours: the only one that the page allows.
    """
    allowed = b64encode(sha256(style.encode()).digest()).decode()
    policy = f"default-src 'none'; style-src 'sha256-{allowed}'; base-uri 'none'; form-action 'none'"
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{policy}">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        '<meta name="color-scheme" content="light dark">\n'
        f"<title>{escape(visible(title))}</title>\n<style>{style}</style>\n</head>\n"
        f"{element('body', body).html}\n</html>\n"
    )


def _lines(text: str) -> str:
    return "\n".join(map(visible, text.split("\n")))
