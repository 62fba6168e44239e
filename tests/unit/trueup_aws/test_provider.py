from __future__ import annotations

import subprocess
import sys

import jsonschema_rs
import pytest

from trueup_aws.provider import CONFIG_SCHEMA

VALIDATE = """
import sys
from trueup.sdk import Address, Node, Target
from trueup_aws.plugin import trueup_provider
provider = trueup_provider()
for kind in provider.kinds():
    address = Address("s", kind.name, "n", "t")
    node = Node(address, kind.api_version, Target("t", "aws"), {"spec": {"Type": "String", "Value": "x"}})
    list(kind.validate(node)), kind.identity(node), list(kind.provides(node)), list(kind.needs(node))
print(sorted({name.partition(".")[0] for name in sys.modules} & {"boto3", "botocore", "urllib3"}))
"""


def test_validation_imports_no_boto3() -> None:
    done = subprocess.run([sys.executable, "-c", VALIDATE], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize(
    ("config", "is_good"),
    [
        ({"region": "eu-west-1"}, True),
        ({"region": "us-gov-west-1", "profile": "ops", "accountId": "123456789012"}, True),
        (
            {
                "region": "eu-west-1",
                "assumeRole": "arn:aws:iam::123456789012:role/deploy",
                "externalId": "xy",
            },
            True,
        ),
        (
            {"region": "eu-west-1", "endpointUrl": "http://127.0.0.1:5000", "maxAttempts": 1, "timeout": 5},
            True,
        ),
        ({}, False),
        ({"region": "Europe"}, False),
        ({"region": "eu-west-1", "accountId": 123456789012}, False),
        ({"region": "eu-west-1", "assumeRole": "deploy"}, False),
        ({"region": "eu-west-1", "endpointUrl": "file:///etc/passwd"}, False),
        ({"region": "eu-west-1", "accessKey": "AKIA"}, False),
    ],
)
def test_the_config_takes_what_connect_understands(config: dict[str, object], is_good: bool) -> None:
    assert jsonschema_rs.is_valid(CONFIG_SCHEMA, config) is is_good
