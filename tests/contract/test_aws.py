"""The AWS kinds against the contract suite of the SDK, on moto.

No case has a `replaced` body: what is immutable in these kinds is part of the name, and a replacement is
found by the external id that the inventory holds. tests/moto/test_kinds.py goes through that.
"""

from __future__ import annotations

import socket
from collections.abc import Iterator

import pytest
from tests.moto.cases import API_VERSION, encryption, tag
from tests.moto.fixtures import Moto

from trueup.sdk import Provider, Target
from trueup.sdk.testing.case import Case
from trueup.sdk.testing.contract import ProviderContract, Rig
from trueup_aws.provider import AwsProvider

CANARY, SECOND_CANARY = "canary-of-parameters-4711", "second-canary-0815"


@pytest.mark.moto
class TestAws(ProviderContract):
    plugin_module = "trueup_aws.plugin"
    sdk_modules = ("boto3", "botocore")
    patience = 3.0
    cases = (
        Case(
            API_VERSION,
            "AWS::SQS::Queue",
            "orders",
            {
                "spec": {
                    "QueueName": "orders",
                    "VisibilityTimeout": 45,
                    "Tags": tag(team="shop", stage="test"),
                }
            },
            changed={"spec": {"QueueName": "orders", "VisibilityTimeout": 60, "Tags": tag(team="web")}},
            sibling_body={"spec": {"QueueName": "returns"}},
        ),
        Case(
            API_VERSION,
            "AWS::SNS::Topic",
            "news",
            {"spec": {"TopicName": "news", "DisplayName": "News", "Tags": tag(team="shop")}},
            changed={"spec": {"TopicName": "news", "DisplayName": "Old news", "Tags": tag(team="web")}},
            sibling_body={"spec": {"TopicName": "olds"}},
        ),
        Case(
            API_VERSION,
            "AWS::S3::Bucket",
            "assets",
            {
                "spec": {
                    "BucketName": "assets-of-trueup",
                    "VersioningConfiguration": {"Status": "Enabled"},
                    "BucketEncryption": encryption("aws:kms", "alias/trueup", True),
                    "Tags": tag(team="shop"),
                }
            },
            changed={
                "spec": {
                    "BucketName": "assets-of-trueup",
                    "VersioningConfiguration": {"Status": "Suspended"},
                    "OwnershipControls": {"Rules": [{"ObjectOwnership": "ObjectWriter"}]},
                    "Tags": tag(team="web"),
                }
            },
            sibling_body={"spec": {"BucketName": "backups-of-trueup"}},
        ),
        Case(
            API_VERSION,
            "AWS::SSM::Parameter",
            "host",
            {"spec": {"Name": "/shop/host", "Type": "String", "Value": "db-1", "Tags": tag(team="shop")}},
            changed={"spec": {"Name": "/shop/host", "Type": "String", "Value": "db-2", "Description": "x"}},
            sibling_body={"spec": {"Name": "/shop/port", "Type": "String", "Value": "5432"}},
        ),
        Case(
            API_VERSION,
            "AWS::SSM::Parameter",
            "password",
            {"spec": {"Name": "/shop/password", "Type": "SecureString", "Value": CANARY}},
            changed={"spec": {"Name": "/shop/password", "Type": "SecureString", "Value": SECOND_CANARY}},
            sibling_body={"spec": {"Name": "/shop/token", "Type": "SecureString", "Value": CANARY}},
            sensitive=(CANARY, SECOND_CANARY),
        ),
    )

    @pytest.fixture
    def provider(self) -> Provider:
        return AwsProvider()

    @pytest.fixture
    def target(self, moto: Moto) -> Target:
        moto.reset()
        return moto.target()

    @pytest.fixture
    def unreachable_target(self, moto: Moto) -> Iterator[Target]:
        # Bound and not listening: nobody else gets the port, and every connection is refused.
        with socket.socket() as closed:
            closed.bind(("127.0.0.1", 0))
            yield moto.target(endpointUrl=f"http://127.0.0.1:{closed.getsockname()[1]}")

    @pytest.fixture
    def denied_target(self, moto: Moto) -> Target:
        moto.reset()
        moto.fail("sts:GetCallerIdentity", "ExpiredToken", status=403)
        return moto.target()

    @pytest.fixture(autouse=True)
    def _server(self, moto: Moto) -> None:
        self.moto = moto

    def count_writes(self, rig: Rig) -> int | None:
        return len(self.moto.writes())
