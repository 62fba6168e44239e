"""Nodes against their kinds, with what is not known yet left out."""

from __future__ import annotations

import pytest

from trueup.errors import ManifestError

HEAD = "apiVersion: ssh.trueup.dev/v1\nkind: File\nmetadata: {name: a}\ntargets: {names: [web-1]}\n"
QUEUE = "apiVersion: sqs.example/v1\nkind: Queue\nmetadata: {name: q}\n---\n"


def messages(load, text):
    with pytest.raises(ManifestError) as error:
        load(text)
    return [problem.message for problem in error.value.problems]


def test_a_deferred_value_satisfies_type_pattern_enum_and_required(load):
    ref = "'${{ ref(\"Queue/q\").status.x }}'"
    keys = ", ".join(f"{key}: {ref}" for key in ("path", "mode", "state", "size", "source"))
    stack = load(f"{QUEUE}{HEAD}spec: {{{keys}, parts: [{ref}]}}\n")
    assert len(stack.nodes) == 2


def test_what_stands_beside_a_deferred_value_is_checked(load):
    ref = "'${{ ref(\"Queue/q\").status.x }}'"
    assert messages(
        load, f"{QUEUE}{HEAD}spec: {{path: {ref}, size: -1, modee: {ref}, parts: [{{text: {ref}}}]}}\n"
    ) == [
        "spec.size must be at least 0",
        'unknown field "modee" of File',
        'spec.parts[0] needs "name"',
    ]


def test_the_value_of_an_expression_is_checked_like_a_written_one(load):
    assert messages(
        load, HEAD + "spec: {path: '${{ vars.ports.http }}', size: '${{ vars.ports.http }}'}\n"
    ) == ["spec.path must be a string, not an integer"]


def test_a_problem_of_a_document_is_reported_once_for_all_its_targets(load):
    text = HEAD.replace("{names: [web-1]}", "{matchLabels: {role: web}}") + "spec: {path: srv}\n"
    assert messages(load, text) == ['path "srv" is not absolute']
    text = text.replace("path: srv", "path: '${{ vars.domain }}'")
    assert messages(load, text) == ['path "example.com" is not absolute']


def test_an_identity_that_is_not_known_yet_is_no_double(load):
    second = HEAD.replace("name: a", "name: b")
    ref = "'${{ ref(\"Queue/q\").status.x }}'"
    stack = load(f"{QUEUE}{HEAD}spec: {{path: {ref}}}\n---\n{second}spec: {{path: {ref}}}\n")
    assert len(stack.nodes) == 3


def test_the_same_identity_on_two_targets_is_no_double(load):
    second = HEAD.replace("name: a", "name: b").replace("web-1", "web-2")
    assert len(load(f"{HEAD}spec: {{path: /a}}\n---\n{second}spec: {{path: /a}}\n").nodes) == 2


def test_a_spec_may_be_left_out_where_nothing_is_required(load):
    assert load(HEAD.replace("File", "Package")).nodes[0].spec == {}
