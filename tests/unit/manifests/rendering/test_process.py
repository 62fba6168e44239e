"""Programs that are run shut in: what they can see, how long they may take, and what of them is told."""

from __future__ import annotations

import os
import socket
import sys
import threading
import time
from pathlib import Path

import pytest

from trueup.manifests.rendering import process
from trueup.manifests.rendering.process import Tool, ToolError, find_helm, find_kustomize, run_tool

PYTHON = Tool("python", Path(sys.executable), ("-I", "-c"))


@pytest.fixture
def run(tmp_path):
    def _run(code, *, network=False):
        return run_tool(PYTHON, [code], work=tmp_path, home=tmp_path, network=network)

    return _run


@pytest.fixture
def path(tmp_path, monkeypatch):
    """PATH with one folder of our own, and a function that puts programs into it."""
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", str(folder))
    for name in ("TRUEUP_HELM", "TRUEUP_KUSTOMIZE"):
        monkeypatch.delenv(name, raising=False)

    def add(name, mode=0o755):
        (folder / name).write_text("#!/bin/sh\n")
        (folder / name).chmod(mode)
        return folder / name

    return add


def test_kustomize_comes_before_the_one_in_kubectl(path):
    kubectl = path("kubectl")
    assert find_kustomize() == Tool("kustomize", kubectl, ("kustomize",))
    kustomize = path("kustomize")
    assert find_kustomize() == Tool("kustomize", kustomize, ("build",))


def test_a_missing_program_is_named_with_how_to_get_it(path):
    path("helm", 0o644)
    with pytest.raises(ToolError, match="neither kustomize nor kubectl on PATH") as error:
        find_kustomize()
    assert "TRUEUP_KUSTOMIZE" in error.value.hint
    with pytest.raises(ToolError, match="no helm on PATH") as error:
        find_helm()
    assert "https://helm.sh/docs/intro/install/" in error.value.hint


def test_a_named_program_counts_more_than_path(path, tmp_path, monkeypatch):
    path("kustomize")
    own = tmp_path / "kubectl-1.36"
    own.write_text("")
    own.chmod(0o755)
    monkeypatch.setenv("TRUEUP_KUSTOMIZE", str(own))
    assert find_kustomize() == Tool("kustomize", own, ("kustomize",))


@pytest.mark.parametrize("given", ["kustomize", "bin/kustomize", "/nowhere/kustomize", "/"])
def test_a_named_program_that_is_none_is_an_error(path, tmp_path, monkeypatch, given):
    path("kustomize")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TRUEUP_KUSTOMIZE", given)
    with pytest.raises(ToolError, match="is not the absolute path of a program"):
        find_kustomize()


@pytest.mark.parametrize("entry", ["", ".", "bin"])
def test_a_program_of_the_working_directory_is_never_found(path, tmp_path, monkeypatch, entry):
    path("helm")
    monkeypatch.chdir(tmp_path / "bin" if entry != "bin" else tmp_path)
    monkeypatch.setenv("PATH", entry)
    with pytest.raises(ToolError, match="no helm on PATH"):
        find_helm()


def test_another_build_has_another_identity(path):
    program = path("helm")
    tool = find_helm()
    before = tool.identity
    assert tool.identity == before
    os.utime(program, (1, 1))
    old = tool.identity
    assert old != before
    # A package can give each build the same time, and they may have the same size.
    other = program.with_name("other")
    other.write_bytes(program.read_bytes())
    other.chmod(0o755)
    os.utime(other, (1, 1))
    other.replace(program)
    assert tool.identity != old
    program.unlink()
    with pytest.raises(ToolError, match="cannot be read"):
        _ = tool.identity


def test_nothing_of_our_environment_reaches_a_program(run, monkeypatch, tmp_path):
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "canary")
    monkeypatch.setenv("KUBECONFIG", "/canary")
    for network in (False, True):
        text = run("import os; print(dict(os.environ))", network=network).decode()
        assert "canary" not in text
        assert f"'HOME': '{tmp_path}'" in text


def test_a_program_has_no_input(run):
    assert run("import sys; print(sys.stdin.read())") == b"\n"


def test_the_network_is_out_of_reach_unless_it_is_allowed(run):
    if not process._without_network():
        pytest.skip("this system lets nobody make a network namespace")
    with socket.create_server(("127.0.0.1", 0)) as server:
        code = f"""
import socket
try:
    socket.create_connection({server.getsockname()!r}, 5)
    print("reached")
except OSError as error:
    print("refused")
"""
        assert run(code) == b"refused\n"
        assert run(code, network=True) == b"reached\n"


