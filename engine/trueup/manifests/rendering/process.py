"""Finds kustomize and helm on this machine and runs them shut in. The only place that starts a process.

A tool gets a private home, nothing of our environment, no input, a deadline and a bound on what it may print;
unless the stack allows it, no network. Used by kustomize, helm and render.
"""

from __future__ import annotations

import os
import re
import resource
import selectors
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

TIMEOUT = 120.0
MAX_OUTPUT = 32 * 1024 * 1024
_MAX_ERRORS = 64 * 1024
_MAX_MEMORY = 4 * 1024**3
# Of all threads together. It ends what goes on when this process is killed and cannot keep the deadline.
_MAX_CPU_SECONDS = 10 * int(TIMEOUT)
_CREDENTIALS = re.compile(r"([A-Za-z][A-Za-z0-9+.-]{0,30}://)[^/\s]*@")
# Where kustomize quotes what it was given to work with, which may hold secrets.
_QUOTED = re.compile(r"(?<=with config: )`.*?(?:`(?=:|\s*\Z)|\Z)|(?<=patch from )\[.*", re.DOTALL)
_QUOTED_PATHS = re.compile(r"[`\[]\s*paths?:(?:\s*-)?[ \t\n\"]*[^\s\"]+[\"\s]*[`\]]\s*")
# Nothing listens there: what honours a proxy gets nowhere.
_CLOSED = "http://127.0.0.1:1"
_PROXIES = ("http_proxy", "https_proxy", "all_proxy", "no_proxy")
_CERTIFICATES = ("SSL_CERT_FILE", "SSL_CERT_DIR")


class ToolError(Exception):
    """The tool is missing or did not do its work; `hint` says what to do."""

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint


@dataclass(frozen=True)
class Tool:
    """A program and the words with which its command line begins."""

    name: str
    program: Path
    words: tuple[str, ...]

    @property
    def identity(self) -> str:
        """Tells one build of the program from another without running it."""
        try:
            file = self.program.resolve(strict=True)
            status = file.stat()
        except (OSError, RuntimeError) as error:
            raise ToolError(f"{self.program} cannot be read: {error}") from error
        # Some packages give all files one time: the inode and its own time change with each file.
        build = (status.st_size, status.st_mtime_ns, status.st_ino, status.st_ctime_ns)
        return " ".join(map(str, (self.name, *self.words, file, *build)))


def find_kustomize() -> Tool:
    """`kustomize`, or the one that is built into `kubectl`. Raises ToolError."""
    given = _given("TRUEUP_KUSTOMIZE")
    if given is None:
        given = _on_path("kustomize") or _on_path("kubectl")
    if given is None:
        raise ToolError(
            "this is rendered by kustomize, and there is neither kustomize nor kubectl on PATH",
            "install one of them (https://kubectl.docs.kubernetes.io/installation/kustomize/), or name the"
            " program in TRUEUP_KUSTOMIZE",
        )
    is_kubectl = given.name.startswith("kubectl")
    return Tool("kustomize", given, ("kustomize",) if is_kubectl else ("build",))


def find_helm() -> Tool:
    """`helm`. Raises ToolError."""
    given = _given("TRUEUP_HELM") or _on_path("helm")
    if given is None:
        raise ToolError(
            "this is rendered by helm, and there is no helm on PATH",
            "install it (https://helm.sh/docs/intro/install/), or name the program in TRUEUP_HELM",
        )
    return Tool("helm", given, ())


def _given(variable: str) -> Path | None:
    text = os.environ.get(variable, "")
    if not text:
        return None
    path = Path(text)
    if not path.is_absolute() or not _is_program(path):
        raise ToolError(f"{variable}={text} is not the absolute path of a program", "correct or unset it")
    return path


def _on_path(name: str) -> Path | None:
    for folder in os.environ.get("PATH", os.defpath).split(os.pathsep):
        # A relative entry would find programs in whatever directory this runs in.
        if folder.startswith("/") and _is_program(Path(folder) / name):
            return Path(folder) / name
    return None


def _is_program(path: Path) -> bool:
    return path.is_file() and os.access(path, os.X_OK)


def run_tool(tool: Tool, arguments: Sequence[str], *, work: Path, home: Path, network: bool) -> bytes:
    """What the tool prints. Raises ToolError with the end of what it says where it fails."""
    command = [str(tool.program), *tool.words, *arguments]
    if not network:
        command = [*_without_network(), *command]
    try:
        process = subprocess.Popen(
            command,
            cwd=work,
            env=_environment(home, network),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,
            umask=0o077,
        )
    except OSError as error:
        raise ToolError(f"{tool.program} cannot be run: {error.strerror}") from error
    try:
        _bound(process.pid)
        output, errors = _collect(tool, process)
    finally:
        # Whatever it started goes with it; the group of a process that ended may be gone.
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        for stream in (process.stdout, process.stderr):
            if stream is not None:
                stream.close()
    if process.returncode:
        raise ToolError(_shorten(errors) or f"{tool.name} ended with status {process.returncode}")
    return output


