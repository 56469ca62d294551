"""A `RunQuery` as SQL. Only names from this package are ever part of the text; what users give is bound."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import attrs

from openharness.core import RunStatus, canonical_json
from openharness.core.storage import RUN_COLUMNS, prefix_end
from openharness.sqlite import Statement

if TYPE_CHECKING:
    from openharness.core import RunQuery

__all__ = ("count", "count_doomed", "frequencies", "is_doomed", "positions", "select", "select_one")

_FREQUENT: Final = 1_000
"""From how many runs on it no longer matters which key is walked: a page is found soon."""


_ONE: Final = f"SELECT {', '.join((*RUN_COLUMNS, 'state'))} FROM runs WHERE id = ?"  # noqa: S608 - names of our own


def select_one(run_id: str) -> Statement:
    """Return the statement that reads one run."""
    return Statement(_ONE, (run_id,))


def select(query: RunQuery) -> Statement:
    """Return the statement that lists runs: the columns of `RUN_COLUMNS`, and the state if the query wants it."""
    names = (*RUN_COLUMNS, "state") if query.include_state else RUN_COLUMNS
    return _paged(", ".join(f"runs.{name}" for name in names), query)


def positions(query: RunQuery) -> Statement:
    """Return the statement that lists only when the runs began and their ids."""
    return _paged("runs.created_at, runs.id", query)


def count(query: RunQuery) -> Statement:
    """Return the statement that counts runs, within the limit and after the offset and the cursor."""
    if query.status is None or RunStatus.COMPLETED not in query.status or query.limit is not None or query.offset:
        return _counted(query)
    # Nearly all runs are completed, and only the others have an index by status: all without the others that are not
    # wanted, so that indexes alone are read.
    every = _counted(attrs.evolve(query, status=None))
    others = _counted(attrs.evolve(query, status=set(RunStatus) - query.status))
    return Statement(f"SELECT ({every.sql}) - ({others.sql})", (*every.parameters, *others.parameters))


def count_doomed(query: RunQuery, before: int | None) -> Statement:
    """Return the statement that counts what a query leaves behind its offset, and that began before a time.

    Those that are older, and those behind the kept ones, are each the oldest of all; so the fewer are doomed.
    """
    every = attrs.evolve(query, offset=0)
    behind = count(every)
    older = behind if before is None else count(attrs.evolve(every, created_before=before))
    return Statement(
        f"SELECT max(0, min(({behind.sql}) - ?, ({older.sql})))",
        (*behind.parameters, query.offset, *older.parameters),
    )


def is_doomed(query: RunQuery, before: int | None, newest: tuple[int, str]) -> Statement:
    """Return the condition that a run has a status, began before a time, and stands at a position or is older."""
    words = sorted(word.value for word in query.status or RunStatus)
    # The plus keeps SQLite from walking an index: what is asked about is known by its id.
    sql = f"+status IN ({', '.join('?' * len(words))}) AND (+created_at, +id) <= (?, ?)"
    if before is None:
        return Statement(sql, (*words, *newest))
    return Statement(f"{sql} AND +created_at < ?", (*words, *newest, before))


def _counted(query: RunQuery) -> Statement:
    source, conditions = _conditions(query)
    if query.limit is None and not query.offset:
        # The order plays no part.
        where = f" WHERE {' AND '.join(condition.sql for condition in conditions)}" if conditions else ""
        parameters = tuple(value for condition in conditions for value in condition.parameters)
        return Statement(f"SELECT count(*) FROM {source}{where}", parameters)  # noqa: S608 - names of our own
    inner = _paged("1", query)
    return Statement(f"SELECT count(*) FROM ({inner.sql})", inner.parameters)  # noqa: S608 - names of our own


def frequencies(query: RunQuery) -> Statement:
    """Return the statement that counts, up to a limit, how many runs have each wanted key and value: one row."""
    one = "(SELECT count(*) FROM (SELECT 1 FROM run_metadata WHERE key = ? AND value = ? LIMIT ?))"
    parameters = [value for key, item in query.metadata.items() for value in (key, canonical_json(item), _FREQUENT)]
    return Statement(f"SELECT {', '.join([one] * len(query.metadata))}", tuple(parameters))


def _paged(columns: str, query: RunQuery) -> Statement:
    source, conditions = _conditions(query)
    where = f" WHERE {' AND '.join(condition.sql for condition in conditions)}" if conditions else ""
    direction = "DESC" if query.order == "newest" else "ASC"
    time, run_id = _position(query)
    sql = f"SELECT {columns} FROM {source}{where} ORDER BY {time} {direction}, {run_id} {direction} LIMIT ? OFFSET ?"  # noqa: S608
    parameters = [value for condition in conditions for value in condition.parameters]
    return Statement(sql, (*parameters, -1 if query.limit is None else query.limit, query.offset))


def _position(query: RunQuery) -> tuple[str, str]:
    """The columns that order the runs, in the table whose index is walked."""
    return ("wanted.created_at", "wanted.run_id") if query.metadata else ("runs.created_at", "runs.id")


def _conditions(query: RunQuery) -> tuple[str, list[Statement]]:
    source = "runs"
    conditions: list[Statement] = []
    time, run_id = _position(query)
    for number, (key, value) in enumerate(query.metadata.items()):
        if number == 0:
            # CROSS JOIN keeps the order: walk the index of the metadata, which is in the order of the list already.
            source = "run_metadata AS wanted CROSS JOIN runs ON runs.id = wanted.run_id"
            conditions.append(Statement("wanted.key = ? AND wanted.value = ?", (key, canonical_json(value))))
        else:
            conditions.append(
                Statement(
                    "EXISTS (SELECT 1 FROM run_metadata AS also WHERE also.key = ? AND also.value = ? "
                    "AND also.created_at = wanted.created_at AND also.run_id = wanted.run_id)",
                    (key, canonical_json(value)),
                )
            )
    if query.created_after is not None:
        conditions.append(Statement(f"{time} >= ?", (query.created_after,)))
    if query.created_before is not None:
        conditions.append(Statement(f"{time} < ?", (query.created_before,)))
    if query.after is not None:
        sign = "<" if query.order == "newest" else ">"
        conditions.append(Statement(f"({time}, {run_id}) {sign} (?, ?)", query.after))
    if query.id_prefix:
        conditions.extend(_begins_with(run_id, query.id_prefix))
    if query.status is not None:
        conditions.append(_one_of(query.status))
    return source, conditions


def _one_of(status: frozenset[RunStatus]) -> Statement:
    words = sorted(status)
    sql = f"runs.status IN ({', '.join('?' * len(words))})"
    # Said as a constant, so that SQLite sees that the partial index by status holds all that is wanted.
    rare = " AND runs.status <> 'completed'" if RunStatus.COMPLETED not in status else ""
    return Statement(sql + rare, tuple(word.value for word in words))


def _begins_with(column: str, prefix: str) -> list[Statement]:
    """A range, which has no wildcards and can use an index."""
    end = prefix_end(prefix)
    behind = [] if end is None else [Statement(f"{column} < ?", (end,))]
    return [Statement(f"{column} >= ?", (prefix,)), *behind]
