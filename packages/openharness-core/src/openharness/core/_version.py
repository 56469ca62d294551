"""The one version of all OpenHarness packages: every pyproject.toml reads it from here."""

__all__ = ("__version__",)

__version__ = "0.1.0"
