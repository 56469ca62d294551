"""A PostgreSQL server for the tests of stores: `_programs` finds it, `_keeper` runs it, `_server` is its handle."""
