"""Packages: names, and dpkg's answer."""

from __future__ import annotations

import pytest

from trueup.sdk import Absent, Address, Invalid, Node, Observed, Target, Value
from trueup_ssh.kinds.package import Package, package_name
from trueup_ssh.script import Answer

KIND = Package()


def node_of(name: str, /, **spec: Value) -> Node:
    body = {"apiVersion": KIND.api_version, "kind": "Package", "metadata": {"name": name}, "spec": spec}
    return Node(Address("s", "Package", name, "h"), KIND.api_version, Target("h", "ssh"), body)


@pytest.mark.parametrize("name", ["-y", "nginx nginx", "nginx=1", "nginx-", "a*", "Nginx", "", "nginx\n"])
def test_what_apt_could_take_for_something_else_is_no_name(name: str) -> None:
    assert package_name(node_of("x1", name=name)) == ""


def test_names_of_real_packages_are_taken() -> None:
    for name in ("g++", "libstdc++6", "php8.2-fpm", "0ad", "nginx"):
        assert package_name(node_of(name)) == name


def test_the_installed_architecture_of_a_package_counts() -> None:
    lines = [
        "libc6 2.36 config-files deinstall",
        "libc6 2.36 installed install",
        "vim 9 not-installed unknown",
    ]
    nodes = [(0, node_of("libc6")), (1, node_of("vim")), (2, node_of("emacs"))]
    libc, vim, emacs = KIND.read(nodes, Answer({"package": lines}), {})
    assert isinstance(libc, Observed)
    assert libc.body["spec"] == {"name": "libc6", "version": "2.36", "state": "present"}
    assert isinstance(vim, Absent)
    assert isinstance(emacs, Absent)


def test_a_package_is_exported_without_its_version_and_only_whole() -> None:
    live = {"name": "nginx", "version": "1.22", "state": "present"}
    document = KIND.export({"spec": live, "status": {}})
    assert document["metadata"] == {"name": "nginx"} and document["spec"] == {}
    with pytest.raises(Invalid, match="half-configured"):
        KIND.export({"spec": {**live, "state": "half-configured"}, "status": {}})
