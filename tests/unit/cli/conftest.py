"""What every test of cli needs: logging as it was before, and a stack of this machine's own files."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path

import pytest
import structlog

STACK = """\
apiVersion: trueup.dev/v1
kind: Stack
metadata: {{name: shop}}
spec:
  targets:
    - name: here
      provider: ssh
      config: {{connection: local, stateDir: {root}/state}}
"""
SITE = """\
apiVersion: ssh.trueup.dev/v1
kind: Directory
metadata: {{name: www}}
spec: {{path: {root}/www}}
---
apiVersion: ssh.trueup.dev/v1
kind: File
metadata: {{name: index}}
spec:
  path: {root}/www/index.html
  content: |
    hello
    from ${{{{ ref("Directory/www").spec.path }}}}
"""


@pytest.fixture(autouse=True)
def _logs_as_before(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A command configures the process's logging; the next test must not inherit it."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    for name in ("FORCE_COLOR", "NO_COLOR", "TRUEUP_CONFIG"):
        monkeypatch.delenv(name, raising=False)
    yield
    root.handlers[:] = handlers
    root.setLevel(level)
    logging.getLogger("trueup").setLevel(logging.NOTSET)
    structlog.reset_defaults()


@pytest.fixture
def stack(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A stack of two files of this machine, below tmp_path; the working directory is tmp_path too."""
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "stack"
    folder.mkdir()
    (folder / "stack.yaml").write_text(STACK.format(root=tmp_path / "live"))
    (folder / "site.yaml").write_text(SITE.format(root=tmp_path / "live"))
    (tmp_path / "live").mkdir()
    return folder
