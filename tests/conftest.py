"""What all tests share: the fixtures that bring up real systems, each only when a test asks for it."""

from __future__ import annotations

import pytest

from trueup import redaction
from trueup.model import values

pytest_plugins = [
    "tests.hosts.fixtures",
    "tests.cluster.fixtures",
    "tests.moto.fixtures",
    "tests.git.fixtures",
    "tests.postgres.fixtures",
    "tests.tools.fixtures",
    "tests.vault.fixtures",
]


@pytest.fixture(autouse=True)
def _isolated_home(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """No test reads or writes what belongs to the person who runs it."""
    state = tmp_path_factory.mktemp("xdg")
    for name in ("XDG_STATE_HOME", "XDG_CACHE_HOME", "XDG_CONFIG_HOME"):
        monkeypatch.setenv(name, str(state / name.lower()))
    for name in ("KUBECONFIG", "TRUEUP_STORE", "AWS_PROFILE", "TRUEUP_HELM", "TRUEUP_KUSTOMIZE"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture(autouse=True)
def _nothing_hidden(monkeypatch: pytest.MonkeyPatch) -> None:
    """What one test read as a secret is an ordinary word in the next."""
    monkeypatch.setattr(redaction, "_hidden", {})
    monkeypatch.setattr(redaction, "_starts", {})


@pytest.fixture(autouse=True)
def _no_digest_key(monkeypatch: pytest.MonkeyPatch) -> None:
    """A store that one test opened does not change the digests of the next."""
    monkeypatch.setattr(values, "_digest_key", b"")
