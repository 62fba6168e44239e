"""Git servers on loopback: `git daemon`, smart HTTP and sshd, all of them the real programs.

`git_server.create("shop")` gives a repository; `repository.url("ssh")` its URL. Each server starts when the
first URL of its scheme is asked for.
"""

from __future__ import annotations

import base64
import getpass
import os
import shutil
import socket
import subprocess
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

ENVIRONMENT = {
    "GIT_CONFIG_GLOBAL": os.devnull,
    "GIT_CONFIG_SYSTEM": os.devnull,
    "GIT_AUTHOR_NAME": "Ada",
    "GIT_AUTHOR_EMAIL": "ada@example.com",
    "GIT_COMMITTER_NAME": "Ada",
    "GIT_COMMITTER_EMAIL": "ada@example.com",
}


@dataclass(frozen=True)
class Link:
    """A symbolic link, as a value of `commit`."""

    target: str


@dataclass(frozen=True)
class Submodule:
    """A submodule at a commit, as a value of `commit`."""

    commit: str


Content = str | bytes | Link | Submodule | None


class Repository:
    """A bare repository on the server, written without a work tree."""

    def __init__(self, server: GitServer, name: str) -> None:
        self._server = server
        self.name = name
        self.path = server.root / f"{name}.git"
        self.git("init", "--quiet", "--bare", "--initial-branch=main", ".", create=True)

    def url(self, scheme: str) -> str:
        """The URL for file, git, http, ssh or scp (user@host:path, the port comes from `ssh_command`)."""
        return self._server.url(self, scheme)

    def commit(
        self,
        files: Mapping[str, Content],
        message: str = "Change",
        branch: str = "main",
        *,
        author: str = "Ada",
    ) -> str:
        """Commits files on top of the branch (None deletes one); gives the hash."""
        parent = self.find(f"refs/heads/{branch}")
        index = {"GIT_INDEX_FILE": str(self.path / f"index-{threading.get_ident()}")}
        self.git("read-tree", parent or "--empty", **index)
        lines = b"".join(self._index_line(path, content) for path, content in files.items())
        self.git("update-index", "-z", "--index-info", stdin=lines, **index)
        tree = self.git("write-tree", **index)
        who = {"GIT_AUTHOR_NAME": author, "GIT_AUTHOR_EMAIL": f"{author.lower()}@example.com"}
        commit = self.git("commit-tree", tree, "-m", message, *(["-p", parent] if parent else []), **who)
        self.git("update-ref", f"refs/heads/{branch}", commit)
        return commit

    def branch(self, name: str, at: str = "main") -> None:
        self.git("update-ref", f"refs/heads/{name}", self.find(at))

    def delete_branch(self, name: str) -> None:
        self.git("update-ref", "-d", f"refs/heads/{name}")

    def tag(self, name: str, at: str = "main", *, annotated: bool = False) -> None:
        self.git("tag", "--force", *(["-a", "-m", name] if annotated else []), name, at)

    def force_push(self, files: Mapping[str, Content], branch: str = "main") -> str:
        """Replaces the branch's whole history by one commit with these files; gives the hash."""
        self.delete_branch(branch)
        return self.commit(files, "Start again", branch)

    def find(self, ref: str) -> str:
        """The hash of a ref, empty if there is none."""
        found = self._run("rev-parse", "--verify", "--quiet", ref)
        return found.stdout.decode().strip() if found.returncode == 0 else ""

    def git(self, *arguments: str, stdin: bytes = b"", create: bool = False, **environment: str) -> str:
        """Runs git in the repository."""
        if create:
            self.path.mkdir()
        done = self._run(*arguments, stdin=stdin, **environment)
        assert done.returncode == 0, done.stderr.decode()
        return done.stdout.decode().strip()

    def _run(
        self, *arguments: str, stdin: bytes = b"", **environment: str
    ) -> subprocess.CompletedProcess[bytes]:
        return subprocess.run(
            ["git", *arguments],
            cwd=self.path,
            input=stdin,
            capture_output=True,
            env={**os.environ, **ENVIRONMENT, **environment},
            check=False,
        )

    def _index_line(self, path: str, content: Content) -> bytes:
        name = path.encode("utf-8", "surrogateescape")
        if content is None:
            return b"0 " + b"0" * 40 + b"\t" + name + b"\0"
        if isinstance(content, Submodule):
            return f"160000 {content.commit}\t".encode() + name + b"\0"
        mode = "120000" if isinstance(content, Link) else "100644"
        data = content.target if isinstance(content, Link) else content
        blob = self.git(
            "hash-object", "-w", "--stdin", stdin=data.encode() if isinstance(data, str) else data
        )
        return f"{mode} {blob}\t".encode() + name + b"\0"


