"""Which keys name a secret of Vault."""

from __future__ import annotations

import pytest

from trueup.sdk import Invalid
from trueup_vault.source import VaultSource, fields_of


@pytest.mark.parametrize(
    "key", ["secret/data/shop#/password", "kv/shop", "team-a/kv/data/a.b/c_d", "secret/data/a b#/x"]
)
def test_a_path_of_the_api_is_a_key(key: str) -> None:
    VaultSource().check(key, {})


@pytest.mark.parametrize(
    "key",
    [
        "",
        "shop",
        "/secret/data/shop",
        "secret/data/shop/",
        "secret//shop",
        "secret/data/../sys/raw",
        "secret/./shop",
        "secret/data/shop?version=1",
        "secret/%2e%2e/sys",
        "secret/data/shop#password",
        "secret\\data",
        "secret/data/ä",
    ],
)
def test_what_could_mean_another_path_is_refused(key: str) -> None:
    with pytest.raises(Invalid):
        VaultSource().check(key, {})


def test_a_version_without_data_is_deleted() -> None:
    with pytest.raises(Invalid, match="deleted"):
        fields_of({"data": None, "metadata": {"version": 2}}, "secret/data/a")
