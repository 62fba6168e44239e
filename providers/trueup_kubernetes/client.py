"""The one user of the `kubernetes` library: kubeconfig, connections, and raw JSON over them."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import urllib3
import yaml
from kubernetes.client.api_client import ApiClient
from kubernetes.client.configuration import Configuration
from kubernetes.client.exceptions import ApiException
from kubernetes.config.config_exception import ConfigException
from kubernetes.config.incluster_config import load_incluster_config
from kubernetes.config.kube_config import list_kube_config_contexts, load_kube_config

from trueup.sdk import Invalid, Transient, read_bounded
from trueup_kubernetes.errors import Answer

CONNECT_TIMEOUT = 10.0
# etcd takes objects of 1.5 MiB, so a page of 50 always fits; lists of 500 real objects have a few MiB.
MAX_ANSWER = 128 * 1024 * 1024
# One of a thousand clusters has 5 MiB; reading YAML takes a hundred times as much memory.
MAX_KUBECONFIG = 16 * 1024 * 1024
# An answer that comes in drops: each of them keeps the request's own timeout waiting.
ANSWER_SECONDS = 120.0
USER_AGENT = "trueup"
_COMMANDS = ("exec", "auth-provider")
_OUTWARD = {
    "user": (*_COMMANDS, "tokenFile", "client-certificate", "client-key"),
    "cluster": ("certificate-authority",),
}
# What shows that a directory is, or is in, what a stack is read from.
_SOURCE_MARKS = (".git", "stack.yaml", "stack.yml", "stack.json", "stack.toml")
_UNREACHABLE_HINT = "look whether the cluster runs, and at the server of the kubeconfig's context"


class Client:
    """Sends requests to one API server. Thread safe; does not retry and does not follow redirects."""

    def __init__(self, api: ApiClient, timeout: float) -> None:
        self._api = api
        self._timeout = (min(CONNECT_TIMEOUT, timeout), timeout)

    def request(
        self,
        method: str,
        path: str,
        *,
        query: Sequence[tuple[str, str]] = (),
        body: Any = None,
        content_type: str = "application/json",
        accept: str = "application/json",
    ) -> Answer:
        """The answer, whatever it is. Raises Transient where there is none, Invalid for a wrong server."""
        try:
            serialized = self._api.param_serialize(
                method,
                path,
                query_params=list(query),
                header_params={"Accept": accept, "Content-Type": content_type},
                body=body,
                auth_settings=["BearerToken"],
            )
            response = self._api.call_api(*serialized, _request_timeout=self._timeout)
            data = _read(response.response, f"{method} {path}")
        except urllib3.exceptions.NewConnectionError as error:  # which is a TimeoutError, too
            raise Transient(
                f"the cluster cannot be reached ({_root_of(error)})", hint=_UNREACHABLE_HINT
            ) from error
        except urllib3.exceptions.TimeoutError as error:
            raise Transient(f"the cluster gave no answer within {self._timeout[1]:g} s") from error
        except (urllib3.exceptions.HTTPError, OSError) as error:
            raise Transient(
                f"the cluster cannot be reached ({_root_of(error)})", hint=_UNREACHABLE_HINT
            ) from error
        except ApiException as error:
            why = " ".join(str(error.reason).split())
            if "CERTIFICATE_VERIFY_FAILED" in why:
                raise Invalid(f"the cluster's certificate is not to be trusted ({why})") from error
            raise Transient(f"no secure connection to the cluster ({why})") from error
        return Answer(response.status, _parse(data), dict(response.headers))

    def close(self) -> None:
        self._api.rest_client.close()


def open_client(
    kubeconfig: str, context: str, timeout: float, connections: int, user_agent: str = USER_AGENT
) -> tuple[Client, str]:
    """A client for the place that the operator's kubeconfig names, and the context's namespace.

    Without a kubeconfig at all, inside a pod, the pod's own service account is used.
    """
    configuration = Configuration()
    namespace = ""
    try:
        if not kubeconfig and not context and _is_in_cluster():
            load_incluster_config(client_configuration=configuration)  # type: ignore[no-untyped-call]
        else:
            namespace = _load(configuration, kubeconfig, context)
    except (ConfigException, yaml.YAMLError, OSError, AttributeError, TypeError, ValueError) as error:
        # The text of a YAML error or of a wrong value can hold a token: name the file, not its content.
        why = str(error) if isinstance(error, ConfigException | OSError) else type(error).__name__
        where = kubeconfig or "$KUBECONFIG or ~/.kube/config"
        raise Invalid(f"the kubeconfig {where} cannot be used: {why}") from error
    configuration.retries = False  # the engine retries, and it alone knows what may be repeated
    configuration.connection_pool_maxsize = connections
    api = ApiClient(configuration)
    api.user_agent = user_agent
    return Client(api, timeout), namespace


def _load(configuration: Configuration, kubeconfig: str, context: str) -> str:
    path = str(Path(kubeconfig).expanduser()) if kubeconfig else _default_kubeconfig()
    if kubeconfig and (os.pathsep in path or not Path(path).is_file()):
        raise ConfigException("there is no such file")
    for each in map(Path, filter(None, path.split(os.pathsep))):
        if each.is_file() and each.stat().st_size > MAX_KUBECONFIG:
            raise ConfigException(f"{each} is larger than {MAX_KUBECONFIG // 1024**2} MiB")
    # Reading the contexts first runs no credential plugin.
    contexts, current = list_kube_config_contexts(path)  # type: ignore[no-untyped-call]
    chosen = next((each for each in contexts if each["name"] == context), None) if context else current
    if chosen is None:
        raise ConfigException(f"it has no context {context!r}")
    if kubeconfig:
        _refuse_what_reaches_out_of_git(Path(path), chosen["context"])
    load_kube_config(  # type: ignore[no-untyped-call]
        config_file=path, context=chosen["name"], client_configuration=configuration, persist_config=False
    )
    return str(chosen["context"].get("namespace") or "")


def _refuse_what_reaches_out_of_git(path: Path, context: Mapping[str, Any]) -> None:
    """A kubeconfig that lies in a repository must not run commands on the operator's machine.

    Nor may it name files: a token file, say, would be sent to the server that it names itself.
    """
    if not any(_is_source(folder) for place in (path.absolute(), path.resolve()) for folder in place.parents):
        return
    document = yaml.safe_load(path.read_bytes())
    found = [
        key
        for kind, keys in _OUTWARD.items()
        for entry in document.get(f"{kind}s") or ()
        if entry.get("name") == context.get(kind)
        for key in keys
        if key in (entry.get(kind) or {})
    ]
    if any(key in _COMMANDS for key in found):
        raise Invalid(
            f"the kubeconfig {path} lies in a Git work tree or in a stack, and asks to run a command",
            hint="keep it outside of repositories, or name it in KUBECONFIG",
        )
    if found:
        raise Invalid(
            f"the kubeconfig {path} lies in a Git work tree or in a stack, and names a file ({found[0]})",
            hint="keep it outside of repositories, or put the content into it: kubectl config view --flatten",
        )


def _is_source(folder: Path) -> bool:
    return any((folder / name).exists() for name in _SOURCE_MARKS)


def _default_kubeconfig() -> str:
    return os.environ.get("KUBECONFIG") or str(Path("~/.kube/config").expanduser())


def _is_in_cluster() -> bool:
    paths = _default_kubeconfig().split(os.pathsep)
    return bool(os.environ.get("KUBERNETES_SERVICE_HOST")) and not any(Path(path).is_file() for path in paths)


def _read(response: urllib3.BaseHTTPResponse, what: str) -> bytes:
    try:
        return read_bounded(response.read1, MAX_ANSWER, ANSWER_SECONDS, what)
    except BaseException:
        response.close()  # what is left of it must not be taken for the next answer
        raise
    finally:
        response.release_conn()


def _parse(data: bytes) -> Mapping[str, Any] | None:
    try:
        body = json.loads(data)
    except (ValueError, RecursionError):
        return None
    return body if isinstance(body, dict) else None


def _root_of(error: BaseException) -> str:
    """The innermost reason in words: urllib3 wraps each in the names of its own objects."""
    inner = error
    while isinstance(reason := getattr(inner, "reason", None), BaseException):
        inner = reason
    text = str(inner)
    return text.rpartition(": ")[2] if "object at" in text else text
