"""Which files of a directory hold resources, and what is left out for the name of a file."""

from __future__ import annotations

import pytest

from trueup.errors import ManifestError
from trueup.manifests.load import load_stack

STACK = """\
apiVersion: trueup.dev/v1
kind: Stack
metadata: {name: shop}
spec:
  targets: [{name: prod, provider: kubernetes}]
"""
CALL = "apiVersion: trueup.dev/v1\nkind: Module\nmetadata: {name: m}\nspec: {source: mod}\n"
MODULE = "apiVersion: trueup.dev/v1\nkind: Module\nmetadata: {name: m}\nspec: {}\n"


def config(name: str) -> str:
    return f"apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: {name}}}\n"


@pytest.fixture
def names(catalog, memory_tree):
    def _names(**files):
        tree = memory_tree({"stack.yaml": STACK, "a.yaml": config("a"), **files})
        return [node.address.reference for node in load_stack(tree, catalog).nodes]

    return _names


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("stack.yaml", STACK),
        ("stack.yml", "kind: Stack\nbroken: ["),
        ("stack.json", '{"apiVersion": "trueup.dev/v1", "kind": "Stack"}'),
        ("stack.toml", 'kind = "Stack"\n'),
    ],
)
def test_a_directory_with_a_stack_of_its_own_is_left_out_whatever_is_wrong_with_it(names, name, text):
    assert names(**{f"apps/{name}": text, "apps/b.yaml": config("b")}) == ["ConfigMap/a"]


@pytest.mark.parametrize("name", ["stack.yaml", "stack.json", "stack.toml"])
def test_a_file_of_data_does_not_take_the_resources_beside_it_out_of_the_stack(names, name):
    with pytest.raises(ManifestError) as error:
        names(**{f"apps/{name}": '{"services": ["web"]}', "apps/b.yaml": config("b")})
    assert str(error.value) == (
        f"apps/{name}: the files beside this one are left out for its name, and it declares no stack\n"
        "  give it another name, or name its directory in spec.exclude of the stack"
    )


def test_nor_does_it_in_a_module(names):
    files = {"call.yaml": CALL, "mod/module.yaml": MODULE, "mod/m.yaml": config("m")}
    assert names(**files) == ["ConfigMap/a", "ConfigMap/m/m"]
    files |= {"mod/apps/stack.json": "{}", "mod/apps/b.yaml": config("b")}
    with pytest.raises(
        ManifestError, match=r"^mod/apps/stack.json: in module m \(call.yaml:1:1\): the files"
    ):
        names(**files)


def test_a_file_of_that_name_in_a_chart_is_a_template(names):
    files = {"web/Chart.yaml": "a: b\n", "web/templates/stack.yaml": "a: b\n"}
    with pytest.raises(ManifestError) as error:
        names(**files)
    assert [str(problem.place) for problem in error.value.problems] == ["web/Chart.yaml"]
