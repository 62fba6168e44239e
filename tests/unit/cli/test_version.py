from __future__ import annotations

import json
import subprocess
import sys

import pytest

import trueup
from trueup.cli import run

# The goal is 150 ms on an idle machine; this catches an import of an SDK, not a busy neighbour.
GENEROUS_CPU_SECONDS = 0.6


def test_it_names_what_is_installed(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["version", "--output", "json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["version"] == trueup.__version__
    assert set(found["providers"]) >= {"aws", "kubernetes", "ssh"}
    assert set(found["extras"]) >= {"aws", "daemon", "kubernetes", "postgres", "ssh"}
    assert found["extras"]["ssh"]["paramiko"]


def test_as_text_a_missing_library_is_named_with_its_remedy(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("trueup.cli.version._installed", lambda name: None if name == "boto3" else "1.0")
    assert run(["version"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert "aws         boto3 not installed  (pip install 'trueup[aws]')" in lines


@pytest.mark.parametrize("arguments", [["--version"], ["version"]])
def test_it_imports_no_provider_and_no_engine(arguments: list[str]) -> None:
    script = (
        "import resource, sys\n"
        "from trueup.cli import run\n"
        f"code = run({arguments!r})\n"
        "heavy = {'trueup.app', 'sqlalchemy', 'networkx', 'pydantic', 'boto3', 'kubernetes', 'paramiko',\n"
        "         'cel_expr_python', 'git', 'trueup_ssh', 'trueup_aws', 'trueup_kubernetes'}\n"
        "used = resource.getrusage(resource.RUSAGE_SELF)\n"
        "print(code, sorted(heavy & set(sys.modules)), used.ru_utime + used.ru_stime)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=True
    )
    code, rest = done.stdout.splitlines()[-1].split(" ", 1)
    modules, cpu = rest.rsplit(" ", 1)
    assert (code, modules) == ("0", "[]")
    assert float(cpu) < GENEROUS_CPU_SECONDS
