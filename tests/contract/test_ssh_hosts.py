"""The ssh provider on real Debian hosts: packages, services, refusals, and hosts that fail in the middle."""

from __future__ import annotations

import subprocess
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from tests.hosts.fixtures import Host

from trueup.sdk import (
    Absent,
    Action,
    Address,
    Blocked,
    Conflict,
    Denied,
    Document,
    Done,
    Failed,
    Intent,
    Invalid,
    Lifecycle,
    Node,
    Observation,
    Observed,
    Owner,
    ProviderError,
    Readiness,
    Sensitive,
    Session,
    Target,
    Transient,
)
from trueup_ssh.client import SshTransport
from trueup_ssh.provider import SshProvider
from trueup_ssh.script import Script

pytestmark = [pytest.mark.hosts, pytest.mark.xdist_group("hosts")]

API = "ssh.trueup.dev/v1"
KEY = "tests/shop"
PROVIDER = SshProvider()


class Stack:
    """A few nodes on one target, as the engine would call their kinds."""

    def __init__(self, target: Target) -> None:
        self.target = target
        self.session: Session = PROVIDER.connect(target, KEY)

    def node(self, kind: str, name: str, adopt: bool = False, **spec: object) -> Node:
        address = Address("shop", kind, name, self.target.name)
        body = {"apiVersion": API, "kind": kind, "metadata": {"name": name}, "spec": spec}
        return Node(address, API, self.target, body, Lifecycle(adopt=adopt))

    def observe(self, *nodes: Node) -> list[Observation]:
        seen = {one.address: one for one in PROVIDER.observe(self.session, nodes)}
        return [seen[node.address] for node in nodes]

    def observed(self, node: Node) -> Observed:
        seen = self.observe(node)[0]
        assert isinstance(seen, Observed), seen
        return seen

    def create(self, node: Node) -> Done:
        return _done(_kind(node).create(self.session, node, _intent(node)))

    def update(self, node: Node) -> Done:
        change = _kind(node).diff(node, self.observed(node), None)
        return _done(_kind(node).update(self.session, node, change, _intent(node)))

    def delete(self, node: Node) -> Done:
        return _done(_kind(node).delete(self.session, node, _intent(node)))

    def difference(self, node: Node) -> Action:
        return _kind(node).diff(node, self.observed(node), None).action


def _kind(node: Node):  # type: ignore[no-untyped-def]
    return PROVIDER.kind(node.api_version, node.kind)


def _intent(node: Node) -> Intent:
    return Intent("token", Owner("tests", "shop", node.address.text))


def _done(answer: object) -> Done:
    assert isinstance(answer, Done)
    return answer


@pytest.fixture
def host(hosts: Sequence[Host]) -> Host:
    hosts[1].fresh()
    return hosts[1]


@pytest.fixture
def stack(host: Host) -> Iterator[Stack]:
    stack = Stack(host.target())
    yield stack
    stack.session.close()


# -- one execution


def test_observing_every_kind_is_one_login_and_one_command(host: Host) -> None:
    logins, commands = host.login_count(), host.exec_count()
    stack = Stack(host.target())
    nodes = [stack.node("File", f"f{number}", path=f"/etc/f{number}", content="x") for number in range(200)]
    nodes.append(stack.node("Directory", "d", path="/etc/cron.d"))
    nodes.append(stack.node("Package", "cron"))
    nodes.append(stack.node("Service", "cron"))
    seen = [one for batch in PROVIDER.batches(nodes) for one in PROVIDER.observe(stack.session, batch)]
    stack.session.close()
    kinds = {type(one) for one in seen}
    assert len(seen) == len(nodes)
    assert kinds == {Observed, Absent}
    assert host.login_count() - logins == 1
    assert host.exec_count() - commands == 1


def test_nothing_secret_stands_on_a_command_line(host: Host, stack: Stack) -> None:
    host.run(
        "while :; do cat /proc/[0-9]*/cmdline; done > /tmp/commands 2>/dev/null &\n"
        "echo $! > /tmp/watcher; sleep 1"
    )
    for number in range(5):
        node = stack.node("File", f"s{number}", path=f"/etc/s{number}", content=Sensitive("canary-5d1f"))
        stack.create(node)
        stack.observe(node)
    commands = host.run("kill $(cat /tmp/watcher); tr '\\0' ' ' < /tmp/commands")
    assert "sh -s" in commands
    assert "canary" not in commands
    assert "Y2FuYXJ5" not in commands  # the same in base64


