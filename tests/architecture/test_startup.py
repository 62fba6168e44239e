"""`trueup --version` runs in scripts and prompts: it starts fast, loading nothing that it does not use."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

HEAVY = {
    "boto3",
    "botocore",
    "kubernetes",
    "paramiko",
    "sqlalchemy",
    "alembic",
    "networkx",
    "git",
    "pydantic",
    "pyrage",
    "cryptography",
    "hvac",
}
CPU_SECONDS = 0.150
TRUEUP = str(Path(sys.executable).parent / "trueup")


def _cpu_seconds_of(command: list[str]) -> float:
    """The processor time of one run, the child's alone: other load on the machine does not count."""
    process = subprocess.Popen(command, stdout=subprocess.PIPE)
    assert process.stdout is not None
    with process.stdout:
        assert process.stdout.read().startswith(b"trueup")
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    assert process.returncode == 0
    return usage.ru_utime + usage.ru_stime


def test_version_takes_less_than_150_ms_of_processor_time():
    assert min(_cpu_seconds_of([TRUEUP, "--version"]) for _ in range(5)) < CPU_SECONDS


def test_version_imports_none_of_the_heavy_libraries():
    run = subprocess.run(
        [sys.executable, "-X", "importtime", TRUEUP, "--version"], capture_output=True, text=True, check=True
    )
    imported = {line.rpartition("|")[2].strip().partition(".")[0] for line in run.stderr.splitlines()}
    assert "trueup" in imported
    assert imported & HEAVY == set()
