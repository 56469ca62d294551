"""The tables that hold the recordings."""

from __future__ import annotations

from hashlib import blake2b
from typing import TYPE_CHECKING, Final

from openharness.postgres import Names, Schema, literal
from openharness.signal_store_postgres._examining import PARTS, examine

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ("PARTS", "SCHEMA", "channel_name")


def channel_name(names: Names) -> str:
    """Return what listeners to the tables of these names listen to."""
    place = blake2b(f"{names.schema}\0{names.prefix}".encode(), digest_size=16)
    return f"openharness_{place.hexdigest()}"


def _version_1(names: Names) -> Sequence[str]:
    bare = names.bare
    recordings, on_delete = names("recordings"), names("recording_deleted")
    # With a recording go the rows of the other tables, whoever deletes it. No foreign keys: each would be looked up for
    # every signal, and who appends has locked the row of the recording anyway.
    remove = "\n".join(
        f"    DELETE FROM {names(part)} AS part USING old_recordings AS gone WHERE part.recording = gone.number;"  # noqa: S608 - names of our own
        for part in PARTS
    )
    removing = f"""
BEGIN
{remove}
    PERFORM pg_notify('{channel_name(names)}', gone.id) FROM old_recordings AS gone
        WHERE gone.followed_until > clock_timestamp();
    RETURN NULL;
END """
    return (
        # A number is never given twice, so that who still reads a deleted recording does not get another's signals.
        # followed_until: until when those who append say so to those who listen. Room is left in each page, so that an
        # append changes the row where it is.
        f"""
CREATE TABLE {recordings} (
    number bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    id text COLLATE "C" NOT NULL UNIQUE,
    run_id text COLLATE "C" NOT NULL,
    name text COLLATE "C",
    created_at bigint NOT NULL,
    resumed_from text COLLATE "C",
    outcome text COLLATE "C" NOT NULL,
    duration_ms bigint,
    signal_count bigint NOT NULL,
    checksum text COLLATE "C" NOT NULL,
    followed_until timestamptz,
    provider_types text NOT NULL,
    tags text NOT NULL,
    metadata text
) WITH (fillfactor = 70)
""",
        f"CREATE INDEX {bare('recordings_by_time')} ON {recordings} (created_at, id)",
        f"CREATE INDEX {bare('recordings_by_run')} ON {recordings} (run_id, created_at, id)",
        f"CREATE INDEX {bare('recordings_by_name')} ON {recordings} (name, created_at, id) WHERE name IS NOT NULL",
        f"""
CREATE TABLE {names("recording_tags")} (
    tag text COLLATE "C" NOT NULL,
    recording bigint NOT NULL,
    PRIMARY KEY (recording, tag)
)
""",
        f"CREATE INDEX {bare('recording_tags_by_tag')} ON {names('recording_tags')} (tag, recording)",
        # In the order of the listing, so that a page of it is read from this index.
        f"""
CREATE TABLE {names("recording_metadata")} (
    key text COLLATE "C" NOT NULL,
    value text COLLATE "C" NOT NULL,
    created_at bigint NOT NULL,
    id text COLLATE "C" NOT NULL,
    recording bigint NOT NULL,
    PRIMARY KEY (key, value, created_at, id)
)
""",
        f"CREATE INDEX {bare('recording_metadata_by_recording')} ON {names('recording_metadata')} (recording)",
        # The payload comes last: what signals are chosen by is read without it.
        f"""
CREATE TABLE {names("signals")} (
    recording bigint NOT NULL,
    seq bigint NOT NULL,
    timestamp bigint NOT NULL,
    checksum bigint NOT NULL,
    name text COLLATE "C" NOT NULL,
    long_name text COLLATE "C",
    id text COLLATE "C" NOT NULL,
    agent text COLLATE "C",
    provider text COLLATE "C",
    parent text COLLATE "C",
    activation text COLLATE "C",
    payload text NOT NULL,
    PRIMARY KEY (recording, seq)
)
""",
        f"CREATE INDEX {bare('signals_by_name')} ON {names('signals')} (recording, name, seq)",
        # Which recordings have signals of a name: few rows beside those of the signals, and the way from a name to them.
        f"""
CREATE TABLE {names("signal_names")} (
    name text COLLATE "C" NOT NULL,
    recording bigint NOT NULL,
    long_name text COLLATE "C",
    PRIMARY KEY (recording, name)
)
""",
        f"CREATE INDEX {bare('signal_names_by_name')} ON {names('signal_names')} (name, recording)",
        f"""
CREATE TABLE {names("blobs")} (
    recording bigint NOT NULL,
    digest text COLLATE "C" NOT NULL,
    checksum text COLLATE "C" NOT NULL,
    data text NOT NULL,
    PRIMARY KEY (recording, digest)
)
""",
        f"""
CREATE TABLE {names("checkpoints")} (
    recording bigint NOT NULL,
    name text COLLATE "C" NOT NULL,
    seq bigint NOT NULL,
    checksum text COLLATE "C" NOT NULL,
    PRIMARY KEY (recording, name)
)
""",
        f"""
CREATE TABLE {names("fixtures")} (
    name text COLLATE "C" NOT NULL PRIMARY KEY,
    recording bigint NOT NULL,
    checksum text COLLATE "C" NOT NULL
)
""",
        f"CREATE INDEX {bare('fixtures_by_recording')} ON {names('fixtures')} (recording)",
        f"CREATE FUNCTION {on_delete}() RETURNS trigger LANGUAGE plpgsql AS {literal(removing)}",
        (
            f"CREATE TRIGGER {bare('recording_deleted')} AFTER DELETE ON {recordings} "
            f"REFERENCING OLD TABLE AS old_recordings FOR EACH STATEMENT EXECUTE FUNCTION {on_delete}()"
        ),
    )


SCHEMA: Final = Schema(component="signals", changed="recordings", migrations=(_version_1,), examine=examine)
"""Recordings, their signals, blobs and checkpoints, and what fixture names mean."""
