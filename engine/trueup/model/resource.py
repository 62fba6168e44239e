"""What the manifests declare: stacks, targets, and the nodes that resources expand to."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from functools import cached_property
from typing import Any, Protocol

from trueup.errors import NOWHERE, Place
from trueup.model.address import Address
from trueup.model.values import Document, Value


class Drift(StrEnum):
    """What happens to drift: it is corrected, or only reported."""

    CORRECT = "correct"
    REPORT = "report"


class OnDelete(StrEnum):
    """What happens to the live object when its resource leaves Git."""

    DELETE = "delete"
    ORPHAN = "orphan"


class Replace(StrEnum):
    """Whether a change of an immutable field may delete the object and create it again."""

    ALLOW = "allow"
    DENY = "deny"
    CREATE_FIRST = "createFirst"  # the new object first, then the old one goes


@dataclass(frozen=True)
class Lifecycle:
    """A resource's `lifecycle` block. `ignore` holds JSON pointers; `timeout` is in seconds.

    `moved_from` are the addresses that it had before, each as `Kind/[namespace/]name` of this stack or as
    `stack/Kind/[namespace/]name` of another one, with or without `@target`. `triggers` are the nodes whose
    change makes the kind act (restart, reload, redeploy).
    """

    protect: bool = False
    ignore: tuple[str, ...] = ()
    on_delete: OnDelete = OnDelete.DELETE
    replace: Replace = Replace.ALLOW
    adopt: bool = False
    drift: Drift | None = None
    timeout: float | None = None
    moved_from: tuple[str, ...] = ()
    triggers: tuple[Address, ...] = ()


DEFAULT_LIFECYCLE = Lifecycle()


@dataclass(frozen=True)
class Rollout:
    """How the nodes of one resource are acted on across targets.

    `batch` is a count ("2") or a share ("25%", rounded up) of the nodes that need something; the next batch
    starts when the one before is done. More failures than `max_failures` stop the rest.
    """

    batch: str
    max_failures: int = 0


@dataclass(frozen=True)
class Target:
    """A place where resources live: a cluster, an account and region, a host."""

    name: str
    provider: str
    labels: Mapping[str, str] = field(default_factory=dict)
    config: Document = field(default_factory=dict)
    place: Place = NOWHERE


@dataclass(frozen=True)
class TargetGrant:
    """A sort of targets that trueup.toml lets a stack use.

    `config` has a pattern for each key that a target's config may have; without it, all is allowed.
    `is_own`: it comes from the stack's own repository, and lets it do nothing that needs a grant.
    """

    provider: str
    config: Document | None = None
    is_own: bool = False


Grants = tuple[TargetGrant, ...]


@dataclass(frozen=True)
class Reference:
    """One `ref()` of an expression, resolved to a node, with the fields that are selected from it.

    `path` is as far as the expression names it literally: `ref("Queue/a").status.Url` gives
    `("status", "Url")`.
    """

    address: Address
    path: tuple[str, ...] = ()


@dataclass(frozen=True)
class SecretReference:
    """One `secret()` of an expression: `source:key`, or `source@target:key` to read it from a target."""

    text: str
    place: Place = field(default=NOWHERE, compare=False)

    @property
    def source(self) -> str:
        return self.text.partition(":")[0].partition("@")[0]

    @property
    def target(self) -> str:
        """The name of the target whose credentials read it, empty where none is named."""
        return self.text.partition(":")[0].partition("@")[2]

    @property
    def key(self) -> str:
        return self.text.partition(":")[2]


@dataclass(frozen=True)
class OutputReference:
    """One `stack()` of an expression: the stack, and the output that is selected (empty: all of them)."""

    stack: str
    output: str = ""
    place: Place = field(default=NOWHERE, compare=False)


class Deferred(Protocol):
    """A value inside a body that is known only later: an expression. See manifests/expressions.

    `references` are the nodes that it reads, `secrets` and `outputs` what comes from secret sources and from
    other stacks. `evaluate` gives its value by a look-up of these, UNKNOWN where any of them is not known;
    raises ManifestError.
    """

    @property
    def references(self) -> tuple[Reference, ...]: ...

    @property
    def secrets(self) -> tuple[SecretReference, ...]: ...

    @property
    def outputs(self) -> tuple[OutputReference, ...]: ...

    def evaluate(self, lookup: Any, /) -> Value: ...


@dataclass(frozen=True)
class Facts:
    """What expressions need from outside of the stack, looked up once before a run.

    `secrets` are Sensitive values by the text of their `secret()`. `outputs` are those of other stacks, by
    the name of the stack; one that was never reconciled is missing.
    """

    secrets: Mapping[str, Value] = field(default_factory=dict)
    outputs: Mapping[str, Mapping[str, Value]] = field(default_factory=dict)


@dataclass(frozen=True)
class Node:
    """One resource on one target: a node of the graph, and what a provider is called with.

    `body` is the whole document without trueup's own keys. In the graph its leaves may be `Deferred`;
    when a provider sees it they are plain values, UNKNOWN (in pure methods only) or Sensitive.
    `external_id` is the id of the live object where it is known (from the inventory or an observation),
    else empty.
    """

    address: Address
    api_version: str
    target: Target
    body: Document
    lifecycle: Lifecycle = DEFAULT_LIFECYCLE
    depends_on: tuple[Address, ...] = ()
    place: Place = NOWHERE
    external_id: str = ""
    rollout: Rollout | None = None

    def with_body(self, body: Document, external_id: str = "") -> Node:
        """The same node with another body. `dataclasses.replace` takes three times as long."""
        return Node(
            self.address,
            self.api_version,
            self.target,
            body,
            self.lifecycle,
            self.depends_on,
            self.place,
            external_id or self.external_id,
            self.rollout,
        )

    @property
    def kind(self) -> str:
        return self.address.kind

    @cached_property
    def former_addresses(self) -> tuple[Address, ...]:
        """What `lifecycle.movedFrom` says in full: without a target, it means the node's own one.

        In a module, `Kind/name` means a resource of the module.
        """
        return tuple(self._former(text, self.address.name.rpartition("/")[0]) for text in self._moves)

    @cached_property
    def former_addresses_outside(self) -> tuple[Address, ...]:
        """For a node of a module: the same, read as resources of the stack outside of every module."""
        is_inside = "/" in self.address.name
        found = (self._former(text, "") for text in self._moves) if is_inside else ()
        return tuple(address for address in found if address not in self.former_addresses)

    @property
    def _moves(self) -> tuple[str, ...]:
        return self.lifecycle.moved_from

    def _former(self, text: str, module: str) -> Address:
        path, _, target = text.partition("@")
        if path.partition("/")[0] == self.kind:
            above, _, name = path.rpartition("/")
            path = (
                f"{self.address.stack}/{above}/{module}/{name}" if module else f"{self.address.stack}/{path}"
            )
        return Address.parse(f"{path}@{target or self.address.target}")

    # To keep these two in the node takes longer than to look them up.
    @property
    def name(self) -> str:
        """`metadata.name`: what the system knows the object by, without the module of the address."""
        name = self._metadata.get("name")
        return name if isinstance(name, str) else self.address.name.rpartition("/")[2]

    @property
    def namespace(self) -> str:
        """`metadata.namespace`, empty where none is written."""
        metadata = self._metadata
        if not metadata:
            return self.address.namespace
        namespace = metadata.get("namespace")
        return namespace if isinstance(namespace, str) else ""

    @property
    def _metadata(self) -> Document:
        metadata = self.body.get("metadata")
        return metadata if isinstance(metadata, Mapping) else {}

    @property
    def spec(self) -> Document:
        """The body's `spec`, empty where there is none or it is not known yet."""
        spec = self.body.get("spec")
        return spec if isinstance(spec, Mapping) else {}


