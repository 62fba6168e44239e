"""Whole stacks: the good ones, and the table of broken ones with the exact text that a user sees."""

from __future__ import annotations

import gc
import os
import re
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from trueup.errors import ManifestError, PluginError, SourceError
from trueup.manifests.document import SourceDocument
from trueup.manifests.given_values import ValuesRequest
from trueup.manifests.load import load_stack
from trueup.manifests.templates import Template
from trueup.plugins.load import InstalledProviders
from trueup.sources.directory import DirectoryTree

HEAD = "apiVersion: trueup.dev/v1\nkind: Stack\nmetadata: {name: shop}\n"
A = "apiVersion: v1\nkind: A\n"
BAD = Path(__file__).parent / "bad"
CASES = sorted(path.name for path in BAD.iterdir() if path.is_dir())
EXPECTED, WITHOUT_STACK, REQUEST = "expected.txt", ".without-stack", ".request"


def _files_of(case: Path) -> dict[str, bytes]:
    files = {
        str(path.relative_to(case)): path.read_bytes()
        for path in sorted(case.rglob("*"))
        if path.is_file() and path.name not in (EXPECTED, WITHOUT_STACK, REQUEST)
    }
    if not any(name.startswith("stack.") for name in files) and not (case / WITHOUT_STACK).exists():
        files["stack.yaml"] = (BAD / "stack.yaml").read_bytes()
    return files


def _request_of(case: Path) -> ValuesRequest:
    """The lines of `.request`, as they would stand on the command line: `--values FILE`, `--set TEXT`."""
    file = case / REQUEST
    lines = [line.split(" ", 1) for line in file.read_text().splitlines()] if file.exists() else []
    files, sets = (tuple(text for option, text in lines if option == o) for o in ("--values", "--set"))
    assert len(files) + len(sets) == len(lines)
    return ValuesRequest(files, sets)


@pytest.mark.parametrize("name", CASES)
def test_a_broken_input_is_refused_with_this_text(name, catalog, memory_tree):
    case = BAD / name
    with pytest.raises(ManifestError) as error:
        # With the operator's leave to fetch: what is wrong beyond that.
        load_stack(memory_tree(_files_of(case)), catalog, _request_of(case), may_fetch=True)
    text = f"{error.value}\n"
    if os.environ.get("TRUEUP_UPDATE_SNAPSHOTS") == "1":
        (case / EXPECTED).write_text(text)
    assert text == (case / EXPECTED).read_text()


def test_an_ordinary_manifest_of_kubernetes_is_a_resource_word_for_word(load):
    stack = load("apiVersion: v1\nkind: ConfigMap\nmetadata: {name: c, namespace: shop}\ndata: {a: b}\n")
    assert [node.address.text for node in stack.nodes] == ["shop/ConfigMap/shop/c@prod"]
    assert stack.revision.commit == "c0ffee"


def test_the_three_languages_stand_side_by_side(load):
    stack = load(
        {
            "a.yaml": f"{A}metadata: {{name: a}}\n---\n{A}metadata: {{name: b}}\n",
            "b.json": '{"apiVersion": "v1", "kind": "A", "metadata": {"name": "c"}}',
            "sub/dir/c.toml": '[[resource]]\napiVersion = "v1"\nkind = "A"\nmetadata.name = "d"\n',
            "d.yml": "apiVersion: v1\nkind: List\nitems: [{apiVersion: v1, kind: A, metadata: {name: e}}]\n",
            "notes.md": "# no resource",
        }
    )
    assert [node.name for node in stack.nodes] == ["a", "b", "c", "e", "d"]


