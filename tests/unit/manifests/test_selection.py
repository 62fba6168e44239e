"""What expressions read of data that holds expressions itself: inputs of modules, secrets in maps."""

from __future__ import annotations

import pytest

from trueup.errors import ManifestError
from trueup.manifests.document import SourceText
from trueup.manifests.expressions import NOTHING_KNOWN, Expression, resolve
from trueup.manifests.parse_yaml import parse_yaml
from trueup.manifests.templates import Scope, Template
from trueup.model.address import Address
from trueup.model.values import UNKNOWN, PartlyKnown, Sensitive, reveal

A, B = Address("shop", "Queue", "a", "prod"), Address("shop", "Queue", "b", "prod")


class World:
    """What is known: the documents of two queues, one secret, one stack."""

    def __init__(self, a=UNKNOWN, b=UNKNOWN):
        self._nodes = {A: a, B: b}
        self.asked = []

    def node(self, address):
        self.asked.append(address)
        return self._nodes[address]

    def secret(self, text):
        return {"env:KEY": Sensitive("k")}.get(text, UNKNOWN)

    def outputs(self, stack):
        return {"network": {"id": "vpc-1"}}.get(stack, UNKNOWN)


def no_file(name):
    raise AssertionError(f"no file {name} here")


def fill(text, data, *, problems=None, read_file=no_file, bound=True, **limits):
    """The document of a text in a scope, its own references bound to the queue of their name."""
    found = [] if problems is None else problems
    document = parse_yaml(SourceText("m.yaml", text), found)[0]
    template = Template(document, document.value, (), found)
    filled = template.fill(Scope({"vars": data}, read_file), found, **limits)
    if problems is None:
        assert found == []
    for expression in filled.deferred if bound else ():
        calls = [call for part in expression.programs for call in part.program.references]
        expression.bind({call.argument: {"Queue/a": A, "Queue/b": B}[call.argument] for call in calls})
    return filled


def inputs(text="{url: '${{ ref(\"Queue/a\").status.url }}', size: 3, key: '${{ secret(\"env:KEY\") }}'}"):
    return fill(text, {}).value


def test_what_reads_an_expression_becomes_one_and_is_evaluated_after_it():
    body = fill("v: at ${{ vars.url }}/x\nw: ${{ vars.size + 1 }}\n", inputs()).value
    assert body["w"] == 4
    expression = body["v"]
    assert isinstance(expression, Expression)
    assert [(r.address, r.path) for r in expression.references] == [(A, ("status", "url"))]
    assert expression.secrets == ()
    assert expression.evaluate(World({"status": {"url": "https://q"}})) == "at https://q/x"
    assert expression.evaluate(World()) is UNKNOWN
    assert expression.evaluate(World(PartlyKnown({"status": UNKNOWN}))) is UNKNOWN


def test_a_whole_map_takes_all_that_is_inside():
    body = fill("v: ${{ size(vars) }}\nw: ${{ vars.map(k, k).size() + vars.size }}\n", inputs()).value
    for key, value in (("v", 3), ("w", 6)):
        assert [r.address for r in body[key].references] == [A]
        assert [s.text for s in body[key].secrets] == ["env:KEY"]
        found = body[key].evaluate(World({"status": {"url": "u"}}))
        assert isinstance(found, Sensitive)
        assert reveal(found) == value


def test_a_plain_selection_keeps_its_shape():
    data = {"all": {"b": inputs(), "a": [1]}}
    body = fill("v: ${{ vars.all }}\n", data).value
    assert list(body["v"]) == ["a", "b"]
    assert body["v"]["a"] == [1]
    assert body["v"]["b"]["size"] == 3
    resolved = resolve(body, World())
    assert resolved["v"]["b"]["url"] is UNKNOWN
    assert resolved["v"]["b"]["size"] == 3
    assert isinstance(resolved["v"]["b"]["key"], Sensitive)


def test_asking_for_a_field_does_not_read_it():
    body = fill("v: ${{ has(vars.url) }}\nw: ${{ has(vars.no) || has(vars.key) }}\n", inputs()).value
    assert body == {"v": True, "w": True}
    inner = {"m": inputs("v: ${{ ref('Queue/a').spec }}\n")["v"]}
    asking = fill("v: ${{ has(vars.m.x) }}\n", inner).value["v"]
    assert asking.evaluate(World({"spec": {"x": 1}})) is True
    assert asking.evaluate(World({"spec": {"y": 1}})) is False
    assert asking.evaluate(World()) is UNKNOWN


def test_a_field_is_selected_through_an_expression():
    inner = {"m": inputs("v: ${{ ref('Queue/a').spec }}\n")["v"]}
    body = fill("v: ${{ vars.m.x + 1 }}\n", inner).value
    assert body["v"].evaluate(World({"spec": {"x": 1, "y": Sensitive(2)}})) == Sensitive(2)
    with pytest.raises(ManifestError, match=r'm\.yaml:1:8: vars\.m has no field "x"'):
        body["v"].evaluate(World({"spec": {"y": 1}}))


def test_modules_in_modules_are_evaluated_from_the_inside_and_once():
    data = inputs("v: ${{ ref('Queue/a').spec.n }}\n")
    for _ in range(40):
        data = fill("v: ${{ vars.v + vars.v }}\n", data).value
    world = World({"spec": {"n": 0}})
    assert resolve({"x": data["v"], "y": data["v"]}, world) == {"x": 0, "y": 0}
    assert world.asked == [A]
    assert [r.address for r in data["v"].references] == [A]