def test_two_megabytes_on_both_streams_block_nothing(host: Host) -> None:
    transport = SshTransport(host.target().config)
    flood = (
        b"head -c 3000000 /dev/zero >&2; head -c 3000000 /dev/zero; head -c 3000000 /dev/zero >&2; exit 7\n"
    )
    execution = transport.run(flood, 60)
    transport.close()
    assert execution.status == 7
    assert len(execution.output) == 3_000_000
    assert execution.errors


# -- packages


def test_a_package_is_installed_pinned_and_removed(host: Host, stack: Stack) -> None:
    node = stack.node("Package", "t-one", version="1.1")
    assert isinstance(stack.observe(node)[0], Absent)
    stack.create(node)
    assert stack.difference(node) is Action.NONE
    older = stack.node("Package", "t-one", version="1.0")
    assert stack.difference(older) is Action.UPDATE
    stack.update(older)
    assert host.run("cat /usr/share/t-one/version").strip() == "1.0"
    any_version = stack.node("Package", "t-one")
    assert stack.difference(any_version) is Action.NONE
    stack.delete(any_version)
    assert isinstance(stack.observe(node)[0], Absent)
    assert "t-one" not in host.run("dpkg -l | grep ^ii")


def test_a_package_that_was_there_is_only_released(host: Host, stack: Stack) -> None:
    host.run("apt-get -qqy install t-two </dev/null")
    node = stack.node("Package", "t-two")
    assert stack.observed(node).owner is None
    stack.update(node)
    assert stack.observed(node).owner == _intent(node).owner
    stack.delete(node)
    assert stack.observed(node).owner is None


def test_a_failing_installation_says_why_and_leaves_a_degraded_package(stack: Stack) -> None:
    node = stack.node("Package", "t-broken")
    with pytest.raises(Invalid, match="the database of t-broken is missing"):
        stack.create(node)
    seen = stack.observed(node)
    assert _kind(node).health(seen).readiness is Readiness.DEGRADED
    assert stack.difference(node) is Action.UPDATE
    with pytest.raises(Invalid, match="the database of t-broken is missing"):
        stack.update(node)


def test_a_package_that_asks_gets_no_answer_and_no_terminal(stack: Stack) -> None:
    node = stack.node("Package", "t-asks")
    stack.create(node)
    assert stack.difference(node) is Action.NONE


def test_an_unknown_package_or_version_is_invalid(stack: Stack) -> None:
    nodes = [
        stack.node("Package", "t-nowhere"),
        stack.node("Package", "t.one"),  # a pattern, to apt
        stack.node("Package", "t-one", version="9.9"),
    ]
    for node in nodes:
        with pytest.raises(Invalid, match="there is no package t"):
            stack.create(node)
        assert isinstance(stack.observe(node)[0], Absent)


def test_a_package_that_others_need_is_not_removed_with_them(host: Host, stack: Stack) -> None:
    node = stack.node("Package", "t-one")
    stack.create(node)
    host.run("apt-get -qqy install t-needs-one </dev/null")
    with pytest.raises(Blocked, match="t-needs-one"):
        stack.delete(node)
    assert "t-needs-one" in host.run("dpkg -l | grep ^ii")


def test_an_essential_package_is_never_removed(host: Host, stack: Stack) -> None:
    node = stack.node("Package", "bash")
    stack.update(node)
    # As if trueup had installed it.
    host.run('sed -i \'s/"created":false/"created":true/\' /var/lib/trueup/owners/*')
    with pytest.raises(Invalid, match="essential"):
        stack.delete(node)


def test_a_held_package_is_not_changed(host: Host, stack: Stack) -> None:
    host.run("apt-get -qqy install t-one=1.0 </dev/null; apt-mark hold t-one")
    node = stack.node("Package", "t-one", version="1.1")
    with pytest.raises(Invalid, match="on hold"):
        stack.update(node)
    assert host.run("cat /usr/share/t-one/version").strip() == "1.0"


