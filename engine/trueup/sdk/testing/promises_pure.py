"""Promises of the pure methods: schemas, names, UNKNOWN, masks, and what importing a plugin costs.

Part of `contract.ProviderContract`. None of these needs a live system.
"""

from __future__ import annotations

import copy
import json
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace

import jsonschema_rs

from trueup.model.values import to_record
from trueup.sdk import UNKNOWN, Absent, Action, Document, Kind, Node, Observed, Provider, Target, Value
from trueup.sdk.testing.case import Case
from trueup.sdk.testing.hooks import ContractHooks
from trueup.sdk.testing.rig import Rig, expect

IMPORT_PLUGIN = """
import importlib, sys
before = set(sys.modules)
module = importlib.import_module(sys.argv[1])
if hasattr(module, "trueup_provider"):
    list(module.trueup_provider().kinds())
loaded = {name.partition(".")[0] for name in set(sys.modules) - before}
print(" ".join(sorted(loaded & set(sys.argv[2:]))))
"""


class PurePromises(ContractHooks):
    """What holds without a connection."""

    def test_each_schema_is_valid_json_schema(self, provider: Provider) -> None:
        """`Kind.schema` is JSON Schema, and so is `Provider.config_schema`."""
        jsonschema_rs.meta.validate(dict(provider.config_schema))
        for kind in provider.kinds():
            if kind.schema is not None:
                expect(
                    jsonschema_rs.meta.is_valid(dict(kind.schema)),
                    f"the schema of {kind.name} is no JSON Schema",
                )

    def test_the_target_config_fits_the_config_schema(self, provider: Provider, target: Target) -> None:
        """`Provider.config_schema` describes what `connect` takes."""
        expect(target.provider == provider.name, "the target is of another provider")
        jsonschema_rs.validate(dict(provider.config_schema), target.config)

    def test_each_kind_is_found_by_its_own_name(self, provider: Provider) -> None:
        """`Provider.kind` knows what `Provider.kinds` lists."""
        for kind in provider.kinds():
            found = provider.kind(kind.api_version, kind.name)
            expect(found is not None, f"kind {kind.api_version} {kind.name} is listed, but not found")
        expect(provider.kind("no.such.example.com/v1", "NoSuchKind") is None, "there is a kind for nonsense")

    def test_each_case_is_valid(self, provider: Provider, target: Target, bare: Case) -> None:
        """`schema` and `validate` accept what the system accepts."""
        for body in bodies_of(bare):
            node = Rig(provider, target).node(bare, body)
            problems = list(kind_of(provider, node).validate(node))
            expect(not problems, f"{bare.id} should be valid: {problems}")
            check_schema(kind_of(provider, node), node, body)

    def test_two_objects_have_two_identities(self, provider: Provider, target: Target, bare: Case) -> None:
        """`Kind.identity` is what makes an object unique: the same each time, another for another object."""
        rig = Rig(provider, target)
        node, again, sibling = rig.node(bare), rig.node(bare), rig.node(bare.sibling)
        kind = kind_of(provider, node)
        expect(kind.identity(node) == kind.identity(again), "the identity differs from one call to the next")
        expect(
            not kind.identity(node) or kind.identity(node) != kind.identity(sibling),
            f"{bare.id} and its sibling are one object: give the case a sibling_name or a sibling_body",
        )

    def test_unknown_values_break_no_pure_method(
        self, provider: Provider, target: Target, bare: Case
    ) -> None:
        """The pure methods may meet UNKNOWN anywhere in a body, and let no trace of it into a name."""
        whole = Rig(provider, target).node(bare)
        kind = kind_of(provider, whole)
        live = Observed(whole.address, whole.body, "an-id")
        for body in with_unknown(whole.body):
            node = replace(whole, body=kind.seal(body))
            list(kind.validate(node))
            names = [kind.identity(node), *kind.provides(node), *kind.needs(node)]
            expect(repr(UNKNOWN) not in " ".join(names), f"an unknown value is part of a name: {names}")
            for observed in (Absent(node.address), live):
                kind.diff(node, observed, None)
                kind.diff(node, observed, to_record(whole.body))

    def test_pure_methods_change_nothing_and_repeat_themselves(
        self, provider: Provider, target: Target, bare: Case
    ) -> None:
        """Equal inputs give an equal diff, and the inputs stay as they are."""
        node = Rig(provider, target).node(bare)
        kind = kind_of(provider, node)
        live = Observed(node.address, copy.deepcopy(to_plain(node.body)), "an-id")
        before = (copy.deepcopy(to_record(node.body)), copy.deepcopy(live.body))
        for observed in (Absent(node.address), live):
            first, second = kind.diff(node, observed, None), kind.diff(node, observed, None)
            expect(first == second, f"two diffs of the same {node.address} differ")
        expect(before == (to_record(node.body), live.body), "diff changed what it was given")

    def test_the_diff_of_what_is_absent_is_a_create(
        self, provider: Provider, target: Target, bare: Case
    ) -> None:
        """`Kind.diff` against Absent creates."""
        node = Rig(provider, target).node(bare)
        change = kind_of(provider, node).diff(node, Absent(node.address), None)
        expect(change.action is Action.CREATE, f"the diff of an absent node is {change.action}")

    def test_secrets_are_sealed_wherever_they_stand(
        self, provider: Provider, target: Target, secretive: Case
    ) -> None:
        """`Kind.seal` wraps every sensitive value, so that no diff and no record shows it (promise 5)."""
        rig = Rig(provider, target)
        for body in bodies_of(secretive):
            node = rig.node(secretive, body)
            change = kind_of(provider, node).diff(node, Absent(node.address), None)
            for what, text in (
                ("the record", json.dumps(to_record(node.body))),
                ("the node's repr", repr(node)),
                ("the diff of a create", repr(change)),
            ):
                expect_no_canary(secretive, what, text)

    def test_importing_the_plugin_does_not_import_the_sdk_of_its_system(self, provider: Provider) -> None:
        """The plugin's hook must not import the SDK of the system: that happens in `connect`."""
        module = self.plugin_module or type(provider).__module__
        if not self.sdk_modules:
            return
        command = [sys.executable, "-c", IMPORT_PLUGIN, module, *self.sdk_modules]
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
        expect(done.returncode == 0, f"importing {module} fails: {done.stderr}")
        expect(not done.stdout.strip(), f"importing {module} imports {done.stdout.strip()}")


