"""Prompt templates: values are inserted once, as they are, and nothing of a template can run code."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from openharness.core import TemplateError, UnknownNameError
from openharness.core.templates import compile_template

VALUES: dict[str, Any] = {
    "state": {
        "text": "a {{ state.secret }} {% raw %} <b>",
        "secret": "s3cret",
        "list": ["x", {"y": 2}],
        "flag": True,
        "nothing": None,
        "number": 1.0,
        "items": {"keys": "kept"},
        "__class__": "a key like any other",
        "odd key": "odd",
        "empty": "",
    },
    "signal": {"id": "r/1", "name": "a:b", "payload": {"n": [1, 2]}},
    "input": "in",
    "now": 1700000000000,
    "agent": "me",
}


@pytest.mark.parametrize(
    "source, text",
    [
        ("plain", "plain"),
        ("", ""),
        ("ends with a newline\n", "ends with a newline\n"),
        ("{{ input }}\n", "in\n"),
        ("{{ state.text }}", VALUES["state"]["text"]),
        ("{{ state.list }}", '["x", {"y": 2}]'),
        ("{{ state.list[1].y }} {{ state.list[-1]['y'] }} {{ state['odd key'] }}", "2 2 odd"),
        ("{{ state.flag }} {{ state.nothing }} {{ state.number }}", "true null 1.0"),
        ("{{ signal.name }} {{ signal.payload.n }} {{ now }} {{ agent }}", "a:b [1, 2] 1700000000000 me"),
        ("{{ state.items.keys }}", "kept"),
        ("{{ state['__class__'] }} {{ state.__class__ }}", "a key like any other a key like any other"),
        ("{{ state.secret|upper }} {{ state.list|length }}", "S3CRET 2"),
        ("{{ 'yes' if state.flag else 'no' }}", "yes"),
        ("{{ state.gone|default('none') }} {{ state.gone is defined }}", "none false"),
        ("{{ state.number + 1 }} {{ state.secret[1:3] }}", "2.0 3c"),
        ("{{ '{{ state.secret }}' }}", "{{ state.secret }}"),
        ("{# a comment #}x", "x"),
        ("a } b { c }} d", "a } b { c }} d"),
        ("{{ state.list|tojson }}", '["x", {"y": 2}]'),
        ("{{ [state.number, 'a'] }} {{ {'a': state.flag} }}", '[1.0, "a"] {"a": true}'),
        ("{{ state.empty }}|{{ ['a', 'b']|join(', ') }}", "|a, b"),
    ],
)
def test_templates_insert_values(source: str, text: str) -> None:
    """Text is inserted as it is, everything else as JSON; keys are looked up, Python's attributes do not exist."""
    assert compile_template(source).render(VALUES) == text


@given(st.text() | st.lists(st.sampled_from(["{{", "}}", "{%", "%}", "{#", "#}", "state", ".x", " "])).map("".join))
def test_a_value_is_inserted_once_and_never_expanded(value: str) -> None:
    """Whatever text a value holds, also half a template or a whole one, it stands in the prompt as it is."""
    template = compile_template("<{{ state.x }}|{{ input }}>")
    assert template.render({"state": {"x": value}, "input": value}) == f"<{value}|{value}>"


HOSTILE = [
    "{{ state.text.upper() }}",
    "{{ ''.__class__.__mro__ }}",
    "{{ state.__init__.__globals__ }}",
    "{{ state.text.__class__ }}",
    "{{ (1).__class__ }}",
    "{{ state.list.append }}",
    "{{ state.list.__len__ }}",
    "{{ state.gone }}",
    "{{ state.list[9] }}",
    "{{ state.list['x'] }}",
    "{{ state.number.real }}",
    "{{ signal.payload.n.gone }}",
    "{{ gone }}",
    "{{ self }}",
    "{{ range(9) }}",
    "{{ range }}",
    "{{ lipsum }}",
    "{{ cycler.__init__ }}",
    "{{ config }}",
    "{{ state|attr('__class__') }}",
    "{{ state.list|map('upper')|list }}",
    "{{ state|pprint }}",
    "{{ state.text|safe }}",
    "{{ state.list|select('x') }}",
    "{{ state.text|format }}{{ 1/0 }}",
    "{{ 9**9**9 }}",
    "{{ state.text|truncate(1) }}",
    "{{ state.list|sort }}",
    "{{ state.text|round }}",
    "{{ state.text|nosuchfilter }}",
    "{{ state.text is nosuchtest }}",
    "{{ state.text + 1 }}",
    "{% for x in state.list %}{{ x }}{% endfor %}",
    "{% set x = 1 %}",
    "{% if 1 %}{% endif %}",
    "{% macro m() %}{% endmacro %}",
    "{% import 'os' as os %}",
    "{% include '/etc/passwd' %}",
    "{% raw %}{% endraw %}{% block b %}{% endblock %}",
    "{% filter upper %}x{% endfilter %}",
    "{% call x() %}{% endcall %}",
    "{{ x for x in state }}",
    "{{",
    "{{ }}",
    "{{ state. }}",
    "{% ",
    "{# ",
    "{{ 'unclosed }}",
    "{{ " + "(" * 3000 + "1" + ")" * 3000 + " }}",
    "{{ " + "-" * 5000 + "1 }}",
]