class GitServer:
    """Repositories, and the servers that give them out."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self._processes: list[subprocess.Popen[bytes]] = []
        self._ports: dict[str, int] = {}
        self._http: ThreadingHTTPServer | None = None
        self._passwords: dict[str, str] = {}
        self._count = 0

    def create(self, name: str = "stacks", *, password: str = "") -> Repository:
        """A new repository without commits. With a password, HTTP asks for user `reader` and it."""
        self._count += 1
        unique = f"{name}-{self._count}"
        self._passwords[f"{unique}.git"] = password
        return Repository(self, unique)

    def url(self, repository: Repository, scheme: str) -> str:
        if scheme == "file":
            return f"file://{repository.path}"
        if scheme == "git":
            return f"git://127.0.0.1:{self._port('git')}/{repository.path.name}"
        if scheme == "http":
            return f"http://127.0.0.1:{self._port('http')}/{repository.path.name}"
        port = self._port("ssh")
        if scheme == "ssh":
            return f"ssh://{getpass.getuser()}@127.0.0.1:{port}{repository.path}"
        assert scheme == "scp", scheme
        return f"{getpass.getuser()}@127.0.0.1:{repository.path}"

    @property
    def ssh_command(self) -> str:
        """The value for GIT_SSH_COMMAND: the port, the test's key, and the server's host key alone."""
        port = self._port("ssh")
        keys = self.root / "ssh"
        return (
            f"ssh -F /dev/null -p {port} -i {keys}/user -o IdentitiesOnly=yes "
            f"-o UserKnownHostsFile={keys}/known_hosts -o GlobalKnownHostsFile=/dev/null"
        )

    def stop(self) -> None:
        if self._http is not None:
            self._http.shutdown()
            self._http.server_close()
        for process in self._processes:
            process.terminate()
            process.wait(timeout=10)

    def _port(self, scheme: str) -> int:
        if scheme not in self._ports:
            start = {"git": self._start_daemon, "http": self._start_http, "ssh": self._start_sshd}[scheme]
            self._ports[scheme] = start()
        return self._ports[scheme]

    def _start_daemon(self) -> int:
        port = _free_port()
        path = _find_core_program("git-daemon")
        self._start(
            [path, f"--base-path={self.root}", "--export-all", "--listen=127.0.0.1", f"--port={port}"], port
        )
        return port

    def _start_http(self) -> int:
        backend = _find_core_program("git-http-backend")
        root, passwords = self.root, self._passwords

        class Handler(_CgiHandler):
            settings = (backend, root, passwords)

        self._http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self._http.serve_forever, daemon=True).start()
        return int(self._http.server_address[1])

    def _start_sshd(self) -> int:
        sshd = shutil.which("sshd", path=f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin")
        assert sshd, "install openssh-server"
        keys = self.root / "ssh"
        keys.mkdir(mode=0o700)
        for name in ("host", "user"):
            subprocess.run(
                ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(keys / name)], check=True
            )
        if os.geteuid() == 0:
            Path("/run/sshd").mkdir(mode=0o755, exist_ok=True)
        port = _free_port()
        host_key = (keys / "host.pub").read_text().split()
        (keys / "known_hosts").write_text(f"[127.0.0.1]:{port} {host_key[0]} {host_key[1]}\n")
        shutil.copy(keys / "user.pub", keys / "authorized_keys")
        (keys / "sshd_config").write_text(
            f"ListenAddress 127.0.0.1:{port}\nHostKey {keys}/host\n"
            f"AuthorizedKeysFile {keys}/authorized_keys\n"
            f"PidFile {keys}/sshd.pid\nStrictModes no\nUsePAM no\nPasswordAuthentication no\n"
            "KbdInteractiveAuthentication no\nPermitRootLogin prohibit-password\n"
        )
        self._start([sshd, "-D", "-e", "-f", str(keys / "sshd_config")], port)
        return port

    def _start(self, command: list[str], port: int) -> None:
        log = self.root / f"{Path(command[0]).name}.log"
        with log.open("wb") as output:
            process = subprocess.Popen(
                command, stdout=output, stderr=output, env={**os.environ, **ENVIRONMENT}
            )
        self._processes.append(process)
        deadline = time.monotonic() + 20
        while time.monotonic() < deadline:
            assert process.poll() is None, log.read_text()
            with closing(socket.socket()) as probe:
                if probe.connect_ex(("127.0.0.1", port)) == 0:
                    return
            time.sleep(0.02)
        raise AssertionError(f"{command[0]} does not listen: {log.read_text()}")


class _CgiHandler(BaseHTTPRequestHandler):
    """Hands requests to `git http-backend`."""

    settings: tuple[str, Path, dict[str, str]]

    def do_GET(self) -> None:
        self._serve(b"")

    def do_POST(self) -> None:
        if self.headers.get("Transfer-Encoding", "") == "chunked":
            self._serve(self._read_chunks())
        else:
            self._serve(self.rfile.read(int(self.headers.get("Content-Length", 0))))

    def log_message(self, format: str, *args: object) -> None:
        """The test's output is for the test."""

    def _serve(self, body: bytes) -> None:
        backend, root, passwords = self.settings
        path, _mark, query = self.path.partition("?")
        password = passwords.get(path.strip("/").split("/")[0], "")
        expected = "Basic " + base64.b64encode(f"reader:{password}".encode()).decode()
        if password and self.headers.get("Authorization") != expected:
            self.send_response(401)
            self.send_header("WWW-Authenticate", 'Basic realm="git"')
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        answer = subprocess.run(
            [backend],
            input=body,
            capture_output=True,
            check=False,
            env={
                **os.environ,
                **ENVIRONMENT,
                "GIT_PROJECT_ROOT": str(root),
                "GIT_HTTP_EXPORT_ALL": "1",
                "REQUEST_METHOD": self.command,
                "PATH_INFO": path,
                "QUERY_STRING": query,
                "CONTENT_TYPE": self.headers.get("Content-Type", ""),
                "CONTENT_LENGTH": str(len(body)),
                "HTTP_CONTENT_ENCODING": self.headers.get("Content-Encoding", ""),
                "GIT_PROTOCOL": self.headers.get("Git-Protocol", ""),
            },
        ).stdout
        head, _gap, content = answer.partition(b"\r\n\r\n")
        fields = [line.split(": ", 1) for line in head.decode().split("\r\n")]
        status = next((value for name, value in fields if name == "Status"), "200 OK")
        self.send_response(int(status.split()[0]))
        for name, value in fields:
            if name != "Status":
                self.send_header(name, value)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def _read_chunks(self) -> bytes:
        body = b""
        while size := int(self.rfile.readline(), 16):
            body += self.rfile.read(size)
            self.rfile.readline()
        self.rfile.readline()
        return body


def _find_core_program(name: str) -> str:
    folder = subprocess.run(["git", "--exec-path"], check=True, capture_output=True, text=True).stdout.strip()
    return str(Path(folder) / name)


def _free_port() -> int:
    with closing(socket.socket()) as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture(scope="session")
def _git_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[GitServer]:
    server = GitServer(tmp_path_factory.mktemp("git"))
    yield server
    server.stop()


@pytest.fixture
def git_server(_git_server: GitServer, monkeypatch: pytest.MonkeyPatch) -> GitServer:
    """Git servers on loopback. `ssh` and `scp` URLs work in this process and in its children."""
    monkeypatch.setenv("GIT_SSH_COMMAND", _git_server.ssh_command)
    return _git_server
