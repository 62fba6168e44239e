"""Runs kustomize and helm as a stack asks for it, or finds what they gave before. Called by load.

What fails is a problem of the stack, which then has no resources at all: nothing is pruned for it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from trueup.errors import Place, Problem
from trueup.manifests.document import SourceDocument
from trueup.manifests.parse import bound_problems
from trueup.manifests.rendering import helm, kustomize, output, process
from trueup.manifests.rendering.cache import make_key, read_entry, write_entry
from trueup.manifests.rendering.settings import RELEASE, HelmJob, Job, KustomizeJob, RenderSettings
from trueup.manifests.rendering.workspace import Workspace
from trueup.manifests.vocabulary import STACK_FILES
from trueup.model.resource import Stack
from trueup.model.tree import Tree

MARKERS = (*kustomize.FILES, helm.CHART)
_FORMAT = "1"
_KUBERNETES = "kubernetes"
_GRANT_HINT = "copy what it needs into the source, or write in trueup.toml: [rendering] allow_network = true"


@dataclass
class Rendered:
    """What the tools gave. `claimed` are the files that belong to them, and hold no resources to be read."""

    documents: list[SourceDocument] = field(default_factory=list)
    claimed: set[str] = field(default_factory=set)


def render_stack(
    tree: Tree,
    settings: RenderSettings,
    stack: Stack,
    files: Sequence[str],
    problems: list[Problem],
    *,
    may_be_empty: bool = False,
    may_fetch: bool = False,
) -> Rendered:
    """Renders what `settings` name, or what the stack's own directory holds.

    `files` are those that may hold resources. `may_fetch`: whoever runs trueup lets stacks ask for the
    network. Raises what the tree raises.
    """
    rendered = Rendered()
    markers = [path for path in files if path.rpartition("/")[2] in MARKERS]
    if settings.is_plain:
        rendered.claimed.update(markers)
        return rendered
    jobs: Sequence[Job] = settings.jobs
    if not settings.is_given:
        own = [path for path in markers if "/" not in path]
        if len(own) > 1:
            message = f"there are {' and '.join(own)} beside the stack file"
            hint = "say in the stack file which is meant: spec: {render: {kustomize: {path: .}}}"
            problems.append(Problem(message, Place(own[0]), hint))
            rendered.claimed.update(files)
            return rendered
        jobs = [_job_of(path) for path in own]
    for job in jobs:
        if job.network and not may_fetch:
            message = f"{job.what} asks for the network, which was not granted"
            problems.append(Problem(message, job.place, _GRANT_HINT))
            rendered.claimed.update(files)
            continue
        rendering = _Rendering(tree, job, stack, problems)
        rendered.documents += rendering.render(may_be_empty=may_be_empty)
        for directory in rendering.reached:
            rendered.claimed.update(_below(directory, files))
    for path in markers:
        if path not in rendered.claimed:
            directory, _, name = path.rpartition("/")
            tool = "helm: {chart: " if name == helm.CHART else "kustomize: {path: "
            message = f"{name} in {directory or 'the stack'} is rendered by nothing"
            hint = (
                f"name it in the stack file, render: {{{tool}{directory or '.'}}}}},"
                f" or leave it out, exclude: [{directory or name}]"
            )
            problems.append(Problem(message, Place(path), hint))
            rendered.claimed.update(_below(directory, files))
    return rendered


def is_rendered(path: str, files: Sequence[str]) -> bool:
    """Whether a file is below a directory that the tools work on."""
    directories = {file.rpartition("/")[0] for file in files if file.rpartition("/")[2] in MARKERS}
    return any(not directory or path.startswith(f"{directory}/") for directory in directories)


def claim_unrendered(settings: RenderSettings, files: Sequence[str]) -> Rendered:
    """What may belong to the tools, where the stack file is too broken to say what is rendered."""
    rendered = Rendered()
    for path in files:
        directory, _, name = path.rpartition("/")
        if name in MARKERS:
            rendered.claimed.update(_below(directory, files))
    for job in settings.jobs:
        rendered.claimed.update(job.values if isinstance(job, HelmJob) else ())
    return rendered


def _job_of(marker: str) -> Job:
    """What a file in the stack's own directory asks for."""
    if marker == helm.CHART:
        return HelmJob(".", place=Place(marker))
    return KustomizeJob(".", place=Place(marker))


def _below(directory: str, files: Sequence[str]) -> list[str]:
    if directory in ("", "."):
        return list(files)
    return [path for path in files if path == directory or path.startswith(f"{directory}/")]


@dataclass(frozen=True)
class _Call:
    """One rendering: all that determines what the tool gives, and how that is read.

    The last of the `commands` prints it. `is_cached`: the files determine it.
    """

    tool: process.Tool
    commands: Sequence[Sequence[str]]
    file: str
    place_of_fault: Callable[[str], Place]
    hint_for: Callable[[str], str]
    read: Callable[[str], list[SourceDocument]]
    network: bool
    is_cached: bool = True


