"""One host is down: its nodes fail and say why, all others converge, and a run mends it once it is back."""

from __future__ import annotations

import pytest
from tests.cluster.fixtures import Cluster
from tests.e2e.shop import Shop, results
from tests.hosts.fixtures import Host
from tests.moto.fixtures import Moto

pytestmark = [pytest.mark.hosts, pytest.mark.cluster, pytest.mark.moto, pytest.mark.xdist_group("hosts")]

NOTE = """
apiVersion: v1
kind: ConfigMap
metadata: {name: after-hosts, namespace: shop}
dependsOn: [Service/nginx]
data: {state: ready}
"""


def test_a_host_that_is_down_blocks_its_dependents_and_nothing_else(
    shop: Shop, cluster: Cluster, moto: Moto, web_hosts: tuple[Host, Host]
) -> None:
    shop.commit("Something waits for both hosts", note=NOTE)
    web_hosts[1].off()
    done = shop.run("reconcile", "--yes")
    assert done.returncode == 1, done.stdout + done.stderr
    assert "web-2" in done.stdout

    web_hosts[1].off()
    report = shop.reconcile(expect=1)
    by_address = {outcome["address"]: outcome for outcome in report["outcomes"]}
    for address, result in results(report).items():
        if address.endswith("@web-2"):
            assert result in ("failed", "blocked"), address
        elif "after-hosts" not in address:
            assert result == "unchanged", address
    package = by_address["shop/Package/nginx@web-2"]
    assert package["result"] == "failed"
    assert web_hosts[1].ip in package["message"]
    assert by_address["shop/File/site@web-2"]["result"] in ("failed", "blocked")
    waiting = by_address["shop/ConfigMap/shop/after-hosts@prod"]
    assert waiting["result"] == "blocked"
    assert "@web-2" in waiting["message"]
    assert cluster.ask("GET", "/api/v1/namespaces/shop/configmaps/after-hosts")[0] == 404

    web_hosts[1].on()
    report = shop.reconcile()
    assert results(report)["shop/ConfigMap/shop/after-hosts@prod"] == "created"
    assert web_hosts[1].run("systemctl is-active nginx").strip() == "active"
