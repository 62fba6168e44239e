"""A moto server for tests: AWS on the loopback, with a log of its requests and faults on demand.

Loaded by tests/conftest.py. The server runs in a process of its own and outlives what the tests kill.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from trueup.sdk import Target

ACCOUNT = "123456789012"
REGION = "eu-west-1"
ENVIRONMENT = {
    "AWS_ACCESS_KEY_ID": "AKIATESTTESTTESTTEST",
    "AWS_SECRET_ACCESS_KEY": "not-a-real-key",
    "AWS_EC2_METADATA_DISABLED": "true",
    "AWS_CONFIG_FILE": os.devnull,
    "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
    "AWS_MAX_ATTEMPTS": "2",
}


@dataclass(frozen=True)
class Request:
    """One request that reached the server: `sqs:CreateQueue`, whether it writes, the name of its object."""

    action: str
    is_write: bool
    subject: str = ""


class Moto:
    """The server, as tests see it."""

    def __init__(self, endpoint: str) -> None:
        self.endpoint = endpoint
        self._mark = 0

    def target(self, name: str = "aws", **config: Any) -> Target:
        """A target that leads to this server."""
        whole = {"region": REGION, "endpointUrl": self.endpoint, "maxAttempts": 2, **config}
        return Target(name, "aws", config=whole)

    def client(self, service: str, region: str = REGION) -> Any:
        """A client of our own, for what is done behind trueup's back."""
        import boto3

        return boto3.client(service, region_name=region, endpoint_url=self.endpoint)

    def mark(self) -> None:
        """From here on `requests` and `writes` count."""
        self._mark = len(self._ask("log"))

    def requests(self) -> list[Request]:
        """Every request since the mark, in order."""
        return [Request(**entry) for entry in self._ask("log")[self._mark :]]

    def writes(self) -> list[str]:
        """The actions of the requests since the mark that write."""
        return [request.action for request in self.requests() if request.is_write]

    def fail(
        self,
        action: str,
        code: str,
        *,
        status: int = 400,
        message: str = "",
        times: int = 1_000_000,
        skip: int = 0,
    ) -> None:
        """Makes an action fail, after `skip` calls that pass, for `times` calls. Ends with `reset`."""
        fault = {"mode": "fail", "code": code, "status": status, "message": message or "made to fail"}
        self._ask("fault", {**fault, "action": action, "times": times, "skip": skip})

    def drop(self, action: str, *, times: int = 1, skip: int = 0) -> None:
        """Carries an action out and loses the answer: the connection ends without a byte."""
        self._ask("fault", {"mode": "drop", "action": action, "times": times, "skip": skip})

    def answer(self, action: str, body: object, *, times: int = 1) -> None:
        """Answers an action of a JSON API with that body, without carrying it out."""
        fault = {"mode": "answer", "action": action, "body": json.dumps(body), "times": times, "skip": 0}
        self._ask("fault", fault)

    def reset(self) -> None:
        """Empties the server, ends all faults, and sets the mark."""
        self._ask("reset", {})
        self.mark()

    def _ask(self, command: str, data: object = None) -> Any:
        body = None if data is None else json.dumps(data).encode()
        request = urllib.request.Request(f"{self.endpoint}/_trueup/{command}", data=body)
        with urllib.request.urlopen(request, timeout=30) as answer:
            return json.load(answer)


@pytest.fixture(scope="session")
def aws_credentials() -> Iterator[None]:
    """Credentials that only moto accepts, and none of the machine's own configuration."""
    with pytest.MonkeyPatch.context() as patch:
        for key in [key for key in os.environ if key.startswith("AWS_")]:
            patch.delenv(key)
        for key, value in ENVIRONMENT.items():
            patch.setenv(key, value)
        yield


@pytest.fixture(scope="session")
def moto(aws_credentials: None) -> Iterator[Moto]:
    """The server of this test process. Tests that need it empty call `moto.reset()`."""
    command = [sys.executable, str(Path(__file__).with_name("serve.py"))]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            port = process.stdout.readline().strip()
            assert port.isdigit(), "moto's server did not start"
            yield Moto(f"http://127.0.0.1:{port}")
        finally:
            process.kill()
