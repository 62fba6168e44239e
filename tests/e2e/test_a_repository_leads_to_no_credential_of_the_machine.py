"""What a stack says of its targets gives no credentials to a host, and no file beside it is believed."""

from __future__ import annotations

import json
import os
import socket
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest
from tests.e2e.listening import listening, was_contacted
from tests.e2e.shop import TRUEUP

KEYS = {
    "AWS_ACCESS_KEY_ID": "AKIATESTTESTTESTTEST",
    "AWS_SECRET_ACCESS_KEY": "not-a-real-key",
    "AWS_EC2_METADATA_DISABLED": "true",
}
QUEUE = """\
apiVersion: aws.trueup.dev/v1
kind: AWS::SQS::Queue
metadata: {name: jobs}
"""
SITE = """\
apiVersion: ssh.trueup.dev/v1
kind: File
metadata: {name: site}
spec: {path: /tmp/never, content: x}
"""


class Checkout:
    """A stack in a directory, trueup run in it, and a socket on which nobody is to call."""

    def __init__(self, folder: Path, listener: socket.socket) -> None:
        self.folder = folder
        self.home = folder / "home"
        self.repository = folder / "repository"
        self.sentinel = folder / "sentinel"
        for each in (self.home, self.repository):
            each.mkdir()
        self.listener = listener
        self.port = listener.getsockname()[1]
        # It leads to this machine, and nothing but a resolver could tell.
        self.url = f"http://127.1:{self.port}"
        self.settings = folder / "trueup.toml"
        self.settings.write_text("")
        self.named = str(self.settings)
        self.is_configured = True

    def write(self, provider: str, resource: str, config: Mapping[str, object]) -> None:
        target = json.dumps({"name": "there", "provider": provider, "config": config})
        (self.repository / "stack.yaml").write_text(
            "apiVersion: trueup.dev/v1\nkind: Stack\nmetadata: {name: shop}\n"
            f"spec: {{targets: [{target}]}}\n"
        )
        (self.repository / "resource.yaml").write_text(resource)

    def trueup(self, verb: str, *words: str, code: int = 1, **variables: str) -> str:
        keep = {key: value for key, value in os.environ.items() if not key.startswith(("AWS_", "SSH_"))}
        words = words if "--config" in words or not self.is_configured else (*words, "--config", self.named)
        done = subprocess.run(
            [*TRUEUP, verb, ".", *words],
            cwd=self.repository,
            env={**keep, "HOME": str(self.home), **variables},
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert done.returncode == code, done.stdout + done.stderr
        return done.stdout + done.stderr

    def was_contacted(self) -> bool:
        return was_contacted(self.listener)


@pytest.fixture
def checkout(tmp_path: Path) -> Iterator[Checkout]:
    with listening() as listener:
        yield Checkout(tmp_path, listener)


def test_signed_requests_go_to_no_host_that_a_stack_names(checkout: Checkout) -> None:
    config = {"region": "eu-west-1", "endpointUrl": checkout.url, "timeout": 1, "maxAttempts": 1}
    checkout.write("aws", QUEUE, config)
    store = ("--store", str(checkout.folder / "store.db"))
    for verb, *words in (["validate"], ["plan", *store], ["reconcile", "--yes", *store]):
        refused = checkout.trueup(verb, *words, **KEYS)
        assert 'target "there" may not say config.endpointUrl by itself' in refused
        assert "set AWS_ENDPOINT_URL" in refused
    # An entry that grants targets of the provider, or of another shape, grants no endpoint.
    checkout.settings.write_text('allow_targets = [{provider = "aws"}]\n')
    assert "may not say config.endpointUrl" in checkout.trueup("validate", **KEYS)
    assert not checkout.was_contacted()

    # The operator leads there: in the environment, or by name.
    checkout.settings.write_text("")
    assert "may not say" not in checkout.trueup("plan", *store, **KEYS, AWS_ENDPOINT_URL=checkout.url)
    assert checkout.was_contacted()
    checkout.settings.write_text(
        f'allow_targets = [{{provider = "aws", config = {{region = "eu-*", endpointUrl = "{checkout.url}", '
        'timeout = "*", maxAttempts = "*"}}]\n'
    )
    assert "may not say" not in checkout.trueup("plan", *store, **KEYS)
    assert checkout.was_contacted()


def test_modules_come_from_where_they_may(checkout: Checkout) -> None:
    url = f"http://127.0.0.1:{checkout.port}/modules.git"
    module = (
        "apiVersion: trueup.dev/v1\nkind: Module\nmetadata: {name: site}\n"
        f"spec: {{source: '{url}//site?ref=v1'}}\n"
    )
    checkout.write("ssh", module, {"connection": "local", "stateDir": f"{checkout.folder}/host"})
    for patterns in ('["https://git.example.com/*", "http://127.0.0.1/*"]', "[]"):
        checkout.settings.write_text(f"[sources]\nmodules = {patterns}\n")
        refused = checkout.trueup("validate", GIT_HTTP_LOW_SPEED_TIME="1")
        assert f"modules may not come from {url}" in refused
        assert "resource.yaml:4:" in refused
    assert not checkout.was_contacted()
    checkout.settings.write_text(f'[sources]\nmodules = ["http://127.0.0.1:{checkout.port}/*"]\n')
    assert "may not come" not in checkout.trueup("validate", GIT_HTTP_LOW_SPEED_TIME="1")
    assert checkout.was_contacted()


def test_a_repository_grants_nothing_to_itself(checkout: Checkout) -> None:
    config = {"region": "eu-west-1", "endpointUrl": checkout.url, "timeout": 1, "maxAttempts": 1}
    checkout.write("aws", QUEUE, config)
    own = checkout.repository / "trueup.toml"
    own.write_text(
        'allow_targets = [{provider = "aws", config = {region = "*", endpointUrl = "*", timeout = "*", '
        'maxAttempts = "*"}}]\n[rendering]\nallow_network = true\n'
        '[secrets]\nallow = ["env:*"]\nenv = ["AWS_*"]\nfiles = ["/etc"]\n'
    )
    store = ("--store", str(checkout.folder / "store.db"))
    checkout.is_configured = False
    refused = checkout.trueup("plan", *store, **KEYS)
    assert "may not say config.endpointUrl" in refused
    assert (
        "trueup.toml lies in the repository of the stack, so it grants nothing: "
        "secrets.env, secrets.files, rendering.allow_network\n" in refused
    )
    assert not checkout.was_contacted()
    # It may still restrict, and whoever names it means it.
    own.write_text('allow_targets = [{provider = "ssh"}]\n')
    assert 'may not use target "there" of provider aws' in checkout.trueup("plan", *store, **KEYS)
    own.write_text(
        'allow_targets = [{provider = "aws", config = {region = "*", endpointUrl = "*", '
        'timeout = "*", maxAttempts = "*"}}]\n'
    )
    assert "may not say" not in checkout.trueup("plan", "--config", "trueup.toml", *store, **KEYS)
    assert checkout.was_contacted()


def test_files_of_aws_in_a_repository_are_not_read(checkout: Checkout) -> None:
    run = f"touch {checkout.sentinel}"
    evil = (
        f"[profile evil]\ncredential_process = {run}\n[default]\ncredential_process = {run}\n"
        f"[profile web]\nrole_arn = arn:aws:iam::123456789012:role/x\n"
        f"web_identity_token_file = {checkout.repository}/token\nendpoint_url = {checkout.url}\n"
    )
    for name in (".aws/config", ".aws/credentials", "config", "credentials", ".boto", "boto.cfg"):
        (checkout.repository / name).parent.mkdir(exist_ok=True)
        (checkout.repository / name).write_text(evil)
    (checkout.repository / "token").write_text("token")
    store = ("--store", str(checkout.folder / "store.db"))
    for profile in ("evil", "web", ".aws/config", f"{checkout.repository}/.aws/config"):
        checkout.write("aws", QUEUE, {"region": "eu-west-1", "profile": profile, "timeout": 1})
        assert "could not be found" in checkout.trueup("plan", *store)
    # Without a profile there is no other one that is taken.
    checkout.write("aws", QUEUE, {"region": "eu-west-1", "timeout": 1})
    assert "there are no AWS credentials" in checkout.trueup("plan", *store, AWS_EC2_METADATA_DISABLED="true")
    # No field of a target leads to such a file.
    for key in ("configFile", "sharedCredentialsFile", "credentialProcess", "webIdentityTokenFile"):
        checkout.write("aws", QUEUE, {"region": "eu-west-1", key: ".aws/config"})
        assert key in checkout.trueup("validate")
    assert not checkout.sentinel.exists()
    assert not checkout.was_contacted()


def test_settings_of_ssh_in_a_repository_are_not_read(checkout: Checkout) -> None:
    run = f"touch {checkout.sentinel}"
    evil = (
        f"Host *\n  ProxyCommand {run}\n  LocalCommand {run}\n  PermitLocalCommand yes\n"
        f"  Include {checkout.repository}/more\n  IdentityFile {checkout.repository}/id\n"
        f"  KnownHostsCommand {run}\n  StrictHostKeyChecking no\n  HostName 127.0.0.1\n"
        f"  Port {checkout.port}\n  ForwardAgent yes\n"
    )
    for name in (".ssh/config", "ssh_config", "config", "more", "ansible.cfg"):
        (checkout.repository / name).parent.mkdir(exist_ok=True)
        (checkout.repository / name).write_text(evil)
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        checkout.write("ssh", SITE, {"host": "127.0.0.1", "port": closed.getsockname()[1], "user": "deploy"})
        checkout.trueup("plan", "--store", str(checkout.folder / "store.db"))
    for key in ("proxyCommand", "configFile", "include", "password", "forwardAgent", "strictHostKeyChecking"):
        checkout.write("ssh", SITE, {"host": "127.0.0.1", key: ".ssh/config"})
        assert key in checkout.trueup("validate")
    assert not checkout.sentinel.exists()
    assert not checkout.was_contacted()
