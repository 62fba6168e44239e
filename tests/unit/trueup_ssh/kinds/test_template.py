"""Templates see their data and nothing else, and say no value when they fail."""

from __future__ import annotations

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
    ],
)
def test_what_cannot_be_rendered_is_invalid(template: str) -> None:
    with pytest.raises(Invalid):
        render(template, {"a": "canary-81c2"})


def test_an_error_shows_no_value() -> None:
    with pytest.raises(Invalid) as caught:
        render("{{ a + 1 }}", {"a": "canary-81c2"})
    assert "canary" not in str(caught.value)
