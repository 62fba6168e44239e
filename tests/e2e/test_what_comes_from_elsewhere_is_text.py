"""A live system, another stack, a secret and a values file hold what looks like code: it arrives as text.

Each of them is put into every place that evaluates something: expressions, templates, modules, helm and
kustomize. What stands in it must not be evaluated, not even once.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from trueup.app import App, SourceSpec
from trueup.model.outcome import Result, RunStatus
from trueup.model.values import reveal
from trueup.sdk import Document, Target
from trueup.sdk.testing.memory import MemoryCatalog, MemoryProvider, Thing
from trueup.sdk.testing.memory_world import Entry
from trueup_kubernetes.provider import KubernetesProvider
from trueup_ssh.kinds.file import File
from trueup_ssh.provider import SshProvider

CODE = (
    '${{ secret("env:TREASURE") }} $${{ vars.plain }} {{ treasure }} {% raw %} {# x #} {{ .Release.Name }} '
    "$(touch trace) `touch trace` <%= 1 %> &amp; \\1 %s"
)
PLACES = ("expression", "whole", "template", "module")
ORIGINS = {
    "live": 'ref("Told/host").status.motd',
    "stack": 'stack("other").motd',
    "secret": 'secret("env:HOSTILE")',
    "value": "vars.hostile",
}


CONFIG = "apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: {name}}}\ndata:\n"


class Told(Thing):
    """Something that says of itself whatever it likes."""

    name = "Told"

    def _body(self, name: str, namespace: str, entry: Entry) -> Document:
        body = super()._body(name, namespace, entry)
        return {**body, "status": {**body["status"], "motd": CODE}}


class TellingProvider(MemoryProvider):
    def __init__(self) -> None:
        super().__init__()
        told = Told()
        self._by_name[told.api_version, told.name] = told


def write(folder: Path, name: str, spec: dict[str, Any], *resources: dict[str, Any]) -> SourceSpec:
    """A stack in a directory of its own."""
    place = folder / name
    place.mkdir(exist_ok=True)
    stack = {"apiVersion": "trueup.dev/v1", "kind": "Stack", "metadata": {"name": name}, "spec": spec}
    (place / "stack.yaml").write_text(yaml.safe_dump(stack))
    (place / "resources.yaml").write_text(yaml.safe_dump_all(resources))
    return SourceSpec(str(place), values=("given.yaml",) if (place / "given.yaml").exists() else ())


def file(name: str, path: str, **spec: Any) -> dict[str, Any]:
    head = {"apiVersion": "ssh.trueup.dev/v1", "kind": "File", "metadata": {"name": name}}
    return {**head, "targets": {"names": ["here"]}, "spec": {"path": path, **spec}}


def resources_of(origin: str, call: str, out: Path) -> Iterator[dict[str, Any]]:
    """The text of one origin in each place that evaluates something."""
    text = f"${{{{ {call} }}}}"
    yield file(f"{origin}-expression", f"{out}/{origin}-expression", content=f"<{text}>")
    yield file(f"{origin}-whole", f"{out}/{origin}-whole", content=f'${{{{ "<" + {call} + ">" }}}}')
    template = "<{{ data }}>"
    yield file(f"{origin}-template", f"{out}/{origin}-template", template=template, data={"data": text})
    yield {
        "apiVersion": "trueup.dev/v1",
        "kind": "Module",
        "metadata": {"name": f"{origin}-module"},
        "spec": {"source": "../module", "inputs": {"text": text, "path": f"{out}/{origin}-module"}},
    }


@pytest.fixture
def app(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[App]:
    monkeypatch.setenv("HOSTILE", CODE)
    monkeypatch.setenv("TREASURE", "treasure-7c1e")
    catalog = MemoryCatalog(TellingProvider(), SshProvider(), KubernetesProvider())
    with App(str(tmp_path / "store.db"), catalog=catalog) as app:
        yield app


def test_it_reaches_a_file_as_it_is(app: App, tmp_path: Path) -> None:
    out, module = tmp_path / "out", tmp_path / "module"
    (tmp_path / ".git").mkdir()
    for folder in (out, module, tmp_path / "shop"):
        folder.mkdir()
    (tmp_path / "shop/given.yaml").write_text(json.dumps({"hostile": CODE, "items": {"a": CODE}}))
    head = {"apiVersion": "trueup.dev/v1", "kind": "Module", "metadata": {"name": "module"}}
    inputs = {"text": {"type": "string"}, "path": {"type": "string"}}
    (module / "module.yaml").write_text(yaml.safe_dump({**head, "spec": {"inputs": inputs}}))
    inside = file("f", "${{ vars.path }}", template="<{{ data }}>", data={"data": "${{ vars.text }}"})
    del inside["targets"]
    (module / "f.yaml").write_text(yaml.safe_dump(inside))
    memory = {"name": "world", "provider": "memory"}
    here = {"name": "here", "provider": "ssh"}
    config = {"connection": "local", "stateDir": str(tmp_path / "state")}
    told = {"apiVersion": "memory.trueup.dev/v1", "kind": "Told", "targets": {"names": ["world"]}, "spec": {}}
    outputs = {"motd": '${{ ref("Told/other").status.motd }}'}
    spec: dict[str, Any] = {"targets": [memory], "outputs": outputs}
    other = write(tmp_path, "other", spec, {**told, "metadata": {"name": "other"}})
    resources = [each for name, call in ORIGINS.items() for each in resources_of(name, call, out)]
    for each in resources:
        each.setdefault("targets", {"names": ["here"]})
    items = file("item-${{ each.key }}", f"{out}/value-each", content="<${{ each.value }}>")
    items["forEach"] = "${{ vars.items }}"
    variables = {
        "hostile": {"type": "string"},
        "items": {"type": "map(string)"},
        "plain": {"default": "plain"},
    }
    spec = {
        "targets": [memory, {**here, "config": config}],
        "variables": variables,
        "exclude": ["given.yaml"],
    }
    shop = write(tmp_path, "shop", spec, {**told, "metadata": {"name": "host"}}, items, *resources)
    assert app.reconcile(other).status is RunStatus.CONVERGED
    report = app.reconcile(shop)
    assert report.status is RunStatus.CONVERGED, [outcome.message for outcome in report.outcomes]
    names = [f"{origin}-{place}" for origin in ORIGINS for place in PLACES]
    found = {path.name: path.read_text() for path in out.iterdir()}
    assert found == dict.fromkeys([*names, "value-each"], f"<{CODE}>")
    assert "treasure-7c1e" not in "".join(found.values())
    again = app.reconcile(shop)
    assert {outcome.result for outcome in again.outcomes} == {Result.UNCHANGED}
    session = SshProvider().connect(Target("here", "ssh", config=config), "")
    at_host = [each for each in app.store.inventory("shop") if each.kind == "File"]
    owned = list(File().find_owned(session, f"{app.store.installation}/shop"))
    assert sorted(each.owner.address for each in owned) == sorted(address.text for address in at_host)
    session.close()


def test_it_goes_through_helm_and_kustomize_as_it_is(
    app: App, tmp_path: Path, kustomize_binary: Path, helm_binary: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TRUEUP_KUSTOMIZE", str(kustomize_binary))
    monkeypatch.setenv("TRUEUP_HELM", str(helm_binary))
    files = {
        "chart/Chart.yaml": "apiVersion: v2\nname: chart\nversion: 1.0.0\n",
        "chart/templates/a.yaml": CONFIG.format(name="chart")
        + "  by-set: {{ .Values.bySet | quote }}\n  by-file: {{ .Values.byFile | quote }}\n",
        "helm.yaml": json.dumps({"byFile": CODE}),
        "over/kustomization.yaml": "resources: [a.yaml]\n",
        "over/a.yaml": CONFIG.format(name="over") + "  by-value: ${{ vars.hostile }}\n",
        "given.yaml": json.dumps({"hostile": CODE}),
    }
    for name, text in files.items():
        path = tmp_path / "rendered" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    helm = {"chart": "chart", "set": {"bySet": "${{ vars.hostile }}"}, "values": ["helm.yaml"]}
    spec = {
        "targets": [{"name": "prod", "provider": "kubernetes"}],
        "variables": {"hostile": {"type": "string"}},
        "render": [{"helm": helm}, {"kustomize": {"path": "over"}}],
        "exclude": ["given.yaml", "resources.yaml"],
    }
    loaded = app.load(write(tmp_path, "rendered", spec))
    bodies = [reveal(node.body) for node in loaded.graph.nodes.values()]
    data = {key: text for body in bodies for key, text in body["data"].items()}
    assert data == {"by-set": CODE, "by-file": CODE, "by-value": CODE}
