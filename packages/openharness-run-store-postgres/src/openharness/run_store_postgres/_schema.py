"""The tables that hold the runs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from openharness.postgres import Names, Schema, literal
from openharness.run_store_postgres._examining import examine

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ("SCHEMA",)


def _version_1(names: Names) -> Sequence[str]:
    runs, entries, bare = names("runs"), names("run_metadata"), names.bare
    on_insert, on_update, on_delete = (names(f"run_{what}") for what in ("inserted", "updated", "deleted"))
    # The triggers keep run_metadata in step with runs whoever changes a row. They are of statements, not of rows, so that
    # a batch of saves pays for them once, and they see the row that was there before as its lock found it, which the
    # statement that saves cannot. They read metadata_index rather than metadata, because equality is by canonical JSON
    # (1 equals 1.0), which SQL cannot write.
    remove_old = f"""
        DELETE FROM {entries} AS entry USING old_runs AS was, jsonb_each_text(was.metadata_index) AS pair
            WHERE entry.key = pair.key AND entry.value = pair.value
            AND entry.created_at = was.created_at AND entry.run_id = was.id"""  # noqa: S608 - names of our own
    insert_new = f"""
        INSERT INTO {entries} (key, value, created_at, run_id)
            SELECT pair.key, pair.value, saved.created_at, saved.id
            FROM new_runs AS saved, jsonb_each_text(saved.metadata_index) AS pair"""  # noqa: S608 - names of our own
    same = "id = {0}.id AND other.created_at = {0}.created_at AND other.metadata_index = {0}.metadata_index"
    no_longer = f" AND NOT EXISTS (SELECT FROM new_runs AS other WHERE other.{same.format('was')})"
    not_before = f" WHERE NOT EXISTS (SELECT FROM old_runs AS other WHERE other.{same.format('saved')})"
    ignore = " ON CONFLICT DO NOTHING"
    # Whatever is known of the sizes of the tables when the plan is made, the entries are found one by one.
    language = "RETURNS trigger LANGUAGE plpgsql SET enable_hashjoin = off SET enable_mergejoin = off"
    return (
        # The state comes last: what stands before it is read without it.
        f"""
CREATE TABLE {runs} (
    id text COLLATE "C" NOT NULL PRIMARY KEY,
    created_at bigint NOT NULL,
    completed_at bigint,
    status text COLLATE "C" NOT NULL,
    error text,
    recording_id text COLLATE "C",
    parent_run_id text COLLATE "C",
    metadata text,
    metadata_index jsonb,
    checksum text COLLATE "C" NOT NULL,
    state_checksum text COLLATE "C" NOT NULL,
    state text NOT NULL
)
""",
        f"CREATE INDEX {bare('runs_by_time')} ON {runs} (created_at, id)",
        # Nearly every run is completed in the end, and those are found by time; the rest stay few and cheap to index.
        f"CREATE INDEX {bare('runs_by_status')} ON {runs} (status, created_at, id) WHERE status <> 'completed'",
        f"""
CREATE TABLE {entries} (
    key text COLLATE "C" NOT NULL,
    value text COLLATE "C" NOT NULL,
    created_at bigint NOT NULL,
    run_id text COLLATE "C" NOT NULL,
    PRIMARY KEY (key, value, created_at, run_id)
)
""",
        f"CREATE FUNCTION {on_insert}() RETURNS trigger LANGUAGE plpgsql AS {_body(insert_new + ignore)}",
        f"CREATE FUNCTION {on_update}() {language} AS {_body(remove_old + no_longer, insert_new + not_before + ignore)}",
        f"CREATE FUNCTION {on_delete}() {language} AS {_body(remove_old)}",
        (
            f"CREATE TRIGGER {bare('run_inserted')} AFTER INSERT ON {runs} REFERENCING NEW TABLE AS new_runs "
            f"FOR EACH STATEMENT EXECUTE FUNCTION {on_insert}()"
        ),
        (
            f"CREATE TRIGGER {bare('run_updated')} AFTER UPDATE ON {runs} REFERENCING OLD TABLE AS old_runs "
            f"NEW TABLE AS new_runs FOR EACH STATEMENT EXECUTE FUNCTION {on_update}()"
        ),
        (
            f"CREATE TRIGGER {bare('run_deleted')} AFTER DELETE ON {runs} REFERENCING OLD TABLE AS old_runs "
            f"FOR EACH STATEMENT EXECUTE FUNCTION {on_delete}()"
        ),
    )


def _body(*statements: str) -> str:
    """The body of a trigger's function, as it stands in SQL."""
    return literal(f"\nBEGIN{';'.join(statements)};\n    RETURN NULL;\nEND ")


SCHEMA: Final = Schema(component="runs", changed="runs", migrations=(_version_1,), examine=examine)
"""Runs, and what finds them by their metadata."""
