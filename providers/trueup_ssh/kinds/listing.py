"""What import needs of the kinds of a host: objects are listed first, and then observed like any others."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from trueup.sdk import (
    Absent,
    Address,
    Discovered,
    Document,
    Failed,
    Invalid,
    Missing,
    Node,
    Observed,
    Session,
    Target,
)
from trueup_ssh.kinds.host_kind import HostKind, observe_nodes

# The longest name of a resource, with room for a number behind it.
LONGEST_NAME = 240
_NOT_IN_NAMES = re.compile(r"[\s/@]+")


@dataclass(frozen=True)
class Listed:
    """One object that a kind has listed: what finds it again. `about` becomes part of its status."""

    spec: Document
    is_system: bool = False
    about: Mapping[str, object] = field(default_factory=dict)


def name_for(text: str) -> str:
    """A name of a resource for a path or a unit: `/etc/nginx/nginx.conf` gives `etc-nginx-nginx.conf`."""
    return _NOT_IN_NAMES.sub("-", text).strip("-")[:LONGEST_NAME] or "resource"


def observe_listed(
    kind: HostKind, session: Session, listed: Mapping[str, Listed], ids: Sequence[str]
) -> Iterator[Discovered | Missing]:
    """The listed objects as they are observed. One that is gone matters only if it was named."""
    nodes = [_node(kind, index, each.spec) for index, each in enumerate(listed.values())]
    answers = {seen.address.name: seen for seen in observe_nodes(session, [(kind, node) for node in nodes])}
    for index, (key, each) in enumerate(listed.items()):
        seen = answers.get(f"{index}")
        if isinstance(seen, Failed):
            yield Missing(key, seen.error)
        elif isinstance(seen, Observed):
            status = {**seen.body["status"], **each.about}
            body = {**seen.body, "status": status}
            yield Discovered(key, seen.external_id, body, seen.owner, seen.version, each.is_system)
        elif isinstance(seen, Absent) and key in ids:
            yield Missing(key, Invalid(f"there is no {kind.name} {key!r}"))


def _node(kind: HostKind, index: int, spec: Document) -> Node:
    """A node that leads to a listed object; its number is its name."""
    name = str(index)
    body = {"apiVersion": kind.api_version, "kind": kind.name, "metadata": {"name": name}, "spec": spec}
    return Node(Address("-", kind.name, name, "-"), kind.api_version, Target("-", "ssh"), body)


def exported(kind: HostKind, name: str, spec: Document) -> Document:
    """The resource that describes an object."""
    return {
        "apiVersion": kind.api_version,
        "kind": kind.name,
        "metadata": {"name": name},
        "spec": spec,
    }
