"""Runs etcd, kube-apiserver and kube-controller-manager on the loopback. Called by fixtures and by run.py.

Everything lies in one folder, on free ports; the processes end with the one that started them.
"""

from __future__ import annotations

import base64
import ctypes
import json
import os
import signal
import socket
import ssl
import subprocess
import time
import urllib.request
from pathlib import Path

from tests.cluster.binaries import NoCluster

START_DEADLINE = 120.0
STOP_DEADLINE = 20.0
ADMIN, LIMITED = "admin-token", "limited-token"
_SERVER = (
    "subjectAltName=DNS:localhost,DNS:kubernetes.default.svc,IP:127.0.0.1\nextendedKeyUsage=serverAuth\n"
)
_POLICY = {
    "apiVersion": "audit.k8s.io/v1",
    "kind": "Policy",
    "omitStages": ["RequestReceived"],
    "rules": [{"level": "Metadata"}],
}
_PR_SET_PDEATHSIG = 1


class Processes:
    """A cluster of our own: an API server that allows everything to `local` and nothing to `limited`."""

    def __init__(self, binaries: Path, folder: Path) -> None:
        self._binaries = binaries
        self._folder = folder
        self._started: list[subprocess.Popen[bytes]] = []
        self.kubeconfig = folder / "kubeconfig"
        self.audit_log = folder / "audit.log"
        self._port = 0

    def start(self) -> None:
        """Returns when the cluster is ready to be used. Raises NoCluster."""
        try:
            self._write_keys()
            self._start_etcd_and_server()
            self._wait("/readyz", "the API server")
            self._start_controllers()
            self._wait("/api/v1/namespaces/default/serviceaccounts/default", "the controller manager")
        except BaseException:
            self.stop()
            raise

    def stop(self) -> None:
        """Ends the processes, the last one first. May be called twice."""
        while self._started:
            process = self._started.pop()
            process.send_signal(signal.SIGTERM)
            try:
                process.wait(STOP_DEADLINE)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()

    def _start_etcd_and_server(self) -> None:
        clients, peers, self._port = _free_ports(3)
        self._write_kubeconfigs()
        etcd, peer = f"http://127.0.0.1:{clients}", f"http://127.0.0.1:{peers}"
        self._run(
            "etcd",
            *(
                "--data-dir",
                self._path("etcd"),
                "--listen-client-urls",
                etcd,
                "--advertise-client-urls",
                etcd,
            ),
            *("--listen-peer-urls", peer, "--initial-advertise-peer-urls", peer),
            *("--initial-cluster", f"default={peer}", "--unsafe-no-fsync"),
        )
        self._run(
            "kube-apiserver",
            *(f"--etcd-servers={etcd}", "--bind-address=127.0.0.1", f"--secure-port={self._port}"),
            *("--advertise-address=127.0.0.1", "--endpoint-reconciler-type=none"),
            *("--service-cluster-ip-range=10.96.0.0/16", "--allow-privileged=true", "--anonymous-auth=true"),
            *(
                f"--tls-cert-file={self._path('server.crt')}",
                f"--tls-private-key-file={self._path('server.key')}",
            ),
            *(f"--client-ca-file={self._path('ca.crt')}", f"--token-auth-file={self._path('tokens.csv')}"),
            *("--authorization-mode=RBAC", "--service-account-issuer=https://kubernetes.default.svc"),
            f"--service-account-key-file={self._path('account.pub')}",
            f"--service-account-signing-key-file={self._path('account.key')}",
            *(f"--audit-policy-file={self._path('audit-policy.json')}", f"--audit-log-path={self.audit_log}"),
        )

    def _start_controllers(self) -> None:
        kubeconfig = self._path("controllers.kubeconfig")
        self._run(
            "kube-controller-manager",
            *(f"--kubeconfig={kubeconfig}", f"--authentication-kubeconfig={kubeconfig}"),
            *(f"--authorization-kubeconfig={kubeconfig}", "--bind-address=127.0.0.1", "--secure-port=0"),
            *("--leader-elect=false", "--use-service-account-credentials=true", "--controllers=*"),
            f"--service-account-private-key-file={self._path('account.key')}",
            f"--root-ca-file={self._path('ca.crt')}",
        )

    def _run(self, program: str, *arguments: str) -> None:
        log = (self._folder / f"{program}.log").open("wb")
        with log:
            process = subprocess.Popen(
                [str(self._binaries / program), *arguments],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                cwd=self._folder,
                preexec_fn=_end_with_parent,
            )
        self._started.append(process)

    def _wait(self, path: str, what: str) -> None:
        context = ssl.create_default_context(cafile=self._path("ca.crt"))
        url = f"https://127.0.0.1:{self._port}{path}"
        request = urllib.request.Request(url, headers={"Authorization": f"Bearer {ADMIN}"})
        deadline = time.monotonic() + START_DEADLINE
        while time.monotonic() < deadline:
            for process in self._started:
                if process.poll() is not None:
                    raise NoCluster(f"{process.args[0]} ended: {self._last_words()}")  # type: ignore[index]
            try:
                with urllib.request.urlopen(request, context=context, timeout=5):
                    return
            except OSError:
                time.sleep(0.1)
        raise NoCluster(f"{what} is not ready after {START_DEADLINE:.0f} s: {self._last_words()}")

    def _last_words(self) -> str:
        logs = sorted(self._folder.glob("*.log"))
        return "\n".join(
            f"{log.name}: {log.read_text(errors='replace')[-500:]}" for log in logs if log != self.audit_log
        )

    def _write_keys(self) -> None:
        self._folder.mkdir(parents=True, exist_ok=True)
        self._write("server.ext", _SERVER)
        self._openssl("req", "-x509", *_NEW_KEY, "-days", "30", "-subj", "/CN=test-ca", *_files("ca"))
        self._openssl(
            *("req", *_NEW_KEY, "-subj", "/CN=kube-apiserver", "-keyout", "server.key", "-out", "server.csr")
        )
        self._openssl(
            *("x509", "-req", "-in", "server.csr", "-CA", "ca.crt", "-CAkey", "ca.key", "-CAcreateserial"),
            *("-days", "30", "-extfile", "server.ext", "-out", "server.crt"),
        )
        self._openssl("genrsa", "-out", "account.key", "2048")
        self._openssl("rsa", "-in", "account.key", "-pubout", "-out", "account.pub")
        groups = '"system:masters"'
        self._write(
            "tokens.csv", f'{ADMIN},admin,admin,{groups}\n{LIMITED},limited,limited,"limited-users"\n'
        )
        self._write("audit-policy.json", json.dumps(_POLICY))

    def _write_kubeconfigs(self) -> None:
        """For the tests, with the contexts `local` and `limited`, and for the controllers."""
        users = {"admin": ADMIN, "limited": LIMITED}
        contexts = {"local": "admin", "limited": "limited"}
        self._write("kubeconfig", json.dumps(self._config(users, contexts)))
        self._write("controllers.kubeconfig", json.dumps(self._config({"admin": ADMIN}, {"local": "admin"})))

    def _config(self, users: dict[str, str], contexts: dict[str, str]) -> dict[str, object]:
        authority = base64.b64encode((self._folder / "ca.crt").read_bytes()).decode()
        server = {"server": f"https://127.0.0.1:{self._port}", "certificate-authority-data": authority}
        return {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": "local", "cluster": server}],
            "users": [{"name": name, "user": {"token": token}} for name, token in users.items()],
            "contexts": [
                {"name": name, "context": {"cluster": "local", "user": user}}
                for name, user in contexts.items()
            ],
            "current-context": "local",
        }

    def _path(self, name: str) -> str:
        return str(self._folder / name)

    def _write(self, name: str, text: str) -> None:
        path = self._folder / name
        path.touch(mode=0o600)
        path.write_text(text)

    def _openssl(self, *arguments: str) -> None:
        done = subprocess.run(
            ["openssl", *arguments], cwd=self._folder, capture_output=True, text=True, timeout=60, check=False
        )
        if done.returncode:
            raise NoCluster(f"openssl {arguments[0]} failed: {done.stderr[-500:]}")


_NEW_KEY = ("-newkey", "rsa:2048", "-nodes")


def _files(name: str) -> tuple[str, ...]:
    return ("-keyout", f"{name}.key", "-out", f"{name}.crt")


def _free_ports(count: int) -> list[int]:
    sockets = [socket.socket() for _ in range(count)]
    try:
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in sockets]
    finally:
        for each in sockets:
            each.close()


def _end_with_parent() -> None:
    """In the child: own process group, so that Ctrl-C reaches the tests first; killed with its parent."""
    os.setsid()
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
