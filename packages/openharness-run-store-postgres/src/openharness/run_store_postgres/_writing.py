"""What is written about runs, as one statement for any number of them.

A statement is atomic by itself, so that many saves are one round trip, without BEGIN and COMMIT.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from openharness.run_store_postgres._rows import COLUMNS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from openharness.postgres import Channel, Names
    from openharness.run_store_postgres._rows import Values

__all__ = ("Writing",)

_TYPES: Final = {"created_at": "bigint", "completed_at": "bigint"}


class Writing:
    """The kinds of jobs of one store.

    Args:
        names: Where its tables are.
    """

    def __init__(self, names: Names) -> None:
        runs = names("runs")
        arrays = ", ".join(f"${number}::{_TYPES.get(name, 'text')}[]" for number, name in enumerate(COLUMNS, 1))
        columns = ", ".join(COLUMNS)
        values = columns.replace("metadata_index", "metadata_index::jsonb")
        kept = ", ".join(f"{name} = excluded.{name}" for name in COLUMNS if name != "id")
        # Not DELETE and INSERT: that would lose the columns a newer version may have added.
        self.save = (
            f"INSERT INTO {runs} ({columns}) SELECT {values} FROM unnest({arrays}) AS new ({columns}) "  # noqa: S608 - names of our own
            f"WHERE {names.unless_newer} "
            f"ON CONFLICT (id) DO UPDATE SET {kept}"
        )
        self._delete = f"DELETE FROM {runs} WHERE id = ANY ($1::text[]) AND {names.unless_newer}"  # noqa: S608 - names of our own

    async def save_runs(self, channel: Channel, rows: Sequence[Values]) -> Sequence[None]:
        """Save runs, in their order."""
        # One statement writes a row once; of several saves of one run the last one stays. In the order of ids, so that
        # two processes that save the same runs wait for each other, and not each for the other.
        last = {row[0]: row for row in rows}
        ordered = [last[run_id] for run_id in sorted(last, key=str)] if len(last) > 1 else last.values()
        await channel.fetch(self.save, *zip(*ordered, strict=True))
        return [None] * len(rows)

    async def delete_runs(self, channel: Channel, several: Sequence[Sequence[str]]) -> Sequence[None]:
        """Delete the runs with these ids."""
        await channel.fetch(self._delete, [run_id for ids in several for run_id in ids])
        return [None] * len(several)
