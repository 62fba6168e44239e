"""`spec.render` of a stack: what is rendered by which tool. Read by stack_file, carried out by `render`."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from trueup.errors import NOWHERE, Place, Problem
from trueup.manifests.document import Path, SourceDocument, kind_of_value
from trueup.manifests.fields import Fields
from trueup.model.values import UNKNOWN, Value

HOOKS_REFUSED, HOOKS_APPLIED, HOOKS_SKIPPED = "", "apply", "skip"

_EXAMPLE = "render: {kustomize: {path: overlays/prod}}, render: {helm: {chart: charts/web}} or render: plain"
_PATH_HINT = "name it relative to the stack's directory, such as overlays/prod or ../charts/web"
RELEASE = re.compile(r"[a-z0-9]([-a-z0-9.]{0,51}[a-z0-9])?")
_NAMESPACE = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?")
_CHART_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._/-]*")
_API_VERSION = re.compile(r"[A-Za-z0-9][A-Za-z0-9./-]*")
_KUBE_VERSION = re.compile(r"v?\d+\.\d+(\.\d+)?([-+][A-Za-z0-9.+-]+)?")
_EXACT_VERSION = re.compile(r"v?\d+\.\d+\.\d+([-+][A-Za-z0-9.+-]+)?")
_OCI = "oci://"


@dataclass(frozen=True)
class KustomizeJob:
    """One `kustomize build`. `path` is relative to the stack's directory and may begin with `..`."""

    path: str
    network: bool = False
    place: Place = NOWHERE

    @property
    def what(self) -> str:
        return f"the kustomization in {self.path}"


@dataclass(frozen=True)
class HelmJob:
    """One `helm template`. `chart` is a directory like `path` above, or the name of one in a repository.

    An empty `release` is the stack's name, an empty `namespace` the one of the stack's cluster.
    """

    chart: str
    release: str = ""
    namespace: str = ""
    values: tuple[str, ...] = ()
    inline: Mapping[str, Value] = field(default_factory=dict)
    version: str = ""
    repo: str = ""
    kube_version: str = ""
    api_versions: tuple[str, ...] = ()
    cluster_scoped: tuple[str, ...] = ()
    include_crds: bool = True
    hooks: str = HOOKS_REFUSED
    network: bool = False
    place: Place = NOWHERE

    @property
    def is_remote(self) -> bool:
        return bool(self.repo) or self.chart.startswith(_OCI)

    @property
    def what(self) -> str:
        return f"the chart {self.chart}"


Job = KustomizeJob | HelmJob


@dataclass(frozen=True)
class RenderSettings:
    """What `spec.render` says. `is_given`: it is there; without it the files of the directory decide.

    `is_plain`: nothing is rendered whatever files there are.
    """

    jobs: tuple[Job, ...] = ()
    is_given: bool = False
    is_plain: bool = False


NO_RENDER = RenderSettings()


def read_render(
    document: SourceDocument, values: Mapping[str, Value], problems: list[Problem]
) -> RenderSettings:
    """The key `render` among the filled values of the stack's spec."""
    if "render" not in values:
        return NO_RENDER
    path: Path = ("spec", "render")
    value = values["render"]
    if value == "plain":
        return RenderSettings(is_given=True, is_plain=True)
    items = [(value, path)]
    if isinstance(value, list):
        items = [(item, (*path, index)) for index, item in enumerate(value)]
        if not items:
            problems.append(document.problem("spec.render is an empty list", path, "write render: plain"))
    jobs = [_read_job(document, item, at, problems) for item, at in items if item is not UNKNOWN]
    return RenderSettings(tuple(job for job in jobs if job is not None), is_given=True)