def test_a_held_lock_is_reported_in_bounded_time(host: Host) -> None:
    host.run(
        "cat > /tmp/hold.pl <<'X'\n"
        'use Fcntl; open(F, ">>", "/var/lib/dpkg/lock-frontend");\n'
        '$lock = pack("s s x4 q q i x4", F_WRLCK, 0, 0, 0, 0);\n'
        "fcntl(F, F_SETLK, $lock) or die; sleep 60;\nX\n"
        "perl /tmp/hold.pl > /dev/null 2>&1 &\necho $! > /tmp/holder; sleep 0.5"
    )
    stack = Stack(host.target(aptLockTimeout=2))
    started = time.monotonic()
    with pytest.raises(Transient, match="holds the lock"):
        stack.create(stack.node("Package", "t-three"))
    assert time.monotonic() - started < 30
    host.run("kill $(cat /tmp/holder)")
    stack.create(stack.node("Package", "t-three"))
    stack.session.close()


# -- services


def test_a_service_is_taken_into_use_and_given_back(host: Host, stack: Stack) -> None:
    host.run("systemctl disable -q --now cron")
    node = stack.node("Service", "cron")
    assert isinstance(stack.observe(node)[0], Absent)
    stack.create(node)
    assert host.run("systemctl is-active cron; systemctl is-enabled cron").split() == ["active", "enabled"]
    assert stack.difference(node) is Action.NONE
    host.run("systemctl stop cron")
    assert stack.difference(node) is Action.UPDATE
    stack.update(node)
    assert stack.difference(node) is Action.NONE
    stack.delete(node)
    assert isinstance(stack.observe(node)[0], Absent)


def test_a_service_that_ran_before_is_only_released(host: Host, stack: Stack) -> None:
    node = stack.node("Service", "cron")
    stack.update(node)
    stack.delete(node)
    assert host.run("systemctl is-active cron; systemctl is-enabled cron").split() == ["active", "enabled"]
    assert stack.observed(node).owner is None


def test_a_service_without_a_unit_waits_for_its_package(stack: Stack) -> None:
    node = stack.node("Service", "t-nowhere")
    assert isinstance(stack.observe(node)[0], Absent)
    with pytest.raises(Blocked) as caught:
        stack.create(node)
    assert caught.value.by == "t-nowhere.service"


def test_a_unit_that_fails_says_why_in_its_journal(host: Host, stack: Stack) -> None:
    host.run(
        'printf \'[Service]\\nType=oneshot\\nExecStart=/bin/sh -c "echo no disk; exit 3"\\n'
        "[Install]\\nWantedBy=multi-user.target\\n' > /etc/systemd/system/t-fails.service"
    )
    node = stack.node("Service", "t-fails")
    with pytest.raises(Invalid, match="no disk"):
        stack.create(node)
    assert _kind(node).health(stack.observed(node)).readiness is Readiness.DEGRADED


def test_a_masked_unit_stays_masked(host: Host, stack: Stack) -> None:
    host.run("systemctl disable -q --now cron; systemctl mask -q cron")
    with pytest.raises(Invalid, match="masked"):
        stack.create(stack.node("Service", "cron"))
    assert host.run("systemctl is-enabled cron", check=False).strip() == "masked"


def test_a_static_unit_cannot_be_enabled(host: Host, stack: Stack) -> None:
    host.run("printf '[Service]\\nExecStart=/bin/sleep inf\\n' > /etc/systemd/system/t-static.service")
    with pytest.raises(Invalid, match="static"):
        stack.create(stack.node("Service", "t-static"))
    node = stack.node("Service", "t-static", enabled=False)
    # The failed create left no marker: the unit is nobody's until it is created again.
    assert isinstance(stack.observe(node)[0], Absent)
    stack.create(node)
    assert stack.difference(node) is Action.NONE


# -- what is in the way


@pytest.mark.parametrize(
    ("script", "error"),
    [
        ("echo theirs > /etc/thing", "is not managed by trueup"),
        ("echo theirs > /etc/other; ln -s /etc/other /etc/thing", "link"),
        ("ln -s /nowhere /etc/thing", "link"),
        ("mkdir /etc/thing", "directory"),
        ("mkfifo /etc/thing", "special"),
    ],
)
def test_what_is_in_the_way_stays_as_it_is(host: Host, stack: Stack, script: str, error: str) -> None:
    look = "stat -c '%i %f %s %Y' /etc/thing; [ ! -f /etc/thing ] || cat /etc/thing; ls -l /etc/thing"
    host.run(script)
    before = host.run(look)
    node = stack.node("File", "thing", path="/etc/thing", content="ours\n")
    seen = stack.observe(node)[0]
    assert not isinstance(seen, Absent)
    with pytest.raises(Conflict, match=error):
        stack.create(node)
    assert host.run(look) == before


