from __future__ import annotations

from pathlib import Path

import pytest

from trueup.cli import run


def explain(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    assert run(["explain", *arguments]) == 0
    return capsys.readouterr().out


def test_a_kind_shows_its_fields_and_an_example(capsys: pytest.CaptureFixture[str]) -> None:
    output = explain(capsys, "File")
    assert output.startswith("KIND: File (ssh.trueup.dev/v1), provider ssh\n\n  A file with")
    assert "  path       string   required, create-only\n      Absolute path" in output
    assert "  mode       string   default: 0644\n" in output
    assert "  One of: content, template\n" in output
    assert output.endswith('    content: |\n      Managed by trueup.\n    mode: "0644"\n')


def test_one_field_is_explained_through_lists_and_maps(capsys: pytest.CaptureFixture[str]) -> None:
    output = explain(capsys, "AWS::SQS::Queue.spec.RedrivePolicy")
    assert "FIELD: spec.RedrivePolicy   map\n" in output
    assert "  deadLetterTargetArn  string             required\n" in output
    assert "FIELD: spec.targets.name   string   required\n" in explain(capsys, "Stack.spec.targets.name")


def test_the_last_part_of_a_long_name_will_do(capsys: pytest.CaptureFixture[str]) -> None:
    assert explain(capsys, "queue").startswith("KIND: AWS::SQS::Queue")


def test_a_name_of_two_kinds_needs_its_provider(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["explain", "Service"]) == 1
    assert "several kinds are named Service: kubernetes/Service, ssh/Service" in capsys.readouterr().err
    assert "systemd" in explain(capsys, "ssh/Service")
    assert "provider kubernetes" in explain(capsys, "v1/Service")


def test_a_kind_of_a_cluster_says_that_the_cluster_knows_more(capsys: pytest.CaptureFixture[str]) -> None:
    assert "add --source and --target" in explain(capsys, "example.com/v1/Widget")
    assert run(["explain", "Deployment.spec.strategy"]) == 1
    assert "add --source and --target" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("Fiel", 'did you mean "File"?'),
        ("Zyx", "for what else a cluster has, write apiVersion/Kind"),
        ("File.spec.contnt", 'did you mean "content"?'),
        ("File.nothing.at.all", "fields there: "),
    ],
)
def test_what_does_not_exist_is_told_with_what_does(
    name: str, hint: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["explain", name]) == 1
    assert hint in capsys.readouterr().err


def test_keys_of_trueup_are_explained_for_every_kind(capsys: pytest.CaptureFixture[str]) -> None:
    assert "  onDelete   delete | orphan\n" in explain(capsys, "Deployment.lifecycle")


@pytest.mark.parametrize("command", ["explain", "schema"])
def test_a_cluster_behind_a_secret_is_asked_without_a_store(
    command: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("KUBE", "kubeconfig-of-nobody")
    (tmp_path / "stack.yaml").write_text(
        "apiVersion: trueup.dev/v1\n"
        "kind: Stack\n"
        "metadata: {name: shop}\n"
        "spec:\n"
        "  targets:\n"
        "    - name: c\n"
        "      provider: kubernetes\n"
        f"      config: {{kubeconfig: '{tmp_path}/${{{{ secret(\"env:KUBE\") }}}}'}}\n"
    )
    (tmp_path / "a.yaml").write_text("apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a, namespace: b}\n")
    assert run([command, "Deployment", "--source", str(tmp_path), "--target", "c"]) == 1
    told = capsys.readouterr().err
    assert "kubeconfig" in told
    assert "store" not in told
    monkeypatch.delenv("KUBE")
    assert run([command, "Deployment", "--source", str(tmp_path), "--target", "c"]) == 1
    assert "the environment variable KUBE is not set" in capsys.readouterr().err


def test_all_kinds_are_listed_by_their_providers(capsys: pytest.CaptureFixture[str]) -> None:
    output = explain(capsys)
    assert output.startswith("trueup\n  trueup.dev/v1\n    Stack, Module\n\naws\n")
    assert "\nssh\n  ssh.trueup.dev/v1\n    Directory, File, " in output
    assert "\n  apps/v1\n" in output


def test_a_module_is_a_file_and_a_use_of_it(capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("Module", "module", "trueup.dev/v1/Module"):
        output = explain(capsys, name)
        assert "FILE: module.yaml" in output
        assert "\nKIND: Module (trueup.dev/v1), a use of a module\n" in output
    assert "module.yaml" not in explain(capsys, "Module.spec.source")
    assert explain(capsys, "Module.spec.inputs").count("FIELD: spec.inputs   ") == 2
    assert run(["explain", "Module.spec.sauce"]) == 1
    assert 'did you mean "source"?' in capsys.readouterr().err


def test_one_field_says_all_that_the_table_says(capsys: pytest.CaptureFixture[str]) -> None:
    assert "FIELD: spec.mode   string   default: 0644\n" in explain(capsys, "File.spec.mode")
    assert "FIELD: spec.path   string   required, create-only\n" in explain(capsys, "File.spec.path")
    assert "default: correct" in explain(capsys, "Stack.spec.drift")
    assert "default: correct" not in explain(capsys, "File.lifecycle.drift")


def test_texts_of_several_lines_stand_as_blocks(capsys: pytest.CaptureFixture[str]) -> None:
    output = explain(capsys, "v1/ConfigMap") + explain(capsys, "File") + explain(capsys, "AWS::SNS::Topic")
    assert "content: |\n      Managed" in output
    assert "\\n" not in output
