"""Deferred expressions: what they refer to, and what comes out for known, unknown and sensitive values."""

from __future__ import annotations

import copy

import pytest

from trueup.errors import ManifestError
from trueup.manifests.expressions import Expression, resolve
from trueup.model.address import Address
from trueup.model.values import UNKNOWN, PartlyKnown, Sensitive, reveal

QUEUE = "apiVersion: sqs.example/v1\nkind: Queue\nmetadata: {name: q}\nspec: {size: 5}\n---\n"
ADDRESS = Address("shop", "Queue", "q", "prod")


class Known:
    """A look-up that knows what it is given, and fails for any other question."""

    def __init__(self, nodes=None, secrets=None, outputs=None):
        self._nodes, self._secrets, self._outputs = nodes or {}, secrets or {}, outputs or {}

    def node(self, address):
        return self._nodes[address]

    def secret(self, text):
        return self._secrets[text]

    def outputs(self, stack):
        return self._outputs[stack]


@pytest.fixture
def value_of(load):
    """What one string becomes once `ref("Queue/q")` is the given document."""

    def _value_of(text, document):
        expression = body_of(load, text)["data"]["v"]
        assert isinstance(expression, Expression)
        return expression.evaluate(Known({ADDRESS: document}))

    return _value_of


def body_of(load, text):
    quoted = text.replace("'", "''")
    stack = load(f"{QUEUE}apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: c}}\ndata: {{v: '{quoted}'}}\n")
    return stack.nodes[1].body


LIVE = {
    "spec": {"size": 5, "list": [1, 2, {"a": None}], "text": "${{ 1 + 1 }}", "ratio": 1.5},
    "status": {"url": "https://q", "ready": True},
    "metadata": {"name": "q"},
}


KNOWN = Known({ADDRESS: LIVE})


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ('${{ ref("Queue/q").spec.size }}', 5),
        ('${{ ref("Queue/q").spec.size + 1 }}', 6),
        ('${{ ref("Queue/q").status.ready }}', True),
        ('${{ ref("Queue/q").spec.list }}', [1, 2, {"a": None}]),
        ('${{ ref("Queue/q").spec }}', LIVE["spec"]),
        ('${{ ref("Queue/q") }}', LIVE),
        ('a ${{ ref("Queue/q").spec.size }} b ${{ ref("Queue/q").status.ready }}', "a 5 b true"),
        ('${{ ref("Queue/q").spec.ratio }}x${{ vars.domain }}', "1.5xexample.com"),
        ('${{ has(ref("Queue/q").status.no) ? ref("Queue/q").status.no : "none" }}', "none"),
        ('${{ ref("Queue/q").spec.list.filter(v, type(v) == int) }}', [1, 2]),
        ('${{ ref("Queue/q").status["url"] }}', "https://q"),
        ('${{ ref("Queue/q").spec.size }}$${{ x }}', "5${{ x }}"),
        ('${{ target.name + ref("Queue/q").status.url + git.branch }}', "prodhttps://qmain"),
    ],
)
def test_known_documents_give_values(value_of, text, value):
    found = value_of(text, LIVE)
    assert found == value
    assert type(found) is type(value)


def test_text_from_a_live_system_is_never_evaluated(value_of):
    assert value_of('x ${{ ref("Queue/q").spec.text }}', LIVE) == "x ${{ 1 + 1 }}"


@pytest.mark.parametrize(
    ("text", "document"),
    [
        ('${{ ref("Queue/q").spec.size }}', UNKNOWN),
        ('${{ ref("Queue/q").status.url }}', {"spec": {}, "status": UNKNOWN}),
        ('${{ ref("Queue/q").status }}', {"status": {"a": [1, UNKNOWN]}}),
        ('a${{ ref("Queue/q").spec.a }}${{ ref("Queue/q").spec.b }}', {"spec": {"a": 1, "b": UNKNOWN}}),
        ('${{ true || ref("Queue/q").spec.a }}', {"spec": {"a": UNKNOWN}}),
        ('${{ has(ref("Queue/q").status.x) }}', {"status": UNKNOWN}),
        ('${{ ref("Queue/q").spec.a.b }}', {"spec": {"a": UNKNOWN}}),
        ('${{ ref("Queue/q").spec.a }}', {"spec": {"a": Sensitive([UNKNOWN])}}),
        ('${{ ref("Queue/q").spec.ip }}', PartlyKnown({"spec": {"a": 1}})),
        ('${{ has(ref("Queue/q").spec.ip) }}', PartlyKnown({"spec": {"a": 1}})),
        ('${{ ref("Queue/q").spec }}', PartlyKnown({"spec": {"a": 1}})),
    ],
)
def test_whatever_reads_something_unknown_is_unknown(value_of, text, document):
    assert value_of(text, document) is UNKNOWN


