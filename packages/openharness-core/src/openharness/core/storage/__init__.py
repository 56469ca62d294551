"""What authors of stores build on: encoded rows, checksums, the message pool, the rules of a log, and filtering.

Stores that use these refuse, order and round-trip exactly as every other store does.

For a run store: `encode_run` and `decode_run`, `select_runs` where nothing else filters. In a table, `run_columns` and
`run_from_columns` keep runs so that a listing reads no states and notices any damage all the same.

For a signal store: `new_header` checks what a recording is created with, `restored_header` what one is restored with;
`encode_entries` gives the columns of what is appended, before the first ``await``; `plan_append` tells what of it is new,
`needs_finalizing` and `needs_checkpoint` whether there is anything to write; `metadata_index` gives what an index of
metadata holds, `tag_index` one of tags; `ChangeWaiters` helps those who follow; `SignalDecoder`, `name_filter` and
`check_range` serve readers, and where names have an index `WantedNames`, `name_prefixes` and `RecordingSearch`; `select_recordings` filters
in memory. In a table, `recording_columns` and `recording_from_columns` keep what is known of a recording, a
`StoredRecording`, `signal_checksum` vouches for a signal and `make_source` makes its source. `encode_signal` and
`decode_signal` are for stores that keep one text a signal.

For both: `GroupWriter` writes what many tasks want written with one commit; `SessionStore` and `StoreSession` are the
life of a store in the event loops it is used in; `decode_rows`, `wrong_answer`, `prefix_end` and `rarest_first` serve
databases that answer queries, and `caller_error` those that fail.
"""

from __future__ import annotations

from openharness.core.records._signal import make_source
from openharness.core.storage._answers import (
    decode_rows,
    prefix_end,
    rarest_first,
    recording_order,
    run_order,
    select_recordings,
    select_runs,
    wrong_answer,
)
from openharness.core.storage._failures import ErrorMeaning, caller_error
from openharness.core.storage._group_writer import GroupWriter, JobKind
from openharness.core.storage._log_entries import EncodedBlob, EncodedEntry, EncodedSignal, encode_entries
from openharness.core.storage._log_header import (
    RecordingHeader,
    RecordingSummary,
    needs_restoring,
    new_header,
    restored_header,
)
from openharness.core.storage._log_reading import SignalDecoder, name_filter
from openharness.core.storage._log_rules import (
    ExistingSignals,
    LogPosition,
    check_finalize,
    check_range,
    needs_checkpoint,
    needs_finalizing,
    ordered_checkpoints,
    plan_append,
)
from openharness.core.storage._metadata_index import metadata_index, metadata_index_text
from openharness.core.storage._recording_rows import (
    RECORDING_COLUMNS,
    StoredRecording,
    recording_columns,
    recording_from_columns,
    signal_checksum,
    tag_index,
)
from openharness.core.storage._run_rows import RUN_COLUMNS, run_columns, run_from_columns
from openharness.core.storage._runs import EncodedRun, decode_run, encode_run
from openharness.core.storage._searching import HavingName, RecordingSearch
from openharness.core.storage._session import StoreSession
from openharness.core.storage._session_store import SessionStore
from openharness.core.storage._signals import (
    MessagePool,
    blob_digest,
    decode_signal,
    encode_blob,
    encode_signal,
    references,
    resolve_signal,
)
from openharness.core.storage._waiting import ChangeWaiters
from openharness.core.storage._wanted_names import WantedNames, WantedSignals, name_prefixes
from openharness.core.values import checksum, sha256_checksum

__all__ = (
    "RECORDING_COLUMNS",
    "RUN_COLUMNS",
    "ChangeWaiters",
    "EncodedBlob",
    "EncodedEntry",
    "EncodedRun",
    "EncodedSignal",
    "ErrorMeaning",
    "ExistingSignals",
    "GroupWriter",
    "HavingName",
    "JobKind",
    "LogPosition",
    "MessagePool",
    "RecordingHeader",
    "RecordingSearch",
    "RecordingSummary",
    "SessionStore",
    "SignalDecoder",
    "StoreSession",
    "StoredRecording",
    "WantedNames",
    "WantedSignals",
    "blob_digest",
    "caller_error",
    "check_finalize",
    "check_range",
    "checksum",
    "decode_rows",
    "decode_run",
    "decode_signal",
    "encode_blob",
    "encode_entries",
    "encode_run",
    "encode_signal",
    "make_source",
    "metadata_index",
    "metadata_index_text",
    "name_filter",
    "name_prefixes",
    "needs_checkpoint",
    "needs_finalizing",
    "needs_restoring",
    "new_header",
    "ordered_checkpoints",
    "plan_append",
    "prefix_end",
    "rarest_first",
    "recording_columns",
    "recording_from_columns",
    "recording_order",
    "references",
    "resolve_signal",
    "restored_header",
    "run_columns",
    "run_from_columns",
    "run_order",
    "select_recordings",
    "select_runs",
    "sha256_checksum",
    "signal_checksum",
    "tag_index",
    "wrong_answer",
)
