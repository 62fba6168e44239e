"""A kustomization to the call of kustomize that renders it, with every file that it can read.

Kustomizations are read here before kustomize reads them: for the directories that they reach, and to refuse
what lies outside of the source. Called by render.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace

from trueup.errors import Problem
from trueup.manifests.document import Path, SourceDocument
from trueup.manifests.parse import parse_file
from trueup.manifests.rendering.settings import KustomizeJob, show_url, url_fault
from trueup.manifests.rendering.workspace import Workspace

FILES = ("kustomization.yaml", "kustomization.yml", "Kustomization")
ARGUMENTS = ("--load-restrictor=LoadRestrictionsRootOnly",)
_MAX_ROOTS = 1000

_ROOTS = ("resources", "bases", "components", "generators", "transformers", "validators")
_FILES = ("crds", "configurations", "patchesStrategicMerge")
_MAPS_WITH_PATH = ("patches", "patchesJson6902", "replacements")
_MAPS_WITH_FILES = ("configMapGenerator", "secretGenerator")
_PLUGINS = ("generators", "transformers", "validators")
_MAY_BE_INLINE = (*_PLUGINS, "patchesStrategicMerge")
_BUILTIN = b"builtin"
_WITH_HELM = ("helmCharts", "helmChartInflationGenerator", "helmGlobals")
# What is read here of a kustomization, and of the maps in it. kustomize takes it in other letters as well.
_KEYS = (*_ROOTS, *_FILES, *_MAPS_WITH_PATH, *_MAPS_WITH_FILES, *_WITH_HELM, "openapi")
_INNER_KEYS = ("path", "files", "envs", "env", "literals")

# What kustomize fetches instead of looking for it among the files.
_REMOTE = re.compile(r"(?:git::)?(?:[a-z][a-z0-9+.-]*://|[a-z][a-z0-9-]*@|github\.com[/:])", re.IGNORECASE)
_FILE_URL = re.compile(r"(?:git::)?file:", re.IGNORECASE)
_NETWORK_HINT = "copy it into the source, or write network: true in spec.render.kustomize of the stack"


@dataclass(frozen=True)
class _Reference:
    """One path in a kustomization and where it stands.

    `is_root`: it may be a directory. `may_be_inline`: the object itself may stand there instead.
    """

    text: str
    at: Path
    is_root: bool = False
    is_plugin: bool = False
    may_be_inline: bool = False


class Kustomization:
    """The closure of one kustomization: its `roots` are the directories with kustomizations in reach."""

    def __init__(self, job: KustomizeJob, workspace: Workspace, problems: list[Problem]) -> None:
        self.roots: dict[str, str] = {}
        self._job = job
        self._workspace = workspace
        self._problems = problems

    @property
    def file(self) -> str:
        """The kustomization file of the job itself."""
        return self.roots.get(self._job.path) or f"{self._job.path}/{FILES[0]}".removeprefix("./")

    def collect(self) -> None:
        """Takes all that can be read into the workspace; what is wrong goes to the problems."""
        self._visit(self._job.path, None)

    def _visit(self, directory: str, origin: tuple[SourceDocument, _Reference] | None) -> None:
        if directory in self.roots:
            return
        prefix = "" if directory == "." else f"{directory}/"
        files = self._workspace.list_files(directory)
        found = [prefix + name for name in FILES if prefix + name in files]
        if len(found) != 1:
            what = f"there is no kustomization.yaml in {directory}"
            hint = "check the path" if files else "there are no such files in the source"
            if found:
                what, hint = f"there are several kustomizations in {directory}", "keep one of them"
            self._problems.append(self._at(origin, what, hint))
            return
        if len(self.roots) >= _MAX_ROOTS:
            self._problems.append(self._at(origin, f"more than {_MAX_ROOTS} kustomizations", "split it"))
            return
        self.roots[directory] = found[0]
        self._workspace.take(directory)
        documents = parse_file(found[0], self._workspace.read(found[0]), self._problems)
        for document in documents[1:]:
            self._problems.append(document.problem("a kustomization is one document", (), "merge them"))
        if documents:
            self._read(directory, documents[0])

    def _check_literals(self, document: SourceDocument) -> None:
        """kustomize would quote the whole text of a wrong one, which may be secret."""
        for key in _MAPS_WITH_FILES:
            for index, item in _maps(document.value.get(key)):
                for number, text in _strings(item.get("literals")):
                    if "=" not in text:
                        at: Path = (key, index, "literals", number)
                        self._problems.append(document.problem("a literal needs a key", at, "key=value"))

    def _at(self, origin: tuple[SourceDocument, _Reference] | None, message: str, hint: str) -> Problem:
        if origin is None:
            return Problem(message, self._job.place, hint)
        document, reference = origin
        return document.problem(message, reference.at, hint)

    def _read(self, directory: str, document: SourceDocument) -> None:
        for at, spelling in _misspelt(document.value):
            message = f'there is no field "{at[-1]}" of a kustomization'
            hint = f'did you mean "{spelling}"?'
            self._problems.append(document.problem(message, at, hint, at_key=True))
        self._check_literals(document)
        for key in _WITH_HELM:
            if key in document.value:
                hint = "name the chart in spec.render of the stack: {helm: {chart: ...}}"
                message = f"{key}: kustomize may not run helm here"
                self._problems.append(document.problem(message, (key,), hint, at_key=True))
        for reference in _references(document.value):
            self._follow(directory, document, reference)

    def _follow(self, directory: str, document: SourceDocument, reference: _Reference) -> None:
        text = reference.text
        if reference.may_be_inline and ("\n" in text or text.startswith("{")):
            # The object itself instead of its path.
            if reference.is_plugin:
                for plugin in parse_file(document.source.file, text.encode(), []):
                    self._check_plugin(plugin, document, reference.at)
            return
        files = self._workspace.list_files(directory)
        if "://" not in text and self._workspace.resolve(directory, text) in files:
            self._read_file(self._workspace.resolve(directory, text), reference)
            return
        if _FILE_URL.match(text):
            message = f'"{show_url(text)}" leads out of the source'
            self._problems.append(document.problem(message, reference.at, "name it relative to this file"))
            return
        if _REMOTE.match(text):
            self._check_remote(document, reference)
            return
        if not text or text.startswith(("/", "-")) or "\\" in text or not text.isprintable():
            hint = "name it relative to this file"
            self._problems.append(document.problem(f'"{show_url(text)}" is not a path', reference.at, hint))
            return
        path = self._workspace.resolve(directory, text)
        if self._workspace.list_files(path):
            if reference.is_root:
                self._visit(path, (document, reference))
        else:
            self._problems.append(self._missing(directory, path, document, reference))

    def _missing(self, directory: str, path: str, document: SourceDocument, reference: _Reference) -> Problem:
        is_inside = directory == "." or path.startswith(f"{directory}/")
        if is_inside:
            return document.problem(
                f'there is no file "{path}" in the source', reference.at, "check the path"
            )
        parent = path.rpartition("/")[0] or "."
        if reference.is_root and path not in self._workspace.list_files(parent):
            fault = self._workspace.fault_of(path)
            message = fault.message if fault else f'there is no "{path}" in the source'
            return document.problem(message, reference.at, fault.hint if fault else "check the path")
        message = f'"{reference.text}" is outside of the directory of this kustomization'
        hint = (
            "kustomize reads files of its own directory, and other directories with a kustomization of theirs"
        )
        return document.problem(message, reference.at, hint)

    def _check_remote(self, document: SourceDocument, reference: _Reference) -> None:
        text = reference.text
        if not self._job.network:
            message = f'"{show_url(text)}" comes from the network, which the stack does not allow'
            self._problems.append(document.problem(message, reference.at, _NETWORK_HINT))
            return
        url = re.sub(r"^git::", "", text, flags=re.IGNORECASE)
        url = f"https://{url}" if url.lower().startswith("github.com/") else url
        fault = url_fault(url)
        if not url.lower().startswith(("http://", "https://")):
            fault = "needs a key of SSH, and no rendering gets one"
        if fault:
            message = f'the URL "{show_url(text)}" {fault}'
            self._problems.append(document.problem(message, reference.at, "such as https://host/repo?ref=v1"))

    def _read_file(self, path: str, reference: _Reference) -> None:
        """A transformer or generator, which may stand among the resources of a directory of them."""
        content = self._workspace.read(path)
        if not reference.is_plugin and not (reference.is_root and _BUILTIN in content):
            return
        # What is wrong with a resource is found in what kustomize makes of it.
        for plugin in parse_file(path, content, self._problems if reference.is_plugin else []):
            self._check_plugin(plugin, plugin, None)

    def _check_plugin(self, plugin: SourceDocument, document: SourceDocument, at: Path | None) -> None:
        """What a plugin would fetch; problems stand at `at` of the document, or where they are."""
        for reference in _plugin_references(plugin.value, ()):
            if _REMOTE.match(reference.text):
                self._check_remote(document, reference if at is None else replace(reference, at=at))


def _misspelt(value: dict[str, object]) -> Iterator[tuple[Path, str]]:
    """Keys in other letters than those that are looked for, with the right ones."""
    spellings = {known.lower(): known for known in _KEYS}
    for key in value:
        if spellings.get(key.lower(), key) != key:
            yield (key,), spellings[key.lower()]
    lists = [*_MAPS_WITH_PATH, *_MAPS_WITH_FILES]
    maps: list[tuple[Path, dict[str, object]]]
    maps = [((key, index), item) for key in lists for index, item in _maps(value.get(key))]
    maps += [(("openapi",), item) for _index, item in _maps([value.get("openapi")])]
    for at, item in maps:
        for key in item:
            if key.lower() in _INNER_KEYS and key not in _INNER_KEYS:
                yield (*at, key), key.lower()


def _references(value: dict[str, object]) -> Iterator[_Reference]:
    """Every path that a kustomization names. What has a wrong shape is left to kustomize to refuse."""
    for key in (*_ROOTS, *_FILES):
        for index, text in _strings(value.get(key)):
            yield _Reference(text, (key, index), key in _ROOTS, key in _PLUGINS, key in _MAY_BE_INLINE)
    for _index, item in _maps([value.get("openapi")]):
        yield from _path_reference(item, ("openapi",))
    for key in _MAPS_WITH_PATH:
        for index, item in _maps(value.get(key)):
            yield from _path_reference(item, (key, index))
    for key in _MAPS_WITH_FILES:
        for index, item in _maps(value.get(key)):
            yield from _generator_references(item, (key, index))


def _path_reference(item: dict[str, object], at: Path) -> Iterator[_Reference]:
    path = item.get("path")
    if isinstance(path, str) and path:
        yield _Reference(path, (*at, "path"))


def _generator_references(item: dict[str, object], at: Path) -> Iterator[_Reference]:
    for key in ("files", "envs"):
        for index, text in _strings(item.get(key)):
            # The name of the key may stand before the path.
            path = text.partition("=")[2] if key == "files" and "=" in text else text
            yield _Reference(path, (*at, key, index))
    env = item.get("env")
    if isinstance(env, str) and env:
        yield _Reference(env, (*at, "env"))


def _plugin_references(value: object, at: Path) -> Iterator[_Reference]:
    if isinstance(value, dict):
        yield from _generator_references(value, at)
        yield from _path_reference(value, at)
        for key, item in value.items():
            if key == "paths":
                for index, text in _strings(item):
                    yield _Reference(text, (*at, key, index))
            yield from _plugin_references(item, (*at, key))
    elif isinstance(value, list):
        for index, item in enumerate(value):
            yield from _plugin_references(item, (*at, index))


def _strings(value: object) -> Iterator[tuple[int, str]]:
    for index, item in enumerate(value if isinstance(value, list) else ()):
        if isinstance(item, str):
            yield index, item


def _maps(value: object) -> Iterator[tuple[int, dict[str, object]]]:
    for index, item in enumerate(value if isinstance(value, list) else ()):
        if isinstance(item, dict):
            yield index, item
