"""A tree in memory and a small catalogue of providers, for all tests of the manifests."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, ClassVar, NoReturn

import pytest

from trueup.errors import PluginError, SourceError
from trueup.manifests.given_values import NO_VALUES, ValuesRequest
from trueup.manifests.load import LoadedStack, load_stack
from trueup.model.resource import Revision
from trueup.sdk import Kind, Node, Problem, Provider, Traits
from trueup.sdk.contracts import Catalog

STACK = """\
apiVersion: trueup.dev/v1
kind: Stack
metadata: {name: shop}
spec:
  variables:
    domain: {type: string, default: example.com}
    sites: {type: list, default: [blog, docs]}
    enabled: {type: boolean, default: true}
    ports: {default: {http: 80, https: 443}}
  targets:
    - {name: web-1, provider: ssh, labels: {role: web}, config: {host: 10.0.0.1, password: hush}}
    - {name: web-2, provider: ssh, labels: {role: web, spare: "yes"}, config: {host: 10.0.0.2}}
    - {name: prod, provider: kubernetes, config: {context: prod}}
"""


class MemoryTree:
    """A tree of files from a map; those that begin with `..` are outside of the stack's directory."""

    def __init__(self, files: Mapping[str, str | bytes]) -> None:
        self._files = {
            path: text.encode() if isinstance(text, str) else text for path, text in sorted(files.items())
        }

    @property
    def revision(self) -> Revision:
        return Revision(url="memory", path="", commit="c0ffee", branch="main")

    def paths(self) -> Sequence[str]:
        return [path for path in self._files if not path.startswith("../")]

    def paths_below(self, directory: str) -> Sequence[str]:
        found = [path for path in self._files if path.startswith(f"{directory}/")]
        if not found:
            raise SourceError(f"no directory {directory}")
        return found

    def source_paths(self) -> Sequence[str]:
        return list(self._files)

    def read(self, path: str) -> bytes:
        if path not in self._files:
            raise SourceError(f"no file {path}")
        return self._files[path]

    def close(self) -> None:
        self._files = {}


class PureKind(Kind):
    """A kind without a live system: what the manifests need of it is pure."""

    def _refuse(self) -> NoReturn:
        raise AssertionError("loading a stack must not reach a live system")

    def observe(self, *_: object) -> NoReturn:
        self._refuse()

    def find_owned(self, *_: object) -> NoReturn:
        self._refuse()

    def create(self, *_: object) -> NoReturn:
        self._refuse()

    def update(self, *_: object) -> NoReturn:
        self._refuse()

    def delete(self, *_: object) -> NoReturn:
        self._refuse()

    def release(self, *_: object) -> NoReturn:
        self._refuse()


class File(PureKind):
    name = "File"
    api_version = "ssh.trueup.dev/v1"
    schema: ClassVar[Mapping[str, object]] = {
        "type": "object",
        "properties": {
            "path": {"type": "string", "minLength": 1},
            "content": {"type": "string"},
            "mode": {"type": "string", "pattern": "^0[0-7]{3}$"},
            "owner": {"type": "string"},
            "state": {"enum": ["file", "link"]},
            "size": {"type": "integer", "minimum": 0},
            "source": {"oneOf": [{"type": "string"}, {"type": "object", "required": ["url"]}]},
            "parts": {
                "type": "array",
                "items": {
                    "type": "object",
                    "properties": {"name": {"type": "string"}, "text": {"type": "string"}},
                    "required": ["name"],
                    "additionalProperties": False,
                },
            },
        },
        "required": ["path"],
        "additionalProperties": False,
    }

    def validate(self, node: Node) -> Iterable[Problem]:
        path = node.spec.get("path")
        if isinstance(path, str) and not path.startswith("/"):
            yield Problem(f'path "{path}" is not absolute', hint="begin it with /")

    def identity(self, node: Node) -> str:
        path = node.spec.get("path")
        return f"path {path}" if isinstance(path, str) else ""


class Package(PureKind):
    name = "Package"
    api_version = "ssh.trueup.dev/v1"
    schema: ClassVar[Mapping[str, object]] = {
        "type": "object",
        "properties": {"version": {"type": "string"}},
        "additionalProperties": False,
    }


class Service(PureKind):
    name = "Service"
    api_version = "ssh.trueup.dev/v1"
    traits = Traits(refreshable=True)


class AnyKind(PureKind):
    """A kind whose schema only the live system knows."""

    def __init__(self, api_version: str, name: str) -> None:
        self.api_version = api_version  # type: ignore[misc]
        self.name = name  # type: ignore[misc]


class Ssh(Provider):
    name = "ssh"
    config_schema: ClassVar[Mapping[str, object]] = {
        "type": "object",
        "properties": {
            "host": {"type": "string"},
            "port": {"type": "integer"},
            "password": {"type": "string", "x-sensitive": True},
        },
        "required": ["host"],
        "additionalProperties": False,
    }

    def __init__(self) -> None:
        self._kinds = (File(), Package(), Service())

    def kinds(self) -> Sequence[Kind]:
        return self._kinds

    def connect(self, *_: object) -> NoReturn:
        raise AssertionError("loading a stack must not connect")


class Kubernetes(Provider):
    name = "kubernetes"

    def kinds(self) -> Sequence[Kind]:
        return ()

    def kind(self, api_version: str, name: str) -> Kind | None:
        return AnyKind(api_version, name)

    def connect(self, *_: object) -> NoReturn:
        raise AssertionError("loading a stack must not connect")


class SmallCatalog(Catalog):
    def __init__(self) -> None:
        self._providers: dict[str, Provider] = {"ssh": Ssh(), "kubernetes": Kubernetes()}

    def names(self) -> Sequence[str]:
        return sorted(self._providers)

    def provider(self, name: str) -> Provider:
        if name not in self._providers:
            raise PluginError(f"no provider {name}")
        return self._providers[name]


Load = Callable[..., LoadedStack]


@pytest.fixture
def catalog() -> Catalog:
    return SmallCatalog()


@pytest.fixture
def memory_tree() -> type[MemoryTree]:
    return MemoryTree


@pytest.fixture
def load(catalog: Catalog) -> Load:
    """Loads a stack from files; `stack.yaml` is there unless a test brings its own."""

    def _load(files: Mapping[str, Any] | str, values: ValuesRequest = NO_VALUES) -> LoadedStack:
        given = {"site.yaml": files} if isinstance(files, str) else dict(files)
        if not any(path.startswith("stack.") for path in given):
            given["stack.yaml"] = STACK
        return load_stack(MemoryTree(given), catalog, values)

    return _load
