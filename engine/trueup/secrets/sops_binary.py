"""Runs the `sops` binary on one encrypted file. The only process that secret sources start; used by `sops`.

It gets the file, still encrypted, in a private directory, and the environment, where its keys are. What it
decrypts comes back through a pipe: on no command line and in no file.
"""

from __future__ import annotations

import contextlib
import os
import re
import selectors
import signal
import subprocess
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path

from trueup.errors import Denied, Invalid, Transient

# A key server may have to be asked, or a person may have to touch a token.
DEADLINE = 60.0
# A file of 4 MiB, decrypted, as JSON in which each character may be written as six.
MAX_OUTPUT = 32 * 1024 * 1024
_MAX_WORDS = 64 * 1024
# The exit code of sops where it cannot get the data key.
_NO_KEY = 128
NO_KEY_HINT = (
    "set SOPS_AGE_KEY or SOPS_AGE_KEY_FILE where trueup runs, or the credentials of the key service;"
    " `sops --decrypt FILE` tells what it tries"
)
# sops quotes a value that is not encrypted although it should be.
_QUOTED_VALUE = re.compile(r"(Input string ).*( does not match)", re.DOTALL)


def find_sops() -> str | None:
    """Where the binary is on PATH, None where it is not."""
    for folder in os.environ.get("PATH", os.defpath).split(os.pathsep):
        program = Path(folder) / "sops"
        # A relative entry would find programs in whatever directory this runs in.
        if folder.startswith("/") and program.is_file() and os.access(program, os.X_OK):
            return str(program)
    return None


def run_sops(binary: str, path: str, content: bytes, form: str, environment: Mapping[str, str]) -> bytes:
    """The decrypted file: JSON, or the very bytes for the format `binary`.

    Raises Invalid with what sops says, Transient where it gives no answer in time.
    """
    with tempfile.TemporaryDirectory(prefix="trueup-sops-") as folder:
        # Not its own name, which an author chooses; sops is told the format.
        file = Path(folder) / "encrypted"
        file.touch(mode=0o600)
        file.write_bytes(content)
        output = "binary" if form == "binary" else "json"
        command = [binary, "--decrypt", "--input-type", form, "--output-type", output, str(file)]
        return _run(command, folder, path, environment)


def _run(command: list[str], folder: str, path: str, environment: Mapping[str, str]) -> bytes:
    try:
        process = subprocess.Popen(
            command,
            cwd=folder,  # where no configuration of the author's lies
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,
        )
    except OSError as error:
        raise Invalid(f"{command[0]} cannot be run: {error.strerror}", hint="install sops again") from error
    with process:
        try:
            output, said = _collect(process, path, time.monotonic() + DEADLINE)
        except BaseException as error:
            # With what it started, such as a program that asks for a passphrase.
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            if not isinstance(error, subprocess.TimeoutExpired):
                raise
            message = f"sops did not decrypt {path} within {DEADLINE:.0f} s"
            raise Transient(message, hint="try `sops --decrypt` by hand") from None
    if process.returncode == _NO_KEY:
        # sops tells at length what it tried, key by key.
        raise Denied(f"sops has no key that fits {path}", hint=NO_KEY_HINT)
    if process.returncode != 0:
        raise Invalid(f"sops cannot decrypt {path}: {_explain(said, command[-1], path)}")
    return output


def _collect(process: subprocess.Popen[bytes], path: str, deadline: float) -> tuple[bytes, bytes]:
    """What it prints and what it says. Raises TimeoutExpired, and Invalid where it prints too much."""
    if process.stdout is None or process.stderr is None:
        raise Invalid("sops could not be started")
    output, said = bytearray(), bytearray()
    with selectors.DefaultSelector() as selector:
        for stream in (process.stdout, process.stderr):
            selector.register(stream, selectors.EVENT_READ)
        while selector.get_map():
            left = deadline - time.monotonic()
            if left <= 0:
                raise subprocess.TimeoutExpired(process.args, DEADLINE)
            for key, _events in selector.select(left):
                data = os.read(key.fd, 65536)
                if not data:
                    selector.unregister(key.fileobj)
                elif key.fileobj is process.stdout:
                    output += data
                    if len(output) > MAX_OUTPUT:
                        raise Invalid(f"sops gives more than {MAX_OUTPUT // 1024**2} MiB for {path}")
                elif len(said) < _MAX_WORDS:
                    said += data
    process.wait(max(0.1, deadline - time.monotonic()))
    return bytes(output), bytes(said)


def _explain(said: bytes, file: str, path: str) -> str:
    text = _QUOTED_VALUE.sub(r"\1(not shown)\2", said.decode(errors="replace")).replace(file, path)
    return " ".join(text.split())[:600] or "it does not say why"
