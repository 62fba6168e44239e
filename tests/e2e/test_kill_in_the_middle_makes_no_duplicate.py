"""kill -9 of a run against AWS at several points: the next run makes no second object, and comes to rest."""

from __future__ import annotations

import os
import signal
import subprocess
from collections import Counter
from pathlib import Path

import pytest
import yaml
from tests.e2e.conftest import wait_until
from tests.e2e.shop import TRUEUP, read_json, results, run_trueup
from tests.moto.fixtures import Moto

pytestmark = [pytest.mark.moto]

COUNT = 24


def write_stack(folder: Path, moto: Moto) -> None:
    target = moto.target("eu")
    stack = {
        "apiVersion": "trueup.dev/v1",
        "kind": "Stack",
        "metadata": {"name": "many"},
        "spec": {"targets": [{"name": "eu", "provider": "aws", "config": dict(target.config)}]},
    }
    (folder / "stack.yaml").write_text(yaml.safe_dump(stack))
    kinds = ["AWS::SQS::Queue", "AWS::SNS::Topic", "AWS::SSM::Parameter", "AWS::S3::Bucket"]
    specs = [{}, {}, {"Type": "String", "Value": "v"}, {}]
    for index in range(COUNT):
        document = {
            "apiVersion": "aws.trueup.dev/v1",
            "kind": kinds[index % 4],
            "metadata": {"name": f"o{index:02}"},
            "spec": specs[index % 4],
        }
        (folder / f"o{index:02}.yaml").write_text(yaml.safe_dump(document))


def count_objects(moto: Moto) -> dict[str, int]:
    return {
        "queues": len(moto.client("sqs").list_queues().get("QueueUrls", [])),
        "topics": len(moto.client("sns").list_topics()["Topics"]),
        "parameters": len(moto.client("ssm").describe_parameters()["Parameters"]),
        "buckets": len(moto.client("s3").list_buckets()["Buckets"]),
    }


@pytest.mark.parametrize("writes", [1, 7, 15])
def test_a_run_that_was_killed_is_finished_by_the_next_one(moto: Moto, tmp_path: Path, writes: int) -> None:
    moto.reset()
    folder = tmp_path / "stack"
    folder.mkdir()
    write_stack(folder, moto)
    common = [str(folder), "--store", str(tmp_path / "store.db")]

    process = subprocess.Popen(
        [*TRUEUP, "reconcile", *common, "--yes"],
        env=dict(os.environ),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        wait_until(lambda: len(moto.writes()) >= writes, f"{writes} writes have reached AWS")
    finally:
        process.send_signal(signal.SIGKILL)
        assert process.wait() == -signal.SIGKILL, "the run ended before it was killed"

    report = read_json(run_trueup("reconcile", *common, "--yes", "--output", "json"), 0)
    assert len(results(report)) == COUNT
    assert set(count_objects(moto).values()) == {COUNT // 4}

    moto.mark()
    report = read_json(run_trueup("reconcile", *common, "--yes", "--output", "json"), 0)
    assert Counter(results(report).values()) == {"unchanged": COUNT}
    assert moto.writes() == []

    assert run_trueup("destroy", *common, "--yes").returncode == 0
    assert set(count_objects(moto).values()) == {0}
