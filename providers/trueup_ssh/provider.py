"""The provider: what a target's config says, how a host is reached, one observation for all its nodes."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from trueup.sdk import (
    Document,
    Failed,
    Invalid,
    Kind,
    Limits,
    Node,
    Observation,
    Provider,
    Session,
    Target,
    reveal,
)
from trueup_ssh.kinds.directory import Directory
from trueup_ssh.kinds.file import File
from trueup_ssh.kinds.host_kind import HostKind, observe_nodes
from trueup_ssh.kinds.package import Package
from trueup_ssh.kinds.service import Service
from trueup_ssh.local import LocalTransport, default_owners
from trueup_ssh.session import HostSession, Transport

CONFIG_SCHEMA = {
    "$schema": "https://json-schema.org/draft/2020-12/schema",
    "type": "object",
    "additionalProperties": False,
    "properties": {
        "connection": {
            "enum": ["ssh", "local"],
            "default": "ssh",
            "description": "`ssh`, or `local` for the machine that trueup runs on.",
        },
        "host": {"type": "string", "minLength": 1, "description": "Name or address of the host."},
        "port": {
            "type": "integer",
            "minimum": 1,
            "maximum": 65535,
            "default": 22,
            "description": "Port of its SSH server.",
        },
        "user": {
            "type": "string",
            "minLength": 1,
            "description": "User to log in as. Default: the user who runs trueup.",
        },
        "sudo": {
            "type": "boolean",
            "default": False,
            "description": "Work as root through `sudo -n`. The user must not need a password for it.",
        },
        "identityFile": {
            "type": "string",
            "x-plain": True,
            "minLength": 1,
            "description": "Private key, a path on the machine that trueup runs on. "
            "Default: the agent's keys and those in ~/.ssh.",
        },
        "knownHosts": {
            "type": "string",
            "x-plain": True,
            "minLength": 1,
            "default": "~/.ssh/known_hosts",
            "description": "File with the host's key. A host whose key is not there, or differs, is refused.",
        },
        "connectTimeout": {
            "type": "number",
            "exclusiveMinimum": 0,
            "maximum": 300,
            "default": 10,
            "description": "Seconds to wait for the connection, the banner and the authentication, each.",
        },
        "aptLockTimeout": {
            "type": "integer",
            "minimum": 0,
            "maximum": 3600,
            "default": 60,
            "description": "Seconds to wait while another program holds the package database's lock.",
        },
        "stateDir": {
            "type": "string",
            "x-plain": True,
            "pattern": "^/",
            "description": "Directory on the host for the ownership markers. Default: /var/lib/trueup for "
            "root, else a directory in the user's home.",
        },
    },
    "if": {"properties": {"connection": {"const": "local"}}, "required": ["connection"]},
    "else": {"required": ["host"]},
}


class SshProvider(Provider):
    name = "ssh"
    config_schema = CONFIG_SCHEMA
    # One host, one shell at a time: package managers and services of a host do not like company.
    limits = Limits(concurrency=1)

    def __init__(self) -> None:
        self._kinds: tuple[HostKind, ...] = (File(), Directory(), Package(), Service())

    def kinds(self) -> Sequence[Kind]:
        return self._kinds

    def connect(self, target: Target, owner_key: str) -> Session:
        config = reveal(target.config)
        state = config.get("stateDir") or ""
        owners = f"{state.rstrip('/')}/owners" if state else ""
        transport: Transport
        if config.get("connection", "ssh") == "local":
            sudo = bool(config.get("sudo", False))
            owners = owners or default_owners(sudo)
            transport = LocalTransport(owners, sudo)
        else:
            transport = _connect(target.name, target.config)
        return HostSession(transport, owners, int(config.get("aptLockTimeout", 60)))

    def discoverable(self, session: Session) -> Sequence[Kind]:
        """Files and directories are too many to be listed: they are imported by their paths."""
        return [kind for kind in self._kinds if kind.name in ("Package", "Service")]

    def batches(self, nodes: Sequence[Node]) -> Iterable[Sequence[Node]]:
        return [nodes] if nodes else []

    def observe(self, session: Session, nodes: Sequence[Node]) -> Iterable[Observation]:
        by_name = {kind.name: kind for kind in self._kinds}
        pairs: list[tuple[HostKind, Node]] = []
        for node in nodes:
            kind = by_name.get(node.kind)
            if kind is None or node.api_version != kind.api_version:
                yield Failed(node.address, Invalid(f"the ssh provider has no kind {node.kind}"))
            else:
                pairs.append((kind, node))
        yield from observe_nodes(session, pairs)


def _connect(name: str, config: Document) -> Transport:
    from trueup_ssh.client import SshTransport

    if not config.get("host"):
        raise Invalid(f"target {name}: config.host is missing")
    return SshTransport(config)