@dataclass(frozen=True)
class Guards:
    """What holds a run back. `max_deletes` is a count ("7") or a share of the stack ("20%")."""

    max_deletes: str = ""


class Enforce(StrEnum):
    """What happens to a plan with a change that a policy is not fulfilled by."""

    DENY = "deny"  # it is not carried out, whoever approves it
    APPROVE = "approve"  # it is held until somebody approves it
    WARN = "warn"  # it is shown


@dataclass(frozen=True)
class Policy:
    """A rule that each change that writes has to fulfil: an expression that must be true.

    `is_installation`: it stands in trueup.toml, where no stack can switch it off.
    """

    name: str
    rule: str
    enforce: Enforce
    message: str = ""
    place: Place = NOWHERE
    is_installation: bool = False


@dataclass(frozen=True)
class Stack:
    """The settings of a stack: everything in stack.yaml but its resources. `interval` is in seconds.

    `outputs` are what other stacks may read; their leaves may be `Deferred`.
    """

    name: str
    interval: float = 300.0
    drift: Drift = Drift.CORRECT
    prune: bool = True
    depends_on: tuple[str, ...] = ()
    variables: Mapping[str, Value] = field(default_factory=dict)
    targets: tuple[Target, ...] = ()
    guards: Guards = field(default_factory=Guards)
    place: Place = NOWHERE
    outputs: Mapping[str, Value] = field(default_factory=dict)
    policies: tuple[Policy, ...] = ()

    @cached_property
    def target_by_name(self) -> Mapping[str, Target]:
        return {target.name: target for target in self.targets}


@dataclass(frozen=True)
class Revision:
    """Which content of a source was read. `commit` is a full hash, or `sha256:...` of a plain directory.

    `branch` is the branch it was found by, empty for a tag, a commit or a directory. `values` says with which
    values the stack was read, in a few words that tell them from others; empty for the defaults. `author`
    wrote the commit (`Name <mail>`); empty for a directory.
    """

    url: str
    path: str
    commit: str
    branch: str = ""
    ref: str = ""
    values: str = ""
    author: str = field(default="", compare=False)
