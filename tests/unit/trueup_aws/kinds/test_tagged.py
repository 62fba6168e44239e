from __future__ import annotations

from trueup.sdk import Address, Node, Target
from trueup_aws.kinds.queue import Queue
from trueup_aws.provider import AwsProvider

TARGET = Target("eu", "aws", config={"region": "eu-west-1"})


def test_a_queue_of_a_module_has_one_name_whether_its_address_is_declared_or_read_from_the_store() -> None:
    kind = AwsProvider().kind("aws.trueup.dev/v1", "AWS::SQS::Queue")
    assert isinstance(kind, Queue)
    declared = Address("shop", "AWS::SQS::Queue", "blog/jobs/orders", "eu")
    body = {"metadata": {"name": "orders"}, "spec": {}}
    names = {
        kind.effective_name("one/shop", Node(address, kind.api_version, TARGET, body))
        for address in (declared, Address.parse(declared.text))
    }
    assert len(names) == 1
    assert str(*names).startswith("shop-blog-jobs-orders-")
