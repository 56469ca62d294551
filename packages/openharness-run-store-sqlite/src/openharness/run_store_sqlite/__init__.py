"""Run history in one SQLite file."""
