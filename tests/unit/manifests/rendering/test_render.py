"""Rendering with the real tools: what resources come out, and the exact text where none do."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

import pytest
from tests.git.fixtures import Link

from trueup.errors import ManifestError, SourceError
from trueup.manifests.load import load_stack
from trueup.sources.directory import DirectoryTree
from trueup.sources.open import open_tree

BAD = Path(__file__).parent / "bad"
CASES = sorted(path.name for path in BAD.iterdir())
EXPECTED = "expected.txt"


@pytest.mark.usefixtures("tools")
@pytest.mark.parametrize("name", CASES)
def test_a_rendering_that_fails_says_so_with_this_text(name, catalog, memory_tree):
    case = BAD / name
    files = {
        str(path.relative_to(case)): path.read_bytes()
        for path in case.rglob("*")
        if path.is_file() and path.name != EXPECTED
    }
    with pytest.raises(ManifestError) as error:
        load_stack(memory_tree(files), catalog)
    text = f"{error.value}\n"
    if os.environ.get("TRUEUP_UPDATE_SNAPSHOTS") == "1":
        (case / EXPECTED).write_text(text)
    assert text == (case / EXPECTED).read_text()


@pytest.mark.parametrize(
    "job",
    [
        "kustomize: {path: over, network: true}",
        "helm: {chart: web, network: true}",
        "helm: {chart: web, repo: 'http://127.0.0.1:1', version: 1.0.0, network: true}",
        "helm: {chart: 'oci://example.invalid/web', version: 1.0.0, network: true}",
    ],
)
def test_a_stack_that_asks_for_the_network_needs_a_grant_before_any_tool_runs(
    job, catalog, memory_tree, head, monkeypatch, tmp_path
):
    for variable in ("TRUEUP_HELM", "TRUEUP_KUSTOMIZE"):
        program = tmp_path / variable
        program.write_text(f"#!/bin/sh\ntouch {tmp_path}/trace\n")
        program.chmod(0o755)
        monkeypatch.setenv(variable, str(program))
    files = {
        "stack.yaml": f"{head}  render: [{{{job}}}]\n",
        "over/kustomization.yaml": "resources: ['http://127.0.0.1:1/a.yaml']\n",
        "web/Chart.yaml": "apiVersion: v2\nname: web\nversion: 1.0.0\n",
    }
    with pytest.raises(ManifestError, match="asks for the network, which was not granted") as error:
        load_stack(memory_tree(files), catalog)
    assert len(error.value.problems) == 1
    assert "[rendering] allow_network = true" in error.value.problems[0].hint
    assert not (tmp_path / "trace").exists()


@pytest.fixture
def load_here(catalog, tmp_path, head):
    """Loads the stack in `shop` of a repository with these files; gives the bodies by kind and name."""
    (tmp_path / ".git").mkdir()

    def _load(files, render=""):
        for name, text in {"shop/stack.yaml": head + render, **files}.items():
            file = tmp_path / name
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(text)
        nodes = load_stack(DirectoryTree(tmp_path / "shop", ""), catalog).nodes
        return {f"{node.address.kind}/{node.name}": node for node in nodes}

    return _load


@pytest.fixture
def counted(tools, monkeypatch, tmp_path):
    """Has the tools counted: a function that gives how often they ran since it was called."""
    log = tmp_path / "runs"
    for variable in ("TRUEUP_HELM", "TRUEUP_KUSTOMIZE"):
        program = tmp_path / variable
        program.write_text(f'#!/bin/sh\necho run >> {log}\nexec {os.environ[variable]} "$@"\n')
        program.chmod(0o755)
        monkeypatch.setenv(variable, str(program))

    def count():
        runs = len(log.read_text().split()) if log.exists() else 0
        log.unlink(missing_ok=True)
        return runs

    return count


CONFIG = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: conf}\ndata: {a: b}\n"
OVERLAY = {
    "shop/over/kustomization.yaml": "namePrefix: prod-\nresources: [../../base]\n",
    "base/kustomization.yaml": "resources: [a.yaml]\nsecretGenerator: [{name: key, envs: [key.env]}]\n",
    "base/key.env": "key=canary\n",
    "base/a.yaml": CONFIG,
    "base/unused/b.txt": "one",
    "other/c.yaml": "one",
}
KUSTOMIZE = "  render: {kustomize: {path: over}}\n"
CHART = {
    "shop/web/Chart.yaml": "apiVersion: v2\nname: web\nversion: 1.0.0\n",
    "shop/web/values.yaml": "colour: red\nsize: 1\n",
    "shop/web/templates/a.yaml": "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: conf}\n"
    "data: {colour: '{{ .Values.colour }}', size: '{{ .Values.size }}', release: '{{ .Release.Name }}',"
    " namespace: '{{ .Release.Namespace }}'}\n",
}
HOOK = """---
apiVersion: v1
kind: Pod
metadata: {{name: {name}, annotations: {{helm.sh/hook: '{moments}'}}}}
"""
HELM = "  render: {helm: {chart: web}}\n"


@pytest.mark.usefixtures("tools")
class TestKustomize:
    def test_an_overlay_reaches_bases_in_the_rest_of_the_source(self, load_here):
        found = load_here(OVERLAY, KUSTOMIZE)
        config = found["ConfigMap/prod-conf"]
        assert config.body["data"] == {"a": "b"}
        assert str(config.place) == "over/kustomization.yaml (kustomize: ConfigMap prod-conf):1:1"
        assert len(found) == 2

    def test_a_commit_of_git_is_rendered_like_a_directory(self, catalog, head, git_server):
        repository = git_server.create("shop")
        repository.commit({"shop/stack.yaml": head + KUSTOMIZE, **OVERLAY, "base/link.yaml": Link("a.yaml")})
        tree = open_tree(str(repository.path), "main", "shop")
        try:
            nodes = load_stack(tree, catalog).nodes
        finally:
            tree.close()
        assert "prod-conf" in {node.name for node in nodes}

    def test_a_kustomization_beside_the_stack_file_is_rendered_by_itself(self, load_here):
        files = {
            "shop/kustomization.yml": "resources: [sub/a.yaml]\ncommonAnnotations: {by: kustomize}\n",
            "shop/sub/a.yaml": CONFIG,
            "shop/sub/patch.yaml": "- not a resource",
        }
        (node,) = load_here(files).values()
        assert node.body["metadata"]["annotations"] == {"by": "kustomize"}

    def test_only_the_stack_file_itself_is_hidden_from_a_tool(self, load_here):
        files = {
            "shop/kustomization.yaml": "resources: [stack.d/a.yaml]\nconfigMapGenerator:"
            " [{name: made, envs: [stack.env], options: {disableNameSuffixHash: true}}]\n",
            "shop/stack.d/a.yaml": CONFIG,
            "shop/stack.env": "a=b\n",
        }
        assert set(load_here(files)) == {"ConfigMap/conf", "ConfigMap/made"}

    def test_nothing_is_rendered_where_plain_is_said(self, load_here):
        files = {"shop/kustomization.yaml": "namePrefix: x-\n", "shop/a.yaml": CONFIG}
        assert list(load_here(files, "  render: plain\n")) == ["ConfigMap/conf"]

    def test_expressions_and_own_keys_work_in_what_comes_out(self, load_here):
        body = CONFIG.replace(
            "{name: conf}", "{name: conf, annotations: {trueup.dev/lifecycle: '{protect: true}'}}"
        )
        body = body.replace(
            "a: b", "a: '${{ vars.replicas }}', text: '${{ file(\"beside.txt\") }}', lit: '$${{ x }}'"
        )
        files = {
            "shop/over/kustomization.yaml": "resources: [a.yaml]\n",
            "shop/over/a.yaml": body,
            "shop/over/beside.txt": "beside",
        }
        (node,) = load_here(files, KUSTOMIZE).values()
        assert node.body["data"] == {"a": 3, "text": "beside", "lit": "${{ x }}"}
        assert node.lifecycle.protect
        assert "annotations" not in node.body["metadata"]

    def test_several_renderings_and_plain_files_stand_side_by_side(self, load_here):
        files = {
            **OVERLAY,
            **CHART,
            "shop/two/kustomization.yaml": "resources: [a.yaml]\nnamePrefix: two-\n",
            "shop/two/a.yaml": CONFIG,
            "shop/plain.yaml": CONFIG.replace("conf", "plain"),
            "shop/values-prod.yaml": "size: 2\n",
        }
        render = """\
  render:
    - kustomize: {path: over}
    - kustomize: {path: two}
    - helm: {chart: web, values: [values-prod.yaml]}