def _collect(tool: Tool, process: subprocess.Popen[bytes]) -> tuple[bytes, bytes]:
    """Both streams until the end of the process."""
    deadline = time.monotonic() + TIMEOUT
    output, errors = bytearray(), bytearray()
    with selectors.DefaultSelector() as selector:
        for stream, kept in ((process.stdout, output), (process.stderr, errors)):
            if stream is not None:
                selector.register(stream, selectors.EVENT_READ, kept)
        while selector.get_map():
            rest = deadline - time.monotonic()
            if rest <= 0:
                raise ToolError(f"{tool.name} took longer than {TIMEOUT:.0f} s")
            for key, _events in selector.select(rest):
                data = os.read(key.fd, 65536)
                if not data:
                    selector.unregister(key.fileobj)
                    continue
                key.data.extend(data)
                if len(output) > MAX_OUTPUT:
                    raise ToolError(f"{tool.name} gave more than {MAX_OUTPUT // 1024**2} MiB")
                if len(errors) > _MAX_ERRORS:
                    del errors[: len(errors) - _MAX_ERRORS // 2]
    try:
        process.wait(max(0.1, deadline - time.monotonic()))
    except subprocess.TimeoutExpired as error:
        raise ToolError(f"{tool.name} took longer than {TIMEOUT:.0f} s") from error
    return bytes(output), bytes(errors)


def _bound(pid: int) -> None:
    # A template can ask for any amount; the process that renders goes then, and not the one that applies.
    if hasattr(resource, "prlimit"):
        with suppress(ProcessLookupError, PermissionError):
            resource.prlimit(pid, resource.RLIMIT_AS, (_MAX_MEMORY, _MAX_MEMORY))
            resource.prlimit(pid, resource.RLIMIT_CPU, (_MAX_CPU_SECONDS, _MAX_CPU_SECONDS))


def _environment(home: Path, network: bool) -> Mapping[str, str]:
    environment = {
        "HOME": str(home),
        "TMPDIR": str(home),
        "LANG": "C.UTF-8",
        "TZ": "UTC",
        "PATH": os.environ.get("PATH", os.defpath) if network else str(home / "no-programs"),
        "KUBECONFIG": os.devnull,
        "KUSTOMIZE_PLUGIN_HOME": str(home / "no-plugins"),
        "HELM_PLUGINS": str(home / "no-plugins"),
        # kustomize fetches with git; its keys, helpers and settings are not for a repository to use.
        "GIT_CONFIG_NOSYSTEM": "1",
        "GIT_CONFIG_GLOBAL": os.devnull,
        "GIT_TERMINAL_PROMPT": "0",
        "GIT_ALLOW_PROTOCOL": "https:http" if network else "none",
    }
    for name in ("CONFIG", "CACHE", "DATA"):
        environment[f"XDG_{name}_HOME"] = environment[f"HELM_{name}_HOME"] = str(home / name.lower())
    if network:
        wanted = (*_CERTIFICATES, *_PROXIES, *(name.upper() for name in _PROXIES))
        environment.update({name: os.environ[name] for name in wanted if name in os.environ})
    else:
        for name in ("http_proxy", "https_proxy", "all_proxy"):
            environment[name] = environment[name.upper()] = _CLOSED
    return environment


@lru_cache(maxsize=1)
def _without_network() -> tuple[str, ...]:
    """The words that run a command in an empty network namespace; none where the system does not let us."""
    unshare, true = _on_path("unshare"), _on_path("true")
    if unshare is None or true is None:
        return ()
    words = (str(unshare), "--map-root-user", "--net", "--")
    try:
        done = subprocess.run([*words, str(true)], capture_output=True, timeout=10, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return ()
    return words if done.returncode == 0 else ()


def _shorten(errors: bytes) -> str:
    """The telling lines of what a tool said, without credentials, contents and control characters."""
    text = _CREDENTIALS.sub(r"\1***@", errors.decode("utf-8", "replace"))
    text = _QUOTED.sub(lambda match: match[0] if _QUOTED_PATHS.fullmatch(match[0]) else "...", text)
    lines = ["".join(c if c.isprintable() else " " for c in line).strip() for line in text.splitlines()]
    kept = [line for line in lines if line and not line.startswith(("Use --debug flag", "# Warning:"))]
    text = "\n  ".join(kept[-12:])
    return text if len(text) <= 2000 else f"{text[:1000]} ... {text[-1000:]}"
