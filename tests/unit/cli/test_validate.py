from __future__ import annotations

import json
from pathlib import Path

import pytest
from tests.unit.reconcile.test_plan_document import check

from trueup.cli import run


def test_a_valid_stack_is_counted(stack: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["validate", str(stack)]) == 0
    assert capsys.readouterr().out == "shop: 2 resources on 1 target are valid\n"


def test_all_problems_are_shown_with_their_places(stack: Path, capsys: pytest.CaptureFixture[str]) -> None:
    site = stack / "site.yaml"
    site.write_text(site.read_text().replace("kind: File", "kind: Fiel").replace("spec: {path", "spec: {pth"))
    assert run(["validate", str(stack)]) == 1
    shown = capsys.readouterr()
    assert shown.out == ""
    places = [line.split(": ")[0] for line in shown.err.splitlines() if line.startswith("site.yaml:")]
    assert len(places) >= 2


def test_as_json_the_problems_fit_their_schema(stack: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["validate", str(stack), "-o", "json"]) == 0
    valid = json.loads(capsys.readouterr().out)
    check(valid, "validate-v1")
    assert valid["resources"] == 2
    (stack / "site.yaml").write_text("kind: File\n")
    assert run(["validate", str(stack), "-o", "json"]) == 1
    document = json.loads(capsys.readouterr().out)
    check(document, "problems-v1")
    assert document["problems"][0]["file"] == "site.yaml"


def test_it_opens_no_store(stack: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRUEUP_STORE", "nothing://here")
    assert run(["validate", str(stack)]) == 0
