"""The shop example on real hosts, a real cluster and moto, read from a real Git server."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from tests.cluster.fakenode import FakeNode
from tests.cluster.fixtures import Cluster
from tests.e2e.shop import Shop, start_files
from tests.git.fixtures import GitServer
from tests.hosts.fixtures import Host
from tests.moto.fixtures import Moto


@pytest.fixture
def web_hosts(hosts: Sequence[Host]) -> Iterator[tuple[Host, Host]]:
    """Two hosts with fresh disks, which are up again afterwards whatever the test did to them."""
    pair = hosts[0], hosts[1]
    for host in pair:
        host.fresh()
    yield pair
    for host in pair:
        host.fresh()


@pytest.fixture
def shop(
    web_hosts: tuple[Host, Host],
    cluster: Cluster,
    fakenode: FakeNode,
    moto: Moto,
    git_server: GitServer,
    tmp_path: Path,
) -> Iterator[Shop]:
    """The stack in Git, its targets empty; destroyed afterwards if the test did not do it."""
    moto.reset()
    first, second = web_hosts
    targets = [
        cluster.target("prod"),
        moto.target("eu"),
        first.target("web-1", labels={"role": "web"}, connectTimeout=5),
        second.target("web-2", labels={"role": "web"}, connectTimeout=5),
    ]
    repository = git_server.create(f"shop-{os.urandom(4).hex()}")
    repository.commit(start_files(targets), "The shop")
    shop = Shop(repository, tmp_path / "store.db")
    yield shop
    cluster.ask("DELETE", "/api/v1/namespaces/shop")
    wait_until(lambda: cluster.ask("GET", "/api/v1/namespaces/shop")[0] == 404, "the namespace is gone")


def wait_until(is_true: Callable[[], Any], what: str, seconds: float = 60.0) -> None:
    """Waits for the world; fails with what it waited for."""
    import time

    deadline = time.monotonic() + seconds
    while not is_true():
        assert time.monotonic() < deadline, f"waited {seconds:.0f} s in vain: {what}"
        time.sleep(0.1)
