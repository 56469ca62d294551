"""The one version of all OpenHarness packages: every pyproject.toml reads it from here."""

__version__ = "0.1.0"