def _read_job(document: SourceDocument, value: Value, path: Path, problems: list[Problem]) -> Job | None:
    if value == "plain":
        problems.append(document.problem("plain stands alone", path, "leave it out of the list"))
        return None
    if isinstance(value, str):
        problems.append(document.problem(f'spec.render cannot be "{value}"', path, _EXAMPLE))
        return None
    known = ("kustomize", "helm")
    fields = Fields(document, value, path, problems, known=known, where="spec.render", example=_EXAMPLE)
    if not isinstance(value, dict) or fields.has_unknown_keys:
        return None
    if len(fields.values) != 1:
        fields.note("spec.render names one tool: kustomize or helm", hint="make it a list: render: [...]")
        return None
    (tool,) = fields.values
    if fields.values[tool] is UNKNOWN:
        return None
    if not isinstance(fields.values[tool], dict):
        fields.note(f"spec.render.{tool} must be a map, not {kind_of_value(fields.values[tool])}", tool)
        return None
    read = _read_kustomize if tool == "kustomize" else _read_helm
    return read(document, fields.values[tool], (*path, tool), problems)


def _read_kustomize(
    document: SourceDocument, value: dict[str, Value], at: Path, problems: list[Problem]
) -> KustomizeJob | None:
    known = ("path", "network")
    fields = Fields(document, value, at, problems, known=known, where="spec.render.kustomize")
    before = len(problems)
    hint = "kustomize: {path: overlays/prod}"
    path = _local_path(fields, "path", fields.text("path", is_required=True, hint=hint))
    network = fields.boolean("network", False)
    return KustomizeJob(path, network, document.place_of(at)) if _is_sound(value, problems, before) else None


def _read_helm(
    document: SourceDocument, value: dict[str, Value], at: Path, problems: list[Problem]
) -> HelmJob | None:
    fields = Fields(document, value, at, problems, known=_HELM_KEYS, where="spec.render.helm")
    before = len(problems)
    repo = fields.text("repo")
    chart = fields.text("chart", is_required=True, hint="helm: {chart: charts/web}")
    version, network = fields.text("version"), fields.boolean("network", False)
    if repo or chart.startswith(_OCI):
        _check_remote(fields, chart, repo, version, network)
    else:
        chart = _local_path(fields, "chart", chart)
        if version:
            hint = "a chart of the source has the version that its Chart.yaml says"
            fields.note("spec.render.helm.version is for a chart of a repository", "version", hint=hint)
    job = HelmJob(
        chart,
        release=_matching(fields, "releaseName", RELEASE, "lower-case letters, digits, - and ."),
        namespace=_matching(fields, "namespace", _NAMESPACE, "lower-case letters, digits and -"),
        values=tuple(_values_files(fields)),
        inline=fields.mapping("set"),
        version=version,
        repo=repo,
        kube_version=_matching(fields, "kubeVersion", _KUBE_VERSION, "a version such as 1.34.0"),
        api_versions=_api_versions(fields),
        cluster_scoped=fields.strings("clusterScoped", "list kinds: clusterScoped: [ClusterIssuer]"),
        include_crds=fields.boolean("includeCRDs", True),
        hooks=fields.choice("hooks", [HOOKS_APPLIED, HOOKS_SKIPPED]),
        network=network,
        place=document.place_of(at),
    )
    _check_plain(fields, job.inline, ("set",))
    return job if _is_sound(value, problems, before) else None


_HELM_KEYS = (
    "chart",
    "releaseName",
    "namespace",
    "values",
    "set",
    "version",
    "repo",
    "network",
    "kubeVersion",
    "apiVersions",
    "clusterScoped",
    "includeCRDs",
    "hooks",
)


def _is_sound(value: dict[str, Value], problems: list[Problem], before: int) -> bool:
    return len(problems) == before and not any(item is UNKNOWN for item in value.values())


def _local_path(fields: Fields, key: str, path: str, *keys: int) -> str:
    """The path in one form, `.` for the stack's own directory; with a problem for one that is refused."""
    if not path:
        return ""
    where = fields.name(key)
    if path.startswith("-"):
        fields.note(f'{where}: "{path}" begins with "-"', key, *keys, hint=f"write ./{path}")
    elif path.startswith("/") or "://" in path or "\\" in path or not path.isprintable():
        message = f'{where}: "{show_url(path)}" is not a path in the source'
        fields.note(message, key, *keys, hint=_PATH_HINT)
    return normalise(path)