class _Rendering:
    """One job of a stack."""

    def __init__(self, tree: Tree, job: Job, stack: Stack, problems: list[Problem]) -> None:
        self._job = job
        self._stack = stack
        self._problems = problems
        # Each change of the stack file would make a rendering of its own.
        self._workspace = Workspace(tree, hidden=frozenset(STACK_FILES))
        self.reached: Sequence[str] = ()

    def render(self, *, may_be_empty: bool) -> list[SourceDocument]:
        """The documents; none with a problem. `reached` are then the directories and files that it read."""
        before = len(self._problems)
        try:
            call = self._prepare()
            text = self._give(call) if call is not None else None
        except process.ToolError as error:
            self._problems.append(Problem(error.message, self._job.place, error.hint))
            return []
        if call is None or text is None:
            return []
        documents = call.read(text)
        bound_problems(before, self._problems)
        if not documents and len(self._problems) == before and not may_be_empty:
            self._problems.append(output.empty_output(call.file, call.tool.name))
        return documents

    def _prepare(self) -> _Call | None:
        if isinstance(self._job, KustomizeJob):
            return self._prepare_kustomize(self._job)
        return self._prepare_helm(self._job)

    def _prepare_kustomize(self, job: KustomizeJob) -> _Call | None:
        self.reached = [job.path]
        found = kustomize.Kustomization(job, self._workspace, self._problems)
        before = len(self._problems)
        found.collect()
        self.reached = [job.path, *found.roots]
        if len(self._problems) > before:
            return None
        words = [*kustomize.ARGUMENTS, "--", self._workspace.path_for_tool(job.path)]
        return _Call(
            process.find_kustomize(),
            [words],
            found.file,
            place_of_fault=lambda _message: Place(found.file),
            hint_for=lambda _message: "",
            read=lambda text: output.read_kustomize(found.file, text, self._problems, is_foreign=job.network),
            network=job.network,
            # What it fetches may be named anywhere, in a generator that another one makes.
            is_cached=not job.network,
        )

    def _prepare_helm(self, job: HelmJob) -> _Call | None:
        self.reached = [job.chart, *job.values]
        chart = helm.Chart(job, self._workspace, self._problems)
        before = len(self._problems)
        chart.collect()
        self.reached = [*self.reached, *chart.directories]
        release = job.release or self._stack.name
        if not RELEASE.fullmatch(release):
            message = f'the name of the stack, "{release}", cannot be the name of a release of helm'
            hint = "write spec: {render: {helm: {chart: ..., releaseName: ...}}}"
            self._problems.append(Problem(message, job.place, hint))
        if len(self._problems) > before:
            return None
        words = chart.arguments(release, job.namespace or _namespace_of(self._stack))
        return _Call(
            process.find_helm(),
            [*chart.build_commands(), words],
            chart.file,
            place_of_fault=chart.place_of_fault,
            hint_for=chart.hint_for,
            read=lambda text: output.read_helm(job, chart.file, text, chart.path_of_source, self._problems),
            network=job.network,
        )

    def _give(self, call: _Call) -> str | None:
        """What the tool prints, or printed before for the same files; None with a problem."""
        words = ["\0".join(command) for command in call.commands]
        key = make_key(_FORMAT, call.tool.identity, str(call.network), self._workspace.digest(), *words)
        data = read_entry(key) if call.is_cached else None
        if data is None:
            data = self._run(call)
            if data is not None and call.is_cached:
                write_entry(key, data)
        if data is None:
            return None
        try:
            return data.decode()
        except UnicodeDecodeError:
            self._problems.append(Problem(f"{call.tool.name} gave what is not UTF-8", Place(call.file)))
            return None

    def _run(self, call: _Call) -> bytes | None:
        data = b""
        with self._workspace.open_folder() as folder:
            try:
                for command in call.commands:
                    data = process.run_tool(
                        call.tool, command, work=folder.work, home=folder.home, network=call.network
                    )
            except process.ToolError as error:
                message = self._workspace.explain(error.message, folder).removeprefix("Error: ")
                place = call.place_of_fault(message)
                hint = error.hint or call.hint_for(message)
                self._problems.append(Problem(f"{call.tool.name}: {message}", place, hint))
                return None
        return data


def _namespace_of(stack: Stack) -> str:
    """The namespace in which objects without one will be, as far as the stack file says it."""
    clusters = [target for target in stack.targets if target.provider == _KUBERNETES]
    namespace = clusters[0].config.get("namespace") if len(clusters) == 1 else None
    return namespace if isinstance(namespace, str) and namespace else helm.DEFAULT_NAMESPACE
