"""What is written for a unit, and which units nobody can describe."""

from __future__ import annotations

from typing import Any

import pytest

from trueup.sdk import Document, Invalid, Target
from trueup_ssh.kinds.found_units import export_unit
from trueup_ssh.kinds.listing import LONGEST_NAME, name_for
from trueup_ssh.kinds.service import Service
from trueup_ssh.provider import SshProvider

KIND = Service()


def body_of(name: str, *, running: bool = True, enabled: bool = True, **status: str) -> Document:
    live: dict[str, Any] = {"name": name, "running": running, "enabled": enabled}
    active = "active" if running else "inactive"
    return {"spec": live, "status": {"active": active, "type": "simple", "triggeredBy": "", **status}}


@pytest.mark.parametrize(
    ("body", "name", "spec"),
    [
        (body_of("nginx.service"), "nginx", {}),
        (body_of("backup.timer"), "backup.timer", {}),
        (body_of("getty@tty1.service"), "getty-tty1", {"name": "getty@tty1.service"}),
        (body_of("nginx.service", running=False), "nginx", {"running": False}),
        (body_of("nginx.service", enabled=False), "nginx", {"enabled": False}),
        (body_of("ready.service", type="oneshot"), "ready", {}),
    ],
)
def test_a_unit_is_described_by_what_differs_from_a_new_one(
    body: Document, name: str, spec: dict[str, object]
) -> None:
    document = export_unit(KIND, body)
    assert document["metadata"] == {"name": name}
    assert document["spec"] == spec
    full = document["spec"].get("name", name)
    assert (full if "." in full else f"{full}.service") == body["spec"]["name"]


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (body_of("a.service", active="failed"), "the unit is failed"),
        (body_of("a.service", active="activating"), "the unit is activating"),
        (body_of("a.service", running=False, type="oneshot"), "it runs once and ends"),
        (body_of("a.service", running=False, triggeredBy="a.timer"), r"started when a\.timer asks for it"),
    ],
)
def test_a_unit_whose_state_is_passing_is_refused(body: Document, words: str) -> None:
    with pytest.raises(Invalid, match=words):
        export_unit(KIND, body)


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("/etc/nginx/nginx.conf", "etc-nginx-nginx.conf"),
        ("/a b/c@d", "a-b-c-d"),
        ("/" + "x" * 300, "x" * LONGEST_NAME),
        ("///", "resource"),
    ],
)
def test_a_name_of_a_resource_holds_no_sign_of_an_address(text: str, name: str) -> None:
    assert name_for(text) == name


def test_packages_and_services_are_what_can_be_listed(tmp_path: Any) -> None:
    provider = SshProvider()
    target = Target("here", "ssh", config={"connection": "local", "stateDir": str(tmp_path)})
    session = provider.connect(target, "tests/shop")
    assert [kind.name for kind in provider.discoverable(session)] == ["Package", "Service"]
