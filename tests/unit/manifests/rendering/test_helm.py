"""Charts and dependencies of a repository, from a real one on loopback."""

from __future__ import annotations

import hashlib
import http.server
import json
import os
import subprocess
import threading
from functools import partial

import pytest

from trueup.errors import ManifestError
from trueup.manifests.load import load_stack

LIBRARY = {
    "lib/Chart.yaml": "apiVersion: v2\nname: lib\nversion: 1.2.0\n",
    "lib/templates/a.yaml": "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: '{{ .Release.Name }}-lib'}\n",
}
WEB = """apiVersion: v2
name: web
version: 1.0.0
dependencies: [{name: lib, version: ^1.0.0, repository: 'URL'}]
"""


@pytest.fixture
def repository(helm_binary, tools, tmp_path):
    """The URL of a repository that has the chart `lib`, and the list of what was asked for."""
    top = tmp_path / "repository"
    for name, text in LIBRARY.items():
        (top / name).parent.mkdir(parents=True, exist_ok=True)
        (top / name).write_text(text)
    asked = []

    class Handler(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *_):
            asked.append(self.path)

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), partial(Handler, directory=str(top)))
    url = f"http://127.0.0.1:{server.server_address[1]}"
    environment = {**os.environ, "HOME": str(tmp_path)}
    for words in (["package", "lib"], ["repo", "index", ".", "--url", url]):
        subprocess.run([helm_binary, *words], cwd=top, check=True, env=environment, capture_output=True)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield url, asked
    server.shutdown()
    thread.join(30)
    server.server_close()


@pytest.fixture
def names(catalog, memory_tree, head):
    def _names(files, render):
        nodes = load_stack(memory_tree({"stack.yaml": head + render, **files}), catalog, may_fetch=True).nodes
        return [node.name for node in nodes]

    return _names


def test_a_chart_of_a_repository_is_fetched_once(repository, names):
    url, asked = repository
    render = f"  render: {{helm: {{chart: lib, repo: '{url}', version: 1.2.0, network: true}}}}\n"
    assert names({}, render) == ["shop-lib"]
    assert asked
    asked.clear()
    assert names({}, render) == ["shop-lib"]
    assert asked == []


def test_charts_of_the_source_and_of_a_repository_can_be_mixed(repository, names, helm_binary, tmp_path):
    url, _asked = repository
    other = "apiVersion: v2\nname: other\nversion: 1.0.0\n"
    template = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: other}\n"
    chart = WEB.replace("URL", url).replace(
        "}]", "}, {name: other, version: ^1.0.0, repository: 'file://../other'}]"
    )
    written = {"web/Chart.yaml": chart, "other/Chart.yaml": other, "other/templates/a.yaml": template}
    for name, text in written.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    environment = {**os.environ, "HOME": str(tmp_path)}
    command = [helm_binary, "dependency", "update", "."]
    subprocess.run(command, cwd=tmp_path / "web", check=True, env=environment, capture_output=True)
    files = {**written, "web/Chart.lock": (tmp_path / "web/Chart.lock").read_text()}
    render = "  render: {helm: {chart: web, network: true}}\n  exclude: [other]\n"
    assert sorted(names(files, render)) == ["other", "shop-lib"]
    files["other/Chart.yaml"] += (
        "dependencies: [{name: deep, version: ^1.0.0, repository: 'file://../deep'}]\n"
    )
    files["deep/Chart.yaml"] = other.replace("other", "deep")
    with pytest.raises(ManifestError, match='the dependency "deep" of a dependency is not in charts/'):
        names(files, render.replace("[other]", "[other, deep]"))


def test_a_chart_that_depends_on_itself_is_an_error(tools, names):
    chart = WEB.replace("URL", "file://../web").replace("lib", "web")
    with pytest.raises(ManifestError, match="nested too deeply, or depends on itself"):
        names({"web/Chart.yaml": chart}, "  render: {helm: {chart: web}}\n")


def test_dependencies_that_multiply_are_an_error_before_they_fill_the_memory(tools, names):
    chart = "apiVersion: v2\nname: NAME\nversion: 1.0.0\ndependencies:\n" + "".join(
        f"  - {{name: n{number}, version: 1.0.0, repository: file://../lib}}\n" for number in range(8)
    )
    files = {f"{name}/Chart.yaml": chart.replace("NAME", name) for name in ("web", "lib")}
    with pytest.raises(ManifestError, match="come to more than 500 charts"):
        names(files, "  render: {helm: {chart: web}}\n  exclude: [lib]\n")


