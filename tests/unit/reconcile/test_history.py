"""Past runs, read back and compared."""

from __future__ import annotations

import pytest
from tests.unit.reconcile.conftest import Loop

from trueup.errors import UsageError
from trueup.model.address import Address
from trueup.model.change import MISSING
from trueup.model.outcome import Result
from trueup.model.values import UNKNOWN, Sensitive
from trueup.reconcile.history import NothingNamed, compare_runs, find_addresses, find_run, read_field


def test_a_run_comes_back_with_its_plan_and_steps(loop: Loop):
    loop.declare("a", {"size": 1})
    found = find_run(loop.app.store, loop.run().run)
    assert [step.result for step in found.steps] == [Result.CREATED]
    assert found.plan is not None
    assert found.plan["stack"] == "shop"


def test_a_run_that_is_not_there_is_told(loop: Loop):
    with pytest.raises(UsageError, match="there is no run 7"):
        find_run(loop.app.store, 7)


def test_two_runs_differ_in_what_they_did_to_nodes_and_fields(loop: Loop):
    loop.declare("a", {"size": 1})
    loop.declare("b", {"size": 1})
    loop.declare("same", {"size": 1})
    loop.run()
    loop.declare("a", {"size": 2})
    first = loop.run().run
    loop.declare("a", {"size": 3, "text": "new"})
    loop.undeclare("b")
    second = loop.run().run
    found = compare_runs(loop.app.store, first, second)
    assert (found.first.id, found.second.id) == (first, second)
    nodes = {node.address.name: node for node in found.nodes}
    assert nodes.keys() == {"a", "b"}
    assert (nodes["a"].first, nodes["a"].second) == (Result.UPDATED, Result.UPDATED)
    sizes = nodes["a"].fields["/spec/size"]
    assert [(side.before, side.after) for side in sizes if side] == [(1, 2), (2, 3)]
    assert nodes["a"].fields["/spec/text"][0] is None
    assert (nodes["b"].first, nodes["b"].second) == (None, Result.DELETED)
    assert list(compare_runs(loop.app.store, first, first).nodes) == []


def test_runs_of_two_stacks_are_not_compared(loop: Loop):
    loop.declare("a")
    first = loop.run().run
    lease = loop.app.store.acquire_lease("blog", "me", 60)
    assert lease is not None
    other = loop.app.store.begin_run(lease, url="u", commit="c", digest="d")
    with pytest.raises(UsageError, match=r"run .* is of the stack 'shop', run .* of 'blog'"):
        compare_runs(loop.app.store, first, other)


SITE = Address("shop", "File", "site", "web-1")
DOTTED = Address("shop", "File", "site.conf", "web-1.example.com")
INNER = Address("shop", "File", "blog/page", "web-1")


@pytest.mark.parametrize(
    ("text", "found", "field"),
    [
        ("File/site", [SITE], ""),
        ("File/site@web-1", [SITE], ""),
        ("shop/File/site@web-1", [SITE], ""),
        ("shop/File/site", [SITE], ""),
        ("Module/blog", [INNER], ""),
        ("File/site.spec.mode", [SITE], "spec.mode"),
        ("File/site.conf", [DOTTED], ""),
        ("File/site.conf.spec.mode", [DOTTED], "spec.mode"),
        ("File/site.conf@web-1.example.com.spec.ports[0]", [DOTTED], "spec.ports[0]"),
    ],
)
def test_an_address_is_found_in_all_forms_with_a_field_behind_it(text: str, found: list[Address], field: str):
    assert find_addresses(text, [SITE, DOTTED, INNER]) == (found, field)


@pytest.mark.parametrize("text", ["File/other", "", ".", "File", "blog/File/site@web-1"])
def test_what_names_nothing_is_told(text: str):
    with pytest.raises(NothingNamed):
        find_addresses(text, [SITE, DOTTED, INNER])


def test_a_field_is_read_as_it_was_written():
    field = read_field({"path": "/a", "from": {"$sensitive": "sha256:1"}, "to": [{"$unknown": True}, 1]})
    assert (field.before, field.after) == (Sensitive("sha256:1"), [UNKNOWN, 1])
    assert str(field.before) == "(sensitive)"
    other = read_field({"path": "/a", "sensitive": True})
    assert (other.before, other.after, other.sensitive) == (MISSING, MISSING, True)
