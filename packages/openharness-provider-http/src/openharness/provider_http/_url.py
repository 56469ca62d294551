"""What stands in the URL that names a provider."""

from __future__ import annotations

import urllib.parse
from typing import TYPE_CHECKING, Any

from openharness.core import InvalidValueError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

__all__ = ("settings_of",)


def settings_of(url: str, *, options: Mapping[str, Callable[[str], Any]]) -> dict[str, Any]:
    """Return the arguments that a URL such as ``"claude:a-model?max_tokens=100"`` stands for.

    Args:
        url: The name, then perhaps a colon and the model, then perhaps a question mark and options.
        options: The options that may be there, and what makes a value of their text.

    Raises:
        InvalidValueError: There is another option, or a text that makes no value.
    """
    rest, _, query = url.partition("?")
    model = urllib.parse.unquote(rest.partition(":")[2])
    settings: dict[str, Any] = {"model": model} if model else {}
    for name, value in urllib.parse.parse_qsl(query, keep_blank_values=True):
        try:
            settings[name] = options[name](value)
        except (KeyError, ValueError):
            known = ", ".join(sorted(options))
            raise InvalidValueError(
                "url", value=url, expected=f"{rest.partition(':')[0]}:<model>?<options>, of the options {known}"
            ) from None
    return settings