def test_what_is_unknown_elsewhere_does_not_matter(value_of):
    document = {"spec": {"size": 5, "other": UNKNOWN}, "status": UNKNOWN}
    assert value_of('${{ ref("Queue/q").spec.size }}', document) == 5


@pytest.mark.parametrize(
    ("text", "document", "value"),
    [
        ('${{ ref("Queue/q").spec.key }}', {"spec": {"key": Sensitive("k")}}, "k"),
        ('user:${{ ref("Queue/q").spec.key }}@x', {"spec": {"key": Sensitive("k")}}, "user:k@x"),
        ('${{ ref("Queue/q").spec }}', {"spec": {"a": 1, "keys": [Sensitive("k")]}}, {"a": 1, "keys": ["k"]}),
        ('${{ ref("Queue/q").spec.key.inner }}', {"spec": {"key": Sensitive({"inner": 1})}}, 1),
        ('${{ ref("Queue/q").spec.key == "k" }}', {"spec": {"key": Sensitive("k")}}, True),
    ],
)
def test_whatever_touches_something_sensitive_is_sensitive(value_of, text, document, value):
    found = value_of(text, document)
    assert isinstance(found, Sensitive)
    assert reveal(found) == value


def test_what_is_sensitive_elsewhere_does_not_spread(value_of):
    assert value_of('${{ ref("Queue/q").spec.size }}', {"spec": {"size": 5, "key": Sensitive("k")}}) == 5


def test_an_error_about_a_sensitive_value_does_not_show_it(value_of):
    for text in ('${{ int(ref("Queue/q").spec.key) }}', '${{ {"a": 1}[ref("Queue/q").spec.key] }}'):
        with pytest.raises(ManifestError) as error:
            value_of(text, {"spec": {"key": Sensitive("canary")}})
        assert "canary" not in str(error.value)
        assert "sensitive" in str(error.value)


def test_a_missing_field_is_named_with_its_place_and_with_what_is_there(value_of):
    with pytest.raises(ManifestError) as error:
        value_of('abc ${{ ref("Queue/q").status.uri }}', LIVE)
    assert str(error.value) == (
        'site.yaml:9:20: ref("Queue/q").status has no field "uri"\n  did you mean "url"?'
    )
    with pytest.raises(ManifestError, match="what is there: ready, url"):
        value_of('${{ ref("Queue/q").status.zzzzzz }}', LIVE)


def test_a_field_of_something_that_has_none_is_an_error(value_of):
    with pytest.raises(
        ManifestError, match=r'ref\("Queue/q"\)\.spec\.size is an integer, which has no field "x"'
    ):
        value_of('${{ ref("Queue/q").spec.size.x }}', LIVE)


def test_a_guarded_missing_field_is_not_blamed_for_another_error(value_of):
    with pytest.raises(ManifestError, match="divide by zero"):
        value_of('${{ has(ref("Queue/q").spec.no) ? ref("Queue/q").spec.no : 1 / 0 }}', LIVE)


def test_the_references_are_addresses_with_literal_paths(load):
    expression = body_of(load, '${{ ref("Queue/q").spec.size }} ${{ ref("Queue/q").status.url }}')["data"][
        "v"
    ]
    assert [(reference.address, reference.path) for reference in expression.references] == [
        (ADDRESS, ("spec", "size")),
        (ADDRESS, ("status", "url")),
    ]


def test_resolve_gives_a_copy_and_reports_every_problem(load):
    body = body_of(load, '${{ ref("Queue/q").spec.size }}')
    assert resolve(body, KNOWN)["data"] == {"v": 5}
    assert isinstance(body["data"]["v"], Expression)
    assert resolve(copy.deepcopy(body), KNOWN)["data"] == {"v": 5}
    stack = load(
        f"{QUEUE}apiVersion: v1\nkind: A\nmetadata: {{name: c}}\ndata: [\"${{{{ ref('Queue/q').x }}}}\", "
        "\"${{ ref('Queue/q').y }}\"]\n"
    )
    with pytest.raises(ManifestError) as error:
        resolve(stack.nodes[1].body, KNOWN)
    assert len(error.value.problems) == 2


def test_files_are_read_when_the_stack_is_loaded(load):
    stack = load(
        {
            "a/site.yaml": QUEUE
            + "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: c}\n"
            + 'data: {v: \'${{ file("../x.txt") + ref("Queue/q").status.url }}\'}\n',
            "x.txt": "at ",
        }
    )
    assert resolve(stack.nodes[1].body, KNOWN)["data"] == {"v": "at https://q"}