@pytest.mark.parametrize("source", HOSTILE, ids=lambda source: source[:40])
def test_what_is_no_plain_insertion_is_refused_by_name(source: str) -> None:
    """Calls, statements, attributes, unknown names and filters, and what cannot be computed are TemplateError."""
    with pytest.raises(TemplateError) as caught:
        compile_template(source).render(VALUES)
    assert caught.value.template == source
    assert caught.value.reason in str(caught.value)


@given(st.text(alphabet="{}%# state.list|upper()[]'\"*-+/0123<>=~:,_", max_size=40))
def test_whatever_a_template_holds_the_error_is_ours(source: str) -> None:
    """Any text is a template that renders, or TemplateError."""
    try:
        text = compile_template(f"{{{{ {source} }}}}").render(VALUES)
    except TemplateError:
        return
    assert isinstance(text, str)


def test_an_unknown_field_is_refused_when_the_template_is_compiled() -> None:
    """Where the fields of the state are known, a wrong one is found at once, with the nearest name."""
    for source in ("{{ state.titel }}", "{{ state['titel'] }}", "{{ state.titel.x|upper }}"):
        with pytest.raises(UnknownNameError, match="Did you mean 'title'"):
            compile_template(source, fields=["title", "text"])
    compile_template("{{ state.title }} {{ signal.payload.titel }} {{ state }} {{ input.titel }}", fields=["title"])
    compile_template("{{ state[input] }}", fields=["title"])


def test_templates_compare_by_their_text() -> None:
    """Two templates of the same text are equal, and show it."""
    assert compile_template("{{ input }}") == compile_template("{{ input }}")
    assert "{{ input }}" in repr(compile_template("{{ input }}"))


def test_the_template_engine_is_imported_with_the_first_template() -> None:
    """A program without templates does not pay for the template engine."""
    program = (
        "import sys, openharness.core as core; h = core.create_harness(); "
        "h.agent(prompt='plain', activate_on='harness:start'); assert 'jinja2' not in sys.modules; "
        "h.agent(prompt='{{ input }}', activate_on='harness:start'); assert 'jinja2' in sys.modules"
    )
    subprocess.run([sys.executable, "-c", program], check=True, timeout=50)  # noqa: S603 - our own


@pytest.mark.parametrize(
    "source, said",
    [
        ("{{ state.topci }}", "there is no 'topci', did you mean 'topic'? (there is: 'items', 'sub', 'topic')"),
        ("{{ state.sub.zzz | upper }}", "there is no 'zzz' (there is: 'text')"),
        ("{{ state.sub['txt'] ~ 'x' }}", "there is no 'txt', did you mean 'text'?"),
        ("{{ state.items[4] }}", "there is no 4 in a list of 1"),
        ("{{ state.topic.x }}", "there is no 'x' in text"),
        ("{{ now.x }}", "there is no 'x' in a number"),
        ("{{ input.x }}", "there is no 'x' in null"),
        ("{{ agent.x }}", "there is no 'x' in true or false"),
        ("{{ signal.k }}", "'k4', …)"),
    ],
)
def test_a_path_that_leads_nowhere_is_told_in_the_words_of_the_state(source: str, said: str) -> None:
    """The error names what is missing, what is there, and what is most like it; no word of the template engine."""
    values: dict[str, Any] = {
        "state": {"topic": "rain", "sub": {"text": ""}, "items": [1]},
        "now": 1,
        "input": None,
        "agent": True,
        "signal": {f"k{number}": 0 for number in range(25)},
    }
    with pytest.raises(TemplateError) as caught:
        compile_template(source).render(values)
    assert said in str(caught.value)
    assert "object" not in str(caught.value)


