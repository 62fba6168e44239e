"""Units of systemd for import: found by name, or because somebody put them to use. Called by `service`."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence

from trueup.sdk import Discovered, Document, Invalid, Missing, choose, has_pattern
from trueup_ssh.kinds.host_kind import HostKind
from trueup_ssh.kinds.listing import Listed, exported, name_for, observe_listed
from trueup_ssh.kinds.package import PRIORITIES_OF_DEBIAN
from trueup_ssh.script import Answer, Script, call
from trueup_ssh.session import HostSession

# Where people put their own units; what lies elsewhere came with a package.
_OWN_PLACES = ("/etc/systemd/", "/usr/local/")
_SERVICE = ".service"


def discover_units(
    kind: HostKind, host: HostSession, ids: Sequence[str], suffixes: tuple[str, ...], pattern: str
) -> Iterator[Discovered | Missing]:
    """The units that the ids name, or those that are enabled; without those that every Debian has."""
    names = [each if each.endswith(suffixes) else f"{each}{_SERVICE}" for each in ids]
    states = _list_units(host, pattern)
    if not ids:
        chosen = [unit for unit, state in states.items() if state == "enabled"]
    else:
        known = dict.fromkeys(states)
        patterns = [name for name in names if has_pattern(name) and name not in known]
        found, missing = choose(patterns, known, kind.name) if patterns else ({}, [])
        yield from missing
        chosen = [*(name for name in names if name not in patterns), *found]
    units = list(dict.fromkeys(chosen))
    odd = [unit for unit in units if not re.fullmatch(pattern, unit)]
    yield from (Missing(unit, Invalid(f"{unit!r} is no name of a unit")) for unit in odd)
    listed = _describe(host, [unit for unit in units if unit not in odd])
    yield from observe_listed(kind, host, listed, names)


def export_unit(kind: HostKind, body: Document) -> Document:
    """The resource of a unit that is as somebody wants it to be, and not only so by chance."""
    live, status = body["spec"], body["status"]
    name, is_running = str(live["name"]), live["running"]
    if status["active"] in ("failed", "deactivating", "activating"):
        raise Invalid(
            f"the unit is {status['active']}", hint="import it once it runs, or is stopped for good"
        )
    if not is_running and status.get("type") == "oneshot":
        raise Invalid("it runs once and ends, so that Git cannot say whether it runs")
    if not is_running and status.get("triggeredBy"):
        raise Invalid(f"it is started when {status['triggeredBy']} asks for it", hint="import that instead")
    short = name.removesuffix(_SERVICE)
    spec: dict[str, object] = {} if name_for(short) == short else {"name": name}
    if not is_running:
        spec["running"] = False
    if not live["enabled"]:
        spec["enabled"] = False
    return exported(kind, name_for(short), spec)


def _list_units(host: HostSession, pattern: str) -> Mapping[str, str]:
    """The state of each unit file that is no template."""
    answer = host.run(Script(("service", "import"), [call("list_services")]))
    pairs = (line.partition(" ") for line in answer.of("unitfile"))
    return {unit: state for state, _, unit in pairs if re.fullmatch(pattern, unit)}


def _describe(host: HostSession, units: Sequence[str]) -> Mapping[str, Listed]:
    if not units:
        return {}
    answer = host.run(Script(("service", "import"), [call("describe_services", *units)]))
    details = _details(answer)
    paths = {unit: details[unit].get("FragmentPath", "") for unit in units}
    foreign = [path for path in paths.values() if path and not path.startswith(_OWN_PLACES)]
    brought = _owners(host, foreign)
    return {
        unit: Listed(
            {"name": unit},
            is_system=not paths[unit].startswith(_OWN_PLACES)
            and brought.get(paths[unit], "required") in PRIORITIES_OF_DEBIAN,
            about={
                "type": "oneshot" if _ends_by_itself(details[unit]) else details[unit].get("Type", ""),
                "triggeredBy": details[unit].get("TriggeredBy", ""),
            },
        )
        for unit in units
    }


def _ends_by_itself(detail: Mapping[str, str]) -> bool:
    return detail.get("Type") == "oneshot" and detail.get("RemainAfterExit") != "yes"


def _details(answer: Answer) -> Mapping[str, Mapping[str, str]]:
    """The properties of each unit; the lines of `detail` follow their `about` in the answer."""
    found: dict[str, dict[str, str]] = {unit: {} for unit in answer.of("about")}
    for line in answer.of("detail"):
        unit, _, rest = line.partition(" ")
        key, _, value = rest.partition("=")
        found.setdefault(unit, {})[key] = value
    return found


def _owners(host: HostSession, paths: Sequence[str]) -> Mapping[str, str]:
    """The priority of the package that brought each file."""
    if not paths:
        return {}
    answer = host.run(Script(("import",), [call("say_owners", *paths)]))
    pairs = (line.partition(" ") for line in answer.of("brought"))
    return {path: priority for priority, _, path in pairs}
