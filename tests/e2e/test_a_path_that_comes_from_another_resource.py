"""A file whose path comes from another resource: from its spec at once, from its status once it exists."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from trueup.app import App, SourceSpec
from trueup.errors import ManifestError
from trueup.model.outcome import RunStatus
from trueup.reconcile.report import RunReport


@pytest.fixture
def app(tmp_path: Path) -> Iterator[App]:
    with App(str(tmp_path / "store.db")) as app:
        yield app


def write(folder: Path) -> SourceSpec:
    stack = folder / "stack"
    stack.mkdir()
    config = {"connection": "local", "stateDir": str(folder / "host")}
    spec = {"targets": [{"name": "here", "provider": "ssh", "config": config}]}
    head = {"apiVersion": "trueup.dev/v1", "kind": "Stack", "metadata": {"name": "local"}, "spec": spec}
    (stack / "stack.yaml").write_text(yaml.safe_dump(head))
    resources = [
        ("Directory", "www", {"path": str(folder / "www")}),
        ("File", "a", {"path": "${{ ref('Directory/www').spec.path }}/a", "content": "a\n"}),
        (
            "File",
            "b",
            {
                "path": "${{ ref('Directory/www').spec.path }}/${{ ref('File/a').status.sha256 }}",
                "content": "beside ${{ ref('File/a').status.sha256 }}\n",
            },
        ),
    ]
    documents = [
        {"apiVersion": "ssh.trueup.dev/v1", "kind": kind, "metadata": {"name": name}, "spec": spec}
        for kind, name, spec in resources
    ]
    (stack / "files.yaml").write_text(yaml.safe_dump_all(documents))
    return SourceSpec(str(stack))


def results(report: RunReport) -> dict[str, str]:
    return {outcome.address.name: outcome.result.value for outcome in report.outcomes}


def test_it_converges_rests_is_corrected_and_destroyed(app: App, tmp_path: Path) -> None:
    source = write(tmp_path)
    fields = {field.path: str(field.after) for change in app.plan(source).changes for field in change.fields}
    assert fields["/spec/path"] == "(known after apply)"
    report = app.reconcile(source)
    assert results(report) == {"www": "created", "a": "created", "b": "created"}
    (named_by_hash,) = [path for path in (tmp_path / "www").iterdir() if path.name != "a"]
    content = f"beside {named_by_hash.name}\n"
    assert named_by_hash.read_text() == content

    report = app.reconcile(source)
    assert report.status is RunStatus.CONVERGED
    assert set(results(report).values()) == {"unchanged"}

    named_by_hash.write_text("by hand\n")
    (change,) = [change for change in app.plan(source).changes if change.fields]
    assert [(field.before, field.after) for field in change.fields] == [("by hand\n", content)]
    assert results(app.reconcile(source))["b"] == "updated"
    assert named_by_hash.read_text() == content

    assert app.destroy(source, confirm=lambda _plan: True).status is RunStatus.CONVERGED
    assert not (tmp_path / "www").exists()


def declare_double(folder: Path, path: str) -> None:
    document = {
        "apiVersion": "ssh.trueup.dev/v1",
        "kind": "File",
        "metadata": {"name": "double"},
        "spec": {"path": path, "content": "other\n"},
    }
    (folder / "stack" / "double.yaml").write_text(yaml.safe_dump(document))


def test_two_files_with_one_path_are_refused_before_anything_is_looked_at(app: App, tmp_path: Path) -> None:
    source = write(tmp_path)
    declare_double(tmp_path, "${{ ref('File/a').spec.path }}")
    with pytest.raises(ManifestError, match="File/a is the same object as File/double"):
        app.reconcile(source)


def test_a_file_that_turns_out_to_be_another_one_is_refused(app: App, tmp_path: Path) -> None:
    source = write(tmp_path)
    app.reconcile(source)
    before = sorted(path.read_text() for path in (tmp_path / "www").iterdir())
    declare_double(tmp_path, "${{ ref('Directory/www').spec.path }}/${{ ref('File/a').status.sha256 }}")
    report = app.reconcile(source)
    assert results(report) == {"www": "unchanged", "a": "unchanged", "b": "unchanged", "double": "failed"}
    messages = {outcome.address.name: outcome.message for outcome in report.outcomes}
    assert "local/File/b@here" in messages["double"]
    assert sorted(path.read_text() for path in (tmp_path / "www").iterdir()) == before
