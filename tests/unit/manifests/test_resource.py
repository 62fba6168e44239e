"""What is trueup's own in a document, and what the provider gets."""

from __future__ import annotations

import pytest

from trueup.errors import ManifestError
from trueup.model.resource import Drift, Lifecycle, OnDelete, Replace, Rollout

CONFIG_MAP = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: c}\n"


def test_own_keys_do_not_reach_the_provider_and_all_else_does(load):
    node = load(
        "apiVersion: v1\nkind: ConfigMap\n"
        "metadata: {name: c, namespace: shop, labels: {a: b}, annotations: {x: y}}\n"
        "targets: {names: [prod]}\ndependsOn: []\nwhen: true\nlifecycle: {}\ndata: {a: b}\nimmutable: true\n"
    ).nodes[0]
    assert node.body == {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": "c", "namespace": "shop", "labels": {"a": "b"}, "annotations": {"x": "y"}},
        "data": {"a": "b"},
        "immutable": True,
    }
    assert node.address.text == "shop/ConfigMap/shop/c@prod"
    assert str(node.place) == "site.yaml:1:1"


def test_a_namespace_that_is_not_written_stays_empty(load):
    assert load(CONFIG_MAP).nodes[0].namespace == ""


def test_own_keys_may_stand_as_annotations(load):
    stack = load(
        "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: c\n  annotations:\n"
        "    trueup.dev/when: ${{ each.key != 'b' }}\n"
        "    trueup.dev/forEach: '[a, b]'\n"
        "    trueup.dev/targets: 'names: [prod]'\n"
        "    trueup.dev/lifecycle: |\n      protect: true\n      ignore: [/data]\n"
        "    other: kept\n"
    )
    assert [node.name for node in stack.nodes] == ["c-a"]
    node = stack.nodes[0]
    assert node.lifecycle == Lifecycle(protect=True, ignore=("/data",))
    assert node.body["metadata"] == {"name": "c-a", "annotations": {"other": "kept"}}


def test_no_annotations_are_left_where_all_were_of_trueup(load):
    node = load(
        "apiVersion: v1\nkind: A\nmetadata: {name: c, annotations: {trueup.dev/lifecycle: '{adopt: true}'}}\n"
    ).nodes[0]
    assert node.lifecycle.adopt
    assert node.body["metadata"] == {"name": "c"}


def test_every_key_of_a_lifecycle_is_read(load):
    node = load(
        CONFIG_MAP + "lifecycle: {protect: true, ignore: [/data/a, /metadata/labels/x~1y], onDelete: orphan, "
        "replace: deny, adopt: true, drift: report, timeout: 1m30s}\n"
    ).nodes[0]
    assert node.lifecycle == Lifecycle(
        protect=True,
        ignore=("/data/a", "/metadata/labels/x~1y"),
        on_delete=OnDelete.ORPHAN,
        replace=Replace.DENY,
        adopt=True,
        drift=Drift.REPORT,
        timeout=90.0,
    )


@pytest.mark.parametrize(
    ("api_version", "provider"),
    [("v1", "kubernetes"), ("apps/v1", "kubernetes"), ("ssh.example.com/v1", "kubernetes"),
     ("x.ssh.trueup.dev/v1", "kubernetes")],
)  # fmt: skip
def test_whatever_is_not_of_a_provider_belongs_to_kubernetes(load, api_version, provider):
    stack = load(f"apiVersion: {api_version}\nkind: Thing\nmetadata: {{name: c}}\n")
    assert stack.nodes[0].target.provider == provider


def test_a_document_of_a_provider_that_is_not_installed_names_those_that_are(load):
    with pytest.raises(ManifestError) as error:
        load("apiVersion: aws.trueup.dev/v1\nkind: AWS::SQS::Queue\nmetadata: {name: c}\n")
    assert 'there is no provider "aws" for aws.trueup.dev/v1' in str(error.value)
    assert "installed providers: kubernetes, ssh" in str(error.value)


def test_a_rollout_is_read_as_key_and_as_annotation(load):
    key = load(CONFIG_MAP + "rollout: {batch: 25%, maxFailures: 2}\n").nodes[0]
    assert key.rollout == Rollout("25%", 2)
    assert "rollout" not in key.body
    note = load(
        "apiVersion: v1\nkind: A\nmetadata: {name: c, annotations: {trueup.dev/rollout: 'batch: 3'}}\n"
    ).nodes[0]
    assert note.rollout == Rollout("3", 0)


def test_earlier_addresses_are_kept_as_they_are_written_with_their_expressions_filled(load):
    stack = load(
        CONFIG_MAP + "forEach: [a, b]\n"
        "lifecycle: {movedFrom: ['ConfigMap/old-${{ each.key }}', "
        "'other/ConfigMap/c-${{ each.key }}@prod'], "
        "replace: createFirst}\n"
    )
    assert [node.lifecycle.moved_from for node in stack.nodes] == [
        ("ConfigMap/old-a", "other/ConfigMap/c-a@prod"),
        ("ConfigMap/old-b", "other/ConfigMap/c-b@prod"),
    ]
    assert {node.lifecycle.replace for node in stack.nodes} == {Replace.CREATE_FIRST}


def test_triggers_mean_nodes_as_dependencies_do(load):
    stack = load(
        "apiVersion: ssh.trueup.dev/v1\nkind: File\nmetadata: {name: conf}\n"
        "targets: {matchLabels: {role: web}}\nforEach: [a, b]\nspec: {path: '/etc/${{ each.key }}'}\n---\n"
        "apiVersion: ssh.trueup.dev/v1\nkind: Service\nmetadata: {name: web}\n"
        "targets: {matchLabels: {role: web}}\nlifecycle: {triggers: [File/conf]}\n"
    )
    assert [[found.text for found in node.lifecycle.triggers] for node in stack.nodes[4:]] == [
        ["shop/File/conf-a@web-1", "shop/File/conf-b@web-1"],
        ["shop/File/conf-a@web-2", "shop/File/conf-b@web-2"],
    ]
