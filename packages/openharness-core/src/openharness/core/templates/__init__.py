"""Prompt templates, in Jinja2's notation and without its power."""

from __future__ import annotations

from openharness.core.templates._template import Template, compile_template

__all__ = ("Template", "compile_template")
