"""One stack over a cloud, a cluster and two hosts: it converges, stays, follows Git, and can be destroyed."""

from __future__ import annotations

from collections import Counter

import pytest
from tests.cluster.fixtures import Cluster
from tests.e2e.shop import Shop, results
from tests.hosts.fixtures import Host
from tests.moto.fixtures import Moto

pytestmark = [pytest.mark.hosts, pytest.mark.cluster, pytest.mark.moto, pytest.mark.xdist_group("hosts")]

CONFIG_MAP = "/api/v1/namespaces/shop/configmaps/web"
SITE = "/etc/nginx/conf.d/shop.conf"
EXTRA = """
apiVersion: aws.trueup.dev/v1
kind: AWS::SNS::Topic
metadata: {name: alerts}
spec: {DisplayName: Alerts}
---
apiVersion: v1
kind: ConfigMap
metadata: {name: extra, namespace: shop}
data: {TOPIC: '${{ ref("AWS::SNS::Topic/alerts").status.TopicArn }}'}
---
apiVersion: ssh.trueup.dev/v1
kind: File
metadata: {name: motd}
targets: {names: [web-1]}
spec: {path: /etc/motd.shop, content: "managed\\n"}
"""


def test_the_shop_converges_stays_true_follows_git_and_is_destroyed(
    shop: Shop, cluster: Cluster, moto: Moto, web_hosts: tuple[Host, Host]
) -> None:
    _converges_from_an_empty_world(shop, cluster, moto, web_hosts)
    _stays_without_a_write(shop, cluster, moto, web_hosts)
    _corrects_drift_in_each_system(shop, cluster, moto, web_hosts)
    _deletes_what_leaves_git(shop, cluster, moto, web_hosts)
    _leaves_nothing(shop, cluster, moto, web_hosts)


def _converges_from_an_empty_world(
    shop: Shop, cluster: Cluster, moto: Moto, web_hosts: tuple[Host, Host]
) -> None:
    plan = shop.plan()
    assert plan["summary"]["create"] == 12
    config_map = next(change for change in plan["changes"] if "ConfigMap" in change["address"])
    url = next(field for field in config_map["fields"] if field["path"] == "/data/QUEUE_URL")
    assert url["toUnknown"] is True
    assert moto.writes() == []

    report = shop.reconcile()
    assert set(results(report).values()) <= {"created", "updated", "adopted"}
    assert len(report["outcomes"]) == 12
    (queue_url,) = moto.client("sqs").list_queues()["QueueUrls"]
    assert cluster.request("GET", CONFIG_MAP)["data"]["QUEUE_URL"] == queue_url
    service = cluster.request("GET", "/api/v1/namespaces/shop/services/web")
    for host in web_hosts:
        assert f"server {service['spec']['clusterIP']}:80;" in host.run(f"cat {SITE}")
        assert host.run("systemctl is-active nginx").strip() == "active"
        assert "nginx" in host.run("dpkg-query -W -f '${Status}' nginx && nginx -t 2>&1")


def _stays_without_a_write(shop: Shop, cluster: Cluster, moto: Moto, web_hosts: tuple[Host, Host]) -> None:
    cluster.mark()
    moto.mark()
    before = [host.exec_count() for host in web_hosts]
    report = shop.reconcile()
    assert set(results(report).values()) == {"unchanged"}
    assert cluster.writes() == []
    assert moto.writes() == []
    assert [host.exec_count() for host in web_hosts] == [count + 1 for count in before]
    reads = Counter(
        event["objectRef"]["resource"]
        for event in cluster.audit("get", "list")
        if "objectRef" in event and event["objectRef"].get("name") != "kube-system"
    )
    assert reads == {"namespaces": 1, "configmaps": 1, "deployments": 1, "services": 1}
    actions = Counter(request.action for request in moto.requests())
    assert {action: count for action, count in actions.items() if count > 1} == {}, actions