@pytest.mark.parametrize("text", ["v: ${{ vars.s }}\n", "v: x${{ vars.s }}\n", "v: ${{ vars.m.s + 'y' }}\n"])
def test_sensitive_data_makes_the_result_sensitive(text):
    data = {"s": Sensitive("canary"), "m": {"s": Sensitive("canary")}}
    found = fill(text, data).value["v"]
    assert isinstance(found, Sensitive)
    assert "canary" in reveal(found)


def test_sensitive_data_is_in_no_message():
    problems = []
    body = fill(
        "a: ${{ int(vars.s) }}\nb: ${{ file('x' + vars.s) }}\nc: ${{ file(vars.s) }}\nd: ${{ vars.s.x }}\n",
        {"s": Sensitive("canary")},
        problems=problems,
    ).value
    assert set(body.values()) == {UNKNOWN}
    assert len(problems) == 4
    assert "canary" not in str(problems)


def test_unknown_data_makes_the_result_unknown_without_a_word():
    assert fill("a: ${{ vars.u }}\nb: x${{ vars.m.u }}\n", {"u": UNKNOWN, "m": {"u": UNKNOWN}}).value == {
        "a": UNKNOWN,
        "b": UNKNOWN,
    }


def test_what_is_needed_at_once_is_refused_wherever_it_comes_from():
    data = {
        **inputs(),
        "plain": Sensitive("canary"),
        "id": fill("v: ${{ stack('network').id }}", {}).value["v"],
    }
    problems = []
    body = fill(
        "a: ${{ vars.url }}\nb: x${{ vars.key }}\nc: ${{ vars.id }}\nd: ${{ vars.plain == 'x' }}\n"
        "e: ${{ secret('env:X') }}\nf: ${{ size(vars) }}\ng: ${{ vars.size }}\n",
        data,
        problems=problems,
        refusal="in forEach",
    ).value
    assert body == {**dict.fromkeys("abcdef", UNKNOWN), "g": 3}
    assert [str(problem) for problem in problems] == [
        "m.yaml:1:8: vars.url cannot be used in forEach\n  its value comes from ref()",
        "m.yaml:2:9: vars.key cannot be used in forEach\n  its value comes from secret()",
        "m.yaml:3:8: vars.id cannot be used in forEach\n  its value comes from stack()",
        "m.yaml:4:8: vars.plain cannot be used in forEach\n  its value is sensitive",
        "m.yaml:5:8: secret() cannot be used in forEach\n"
        "  it would be shown there: put secret() into a field of a resource",
        "m.yaml:6:13: vars cannot be used in forEach\n  its value comes from ref() and secret() and stack()",
    ]


def test_secrets_alone_can_be_allowed():
    problems = []
    body = fill(
        "a: ${{ secret('env:KEY') }}\nb: ${{ vars.key }}\n"
        "c: ${{ stack('network').id }}\nd: ${{ vars.url }}\n",
        inputs(),
        problems=problems,
        refusal="in a config",
        allowed=("secret",),
    ).value
    assert body["c"] is UNKNOWN
    assert body["d"] is UNKNOWN
    assert reveal(resolve({"a": body["a"], "b": body["b"]}, World())) == {"a": "k", "b": "k"}
    assert [problem.message for problem in problems] == [
        "stack() cannot be used in a config",
        "vars.url cannot be used in a config",
    ]


def test_a_reference_can_mean_a_document_of_values():
    outputs = fill(
        "url: ${{ ref('Queue/b').status.url }}\nkey: ${{ secret('env:KEY') }}\nport: 80\n", {}
    ).value
    filled = fill(
        "v: ${{ ref('Module/m').outputs.url }}:${{ ref('Module/m').outputs.port }}\n"
        "w: ${{ ref('Module/m').outputs.port }}\nx: ${{ ref('Module/m').outputs.nope }}\n",
        {},
        bound=False,
    )
    for expression in filled.deferred:
        expression.bind({}, {"Module/m": {"outputs": outputs}})
    body = filled.value
    assert [(r.address, r.path) for r in body["v"].references] == [(B, ("status", "url"))]
    assert body["v"].secrets == ()
    assert body["w"].references == ()
    assert body["v"].evaluate(World(b={"status": {"url": "u"}})) == "u:80"
    assert body["v"].evaluate(World()) is UNKNOWN
    assert body["w"].evaluate(NOTHING_KNOWN) == 80
    with pytest.raises(ManifestError, match=r'ref\("Module/m"\)\.outputs has no field "nope"'):
        body["x"].evaluate(World())


def test_outputs_that_need_each_other_are_an_error_with_a_place():
    filled = fill(
        "a: ${{ ref('Module/b').outputs.v }}\nb: ${{ ref('Module/a').outputs.v }}\n", {}, bound=False
    )
    a, b = filled.value["a"], filled.value["b"]
    a.bind({}, {"Module/b": {"outputs": {"v": b}}})
    b.bind({}, {"Module/a": {"outputs": {"v": a}}})
    with pytest.raises(ManifestError, match=r"m\.yaml:1:8: this value needs itself"):
        _ = a.references
    with pytest.raises(ManifestError):
        _ = b.secrets


def test_files_are_read_at_once_also_where_the_rest_comes_later():
    read = []

    def read_file(name):
        read.append(name)
        return "text"

    body = fill("v: ${{ file('x') + vars.key }}\n", inputs(), read_file=read_file).value
    assert read == ["x"]
    assert reveal(body["v"].evaluate(World())) == "textk"
