"""A `RunQuery` as SQL. Only names from this package are ever part of the text; what users give is bound."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, TypeAlias

from openharness.core import RunStatus, canonical_json
from openharness.core.storage import RUN_COLUMNS, prefix_end
from openharness.postgres import bounded, fence

if TYPE_CHECKING:
    from openharness.core import RunQuery
    from openharness.postgres import Names

__all__ = ("Queries", "Statement")

Statement: TypeAlias = "tuple[str, list[object]]"
"""SQL, and one value for each of its ``$n``."""

_FREQUENT: Final = 1_000
"""From how many runs on it no longer matters which key is walked: a page is found soon."""


class _Values:
    """The values of a statement, numbered as they are used."""

    def __init__(self) -> None:
        self.all: list[object] = []

    def __call__(self, value: object, kind: str) -> str:
        """Add a value and return what stands for it in the text."""
        self.all.append(value)
        return f"${len(self.all)}::{kind}"


class Queries:
    """The statements that read, for one store.

    Args:
        names: Where its tables are.
    """

    def __init__(self, names: Names) -> None:
        self._unless_newer = names.unless_newer
        self._runs = names("runs")
        self._entries = names("run_metadata")
        self.select_one = (
            f"SELECT {', '.join((*RUN_COLUMNS, 'state'))} FROM {self._runs} WHERE id = $1 AND {names.unless_newer}"  # noqa: S608
        )

    def select(self, query: RunQuery) -> Statement:
        """Return the statement that lists runs: the columns of `RUN_COLUMNS`, and the state if the query wants it."""
        names = (*RUN_COLUMNS, "state") if query.include_state else RUN_COLUMNS
        return self._paged(", ".join(f"runs.{name}" for name in names), query)

    def positions(self, query: RunQuery) -> Statement:
        """Return the statement that lists only when the runs began and their ids."""
        return self._paged("runs.created_at, runs.id", query)

    def count(self, query: RunQuery) -> Statement:
        """Return the statement that counts runs, within the limit and after the offset and the cursor."""
        sql, values = self._paged("1", query, ordered=query.limit is not None or query.offset > 0)
        return f"SELECT count(*) FROM ({sql}) AS found", values  # noqa: S608 - names of our own

    def frequencies(self, query: RunQuery) -> Statement:
        """Return the statement that counts, up to a limit, how many runs have each wanted key and value: one row."""
        values = _Values()
        counts = [
            f"(SELECT count(*) FROM (SELECT 1 FROM {self._entries} WHERE {self._entry('', key, item, values)} "  # noqa: S608
            f"LIMIT {_FREQUENT}) AS found)"
            for key, item in query.metadata.items()
        ]
        return f"SELECT {', '.join(counts)} WHERE {self._unless_newer}", values.all

    @staticmethod
    def _entry(table: str, key: str, item: Any, values: _Values) -> str:
        wanted_key, wanted_value = values(bounded(key), "text"), values(bounded(canonical_json(item)), "text")
        return f"{table}key = {wanted_key} AND {table}value = {wanted_value}"

    def _paged(self, columns: str, query: RunQuery, *, ordered: bool = True) -> Statement:
        values = _Values()
        source, conditions = self._conditions(query, values)
        sql = f"SELECT {columns} FROM {source} WHERE {' AND '.join(conditions)}"  # noqa: S608 - names of our own
        if ordered:
            direction = "DESC" if query.order == "newest" else "ASC"
            time, run_id = _position(query)
            sql += f" ORDER BY {time} {direction}, {run_id} {direction}"
        if query.limit is not None:
            sql += f" LIMIT {values(query.limit, 'bigint')}"
        if query.offset:
            sql += f" OFFSET {values(query.offset, 'bigint')}"
        return sql, values.all

    def _conditions(self, query: RunQuery, values: _Values) -> tuple[str, list[str]]:
        source = f"{self._runs} AS runs"
        conditions = [self._unless_newer]
        time, run_id = _position(query)
        for number, (key, item) in enumerate(query.metadata.items()):
            if number == 0:
                source = f"{self._entries} AS wanted JOIN {self._runs} AS runs ON runs.id = wanted.run_id"
                conditions.append(self._entry("wanted.", key, item, values))
            else:
                conditions.append(
                    f"EXISTS (SELECT FROM {self._entries} AS also WHERE {self._entry('also.', key, item, values)} "
                    "AND also.created_at = wanted.created_at AND also.run_id = wanted.run_id"
                    f"{fence(number)})"
                )
        if query.created_after is not None:
            conditions.append(f"{time} >= {values(query.created_after, 'bigint')}")
        if query.created_before is not None:
            conditions.append(f"{time} < {values(query.created_before, 'bigint')}")
        if query.after is not None:
            sign = "<" if query.order == "newest" else ">"
            created_at, last_id = query.after
            conditions.append(f"({time}, {run_id}) {sign} ({values(created_at, 'bigint')}, {values(last_id, 'text')})")
        if query.id_prefix:
            conditions.extend(_begins_with(run_id, query.id_prefix, values))
        if query.status is not None:
            conditions.append(_one_of(query.status, values))
        return source, conditions


def _position(query: RunQuery) -> tuple[str, str]:
    """The columns that order the runs, in the table whose index is walked."""
    return ("wanted.created_at", "wanted.run_id") if query.metadata else ("runs.created_at", "runs.id")


def _one_of(status: frozenset[RunStatus], values: _Values) -> str:
    words = sorted(word.value for word in status)
    # Said as a constant, so that the planner sees that the partial index by status holds all that is wanted.
    rare = " AND runs.status <> 'completed'" if RunStatus.COMPLETED not in status else ""
    # One word alone is equal, so that its index is in the order of the list.
    wanted = f"= {values(words[0], 'text')}" if len(words) == 1 else f"= ANY ({values(words, 'text[]')})"
    return f"runs.status {wanted}{rare}"


def _begins_with(column: str, prefix: str, values: _Values) -> list[str]:
    """A range, which has no wildcards and can use an index."""
    conditions = [f"{column} >= {values(prefix, 'text')}"]
    end = prefix_end(prefix)
    if end is not None:
        conditions.append(f"{column} < {values(end, 'text')}")
    return conditions
