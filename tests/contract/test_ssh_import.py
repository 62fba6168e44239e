"""What import finds on a real Debian host: what somebody put there, and not what every Debian has."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from tests.hosts.fixtures import Host

from trueup.sdk import Discovered, Invalid, Kind, Missing, Session
from trueup_ssh.provider import SshProvider

pytestmark = [pytest.mark.hosts, pytest.mark.xdist_group("hosts")]

PROVIDER = SshProvider()
FILE, _, PACKAGE, SERVICE = PROVIDER.kinds()
INSTALL = "[Install]\nWantedBy=multi-user.target\n"


@pytest.fixture
def session(fresh_host: Host) -> Iterator[Session]:
    session = PROVIDER.connect(fresh_host.target(), "tests/shop")
    yield session
    session.close()


def discover(session: Session, kind: Kind, *ids: str) -> dict[str, Discovered | Missing]:
    return {each.id: each for each in kind.discover(session, ids)}


def not_of_the_system(found: dict[str, Discovered | Missing]) -> list[str]:
    return sorted(key for key, each in found.items() if isinstance(each, Discovered) and not each.is_system)


def test_packages_that_somebody_asked_for_are_found(session: Session, fresh_host: Host) -> None:
    fresh_host.run("apt-get -qqy install t-needs-one t-two </dev/null; apt-get -qqy remove t-two </dev/null")
    found = discover(session, PACKAGE)
    chosen = not_of_the_system(found)
    # t-one came along with t-needs-one; systemd and apt come with Debian.
    assert "t-needs-one" in chosen and not {"t-one", "t-two", "systemd", "apt", "dpkg"} & set(chosen)
    assert {"t-one", "systemd", "apt"} <= found.keys() and "t-two" not in found
    named = discover(session, PACKAGE, "t-one", "t-two", "t-n*")
    assert isinstance(named["t-one"], Discovered) and isinstance(named["t-needs-one"], Discovered)
    assert isinstance(named["t-two"], Missing)
    document = PACKAGE.export(named["t-one"].body)
    assert (document["metadata"], document["spec"]) == ({"name": "t-one"}, {})


def test_units_that_somebody_put_to_use_are_found(session: Session, fresh_host: Host) -> None:
    fresh_host.run(
        "cd /etc/systemd/system;"
        f"printf '[Service]\\nExecStart=/bin/sleep infinity\\n{INSTALL}' > own.service;"
        f"printf '[Service]\\nType=oneshot\\nExecStart=/bin/true\\n{INSTALL}' > once.service;"
        "printf '[Service]\\nExecStart=/bin/sleep infinity\\n' > made@.service;"
        "printf '[Timer]\\nOnCalendar=monthly\\n[Install]\\nWantedBy=timers.target\\n' > once.timer;"
        "systemctl daemon-reload; systemctl enable -q --now own.service once.timer cron ssh;"
        "systemctl enable -q once.service; systemctl start made@one.service"
    )
    found = discover(session, SERVICE)
    chosen = not_of_the_system(found)
    assert {"own.service", "once.service", "once.timer", "ssh.service"} <= set(chosen)
    assert not {"cron.service", "made@.service", "made@one.service"} & set(chosen)
    assert not any(unit.startswith("systemd-") for unit in chosen)
    with pytest.raises(Invalid, match="runs once and ends"):
        SERVICE.export(body_of(found["once.service"]))
    assert SERVICE.export(body_of(found["once.timer"]))["spec"] == {}

    named = discover(session, SERVICE, "cron", "made@one", "nothing", "on*.timer")
    assert set(not_of_the_system(named)) >= {"made@one.service", "once.timer"}
    assert isinstance(named["cron.service"], Discovered)
    assert isinstance(named["nothing.service"], Missing)
    document = SERVICE.export(body_of(named["made@one.service"]))
    assert document["spec"] == {"name": "made@one.service", "enabled": False}
    assert document["metadata"] == {"name": "made-one"}


def test_what_the_user_may_not_read_is_denied_and_not_missing(fresh_host: Host) -> None:
    fresh_host.run("echo x > /etc/shop.key; chmod 600 /etc/shop.key; install -d -m 0700 /srv/closed")
    session = PROVIDER.connect(fresh_host.target(user="op"), "tests/shop")
    found = discover(session, FILE, "/etc/shop.key", "/srv/closed/a", "/srv/closed")
    session.close()
    assert all(isinstance(each, Missing) for each in found.values()) and len(found) == 3
    assert {type(each.error).__name__ for each in found.values() if isinstance(each, Missing)} == {"Denied"}


def body_of(each: Discovered | Missing) -> dict[str, object]:
    assert isinstance(each, Discovered)
    return dict(each.body)
