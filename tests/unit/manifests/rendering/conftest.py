"""The real tools, put where a stack finds them."""

from __future__ import annotations

from pathlib import Path

import pytest

HEAD = """\
apiVersion: trueup.dev/v1
kind: Stack
metadata: {name: shop}
spec:
  variables: {replicas: {type: integer, default: 3}}
  targets: [{name: prod, provider: kubernetes}]
"""


@pytest.fixture
def tools(kustomize_binary: Path, helm_binary: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Has stacks rendered by the kustomize and the helm that were built for the tests."""
    monkeypatch.setenv("TRUEUP_KUSTOMIZE", str(kustomize_binary))
    monkeypatch.setenv("TRUEUP_HELM", str(helm_binary))


@pytest.fixture
def head() -> str:
    """A stack file up to the settings of a test's own."""
    return HEAD