def kind_of(provider: Provider, node: Node) -> Kind:
    """The kind of a node, which has to be there."""
    kind = provider.kind(node.api_version, node.kind)
    if kind is None:
        raise AssertionError(f"the provider has no kind {node.api_version} {node.kind}")
    return kind


def bodies_of(case: Case) -> list[Document]:
    """Every body that a case has."""
    return [body for body in (case.body, case.changed, case.replaced, case.sibling_body) if body is not None]


def check_schema(kind: Kind, node: Node, body: Document) -> None:
    """Fails where a body does not fit the kind's schema."""
    if kind.schema is None:
        return
    document = {**node.body, **body}
    checked = document if kind.schema_of_document else document.get("spec", {})
    errors = [error.message for error in jsonschema_rs.validator_for(dict(kind.schema)).iter_errors(checked)]
    expect(not errors, f"{node.address} does not fit the schema of {kind.name}: {errors}")


def with_unknown(body: Document) -> Iterator[Document]:
    """Copies of a body, each with one value replaced by UNKNOWN, at every depth; names stay known."""
    for key, value in body.items():
        if key not in ("apiVersion", "kind", "metadata"):
            for changed in _with_unknown(value):
                yield {**body, key: changed}


def _with_unknown(value: Value) -> Iterator[Value]:
    yield UNKNOWN
    if isinstance(value, dict):
        for key, item in value.items():
            for changed in _with_unknown(item):
                yield {**value, key: changed}
    elif isinstance(value, list):
        for index, item in enumerate(value):
            for changed in _with_unknown(item):
                yield [*value[:index], changed, *value[index + 1 :]]


def to_plain(body: Document) -> Value:
    """A body that can be copied: masks where the sensitive values are."""
    return to_record(body)


def expect_no_canary(case: Case, what: str, text: str) -> None:
    """Fails where a sensitive value of the case shows, without showing it once more."""
    for number, canary in enumerate(case.sensitive):
        expect(canary not in text, f"{what} of {case.id} shows sensitive value number {number}")
