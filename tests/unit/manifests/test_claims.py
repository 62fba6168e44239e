"""Which objects other stacks of the source say they take over: textual, and rather one too many."""

from __future__ import annotations

import time

import pytest

from trueup.errors import SourceError, UnfitFile
from trueup.manifests import claims
from trueup.manifests.claims import find_claims
from trueup.model.address import Address

SITE = Address.parse("shop/File/site@web-1")
QUEUE = Address.parse("shop/AWS::SQS::Queue/jobs@eu")
CONF = Address.parse("shop/File/site/conf@web-1")
EVERY = (SITE, QUEUE, CONF)


class Files:
    """A tree of texts that counts what is read; an error in place of a text is raised."""

    def __init__(self, **files: str | Exception) -> None:
        self._files = {name.replace("_", "."): content for name, content in files.items()}
        self.read_paths: list[str] = []

    def source_paths(self):
        return sorted(self._files)

    def read(self, path: str) -> bytes:
        self.read_paths.append(path)
        content = self._files[path]
        if isinstance(content, Exception):
            raise content
        return content.encode()


def claimed(text: str, name: str = "other_yaml") -> set[Address]:
    claims = find_claims(Files(**{name: text}), EVERY)
    assert set(claims.values()) <= {name.replace("_", ".")}
    return set(claims)


@pytest.mark.parametrize(
    "text",
    [
        "lifecycle: {movedFrom: [shop/File/site]}",
        "lifecycle:\n  movedFrom:\n    - shop/File/site\n",
        "lifecycle:\n  movedFrom:\n    - 'shop/File/site@web-1'\n",
        'lifecycle.movedFrom = ["shop/File/site"]',
        '{"lifecycle": {"movedFrom": ["shop\\/File\\/site"]}}',
        'annotations: {trueup.dev/lifecycle: "{movedFrom: [shop/File/site]}"}',
        "lifecycle: {movedFrom: ['shop/File/${{ each.key }}']}",
        "lifecycle: {movedFrom: ['${{ vars.from }}/File/site']}",
        "lifecycle: {movedFrom: [{{ .Values.from }}/File/site]}",
        "# movedFrom: shop/File/site, until last year",
    ],
)
def test_an_address_is_claimed_in_whatever_form_it_stands(text: str) -> None:
    assert claimed(text) == {SITE} or "each.key" in text
    assert SITE in claimed(text)


def test_a_claim_is_for_its_address_and_not_for_longer_or_shorter_ones() -> None:
    assert claimed("movedFrom: [shop/AWS::SQS::Queue/jobs]") == {QUEUE}
    assert claimed("movedFrom: [shop/File/site/conf]") == {CONF}
    assert claimed("movedFrom: [shop/File/sit, xshop/File/site, shop/File/site@web-2, File/site]") == set()


def test_an_address_out_of_an_expression_could_be_any_of_its_kind() -> None:
    assert claimed("kind: File\nlifecycle: {movedFrom: ['${{ vars.old }}']}") == {SITE, CONF}
    assert claimed("kind: File\nlifecycle:\n  movedFrom:\n  - ${{ vars.old }}\n  adopt: true") == {SITE, CONF}
    assert claimed("kind: File\nlifecycle: {movedFrom: [a/File/b]}\nwhen: ${{ vars.on }}") == set()


def test_a_use_of_a_module_is_claimed_for_all_that_may_be_in_it() -> None:
    assert claimed("kind: Module\nlifecycle: {movedFrom: [shop/Module/site]}") == {CONF}
    assert claimed("kind: Module\nlifecycle: {movedFrom: [shop/Module/conf, Module/site]}") == set()
    assert claimed("kind: Module\nlifecycle: {movedFrom: ['${{ vars.old }}']}") == {CONF}


def test_without_the_key_nothing_is_claimed() -> None:
    assert claimed("see shop/File/site") == set()


def test_other_files_are_not_read_and_no_file_is_where_nothing_is_lost() -> None:
    files = Files(a_txt="movedFrom: [shop/File/site]", b_toml="", c_json="", d_YAML="", e_tpl="")
    assert find_claims(files, EVERY) == {}
    assert files.read_paths == ["b.toml", "c.json", "d.YAML", "e.tpl"]
    files = Files(b_toml="movedFrom")
    assert find_claims(files, ()) == {}
    assert files.read_paths == []


def test_what_cannot_be_a_resource_file_claims_nothing_but_what_cannot_be_read_stops_the_run() -> None:
    assert find_claims(Files(a_json=UnfitFile("too large")), EVERY) == {}
    with pytest.raises(SourceError, match="gone"):
        find_claims(Files(a_json=SourceError("gone")), EVERY)


def test_hostile_text_takes_no_time() -> None:
    address = Address("shop", "File", "a" * 200, "web-1")
    start = time.perf_counter()
    for text in (
        "movedFrom: [" + "${{x}}a" * 50 + "/b]",
        "movedFrom: " + "{{ " * 300_000,
        "movedFrom:" + "\n" * 300_000,
    ):
        assert list(claims._claimed(text, [address])) == []
    assert time.perf_counter() - start < 20


def test_many_addresses_and_a_long_text_take_the_time_of_one_after_the_other() -> None:
    addresses = [Address("shop", "File", f"old-{number}", "web-1") for number in range(20_000)]
    words = (f"- other/File/old-{number}" for number in range(20_000))
    text = "\n".join(["movedFrom:", *words, "- shop/File/old-7"])
    start = time.perf_counter()
    assert list(claims._claimed(text, addresses)) == [addresses[7]]
    assert time.perf_counter() - start < 20


@pytest.mark.parametrize(
    ("literals", "address", "is_fit"),
    [
        (["a/b"], "a/b", True),
        (["a/b"], "a/bc", False),
        (["a/", ""], "a/bc", True),
        (["", "/b"], "x/b", True),
        (["a", "b", "a"], "aba", True),
        (["ab", "ba"], "aba", False),
        (["a", "b", "ba"], "aba", False),
        (["a", "b", "c", ""], "axcxb", False),
    ],
)
def test_an_expression_stands_for_any_text(literals: list[str], address: str, is_fit: bool) -> None:
    assert claims._fits(literals, address) is is_fit
