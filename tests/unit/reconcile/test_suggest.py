"""Each suggestion is carried out on the files, and the drift is gone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import yaml
from tests.unit.reconcile.conftest import Loop

from trueup.errors import Place
from trueup.model.address import Address
from trueup.model.observation import Observed
from trueup.model.resource import Node, Target
from trueup.reconcile.drift import DriftedNode
from trueup.reconcile.suggest import Suggestion, suggest
from trueup.sdk.testing.memory import Thing
from trueup.sources.open import open_tree
from trueup.state.store import Record


def suggestions(loop: Loop) -> Sequence[Suggestion]:
    (node,) = loop.app.drift(loop.source).nodes
    with closing(open_tree(str(loop.folder / "stack"), "", "")) as tree:
        return suggest(node, tree)


def lay_over(document: dict[str, Any], part: Mapping[str, Any]) -> dict[str, Any]:
    for key, value in part.items():
        if isinstance(value, Mapping) and isinstance(document.get(key), dict):
            lay_over(document[key], value)
        else:
            document[key] = value
    return document


def edit_file(loop: Loop, text: str) -> None:
    file = loop.folder / "stack" / "Thing-a.yaml"
    file.write_text(yaml.safe_dump(lay_over(yaml.safe_load(file.read_text()), yaml.safe_load(text))))


def test_the_rule_ignores_the_field_from_then_on(loop: Loop) -> None:
    loop.declare("a", {"value": 1, "size": 3}, lifecycle={"ignore": ["/spec/size"]})
    loop.run()
    loop.edit("Thing/a", value=2)
    (found,) = suggestions(loop)
    assert found.ignore is not None
    assert found.ignore.yaml == "lifecycle:\n  ignore:\n    - /spec/size\n    - /spec/value\n"
    assert str(found.ignore.place) == "Thing-a.yaml:4:3"
    edit_file(loop, found.ignore.yaml)
    assert loop.app.drift(loop.source).nodes == ()
    assert not loop.plan().has_changes


def test_the_edit_makes_the_live_value_gits(loop: Loop) -> None:
    loop.declare("a", {"value": {"x": {"left": 1, "right": 2}}})
    loop.run()
    loop.edit("Thing/a", value={"x": {"left": "no: ${{ x }}", "right": 2}})
    (found,) = suggestions(loop)
    assert found.accept is not None
    assert found.accept.yaml == 'spec:\n  value:\n    x:\n      left: "no: $${{ x }}"\n'
    assert str(found.accept.place) == "Thing-a.yaml:8:7"
    edit_file(loop, found.accept.yaml)
    assert loop.app.drift(loop.source).nodes == ()
    assert not loop.plan().has_changes


def test_a_field_that_was_removed_by_hand_is_to_be_removed_from_git(loop: Loop) -> None:
    loop.declare("a", {"value": {"x": 1, "left": 2}})
    loop.run()
    loop.edit("Thing/a", value={"x": 1})
    (found,) = suggestions(loop)
    assert found.accept is not None
    assert (found.accept.is_removal, found.accept.yaml) == (True, "spec:\n  value:\n    left: 2\n")


def test_what_is_gone_can_only_be_removed(loop: Loop) -> None:
    loop.declare("a", {"value": 1})
    loop.run()
    loop.world.put("Thing/a", None)
    (found,) = suggestions(loop)
    assert found.ignore is None
    assert found.accept is not None
    assert (found.path, found.accept.yaml, found.accept.is_removal) == ("", "", True)


def test_a_sensitive_value_is_never_suggested(loop: Loop) -> None:
    loop.declare("a", {"user": "u", "token": "t"}, kind="Secretive")
    loop.run()
    loop.edit("Secretive/a", token="stolen")
    (found,) = suggestions(loop)
    assert found.accept is None
    assert found.ignore is not None
    assert "stolen" not in repr(found)


def test_an_expression_in_the_file_is_told(loop: Loop) -> None:
    loop.write_stack(variables={"size": {"type": "integer", "default": 3}})
    loop.declare("a", {"size": "${{ vars.size }}"})
    loop.run()
    loop.edit("Thing/a", size=5)
    (found,) = suggestions(loop)
    assert found.accept is not None
    assert "an expression stands there" in found.accept.note


class Keyed(Thing):
    """Has a list whose items are known by their names."""

    schema: Mapping[str, Any] | None = {
        "properties": {"items": {"type": "array", "x-list-key": "name", "items": {"type": "object"}}}
    }


class Helpless(Keyed):
    """Cannot find its items."""

    def find_item(self, *_words: Any) -> int | None:
        raise KeyError("a bug")


def suggest_keyed(
    folder: Path, declared: list[Any], live: list[Any], *, kind: str = "Keyed", keyed: Keyed | None = None
) -> list[tuple[str, str | None, str | None]]:
    document = {"apiVersion": "v1", "kind": kind, "metadata": {"name": "a"}, "spec": {"items": declared}}
    (folder / "a.yaml").write_text(yaml.safe_dump(document))
    address = Address("shop", "Keyed", "a", "here")
    body = {**document, "kind": "Keyed"}
    node = Node(address, "v1", Target("here", "memory"), body, place=Place("a.yaml", 1, 1))
    seen = Observed(address, {**body, "spec": {"items": live}}, "id")
    record = Record(address, "v1", {}, "f", "id", body)
    change = Keyed().diff(node, seen, body)
    drifted = DriftedNode(node, change, keyed or Keyed(), record, seen, is_reported=False)
    with closing(open_tree(str(folder), "", "")) as tree:
        found = suggest(drifted, tree)
    return [(each.path, each.ignore and each.ignore.yaml, each.accept and each.accept.yaml) for each in found]


def test_items_of_keyed_lists_are_named_as_plans_name_them(tmp_path: Path) -> None:
    declared = [{"name": "a", "size": 1}, {"name": "b", "size": 1}]
    live = [{"name": "b", "size": 2}, {"name": "a", "size": 1}]
    assert suggest_keyed(tmp_path, declared, live) == [
        (
            "/spec/items/b/size",
            "lifecycle:\n  ignore:\n    - /spec/items/b/size\n",
            "spec:\n  items:\n    - name: b\n      size: 2\n",
        )
    ]


def test_a_way_that_does_not_help_is_not_suggested(tmp_path: Path) -> None:
    # An item that is missing lives nowhere that could be ignored; it can be removed from Git.
    found = suggest_keyed(tmp_path, [{"name": "a"}, {"name": "b"}], [{"name": "a"}])
    assert found == [("/spec/items/b", None, "spec:\n  items:\n    - name: b\n")]


def test_what_was_rendered_has_no_line_to_edit(tmp_path: Path) -> None:
    declared, live = [{"name": "a", "size": 1}], [{"name": "a", "size": 2}]
    ((_, ignore, accept),) = suggest_keyed(tmp_path, declared, live, kind="Chart")
    assert ignore is not None
    assert accept is None


def test_what_a_kind_cannot_try_out_is_not_suggested(tmp_path: Path) -> None:
    declared, live = [{"name": "a", "size": 1}], [{"name": "a", "size": 2}]
    assert suggest_keyed(tmp_path, declared, live, keyed=Helpless()) == [("/spec/items/a/size", None, None)]


def test_that_a_document_counts_for_other_resources_is_told(loop: Loop) -> None:
    loop.declare("a", {"value": 1})
    loop.run()
    loop.edit("Thing/a", value=2)
    (node,) = loop.app.drift(loop.source).nodes
    with closing(open_tree(str(loop.folder / "stack"), "", "")) as tree:
        (found,) = suggest(replace(node, siblings=2), tree)
    assert found.ignore is not None
    assert found.ignore.note == "it counts for 2 more resources that the same document makes"