"""
        found = load_here(files, render)
        names = {"conf", "plain", "prod-conf", "two-conf"}
        assert {node.name for node in found.values() if node.address.kind == "ConfigMap"} == names

    def test_the_path_can_hold_a_variable(self, load_here, head):
        render = "  render: {kustomize: {path: 'over-${{ vars.replicas }}'}}\n  exclude: [over-2]\n"
        files = {
            f"shop/over-{n}/kustomization.yaml": f"resources: [a.yaml]\nnamePrefix: a{n}-\n" for n in (2, 3)
        }
        files |= {f"shop/over-{n}/a.yaml": CONFIG for n in (2, 3)}
        assert list(load_here(files, render)) == ["ConfigMap/a3-conf"]

    def test_the_kustomize_in_kubectl_gives_the_same(self, load_here, monkeypatch, tmp_path):
        kubectl = tmp_path / "bin" / "kubectl"
        kubectl.parent.mkdir()
        real = os.environ["TRUEUP_KUSTOMIZE"]
        kubectl.write_text(f'#!/bin/sh\n[ "$1" = kustomize ] && shift && exec {real} build "$@"\n')
        kubectl.chmod(0o755)
        before = load_here(OVERLAY, KUSTOMIZE)
        monkeypatch.delenv("TRUEUP_KUSTOMIZE")
        monkeypatch.setenv("PATH", f"{kubectl.parent}:/usr/bin:/bin")
        assert {name: node.body for name, node in load_here(OVERLAY, KUSTOMIZE).items()} == {
            name: node.body for name, node in before.items()
        }


def test_a_missing_program_is_an_error_at_the_rendering(load_here, monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ManifestError) as error:
        load_here(OVERLAY, KUSTOMIZE)
    (problem,) = error.value.problems
    assert str(problem.place) == "stack.yaml:7:23"
    assert "neither kustomize nor kubectl on PATH" in problem.message
    assert "install" in problem.hint


@pytest.mark.usefixtures("tools")
@pytest.mark.usefixtures("tools")
def test_files_that_cannot_be_written_for_a_tool_are_a_problem_of_the_stack(
    catalog, memory_tree, head, monkeypatch, tmp_path
):
    files = {name.removeprefix("shop/"): text for name, text in CHART.items()}
    files |= {"stack.yaml": head + HELM}
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    with pytest.raises(ManifestError, match=r"cannot be written below .*: File name too long") as error:
        load_stack(memory_tree({**files, f"web/{'/'.join(['x' * 250] * 17)}": "a"}), catalog)
    assert error.value.problems[0].place.file == "stack.yaml"
    assert list(tmp_path.iterdir()) == []
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "missing"))
    with pytest.raises(ManifestError, match=r"cannot be written below .*: No such file or directory"):
        load_stack(memory_tree(files), catalog)


@pytest.mark.parametrize(
    "settings",
    [
        "helm: {chart: 'oci://u:canary@e.com/x', version: 1.0.0, network: true}",
        "helm: {chart: 'https://u:canary@e.com/x'}",
        "helm: {chart: web, values: ['https://u:canary@e.com/x']}",
        "kustomize: {path: 'https://u:canary@e.com/x'}",
    ],
)
def test_a_password_in_an_url_is_not_repeated(load_here, settings):
    with pytest.raises(ManifestError, match=r"//\*\*\*@e.com/x") as error:
        load_here(CHART, f"  render: {{{settings}}}\n")
    assert "canary" not in str(error.value)


@pytest.mark.usefixtures("tools")
def test_a_file_too_deep_for_a_tool_is_refused(catalog, memory_tree, head):
    files = {name.removeprefix("shop/"): text for name, text in CHART.items()}
    files |= {"stack.yaml": head + HELM, f"web/{'a/' * 300}b.txt": "b"}
    with pytest.raises(SourceError, match="cannot be given to a tool"):
        load_stack(memory_tree(files), catalog)


def test_nothing_is_left_of_what_the_tools_got(load_here, monkeypatch, tmp_path):
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(folder))
    load_here(OVERLAY, KUSTOMIZE)
    with pytest.raises(ManifestError):
        load_here({"base/a.yaml": "a: [b"}, KUSTOMIZE)
    assert list(folder.iterdir()) == []


class TestCache:
    def test_a_second_rendering_starts_no_process(self, load_here, counted):
        first = load_here(OVERLAY, KUSTOMIZE)
        assert counted() == 1
        assert load_here({}, KUSTOMIZE) == first
        assert counted() == 0

    def test_a_change_of_other_files_of_the_source_starts_none(self, load_here, counted):
        load_here(OVERLAY, KUSTOMIZE)
        counted()
        changed = {"other/c.yaml": "two", "shop/a.yaml": CONFIG.replace("conf", "plain"), "new/d.yaml": "x"}
        load_here(changed, f"  interval: 1h\n{KUSTOMIZE}")
        assert counted() == 0

    def test_a_change_of_a_file_that_is_read_renders_again(self, load_here, counted):
        load_here(OVERLAY, KUSTOMIZE)
        counted()
        for name in ("base/key.env", "base/a.yaml", "shop/over/kustomization.yaml"):
            changed = OVERLAY[name].replace("canary", "other").replace("a: b", "a: c").replace("prod", "dev")
            load_here({name: changed}, KUSTOMIZE)
            assert counted() == 1, name

    def test_a_failure_is_not_kept(self, load_here, counted):
        for _ in range(2):
            with pytest.raises(ManifestError):
                load_here({**OVERLAY, "base/a.yaml": "a: [b"}, KUSTOMIZE)
            assert counted() == 1

    def test_helm_renders_again_for_other_values_alone(self, load_here, counted):
        values = "  render: {helm: {chart: web, values: [values.yaml], set: {size: SIZE}}}\n"
        files = {**CHART, "shop/values.yaml": "colour: blue\n", "shop/other.json": "{}"}
        files["shop/other.json"] = '{"apiVersion": "v1", "kind": "A", "metadata": {"name": "a"}}'
        load_here(files, values.replace("SIZE", "1"))
        assert counted() == 1
        load_here({}, values.replace("SIZE", "2"))
        assert counted() == 1
        load_here({"shop/values.yaml": "colour: green\n"}, values.replace("SIZE", "2"))
        assert counted() == 1
        load_here(
            {"shop/other.json": files["shop/other.json"].replace('"a"', '"b"')}, values.replace("SIZE", "1")
        )
        load_here({"shop/values.yaml": "colour: blue\n"}, values.replace("SIZE", "1"))
        assert counted() == 1


@pytest.mark.usefixtures("tools")
class TestHelm:
    def test_values_come_from_the_chart_then_from_files_then_from_the_stack(self, load_here):
        values = "values: [../v.yaml], set: {size: '${{ vars.replicas }}'}"
        render = f"  render: {{helm: {{chart: web, namespace: ns, {values}}}}}\n"
        (node,) = load_here({**CHART, "v.yaml": "colour: blue\nsize: 2\n"}, render).values()
        assert node.body["data"] == {"colour": "blue", "size": "3", "release": "shop", "namespace": "ns"}
        assert str(node.place).startswith("web/templates/a.yaml (helm: ConfigMap conf):")

    def test_a_chart_beside_the_stack_file_is_rendered_by_itself(self, load_here):
        files = {name.replace("/web", ""): text for name, text in CHART.items()}
        (node,) = load_here(files).values()
        assert node.body["data"]["namespace"] == "default"
        assert node.namespace == ""

    def test_the_namespace_of_the_cluster_is_the_one_of_the_release(self, load_here, head):
        files = {
            "shop/stack.yaml": head.replace("kubernetes}", "kubernetes, config: {namespace: there}}") + HELM
        }
        (node,) = load_here({**CHART, **files}).values()
        assert (node.body["data"]["namespace"], node.namespace) == ("there", "")

    def test_what_looks_like_an_expression_in_a_chart_is_text(self, load_here):
        text = CONFIG.replace("a: b", "a: '{{ \"${{ vars.replicas }}\" }}', b: '{{ \"$${{ x\" }}'")
        (node,) = load_here({**CHART, "shop/web/templates/a.yaml": text}, HELM).values()
        assert node.body["data"] == {"a": "${{ vars.replicas }}", "b": "$${{ x"}

    def test_objects_go_into_the_namespace_of_the_release_as_an_installation_puts_them(self, load_here):
        crd = "apiVersion: apiextensions.k8s.io/v1\nkind: CustomResourceDefinition\n"
        crd += "metadata: {name: foos.e.com}\n"
        crd += "spec: {group: e.com, scope: Cluster, names: {kind: Foo}}\n"
        kinds = [("v1", "Secret"), ("rbac.authorization.k8s.io/v1", "ClusterRole"), ("e.com/v1", "Foo")]
        kinds += [
            ("e.com/v1", "Bar"),
            ("c.io/v1", "Issuer"),
            ("v1", "Namespace"),
            ("ssh.trueup.dev/v1", "Service"),
        ]
        text = "".join(f"---\napiVersion: {v}\nkind: {k}\nmetadata: {{name: x}}\n" for v, k in kinds)
        text += "---\napiVersion: v1\nkind: Pod\nmetadata: {name: x, namespace: own}\n"
        files = {**CHART, "shop/web/crds/c.yaml": crd, "shop/web/templates/a.yaml": text}
        render = "  render: {helm: {chart: web, namespace: ns, clusterScoped: [Issuer]}}\n"
        render += (
            "  targets: [{name: prod, provider: kubernetes}, {name: w, provider: ssh, config: {host: h}}]\n"
        )
        files["shop/stack.yaml"] = (
            "apiVersion: trueup.dev/v1\nkind: Stack\nmetadata: {name: shop}\nspec:\n" + render
        )
        found = {name: node.body["metadata"].get("namespace") for name, node in load_here(files).items()}
        assert found == {
            "CustomResourceDefinition/foos.e.com": None,
            "Secret/x": "ns",
            "ClusterRole/x": None,
            "Foo/x": None,
            "Bar/x": "ns",
            "Issuer/x": None,
            "Namespace/x": None,
            "Service/x": None,
            "Pod/x": "own",
        }

    def test_what_helm_would_leave_alone_is_kept(self, load_here):
        def one(kind, annotations):
            return (
                f"---\napiVersion: v1\nkind: {kind}\nmetadata: {{name: x, annotations: {{{annotations}}}}}\n"
            )

        text = one("A", "helm.sh/resource-policy: keep") + one("B", "a: b")
        text += one("C", "helm.sh/resource-policy: keep, trueup.dev/lifecycle: '{onDelete: delete}'")
        crd = "apiVersion: apiextensions.k8s.io/v1\nkind: CustomResourceDefinition\nmetadata: {name: x}\n"
        # helm names the file only before the first of its documents.
        crd += "---\napiVersion: v1\nkind: D\nmetadata: {name: x}\n"
        found = load_here({**CHART, "shop/web/crds/c.yaml": crd, "shop/web/templates/a.yaml": text}, HELM)
        assert {node.address.kind: str(node.lifecycle.on_delete) for node in found.values()} == {
            "A": "orphan",
            "B": "delete",
            "C": "delete",
            "CustomResourceDefinition": "orphan",
            "D": "orphan",
        }

    @pytest.mark.parametrize(
        ("hooks", "expected"), [("apply", ["conf", "migrate"]), ("skip", ["conf"])], ids=["apply", "skip"]
    )
    def test_hooks_are_what_the_stack_says(self, load_here, hooks, expected):
        text = CHART["shop/web/templates/a.yaml"]
        for name, moments in (
            ("migrate", "pre-install, pre-upgrade"),
            ("clean", "pre-delete"),
            ("t", "test"),
        ):
            text += HOOK.format(name=name, moments=moments)
        render = f"  render: {{helm: {{chart: web, hooks: {hooks}}}}}\n"
        found = load_here({**CHART, "shop/web/templates/a.yaml": text}, render)
        assert sorted(node.name for node in found.values()) == expected

    def test_hooks_of_other_moments_and_tests_need_no_word(self, load_here):
        files = {**CHART, "shop/web/templates/b.yaml": HOOK.format(name="x", moments="post-delete,test")}
        assert list(load_here(files, HELM)) == ["ConfigMap/conf"]

    def test_a_chart_of_the_source_can_be_depended_on(self, load_here):
        files = {
            **CHART,
            "shop/web/Chart.yaml": CHART["shop/web/Chart.yaml"]
            + "dependencies: [{name: lib, version: ^1.0.0, repository: 'file://../../lib', alias: other}]\n",
            "lib/Chart.yaml": "apiVersion: v2\nname: lib\nversion: 1.2.3\n"
            "dependencies: [{name: deep, version: ^1.0.0, repository: 'file://../deep'}]\n",
            "lib/templates/a.yaml": CONFIG.replace("conf", '{{ .Chart.Name }}-{{ include "deep" . }}'),
            "deep/Chart.yaml": "apiVersion: v2\nname: deep\nversion: 1.0.0\ntype: library\n",
            "deep/templates/_a.tpl": '{{ define "deep" }}down{{ end }}',
        }
        found = load_here(files, HELM)
        assert set(found) == {"ConfigMap/conf", "ConfigMap/other-down"}
        assert found["ConfigMap/other-down"].place.file.startswith("../lib/templates/a.yaml (helm: ")

    def test_a_chart_reads_nothing_but_itself(self, load_here, monkeypatch):
        monkeypatch.setenv("CANARY", "canary")
        files = {
            **CHART,
            "shop/secret.txt": "canary",
            "shop/web/templates/a.yaml": CONFIG.replace(
                "a: b",
                'a: \'{{ .Files.Get "../secret.txt" }}{{ .Files.Get "/etc/hostname" }}\', '
                'b: \'{{ lookup "v1" "Node" "" "" | len }}\', c: \'{{ getHostByName "localhost" }}\'',
            ),
        }
        (node,) = load_here(files, HELM).values()
        assert node.body["data"] == {"a": "", "b": "0", "c": ""}
        files["shop/web/templates/a.yaml"] = 'a: {{ env "CANARY" }}\n'
        with pytest.raises(ManifestError, match='function "env" not defined'):
            load_here(files, HELM)

    def test_numbers_and_words_mean_what_they_mean_to_kubectl(self, load_here):
        text = "apiVersion: v1\nkind: A\nmetadata: {name: a}\n"
        text += "spec: {mode: 0644, a: yes, b: off, c: 'no', d: \"0644\", e: '0'}\n"
        (node,) = load_here({**CHART, "shop/web/templates/a.yaml": text}, HELM).values()
        assert node.body["spec"] == {"mode": 420, "a": True, "b": False, "c": "no", "d": "0644", "e": "0"}

    def test_an_empty_rendering_can_be_meant(self, load_here):
        files = {**CHART, "shop/web/templates/a.yaml": "{{ if false }}a{{ end }}"}
        assert load_here(files, f"{HELM}  allowEmpty: true\n") == {}
