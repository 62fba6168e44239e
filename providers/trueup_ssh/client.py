"""SSH to one host: the only file that imports paramiko. Called by `provider`."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from pathlib import Path

import paramiko
from paramiko.hostkeys import HostKeyEntry
from paramiko.pkey import UnknownKeyType

from trueup.sdk import Denied, Document, Invalid, ProviderError, Transient, reveal
from trueup_ssh.known_hosts import KnownHosts, read_known_hosts
from trueup_ssh.session import MAX_ERRORS, Execution, check_output

KEEPALIVE_SECONDS = 15
SILENCE_MILLISECONDS = 30_000
LOGIN_HINT = "check user and identityFile; a key with a passphrase has to be in an SSH agent"
_UNREACHABLE_HINT = "look whether the host is up and runs sshd, and at the target's host and port"


class SshTransport:
    """A connection that opens again by itself after it broke, to the same host key only."""

    def __init__(self, config: Document) -> None:
        # What messages call the place: a host that is a secret shows as its mask.
        self.place = str(config["host"])
        self._config = config = reveal(config)
        self._host = str(config["host"])
        self._port = int(config.get("port", 22))
        self._timeout = float(config.get("connectTimeout", 10))
        # sudo says why it refuses, in words that are only known in one language.
        self._command = "env LC_ALL=C sudo -n sh -s" if config.get("sudo", False) else "sh -s"
        if self._port != 22:
            self.place = f"{self.place}:{self._port}"
        self._client = self._open()
        self.fingerprint = _host_key(self._client)

    def run(self, script: bytes, seconds: float) -> Execution:
        self._reopen()
        deadline = time.monotonic() + seconds
        with _translated(self.place):
            channel = self._transport().open_session(timeout=self._timeout)
            try:
                channel.settimeout(seconds)
                _execute(channel, self._command, deadline)
                return _converse(channel, script, deadline)
            except TimeoutError:
                raise Transient(f"{self.place}: no answer within {seconds:.0f} s") from None
            finally:
                channel.close()

    def close(self) -> None:
        with contextlib.suppress(Exception):
            self._client.close()

    def _transport(self) -> paramiko.Transport:
        transport = self._client.get_transport()
        if transport is None:
            raise Transient(f"{self.place}: the connection is closed")
        return transport

    def _reopen(self) -> None:
        transport = self._client.get_transport()
        if transport is not None and transport.is_active():
            return
        self.close()
        client = self._open()
        if _host_key(client) != self.fingerprint:
            client.close()
            raise Denied(f"{self.place}: its host key changed while it was being worked on")
        self._client = client

    def _open(self) -> paramiko.SSHClient:
        client = paramiko.SSHClient()
        known = self._load_known_hosts(client)
        key = self._private_key()
        with _translated(self.place, known):
            sock = socket.create_connection((self._host, self._port), self._timeout)
            try:
                # Without it each small packet of a command waits for the acknowledgement of the last one.
                sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                # With the keepalives, a host that answers no packet any more is found out within a minute.
                sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, SILENCE_MILLISECONDS)
                client.connect(
                    self._host,
                    port=self._port,
                    username=self._config.get("user"),
                    pkey=key,
                    look_for_keys=not self._config.get("identityFile"),
                    sock=sock,
                    timeout=self._timeout,
                    banner_timeout=self._timeout,
                    auth_timeout=self._timeout,
                    channel_timeout=self._timeout,
                )
            except BaseException as error:
                is_connected = _has_shown_its_key(client)
                client.close()
                sock.close()
                if is_connected and type(error) is paramiko.SSHException and not _is_unknown_host(error):
                    # The host answers and has shown its key, so what failed is the log-in.
                    raise Denied(f"{self.place}: cannot log in: {error}", hint=LOGIN_HINT) from error
                raise
        transport = client.get_transport()
        if transport is not None:
            transport.set_keepalive(KEEPALIVE_SECONDS)
        return client

    def _load_known_hosts(self, client: paramiko.SSHClient) -> str:
        given = self._config.get("knownHosts")
        path = self._expand(given or "~/.ssh/known_hosts")
        known = KnownHosts((), frozenset())
        try:
            known = read_known_hosts(path.read_text("utf-8"))
        except FileNotFoundError:
            if given:
                raise Invalid(f"{self.place}: there is no known_hosts file {path}") from None
        except (OSError, ValueError) as error:
            raise Invalid(f"{self.place}: cannot read {path}: {error}") from error
        except Invalid as error:
            raise Invalid(f"{self.place}: {path}: {error.message}", hint=error.hint) from error
        keys = client.get_host_keys()
        for line in known.lines:
            _add_key(keys, line, known.revoked)
        client.set_missing_host_key_policy(_Refusal(known.revoked, self.place, str(path)))
        return str(path)

    def _expand(self, path: str) -> Path:
        try:
            return Path(path).expanduser()
        except RuntimeError as error:
            raise Invalid(f"{self.place}: there is no home directory for {path}") from error

    def _private_key(self) -> paramiko.PKey | None:
        """The key of `identityFile`; None for one with a passphrase, which only an agent can use."""
        given = self._config.get("identityFile")
        if not given:
            return None
        path = self._expand(given)
        try:
            key: paramiko.PKey = paramiko.PKey.from_path(path)
        except FileNotFoundError:
            raise Invalid(f"{self.place}: there is no private key {path}") from None
        except (TypeError, paramiko.PasswordRequiredException):
            return None
        except (OSError, ValueError, paramiko.SSHException, UnknownKeyType) as error:
            raise Invalid(f"{self.place}: cannot read the key {path}: {type(error).__name__}") from None
        return key


class _Refusal(paramiko.MissingHostKeyPolicy):
    """Refuses every host whose key is not known; of one that is revoked it says so."""

    def __init__(self, revoked: frozenset[bytes], place: str, file: str) -> None:
        self._revoked = revoked
        self._place = place
        self._file = file

    def missing_host_key(self, client: paramiko.SSHClient, hostname: str, key: paramiko.PKey) -> None:
        if key.asbytes() in self._revoked:
            raise Denied(
                f"{self._place}: its host key is revoked in {self._file}; nothing was sent to it",
                hint="somebody may have stolen the key: give the host a new one",
            )
        paramiko.RejectPolicy().missing_host_key(client, hostname, key)


def _add_key(keys: paramiko.HostKeys, line: str, revoked: frozenset[bytes]) -> None:
    """Adds what a line says; one that is not legible makes no host known, as it is for ssh itself."""
    try:
        entry = HostKeyEntry.from_line(line)
    except Exception:  # noqa: BLE001 - each type of key has errors of its own
        return
    if entry is None or entry.hostnames is None or entry.key is None or entry.key.asbytes() in revoked:
        return
    for name in entry.hostnames:
        # Of several keys of one type the first one counts.
        if entry.key.get_name() not in (keys.lookup(name) or {}):
            keys.add(name, entry.key.get_name(), entry.key)


def _execute(channel: paramiko.Channel, command: str, deadline: float) -> None:
    """Asks for the command to be run. paramiko waits without end for that: a timer closes the channel."""
    late = threading.Event()

    def give_up() -> None:
        late.set()
        channel.close()

    timer = threading.Timer(_left(deadline), give_up)
    timer.daemon = True
    timer.start()
    try:
        channel.exec_command(command)
    except paramiko.SSHException:
        if late.is_set():
            raise TimeoutError from None
        raise
    finally:
        timer.cancel()


def _converse(channel: paramiko.Channel, script: bytes, deadline: float) -> Execution:
    """Sends the script and reads both streams to their ends; only then asks for the exit status.

    paramiko stops delivering one stream when the window is full of the other, so each has its reader.
    """
    errors = bytearray()
    reader = threading.Thread(target=_drain_errors, args=(channel, errors), daemon=True)
    reader.start()
    output = bytearray()
    # A shell that ends early (sudo refused) closes its end; what it said is still to be read.
    with contextlib.suppress(OSError):
        channel.sendall(script)
        channel.shutdown_write()
    while True:
        channel.settimeout(_left(deadline))
        chunk = channel.recv(65536)
        if not chunk:
            break
        output += chunk
        check_output(len(output))
    if not channel.status_event.wait(_left(deadline)):
        raise TimeoutError
    reader.join(_left(deadline))
    status = channel.exit_status
    return Execution(None if status < 0 else status, bytes(output), bytes(errors))


def _drain_errors(channel: paramiko.Channel, errors: bytearray) -> None:
    try:
        while chunk := channel.recv_stderr(65536):
            # The first words say why; the rest only has to leave the window.
            if len(errors) < MAX_ERRORS:
                errors += chunk
    except OSError:
        return


def _left(deadline: float) -> float:
    left = deadline - time.monotonic()
    if left <= 0:
        raise TimeoutError
    return left


def _host_key(client: paramiko.SSHClient) -> str:
    transport = client.get_transport()
    if transport is None:
        raise Transient("the connection ended while it was opened")
    return str(transport.get_remote_server_key().fingerprint)


def _has_shown_its_key(client: paramiko.SSHClient) -> bool:
    transport = client.get_transport()
    if transport is None or not transport.is_active():
        return False
    try:
        transport.get_remote_server_key()
    except paramiko.SSHException:
        return False
    return True


def _is_unknown_host(error: BaseException) -> bool:
    return isinstance(error, paramiko.SSHException) and "not found in known_hosts" in str(error)


class _translated:
    """Turns what paramiko and sockets raise into errors of the SDK that name the host."""

    def __init__(self, place: str, known_hosts: str = "") -> None:
        self._place = place
        self._known_hosts = known_hosts

    def __enter__(self) -> None: ...

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _trace: object) -> None:
        if error is None or isinstance(error, ProviderError) or not isinstance(error, Exception):
            return
        raise self._translate(error) from error

    def _translate(self, error: Exception) -> ProviderError:
        place, words = self._place, str(error) or type(error).__name__
        if isinstance(error, paramiko.BadHostKeyException):
            return Denied(
                f"{place}: its host key is not the known one; nothing was sent to it "
                f"(it showed {error.key.fingerprint}, expected {error.expected_key.fingerprint})",
                hint=f"if the host was really installed anew, replace its line in {self._known_hosts} "
                f"(ssh-keyscan {place}) after checking the key",
            )
        if _is_unknown_host(error):
            return Denied(
                f"{place}: its host key is not in {self._known_hosts}; nothing was sent to it",
                hint=f"check the key and add it: ssh-keyscan {place} >> {self._known_hosts}",
            )
        if isinstance(error, paramiko.AuthenticationException):
            if "timeout" in words.lower():
                return Transient(f"{place}: no answer to the authentication")
            return Denied(f"{place}: the host refused the log-in: {words}", hint=LOGIN_HINT)
        if isinstance(error, paramiko.SSHException) and words == "No existing session":
            return Transient(f"{place}: it accepts connections, but does not answer")
        if isinstance(error, OSError):
            return Transient(f"{place}: {words}", hint=_UNREACHABLE_HINT)
        if isinstance(error, EOFError | paramiko.SSHException):
            return Transient(f"{place}: {words}")
        return Invalid(f"{place}: {type(error).__name__}: {words}")
