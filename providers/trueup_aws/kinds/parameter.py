"""AWS::SSM::Parameter."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, ClassVar

from trueup.sdk import (
    UNKNOWN,
    Denied,
    Document,
    Invalid,
    Node,
    Observed,
    Problem,
    ProviderError,
    Sensitive,
    Traits,
    Transient,
    reveal,
)
from trueup_aws.errors import NotFound
from trueup_aws.kinds.importable import ImportableKind
from trueup_aws.kinds.live import Live, Reading, batches, join_tags, split_tags
from trueup_aws.kinds.properties import spec_schema, text
from trueup_aws.kinds.tagged import FEW

if TYPE_CHECKING:
    from trueup_aws.client import Connection

# What PutParameter resets or keeps, and so gets with every change. Name, Value and Type come on top.
DEFAULTS: Mapping[str, str] = {"AllowedPattern": "", "DataType": "text", "Description": ""}

VALUES_PER_CALL = 10
DESCRIPTIONS_PER_CALL = 50

TIME = "%Y-%m-%dT%H:%M:%SZ"

SCHEMA = spec_schema(
    "A parameter of Systems Manager.",
    {"Name": "/shop/db/host", "Type": "String", "Value": "db.example.com"},
    {
        "Name": text(
            "The parameter's name, such as /shop/db/host. Left out: made from stack and resource name.",
            immutable=True,
            pattern="^[A-Za-z0-9_./-]{1,1011}$",
        ),
        "Type": text(
            "SecureString is encrypted, and its Value is shown nowhere.",
            enum=["String", "StringList", "SecureString"],
        ),
        "Value": text("The value. A StringList is separated by commas.", minLength=1, maxLength=8192),
        "Description": text("What it is for. Default: none.", reset="", maxLength=1024),
        "AllowedPattern": text(
            "A regular expression that every value has to match. Default: none.", reset="", maxLength=1024
        ),
        "DataType": text(
            "What the value is checked to be. Default: text.",
            reset="text",
            enum=["text", "aws:ec2:image", "aws:ssm:integration"],
        ),
        "Tier": text(
            "Default: the account's. Advanced cannot be taken back.",
            enum=["Standard", "Advanced", "Intelligent-Tiering"],
        ),
    },
    required=("Type", "Value"),
)


class Parameter(ImportableKind):
    """A parameter. Not stateful: its value stands in Git, or in the secret store that Git names."""

    name: ClassVar[str] = "AWS::SSM::Parameter"
    schema = SCHEMA
    traits = Traits(identity="named", settle=10.0)
    service: ClassVar[str] = "ssm"
    name_property: ClassVar[str] = "Name"
    name_limit: ClassVar[int] = 500
    noun: ClassVar[str] = "parameter"

    def validate(self, node: Node) -> Iterable[Problem]:
        yield from super().validate(node)
        name = node.spec.get("Name")
        if not isinstance(name, str):
            return
        if "/" in name and not name.startswith("/"):
            yield Problem("a Name with / in it begins with /", node.place, f"write /{name}")
        if name.lower().lstrip("/").startswith(("aws", "ssm")):
            yield Problem("a Name that begins with aws or ssm is reserved", node.place, "choose another name")

    def may_be_secret(self, key: str, spec: Document) -> bool:
        return key == "Value" and spec.get("Type") in ("SecureString", UNKNOWN)

    def seal(self, body: Document) -> Document:
        body = super().seal(body)
        spec = body.get("spec")
        if not isinstance(spec, Mapping) or spec.get("Type") in ("String", "StringList"):
            return body
        value = spec.get("Value", UNKNOWN)
        if value is UNKNOWN:
            return body
        return {**body, "spec": {**spec, "Value": Sensitive(value)}}

    def normal_spec(self, spec: Document, live: Document | None) -> Document:
        if live is None or spec.get("Tier") != "Intelligent-Tiering":
            return spec
        return {**spec, "Tier": live.get("Tier")}  # AWS chose one of the others, and says only which

    def effective_name(self, owner_key: str, node: Node) -> str | None:
        name = super().effective_name(owner_key, node)
        if name and "Name" not in node.spec and name.startswith(("aws", "ssm")):
            return f"p-{name}"  # AWS keeps those two for itself
        return name

    def is_system(self, name: str) -> bool:
        return name.lower().lstrip("/").startswith(("aws", "ssm"))

    def read_found(self, connection: Connection, names: Sequence[str]) -> Mapping[str, Reading]:
        """As for an observation, but no secret is decrypted: it would not be imported anyway."""
        found = connection.pages("ssm", "describe_parameters", "Parameters", MaxResults=DESCRIPTIONS_PER_CALL)
        secure = {each["Name"]: each for each in found if each.get("Type") == "SecureString"}

        def look(name: str) -> Reading:
            try:
                tags = self.read_tags(connection, name, name)
            except NotFound:
                return None
            except ProviderError as error:
                return error
            spec = {"Name": name, "Type": "SecureString"}
            return Live(name, self.arn(connection, name), name, spec, {}, tags)

        sealed = [name for name in names if name in secure]
        readings = dict(zip(sealed, connection.run_all(look, sealed), strict=True))
        return {**readings, **self.read_many(connection, [n for n in names if n not in secure], names)}

    def written_spec(self, spec: Document) -> Document:
        if spec.get("Type") == "SecureString":
            raise Invalid(
                "its value is a secret, which would stay in Git in clear",
                hint="write the resource by hand, with `Value: ${{ secret(...) }}` and lifecycle.adopt: true",
            )
        return {key: value for key, value in spec.items() if (key, value) != ("Tier", "Standard")}

    def writers(self, observed: Observed) -> Mapping[str, str]:
        """The last PutParameter, which writes every property but the tags."""
        status, spec = observed.body.get("status") or {}, observed.body.get("spec") or {}
        who = status.get("LastModifiedUser")
        if not isinstance(who, str):
            return {}
        when = status.get("LastModifiedDate")
        text = f"{who} at {when}" if isinstance(when, str) else who
        return {f"/spec/{key}": text for key in spec if key not in ("Name", "Tags")}

    def arn(self, connection: Connection, name: str) -> str:
        place = f"{connection.partition}:ssm:{connection.region}:{connection.account}"
        return f"arn:{place}:parameter/{name.removeprefix('/')}"

    def name_of(self, arn: str) -> str:
        path = arn.partition(":parameter")[2]
        return path if path.count("/") > 1 else path[1:]

    def list_names(self, connection: Connection) -> Mapping[str, str]:
        found = connection.pages("ssm", "describe_parameters", "Parameters", MaxResults=50)
        return {parameter["Name"]: "" for parameter in found}

    def read(self, connection: Connection, name: str, handle: str) -> Live:
        value = connection.call("ssm", "get_parameter", Name=name, WithDecryption=True, is_secret=True)[
            "Parameter"
        ]
        described = self._describe(connection, [name])
        return self._live(connection, name, value, described)

    def read_many(
        self, connection: Connection, names: Sequence[str], recorded: Collection[str]
    ) -> Mapping[str, Reading]:
        if len(names) <= FEW:
            return super().read_many(connection, names, recorded)
        values: dict[str, Mapping[str, Any]] = {}
        readings: dict[str, Reading] = {}
        for group in connection.run_all(lambda part: self._values(connection, part), self._groups(names)):
            values.update(group)
        for name, value in values.items():
            if isinstance(value, ProviderError):
                readings[name] = value
        found = [name for name in names if name in values and name not in readings]
        described: dict[str, Mapping[str, Any]] = {}
        for part in batches(found, DESCRIPTIONS_PER_CALL):
            described.update(self._describe(connection, part))

        def look(name: str) -> Reading:
            try:
                return self._live(connection, name, values[name], described)
            except NotFound:
                return None
            except ProviderError as error:
                return error

        readings.update(zip(found, connection.run_all(look, found), strict=True))
        return {name: readings.get(name) for name in names}

    def read_tags(self, connection: Connection, name: str, handle: str) -> Mapping[str, str]:
        answer = connection.call("ssm", "list_tags_for_resource", ResourceType="Parameter", ResourceId=name)
        return split_tags(answer.get("TagList") or ())

    def make(self, connection: Connection, name: str, spec: Document, tags: Mapping[str, str]) -> str:
        given = {key: spec[key] for key in (*DEFAULTS, "Tier") if spec.get(key)}
        self._put(connection, spec, Name=name, Tags=join_tags(tags), **given)
        return self.arn(connection, name)

    def change(self, connection: Connection, live: Live, spec: Document, names: Collection[str]) -> None:
        rest = {key: live.spec[key] for key in DEFAULTS}
        rest.update({key: spec.get(key, DEFAULTS[key]) for key in names if key in DEFAULTS})
        if "Tier" in names:
            rest["Tier"] = spec["Tier"]
        self._put(connection, spec, Name=live.name, Overwrite=True, **rest)

    def write_tags(
        self, connection: Connection, live: Live, tags: Mapping[str, str], removed: Collection[str]
    ) -> None:
        place: dict[str, Any] = {"ResourceType": "Parameter", "ResourceId": live.name}
        if tags:
            connection.call("ssm", "add_tags_to_resource", Tags=join_tags(tags), **place)
        if removed:
            connection.call("ssm", "remove_tags_from_resource", TagKeys=sorted(removed), **place)

    def remove(self, connection: Connection, live: Live) -> None:
        connection.call("ssm", "delete_parameter", Name=live.name)

    def _put(self, connection: Connection, spec: Document, **parameters: Any) -> None:
        is_secret = spec["Type"] == "SecureString" or isinstance(spec["Value"], Sensitive)
        value = reveal(spec["Value"])
        connection.call(
            "ssm", "put_parameter", is_secret=is_secret, Value=value, Type=spec["Type"], **parameters
        )

    def _groups(self, names: Sequence[str]) -> Iterable[Sequence[str]]:
        return batches(names, VALUES_PER_CALL)

    def _values(self, connection: Connection, names: Sequence[str]) -> dict[str, Any]:
        """The values of up to ten names; an error in the place of a value that alone is denied."""
        try:
            answer = connection.call(
                "ssm", "get_parameters", Names=list(names), WithDecryption=True, is_secret=True
            )
        except Denied as error:
            # One name that may not be read refuses all ten.
            if len(names) == 1:
                return {names[0]: error}
            return {key: value for name in names for key, value in self._values(connection, [name]).items()}
        values = {value["Name"]: value for value in answer.get("Parameters") or ()}
        missing = set(answer.get("InvalidParameters") or ())
        for name in names:
            if name not in values and name not in missing:
                values[name] = Transient(f"ssm:GetParameters gave no answer for {name!r}")
        return values

    def _describe(self, connection: Connection, names: Sequence[str]) -> dict[str, Mapping[str, Any]]:
        chosen = [{"Key": "Name", "Option": "Equals", "Values": list(names)}]
        found = connection.pages(
            "ssm",
            "describe_parameters",
            "Parameters",
            ParameterFilters=chosen,
            MaxResults=DESCRIPTIONS_PER_CALL,
        )
        return {parameter["Name"]: parameter for parameter in found}

    def _live(
        self,
        connection: Connection,
        name: str,
        value: Mapping[str, Any],
        described: Mapping[str, Mapping[str, Any]],
    ) -> Live:
        about = described.get(name)
        if about is None:
            # It has a value, so it is there; its description lags behind or is hidden.
            raise Transient(f"ssm:DescribeParameters does not know {name!r} yet")
        is_secure = value["Type"] == "SecureString"
        spec = {
            "Name": name,
            "Type": value["Type"],
            "Value": Sensitive(value["Value"]) if is_secure else value["Value"],
            "Tier": about.get("Tier") or "Standard",
            **{key: about.get(key) or default for key, default in DEFAULTS.items()},
        }
        arn = str(value.get("ARN") or self.arn(connection, name))
        status = {"Type": value["Type"], "Arn": arn, "Version": value.get("Version")}
        if not is_secure:
            status["Value"] = value["Value"]
        if about.get("LastModifiedUser"):
            status["LastModifiedUser"] = str(about["LastModifiedUser"])
        if isinstance(about.get("LastModifiedDate"), datetime):
            status["LastModifiedDate"] = about["LastModifiedDate"].astimezone(UTC).strftime(TIME)
        return Live(
            name=name,
            external_id=arn,
            handle=name,
            spec=spec,
            status=status,
            tags=self.read_tags(connection, name, name),
            version=str(value.get("Version") or ""),
        )
