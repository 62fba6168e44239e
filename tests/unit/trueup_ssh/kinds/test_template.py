"""Templates see their data and nothing else, and say no value when they fail."""

from __future__ import annotations

import re

import pytest

from trueup.sdk import Invalid
from trueup_ssh.kinds.template import render


def test_a_template_is_rendered_with_its_data() -> None:
    template = "{% for host in hosts %}server {{ host }};\n{% endfor %}"
    assert render(template, {"hosts": ["a", "b"]}) == "server a;\nserver b;\n"


def test_text_is_not_escaped_and_keeps_its_last_newline() -> None:
    assert render("<{{ a }}>\n", {"a": "&'"}) == "<&'>\n"


def test_values_are_not_rendered_again() -> None:
    assert render("{{ a }}", {"a": "{{ b }}${{ c }}"}) == "{{ b }}${{ c }}"


@pytest.mark.parametrize(
    "template",
    [
        "{{ missing }}",
        "{{ a.b.c }}",
        "{% if %}",
        "{{ a.__class__.__mro__ }}",
        "{% include '/etc/passwd' %}",
        "{{ a / 0 }}",
        "{{ range(10 ** 9) | list }}",
        "{{ 'x' * 10 ** 9 }}",
        "{{ 10 ** 9 * [1] }}",
        "{{ 9 ** 99999999 }}",
        "{% for a in range(99999) %}{% for b in range(99999) %}{{ b }}{% endfor %}{% endfor %}",
    ],
)
def test_what_cannot_be_rendered_is_invalid(template: str) -> None:
    with pytest.raises(Invalid):
        render(template, {"a": "canary-81c2"})


def test_an_error_shows_no_value() -> None:
    with pytest.raises(Invalid) as caught:
        render("{{ a + 1 }}", {"a": "canary-81c2"})
    assert "canary" not in str(caught.value)


@pytest.mark.parametrize(
    "template",
    [
        "{{ d[a | upper] }}",
        "{{ d[a[:9]] }}",
        "{{ d[a[7:9] | int] }}",
        "{{ 0 | attr(a | upper) }}",
        "{{ a | attr('__' ~ a ~ '__') }}",
        "{{ d[a ~ ' is undefined'] }}",
    ],
)
def test_an_error_shows_no_part_of_a_value(template: str) -> None:
    with pytest.raises(Invalid) as caught:
        render(template, {"a": "canary-81c2", "d": {"x": 1}})
    message = caught.value.message
    assert "canary" not in message.lower() and "81" not in message


def test_an_error_shows_the_name_that_is_written_and_not_there() -> None:
    for template, words in {
        "{{ missing }}": "UndefinedError: 'missing' is undefined",
        "{{ d.port }}": "UndefinedError: 'dict object' has no attribute 'port'",
        "{{ d['a b'] }}": "UndefinedError: 'dict object' has no attribute 'a b'",
        "x\n{% if %}": "line 2: TemplateSyntaxError: ",
    }.items():
        with pytest.raises(Invalid, match=re.escape(words)):
            render(template, {"d": {}})
