"""A chart to the call of helm that renders it, with every file that it can read.

The dependencies are read here before helm reads them: those in the source are put in place, and those of the
network are refused unless the stack allows them. Called by render.
"""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass

from trueup.errors import Place, Problem, SourceError
from trueup.manifests.document import Path, SourceDocument
from trueup.manifests.fields import Fields
from trueup.manifests.parse import parse_file
from trueup.manifests.rendering.settings import HelmJob, url_fault
from trueup.manifests.rendering.workspace import Workspace

CHART = "Chart.yaml"
DEFAULT_NAMESPACE = "default"
_REQUIREMENTS = "requirements.yaml"
_LOCKS = {CHART: "Chart.lock", _REQUIREMENTS: "requirements.lock"}
_DEPENDENCY_KEYS = ("name", "alias", "version", "repository")
_MAX_DEPTH = 10
# Each use of a chart of the source is a copy, and those of its dependencies multiply.
_MAX_COPIES = 500
_FILE = "file://"
_NETWORK_HINT = (
    "run `helm dependency build` and commit the directory charts/, or write network: true in"
    " spec.render.helm of the stack"
)
# helm names the template and the line in the middle of its messages.
_TEMPLATE = re.compile(r"\b([\w.+-]+(?:/[\w.+-]+)*/templates/[\w./+-]*\w)(?::(\d+)(?::(\d+))?)?")


@dataclass(frozen=True)
class _Dependency:
    name: str
    alias: str
    repository: str
    document: SourceDocument
    at: Path


