"""forEach, targets and when; links between nodes; and that it stays linear."""

from __future__ import annotations

import time

import pytest

from trueup.errors import ManifestError
from trueup.manifests import expand
from trueup.manifests.expressions import Expression


def file(name, own="", spec="path: /srv/x", targets="{matchLabels: {role: web}}"):
    head = f"apiVersion: ssh.trueup.dev/v1\nkind: File\nmetadata: {{name: {name}}}\n"
    return f"{head}targets: {targets}\n{own}spec: {{{spec}}}\n---\n"


def addresses(stack):
    return [node.address.text.removeprefix("shop/") for node in stack.nodes]


def test_one_node_for_each_selected_target(load):
    assert addresses(load(file("a"))) == ["File/a@web-1", "File/a@web-2"]
    assert addresses(load(file("a", targets="{names: [web-2]}"))) == ["File/a@web-2"]
    assert addresses(load(file("a", targets="{matchLabels: {role: web, spare: 'yes'}}"))) == ["File/a@web-2"]


def test_a_body_without_expressions_is_shared_by_its_nodes(load):
    one, two = load(file("a")).nodes
    assert one.body is two.body


def test_for_each_over_a_list_and_a_map(load):
    stack = load(
        file(
            "page",
            "forEach: ${{ vars.sites }}\n",
            "path: '/${{ each.key }}/${{ each.value }}'",
            "{names: [web-1]}",
        )
    )
    assert addresses(stack) == ["File/page-blog@web-1", "File/page-docs@web-1"]
    assert [node.spec["path"] for node in stack.nodes] == ["/blog/blog", "/docs/docs"]
    assert stack.nodes[0].body["metadata"] == {"name": "page-blog"}
    stack = load(
        file(
            "'port-${{ each.key }}'",
            "forEach: {a: 1, b: {c: 2}}\n",
            "path: '/${{ each.key }}', size: 1",
            "{names: [web-1]}",
        )
    )
    assert addresses(stack) == ["File/port-a@web-1", "File/port-b@web-1"]


def test_an_empty_for_each_gives_no_node_and_is_no_empty_stack(load):
    assert addresses(load(file("page", "forEach: []\n"))) == []


def test_when_is_asked_for_each_item_and_target(load):
    stack = load(
        file(
            "a",
            "forEach: [x, y]\nwhen: ${{ each.key == 'x' || target.name == 'web-2' }}\n",
            "path: '/${{ each.key }}'",
        )
    )
    assert addresses(stack) == ["File/a-x@web-1", "File/a-x@web-2", "File/a-y@web-2"]


def test_targets_may_depend_on_the_item(load):
    stack = load(file("a", "forEach: {x: web-1, y: web-2}\n", "path: /x", "{names: ['${{ each.value }}']}"))
    assert addresses(stack) == ["File/a-x@web-1", "File/a-y@web-2"]


def test_a_target_shows_its_labels_and_the_public_part_of_its_config(load):
    stack = load(
        file(
            "a",
            "",
            "path: '/${{ target.config.host }}', content: '${{ string(has(target.config.password)) }}'",
        )
    )
    assert [node.spec["path"] for node in stack.nodes] == ["/10.0.0.1", "/10.0.0.2"]
    assert [node.spec["content"] for node in stack.nodes] == ["false", "false"]


def test_depends_on_and_refs_stay_on_their_target(load):
    stack = load(
        file("a", "dependsOn: [File/b]\n", "path: /a, content: \"${{ ref('File/b').spec.path }}\"")
        + file("b")
    )
    first = stack.nodes[0]
    assert [address.text for address in first.depends_on] == ["shop/File/b@web-1"]
    assert [reference.address.target for reference in first.body["spec"]["content"].references] == ["web-1"]
    second = stack.nodes[1]
    assert [address.text for address in second.depends_on] == ["shop/File/b@web-2"]


def test_depends_on_across_providers_means_every_node(load):
    stack = load(file("a") + "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: c}\ndependsOn: [File/a]\n")
    assert [address.text for address in stack.nodes[2].depends_on] == [
        "shop/File/a@web-1",
        "shop/File/a@web-2",
    ]


def test_each_node_has_an_expression_of_its_own(load):
    one, two = load(file("a", "", "path: /a, content: \"${{ ref('File/b').spec.path }}\"") + file("b")).nodes[
        :2
    ]
    assert isinstance(one.body["spec"]["content"], Expression)
    assert one.body["spec"]["content"] is not two.body["spec"]["content"]
    assert one.body["spec"]["path"] == "/a"


def test_a_ref_to_the_same_document_on_another_target_is_fine(load):
    stack = load(
        file("a", "", "path: \"${{ target.name == 'web-1' ? '/x' : ref('File/b@web-1').spec.path }}\"")
        + file("b", "", "path: /b")
    )
    assert stack.nodes[1].body["spec"]["path"].references[0].address.text == "shop/File/b@web-1"


@pytest.mark.parametrize("text", ["${{ vars.domain }}", "plain"])
def test_expanding_is_linear(load, text):
    def seconds(count):
        documents = "".join(file(f"f{i}", "", f"path: '/{i}', content: '{text}'") for i in range(count))
        start = time.process_time()
        assert len(load(documents).nodes) == 2 * count
        return time.process_time() - start

    seconds(200)
    small, large = seconds(500), seconds(4000)
    assert large < 8 * small * 3


def test_items_targets_and_modules_do_not_multiply_beyond_a_limit(load, monkeypatch):
    monkeypatch.setattr(expand, "MAX_NODES", 3)
    module = "apiVersion: trueup.dev/v1\nkind: Module\nmetadata: {name: m}\n"
    config = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: NAME}\ntargets: {names: [prod]}\n"
    files = {
        "../m/module.yaml": f"{module}spec: {{inputs: {{n: {{type: string}}}}}}\n",
        "../m/a.yaml": config.replace("NAME", '"${{ vars.n }}"'),
        "a.yaml": f'{module}forEach: [a, b]\nspec: {{source: ../m, inputs: {{n: "${{{{ each.key }}}}"}}}}\n',
        "b.yaml": f"forEach: [a]\n{config.replace('NAME', 'c')}",
    }
    assert len(load(files).nodes) == 3
    files["b.yaml"] = files["b.yaml"].replace("[a]", "[a, b]")
    with pytest.raises(ManifestError, match=r"^b.yaml:1:1: a stack has at most 3 resources"):
        load(files)