def test_hidden_excluded_and_nested_files_do_not_count(load):
    broken = "this: is [not yaml"
    stack = load(
        {
            "stack.yaml": HEAD
            + "spec: {exclude: ['data/**', '*.values.yaml', one.yaml], targets: [{name: p, "
            "provider: kubernetes}]}\n",
            ".hidden/a.yaml": broken,
            ".a.yaml": broken,
            "sub/.git/a.yaml": broken,
            "data/deep/a.yaml": broken,
            "x.values.yaml": broken,
            "one.yaml": broken,
            "other/stack.yaml": "kind: Stack\n" + broken,
            "other/deep/a.yaml": broken,
            "sub/one.yaml": "apiVersion: v1\nkind: A\nmetadata: {name: a}\n",
        }
    )
    assert [node.name for node in stack.nodes] == ["a"]


def test_the_settings_beside_the_stack_file_are_no_resource_unless_they_look_like_one(load):
    settings = 'store = "s.db"\npolicies = [{name = "a", enforce = "warn", rule = """\nkind == "A" """}]\n'
    stack = {"stack.yaml": HEAD + "spec: {allowEmpty: true}\n"}
    assert load({**stack, "trueup.toml": settings}).nodes == ()
    with pytest.raises(ManifestError, match=r"trueup\.toml holds the settings"):
        load({**stack, "trueup.toml": 'apiVersion = "v1"\nkind = "A"\n'})
    with pytest.raises(ManifestError, match=r"below/trueup\.toml"):
        load({**stack, "below/trueup.toml": settings})


@pytest.mark.parametrize("path", ["sub/x.values.yaml", "dat/a.yaml", "sub/data/a.yaml"])
def test_a_glob_without_double_stars_stays_in_its_directory(load, path):
    with pytest.raises(ManifestError):
        load({"stack.yaml": HEAD + "spec: {exclude: ['data/**', '*.values.yaml']}\n", path: "{"})


def test_a_stack_without_resources_has_to_say_so(load):
    assert load({"stack.yaml": HEAD + "spec: {allowEmpty: true}\n"}).nodes == ()
    with pytest.raises(ManifestError, match="the stack has no resource"):
        load({"stack.yaml": HEAD})


def test_an_empty_directory_is_an_error(memory_tree, catalog):
    with pytest.raises(ManifestError, match="the directory is empty"):
        load_stack(memory_tree({}), catalog)


def test_a_symbolic_link_out_of_the_tree_is_never_read(tmp_path, catalog):
    (tmp_path / "secret.yaml").write_text("apiVersion: v1\nkind: A\nmetadata: {name: canary}\n")
    top = tmp_path / "stack"
    top.mkdir()
    (top / "stack.yaml").write_text(HEAD + "spec: {targets: [{name: p, provider: kubernetes}]}\n")
    (top / "link.yaml").symlink_to("../secret.yaml")
    with pytest.raises(SourceError) as error:
        load_stack(DirectoryTree(top, ""), catalog)
    assert "canary" not in str(error.value)


def test_the_bytes_of_a_file_outside_of_the_tree_are_not_shown_by_file(load):
    with pytest.raises(ManifestError) as error:
        load("apiVersion: v1\nkind: A\nmetadata: {name: a}\nx: ${{ file('../../../etc/passwd') }}\n")
    assert "root:" not in str(error.value)


def test_a_provider_that_cannot_be_loaded_is_a_plugin_error(memory_tree, catalog):
    class Broken(type(catalog)):
        def provider(self, name):
            raise PluginError(f"{name}: install it with pip")

    with pytest.raises(PluginError, match="install it with pip"):
        load_stack(memory_tree({"stack.yaml": (BAD / "stack.yaml").read_bytes()}), Broken())


def test_the_garbage_collector_runs_again_afterwards(load):
    assert gc.isenabled()
    load({"stack.yaml": HEAD + "spec: {allowEmpty: true}\n"})
    assert gc.isenabled()
    with pytest.raises(ManifestError):
        load({"stack.yaml": "{"})
    assert gc.isenabled()


def test_loading_twice_gives_the_same(load):
    files = {"a.yaml": "apiVersion: v1\nkind: A\nmetadata: {name: a}\ndata: {a: '${{ vars.domain }}'}\n"}
    assert load(files) == load(files)


