"""Where the tables of a store are: a schema of the database, and a prefix of their names."""

from __future__ import annotations

import re
from typing import Final

import attrs

from openharness.core import InvalidValueError

__all__ = ("Names",)

_PREFIX: Final = re.compile("[a-z_][a-z0-9_]*")
_LONGEST_PREFIX: Final = 32
_LONGEST_SCHEMA: Final = 63
"""As long as a name may be in PostgreSQL, in bytes; it cuts longer ones without a word."""


def _check_schema(instance: object, attribute: object, value: object) -> None:
    del instance, attribute
    expected = f"the name of a schema, 1 to {_LONGEST_SCHEMA} bytes without NUL"
    if not isinstance(value, str) or "\0" in value:
        raise InvalidValueError("schema", value=value, expected=expected)
    try:
        size = len(value.encode())
    except UnicodeEncodeError:
        raise InvalidValueError("schema", value=value, expected=expected) from None
    if not 0 < size <= _LONGEST_SCHEMA or value.startswith("pg_"):
        raise InvalidValueError("schema", value=value, expected=f"{expected}, that does not begin with pg_")


def _check_prefix(instance: object, attribute: object, value: object) -> None:
    del instance, attribute
    if not isinstance(value, str) or len(value) > _LONGEST_PREFIX or (value and not _PREFIX.fullmatch(value)):
        raise InvalidValueError(
            "prefix",
            value=value,
            expected=f"at most {_LONGEST_PREFIX} lower-case letters, digits and underscores, no digit first",
        )


@attrs.frozen(kw_only=True)
class Names:
    """The names of a store's tables, as they stand in SQL.

    Attributes:
        schema: The schema that the tables are in, any name; it is created where it is missing.
        prefix: What the names of tables, indexes and functions begin with.

    Raises:
        InvalidValueError: There can be no such schema, or no such prefix.
    """

    schema: str = attrs.field(default="public", validator=_check_schema)
    prefix: str = attrs.field(default="openharness_", validator=_check_prefix)

    @property
    def quoted_schema(self) -> str:
        """The schema as it stands in SQL."""
        return '"' + self.schema.replace('"', '""') + '"'

    def __call__(self, name: str) -> str:
        """Return a table, function or type with schema and prefix: ``"public"."openharness_runs"``."""
        return f"{self.quoted_schema}.{self.bare(name)}"

    def bare(self, name: str) -> str:
        """Return a name with the prefix alone, for indexes and triggers, which are in the schema of their table."""
        return f'"{self.prefix}{name}"'
