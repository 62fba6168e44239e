"""References come from the compiled tree: no text can fake or hide one."""

from __future__ import annotations

import pytest

from trueup.manifests.program import FUNCTIONS, LATER_FUNCTIONS, VARIABLES, _environment, compile_expression
from trueup.manifests.syntax_tree import read_plain, read_tree


def references(text):
    return [(call.argument, call.path) for call in compile_expression(text).references]


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ('ref("A/b")', [("A/b", ())]),
        ('ref("A/b").spec.x', [("A/b", ("spec", "x"))]),
        ("ref('A/b').spec['x'].y", [("A/b", ("spec", "x", "y"))]),
        ('ref("A/b").spec.list[0].y', [("A/b", ("spec", "list"))]),
        ('ref("A/b").spec[vars.key]', [("A/b", ("spec",))]),
        ('has(ref("A/b").status.x)', [("A/b", ("status",))]),
        ('ref("A/b").spec.list.map(v, v.x)', [("A/b", ("spec", "list"))]),
        ('[ref("A/b").x, {"k": ref("C/d").y}]', [("A/b", ("x",)), ("C/d", ("y",))]),
        (
            'ref("A/b").s.size() > 1 ? ref("A/b").t : ref("E/f").u',
            [("A/b", ("s",)), ("A/b", ("t",)), ("E/f", ("u",))],
        ),
        ('"ref(\\"A/b\\")"', []),
        ('vars.ref + "ref(x)"', []),
        ('[1].map(v, ref("A/b").z + v)', [("A/b", ("z",))]),
        ("/* no */ 1", None),
        ('ref(r"A/b").x', [("A/b", ("x",))]),
        ('ref("A" "/b")', None),
        ('ref("\\u0041/b").x', [("A/b", ("x",))]),
    ],
)
def test_references_with_their_literal_paths(text, found):
    if found is None:
        with pytest.raises(Exception, match="not valid"):
            references(text)
    else:
        assert references(text) == found


def test_variables_are_found_but_not_those_that_a_loop_hides():
    program = compile_expression("vars.a.b + vars.list.map(vars, vars.c)[0] + [each].size()")
    assert [(read.variable, read.path) for read in program.selections] == [
        ("vars", ("a", "b")),
        ("vars", ("list",)),
        ("each", ()),
    ]


def test_offsets_point_into_the_text():
    text = '1 + ref("A/b").x + vars.y'
    program = compile_expression(text)
    assert text[: program.references[0].offset].endswith("ref")
    assert text[program.selections[0].offset :].startswith("vars")


def test_loops_additions_and_elements_are_counted():
    tree = compile_expression("[1, 2].map(a, [3].map(b, a + b + 1))").tree
    assert (tree.loop_depth, tree.elements) == (2, 5)
    assert tree.additions >= 2


@pytest.mark.parametrize(
    "text",
    [
        "vars",
        "vars.a",
        "vars.a_1.B.c",
        "each.key",
        "target.labels.role",
        "git.commit",
        'ref("A/b")',
        "ref('A/b').status.x",
        'ref( "A/b@c" ).x',
        'secret("env:X")',
        'secret("sops:a.yaml#/b").c',
        'stack("network").vpcId',
        'ref("A/${{ b }}é").x',
    ],
)
def test_what_only_selects_has_the_tree_that_the_compiler_gives(text):
    quick = read_plain(text, LATER_FUNCTIONS, VARIABLES)
    assert quick is not None
    compiled = read_tree(_environment().compile(text).serialize(), FUNCTIONS, VARIABLES)
    assert quick.plain in (*compiled.selections, *compiled.calls)
    quick.plain = None
    assert quick == compiled


@pytest.mark.parametrize(
    "text",
    [
        "var",
        "nope.a",
        'file("x")',
        "vars.in",
        "vars.true.x",
        "vars.a.package",
        "vars.",
        "vars..a",
        "vars. a",
        "vars.1",
        "vars.a[0]",
        "vars['a']",
        "has(vars.a)",
        "vars.a()",
        'ref("a\\"b")',
        'ref("A/b").x()',
        "vars.a + 1",
        "vars." + ".".join("a" * 17),
        "vars.é",
        'vars("x")',
        "ref.x",
        'ref("a" "b")',
        "ref(vars.a)",
        'ref("""A/b""")',
        "ref",
        " vars.a",
        "vars.a ",
        "vars.a // x",
    ],
)
def test_all_else_is_left_to_the_compiler(text):
    assert read_plain(text, LATER_FUNCTIONS, VARIABLES) is None
