from __future__ import annotations

from typing import Any, cast

import pytest

from trueup.sdk import ProviderError
from trueup_kubernetes.client import Client
from trueup_kubernetes.errors import Answer
from trueup_kubernetes.session import ClusterSession, NotKnown, NotServed

EMPTY = Answer(200, {"kind": "APIGroupDiscoveryList", "items": []})


class Recorded:
    """The answers of an API server that lists no custom group in discovery."""

    def __init__(self, of_version: Answer) -> None:
        self.of_version = of_version

    def request(self, method: str, path: str, **options: Any) -> Answer:
        if path.endswith("kube-system"):
            return Answer(200, {"metadata": {"uid": "1"}})
        return self.of_version if path == "/apis/x.io/v1" else EMPTY


def resources(*kinds: str) -> Answer:
    return Answer(200, {"kind": "APIResourceList", "resources": [{"kind": kind} for kind in kinds]})


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        (Answer(404, None), NotServed),
        (resources("Other"), NotServed),
        (resources("Thing"), NotKnown),
        (Answer(503, None), NotKnown),
        (Answer(403, {"kind": "Status"}), NotKnown),
        (Answer(200, None), NotKnown),
    ],
)
def test_a_kind_is_not_served_only_where_its_group_version_says_so(
    answer: Answer, error: type[ProviderError]
) -> None:
    session = ClusterSession(cast(Client, Recorded(answer)), "default", "key")
    with pytest.raises(error):
        session.resource("x.io/v1", "Thing")