def test_secrets_and_outputs_are_named_and_read(load):
    body = body_of(
        load, '${{ secret("env:KEY") }}@${{ stack("network").host }}:${{ ref("Queue/q").spec.size }}'
    )
    expression = body["data"]["v"]
    assert [secret.text for secret in expression.secrets] == ["env:KEY"]
    assert str(expression.secrets[0].place) == "site.yaml:9:16"
    assert [(output.stack, output.output) for output in expression.outputs] == [("network", "host")]
    assert [reference.address for reference in expression.references] == [ADDRESS]
    known = Known({ADDRESS: LIVE}, {"env:KEY": Sensitive("k")}, {"network": {"host": "h"}})
    found = expression.evaluate(known)
    assert isinstance(found, Sensitive)
    assert reveal(found) == "k@h:5"


@pytest.mark.parametrize(
    ("text", "secrets", "outputs"),
    [
        ('${{ secret("env:K") }}', {"env:K": UNKNOWN}, {}),
        ('${{ stack("n").a }}', {}, {"n": UNKNOWN}),
        ('${{ stack("n").a }}', {}, {"n": {"b": 1}}),
        ('${{ stack("n").a.b }}', {}, {"n": {"a": {"b": UNKNOWN}}}),
        ('${{ size(stack("n")) }}', {}, {"n": {"a": 1, "b": UNKNOWN}}),
        ('${{ secret("env:K") + stack("n").a }}', {"env:K": Sensitive("x")}, {"n": {}}),
    ],
)
def test_a_secret_or_an_output_that_is_missing_is_unknown(load, text, secrets, outputs):
    expression = body_of(load, text)["data"]["v"]
    assert expression.evaluate(Known(secrets=secrets, outputs=outputs)) is UNKNOWN


def test_a_part_of_an_output_that_does_not_exist_is_an_error(load):
    expression = body_of(load, '${{ stack("n").a.b }}')["data"]["v"]
    with pytest.raises(ManifestError, match=r'stack\("n"\)\.a has no field "b"'):
        expression.evaluate(Known(outputs={"n": {"a": {"c": 1}}}))
    asking = body_of(load, '${{ has(stack("n").a) ? "yes" : "no" }}')["data"]["v"]
    assert asking.evaluate(Known(outputs={"n": {"c": 1}})) == "no"


@pytest.mark.parametrize(
    ("outputs", "answer"),
    [
        ({"a": 1, "key": UNKNOWN}, "yes"),
        ({"a": UNKNOWN}, "yes"),
        ({"key": UNKNOWN}, "no"),
        (UNKNOWN, UNKNOWN),
    ],
)
def test_whether_an_output_is_there_does_not_depend_on_one_that_is_withheld(load, outputs, answer):
    asking = body_of(load, '${{ has(stack("n").a) ? "yes" : "no" }}')["data"]["v"]
    assert asking.evaluate(Known({}, outputs={"n": outputs})) == answer
    both = body_of(load, '${{ has(stack("n").a) ? string(stack("n").a) : "no" }}')["data"]["v"]
    assert both.evaluate(Known({}, outputs={"n": {"a": 1, "key": UNKNOWN}})) == "1"


def test_a_map_that_a_secret_holds_can_be_selected_from(load):
    expression = body_of(load, '${{ secret("sops:a.yaml#/db").user }}')["data"]["v"]
    found = expression.evaluate(Known(secrets={"sops:a.yaml#/db": Sensitive({"user": "u", "password": "p"})}))
    assert isinstance(found, Sensitive)
    assert reveal(found) == "u"


@pytest.mark.parametrize(
    "text",
    [
        '${{ int(secret("env:K")) }}',
        '${{ {"a": 1}[secret("env:K")] }}',
        '${{ secret("env:K").password }}',
        '${{ [1][size(secret("env:K"))] }}',
        'x${{ [secret("env:K")] }}',
        '${{ duration(secret("env:K")) }}',
        '${{ timestamp(secret("env:K")) }}',
        '${{ "x".matches(secret("env:K")) }}',
    ],
)
def test_no_error_shows_a_secret(load, text):
    expression = body_of(load, text)["data"]["v"]
    with pytest.raises(ManifestError) as error:
        expression.evaluate(Known(secrets={"env:K": Sensitive("canary(")}))
    assert "canary" not in str(error.value)
    assert "canary" not in repr(error.value.__dict__)
    assert error.value.__cause__ is None
    assert error.value.__suppress_context__


def test_no_error_shows_the_keys_of_a_secret_map(load):
    expression = body_of(load, '${{ secret("env:K").b }}')["data"]["v"]
    with pytest.raises(ManifestError) as error:
        expression.evaluate(Known(secrets={"env:K": Sensitive({"canary": 1})}))
    assert "canary" not in str(error.value)
    assert 'secret("env:K") has no field "b"' in str(error.value)
