"""Which node a word means."""

from __future__ import annotations

import pytest

from trueup.manifests.references import NodeIndex, Unresolved
from trueup.model.address import Address


def address(text):
    return Address.parse(f"s/{text}")


@pytest.fixture
def index():
    made = NodeIndex()
    for text in (
        "File/site@web-1", "File/site@web-2", "Queue/q@eu", "Service/shop/web@prod", "Service/blog/web@prod",
        "Service/shop/api@prod", "Service/shop/api@test", "ConfigMap/c@prod", "ConfigMap/shop/c@prod",
    ):  # fmt: skip
        made.add(address(text))
    return made


@pytest.mark.parametrize(
    ("text", "source", "found"),
    [
        ("File/site", "A/a@web-2", "File/site@web-2"),
        ("File/site@web-1", "A/a@web-2", "File/site@web-1"),
        ("Queue/q", "A/a@web-2", "Queue/q@eu"),
        ("Service/web", "A/shop/a@prod", "Service/shop/web@prod"),
        ("Service/blog/web", "A/shop/a@prod", "Service/blog/web@prod"),
        ("Service/shop/api", "A/a@test", "Service/shop/api@test"),
        ("Service/api@test", "A/a@prod", "Service/shop/api@test"),
        ("ConfigMap/c", "A/a@prod", "ConfigMap/c@prod"),
        ("ConfigMap/c", "A/shop/a@prod", "ConfigMap/shop/c@prod"),
        ("ConfigMap/c", "A/other/a@prod", "ConfigMap/c@prod"),
    ],
)
def test_a_ref_means_one_node_the_nearest(index, text, source, found):
    assert index.one(text, address(source)) == address(found)


@pytest.mark.parametrize(
    ("text", "source", "message"),
    [
        ("File/site", "A/a@prod", "means 2 resources: File/site@web-1, File/site@web-2"),
        ("Service/web", "A/a@eu", "means 2 resources"),
        ("File/sit", "A/a@prod", "there is no File/sit"),
        ("File/site@web-9", "A/a@prod", "there is no File/site@web-9"),
        ("Queue/q", "Queue/q@eu", "refers to itself"),
        ("File", "A/a@prod", "is not a reference"),
        ("File/a/b/c", "A/a@prod", "there is no File/a/b/c"),
        ("File/site@", "A/a@prod", "is not a reference"),
        ("File//site", "A/a@prod", "is not a reference"),
        ("File/site@a@b", "A/a@prod", "is not a reference"),
    ],
)
def test_a_ref_that_means_no_node_or_several_is_an_error(index, text, source, message):
    with pytest.raises(Unresolved) as error:
        index.one(text, address(source))
    assert message in error.value.message


@pytest.mark.parametrize(
    ("text", "source", "found"),
    [
        ("File/site", "A/a@web-2", ["File/site@web-2"]),
        ("File/site", "A/a@prod", ["File/site@web-1", "File/site@web-2"]),
        ("File/site@web-1", "A/a@web-2", ["File/site@web-1"]),
        ("File/site", "File/site@web-1", None),
        ("Service/web", "A/shop/a@prod", ["Service/shop/web@prod"]),
        ("Service/web", "A/a@eu", ["Service/shop/web@prod", "Service/blog/web@prod"]),
        ("Service/api", "A/shop/a@prod", ["Service/shop/api@prod"]),
    ],
)
def test_depends_on_means_the_same_target_first_and_else_all(index, text, source, found):
    if found is None:
        with pytest.raises(Unresolved, match="depends on itself"):
            index.all(text, address(source))
    else:
        assert index.all(text, address(source)) == tuple(address(one) for one in found)


def test_the_name_of_a_document_with_for_each_means_all_that_it_makes(index):
    made = [address("File/page-a@web-1"), address("File/page-b@web-1"), address("File/page-a@web-2")]
    index.add_declared("File", "page", made)
    assert index.all("File/page", address("A/a@web-1")) == tuple(made[:2])
    assert index.all("File/page", address("A/a@prod")) == tuple(made)
    with pytest.raises(Unresolved, match="there is no File/page") as error:
        index.one("File/page", address("A/a@web-1"))
    assert "File/page-a" in error.value.hint


def test_a_document_that_is_switched_off_can_be_depended_on_but_not_referred_to(index):
    index.add_declared("File", "off", [])
    assert index.all("File/off", address("A/a@prod")) == ()
    with pytest.raises(Unresolved, match="its when is false"):
        index.one("File/off", address("A/a@prod"))


def test_what_is_broken_is_not_reported_as_missing(index):
    index.add_broken("File", "bad")
    with pytest.raises(Unresolved) as error:
        index.one("File/bad", address("A/a@prod"))
    assert error.value.is_consequence
    index.is_partial = True
    with pytest.raises(Unresolved) as error:
        index.all("File/anything", address("A/a@prod"))
    assert error.value.is_consequence


def test_a_kind_of_a_cluster_may_be_called_module(index):
    for text in ("Module/driver@prod", "Module/kmm/net@prod", "Module/both@prod"):
        index.add(address(text))
    member = address("File/both/conf@web-1")
    index.add_module("both", [member], lambda _target: {"outputs": {"a": 1}})
    source = address("A/a@prod")
    for text, found in (
        ("Module/driver", "Module/driver@prod"),
        ("Module/kmm/net@prod", "Module/kmm/net@prod"),
    ):
        assert index.module(text, source) is None
        assert index.one(text, source) == address(found)
        assert index.all(text, source) == (address(found),)
    assert index.module("Module/both", source) == {"outputs": {"a": 1}}
    assert index.all("Module/both", source) == (member,)
    with pytest.raises(Unresolved, match="there is no Module/none"):
        index.module("Module/none", source)
