"""Where the tables of a store are: a schema of the database, and a prefix of their names. And of which version they are."""

from __future__ import annotations

import re
from typing import Final

import attrs

from openharness.core import InvalidValueError

__all__ = ("Names", "literal")

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


def literal(text: str) -> str:
    """Return a text as it stands in SQL, whatever is in it and whatever ``standard_conforming_strings`` is.

    Args:
        text: The text; also what a function is made of, which no delimiter of dollars is safe for where a name is in it.
    """
    quoted = "'" + text.replace("'", "''") + "'"
    return " E" + quoted.replace("\\", "\\\\") if "\\" in quoted else quoted


@attrs.frozen(kw_only=True)
class Names:
    """The names of a store's tables, as they stand in SQL.

    Attributes:
        schema: The schema that the tables are in, any name; it is created where it is missing.
        prefix: What the names of tables, indexes and functions begin with.
        component: Whose tables they are, one word: ``runs``, ``signals``.
        version: The version that the tables have where statements are made for them; 0 for any.

    Raises:
        InvalidValueError: There can be no such schema, or no such prefix.
    """

    schema: str = attrs.field(default="public", validator=_check_schema)
    prefix: str = attrs.field(default="openharness_", validator=_check_prefix)
    component: str = ""
    version: int = 0

    @property
    def quoted_schema(self) -> str:
        """The schema as it stands in SQL."""
        return '"' + self.schema.replace('"', '""') + '"'

    @property
    def unless_newer(self) -> str:
        """A condition in SQL: no newer release has brought the tables forward. The statement fails where one has.

        It asks the catalog, which is not subject to the snapshot of a transaction, whether there is the mark of the next
        version. Every statement has it: an older release may be connected while a newer one brings the tables forward.
        """
        if self.version == 0:
            return "true"
        mark = literal(self.mark(self.version + 1))
        # A conversion that fails says why, and is not tried before the statement is executed.
        return (
            f"(CASE WHEN pg_catalog.to_regclass({mark}) IS NULL THEN '1' "
            "ELSE 'a newer release has brought the tables forward' END)::integer = 1"
        )

    def mark(self, version: int) -> str:
        """Return the view that says that the tables have reached a version."""
        return self(f"{self.component}_version_{version}")

    def __call__(self, name: str) -> str:
        """Return a table, function or type with schema and prefix: ``"public"."openharness_runs"``."""
        return f"{self.quoted_schema}.{self.bare(name)}"

    def bare(self, name: str) -> str:
        """Return a name with the prefix alone, for indexes and triggers, which are in the schema of their table."""
        return f'"{self.prefix}{name}"'
