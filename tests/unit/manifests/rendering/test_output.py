"""What is read from what a tool printed, in the forms in which helm prints it."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
import yaml

from trueup.manifests.rendering import output
from trueup.manifests.rendering.settings import HelmJob

JOB = HelmJob("web")


def read(text: str):
    problems: list = []
    documents = output.read_helm(JOB, "web/Chart.yaml", text, lambda name: name, problems)
    return documents, [str(problem) for problem in problems]


def lifecycle(document) -> str | None:
    return document.value["metadata"].get("annotations", {}).get("trueup.dev/lifecycle")


def document(name: str, more: str = "") -> str:
    return f"apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: {name}{more}}}\n"


@pytest.mark.parametrize(
    ("file", "is_kept"),
    [
        ("web/crds/all.yaml", True),
        ("web/charts/sub/crds/templates/all.yaml", True),
        ("web/templates/crds/all.yaml", False),
        ("web/charts/sub/templates/all.yaml", False),
    ],
)
def test_every_document_of_a_file_in_crds_is_kept_when_the_chart_goes(file, is_kept):
    text = f"---\n# Source: {file}\n{document('one')}---\n{document('two')}"
    documents, problems = read(text)
    assert not problems
    assert [lifecycle(each) for each in documents] == ["{onDelete: orphan}" if is_kept else None] * 2
    assert [each.place.file for each in documents] == [
        f"{file} (helm: ConfigMap {name})" for name in ("one", "two")
    ]


def test_a_document_may_begin_behind_its_separator():
    inline = "{apiVersion: v1, kind: ConfigMap, metadata: {name: two}}"
    text = f"---\n# Source: web/crds/a.yaml\n{document('one')}--- {inline}\n"
    documents, problems = read(f"{text}---\t# three\n{document('three')}---\r\n{document('four')}")
    assert not problems
    assert [each.value["metadata"]["name"] for each in documents] == ["one", "two", "three", "four"]


@pytest.mark.parametrize("word", ["keep", " Keep "])
def test_what_helm_keeps_is_kept_in_any_spelling_that_helm_takes(word):
    (kept,), problems = read(document("one", f", annotations: {{helm.sh/resource-policy: '{word}'}}"))
    assert not problems
    assert lifecycle(kept) == "{onDelete: orphan}"


@pytest.mark.parametrize(
    ("given", "result"),
    [
        ("{timeout: 5m}", {"timeout": "5m", "onDelete": "orphan"}),
        ("timeout: 5m", {"timeout": "5m", "onDelete": "orphan"}),
        ("{}", {"onDelete": "orphan"}),
        ("{onDelete: delete}", {"onDelete": "delete"}),
    ],
)
def test_a_lifecycle_that_says_nothing_of_deletion_leaves_what_is_kept_kept(given, result):
    text = document(
        "one", f", annotations: {{helm.sh/resource-policy: keep, trueup.dev/lifecycle: '{given}'}}"
    )
    (kept,), problems = read(text)
    assert not problems
    assert yaml.safe_load(lifecycle(kept)) == result
    (kept,), problems = read(
        document("one", ", annotations: {helm.sh/resource-policy: keep}")
        + f"lifecycle: {json.dumps(yaml.safe_load(given))}\n"
    )
    assert not problems
    assert kept.value["lifecycle"] == result


def test_a_chart_cannot_call_a_module():
    call = "apiVersion: trueup.dev/v1\nkind: Module\nmetadata: {name: m}\nspec: {source: ../m}\n"
    documents, problems = read(f"---\n# Source: web/templates/a.yaml\n{call}")
    assert not documents
    assert problems == [
        "web/templates/a.yaml (helm: Module m):3:7: a chart cannot call a module\n"
        "  call the module in a file of the stack: expressions do not count in what a chart gives"
    ]


def test_a_chart_of_the_network_reaches_no_host():
    file = "apiVersion: ssh.trueup.dev/v1\nkind: File\nmetadata: {name: m}\nspec: {path: /etc/cron.d/x}\n"
    problems: list = []
    output.read_helm(replace(JOB, network=True), "web", file, lambda name: name, problems)
    assert str(problems[0]) == (
        "web (helm: File m):1:13: a resource of ssh.trueup.dev in what may come from the network\n"
        "  objects of Kubernetes alone may: write this one into a file of the stack"
    )
    assert read(file)[1] == []


def test_an_encrypted_resource_is_not_applied_as_it_stands():
    documents, problems = read(document("one") + "sops: {mac: x}\n")
    assert not documents
    assert "is encrypted with SOPS" in problems[0]


@pytest.mark.parametrize("kind", ["[]", "{a: b}", "3", "null"])
def test_a_document_with_no_kind_of_its_own_is_left_to_who_reads_resources(kind):
    problems: list = []
    text = f"apiVersion: v1\nkind: {kind}\nmetadata: {{name: a}}\n"
    (found,) = output.read_helm(replace(JOB, namespace="ns"), "web", text, lambda name: name, problems)
    assert not problems
    assert found.value["metadata"] == {"name": "a"}


def test_more_than_can_be_read_is_refused_before_it_is(monkeypatch):
    monkeypatch.setattr(output, "MAX_SEPARATORS", 10)
    monkeypatch.setattr(output, "MAX_ALL_SEPARATORS", 40)
    documents, problems = read(document("one") + "data: [1,2,3,4,5,6,7,8,9,10]\n")
    assert not documents
    assert problems == [
        "web/Chart.yaml: helm made more than 10 lines and commas of one resource\n"
        "  render less at once, in several stacks"
    ]
    assert "more than 40 lines and commas" in read(f"---\n{document('one')}" * 20)[1][0]