def test_no_program_of_the_working_directory_shuts_the_network(path, tmp_path, monkeypatch):
    path("true")
    (tmp_path / "unshare").write_text("#!/bin/sh\nexit 0\n")
    (tmp_path / "unshare").chmod(0o755)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PATH", f".:{tmp_path / 'bin'}")
    process._without_network.cache_clear()
    try:
        assert process._without_network() == ()
    finally:
        process._without_network.cache_clear()


def test_proxies_lead_nowhere_where_namespaces_are_not_to_be_had(run, monkeypatch):
    monkeypatch.setattr(process, "_without_network", lambda: ())
    text = run("import os; print(os.environ['HTTPS_PROXY'], os.environ['https_proxy'], os.environ['PATH'])")
    proxy, lower, path = text.decode().split()
    assert proxy == lower == "http://127.0.0.1:1"
    assert not Path(path).exists()


def test_both_streams_can_be_long(run):
    code = "import sys; sys.stdout.write('o' * 5_000_000); sys.stderr.write('e' * 5_000_000); sys.exit(3)"
    with pytest.raises(ToolError, match=r"^e{1000} \.\.\. e{1000}$"):
        run(code)
    assert len(run(code.replace("(3)", "(0)"))) == 5_000_000


def test_an_output_without_end_is_cut_off(run):
    with pytest.raises(ToolError, match="gave more than 32 MiB"):
        run("while True: print('x' * 100_000)")


def test_a_program_that_takes_too_long_goes_with_what_it_started(run, monkeypatch, tmp_path):
    monkeypatch.setattr(process, "TIMEOUT", 1.0)
    code = f"""
import os, time
if os.fork() == 0:
    open("{tmp_path}/child", "w").write(str(os.getpid()))
time.sleep(600)
"""
    # The numbers of processes are our own ones only outside of a namespace for them, which there is none.
    with pytest.raises(ToolError, match="took longer than 1 s"):
        run(code)
    child = int((tmp_path / "child").read_text())
    deadline = time.monotonic() + 20
    while Path(f"/proc/{child}").exists() and time.monotonic() < deadline:
        if "Z" in Path(f"/proc/{child}/stat").read_text().rpartition(")")[2]:
            break
        time.sleep(0.05)
    else:
        assert not Path(f"/proc/{child}").exists()


def test_a_program_that_asks_for_too_much_memory_fails_alone(run):
    with pytest.raises(ToolError, match="MemoryError"):
        run("bytearray(8 * 1024**3)")


def test_a_program_that_outlives_us_ends_some_time(run):
    code = """
import resource, time
while resource.getrlimit(resource.RLIMIT_CPU)[0] < 0:
    time.sleep(0.01)
print(resource.getrlimit(resource.RLIMIT_CPU)[1])
"""
    assert run(code) == b"1200\n"


def test_what_a_program_complains_about_is_told_without_credentials_and_control_characters(run):
    with pytest.raises(ToolError) as error:
        run("import sys; sys.exit('\\x1b[31mno https://me:canary@host/x \\n\\n  second\\tline')")
    assert error.value.message == "[31mno https://***@host/x\n  second line"


def test_what_a_program_complains_about_at_length_takes_no_time(run):
    start = time.perf_counter()
    with pytest.raises(ToolError, match=r"a \.\.\. a.*//\*\*\*@host$"):
        run("import sys; sys.exit('a' * 60_000 + ' https://me:can@ry@host')")
    assert time.perf_counter() - start < 20


def test_a_program_that_says_nothing_is_told_by_its_status(run):
    with pytest.raises(ToolError, match="python ended with status 7"):
        run("raise SystemExit(7)")


def test_a_file_that_is_no_program_cannot_be_run(tmp_path):
    with pytest.raises(ToolError, match="cannot be run"):
        run_tool(Tool("x", tmp_path / "none", ()), [], work=tmp_path, home=tmp_path, network=True)


def test_two_threads_do_not_disturb_each_other(run):
    results = []
    threads = [
        threading.Thread(target=lambda n=n: results.append(run(f"print({n} * 1000)"))) for n in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert sorted(results) == [b"0\n", b"1000\n", b"2000\n", b"3000\n"]
