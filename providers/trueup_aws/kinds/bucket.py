"""AWS::S3::Bucket."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from typing import TYPE_CHECKING, Any, ClassVar

from trueup.sdk import Conflict, Document, Invalid, Node, Problem, Traits
from trueup_aws.errors import NotFound
from trueup_aws.kinds.importable import ImportableKind
from trueup_aws.kinds.lifecycle import (
    LIFECYCLE,
    REST,
    has_equal_ids,
    lifecycle_of,
    normal_lifecycle,
    rules_of,
)
from trueup_aws.kinds.live import Live, join_tags, split_tags
from trueup_aws.kinds.properties import block, flag, listing, spec_schema, text
from trueup_aws.markers import owner_of

if TYPE_CHECKING:
    from trueup_aws.client import Connection

# CreateBucket takes no location for the oldest region.
HOME_REGION = "us-east-1"

ACCESS_BLOCKS = ("BlockPublicAcls", "BlockPublicPolicy", "IgnorePublicAcls", "RestrictPublicBuckets")
ALL_BLOCKED = dict.fromkeys(ACCESS_BLOCKS, True)
NONE_BLOCKED = dict.fromkeys(ACCESS_BLOCKS, False)
PLAIN_ENCRYPTION = {"ServerSideEncryptionByDefault": {"SSEAlgorithm": "AES256"}, "BucketKeyEnabled": False}

SCHEMA = spec_schema(
    "A bucket of S3. Its deletion waits for an approval, and for the bucket to be empty.",
    {"BucketName": "shop-assets", "VersioningConfiguration": {"Status": "Enabled"}},
    {
        "BucketName": text(
            "The bucket's name, unique in all of AWS. Left out: made from stack and resource name.",
            immutable=True,
            pattern="^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$",
        ),
        "VersioningConfiguration": block(
            "Whether old versions of objects are kept. Default: Suspended, as in a new bucket.",
            {"Status": text("The state.", enum=["Enabled", "Suspended"])},
            required=("Status",),
            reset={"Status": "Suspended"},
        ),
        "PublicAccessBlockConfiguration": block(
            "What keeps the public out. Default: all four are on.",
            {
                "BlockPublicAcls": flag("Refuse new public ACLs.", reset=True),
                "BlockPublicPolicy": flag("Refuse new public policies.", reset=True),
                "IgnorePublicAcls": flag("Ignore public ACLs.", reset=True),
                "RestrictPublicBuckets": flag("Ignore public policies.", reset=True),
            },
            reset=ALL_BLOCKED,
        ),
        "BucketEncryption": block(
            "How new objects are encrypted. Default: AES256.",
            {
                "ServerSideEncryptionConfiguration": listing(
                    "One rule.",
                    block(
                        "The rule.",
                        {
                            "ServerSideEncryptionByDefault": block(
                                "The algorithm and the key.",
                                {
                                    "SSEAlgorithm": text(
                                        "The algorithm.", enum=["AES256", "aws:kms", "aws:kms:dsse"]
                                    ),
                                    "KMSMasterKeyID": text(
                                        "The KMS key: id, ARN or alias. Default: AWS's own.", reset=None
                                    ),
                                },
                                required=("SSEAlgorithm",),
                            ),
                            "BucketKeyEnabled": flag(
                                "Whether one key serves the whole bucket. Default: false.", reset=False
                            ),
                        },
                        required=("ServerSideEncryptionByDefault",),
                    ),
                    minItems=1,
                    maxItems=1,
                )
            },
            required=("ServerSideEncryptionConfiguration",),
            reset={"ServerSideEncryptionConfiguration": [PLAIN_ENCRYPTION]},
        ),
        "OwnershipControls": block(
            "Who owns uploaded objects. Default: BucketOwnerEnforced.",
            {
                "Rules": listing(
                    "One rule.",
                    block(
                        "The rule.",
                        {
                            "ObjectOwnership": text(
                                "The owner.",
                                enum=["BucketOwnerEnforced", "BucketOwnerPreferred", "ObjectWriter"],
                            )
                        },
                        required=("ObjectOwnership",),
                    ),
                    minItems=1,
                    maxItems=1,
                )
            },
            required=("Rules",),
            reset={"Rules": [{"ObjectOwnership": "BucketOwnerEnforced"}]},
        ),
        "LifecycleConfiguration": LIFECYCLE,
    },
)
DEFAULTS: Mapping[str, Any] = {
    key: property["x-reset-to"] for key, property in SCHEMA["properties"].items() if "x-reset-to" in property
}


class Bucket(ImportableKind):
    """A bucket. Stateful, never emptied, and told from others by its name and marker alone.

    The creation date that S3 reports may move when the bucket is changed, so it is no part of its id.
    """

    name: ClassVar[str] = "AWS::S3::Bucket"
    schema = SCHEMA
    traits = Traits(identity="named", settle=10.0, stateful=True)
    service: ClassVar[str] = "s3"
    name_property: ClassVar[str] = "BucketName"
    name_limit: ClassVar[int] = 63
    noun: ClassVar[str] = "bucket"

    def validate(self, node: Node) -> Iterable[Problem]:
        yield from super().validate(node)
        name = node.spec.get("BucketName")
        if isinstance(name, str) and (".." in name or name.startswith("xn--") or name.endswith("-s3alias")):
            yield Problem(f"{name!r} is no name for a bucket", node.place, "choose another BucketName")
        if has_equal_ids(node.spec.get("LifecycleConfiguration")):
            yield Problem("two rules of LifecycleConfiguration have one Id", node.place, "rename one of them")

    def normal_spec(self, spec: Document, live: Document | None) -> Document:
        if live is None or "LifecycleConfiguration" not in spec:
            return spec
        return {**spec, "LifecycleConfiguration": normal_lifecycle(spec["LifecycleConfiguration"])}

    def written_spec(self, spec: Document) -> Document:
        lifecycle = spec.get("LifecycleConfiguration") or {}
        odd = [rule["Id"] for rule in lifecycle.get("Rules", ()) if rule.get(REST) is not None]
        if odd:
            raise Invalid(
                f"its lifecycle rule {odd[0]!r} has parts that trueup does not know",
                hint="write the resource by hand, without LifecycleConfiguration",
            )
        return spec

    def arn(self, connection: Connection, name: str) -> str:
        return f"arn:{connection.partition}:s3:::{name}"

    def name_of(self, arn: str) -> str:
        return arn.rpartition(":")[2]

    def list_names(self, connection: Connection) -> Mapping[str, str]:
        found = connection.pages(
            "s3",
            "list_buckets",
            "Buckets",
            token_in="ContinuationToken",  # noqa: S106 - the name of a field
            token_out="ContinuationToken",  # noqa: S106
            BucketRegion=connection.region,
            MaxBuckets=1000,
        )
        return {bucket["Name"]: bucket["Name"] for bucket in found}

    def read(self, connection: Connection, name: str, handle: str) -> Live:
        # Read first: its "no such bucket" is what tells that there is none.
        tags = self.read_tags(connection, name, handle)
        owner = owner_of(tags)
        if owner is None or owner.key != connection.owner_key:
            _check_region(connection, name)
        arn, suffix = self.arn(connection, name), _dns_suffix(connection.partition)
        region = connection.region
        return Live(
            name=name,
            external_id=arn,
            handle=name,
            spec={"BucketName": name, **{key: read(connection, name) for key, read in READERS.items()}},
            status={
                "Arn": arn,
                "DomainName": f"{name}.s3.{suffix}",
                "DualStackDomainName": f"{name}.s3.dualstack.{region}.{suffix}",
                "RegionalDomainName": f"{name}.s3.{region}.{suffix}",
                "WebsiteURL": f"http://{name}.s3-website-{region}.{suffix}",
            },
            tags=tags,
        )

    def read_tags(self, connection: Connection, name: str, handle: str) -> Mapping[str, str]:
        answer = _get(connection, "get_bucket_tagging", name)
        return split_tags(answer.get("TagSet") or ())

    def make(self, connection: Connection, name: str, spec: Document, tags: Mapping[str, str]) -> str:
        configuration: dict[str, Any] = {"Tags": join_tags(tags)}
        if connection.region != HOME_REGION:
            configuration["LocationConstraint"] = connection.region
        # Ownership has no default that all servers share, and ACLs could not be refused before it is set.
        controls = spec.get("OwnershipControls") or DEFAULTS["OwnershipControls"]
        connection.call(
            "s3",
            "create_bucket",
            Bucket=name,
            CreateBucketConfiguration=configuration,
            ObjectOwnership=controls["Rules"][0]["ObjectOwnership"],
        )
        found = self.read_tags(connection, name, name)
        if not found:
            # A server that ignores tags in CreateBucket. If we end here, the bucket is nobody's: a Conflict.
            self._put_tags(connection, name, tags)
        elif found != tags:
            # The oldest region answers "created" for a bucket that its account has already.
            raise Conflict(f"bucket {name!r} was made by somebody else at the same moment", hint="run again")
        live = Live(name, self.arn(connection, name), name, {}, {})
        self.change(connection, live, spec, [key for key in DEFAULTS if spec.get(key) is not None])
        return live.external_id

    def change(self, connection: Connection, live: Live, spec: Document, names: Collection[str]) -> None:
        for key in DEFAULTS:
            if key in names:
                value = spec.get(key) or DEFAULTS[key] or {}
                WRITERS[key](connection, live.name, _merged(key, value, live))

    def write_tags(
        self, connection: Connection, live: Live, tags: Mapping[str, str], removed: Collection[str]
    ) -> None:
        # S3 only replaces the whole set: read again right before, so that nobody's tags get lost.
        now = dict(self.read_tags(connection, live.name, live.handle))
        kept = {key: value for key, value in now.items() if key not in removed}
        self._put_tags(connection, live.name, {**kept, **tags})

    def remove(self, connection: Connection, live: Live) -> None:
        connection.call("s3", "delete_bucket", Bucket=live.name, ExpectedBucketOwner=connection.account)

    def _put_tags(self, connection: Connection, name: str, tags: Mapping[str, str]) -> None:
        owner = connection.account
        if tags:
            tagging = {"TagSet": join_tags(tags)}
            connection.call(
                "s3", "put_bucket_tagging", Bucket=name, Tagging=tagging, ExpectedBucketOwner=owner
            )
        else:
            connection.call("s3", "delete_bucket_tagging", Bucket=name, ExpectedBucketOwner=owner)


def _check_region(connection: Connection, name: str) -> None:
    """Refuses a bucket of another region: names are global, and botocore follows them there."""
    answer = connection.call("s3", "head_bucket", Bucket=name, ExpectedBucketOwner=connection.account)
    region = answer.get("BucketRegion") or connection.region
    if region != connection.region:
        raise Conflict(
            f"bucket {name!r} is in {region}, and the target is in {connection.region}",
            hint="choose another BucketName, or a target in that region",
        )


def _get(connection: Connection, operation: str, name: str) -> Mapping[str, Any]:
    """One configuration of a bucket, empty where it has none. Raises NotFound only where the bucket is gone.

    A bucket of another account is Denied, by the account that is expected to own it.
    """
    try:
        return connection.call("s3", operation, Bucket=name, ExpectedBucketOwner=connection.account)
    except NotFound as error:
        if "NoSuchBucket" in error.message:
            raise
        return {}


def _read_versioning(connection: Connection, name: str) -> Document:
    return {"Status": _get(connection, "get_bucket_versioning", name).get("Status") or "Suspended"}


def _read_access_block(connection: Connection, name: str) -> Document:
    answer = _get(connection, "get_public_access_block", name)
    return {**NONE_BLOCKED, **answer.get("PublicAccessBlockConfiguration", {})}


def _read_encryption(connection: Connection, name: str) -> Document:
    answer = _get(connection, "get_bucket_encryption", name).get("ServerSideEncryptionConfiguration", {})
    rules = []
    for rule in answer.get("Rules") or [PLAIN_ENCRYPTION]:
        chosen = (
            {"KMSMasterKeyID": None, **rule["ApplyServerSideEncryptionByDefault"]}
            if ("ApplyServerSideEncryptionByDefault" in rule)
            else {"KMSMasterKeyID": None, "SSEAlgorithm": "AES256"}
        )
        rules.append(
            {
                "ServerSideEncryptionByDefault": chosen,
                "BucketKeyEnabled": bool(rule.get("BucketKeyEnabled", False)),
            }
        )
    return {"ServerSideEncryptionConfiguration": rules}


def _read_ownership(connection: Connection, name: str) -> Document:
    answer = _get(connection, "get_bucket_ownership_controls", name).get("OwnershipControls", {})
    return {"Rules": answer.get("Rules") or [{"ObjectOwnership": "ObjectWriter"}]}


def _read_lifecycle(connection: Connection, name: str) -> Document | None:
    answer = _get(connection, "get_bucket_lifecycle_configuration", name)
    return lifecycle_of(list(answer.get("Rules") or ()))


def _write_versioning(connection: Connection, name: str, value: Document) -> None:
    _put(connection, "put_bucket_versioning", name, VersioningConfiguration=dict(value))


def _write_access_block(connection: Connection, name: str, value: Document) -> None:
    _put(
        connection, "put_public_access_block", name, PublicAccessBlockConfiguration={**NONE_BLOCKED, **value}
    )


def _write_encryption(connection: Connection, name: str, value: Document) -> None:
    rules = []
    for rule in value["ServerSideEncryptionConfiguration"]:
        chosen = {
            key: item for key, item in rule["ServerSideEncryptionByDefault"].items() if item is not None
        }
        is_shared = bool(rule.get("BucketKeyEnabled", False))
        rules.append({"ApplyServerSideEncryptionByDefault": chosen, "BucketKeyEnabled": is_shared})
    _put(connection, "put_bucket_encryption", name, ServerSideEncryptionConfiguration={"Rules": rules})


def _write_ownership(connection: Connection, name: str, value: Document) -> None:
    _put(connection, "put_bucket_ownership_controls", name, OwnershipControls={"Rules": list(value["Rules"])})


def _write_lifecycle(connection: Connection, name: str, value: Document) -> None:
    if not value.get("Rules"):
        _put(connection, "delete_bucket_lifecycle", name)
        return
    rules = {"Rules": rules_of(value)}
    _put(connection, "put_bucket_lifecycle_configuration", name, LifecycleConfiguration=rules)


def _put(connection: Connection, operation: str, name: str, **parameters: Any) -> None:
    connection.call("s3", operation, Bucket=name, ExpectedBucketOwner=connection.account, **parameters)


def _merged(key: str, value: Document, live: Live) -> Document:
    """The value over the live one, so that a sub-property which the manifest does not set stays as it is."""
    return value if key == "LifecycleConfiguration" else {**(live.spec.get(key) or {}), **value}


def _dns_suffix(partition: str) -> str:
    return "amazonaws.com.cn" if partition == "aws-cn" else "amazonaws.com"


READERS = {
    "VersioningConfiguration": _read_versioning,
    "PublicAccessBlockConfiguration": _read_access_block,
    "BucketEncryption": _read_encryption,
    "OwnershipControls": _read_ownership,
    "LifecycleConfiguration": _read_lifecycle,
}
WRITERS = {
    "VersioningConfiguration": _write_versioning,
    "PublicAccessBlockConfiguration": _write_access_block,
    "BucketEncryption": _write_encryption,
    "OwnershipControls": _write_ownership,
    "LifecycleConfiguration": _write_lifecycle,
}
