"""Which file a resource goes into, as a reviewer will see it."""

from __future__ import annotations

import pytest

from trueup.model.address import Address
from trueup.model.resource import Node, Stack, Target
from trueup.reconcile.discover import Found
from trueup.reconcile.lay_out import LONGEST_FILE, lay_out
from trueup.reconcile.propose import Proposal
from trueup.sdk import Discovered
from trueup.sdk.testing.memory import Thing

ONE = (Target("prod", "memory"),)
TWO = (*ONE, Target("../odd target", "memory"))


def proposal(kind: str, name: str, namespace: str = "", target: Target = ONE[0], text: str = "") -> Proposal:
    document = {"apiVersion": "v1", "kind": kind, "metadata": {"name": name}, "spec": {"text": text}}
    node = Node(Address("shop", kind, name, target.name, namespace), "v1", target, document)
    return Proposal(Found(target, Thing(), Discovered(name, name, document)), document, node)


def paths(
    proposals: list[Proposal], targets: tuple[Target, ...] = ONE, taken: list[str] | None = None
) -> list[str]:
    return [page.path for page in lay_out(proposals, Stack("shop", targets=targets), taken or [])]


@pytest.mark.parametrize(
    ("made", "targets", "path"),
    [
        (proposal("ConfigMap", "a"), ONE, "configmap.yaml"),
        (proposal("ConfigMap", "a", "shop"), ONE, "shop/configmap.yaml"),
        (proposal("ConfigMap", "a", "shop"), TWO, "prod/shop/configmap.yaml"),
        (proposal("AWS::SQS::Queue", "a"), ONE, "sqs-queue.yaml"),
        (proposal("File", "a", "", TWO[1]), TWO, "odd-target/file.yaml"),
        # These names have a meaning of their own.
        (proposal("Kustomization", "a", "shop"), ONE, "shop/kustomization-resources.yaml"),
        (proposal("Stack", "a"), ONE, "stack-resources.yaml"),
    ],
)
def test_a_kind_and_a_namespace_have_a_file(made: Proposal, targets: tuple[Target, ...], path: str) -> None:
    assert paths([made], targets) == [path]


def test_a_path_that_is_taken_gets_a_number_whatever_its_case() -> None:
    taken = ["ConfigMap.yaml", "configmap-2.yaml"]
    assert paths([proposal("ConfigMap", "a")], taken=taken) == ["configmap-3.yaml"]


def test_a_file_that_nobody_could_review_is_split() -> None:
    half = "x" * (LONGEST_FILE // 2)
    made = [proposal("ConfigMap", name, text=half) for name in ("c", "a", "b")]
    assert paths(made) == ["configmap.yaml", "configmap-2.yaml", "configmap-3.yaml"]
    pages = lay_out(made, Stack("shop", targets=ONE), ())
    assert ["".join(each.node.name for each in page.proposals) for page in pages] == ["a", "b", "c"]


def test_the_document_of_a_line_is_found() -> None:
    made = [proposal("ConfigMap", name, text="one\ntwo\n") for name in ("a", "b")]
    (page,) = lay_out(made, Stack("shop", targets=ONE), ())
    found = [page.proposal_at(line + 1) for line in range(len(page.text.splitlines()))]
    names = [each.node.name if each else "" for each in found]
    assert names == sorted(names) and set(names) == {"a", "b"}
    first_of_b = page.text.splitlines().index("  name: b")
    assert names[first_of_b] == "b" and names[first_of_b - 4] == "a"
    assert page.proposal_at(len(names) + 5) is None


def test_a_named_file_takes_everything() -> None:
    made = [proposal("ConfigMap", "a"), proposal("File", "b")]
    (page,) = lay_out(made, Stack("shop", targets=ONE), (), "all.yaml")
    assert page.path == "all.yaml" and len(page.proposals) == 2
    assert lay_out([], Stack("shop", targets=ONE), (), "all.yaml") == []
