"""The settings of a stack as they come out of its file."""

from __future__ import annotations

import pytest

from trueup.errors import ManifestError
from trueup.model.resource import Drift

HEAD = "apiVersion: trueup.dev/v1\nkind: Stack\nmetadata: {name: shop}\n"


@pytest.fixture
def stack_of(load):
    def _stack_of(spec):
        return load({"stack.yaml": HEAD + spec}).stack

    return _stack_of


def test_a_stack_without_settings_has_the_defaults(stack_of):
    stack = stack_of("spec: {allowEmpty: true}\n")
    assert (stack.name, stack.interval, stack.drift, stack.prune) == ("shop", 300.0, Drift.CORRECT, True)
    assert (stack.depends_on, stack.variables, stack.targets, stack.guards.max_deletes) == ((), {}, (), "")


def test_every_setting_is_read(stack_of):
    stack = stack_of(
        "spec:\n  allowEmpty: true\n  interval: 1h\n  drift: report\n  prune: false\n  dependsOn: [network]\n"
        "  guards: {maxDeletes: 20%}\n  variables: {region: {default: eu}, n: {type: integer, default: 3, "
        "check: self > 2 && self < 5}}\n  targets:\n"
        "    - {name: '${{ vars.region }}-1', provider: ssh, labels: {r: '${{ vars.region }}'}, "
        "config: {host: 'h.${{ git.branch }}', port: '${{ vars.n }}'}}\n"
    )
    assert (stack.interval, stack.drift, stack.prune) == (3600.0, Drift.REPORT, False)
    assert (stack.depends_on, stack.guards.max_deletes) == (("network",), "20%")
    assert stack.variables == {"region": "eu", "n": 3}
    target = stack.target_by_name["eu-1"]
    assert (target.provider, target.labels, target.config) == (
        "ssh",
        {"r": "eu"},
        {"host": "h.main", "port": 3},
    )
    assert str(target.place) == "stack.yaml:13:7"


@pytest.mark.parametrize(("written", "read"), [("5", "5"), ('"7"', "7"), ("0", "0"), ("100%", "100%")])
def test_the_delete_guard_is_a_count_or_a_share(stack_of, written, read):
    assert (
        stack_of(f"spec: {{allowEmpty: true, guards: {{maxDeletes: {written}}}}}\n").guards.max_deletes
        == read
    )


@pytest.mark.parametrize("written", ["101%", "-1", "1.5", "true", "[1]", '"1 %"', "many"])
def test_any_other_delete_guard_is_refused(stack_of, written):
    with pytest.raises(ManifestError, match="neither a count nor a share"):
        stack_of(f"spec: {{allowEmpty: true, guards: {{maxDeletes: {written}}}}}\n")


@pytest.mark.parametrize("name", ["stack.yaml", "stack.yml", "stack.toml", "stack.json"])
def test_a_stack_file_may_be_of_any_language(load, name):
    texts = {
        "toml": 'apiVersion = "trueup.dev/v1"\nkind = "Stack"\n'
        'metadata.name = "shop"\nspec.allowEmpty = true\n',
        "json": '{"apiVersion": "trueup.dev/v1", "kind": "Stack", "metadata": {"name": "shop"}, '
        '"spec": {"allowEmpty": true}}',
    }
    text = texts.get(name.rpartition(".")[2], HEAD + "spec: {allowEmpty: true}\n")
    assert load({name: text}).stack.name == "shop"
