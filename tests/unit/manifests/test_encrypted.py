"""Files of SOPS beside the resources are data for secret(), never resources."""

from __future__ import annotations

import pytest

from trueup.errors import Problem
from trueup.manifests.encrypted import drop_encrypted
from trueup.manifests.parse import parse_file

SOPS = "sops: {mac: 'ENC[x]', lastmodified: '2026-01-01T00:00:00Z'}\n"


def drop(name: str, text: str) -> tuple[int, list[Problem]]:
    problems: list[Problem] = []
    documents = parse_file(name, text.encode(), problems)
    return len(drop_encrypted(documents, problems)), problems


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("s.yaml", f"db: {{password: 'ENC[x]'}}\n{SOPS}"),
        ("s.json", '{"db": "ENC[x]", "sops": {"mac": "ENC[x]"}}'),
    ],
)
def test_a_file_of_encrypted_values_is_no_resource(name: str, text: str) -> None:
    assert drop(name, text) == (0, [])


@pytest.mark.parametrize(
    "text", ["a: 1\n", "sops: x\n", "sops: {}\nkind: A\n", "kind: A\nspec: {sops: {mac: x}}\n"]
)
def test_what_sops_did_not_encrypt_stays(text: str) -> None:
    assert drop("s.yaml", text) == (1, [])


def test_an_encrypted_resource_is_a_problem_at_its_metadata() -> None:
    count, (problem,) = drop("s.yaml", f"kind: Secret\nstringData: {{a: 'ENC[x]'}}\n{SOPS}")
    assert (count, problem.place.line) == (0, 3)
