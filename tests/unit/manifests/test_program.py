"""Compiling and evaluating CEL: values, errors, and what an evaluation may cost."""

from __future__ import annotations

import subprocess
import sys
import threading
import time

import pytest

from trueup.manifests.program import NOTHING, ExpressionError, compile_expression


def evaluate(text, **data):
    return compile_expression(text).evaluate(data)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1 + 2", 3), ("1.5 * 2.0", 3.0), ('"a" + "b"', "ab"), ("[1, 'a', null, true]", [1, "a", None, True]),
        ("{'a': {'b': 2u}}", {"a": {"b": 2}}), ("vars.x.y", 5), ("vars.l.filter(v, v > 1)", [2, 3]),
        ("has(vars.nope) ? vars.nope : 'd'", "d"), ("string(duration('90s'))", "90s"),
        ("vars.x == {'y': 5}", True), ("'${{ 1 }}'", "${{ 1 }}"),
    ],
)  # fmt: skip
def test_values(text, value):
    found = evaluate(text, vars={"x": {"y": 5}, "l": [1, 2, 3]})
    assert found == value
    assert type(found) is type(value)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("b'x'", "the result is bytes"), ("timestamp('2020-01-01T00:00:00Z')", "the result is a timestamp"),
        ("duration('1s')", "the result is a duration"), ("{1: 2}", "keys that are not strings"),
        ("1.0 / 0.0", "not a finite number"), ("type(1)", "the result is a type"),
        ("[b'x']", "the result is bytes"),
        ("1 / 0", "divide by zero"), ("vars.x + 'a'", "+ cannot be applied to (int, string)"),
        ("[1][3]", "there is no item 3 in a list of 1"), ("9223372036854775807 + 1", "overflow"),
    ],
)  # fmt: skip
def test_what_cannot_be_a_value_is_an_error(text, message):
    with pytest.raises(ExpressionError) as error:
        evaluate(text, vars={"x": 1})
    assert message in error.value.message


def test_a_compile_error_points_into_the_text():
    text = "1 +\n  nope"
    with pytest.raises(ExpressionError) as error:
        compile_expression(text)
    assert text[error.value.offset :] == "nope"


def test_an_error_of_a_function_passes_through_as_it_is():
    def read(name):
        raise ExpressionError(f"no {name}")

    with pytest.raises(ExpressionError, match=r"^no x$"):
        compile_expression("file('x') + 'y'").evaluate({}, read)


@pytest.mark.parametrize(
    "text",
    [
        "vars.l.all(a, vars.l.all(b, vars.l.all(c, vars.l.all(d, true))))",
        "vars.l.map(a, vars.l.map(b, vars.l + vars.l)).size()",
        "vars.l.map(a, vars.big + vars.big).size()",
        "[vars.big].map(a, [a + a].map(b, [b + b].map(c, c + c)))[0][0][0].size()",
        "vars.huge.map(a, a).size()",
        "vars.l.map(a, [vars.l, vars.l].map(b, b.map(c, vars.l))).size()",
    ],
)
def test_an_expression_cannot_eat_the_machine(text):
    """In a process of its own, which may not take more than 1 GiB."""
    script = f"""
import resource
resource.setrlimit(resource.RLIMIT_AS, (1 << 30, 1 << 30))
from trueup.manifests.program import NOTHING, ExpressionError, compile_expression
data = {{"l": list(range(1000)), "huge": list(range(300_000)), "big": "x" * 1_000_000}}
try:
    compile_expression({text!r}).evaluate({{"vars": data}})
except ExpressionError as error:
    print("refused:", error.message)
"""
    start = time.monotonic()
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("refused:"), done.stdout
    assert time.monotonic() - start < 30


def test_ordinary_loops_are_well_within_the_limit():
    names = [f"site-{i}" for i in range(300)]
    assert evaluate("vars.l.map(v, v + '.example.com').size()", vars={"l": names}) == 300
    assert (
        evaluate("vars.l.filter(a, vars.m.exists(b, a == b)).size()", vars={"l": names[:80], "m": names[:80]})
        == 80
    )


def test_a_regular_expression_cannot_hang():
    start = time.monotonic()
    assert evaluate("vars.s.matches('^(a+)+$')", vars={"s": "a" * 5000 + "b"}) is False
    assert time.monotonic() - start < 10


def test_threads_do_not_see_each_others_functions():
    program = compile_expression("file('x') + vars.n")
    wrong = []

    def work(name):
        for _ in range(300):
            if program.evaluate({"vars": {"n": name}}, lambda _: name) != name * 2:
                wrong.append(name)

    threads = [threading.Thread(target=work, args=(f"t{i}",)) for i in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


def test_the_library_is_not_imported_before_it_is_needed():
    script = "import sys, trueup.manifests.load; print('cel_expr_python' in sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=True
    )
    assert done.stdout.strip() == "False"


