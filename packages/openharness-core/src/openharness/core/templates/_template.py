"""Prompt templates: ``{{ state.a.b }}`` and nothing that could run code or be expanded twice."""

from __future__ import annotations

import difflib
import json
from functools import cache
from typing import TYPE_CHECKING, Any, Final, cast

import attrs

from openharness.core.errors import TemplateError, UnknownNameError
from openharness.core.templates._bounds import BOUNDED_OPERATORS, bounded_filters, check_operands

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from jinja2.sandbox import ImmutableSandboxedEnvironment

    from openharness.core.values import JSONValue

__all__ = ("Template", "compile_template")

_MOST_KNOWN: Final = 20
_MOST_COMPARED: Final = 1_000
_KINDS: Final[dict[type, str]] = {
    str: "text",
    bool: "true or false",
    int: "a number",
    float: "a number",
    type(None): "null",
}
_ROOTS: Final = ("state", "signal", "input", "now", "agent")
_FILTERS: Final = frozenset(
    [
        "abs",
        "capitalize",
        "center",
        "count",
        "d",
        "default",
        "e",
        "escape",
        "first",
        "float",
        "format",
        "indent",
        "int",
        "join",
        "last",
        "length",
        "list",
        "lower",
        "max",
        "min",
        "replace",
        "reverse",
        "round",
        "sort",
        "string",
        "title",
        "tojson",
        "trim",
        "truncate",
        "unique",
        "upper",
        "wordcount",
        "wordwrap",
    ]
)


@attrs.frozen
class Template:
    """A compiled template.

    Attributes:
        source: Its text.
        compiled: What Jinja made of it; None for a text without expressions.
    """

    source: str
    compiled: Any = attrs.field(repr=False, eq=False)

    def render(self, values: Mapping[str, JSONValue]) -> str:
        """Return the text with the values in place.

        Text is inserted as it is, everything else as JSON; what is inserted is never expanded again.

        Args:
            values: JSON values by root: ``state``, ``signal``, ``input``, ``now``, ``agent``.

        Raises:
            TemplateError: A path leads nowhere, a filter does not take its value, or one would make a text of more than
                16 MiB.
        """
        if self.compiled is None:
            return self.source
        try:
            return cast("str", self.compiled.render(values))
        except Exception as error:  # filters raise whatever they like
            raise TemplateError(self.source, reason=f"cannot be filled: {error}") from error


def compile_template(source: str, *, fields: Collection[str] | None = None) -> Template:
    """Return a template in its compiled form.

    Templates are Jinja2 expressions and filters over ``state``, ``signal`` (``name``, ``payload``), ``input``, ``now``
    and ``agent``. Statements (``{% … %}``), calls, and filters that look into objects are refused.

    Args:
        source: The text.
        fields: The fields of the state, if they are known: naming another one is then an error here and not only when
            the template is filled.

    Raises:
        TemplateError: The text is no template, or asks for what templates do not do.
        UnknownNameError: It names a state field that does not exist.
    """
    if not any(mark in source for mark in ("{{", "{%", "{#")):
        return Template(source, compiled=None)
    from jinja2 import TemplateSyntaxError

    environment = _environment()
    try:
        tree = environment.parse(source)
        _check(source, tree, fields)
        return Template(source, compiled=environment.from_string(source))
    except TemplateSyntaxError as error:
        raise TemplateError(source, reason=f"is not well formed: {error}") from error
    except (RecursionError, MemoryError, SyntaxError) as error:
        # Python's own compiler has the last word, and it does not like thousands of parentheses.
        raise TemplateError(source, reason="is nested too deeply") from error


def _check(source: str, tree: Any, fields: Collection[str] | None) -> None:
    from jinja2 import nodes

    allowed = (nodes.Output, nodes.TemplateData, nodes.Expr, nodes.Pair, nodes.Keyword, nodes.Operand)
    for node in tree.find_all(nodes.Node):
        if isinstance(node, nodes.Call):
            raise TemplateError(source, reason="calls a function; templates only insert values, use a prompt function")
        if isinstance(node, nodes.Pow):
            raise TemplateError(source, reason="computes a power, which can take for ever; use a prompt function")
        if not isinstance(node, allowed):
            kind = type(node).__name__.lower()
            raise TemplateError(source, reason=f"has a statement ({kind}); templates only insert values")
        if isinstance(node, nodes.Filter) and node.name not in _FILTERS:
            raise TemplateError(
                source, reason=f"uses the filter {node.name!r}; there are {', '.join(sorted(_FILTERS))}"
            )
        if isinstance(node, nodes.Name) and node.name not in _ROOTS:
            raise TemplateError(source, reason=f"names {node.name!r}; there are {', '.join(_ROOTS)}")
        field = _state_field(node)
        if fields is not None and field is not None and field not in fields:
            raise UnknownNameError("state field", name=field, known=list(fields), where="The template")


def _state_field(node: Any) -> str | None:
    from jinja2 import nodes

    if not isinstance(node, (nodes.Getattr, nodes.Getitem)):
        return None
    if not isinstance(node.node, nodes.Name) or node.node.name != "state":
        return None
    if isinstance(node, nodes.Getattr):
        return node.attr
    return node.arg.value if isinstance(node.arg, nodes.Const) and isinstance(node.arg.value, str) else None


def _missing(value: object, key: object) -> str:
    """Return what is wrong with a path that leads nowhere, in the words of JSON."""
    if isinstance(value, dict):
        known = sorted(cast("dict[str, object]", value))
        close = difflib.get_close_matches(str(key), known[:_MOST_COMPARED], n=1)
        hint = f", did you mean {close[0]!r}?" if close else ""
        shown = ", ".join(map(repr, known[:_MOST_KNOWN])) or "nothing"
        return f"there is no {key!r}{hint} (there is: {shown}{', …' if len(known) > _MOST_KNOWN else ''})"
    if isinstance(value, list):
        return f"there is no {key!r} in a list of {len(cast('list[object]', value))}"
    kind = next((name for type_, name in _KINDS.items() if isinstance(value, type_)), "this value")
    return f"there is no {key!r} in {kind}"


def _text(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


@cache
def _environment() -> ImmutableSandboxedEnvironment:
    # Imported with the first template that needs it: many programs use prompt functions only.
    from jinja2 import StrictUndefined, pass_context
    from jinja2.sandbox import ImmutableSandboxedEnvironment

    class Environment(ImmutableSandboxedEnvironment):
        """Looks up keys and indexes of JSON values and nothing else; Python attributes do not exist for it."""

        intercepted_binops = BOUNDED_OPERATORS

        def call_binop(self, context: Any, operator: str, left: Any, right: Any) -> Any:
            check_operands(operator, left, right)
            return super().call_binop(context, operator, left, right)

        def getattr(self, obj: Any, attribute: str) -> Any:
            return self.getitem(obj, attribute)

        def getitem(self, obj: Any, argument: Any) -> Any:
            try:
                return obj[argument]
            except (LookupError, TypeError):
                return self.undefined(hint=_missing(obj, argument), obj=obj, name=argument)

    # With the context, and not optimized: else Jinja computes what is constant when the agent is defined, again and again
    # for each part of it.
    @pass_context
    def finalize(context: Any, value: object) -> object:  # noqa: ARG001 - see above
        return value if isinstance(value, StrictUndefined) else _text(value)

    environment = Environment(
        undefined=StrictUndefined,
        finalize=finalize,
        autoescape=False,
        keep_trailing_newline=True,
        optimized=False,
    )
    environment.filters = bounded_filters(
        {name: function for name, function in environment.filters.items() if name in _FILTERS}
    )
    environment.globals.clear()
    return environment