def normalise(path: str) -> str:
    """A relative path without `.` and without `..` inside; `.` for the directory itself."""
    done: list[str] = []
    for part in path.split("/"):
        if part == ".." and done and done[-1] != "..":
            done.pop()
        elif part not in ("", "."):
            done.append(part)
    return "/".join(done) or "."


def _values_files(fields: Fields) -> list[str]:
    found = []
    for index, name in enumerate(fields.strings("values", "list files: values: [values-prod.yaml]")):
        if "," in name or '"' in name:
            # helm takes a list of files in one word.
            fields.note(f'the name "{name}" holds a comma or a quote', "values", index, hint="rename it")
        found.append(_local_path(fields, "values", name, index))
    return found


def _matching(fields: Fields, key: str, pattern: re.Pattern[str], allowed: str) -> str:
    text = fields.text(key)
    if text and not pattern.fullmatch(text):
        fields.note(f'{fields.name(key)} cannot be "{text[:80]}"', key, hint=f"allowed: {allowed}")
    return text


def _api_versions(fields: Fields) -> tuple[str, ...]:
    found = fields.strings(
        "apiVersions", "list what the cluster serves: apiVersions: [monitoring.coreos.com/v1]"
    )
    for index, text in enumerate(found):
        if not _API_VERSION.fullmatch(text):
            fields.note(f'"{text[:80]}" is not an apiVersion', "apiVersions", index, hint="such as batch/v1")
    return found


def _check_remote(fields: Fields, chart: str, repo: str, version: str, network: bool) -> None:
    name = chart.removeprefix(_OCI)
    if repo and chart.startswith(_OCI):
        fields.note("an oci:// chart has no repo", "repo", hint="remove it")
    elif not _CHART_NAME.fullmatch(name) or ".." in name.split("/"):
        fields.note(f'spec.render.helm.chart: "{show_url(chart)}" is not the name of a chart', "chart")
    if repo and (fault := url_fault(repo)):
        fields.note(f"spec.render.helm.repo {fault}", "repo", hint="such as https://charts.example.com")
    if not network:
        hint = "copy the chart into the source, or write network: true beside it"
        fields.note("this chart comes from the network, which the stack does not allow", "chart", hint=hint)
    if not _EXACT_VERSION.fullmatch(version):
        where = "version" if version else "chart"
        hint = "version: 1.2.3, so that the same commit always gives the same resources"
        fields.note("a chart of a repository needs its exact version", where, hint=hint)


def show_url(url: str) -> str:
    """The URL for a message: shortened, and without a user or a password."""
    return re.sub(r"//[^/\s]*@", "//***@", url)[:200]


def url_fault(url: str) -> str:
    """What is wrong with an URL that is to be fetched; empty for a good one."""
    try:
        parts = urlsplit(url)
        host = parts.hostname or ""
    except ValueError:
        return "is not an URL"
    if not url.isprintable() or not host or host.startswith("-"):
        return "is not an URL"
    if parts.username is not None or parts.password is not None:
        return "holds a user or a password, which would be in Git"
    if parts.scheme == "https" or (parts.scheme == "http" and host in ("localhost", "127.0.0.1", "::1")):
        return ""
    return "must begin with https://"


def _check_plain(fields: Fields, value: Value, keys: tuple[str | int, ...]) -> None:
    """helm gets text and gives text: a value that is not known yet, or is secret, cannot pass through it."""
    if isinstance(value, dict):
        for key, item in value.items():
            _check_plain(fields, item, (*keys, key))
    elif isinstance(value, list):
        for index, item in enumerate(value):
            _check_plain(fields, item, (*keys, index))
    elif value is not None and value is not UNKNOWN and not isinstance(value, str | int | float):
        message = "a value for helm cannot hold ref(), stack() or secret(): what helm gives is plain text"
        hint = "put it into a resource beside the chart, and name that in the values"
        fields.note(message, *keys, hint=hint)