@pytest.mark.parametrize(
    "text",
    [
        'ref("Q/a").status.id',
        "ref( 'Q/a' ).status.id",
        'vars.ref + ref("Q/a").status.id + \'ref("Q/a")\'',
        'has(ref("Q/a").status.id) && ref("Q/a").status.id == "x"',
        '[1, 2].map(n, ref("Q/a").status.id + string(n))',
        'ref("""Q/a""").status.id',
    ],
)
def test_however_a_reference_is_written_it_reads_its_object(text):
    objects = {"ref": {"Q/a": {"status": {"id": "x"}}}}
    expected = {
        'ref("Q/a").status.id': "x",
        "ref( 'Q/a' ).status.id": "x",
        'vars.ref + ref("Q/a").status.id + \'ref("Q/a")\'': 'vxref("Q/a")',
        'has(ref("Q/a").status.id) && ref("Q/a").status.id == "x"': True,
        '[1, 2].map(n, ref("Q/a").status.id + string(n))': ["x1", "x2"],
        'ref("""Q/a""").status.id': "x",
    }
    value = compile_expression(text).evaluate({"vars": {"ref": "v"}}, objects=objects)
    assert value == expected[text]


def test_what_a_reference_gives_is_freed():
    program = compile_expression('ref("Q/a").status.id')
    given = {"status": {"id": "x"}}
    before = sys.getrefcount(given)
    for _ in range(100):
        assert program.evaluate({}, objects={"ref": {"Q/a": given}}) == "x"
    assert sys.getrefcount(given) == before


def test_nobody_can_write_the_variable_of_the_objects():
    with pytest.raises(ExpressionError):
        compile_expression('trueup_objects["Q/a"].status.id')


def test_a_map_comes_out_in_the_same_order_in_every_process():
    code = (
        "from trueup.manifests.program import compile_expression\n"
        "sites = {name: {'b': 1, 'a': 2} for name in ('docs', 'blog', 'shop', 'wiki', 'api')}\n"
        "print(list(compile_expression('vars.sites').evaluate({'vars': {'sites': sites}}).items()))\n"
    )
    found = {
        subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
        for _ in range(4)
    }
    assert len(found) == 1
    assert found.pop().startswith("[('api', {'a': 2, 'b': 1}), ('blog'")


@pytest.mark.parametrize(
    "text",
    [
        "env('HOME')",
        "getenv('HOME')",
        "os.environ",
        "environment.HOME",
        "now()",
        "timestamp.now()",
        "today()",
        "http.get('http://127.0.0.1/')",
        "get('http://127.0.0.1/')",
        "open('/etc/passwd')",
        "read('/etc/passwd')",
        "include('x')",
        "exec('id')",
        "random()",
        "uuid()",
        "hostname()",
        "__import__('os')",
        "vars.__class__()",
        "eval('1')",
        "net.ip('127.0.0.1')",
        "trueup_secrets['env:HOME']",
        "trueup_outputs['network']",
    ],
)
def test_there_is_no_function_that_reaches_out(text):
    """No file but by file(), no network, environment, clock or chance: the same text gives the same value."""
    with pytest.raises(ExpressionError):
        compile_expression(text).evaluate({"vars": {}})


def test_a_function_without_a_meaning_here_is_an_error():
    for text in ('file("/etc/passwd")', 'ref("Queue/a")', 'secret("env:HOME")', 'stack("network")'):
        with pytest.raises(ExpressionError, match="cannot be used here"):
            compile_expression(text).evaluate({})


@pytest.mark.parametrize(
    "value",
    [
        "",
        "é😀",
        "${{ 1 }}",
        0,
        -1,
        2**63 - 1,
        -(2**63),
        2**63,
        2**70,
        0.5,
        1.0,
        -0.0,
        1e308,
        float("nan"),
        True,
        None,
        [],
        {},
        [1, [2.0, {"b": 1, "a": [None]}]],
        {"b": {"d": 1, "c": 2}, "a": 1},
        {"x": float("inf")},
        {"x": 2**64},
    ],
)
@pytest.mark.parametrize("plain", ["vars.v", "vars.m.v"])
def test_a_selection_gives_what_cel_gives(value, plain):
    """The short way around CEL has to give the same, to the type and to the order of the keys."""

    def outcome(text):
        try:
            return repr(evaluate(text, vars={"v": value, "m": {"v": value}}))
        except ExpressionError as error:
            return error.message

    assert compile_expression(plain).tree.plain is not None
    through_cel = f"true ? {plain} : null"
    assert compile_expression(through_cel).tree.plain is None
    assert outcome(plain) == outcome(through_cel)


def test_a_value_is_remembered_for_the_same_variables_alone():
    program = compile_expression("vars.remembered + 1")
    first, second = {"vars": {"remembered": 1}}, {"vars": {"remembered": 2}}
    assert program.recall(first) is NOTHING
    assert program.evaluate(first) == 2
    assert program.recall(first) is NOTHING
    program.remember(first, 2)
    assert program.recall(first) == 2
    assert program.recall({"vars": {"remembered": 1}}) is NOTHING
    assert program.recall(second) is NOTHING
    program.remember(second, 3)
    assert program.recall(second) == 3


@pytest.mark.parametrize("text", ["each.key + 'remembered'", "[vars.remembered]", "file('remembered')"])
def test_what_may_differ_or_be_changed_is_not_remembered(text):
    program = compile_expression(text)
    data = {"vars": {"remembered": 1}, "each": {"key": "k"}}
    program.remember(data, program.evaluate(data, lambda name: name))
    assert program.recall(data) is NOTHING