@pytest.mark.parametrize(
    "expression",
    [
        "'x' * 3000000000",
        "3000000000 * 'x'",
        "state.secret * now",
        "'%3000000000d' % 1",
        "'%.3000000000f' % 1",
        "'%*d' % (3000000000, 1)",
        "'%((a))3000000000d' % {'(a)': 1}",
        "('%(a)s' * 10000)|format(a='x' * 10000)",
        "'%3000000000d'|format(1)",
        "''|center(3000000000)",
        "'a'|indent(3000000000, true)",
        "('a\n' * 10000)|indent('x' * 10000)",
        "('a' * 10000)|join('x' * 10000)",
        "'a'" + "|replace('a', 'aaaaaaaaaa')" * 20,
        "('\"' * 9000000)|tojson",
        "{'a': 1}|tojson(3000000000)",
        "('a ' * 10000)|wordwrap(1, wrapstring='x' * 10000)",
        "1|round(3000000000, 'ceil')",
        "1|round(-3000000000)",
    ],
)
def test_a_few_characters_do_not_become_a_text_without_end(expression: str) -> None:
    """What would make more than 16 MiB of what it is given, or take as long, is an error before it is made."""
    template = compile_template("{{ " + expression + " }}")
    with pytest.raises(TemplateError, match=r"more than 16,777,216 characters|at most|widths as numbers"):
        template.render(VALUES)


@pytest.mark.parametrize("expression", ["[0] * 2", "2 * (0, 1)", "state.list * 2"])
def test_lists_are_not_multiplied(expression: str) -> None:
    """A list of lists of lists would be small, and without end as text."""
    with pytest.raises(TemplateError, match="lists cannot be multiplied"):
        compile_template("{{ " + expression + " }}").render(VALUES)


@pytest.mark.parametrize(
    "expression, text",
    [
        ("'-' * 40", "-" * 40),
        ("state.empty|center(4)", "    "),
        ("6 * 7 % 5", "2"),
        ("'%5.1f|%-3s|%%' % (1.25, 'a')", "  1.2|a  |%"),
        ("'%s: %03d'|format('a', 7)", "a: 007"),
        ("'%(a)s'|format(a='b')", "b"),
        ("'a\nb'|indent(2)", "a\n  b"),
        ("'a\nb'|indent('> ', first=true)", "> a\n> b"),
        ("['a', 'b']|reverse|join('-')", "b-a"),
        ("[1, 1, 2]|unique|join", "12"),
        ("'abc'|replace('', '-')", "-a-b-c-"),
        ("{'a': [1]}|tojson(indent=1)", '{\n "a": [\n  1\n ]\n}'),
        ("'a b c'|wordwrap(3)", "a b\nc"),
        ("3.14159|round(2)", "3.14"),
        ("'12'|int + 'no'|int(5) + 'ff'|int(base=16)", "272"),
        ("('f' * 5000)|int(7, 16)", "7"),
        ("'<'|e", "&lt;"),
    ],
)
def test_the_bounds_leave_ordinary_templates_alone(expression: str, text: str) -> None:
    """Lines, columns and formats are made as Jinja makes them."""
    assert compile_template("{{ " + expression + " }}").render(VALUES) == text


def test_nothing_is_computed_when_a_template_is_compiled() -> None:
    """What is constant waits as well, so that an agent is defined in no time."""
    template = compile_template("{{ ('x' * 1000000)|upper }}{{ 'ab'|center(1000000) }}")
    assert all(len(constant) < 100 for constant in strings_of(template.compiled.root_render_func.__code__))
    assert len(template.render(VALUES)) == 2_000_000


def strings_of(code: Any) -> list[str]:
    """The texts in compiled code, also in its parts."""
    return [
        text
        for constant in code.co_consts
        for text in (strings_of(constant) if hasattr(constant, "co_consts") else [constant])
        if isinstance(text, str)
    ]