def test_a_foreign_file_is_adopted_when_the_manifest_says_so(host: Host, stack: Stack) -> None:
    host.run("echo theirs > /etc/thing; chown admin:op /etc/thing; chmod 600 /etc/thing")
    node = stack.node("File", "thing", adopt=True, path="/etc/thing", content="ours\n")
    stack.update(node)
    assert host.run("cat /etc/thing; stat -c '%a %U %G' /etc/thing").split() == ["ours", "644", "admin", "op"]


def test_a_moved_file_is_replaced(host: Host, stack: Stack) -> None:
    old = stack.node("File", "thing", path="/etc/old", content="x\n")
    stack.create(old)
    new = replace(stack.node("File", "thing", path="/etc/new", content="x\n"), external_id="file:/etc/old")
    change = _kind(new).diff(new, stack.observed(new), None)
    assert change.action is Action.REPLACE
    stack.delete(new)
    assert isinstance(stack.observe(new)[0], Absent)
    stack.create(replace(new, external_id=""))
    assert host.run("ls /etc/old /etc/new", check=False).count("/etc/new") == 1
    assert "cannot access '/etc/old'" in host.run("ls /etc/old", check=False)


def test_owner_mode_and_missing_accounts(host: Host, stack: Stack) -> None:
    spec: Document = {"path": "/etc/thing", "content": "x\n", "mode": "4750", "owner": "admin", "group": "op"}
    node = stack.node("File", "thing", **spec)
    stack.create(node)
    assert host.run("stat -c '%a %U %G' /etc/thing").split() == ["4750", "admin", "op"]
    assert stack.difference(node) is Action.NONE
    with pytest.raises(Blocked, match="invalid user"):
        stack.create(stack.node("File", "other", path="/etc/other", content="x", owner="nobody-here"))
    assert "cannot access" in host.run("ls /etc/other", check=False)


# -- who may


def test_a_changed_host_key_is_refused_before_any_authentication(host: Host, tmp_path: Path) -> None:
    old = tmp_path / "known_hosts"
    old.write_text(host.known_hosts.read_text())
    host.fresh()
    attempts = host.attempt_count()
    with pytest.raises(Denied, match="host key is not the known one") as caught:
        PROVIDER.connect(host.target(knownHosts=str(old)), KEY)
    assert "ssh-keyscan" in caught.value.hint
    assert host.attempt_count() == attempts


def test_an_unknown_host_is_refused_and_not_added(host: Host, tmp_path: Path) -> None:
    known = tmp_path / "known_hosts"
    known.write_text("")
    attempts = host.attempt_count()
    with pytest.raises(Denied, match="is not in") as caught:
        PROVIDER.connect(host.target(knownHosts=str(known)), KEY)
    assert "ssh-keyscan" in caught.value.hint
    assert known.read_text() == ""
    assert host.attempt_count() == attempts


def test_the_fingerprint_is_that_of_the_host_key(host: Host, stack: Stack) -> None:
    shown = host.run("ssh-keygen -lf /etc/ssh/ssh_host_ed25519_key.pub").split()
    assert stack.session.fingerprint == shown[1]


def test_a_wrong_key_is_denied(host: Host, tmp_path: Path) -> None:
    import paramiko

    key = tmp_path / "key"
    paramiko.ECDSAKey.generate().write_private_key_file(str(key))
    with pytest.raises(Denied, match="refused the log-in"):
        PROVIDER.connect(host.target(identityFile=str(key)), KEY)


def test_a_key_with_a_passphrase_is_denied_without_an_agent(
    host: Host, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("SSH_AUTH_SOCK", raising=False)
    key = tmp_path / "key"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "secret words", "-f", str(key)], check=True)
    with pytest.raises(Denied) as caught:
        PROVIDER.connect(host.target(identityFile=str(key)), KEY)
    assert "agent" in caught.value.hint


def test_a_file_that_is_no_key_is_invalid(host: Host, tmp_path: Path) -> None:
    (tmp_path / "key").write_text("no key")
    for path in (tmp_path / "key", tmp_path / "missing"):
        with pytest.raises(Invalid, match="key"):
            PROVIDER.connect(host.target(identityFile=str(path)), KEY)


