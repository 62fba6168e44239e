"""Promises of import: what lives is found without a manifest, and described so that nothing differs.

Part of `contract.ProviderContract`. Kinds that do not support import are left out.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace

import pytest

from trueup.model.values import to_record
from trueup.sdk import Action, Discovered, Document, Invalid, Kind, Missing, Node, Observed
from trueup.sdk.testing.case import Case
from trueup.sdk.testing.hooks import ContractHooks
from trueup.sdk.testing.promises_pure import expect_no_canary
from trueup.sdk.testing.rig import Rig, expect, fail


class ImportPromises(ContractHooks):
    """`discover` and `export`, for the cases whose kind has them."""

    def test_an_exported_object_gives_no_difference(self, rig: Rig, case: Case) -> None:
        """`export` of what `discover` found: compared with the live object, nothing differs."""
        node = self._plant_importable(rig, case)
        found = self._discover(rig, node)
        exported = self._exported(rig, node, case, found)
        body = rig.kind(node).seal(found.body)
        as_found = Observed(exported.address, body, found.external_id, found.owner, found.version)
        for seen in (as_found, replace(rig.observed(exported), address=exported.address)):
            change = rig.diff(exported, seen, None)
            different = ", ".join(field.path for field in change.fields)
            expect(change.action is Action.NONE, f"the exported resource differs in {different}")
        problems = [problem.message for problem in rig.kind(node).validate(exported)]
        expect(not problems, f"the exported resource is not valid: {'; '.join(problems)}")

    def test_an_exported_object_can_be_adopted_and_holds_no_marker(self, rig: Rig, case: Case) -> None:
        """The marker that adopting puts on is seen by `discover`, and is no part of what `export` gives."""
        if not case.is_markable:
            pytest.skip("objects of this kind carry no marker")
        node = self._plant_importable(rig, case)
        node = replace(node, external_id=self._discover(rig, node).external_id)
        observed = rig.observed(node)
        rig.update(node, replace(rig.diff(node, observed, None), fields=(), action=Action.ADOPT))
        found = self._discover(rig, node)
        expect(found.owner == rig.owner(node), f"discover should see our marker, but says {found.owner}")
        document = self._export(rig.kind(node), case, found)
        text = json.dumps(to_record(rig.kind(node).seal(document)))
        expect(node.address.text not in text, "the exported resource holds our marker")

    def test_discovering_modifies_nothing(self, rig: Rig, case: Case) -> None:
        """`discover` never modifies."""
        node = self._plant_importable(rig, case)
        before, writes = self.snapshot(rig, node), self.count_writes(rig)
        self._discover(rig, node)
        expect(self.count_writes(rig) == writes, "discovering sent writing calls")
        expect(self.snapshot(rig, node) == before, "discovering changed the object")

    def test_an_id_that_names_nothing_is_missing(self, rig: Rig, case: Case) -> None:
        """`discover`: an id that names no object is Missing, and says so."""
        node = rig.node(case)
        self._skip_without_import(rig.kind(node))
        ids = self.import_ids(rig, node) or [node.name]
        answers = list(rig.kind(node).discover(rig.session(node), ids))
        is_missing = len(answers) == len(ids) and all(isinstance(each, Missing) for each in answers)
        expect(is_missing, f"nothing was made, but {ids} gives {answers}")

    def test_secrets_are_seen_in_what_is_exported(self, rig: Rig, secretive: Case) -> None:
        """`seal` finds every sensitive value of an exported resource, so that none gets into a file."""
        node = self._plant_importable(rig, secretive)
        kind, found = rig.kind(node), self._discover(rig, node)
        live = json.dumps(to_record(kind.seal(found.body)))
        if any(canary in live for canary in secretive.sensitive):
            pytest.skip("only the manifest says what is a secret")
        document = self._export(kind, secretive, found)
        expect_no_canary(secretive, "an exported resource", json.dumps(to_record(kind.seal(document))))

    # -- parts

    def _plant_importable(self, rig: Rig, case: Case) -> Node:
        node = rig.node(case, adopt=True)
        self._skip_without_import(rig.kind(node))
        self.plant(rig, node, case)
        return node

    def _skip_without_import(self, kind: Kind) -> None:
        if type(kind).discover is Kind.discover:
            pytest.skip("the kind does not support import")

    def _discover(self, rig: Rig, node: Node) -> Discovered:
        """The object of a node, found without it."""
        external_id = rig.observed(node).external_id

        def look() -> Sequence[Discovered | Missing]:
            answers = rig.kind(node).discover(rig.session(node), self.import_ids(rig, node))
            return [each for each in answers if each.__class__ is Missing or _is(each, external_id)]

        found = rig.eventually(node, look, bool)
        if len(found) != 1 or not isinstance(found[0], Discovered):
            fail(f"discover should give {external_id} once, but gives {found}")
        return found[0]

    def _export(self, kind: Kind, case: Case, found: Discovered) -> Document:
        """What `export` gives. An object with a secret may be refused."""
        try:
            return kind.export(found.body)
        except Invalid as refusal:
            if not case.sensitive:
                raise
            expect_no_canary(case, "a refusal to export", f"{refusal} {refusal.hint}")
            pytest.skip("the kind exports no object that holds a secret")

    def _exported(self, rig: Rig, node: Node, case: Case, found: Discovered) -> Node:
        """The node of the exported resource, as the engine makes it."""
        kind = rig.kind(node)
        document = self._export(kind, case, found)
        expect(document.get("apiVersion") == node.api_version, "the exported resource has another apiVersion")
        expect(document.get("kind") == node.kind, "the exported resource is of another kind")
        expect(bool(document.get("metadata", {}).get("name")), "the exported resource has no name")
        expect("status" not in document, "the exported resource has a status")
        return replace(node, body=kind.seal(document), external_id=found.external_id)


def _is(found: Discovered | Missing, external_id: str) -> bool:
    return isinstance(found, Discovered) and found.external_id == external_id
