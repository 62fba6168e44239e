"""Bases that kustomize fetches, from a real Git server on loopback."""

from __future__ import annotations

import pytest

from trueup.errors import ManifestError
from trueup.manifests.load import load_stack

CONFIG = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: NAME}\n"
KUSTOMIZATION = "resources: [a.yaml]\n"


@pytest.fixture
def remote(tools, git_server):
    """A repository with a base in `deploy`, and its URL for kustomize."""
    repository = git_server.create("app")
    repository.commit(
        {"deploy/kustomization.yaml": KUSTOMIZATION, "deploy/a.yaml": CONFIG.replace("NAME", "one")}
    )
    return repository, f"{git_server.url(repository, 'http')}//deploy?ref=main"


@pytest.fixture
def names(catalog, memory_tree, head):
    def _names(files, settings):
        stack = f"{head}  render: {{kustomize: {{{settings}}}}}\n"
        nodes = load_stack(memory_tree({"stack.yaml": stack, **files}), catalog).nodes
        return [node.name for node in nodes]

    return _names


def test_a_remote_base_is_fetched_each_time_where_the_stack_allows_it(remote, names):
    repository, url = remote
    files = {"over/kustomization.yaml": f"resources: ['{url}']\nnamePrefix: prod-\n"}
    with pytest.raises(ManifestError, match="comes from the network, which the stack does not allow"):
        names(files, "path: over")
    assert names(files, "path: over, network: true") == ["prod-one"]
    repository.commit({"deploy/a.yaml": CONFIG.replace("NAME", "two")})
    assert names(files, "path: over, network: true") == ["prod-two"]


def test_a_remote_base_cannot_reach_files_of_this_machine(remote, names):
    repository, url = remote
    files = {"over/kustomization.yaml": f"resources: ['{url}']\n"}
    for resource in ("file:///", "../../../../../../etc", "/etc/hostname", "ssh://127.0.0.1/a.git"):
        repository.commit({"deploy/kustomization.yaml": f"resources: ['{resource}']\n"})
        with pytest.raises(ManifestError, match="kustomize: "):
            names(files, "path: over, network: true")


def test_a_file_with_the_look_of_a_remote_and_an_object_instead_of_a_path_are_local(tools, names):
    patch = '{"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a"}, "data": {"b": "c"}}'
    files = {
        "a/kustomization.yaml": f"resources: [conf@prod.yaml, .b.yaml]\npatchesStrategicMerge: ['{patch}']\n",
        "a/conf@prod.yaml": CONFIG.replace("NAME", "a"),
        "a/.b.yaml": CONFIG.replace("NAME", "b"),
    }
    assert sorted(names(files, "path: a")) == ["a", "b"]


def test_two_kustomizations_that_reach_each_other_are_an_error(tools, names):
    files = {
        "a/kustomization.yaml": "resources: [../b]\n",
        "b/kustomization.yaml": "resources: [../a]\n",
    }
    with pytest.raises(ManifestError, match="cycle detected"):
        names(files, "path: a")
