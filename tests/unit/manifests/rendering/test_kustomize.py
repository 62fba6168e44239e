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
        nodes = load_stack(memory_tree({"stack.yaml": stack, **files}), catalog, may_fetch=True).nodes
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


@pytest.mark.parametrize("text", ["${{ secret('env:HOME') }}", "\\x24{{ vars.replicas }}", "$${{ x }}"])
def test_nothing_of_a_remote_base_is_evaluated(remote, names, text):
    repository, url = remote
    repository.commit({"deploy/a.yaml": CONFIG.replace("NAME", "one") + f'data: {{a: "{text}"}}\n'})
    files = {"over/kustomization.yaml": f"resources: ['{url}']\n"}
    with pytest.raises(ManifestError, match=r"^over/kustomization.yaml .*: an expression in what may come"):
        names(files, "path: over, network: true")


@pytest.mark.parametrize("group", ["trueup.dev", "ssh.trueup.dev"])
def test_a_remote_base_calls_no_module_and_reaches_no_host(remote, names, group):
    repository, url = remote
    call = f"apiVersion: {group}/v1\nkind: Module\nmetadata: {{name: m}}\nspec: {{source: ../m}}\n"
    repository.commit({"deploy/a.yaml": call})
    files = {"over/kustomization.yaml": f"resources: ['{url}']\n"}
    with pytest.raises(ManifestError, match=f"a resource of {group} in what may come from the network"):
        names(files, "path: over, network: true")


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


@pytest.mark.parametrize("field", ["Resources", "COMPONENTS", "helmcharts", "patchesstrategicmerge"])
def test_a_field_in_other_letters_is_an_error_as_kustomize_would_take_it(tools, names, field):
    files = {"a/kustomization.yaml": f"{field}: ['https://example.com/x']\n"}
    with pytest.raises(ManifestError, match=f'no field "{field}" of a kustomization'):
        names(files, "path: a")


def test_a_field_of_a_generator_in_other_letters_is_an_error_but_no_label_is(tools, names):
    kustomization = (
        "resources: [a.yaml]\nconfigMapGenerator: [{name: b, %s: [a.yaml]}]\nlabels: [{pairs: {Env: b}}]\n"
    )
    files = {"a/a.yaml": CONFIG.replace("NAME", "a")}
    with pytest.raises(ManifestError, match=r'a/kustomization.yaml:2:32: there is no field "Files"'):
        names({**files, "a/kustomization.yaml": kustomization % "Files"}, "path: a")
    assert len(names({**files, "a/kustomization.yaml": kustomization % "files"}, "path: a")) == 2


FETCHING = (
    "{apiVersion: builtin, kind: ConfigMapGenerator, metadata: {name: a}, name: a,"
    " files: ['http://127.0.0.1:1/']}"
)


@pytest.mark.parametrize(
    ("files", "place"),
    [
        ({"a/kustomization.yaml": f'generators: ["{FETCHING}"]\n'}, "a/kustomization.yaml:1:14"),
        ({"a/kustomization.yaml": "generators: [g.yaml]\n", "a/g.yaml": FETCHING}, "a/g.yaml:1:87"),
        (
            {
                "a/kustomization.yaml": "generators: [g]\n",
                "a/g/kustomization.yaml": "resources: [g.yaml]\n",
                "a/g/g.yaml": FETCHING,
            },
            "a/g/g.yaml:1:87",
        ),
    ],
)
def test_what_a_generator_would_fetch_is_refused_wherever_the_generator_stands(tools, names, files, place):
    with pytest.raises(ManifestError) as error:
        names(files, "path: a")
    assert str(error.value).startswith(
        f'{place}: "http://127.0.0.1:1/" comes from the network, which the stack does not allow'
    )


@pytest.mark.parametrize(
    "kustomization",
    [
        "secretGenerator: [{name: s, literals: [canary]}]\n",
        'patches: [{patch: "kind: Secret\\nstringData: {password: canary"}]\n',
    ],
)
def test_an_error_does_not_repeat_what_may_be_secret(tools, names, kustomization):
    with pytest.raises(ManifestError) as error:
        names({"a/kustomization.yaml": kustomization}, "path: a")
    assert "canary" not in str(error.value)
