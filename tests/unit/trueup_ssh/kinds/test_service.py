"""Services: names of units, and systemd's answer read in blocks."""

from __future__ import annotations

import pytest

from trueup.sdk import Address, Node, Readiness, Target, Transient, Value
from trueup_ssh.kinds.host_kind import observation
from trueup_ssh.kinds.service import Service, read_units, unit_name
from trueup_ssh.script import Answer

KIND = Service()


def node_of(name: str, /, **spec: Value) -> Node:
    body = {"apiVersion": KIND.api_version, "kind": "Service", "metadata": {"name": name}, "spec": spec}
    return Node(Address("s", "Service", name, "h"), KIND.api_version, Target("h", "ssh"), body)


@pytest.mark.parametrize(
    ("name", "unit"),
    [
        ("nginx", "nginx.service"),
        ("nginx.service", "nginx.service"),
        ("getty@tty1", "getty@tty1.service"),
        ("a.timer", "a.timer"),
        ("php8.2-fpm", "php8.2-fpm.service"),
        ("-x", ""),
        ("a b", ""),
        ("a/b", ""),
        ("a\n", ""),
    ],
)
def test_a_name_becomes_the_name_of_a_unit(name: str, unit: str) -> None:
    assert unit_name(node_of("x", name=name)) == unit


def test_blocks_of_properties_belong_to_units_in_their_order() -> None:
    lines = ["LoadState=loaded", "ActiveState=active", "", "LoadState=not-found", "ActiveState=inactive"]
    answer = Answer({"unit": ["a.service", "b.service"], "property": lines})
    units = read_units(answer)
    assert units["a.service"] == {"LoadState": "loaded", "ActiveState": "active"}
    assert units["b.service"]["LoadState"] == "not-found"


def test_an_answer_with_a_block_missing_is_transient() -> None:
    with pytest.raises(Transient):
        read_units(Answer({"unit": ["a.service", "b.service"], "property": ["LoadState=loaded"]}))


@pytest.mark.parametrize(
    ("active", "readiness"),
    [
        ("active", Readiness.READY),
        ("inactive", Readiness.READY),
        ("activating", Readiness.PROGRESSING),
        ("failed", Readiness.DEGRADED),
    ],
)
def test_health_goes_by_the_state_of_the_unit(active: str, readiness: Readiness) -> None:
    status: dict[str, object] = {"active": active, "sub": "dead"}
    seen = observation(node_of("x"), KIND, {}, status, None, "v")
    assert KIND.health(seen).readiness is readiness
