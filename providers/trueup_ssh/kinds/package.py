"""Kind Package: one Debian package, installed by apt-get, shared with whoever installed it before."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence

from trueup.sdk import (
    READY,
    Absent,
    Change,
    Discovered,
    Document,
    Done,
    Health,
    Intent,
    Invalid,
    Missing,
    Node,
    Observation,
    Observed,
    Problem,
    Session,
    Traits,
    choose,
    degraded,
)
from trueup_ssh.kinds.host_kind import HostKind, host_of, observation, spec_of
from trueup_ssh.kinds.listing import Listed, exported, observe_listed
from trueup_ssh.ownership import Marker, owner_text
from trueup_ssh.script import Answer, Script, call

# To apt-get a minus at the end of a name would mean "remove".
NAME_PATTERN = "^[a-z0-9][a-z0-9+.-]{0,126}[a-z0-9+.]$"
VERSION_PATTERN = "^[0-9A-Za-z][0-9A-Za-z.+:~-]{0,127}$"
# What Debian itself installs on every host.
PRIORITIES_OF_DEBIAN = ("required", "important", "standard")
_GONE = ("not-installed", "config-files")


class Package(HostKind):
    name = "Package"
    functions = "package"
    traits = Traits(shared=True)
    # A lock, the lists, a package of any size, its scripts.
    change_seconds = 1200.0
    schema = {
        "description": "A Debian package, installed.",
        "examples": [{"name": "nginx"}],
        "type": "object",
        "additionalProperties": False,
        "properties": {
            "name": {
                "type": "string",
                "pattern": NAME_PATTERN,
                "description": "Name of the Debian package. Default: metadata.name.",
                "x-immutable": True,
            },
            "version": {
                "type": "string",
                "pattern": VERSION_PATTERN,
                "description": "This exact version, an older one too. Left out: any; what is there is not "
                "upgraded.",
            },
            "state": {"enum": ["present"], "default": "present", "description": "Installed and configured."},
            "purge": {
                "type": "boolean",
                "description": "Its deletion removes its configuration files too.",
            },
        },
    }

    def validate(self, node: Node) -> Iterable[Problem]:
        if "name" not in spec_of(node) and not re.fullmatch(NAME_PATTERN, node.name):
            yield Problem(f"{node.name!r} is no name of a Debian package: set spec.name", node.place)

    def identity(self, node: Node) -> str:
        name = package_name(node)
        return f"package:{name}" if name else ""

    def identity_spec(self, identity: str) -> dict[str, object]:
        return {"name": identity.removeprefix("package:")}

    def provides(self, node: Node) -> Iterable[str]:
        identity = self.identity(node)
        if identity:
            yield identity

    def normal_spec(self, node: Node, observed: Observed | None) -> Document:
        spec = {"name": spec_of(node).get("name", node.name), "state": "present"}
        if "version" in spec_of(node):
            spec["version"] = spec_of(node)["version"]
        return spec

    def health(self, observed: Observed) -> Health:
        state = observed.body["spec"]["state"]
        return READY if state == "present" else degraded(f"the package is {state}")

    def discover(self, session: Session, ids: Sequence[str]) -> Iterable[Discovered | Missing]:
        answer = host_of(session).run(Script(("package", "import"), [call("list_packages")]))
        manual = set(answer.of("manual")) if answer.of("known") else None
        listed: dict[str, Listed] = {}
        for line in answer.of("listed"):
            name, status, essential, protected, priority = (line.split(" ") + [""] * 4)[:5]
            if status in _GONE or not re.fullmatch(NAME_PATTERN, name):
                continue
            is_asked_for = manual is None or name in manual
            is_part = "yes" in (essential, protected) or priority in PRIORITIES_OF_DEBIAN
            listed[name] = Listed({"name": name}, is_system=is_part or not is_asked_for)
        chosen, missing = choose(ids, listed, "installed package")
        yield from missing
        yield from observe_listed(self, session, chosen, ids)

    def export(self, body: Document) -> Document:
        live = body["spec"]
        if live["state"] != "present":
            raise Invalid(f"the package is {live['state']}", hint="finish its installation first")
        return exported(self, live["name"], {})

    def probe(self, nodes: Sequence[tuple[int, Node]]) -> Iterable[str]:
        yield call("probe_packages", *dict.fromkeys(package_name(node) for _, node in nodes))

    def read(
        self, nodes: Sequence[tuple[int, Node]], answer: Answer, owners: Mapping[int, Marker]
    ) -> Iterator[Observation]:
        known: dict[str, tuple[str, str, str]] = {}
        for line in answer.of("package"):
            name, version, status, want = line.split(" ")
            # A package of two architectures has two lines; the installed one counts.
            if name not in known or known[name][1] in _GONE:
                known[name] = (version, status, want)
        for index, node in nodes:
            name = package_name(node)
            version, status, want = known.get(name, ("", "not-installed", ""))
            if status in _GONE:
                yield Absent(node.address)
                continue
            marker = owners.get(index)
            spec: dict[str, object] = {
                "name": name,
                "version": version,
                "state": "present" if status == "installed" else status,
            }
            created = marker is not None and marker.created
            state: dict[str, object] = {"version": version, "hold": want == "hold", "created": created}
            yield observation(node, self, spec, state, marker, f"{version} {status}")

    def create(self, session: Session, node: Node, intent: Intent) -> Done:
        marker = self.marker_words(node, intent)
        words = (package_name(node), *marker, self.take_word(node), _version(node), _lock(session))
        return self.change(session, node, "create_package", *words)

    def update(self, session: Session, node: Node, change: Change, intent: Intent) -> Done:
        node = self.live_node(node)
        marker = self.marker_words(node, intent)
        expected = self.expected_word(node, change, intent)
        words = (package_name(node), *marker, expected, _version(node), _lock(session))
        return self.change(session, node, "update_package", *words)

    def delete(self, session: Session, node: Node, intent: Intent) -> Done:
        node = self.live_node(node)
        verb = "purge" if spec_of(node).get("purge") is True else "remove"
        words = (package_name(node), self.key(node), owner_text(intent.owner), verb, _lock(session))
        return self.change(session, node, "delete_package", *words)


def package_name(node: Node) -> str:
    """The name on the host; empty where it is not known, or could not be one."""
    name = spec_of(node).get("name", node.name)
    return name if isinstance(name, str) and re.fullmatch(NAME_PATTERN, name) else ""


def _version(node: Node) -> str:
    version = spec_of(node).get("version", "")
    return version if isinstance(version, str) else ""


def _lock(session: Session) -> str:
    return str(host_of(session).apt_lock_seconds)
