"""What a stack gives to other stacks: plain values at once, and expressions bound to its nodes."""

from __future__ import annotations

import pytest

from trueup.manifests.expressions import Expression

STACK = """\
apiVersion: trueup.dev/v1
kind: Stack
metadata: {{name: shop}}
spec:
  variables: {{domain: {{default: example.com}}}}
  targets: [{{name: prod, provider: kubernetes}}, {{name: dev, provider: kubernetes}}]
  outputs: {0}
"""
SERVICE = "apiVersion: v1\nkind: Service\nmetadata: {name: web}\ntargets: {names: [prod]}\n"


@pytest.fixture
def outputs_of(load):
    def _outputs_of(text, site=SERVICE):
        return load({"stack.yaml": STACK.format(text), "site.yaml": site}).stack.outputs

    return _outputs_of


def test_a_value_stands_for_itself_or_under_value(outputs_of):
    text = "{a: 1, b: [x], c: {value: {d: 1}}, e: {value: null, description: none}, f: '${{ vars.domain }}'}"
    assert outputs_of(text) == {"a": 1, "b": ["x"], "c": {"d": 1}, "e": None, "f": "example.com"}


def test_a_reference_is_bound_to_the_node_that_it_means(outputs_of):
    outputs = outputs_of("""{url: {value: {of: 'http://${{ ref("Service/web").status.ip }}/'}}}""")
    leaf = outputs["url"]["of"]
    assert isinstance(leaf, Expression)
    ((reference),) = leaf.references
    assert reference.address.text == "shop/Service/web@prod"
    assert reference.path == ("status", "ip")


def test_secrets_and_outputs_of_other_stacks_may_be_passed_on(outputs_of):
    outputs = outputs_of("""{a: '${{ secret("env:A") }}', b: '${{ stack("network").id }}'}""")
    assert [secret.text for secret in outputs["a"].secrets] == ["env:A"]
    assert [(read.stack, read.output) for read in outputs["b"].outputs] == [("network", "id")]


def test_a_stack_without_outputs_has_none(load):
    assert load(SERVICE).stack.outputs == {}
