"""Kind Service: whether a unit of systemd runs and starts at boot. The unit itself comes from elsewhere.

The object that is managed is the unit's being in use: a unit that neither runs nor is enabled, and carries no
marker, counts as absent. So a service that trueup took into use can be created, deleted, and seen to be gone.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import zip_longest

from trueup.sdk import (
    READY,
    Absent,
    Change,
    Discovered,
    Document,
    Done,
    Failed,
    Health,
    Intent,
    Missing,
    Node,
    Observation,
    Observed,
    Problem,
    Session,
    Traits,
    Transient,
    degraded,
    progressing,
)
from trueup_ssh.kinds.found_units import discover_units, export_unit
from trueup_ssh.kinds.host_kind import HostKind, host_of, observation, spec_of
from trueup_ssh.ownership import Marker, owner_text
from trueup_ssh.script import Answer, call

# A template without an instance (`getty@`) is no unit, nor is an instance without a template.
NAME_PATTERN = r"^(?!@)(?!.*@(\.[a-z]+)?$)[A-Za-z0-9:_.\\@][A-Za-z0-9:_.\\@-]{0,254}$"
SUFFIXES = (".service", ".socket", ".timer", ".target", ".path", ".mount", ".swap", ".slice")
TRIGGER_VERBS = ("restart", "reload", "reload-or-restart")
_RUNNING = ("active", "reloading", "activating")
_ENABLED = ("enabled",)


class Service(HostKind):
    name = "Service"
    functions = "service"
    traits = Traits(shared=True, ready_timeout=120.0, refreshable=True)
    change_seconds = 240.0
    schema = {
        "description": "A unit of systemd: whether it runs, and whether it starts at boot.",
        "examples": [{"name": "nginx"}],
        "type": "object",
        "additionalProperties": False,
        "properties": {
            "name": {
                "type": "string",
                "pattern": NAME_PATTERN,
                "description": "Name of the unit; `.service` may be left out. Default: metadata.name.",
                "x-immutable": True,
            },
            "running": {"type": "boolean", "default": True, "description": "Started, or stopped."},
            "enabled": {"type": "boolean", "default": True, "description": "Whether it starts at boot."},
            # Without `default`: it is about what trueup does, so that nothing on the host compares with it.
            "onTrigger": {
                "enum": list(TRIGGER_VERBS),
                "description": "What lifecycle.triggers make a running unit do. Default: restart.",
            },
        },
    }

    def validate(self, node: Node) -> Iterable[Problem]:
        if "name" not in spec_of(node) and not re.fullmatch(NAME_PATTERN, node.name):
            yield Problem(f"{node.name!r} is no name of a unit: set spec.name", node.place)

    def identity(self, node: Node) -> str:
        unit = unit_name(node)
        return f"service:{unit}" if unit else ""

    def identity_spec(self, identity: str) -> dict[str, object]:
        return {"name": identity.removeprefix("service:")}

    def provides(self, node: Node) -> Iterable[str]:
        unit = unit_name(node)
        if unit:
            yield f"service:{unit.removesuffix('.service')}"

    def normal_spec(self, node: Node, observed: Observed | None) -> Document:
        spec = spec_of(node)
        return {
            "name": unit_name(node) or spec.get("name", node.name),
            "running": spec.get("running", True),
            "enabled": spec.get("enabled", True),
        }

    def health(self, observed: Observed) -> Health:
        status = observed.body["status"]
        active, sub = status["active"], status["sub"]
        if active == "failed":
            return degraded(f"the unit failed ({sub})")
        if active in ("activating", "deactivating", "reloading"):
            return progressing(f"the unit is {active} ({sub})")
        return READY

    def discover(self, session: Session, ids: Sequence[str]) -> Iterable[Discovered | Missing]:
        return discover_units(self, host_of(session), ids, SUFFIXES, NAME_PATTERN)

    def export(self, body: Document) -> Document:
        return export_unit(self, body)

    def probe(self, nodes: Sequence[tuple[int, Node]]) -> Iterable[str]:
        yield call("probe_services", *dict.fromkeys(unit_name(node) for _, node in nodes))

    def read(
        self, nodes: Sequence[tuple[int, Node]], answer: Answer, owners: Mapping[int, Marker]
    ) -> Iterator[Observation]:
        units = read_units(answer)
        for index, node in nodes:
            unit = unit_name(node)
            properties = units.get(unit, {})
            load = properties.get("LoadState", "")
            if not load:
                error = Transient(f"the host did not say anything about {unit}")
                yield Failed(node.address, error)
                continue
            marker = owners.get(index)
            active, sub = properties.get("ActiveState", ""), properties.get("SubState", "")
            file_state = properties.get("UnitFileState", "")
            is_in_use = marker is not None or active in _RUNNING or file_state in _ENABLED
            if load == "not-found" or not is_in_use:
                yield Absent(node.address)
                continue
            spec: dict[str, object] = {
                "name": unit,
                "running": active in _RUNNING,
                "enabled": file_state in _ENABLED,
            }
            status: dict[str, object] = {
                "active": active,
                "sub": sub,
                "load": load,
                "unitFile": file_state,
                "created": marker is not None and marker.created,
            }
            yield observation(node, self, spec, status, marker, f"{load} {active} {file_state}")

    def create(self, session: Session, node: Node, intent: Intent) -> Done:
        marker = self.marker_words(node, intent)
        words = (unit_name(node), *marker, self.take_word(node), *_wanted(node))
        return self.change(session, node, "create_service", *words)

    def update(self, session: Session, node: Node, change: Change, intent: Intent) -> Done:
        node = self.live_node(node)
        marker = self.marker_words(node, intent)
        expected = self.expected_word(node, change, intent)
        words = (unit_name(node), *marker, expected, *_wanted(node))
        return self.change(session, node, "update_service", *words)

    def refresh(self, session: Session, node: Node, intent: Intent) -> Done:
        node = self.live_node(node)
        verb = spec_of(node).get("onTrigger", TRIGGER_VERBS[0])
        words = (unit_name(node), self.key(node), owner_text(intent.owner), str(verb))
        return self.change(session, node, "refresh_service", *words)

    def delete(self, session: Session, node: Node, intent: Intent) -> Done:
        node = self.live_node(node)
        words = (unit_name(node), self.key(node), owner_text(intent.owner))
        return self.change(session, node, "delete_service", *words)


def unit_name(node: Node) -> str:
    """The unit's full name; empty where it is not known, or could not be one."""
    name = spec_of(node).get("name", node.name)
    if not isinstance(name, str) or not re.fullmatch(NAME_PATTERN, name):
        return ""
    return name if name.endswith(SUFFIXES) else f"{name}.service"


def read_units(answer: Answer) -> Mapping[str, Mapping[str, str]]:
    """The properties of each unit: systemctl gives them in blocks, in the order in which it was asked."""
    blocks: list[dict[str, str]] = [{}]
    for line in answer.of("property"):
        key, equals, value = line.partition("=")
        if equals:
            blocks[-1][key] = value
        else:
            blocks.append({})
    units: dict[str, Mapping[str, str]] = {}
    for unit, block in zip_longest(answer.of("unit"), blocks):
        if unit is None or block is None:
            raise Transient("systemd's answer is not complete")
        units[unit] = block
    for line in answer.of("generated"):
        unit, _, state = line.partition(" ")
        units[unit] = {**units[unit], "UnitFileState": state}
    return units


def _wanted(node: Node) -> tuple[str, str]:
    spec = spec_of(node)
    return ("no" if spec.get("running") is False else "yes", "no" if spec.get("enabled") is False else "yes")
