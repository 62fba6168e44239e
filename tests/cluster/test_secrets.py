"""Entries of Secrets of a real cluster, read with few requests and shown nowhere."""

from __future__ import annotations

import base64
from collections.abc import Iterator

import pytest
from tests.cluster.fixtures import Cluster
from tests.cluster.test_reading import bind

from trueup.sdk import Denied, Invalid, SecretAnswer, SecretContext, Sensitive
from trueup_kubernetes.provider import KubernetesProvider
from trueup_kubernetes.secret_source import KubernetesSource
from trueup_kubernetes.session import ClusterSession

pytestmark = [pytest.mark.cluster, pytest.mark.xdist_group("cluster")]

CANARY = "kanarienvogel"
SOURCE = KubernetesSource()


@pytest.fixture
def session(cluster: Cluster) -> Iterator[ClusterSession]:
    session = KubernetesProvider().connect(cluster.target(), "installation/shop")
    assert isinstance(session, ClusterSession)
    yield session
    session.close()


def make_secret(cluster: Cluster, namespace: str, name: str, **data: bytes) -> None:
    encoded = {key: base64.b64encode(value).decode() for key, value in data.items()}
    cluster.request(
        "POST", f"/api/v1/namespaces/{namespace}/secrets", {"metadata": {"name": name}, "data": encoded}
    )


def read(session: ClusterSession, *keys: str) -> list[SecretAnswer]:
    for key in keys:
        SOURCE.check(key, {})
    answers = SOURCE.read(keys, SecretContext(session=session))
    assert CANARY not in repr(answers)
    return [answers[key] for key in keys]


def reads_of_secrets(cluster: Cluster) -> list[tuple[str, str]]:
    return [
        (event["verb"], event["objectRef"].get("name", ""))
        for event in cluster.audit("get", "list")
        if event.get("objectRef", {}).get("resource") == "secrets"
    ]


def test_entries_are_decoded_and_each_secret_is_read_once(
    cluster: Cluster, namespace: str, session: ClusterSession
) -> None:
    make_secret(cluster, namespace, "db", password=CANARY.encode(), user=b"shop\n", empty=b"")
    cluster.mark()
    keys = [f"{namespace}/db#/{key}" for key in ("password", "user", "empty")]
    assert read(session, *keys) == [Sensitive(CANARY), Sensitive("shop\n"), Sensitive("")]
    assert reads_of_secrets(cluster) == [("get", "db")]


def test_many_secrets_of_a_namespace_are_listed_once(
    cluster: Cluster, namespace: str, session: ClusterSession
) -> None:
    for number in range(6):
        make_secret(cluster, namespace, f"s-{number}", a=f"{CANARY}{number}".encode())
    cluster.mark()
    answers = read(session, *(f"{namespace}/s-{number}#/a" for number in range(7)))
    assert answers[:6] == [Sensitive(f"{CANARY}{number}") for number in range(6)]
    assert isinstance(answers[6], Invalid)
    assert answers[6].message == f"the cluster has no Secret {namespace}/s-6"
    assert reads_of_secrets(cluster) == [("list", "")]


def test_what_is_missing_or_no_text_says_so(
    cluster: Cluster, namespace: str, session: ClusterSession
) -> None:
    make_secret(cluster, namespace, "db", password=CANARY.encode(), key=b"\xff\xfe")
    no_secret, no_entry, no_text = read(
        session, f"{namespace}/none#/a", f"{namespace}/db#/passwrod", f"{namespace}/db#/key"
    )
    messages = [str(error) for error in (no_secret, no_entry, no_text)]
    assert messages == [
        f"the cluster has no Secret {namespace}/none",
        f"Secret {namespace}/db has nothing at #/passwrod",
        f"what Secret {namespace}/db holds at #/key is not UTF-8 text",
    ]


def test_what_is_denied_is_denied_and_where_listing_is_denied_each_is_read(
    cluster: Cluster, namespace: str
) -> None:
    root = "/apis/rbac.authorization.k8s.io/v1/namespaces"
    for place, name, rule in (
        ("kube-system", "identity", {"apiGroups": [""], "resources": ["namespaces"], "verbs": ["get"]}),
        (namespace, "secrets", {"apiGroups": [""], "resources": ["secrets"], "verbs": ["get"]}),
    ):
        cluster.ask("POST", f"{root}/{place}/roles", {"metadata": {"name": name}, "rules": [rule]})
        bind(cluster, place, name)
    for number in range(6):
        make_secret(cluster, namespace, f"s-{number}", a=CANARY.encode())
    session = KubernetesProvider().connect(cluster.limited_target(), "installation/shop")
    try:
        assert isinstance(session, ClusterSession)
        assert (
            read(session, *(f"{namespace}/s-{number}#/a" for number in range(6))) == [Sensitive(CANARY)] * 6
        )
        (denied,) = read(session, "kube-system/s#/a")
        assert isinstance(denied, Denied)
    finally:
        session.close()
        for kind in ("rolebindings", "roles"):
            cluster.ask("DELETE", f"{root}/kube-system/{kind}/identity")


@pytest.mark.parametrize(
    "key",
    ["db#/a", "shop/db", "shop/db#a", "shop/db/c#/a", "../db#/a", "Shop/db#/a", "shop/..#/a", "/#/a", ""],
)
def test_a_key_that_names_no_entry_is_refused(key: str) -> None:
    with pytest.raises(Invalid):
        SOURCE.check(key, {})
