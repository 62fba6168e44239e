"""Somebody edits a Deployment, a parameter and a file: drift names them, and its suggestions end it."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml
from tests.cluster.fakenode import FakeNode
from tests.cluster.fixtures import Cluster
from tests.e2e.shop import read_json, run_trueup
from tests.moto.fixtures import Moto

pytestmark = [pytest.mark.cluster, pytest.mark.moto, pytest.mark.xdist_group("cluster")]

CANARY = "canary-5ad1c0"


def resource(api: str, kind: str, name: str, spec: Mapping[str, Any]) -> dict[str, Any]:
    return {"apiVersion": api, "kind": kind, "metadata": {"name": name}, "spec": dict(spec)}


def write(folder: Path, cluster: Cluster, moto: Moto, namespace: str) -> None:
    here = {"connection": "local", "stateDir": str(folder / "host")}
    targets = [
        {"name": each.name, "provider": each.provider, "config": dict(each.config)}
        for each in (cluster.target("c", namespace=namespace), moto.target("eu"))
    ]
    targets.append({"name": "here", "provider": "ssh", "config": here})
    container = {"name": "web", "image": "example.com/web:1"}
    labels = {"matchLabels": {"app": "web"}}
    template = {"metadata": {"labels": {"app": "web"}}, "spec": {"containers": [container]}}
    documents = [
        resource("apps/v1", "Deployment", "web", {"replicas": 1, "selector": labels, "template": template}),
        resource("v1", "Secret", "token", {}),
        resource(
            "aws.trueup.dev/v1",
            "AWS::SSM::Parameter",
            "host",
            {"Name": f"/{namespace}/host", "Type": "String", "Value": "db-1"},
        ),
        resource("ssh.trueup.dev/v1", "File", "motd", {"path": str(folder / "motd"), "content": "welcome\n"}),
    ]
    del documents[1]["spec"]
    documents[1]["data"] = {"key": "ZGVjbGFyZWQ="}
    stack = folder / "stack"
    stack.mkdir()
    head = resource("trueup.dev/v1", "Stack", "drifting", {"targets": targets})
    (stack / "stack.yaml").write_text(yaml.safe_dump(head))
    for document in documents:
        (stack / f"{document['metadata']['name']}.yaml").write_text(yaml.safe_dump(document))


def test_drift_says_who_did_it_and_how_to_end_it(
    cluster: Cluster, fakenode: FakeNode, moto: Moto, namespace: str, tmp_path: Path
) -> None:
    write(tmp_path, cluster, moto, namespace)
    options = [str(tmp_path / "stack"), "--store", str(tmp_path / "store.db")]
    done = run_trueup("reconcile", *options, "--yes")
    assert done.returncode == 0, done.stdout + done.stderr
    assert read_json(run_trueup("drift", *options, "-o", "json"), 0)["nodes"] == []

    deployment = f"/apis/apps/v1/namespaces/{namespace}/deployments/web"
    cluster.patch(f"{deployment}/scale", {"spec": {"replicas": 3}}, manager="kubectl-scale")
    image = {"spec": {"template": {"spec": {"containers": [{"name": "web", "image": "example.com/web:2"}]}}}}
    cluster.request(
        "PATCH",
        deployment,
        image,
        query=[("fieldManager", "kubectl-edit")],
        content_type="application/strategic-merge-patch+json",
    )
    secret = {"stringData": {"key": CANARY}}
    cluster.patch(f"/api/v1/namespaces/{namespace}/secrets/token", secret, manager="intruder")
    parameter = {"Name": f"/{namespace}/host", "Type": "String", "Value": "db-2", "Overwrite": True}
    moto.client("ssm").put_parameter(**parameter)
    (tmp_path / "motd").write_text("hello\n")
    os.utime(tmp_path / "motd", (1_764_090_000, 1_764_090_000))
    # What Git changes at the same time is no drift.
    motd = tmp_path / "stack" / "motd.yaml"
    motd.write_text(motd.read_text() + "  mode: '0600'\n")

    cluster.mark()
    text = run_trueup("drift", *options, "--suggest")
    assert text.returncode == 2, text.stdout + text.stderr
    found = read_json(run_trueup("drift", *options, "--suggest", "-o", "json"), 2)
    assert cluster.writes() == []
    assert CANARY not in text.stdout + text.stderr + json.dumps(found)
    nodes = {node["address"].split("/")[1]: node for node in found["nodes"]}
    by = {kind: {each["path"]: each.get("by", "") for each in nodes[kind]["fields"]} for kind in nodes}
    assert by["Deployment"].keys() == {"/spec/replicas", "/spec/template/spec/containers/web/image"}
    # The server keeps no time of what was done through `scale`.
    assert by["Deployment"]["/spec/replicas"].startswith("kubectl-scale (Update of scale)")
    assert by["Deployment"]["/spec/template/spec/containers/web/image"].startswith("kubectl-edit (Update) at")
    assert by["Secret"].keys() == {"/data/key"}
    assert by["Secret"]["/data/key"].startswith("intruder (Update) at")
    described = moto.client("ssm").describe_parameters()["Parameters"]
    who = next(each["LastModifiedUser"] for each in described if each["Name"] == f"/{namespace}/host")
    assert by["AWS::SSM::Parameter"].keys() == {"/spec/Value"}
    assert by["AWS::SSM::Parameter"]["/spec/Value"].startswith(f"{who} at 20")
    owner = (tmp_path / "motd").owner()
    written = f"{owner} (owner of the file), written at 2025-11-25T17:00:00Z"
    assert by["File"] == {"/spec/content": written}
    plan = read_json(run_trueup("plan", *options, "-o", "json"), 2)
    fields = [field for change in plan["changes"] for field in change["fields"]]
    assert {field["path"]: field.get("by") for field in fields}["/spec/replicas"].startswith("kubectl-scale")

    # The image is left to others from now on, and the rest becomes Git's: nothing has drifted then.
    assert all(each["accept"] is None for each in nodes["Secret"]["suggestions"])
    scale, image_of = nodes["Deployment"]["suggestions"]
    follow(tmp_path / "stack" / "web.yaml", scale["accept"], "replicas: 1", "replicas: 3")
    web = tmp_path / "stack" / "web.yaml"
    web.write_text(f"{image_of['ignore']['yaml']}{web.read_text()}")
    (value,) = nodes["AWS::SSM::Parameter"]["suggestions"]
    follow(tmp_path / "stack" / "host.yaml", value["accept"], "Value: db-1", "Value: db-2")
    (content,) = nodes["File"]["suggestions"]
    assert content["accept"]["yaml"] == "spec:\n  content: |\n    hello\n"
    motd.write_text(motd.read_text().replace("welcome", "hello"))
    (token,) = nodes["Secret"]["suggestions"]
    secret_file = tmp_path / "stack" / "token.yaml"
    secret_file.write_text(secret_file.read_text() + token["ignore"]["yaml"])
    assert read_json(run_trueup("drift", *options, "-o", "json"), 0)["nodes"] == []

    done = run_trueup("reconcile", *options, "--yes")
    assert done.returncode == 0, done.stdout + done.stderr
    spec = cluster.request("GET", deployment)["spec"]
    assert (spec["replicas"], spec["template"]["spec"]["containers"][0]["image"]) == (3, "example.com/web:2")
    assert (tmp_path / "motd").read_text() == "hello\n"
    assert read_json(run_trueup("drift", *options, "-o", "json"), 0)["nodes"] == []


def follow(file: Path, edit: Mapping[str, Any], old: str, new: str) -> None:
    """Changes the line that a suggestion names into what it says."""
    name, line, _ = edit["place"].split(":")
    lines = file.read_text().splitlines(keepends=True)
    assert name == file.name
    assert lines[int(line) - 1].strip() == old
    assert new in edit["yaml"]
    lines[int(line) - 1] = lines[int(line) - 1].replace(old, new)
    file.write_text("".join(lines))
