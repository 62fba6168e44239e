"""trueup.toml: where the store is, and what the daemon follows. Read by cli and by the daemon's command."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from trueup.errors import ManifestError, Place, Problem, UsageError
from trueup.manifests.document import SourceDocument, SourceText, kind_of_value
from trueup.manifests.fields import Fields
from trueup.manifests.given_values import set_text
from trueup.manifests.parse import MAX_FILE_BYTES
from trueup.manifests.parse_toml import parse_toml_map
from trueup.manifests.policy import read_policies
from trueup.manifests.variables import name_problem
from trueup.model.resource import Grants, Policy, TargetGrant
from trueup.state.store import KEPT_RUNS

FILE_NAME = "trueup.toml"
DEFAULT_PARALLELISM = 16
MAX_PARALLELISM = 1000
MAX_KEPT_RUNS = 1_000_000

_LISTEN = re.compile(r"(?P<host>\[[0-9A-Fa-f:.]+\]|[^:\[\]]+):(?P<port>\d{1,5})")
_LISTEN_HINT = 'write a host and a port, as in "127.0.0.1:9090" or "[::1]:9090"'
_VALUES_HINT = 'list files, named relative to the directory of the stack: values = ["envs/prod.yaml"]'
_SECRET_HINTS = {
    "allow": 'list patterns of what stands in secret(): ["env:SHOP_*", "sops:*"]',
    "env": 'list patterns of names: ["DB_*"]',
    "files": 'list directories: ["/etc/trueup/secrets"]',
}
_MODULES_HINT = 'list patterns of URLs: modules = ["https://git.example.com/infra/*"]'
_STACK_KEYS = (
    "name", "location", "ref", "path", "poll", "interval", "values", "set", "secrets", "allow_targets",
)  # fmt: skip
_GRANT_HINT = '{provider = "kubernetes", config = {context = "prod"}}'
_STACKS_HINT = "begin each stack with a line [[stacks]]"
# `git@host:path` has a colon before any slash; a path of the file system that has one is written `./a:b`.
_REMOTE = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://|[^/]+:")


@dataclass(frozen=True)
class StackConfig:
    """One stack that the daemon follows. `poll` and `interval` are in seconds.

    `interval` None leaves it to the stack's own file. A directory is absolute here, whatever was written.
    `values` are values files, named relative to the stack's directory; over them `sets`, as `--set` has them.
    `secrets` are patterns of the secrets that this stack may read, `allow_targets` the targets that it may
    use; None for all that stacks may.
    """

    name: str
    location: str
    ref: str = ""
    path: str = ""
    poll: float = 30.0
    interval: float | None = None
    values: tuple[str, ...] = ()
    sets: tuple[str, ...] = ()
    secrets: tuple[str, ...] | None = None
    allow_targets: Grants | None = None


@dataclass(frozen=True)
class DaemonConfig:
    """Where the daemon listens, and how long a stop may take, in seconds."""

    host: str = "127.0.0.1"
    port: int = 9090
    drain_timeout: float = 30.0
    allow_remote: bool = False


@dataclass(frozen=True)
class Config:
    """The whole file. `store` is empty where the file names none; a path in it is absolute here.

    `secrets` is what sources of secrets go by: see docs/secrets.md. `keep_runs` is how many runs of each
    stack the history keeps. `policies` count for every stack, see docs/policies.md.
    `allow_targets` are the targets that stacks may use at all, None for any. `allow_fetching`: renderings of
    stacks may use the network if they ask for it. `allow_modules` are patterns of the repositories
    that modules may come from, None for any.
    """

    store: str = ""
    parallelism: int = DEFAULT_PARALLELISM
    daemon: DaemonConfig = field(default_factory=DaemonConfig)
    stacks: tuple[StackConfig, ...] = ()
    secrets: Mapping[str, Any] = field(default_factory=dict)
    keep_runs: int = KEPT_RUNS
    policies: tuple[Policy, ...] = ()
    allow_targets: Grants | None = None
    allow_fetching: bool = False
    allow_modules: tuple[str, ...] | None = None

    def stack(self, name: str) -> StackConfig:
        """The stack of that name, which is there."""
        return next(stack for stack in self.stacks if stack.name == name)


class ConfigError(ManifestError, UsageError):
    """trueup.toml is wrong. Carries all problems at once, each with its place."""


def load_config(path: str | Path) -> Config:
    """Reads and checks the file. Raises ConfigError; UsageError where the file cannot be read."""
    file = Path(path)
    try:
        with file.open("rb") as stream:
            data = stream.read(MAX_FILE_BYTES + 1)
        if len(data) > MAX_FILE_BYTES:
            raise UsageError(f"cannot read {file}: it is larger than {MAX_FILE_BYTES // 1024**2} MiB")
        text = data.decode("utf-8").replace("\r\n", "\n")
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "it is not UTF-8"
        raise UsageError(f"cannot read {file}: {why}") from error
    problems: list[Problem] = []
    document = parse_toml_map(SourceText(str(file), text), problems)
    config = Config()
    if document is not None:
        config = _read_config(document, file.absolute().parent, problems)
    if problems:
        raise ConfigError(problems)
    return config


def _read_config(document: SourceDocument, folder: Path, problems: list[Problem]) -> Config:
    known = (
        "store",
        "parallelism",
        "daemon",
        "stacks",
        "secrets",
        "history",
        "policies",
        "allow_targets",
        "rendering",
        "sources",
    )
    fields = Fields(document, document.value, (), problems, known=known)
    store = fields.text(
        "store", hint="a path, sqlite:////absolute/path.db or postgresql://user@host/database"
    )
    return Config(
        _absolute_store(store, folder),
        _read_parallelism(fields),
        _read_daemon(document, fields, problems),
        tuple(_read_stacks(document, fields, folder, problems)),
        _read_secrets(document, fields, problems),
        _read_history(document, fields, problems),
        read_policies(document, fields.values.get("policies"), ("policies",), problems, is_installation=True),
        _read_grants(document, fields, ("allow_targets",), problems),
        _read_rendering(document, fields, problems),
        _read_sources(document, fields, problems),
    )


def _read_parallelism(fields: Fields) -> int:
    return _read_number(fields, "parallelism", DEFAULT_PARALLELISM, MAX_PARALLELISM)


def _read_rendering(document: SourceDocument, root: Fields, problems: list[Problem]) -> bool:
    """Whether the table `rendering` lets stacks fetch what they render."""
    table = root.values.get("rendering")
    fields = Fields(document, table, ("rendering",), problems, known=("allow_network",), where="rendering")
    return fields.boolean("allow_network", False)


def _read_sources(document: SourceDocument, root: Fields, problems: list[Problem]) -> tuple[str, ...] | None:
    """The repositories that modules may come from by the table `sources`; None where it does not say."""
    table = root.values.get("sources")
    fields = Fields(document, table, ("sources",), problems, known=("modules",), where="sources")
    return fields.strings("modules", _MODULES_HINT) if "modules" in fields.values else None


def _read_history(document: SourceDocument, root: Fields, problems: list[Problem]) -> int:
    """How many runs the table `history` says to keep."""
    table = root.values.get("history")
    fields = Fields(document, table, ("history",), problems, known=("keep_runs",), where="history")
    return _read_number(fields, "keep_runs", KEPT_RUNS, MAX_KEPT_RUNS, "history.keep_runs")


def _read_number(fields: Fields, key: str, default: int, most: int, name: str = "") -> int:
    value = fields.values.get(key, default)
    hint = f"a number from 1 to {most}"
    if not isinstance(value, int) or isinstance(value, bool):
        fields.note(f"{name or key} must be an integer, not {kind_of_value(value)}", key, hint=hint)
    elif not 1 <= value <= most:
        fields.note(f"{name or key} cannot be {value}", key, hint=hint)
    else:
        return value
    return default


def _read_daemon(document: SourceDocument, root: Fields, problems: list[Problem]) -> DaemonConfig:
    fields = Fields(
        document,
        root.values.get("daemon"),
        ("daemon",),
        problems,
        known=("listen", "drain_timeout", "allow_remote"),
        where="daemon",
    )
    default = DaemonConfig()
    host, port = default.host, default.port
    listen = fields.text("listen", hint=_LISTEN_HINT)
    if listen:
        match = _LISTEN.fullmatch(listen)
        if match is None or int(match["port"]) > 65535:
            fields.note(f'daemon.listen cannot be "{listen}"', "listen", hint=_LISTEN_HINT)
        else:
            host, port = match["host"].strip("[]"), int(match["port"])
    drain = fields.duration("drain_timeout")
    return DaemonConfig(
        host,
        port,
        default.drain_timeout if drain is None else drain,
        fields.boolean("allow_remote", default.allow_remote),
    )


def _read_secrets(document: SourceDocument, root: Fields, problems: list[Problem]) -> Mapping[str, Any]:
    """The table `secrets`: lists of what is granted, and a table for each source that has settings."""
    table = root.values.get("secrets")
    tables = (
        {name: value for name, value in table.items() if isinstance(value, dict)}
        if isinstance(table, dict)
        else {}
    )
    known = (*_SECRET_HINTS, *tables)
    fields = Fields(document, table, ("secrets",), problems, known=known, where="secrets")
    settings: dict[str, Any] = {
        key: fields.strings(key, hint) for key, hint in _SECRET_HINTS.items() if key in fields.values
    }
    for index, folder in enumerate(settings.get("files", ())):
        if not Path(folder).is_absolute():
            fields.note(f'secrets.files: "{folder}" is no absolute path', "files", index)
    return {**tables, **settings}


def _read_stacks(
    document: SourceDocument, root: Fields, folder: Path, problems: list[Problem]
) -> Iterator[StackConfig]:
    tables = root.values.get("stacks", [])
    if not isinstance(tables, list):
        root.note(f"stacks must be tables, not {kind_of_value(tables)}", "stacks", hint=_STACKS_HINT)
        return
    places: dict[str, Place] = {}
    for index, table in enumerate(tables):
        path = ("stacks", index)
        fields = Fields(
            document,
            table,
            path,
            problems,
            known=_STACK_KEYS,
            where="stacks",
        )
        stack = replace(
            _read_stack(fields, folder),
            allow_targets=_read_grants(document, fields, (*path, "allow_targets"), problems),
        )
        if not stack.name:
            continue
        if stack.name in places:
            fields.note(
                f'two stacks are named "{stack.name}" (the other one: {places[stack.name]})',
                hint="give each a `name` of its own",
            )
        places.setdefault(stack.name, document.place_of(path))
        yield stack


def _read_grants(
    document: SourceDocument, fields: Fields, path: tuple[str | int, ...], problems: list[Problem]
) -> Grants | None:
    """The targets that `allow_targets` lists; None where it is not there. What is wrong grants nothing."""
    if "allow_targets" not in fields.values:
        return None
    where = ".".join(str(part) for part in path if isinstance(part, str))
    granted = []
    for index, item in enumerate(fields.items("allow_targets")):
        at = (*path, index)
        known = ("provider", "config")
        grant = Fields(document, item, at, problems, known=known, where=where, example=_GRANT_HINT)
        if not isinstance(item, dict):
            continue
        provider = grant.text("provider", is_required=True, hint=_GRANT_HINT)
        config = grant.mapping("config") if "config" in grant.values else None
        if provider:
            granted.append(TargetGrant(provider, config))
    return tuple(granted)


def _read_stack(fields: Fields, folder: Path) -> StackConfig:
    location = fields.text("location", is_required=True, hint="a Git URL, or a directory")
    path = fields.text("path")
    default = StackConfig("", "")
    poll = fields.duration("poll")
    return StackConfig(
        fields.text("name") or _last_part(path) or _last_part(location),
        str(folder / Path(location).expanduser()) if location and not _REMOTE.match(location) else location,
        fields.text("ref"),
        path,
        default.poll if poll is None else poll,
        fields.duration("interval"),
        fields.strings("values", _VALUES_HINT),
        tuple(_read_sets(fields)),
        fields.strings("secrets", _SECRET_HINTS["allow"]) if "secrets" in fields.values else None,
    )


def _read_sets(fields: Fields) -> Iterator[str]:
    """The variables of `set` as `--set` texts."""
    for name, value in fields.mapping("set").items():
        wrong = name_problem(name)
        if wrong is None:
            yield set_text(name, value)
        else:
            fields.note(f'stacks.set: "{name}" {wrong[0]}', "set", name, hint=wrong[1], at_key=True)


def _last_part(location: str) -> str:
    """The name that a path or URL suggests: `git@host:team/shop.git` is called shop."""
    parts: Sequence[str] = re.split(r"[/:]", location.rstrip("/"))
    return parts[-1].removesuffix(".git").strip(".")


def _absolute_store(store: str, folder: Path) -> str:
    """The store's URL with its path, if it has a relative one, taken from the file's own folder."""
    if not store:
        return ""
    if "://" not in store:
        return str(folder / Path(store).expanduser())
    if store.startswith("sqlite:///") and not store.startswith("sqlite:////"):
        return f"sqlite:///{folder / store.removeprefix('sqlite:///')}"
    return store