def test_an_administrator_works_through_sudo(host: Host) -> None:
    stack = Stack(host.target(user="admin", sudo=True))
    nodes = [
        stack.node("File", "thing", path="/etc/thing", content="x\n"),
        stack.node("Package", "t-one"),
    ]
    for node in nodes:
        stack.create(node)
        assert stack.difference(node) is Action.NONE
    stack.session.close()
    assert host.run("stat -c '%U %a' /etc/thing /var/lib/trueup/owners/*").split() == [
        "root",
        "644",
        *["root", "600"] * 2,
    ]


def test_sudo_with_a_password_is_denied_at_once(host: Host) -> None:
    stack = Stack(host.target(user="op", sudo=True))
    started = time.monotonic()
    with pytest.raises(Denied, match="password") as caught:
        stack.observe(stack.node("File", "thing", path="/etc/thing", content="x"))
    stack.session.close()
    assert "NOPASSWD" in caught.value.hint
    assert time.monotonic() - started < 20


def test_a_plain_user_manages_what_is_theirs(host: Host) -> None:
    stack = Stack(host.target(user="op"))
    mine = stack.node("File", "mine", path="/home/op/thing", content="x\n")
    stack.create(mine)
    assert stack.difference(mine) is Action.NONE
    with pytest.raises(Denied):
        stack.create(stack.node("File", "theirs", path="/etc/thing", content="x\n"))
    with pytest.raises(Denied):
        stack.create(stack.node("Package", "t-one"))
    seen = stack.observe(stack.node("File", "hidden", path="/root/thing", content="x\n"))[0]
    assert isinstance(seen, Failed)
    assert isinstance(seen.error, Denied)
    stack.session.close()


# -- hosts that fail


def test_a_host_that_is_down_is_transient_and_works_again(host: Host) -> None:
    host.off()
    started = time.monotonic()
    with pytest.raises(Transient, match=host.ip):
        PROVIDER.connect(host.target(connectTimeout=3), KEY)
    assert time.monotonic() - started < 20
    host.on()
    stack = Stack(host.target())
    assert isinstance(stack.observe(stack.node("Package", "cron"))[0], Observed)
    stack.session.close()


def test_a_frozen_host_is_transient(host: Host) -> None:
    host.freeze()
    try:
        with pytest.raises(Transient, match=host.ip):
            PROVIDER.connect(host.target(connectTimeout=2), KEY)
    finally:
        host.thaw()


def test_a_session_survives_a_reboot_of_its_host(host: Host, stack: Stack) -> None:
    node = stack.node("Package", "cron")
    assert isinstance(stack.observe(node)[0], Observed)
    host.off()
    with pytest.raises(Transient):
        stack.observe(node)
    host.on()
    assert isinstance(stack.observe(node)[0], Observed)


def test_a_host_that_comes_back_with_another_key_is_refused(host: Host, stack: Stack) -> None:
    node = stack.node("Package", "cron")
    host.fresh()
    with pytest.raises(ProviderError):
        stack.observe(node)
    with pytest.raises(Denied, match="changed while"):
        stack.observe(node)


def test_a_connection_lost_in_the_middle_is_transient(host: Host, stack: Stack) -> None:
    killer = threading.Timer(1.0, host.off)
    killer.start()
    with pytest.raises(Transient):
        stack.session.run(Script((), ["sleep 30"], 60))  # type: ignore[attr-defined]
    killer.join()


def test_a_command_that_hangs_ends_at_its_deadline(stack: Stack) -> None:
    started = time.monotonic()
    with pytest.raises(Transient, match="no answer within"):
        stack.session.run(Script((), ["sleep 30"], 2))  # type: ignore[attr-defined]
    assert time.monotonic() - started < 20


def test_a_full_disk_leaves_the_file_as_it_was(host: Host, stack: Stack) -> None:
    host.run("mkdir /small; mount -t tmpfs -o size=64k tmpfs /small")
    node = stack.node("File", "thing", path="/small/thing", content="x\n")
    stack.create(node)
    big = stack.node("File", "thing", path="/small/thing", content="y" * 200_000)
    with pytest.raises(Transient, match="No space left"):
        stack.update(big)
    assert host.run("cat /small/thing; ls -A /small").split() == ["x", "thing"]
