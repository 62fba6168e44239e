"""Runs the `sops` binary on one encrypted file. The only process that secret sources start; used by `sops`.

It gets the file, still encrypted, in a private directory, and the environment, where its keys are. What it
decrypts comes back through a pipe: on no command line and in no file.
"""

from __future__ import annotations

import contextlib
import os
import re
import signal
import subprocess
import tempfile
from collections.abc import Mapping
from pathlib import Path

from trueup.errors import Denied, Invalid, Transient

# A key server may have to be asked, or a person may have to touch a token.
DEADLINE = 60.0
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
            output, said = process.communicate(timeout=DEADLINE)
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


def _explain(said: bytes, file: str, path: str) -> str:
    text = _QUOTED_VALUE.sub(r"\1(not shown)\2", said.decode(errors="replace")).replace(file, path)
    return " ".join(text.split())[:600] or "it does not say why"
