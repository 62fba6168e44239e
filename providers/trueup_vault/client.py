"""The only file that imports hvac: signs in to one Vault as the environment says, and reads.

hvac's exceptions end here; its messages may hold what the server said of a secret, and are not repeated.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

import hvac
import requests
import urllib3.exceptions
from hvac.exceptions import (
    Forbidden,
    InvalidPath,
    InvalidRequest,
    RateLimitExceeded,
    Unauthorized,
    VaultError,
)
from requests.adapters import HTTPAdapter

from trueup.sdk import Denied, Invalid, ProviderError, Throttled, Transient, read_bounded

TIMEOUT = 20
# A secret of Vault has 1 MiB at most.
MAX_ANSWER = 8 * 1024 * 1024
ANSWER_SECONDS = 60.0
_SIGN_IN_HINT = (
    "set VAULT_TOKEN, or VAULT_ROLE_ID and VAULT_SECRET_ID, where trueup runs, or sign in with `vault login`"
)


class Client:
    """One signed-in session with one server."""

    def __init__(self, client: hvac.Client, address: str) -> None:
        self._client = client
        self._address = address

    def read(self, path: str) -> Mapping[str, Any] | None:
        """The data of a path, None where there is none. Raises sdk errors."""
        failure: ProviderError | None = None
        try:
            answer = self._client.adapter.get(f"/v1/{path}")
        except InvalidPath:
            return None
        except (VaultError, requests.RequestException) as error:
            failure = _translate(error, f"{path} in Vault", self._address)
        except OSError as error:
            failure = _bad_certificate(error)
        except RecursionError:
            failure = Transient(f"{path} in Vault: {self._address} answers what nobody can read")
        if failure is not None:
            raise failure
        if not isinstance(answer, Mapping):
            status = getattr(answer, "status_code", "a document")
            raise Transient(
                f"{path} in Vault: {self._address} answers {status} and not as Vault does",
                hint="name the server itself in VAULT_ADDR: no redirect is followed, it would get the token",
            )
        data = answer.get("data")
        return data if isinstance(data, Mapping) else None

    def close(self) -> None:
        self._client.adapter.close()


def sign_in() -> Client:
    """A client for VAULT_ADDR, with a token or by AppRole. Raises Denied, Invalid, Transient."""
    address = os.environ.get("VAULT_ADDR", "")
    if not address:
        raise Invalid("VAULT_ADDR is not set", hint="set it to the address of Vault where trueup runs")
    if not address.startswith(("https://", "http://")):
        # Not quoted: it may be a token that was put into the wrong variable.
        raise Invalid("VAULT_ADDR is no address", hint="write https://HOST:PORT")
    shown = _without_credentials(address)
    failure: ProviderError | None = None
    try:
        client = _open(address)
        if not client.token:
            _sign_in_by_role(client)
    except (VaultError, requests.RequestException) as error:
        failure = _translate(error, "signing in to Vault", shown)
    except OSError as error:
        failure = _bad_certificate(error)
    if failure is not None:
        raise failure
    return Client(client, shown)


def _without_credentials(address: str) -> str:
    """The address for messages: what stands before an @ may be a password."""
    scheme, _, rest = address.partition("://")
    return f"{scheme}://{rest.rpartition('@')[2]}"


class _BoundedAdapter(HTTPAdapter):
    """Reads no answer to its end that has none, or that would fill the memory, also by being unpacked."""

    def send(self, request: requests.PreparedRequest, *args: Any, **options: Any) -> requests.Response:
        response = super().send(request, *args, **{**options, "stream": True})
        raw = response.raw
        try:
            read = partial(raw.read1, decode_content=True)
            response._content = read_bounded(read, MAX_ANSWER, ANSWER_SECONDS, "Vault")
        except (urllib3.exceptions.HTTPError, OSError) as error:
            raise requests.exceptions.ConnectionError(error, request=request) from error
        finally:
            response.close()
        return response


def _open(address: str) -> hvac.Client:
    ca = os.environ.get("VAULT_CACERT") or os.environ.get("VAULT_CAPATH")
    certificate, key = os.environ.get("VAULT_CLIENT_CERT"), os.environ.get("VAULT_CLIENT_KEY")
    session = requests.Session()
    session.cert = (certificate, key) if certificate and key else None
    session.verify = ca or True
    for scheme in ("https://", "http://"):
        session.mount(scheme, _BoundedAdapter())
    return hvac.Client(
        url=address.rstrip("/"),
        token=_find_token(),
        session=session,
        timeout=TIMEOUT,
        namespace=os.environ.get("VAULT_NAMESPACE") or None,
        allow_redirects=False,  # a token goes to no other server
        strict_http=False,
    )


def _find_token() -> str:
    if token := os.environ.get("VAULT_TOKEN"):
        return token
    if os.environ.get("VAULT_ROLE_ID"):
        return ""
    file = Path("~/.vault-token").expanduser()  # where `vault login` leaves it
    try:
        return file.read_text(encoding="utf-8").strip()
    except OSError:
        return ""


def _sign_in_by_role(client: hvac.Client) -> None:
    role, secret = os.environ.get("VAULT_ROLE_ID"), os.environ.get("VAULT_SECRET_ID")
    if not role:
        raise Denied("there is no token for Vault", hint=_SIGN_IN_HINT)
    mount = os.environ.get("VAULT_APPROLE_MOUNT") or "approle"
    client.auth.approle.login(role_id=role, secret_id=secret, mount_point=mount)
    if not client.token:
        raise Denied("Vault gave no token for the role of VAULT_ROLE_ID", hint=_SIGN_IN_HINT)


def _translate(error: Exception, what: str, address: str) -> ProviderError:
    if isinstance(error, Forbidden | Unauthorized):
        return Denied(f"{what}: permission denied", hint="the policy of the token has to allow `read` there")
    if isinstance(error, RateLimitExceeded):
        return Throttled(f"{what}: the server asks for fewer requests")
    if isinstance(error, InvalidRequest):
        return Invalid(f"{what}: the server refuses the request")
    if isinstance(error, requests.exceptions.SSLError):
        return Invalid(f"{what}: the certificate of {address} is not to be trusted", hint="set VAULT_CACERT")
    if isinstance(error, requests.RequestException):
        return Transient(
            f"{what}: {address} cannot be reached ({type(error).__name__})",
            hint="look whether Vault runs there, and at VAULT_ADDR",
        )
    return Transient(f"{what}: the server answers {type(error).__name__}")


def _bad_certificate(error: OSError) -> Invalid:
    return Invalid(f"VAULT_CACERT, VAULT_CAPATH, VAULT_CLIENT_CERT or VAULT_CLIENT_KEY: {error}")