def test_a_version_that_is_not_there_is_an_error(repository, names):
    url, _asked = repository
    with pytest.raises(ManifestError, match=r'chart "lib" version "9\.9\.9" not found') as error:
        names({}, f"  render: {{helm: {{chart: lib, repo: '{url}', version: 9.9.9, network: true}}}}\n")
    assert error.value.problems[0].place.file == "lib"


def test_dependencies_are_fetched_as_the_lock_file_says(repository, names, helm_binary, tmp_path):
    url, asked = repository
    chart = tmp_path / "web"
    chart.mkdir()
    (chart / "Chart.yaml").write_text(WEB.replace("URL", url))
    environment = {**os.environ, "HOME": str(tmp_path)}
    subprocess.run(
        [helm_binary, "dependency", "update", "."],
        cwd=chart,
        check=True,
        env=environment,
        capture_output=True,
    )
    files = {f"web/{name}": (chart / name).read_text() for name in ("Chart.yaml", "Chart.lock")}
    asked.clear()
    assert names(files, "  render: {helm: {chart: web, network: true}}\n") == ["shop-lib"]
    assert "/lib-1.2.0.tgz" in asked
    asked.clear()
    with pytest.raises(ManifestError, match="the stack does not allow to fetch it"):
        names(files, "  render: {helm: {chart: web}}\n")
    packed = {"web/charts/lib-1.2.0.tgz": (chart / "charts/lib-1.2.0.tgz").read_bytes()}
    assert names({**files, **packed}, "  render: {helm: {chart: web}}\n") == ["shop-lib"]
    assert asked == []


def lock_of(declared, locked):
    """A lock file that helm takes for the one of these dependencies, although it names others."""
    text = json.dumps([declared, locked], separators=(",", ":"))
    lock = {"dependencies": locked, "digest": f"sha256:{hashlib.sha256(text.encode()).hexdigest()}"}
    return json.dumps({**lock, "generated": "2020-01-01T00:00:00Z"})


@pytest.mark.parametrize("is_vendored", [False, True])
def test_a_lock_file_leads_nowhere_that_the_chart_does_not_name(repository, names, tmp_path, is_vendored):
    url, asked = repository
    for name, text in LIBRARY.items():
        file = tmp_path / "private" / name.replace("lib/", "")
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text.replace("-lib", "-canary"))
    elsewhere = f"file://{tmp_path}/private"
    lib = {"name": "lib", "version": "1.2.0", "repository": url}
    other = {"name": "other", "version": "1.2.0", "repository": elsewhere}
    # One that is in charts/ is fetched again with those that are not.
    declared = [lib, other] if is_vendored else [lib]
    locked = declared if is_vendored else [{**lib, "repository": elsewhere}]
    chart = {"apiVersion": "v2", "name": "web", "version": "1.0.0", "dependencies": declared}
    files = {
        "web/Chart.yaml": json.dumps(chart),
        "web/Chart.lock": lock_of(declared, locked),
        "web/charts/other/Chart.yaml": "apiVersion: v2\nname: other\nversion: 1.2.0\n",
    }
    with pytest.raises(ManifestError, match=r"web/Chart\.(lock|yaml):1:\d+: .*(lead|name)") as error:
        names(files, "  render: {helm: {chart: web, network: true}}\n")
    assert "helm: " not in str(error.value)
    assert asked == []


@pytest.mark.parametrize(
    ("dependencies", "field"),
    [
        ("Dependencies: [{name: lib, version: 1.0.0, repository: 'file:///srv'}]", "Dependencies"),
        ("dependencies: [{name: lib, version: 1.0.0, Repository: 'file:///srv'}]", "Repository"),
    ],
)
def test_a_key_in_other_letters_is_an_error_as_helm_would_take_it(tools, names, dependencies, field):
    chart = f"apiVersion: v2\nname: web\nversion: 1.0.0\n{dependencies}\n"
    files = {"web/Chart.yaml": chart, "web/charts/lib/Chart.yaml": LIBRARY["lib/Chart.yaml"]}
    with pytest.raises(ManifestError, match=f'web/Chart.yaml:4:.*there is no field "{field}" of a chart'):
        names(files, "  render: {helm: {chart: web, network: true}}\n")


def test_the_name_of_a_dependency_is_no_path(tools, names):
    chart = "apiVersion: v2\nname: NAME\nversion: 1.0.0\n"
    dependency = "dependencies: [{name: ../../other, version: 1.0.0, repository: file://../other}]\n"
    files = {
        "web/Chart.yaml": chart.replace("NAME", "web") + dependency,
        "other/Chart.yaml": chart.replace("NAME", "other"),
    }
    with pytest.raises(ManifestError, match=r'web/Chart.yaml:4:23: "../../other" is not the name of a chart'):
        names(files, "  render: {helm: {chart: web}}\n  exclude: [other]\n")