class Chart:
    """A chart and what it depends on. `directories` are the directories and files that it reads."""

    def __init__(self, job: HelmJob, workspace: Workspace, problems: list[Problem]) -> None:
        self.directories: list[str] = []
        self._fetched: list[str] = []
        self._placed: dict[str, str] = {}
        self._copies = 0
        self._job = job
        self._workspace = workspace
        self._problems = problems

    @property
    def file(self) -> str:
        """The file that stands for the chart in messages."""
        return self._job.chart if self._job.is_remote else _join(self._job.chart, CHART)

    def collect(self) -> None:
        """Takes all that can be read into the workspace; what is wrong goes to the problems."""
        if not self._job.is_remote:
            self._visit(self._job.chart)
        for index, path in enumerate(self._job.values):
            self._take_values(path, index)

    def arguments(self, release: str, namespace: str) -> list[str]:
        """The words of `helm template`; each value of the stack's is bound to its option by `=`."""
        job = self._job
        words = ["template", "--skip-tests", f"--namespace={namespace}"]
        if job.include_crds:
            words.append("--include-crds")
        if job.kube_version:
            words.append(f"--kube-version={job.kube_version}")
        words += [f"--api-versions={text}" for text in job.api_versions]
        words += [f"--values={self._workspace.path_for_tool(path)}" for path in job.values]
        if job.inline:
            content = json.dumps(job.inline, ensure_ascii=False).encode()
            words.append(f"--values={self._workspace.add_input('set.json', content)}")
        if job.is_remote:
            words.append(f"--version={job.version}")
        if job.repo:
            words.append(f"--repo={job.repo}")
        chart = job.chart if job.is_remote else self._workspace.path_for_tool(job.chart)
        return [*words, "--", release, chart]

    def build_commands(self) -> list[list[str]]:
        """The command lines that fetch what the lock file names, to be run before the chart is rendered."""
        if not self._fetched:
            return []
        added = [
            ["repo", "add", "--", f"repo-{index}", url]
            for index, url in enumerate(dict.fromkeys(self._fetched))
            if not url.startswith("oci://")
        ]
        chart = self._workspace.path_for_tool(self._job.chart)
        return [*added, ["dependency", "build", "--skip-refresh", "--", chart]]

    def place_of_fault(self, message: str) -> Place:
        """Where a message of helm points to: the template's line, or the chart."""
        found = _TEMPLATE.search(message)
        if found is None or self._job.is_remote:
            return Place(self.file)
        file = self.path_of_source(found[1])
        return Place(file, int(found[2]), int(found[3] or 0) + 1) if found[2] else Place(file)

    def hint_for(self, message: str) -> str:
        """What to do about a message of helm that leaves it open."""
        if "kubeVersion" in message and not self._job.kube_version:
            return "no cluster is asked: say its version in the stack file, spec.render.helm.kubeVersion"
        return ""

    def path_of_source(self, name: str) -> str:
        """The file of the source that helm calls `<chart>/templates/...`."""
        below = name.partition("/")[2]
        if self._job.is_remote:
            return f"{self._job.chart}/{below}"
        path = _join(self._job.chart, below)
        # What was put in place is known to its author by where it came from.
        origin = max((place for place in self._placed if path.startswith(f"{place}/")), key=len, default="")
        return self._placed[origin] + path[len(origin) :] if origin else path

    def _take_values(self, path: str, index: int) -> None:
        try:
            self._workspace.read(path)
        except SourceError as error:
            message = f"spec.render.helm.values: {error.message}"
            self._problems.append(Problem(message, self._job.place, error.hint or "check the path"))
            return
        self.directories.append(path)

    def _visit(self, directory: str) -> None:
        """The chart itself, with the charts of the source that it depends on put into its `charts/`."""
        file = _join(directory, CHART)
        files = self._workspace.list_files(directory)
        if file not in files:
            fault = self._workspace.fault_of(directory)
            message = fault.message if fault else f"there is no {CHART} in {directory}"
            self._problems.append(
                Problem(message, self._job.place, fault.hint if fault else "check the path")
            )
            return
        self.directories.append(directory)
        self._workspace.take(directory)
        remote, local = self._sort_out(directory, files)
        if remote:
            self._check_remote(directory, remote)
        for dependency in local:
            self._place(directory, dependency, depth=0)

    def _sort_out(
        self, directory: str, files: Sequence[str]
    ) -> tuple[list[_Dependency], list[tuple[_Dependency, str]]]:
        """What is missing in `charts/`: what would come from the network, and what stands in the source."""
        remote, local = [], []
        for dependency in self._read_dependencies(directory, files):
            if _is_vendored(directory, dependency.name, files):
                continue
            if not dependency.repository.startswith(_FILE):
                remote.append(dependency)
                continue
            found = self._find_local(directory, dependency)
            if found is not None:
                local.append((dependency, found))
        return remote, local

    def _find_local(self, directory: str, dependency: _Dependency) -> str | None:
        """The directory of the source that a `file://` repository names; None with a problem."""
        path = dependency.repository.removeprefix(_FILE)
        found = self._workspace.resolve(directory, path)
        is_absolute = path.startswith("/")
        if not is_absolute and _join(found, CHART) in self._workspace.list_files(found):
            return found
        fault = self._workspace.fault_of(found)
        message = fault.message if fault else f'there is no chart in "{found}"'
        if is_absolute:
            message = f'"{dependency.repository}" leads out of the source'
        hint = "file:// names a directory of the source, relative to this chart"
        self._problems.append(dependency.document.problem(message, dependency.at, hint))
        return None

    def _read_dependencies(self, directory: str, files: Sequence[str]) -> list[_Dependency]:
        found = []
        for name in (CHART, _REQUIREMENTS):
            file = _join(directory, name)
            if file not in files:
                continue
            for document in parse_file(file, self._workspace.read(file), self._problems)[:1]:
                self._check_spelling(document)
                fields = Fields(
                    document, document.value, (), self._problems, known=list(document.value), where=name
                )
                for index, item in enumerate(fields.items("dependencies")):
                    at: Path = ("dependencies", index)
                    if not isinstance(item, dict) or not isinstance(item.get("name"), str):
                        message = "a dependency needs a name"
                        self._problems.append(document.problem(message, at, "- {name: ..., version: ...}"))
                        continue
                    if "/" in item["name"] or item["name"] in ("", ".", ".."):
                        message = f'"{item["name"][:80]}" is not the name of a chart'
                        self._problems.append(
                            document.problem(message, (*at, "name"), "write its name alone")
                        )
                        continue
                    repository = item.get("repository")
                    text = repository if isinstance(repository, str) else ""
                    alias = item.get("alias")
                    other = alias if isinstance(alias, str) and alias else item["name"]
                    found.append(_Dependency(item["name"], other, text, document, at))
        return found

    def _check_spelling(self, document: SourceDocument) -> None:
        """helm takes keys in other letters as well, which would pass unseen here."""
        found: list[tuple[Path, str]] = [((key,), "dependencies") for key in document.value]
        items = document.value.get("dependencies")
        for index, item in enumerate(items if isinstance(items, list) else ()):
            for key in item if isinstance(item, dict) else ():
                found += [(("dependencies", index, key), known) for known in _DEPENDENCY_KEYS]
        for path, known in found:
            key = str(path[-1])
            if key.lower() == known != key:
                message = f'there is no field "{key}" of a chart'
                self._problems.append(
                    document.problem(message, path, f'did you mean "{known}"?', at_key=True)
                )

    def _check_remote(self, directory: str, dependencies: Sequence[_Dependency]) -> None:
        before = len(self._problems)
        for dependency in dependencies:
            document, at, repository = dependency.document, dependency.at, dependency.repository
            what = f'the dependency "{dependency.name}" is not in charts/'
            if not repository:
                hint = "put it there, or name its repository"
                self._problems.append(document.problem(what, at, hint))
            elif not self._job.network:
                message = f"{what}, and the stack does not allow to fetch it"
                self._problems.append(document.problem(message, at, _NETWORK_HINT))
            elif fault := _repository_fault(repository):
                message = f'the repository of the dependency "{dependency.name}" {fault}'
                self._problems.append(document.problem(message, (*at, "repository"), "write its URL out"))
        if len(self._problems) > before:
            return
        lock = _join(directory, _LOCKS[dependencies[0].document.source.file.rpartition("/")[2]])
        files = self._workspace.list_files(directory)
        if lock not in files:
            message = (
                f"there is no {lock.rpartition('/')[2]}, which says the exact versions of the dependencies"
            )
            hint = "run `helm dependency update` and commit it"
            self._problems.append(Problem(message, Place(_join(directory, CHART)), hint))
        self._check_fetched(directory, files)
        self._fetched += [dependency.repository for dependency in dependencies]

    def _check_fetched(self, directory: str, files: Sequence[str]) -> None:
        """helm fetches what the lock file names, and those that are in `charts/` with the others."""
        allowed = {("", "")}
        for dependency in self._read_dependencies(directory, files):
            allowed.add((dependency.name, dependency.repository))
            if not _is_vendored(directory, dependency.name, files) or not dependency.repository:
                continue
            if dependency.repository.startswith(_FILE):
                found = self._find_local(directory, dependency)
                if found is not None:
                    self._workspace.take(found)
                    self.directories.append(found)
            elif fault := _repository_fault(dependency.repository):
                message = f'the repository of the dependency "{dependency.name}" {fault}'
                at = (*dependency.at, "repository")
                self._problems.append(dependency.document.problem(message, at, "write its URL out"))
        # Which of the two counts, the version of the chart says to helm.
        for lock in (_join(directory, name) for name in _LOCKS.values()):
            if lock in files:
                self._check_lock(lock, allowed)

    def _check_lock(self, lock: str, allowed: Collection[tuple[str, str]]) -> None:
        for document in parse_file(lock, self._workspace.read(lock), self._problems)[:1]:
            self._check_spelling(document)
            locked = document.value.get("dependencies")
            for index, item in enumerate(locked if isinstance(locked, list) else ()):
                if not isinstance(item, dict):
                    continue
                if (str(item.get("name", "")), str(item.get("repository", ""))) not in allowed:
                    message = "this names a dependency, or a repository of it, that the chart does not name"
                    hint = "run `helm dependency update` and commit it"
                    self._problems.append(document.problem(message, ("dependencies", index), hint))

    def _place(self, into: str, item: tuple[_Dependency, str], depth: int) -> None:
        """Puts a chart of the source where helm looks for it, and what that one depends on into it."""
        dependency, directory = item
        self._copies += 1
        if self._copies > _MAX_COPIES:
            if self._copies == _MAX_COPIES + 1:
                message = f"the dependencies of this chart come to more than {_MAX_COPIES} charts"
                place = Place(_join(self._job.chart, CHART))
                self._problems.append(Problem(message, place, "flatten the charts"))
            return
        if depth > _MAX_DEPTH:
            message = f'the dependency "{dependency.name}" is nested too deeply, or depends on itself'
            self._problems.append(dependency.document.problem(message, dependency.at, "flatten the charts"))
            return
        if directory not in self.directories:
            self.directories.append(directory)
        target = f"{into}/charts/{dependency.name}".removeprefix("./")
        remote, local = self._sort_out(directory, self._workspace.list_files(directory))
        if self._fetched:
            # helm packs it itself, and looks no further.
            self._workspace.take(directory)
            remote, local = [*remote, *(nested for nested, _path in local)], []
        else:
            self._workspace.copy(directory, target)
            self._placed[target] = directory
            # helm calls it by its other name.
            self._placed[f"{into}/charts/{dependency.alias}".removeprefix("./")] = directory
        for missing in remote:
            message = f'the dependency "{missing.name}" of a dependency is not in charts/'
            hint = "run `helm dependency build` in that chart and commit its directory charts/"
            self._problems.append(missing.document.problem(message, missing.at, hint))
        for nested in local:
            self._place(target, nested, depth + 1)


def _join(directory: str, name: str) -> str:
    return name if directory == "." else f"{directory}/{name}"


def _is_vendored(directory: str, name: str, files: Sequence[str]) -> bool:
    prefix = _join(directory, f"charts/{name}")
    return any(
        file == f"{prefix}/{CHART}" or (file.startswith(f"{prefix}-") and file.endswith(".tgz"))
        for file in files
    )


def _repository_fault(repository: str) -> str:
    if repository.startswith(("@", "alias:")):
        return "is an alias, which only the machine of its author knows"
    return url_fault(repository.replace("oci://", "https://", 1))