def _corrects_drift_in_each_system(
    shop: Shop, cluster: Cluster, moto: Moto, web_hosts: tuple[Host, Host]
) -> None:
    (queue_url,) = moto.client("sqs").list_queues()["QueueUrls"]
    moto.client("sqs").set_queue_attributes(QueueUrl=queue_url, Attributes={"VisibilityTimeout": "7"})
    cluster.patch(CONFIG_MAP, {"data": {"QUEUE_URL": "elsewhere"}})
    web_hosts[0].run(f"echo '# by hand' >> {SITE}; systemctl stop nginx")

    plan = shop.plan()
    drifted = {change["address"]: change for change in plan["changes"]}
    assert set(drifted) == {
        "shop/AWS::SQS::Queue/orders@eu",
        "shop/ConfigMap/shop/web@prod",
        "shop/File/site@web-1",
        "shop/Service/nginx@web-1",
    }
    assert all(change["drift"] for change in drifted.values())
    (field,) = drifted["shop/AWS::SQS::Queue/orders@eu"]["fields"]
    assert (field["path"], field["from"], field["to"]) == ("/spec/VisibilityTimeout", 7, 60)

    report = shop.reconcile()
    assert {address for address, result in results(report).items() if result == "updated"} == set(drifted)
    attributes = moto.client("sqs").get_queue_attributes(QueueUrl=queue_url, AttributeNames=["All"])
    assert attributes["Attributes"]["VisibilityTimeout"] == "60"
    assert cluster.request("GET", CONFIG_MAP)["data"]["QUEUE_URL"] == queue_url
    assert "by hand" not in web_hosts[0].run(f"cat {SITE}")
    assert web_hosts[0].run("systemctl is-active nginx").strip() == "active"
    assert shop.plan(expect=0)["changes"] == []


def _deletes_what_leaves_git(shop: Shop, cluster: Cluster, moto: Moto, web_hosts: tuple[Host, Host]) -> None:
    shop.commit("Add things", extra=EXTRA)
    assert sum(result == "created" for result in results(shop.reconcile()).values()) == 3
    (topic,) = moto.client("sns").list_topics()["Topics"]
    extra = "/api/v1/namespaces/shop/configmaps/extra"
    assert cluster.request("GET", extra)["data"]["TOPIC"] == topic["TopicArn"]
    assert web_hosts[0].run("cat /etc/motd.shop") == "managed\n"

    cluster.mark()
    assert set(results(shop.reconcile()).values()) == {"unchanged"}
    assert [event["objectRef"]["resource"] for event in cluster.audit("list")] == ["configmaps"]

    shop.commit("Remove them", extra=None)
    report = shop.reconcile()
    gone = {address for address, result in results(report).items() if result == "deleted"}
    assert gone == {
        "shop/AWS::SNS::Topic/alerts@eu",
        "shop/ConfigMap/shop/extra@prod",
        "shop/File/motd@web-1",
    }
    assert moto.client("sns").list_topics()["Topics"] == []
    assert cluster.ask("GET", extra)[0] == 404
    assert "No such file" in web_hosts[0].run("cat /etc/motd.shop", check=False)


def _leaves_nothing(shop: Shop, cluster: Cluster, moto: Moto, web_hosts: tuple[Host, Host]) -> None:
    done = shop.run("destroy", "--yes")
    assert done.returncode == 0, done.stdout + done.stderr
    assert moto.client("sqs").list_queues().get("QueueUrls", []) == []
    assert moto.client("s3").list_buckets()["Buckets"] == []
    assert cluster.ask("GET", "/api/v1/namespaces/shop")[0] == 404
    for host in web_hosts:
        assert "No such file" in host.run(f"cat {SITE}", check=False)
        assert "install ok installed" not in host.run("dpkg-query -W -f '${Status}' nginx", check=False)
        assert host.run("ls -A /var/lib/trueup/owners").strip() == ""