def test_an_alias_bomb_takes_neither_time_nor_memory(tmp_path):
    script = """
import resource
resource.setrlimit(resource.RLIMIT_AS, (512 << 20, 512 << 20))
from trueup.manifests.parse import parse_file
bomb = "a0: &a0 [" + ", ".join(["x"] * 10) + "]\\n"
bomb += "".join(f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 10)}]\\n" for i in range(1, 60))
problems = []
assert parse_file("a.yaml", bomb.encode(), problems) == [] and problems
"""
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, timeout=30, check=False
    )
    assert done.returncode == 0, done.stderr


DOCS = Path(__file__).parents[3] / "docs"
EXAMPLE = re.compile(r"^```(yaml|toml|json)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def test_the_examples_of_the_page_about_resource_files_load(load):
    examples = EXAMPLE.findall((DOCS / "resource-files.md").read_text())
    stack_file = next(text for _, text in examples if "kind: Stack" in text)
    stack_file = stack_file.replace("  variables:\n", "  variables:\n    sites: {default: [blog, draft]}\n")
    stack_file = stack_file.replace(", user: deploy", "")
    files = {"stack.yaml": stack_file, "site.conf": "server {}\n"}
    for number, (language, text) in enumerate(examples):
        if "apiVersion" in text and "kind: Stack" not in text:
            files[f"{number}.{language}"] = text
    assert sorted(node.address.text for node in load(files).nodes) == [
        "shop/ConfigMap/web@prod",
        "shop/File/motd@web-1",
        "shop/File/motd@web-2",
        "shop/File/site-blog@web-1",
        "shop/File/site-blog@web-2",
        "shop/Package/nginx@web-1",
    ]


def test_the_examples_of_the_page_about_expressions_load(load, memory_tree):
    (_, text), (_, targets) = EXAMPLE.findall((DOCS / "expressions.md").read_text())
    stack_file = (
        (BAD / "stack.yaml").read_text().replace("replicas:", "ports: {default: {https: 443}}\n    replicas:")
    )
    queue = 'apiVersion: v1\nkind: "AWS::SQS::Queue"\nmetadata: {name: orders}\n---\n'
    nodes = load({"stack.yaml": stack_file, "a.yaml": f"{queue}{A}metadata: {{name: a}}\n{text}"}).nodes
    data = dict(nodes[1].body["data"])
    assert str(data.pop("queue")) == '${{ ref("AWS::SQS::Queue/orders").status.QueueUrl }}'
    assert [output.output for output in data.pop("vpc").outputs] == ["vpcId"]
    assert [secret.text for secret in data.pop("database").secrets] == ["env:DB_PASSWORD"]
    assert data == {
        "replicas": 2,
        "url": "https://example.com:443/",
        "size": "small",
        "literal": "${{ not an expression }}",
    }
    head = "apiVersion: trueup.dev/v1\nkind: Stack\nmetadata: {name: shop}\nspec:\n  allowEmpty: true\n"
    tree = memory_tree({"stack.yaml": head + textwrap.indent(targets, "  ")})
    (target,) = load_stack(tree, InstalledProviders()).stack.targets
    assert [secret.text for secret in target.config["externalId"].secrets] == ["env:EXTERNAL_ID"]


def test_a_loaded_stack_goes_without_the_garbage_collector(load):
    """A daemon loads its stacks for ever, with the collector paused: what it read must not pile up."""
    text = 'x-${{ ref("A/a").metadata.uid }}-${{ vars.domain }}'
    files = {
        "a.yaml": f"{A}metadata: {{name: a}}\n",
        "b.yaml": f"{A}metadata: {{name: b}}\nspec: '{text}'\n",
    }

    def count() -> int:
        return sum(isinstance(found, SourceDocument | Template) for found in gc.get_objects())

    gc.collect()
    gc.disable()
    try:
        before = count()
        for _ in range(3):
            load(files)
        assert count() == before
    finally:
        gc.enable()
