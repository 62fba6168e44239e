"""Templates see their data and nothing else, and say no value when they fail."""

from __future__ import annotations

import re
import resource

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


BIG = "{% set big = 'x' * 1000000 %}"


@pytest.mark.parametrize(
    "template",
    [
        "{% for a in range(90000) %}{% for b in range(90000) %}{% set c = b %}{% endfor %}{% endfor %}",
        "{% macro m(n) %}{% if n %}{{ m(n - 1) }}{{ m(n - 1) }}{% endif %}{% endmacro %}{{ m(60) }}",
        "{{ 'x'.center(1000000000) | length }}",
        "{{ 'x'.ljust(1000000000) | length }}",
        "{{ 'x'.zfill(1000000000) | length }}",
        "{{ 'x' | center(1000000000) | length }}",
        "{{ 'x' | center(width=1000000000) | length }}",
        "{{ 'a\nb' | indent(1000000000) | length }}",
        "{{ ('%1000000000d' % 1) | length }}",
        "{{ ('%*d' % (1000000000, 1)) | length }}",
        "{{ '%1000000000d' | format(1) | length }}",
        "{{ '{:>1000000000}'.format(1) | length }}",
        "{{ '{:>{}}'.format(1, 1000000000) | length }}",
        "{{ '{:>{w}}'.format(1, w=1000000000) | length }}",
        "{{ '{:>{w[a]}}'.format(1, w={'a': 1000000000}) | length }}",
        "{{ '{:>{w}}'.format_map({'w': '1000000000'}) | length }}",
        "{{ '%.1000000000f' % 1 | length }}",
        BIG + "{{ big.replace('x', big) | length }}",
        BIG + "{{ big.replace('', big) | length }}",
        BIG + "{{ big | replace('x', big) | length }}",
        BIG + "{{ ([big] * 100000) | join | length }}",
        BIG + "{{ ([big] * 100000) | join(',') | length }}",
        BIG + "{{ big.join(big) | length }}",
        BIG + "{{ ('\t' * 1000000).expandtabs(1000000) | length }}",
    ],
)
def test_what_would_fill_the_memory_or_never_end_is_refused(template: str) -> None:
    before = resource.getrusage(resource.RUSAGE_SELF)
    with pytest.raises(Invalid, match="cannot be rendered"):
        render(template, {})
    after = resource.getrusage(resource.RUSAGE_SELF)
    assert after.ru_maxrss - before.ru_maxrss < 100 * 1024
    assert after.ru_utime - before.ru_utime < 10


def test_loops_macros_and_filters_of_ordinary_use_are_taken() -> None:
    template = (
        "{% macro line(host) %}{{ host.name | upper }}:{{ '%05d' % host.port }}{% endmacro %}"
        "{% for host in hosts if host.port %}{{ loop.index }} {{ line(host) }}\n{% else %}none{% endfor %}"
        "{{ hosts | map(attribute='name') | join(', ') }} {{ 'a-b'.replace('-', '_') }} {{ 'x' | center(5) }}"
        "{{ 'a\nb' | indent(2) }} {{ '{} and {:>4}'.format(1, 2) }}"
        " {{ '%s' | format('y') }} {{ {'a': 1} | tojson }}"
        " {{ '123456789: {}'.format(1700000000) }} {{ '123456789 %d' % 1700000000 }}"
    )
    data = {"hosts": [{"name": "web", "port": 80}, {"name": "db", "port": 0}]}
    assert render(template, data) == (
        '1 WEB:00080\nweb, db a_b   x  a\n  b 1 and    2 y {"a": 1}'
        " 123456789: 1700000000 123456789 1700000000"
    )


GROWING = {
    "concatenation": "{% set a = 'x'*1000000 %}" + "{% set a = a ~ a %}" * 14 + "{{ a|length }}",
    "addition": "{% set a = 'x'*1000000 %}" + "{% set a = a + a %}" * 14 + "{{ a|length }}",
    "lists": "{% set a = ['x']*100000 %}" + "{% set a = a + a %}" * 12 + "{{ a|length }}",
    "percent": "{% set a = 'x'*1000000 %}" + "{% set a = '%s%s' % (a,a) %}" * 12 + "{{ a|length }}",
    "format": "{% set a = 'x'*1000000 %}" + "{% set a = '{0}{0}'.format(a) %}" * 12 + "{{ a|length }}",
    "the filter format": "{% set a = 'x'*1000000 %}" + "{% set a = '%s%s'|format(a,a) %}" * 14 + "{{ a }}",
    "blocks": "{% set a = 'x'*1000000 %}" + "{% set a %}{{a}}{{a}}{% endset %}" * 12 + "{{ a|length }}",
    "macros": "{% macro m(a) %}{{a}}{{a}}{% endmacro %}{% set a = 'x'*1000000 %}"
    + "{% set a = m(a) %}" * 12
    + "{{ a|length }}",
    "batches": "{{ [1]|batch(500000000,'x')|list|length }}",
    "many centred": "{{ range(100000)|map('center',4000000)|list|length }}",
    "many copies": "{{ (['x'*1000000]*1000)|map('upper')|list|length }}",
    "sums of lists": "{{ ([['x']*1000]*10000)|sum(start=[])|length }}",
    "a list as a text": "{{ ((['x'*1000000]*1000)|string)|length }}",
    "a list that is printed": "{{ ['x'*1000000]*1000 }}",
    "a list in a text": "{{ ('%s' % [['x'*1000000]*1000])|length }}",
    "a generator": "{{ ''.join((['x'*1000000]*1000)|select)|length }}",
    "filler": "{{ lipsum(n=20000)|length }}",
}


@pytest.mark.parametrize("how", GROWING)
def test_what_grows_step_by_step_is_bounded(how: str) -> None:
    with pytest.raises(Invalid, match="cannot be rendered"):
        render(GROWING[how], {})


def test_what_templates_do_is_no_bomb() -> None:
    lines = "{% set ns = namespace(t='', l=[]) %}{% for i in range(2000) %}"
    lines += "{% set ns.t = ns.t ~ 'server ' ~ i ~ '\n' %}{% set ns.l = ns.l + [i] %}{% endfor %}"
    assert render(lines + "{{ ns.t|length }} {{ ns.l|length }}", {}) == "22890 2000"
    flat = "{{ ([['a', 'b']] * 500)|sum(start=[])|join(',')|length }}"
    assert render(flat, {}) == "1999"
    assert render("{{ '%s:%d' % ('a', 80) }} {{ '{}-{}'.format(1, 'b') }}", {}) == "a:80 1-b"
