"""How the documentation is built: ``python3 noxfile.py -s docs``."""

from __future__ import annotations

import builtins
from typing import TYPE_CHECKING, Any

from sphinx.addnodes import pending_xref
from sphinx.domains.python import PyObject

from openharness.core import __version__

if TYPE_CHECKING:
    from docutils.nodes import Element, TextElement, document
    from sphinx.application import Sphinx
    from sphinx.environment import BuildEnvironment

project = "OpenHarness"
author = "The OpenHarness developers"
project_copyright = "The OpenHarness developers"
version = release = __version__

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
# What lies in examples/ are programs and packages, each with a README for those who open its folder.
exclude_patterns = ["_build", "changelog.d", "examples", "tests"]

html_theme = "furo"
html_title = f"OpenHarness {__version__}"
html_copy_source = False
html_show_sphinx = False

myst_enable_extensions = ["colon_fence", "deflist"]
myst_heading_anchors = 3

# In docstrings, `Name` is a Python object.
default_role = "py:obj"
autodoc_member_order = "bysource"
autodoc_typehints_format = "short"
autodoc_class_signature = "mixed"
python_use_unqualified_type_names = True
python_maximum_signature_line_length = 100
napoleon_numpy_docstring = False
napoleon_use_ivar = True
napoleon_use_rtype = False

_LEAVES = (
    "openharness.core",
    "openharness.core.harness",
    "openharness.core.storage",
    "openharness.core.log",
    "openharness.core.values",
    "openharness.core.patterns",
    "openharness.core.plugins",
    "openharness.signals",
    "openharness.testing",
)


_COLON = "\N{RATIO}"

# Sphinx calls them variables.
for field in PyObject.doc_field_types:
    if field.name == "variable":
        field.label = "Attributes"


def show_defaults(*event: Any) -> tuple[str | None, str | None]:
    """Write ``...`` for a default that is made anew for each object, where attrs shows its own mark."""
    *_, signature, returns = event
    return (signature and signature.replace("NOTHING", "...")), returns


def hide_colon(app: Sphinx, kind: str, name: str, thing: object, options: object, lines: list[str]) -> None:  # noqa: PLR0917
    """Keep the first sentence of an attribute whole: napoleon takes what stands before a colon for its type."""
    del app, name, thing, options
    if kind in {"attribute", "data", "property"} and lines:
        lines[0] = lines[0].replace(":", _COLON)


def show_colon(app: Sphinx, kind: str, name: str, thing: object, options: object, lines: list[str]) -> None:  # noqa: PLR0917
    """Put the colon back."""
    del app, kind, name, thing, options
    lines[:] = [line.replace(_COLON, ":") for line in lines]


def leave_builtins_alone(app: Sphinx, doctree: document) -> None:
    """Do not link the ``type`` of a signature to an attribute of that name."""
    del app
    for node in doctree.findall(pending_xref):
        if node.hasattr("refspecific") and hasattr(builtins, node["reftarget"]):
            del node["refspecific"]


def find_by_public_name(
    app: Sphinx, env: BuildEnvironment, node: pending_xref, contnode: TextElement
) -> Element | None:
    """Link `RunStore.save_run` also from a docstring of another module than the one that documents it."""
    if node.get("refdomain") != "py":
        return None
    target = node["reftarget"]
    domain = env.domains.python_domain
    for leaf in _LEAVES:
        if f"{leaf}.{target}" in domain.objects:
            return domain.resolve_xref(env, node["refdoc"], app.builder, "obj", f"{leaf}.{target}", node, contnode)
    return None


def setup(app: Sphinx) -> None:
    """Register what is above."""
    app.connect("autodoc-process-signature", show_defaults)
    app.connect("autodoc-process-docstring", hide_colon, priority=100)
    app.connect("autodoc-process-docstring", show_colon, priority=900)
    app.connect("doctree-read", leave_builtins_alone)
    app.connect("missing-reference", find_by_public_name)
