"""A tree of files to a stack and its nodes, or to all the problems in it at once. Called by `trueup.app`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from trueup.collector import paused_collector
from trueup.errors import ManifestError, Place, Problem
from trueup.manifests.document import SourceDocument
from trueup.manifests.encrypted import drop_encrypted
from trueup.manifests.expand import Expanded, Expander, Surroundings
from trueup.manifests.given_values import NO_VALUES, ValuesRequest, read_values_files
from trueup.manifests.library import Library, OpenPinned
from trueup.manifests.modules import Modules
from trueup.manifests.moves import check_moves
from trueup.manifests.parse import SUFFIXES, parse_file
from trueup.manifests.question import Question, read_question
from trueup.manifests.references import NodeIndex
from trueup.manifests.rendering.render import Rendered, claim_unrendered, is_rendered, render_stack
from trueup.manifests.rendering.settings import NO_RENDER
from trueup.manifests.resource import Declaration, read_declaration
from trueup.manifests.resource_files import (
    SETTINGS_FILE,
    ResourceFiles,
    check_settings_file,
    check_stack_file,
    select_resource_files,
)
from trueup.manifests.stack_file import StackFile, read_stack
from trueup.manifests.target_selection import TargetSelector
from trueup.manifests.validate import Validator
from trueup.manifests.vocabulary import API_VERSION, STACK_FILES
from trueup.model.address import Address
from trueup.model.resource import Node, Revision, Stack
from trueup.model.tree import Tree
from trueup.model.values import Value
from trueup.sdk.contracts import Catalog


@dataclass(frozen=True)
class LoadedStack:
    """A stack read from one revision and found to be valid. `nodes` are in the order of the files.

    `answer` is what the question comes to, where one was asked; it may hold expressions.
    """

    stack: Stack
    revision: Revision
    nodes: tuple[Node, ...]
    answer: Value = None


def load_stack(
    tree: Tree,
    catalog: Catalog,
    values: ValuesRequest = NO_VALUES,
    *,
    may_be_empty: bool = False,
    may_fetch: bool = False,
    open_pinned: OpenPinned | None = None,
    question: Question | None = None,
) -> LoadedStack:
    """Reads and checks everything that the tree declares, with the values that are asked for.

    `may_be_empty`: a stack without resources is about to get some, and is no slip of the pen. `may_fetch`:
    its renderings may use the network. `open_pinned` opens the repositories of modules. `question` is asked
    in the scope of the stack.
    Raises ManifestError with all problems, PluginError for a provider that cannot be loaded, and what the
    tree raises. An input that is not complete and valid never gives a smaller stack.
    """
    library = Library(tree, open_pinned)
    try:
        with paused_collector():
            loader = _Loader(tree, library, catalog, values, may_be_empty, may_fetch, question)
            stack_file, nodes = loader.load()
    finally:
        library.close()
    revision = replace(tree.revision, values=stack_file.given)
    return LoadedStack(stack_file.stack, revision, nodes, loader.answer)


class _Loader:
    def __init__(
        self,
        tree: Tree,
        library: Library,
        catalog: Catalog,
        values: ValuesRequest,
        may_be_empty: bool,
        may_fetch: bool,
        question: Question | None,
    ) -> None:
        self.answer: Value = None
        self._question = question
        self._tree = tree
        self._library = library
        self._may_be_empty = may_be_empty
        self._may_fetch = may_fetch
        self._values = values
        self._catalog = catalog
        self._paths = frozenset(tree.paths())
        self._problems: list[Problem] = []
        # Whether something could not be read at all: then a name that is missing may stand in there.
        self._is_partial = False

    def load(self) -> tuple[StackFile, tuple[Node, ...]]:
        stack_file = self._read_stack_file()
        is_stack_sound = stack_file is not None and not self._problems
        files = select_resource_files(
            self._paths, stack_file.exclude if stack_file else (), self._values.normal_files
        )
        declarations = self._read_declarations(stack_file, is_stack_sound, files.paths)
        validator = Validator(self._catalog)
        modules = Modules(self._library, self._catalog.names(), validator, self._problems)
        self._check_left_out(files, modules)
        for declaration in declarations:
            if not declaration.is_module:
                self._problems.extend(validator.check_declaration(declaration))
        nodes: tuple[Node, ...] = ()
        # With a broken stack file every expression and target would be reported once more.
        if stack_file is not None and is_stack_sound:
            nodes = self._make_nodes(stack_file, declarations, validator, modules)
            is_empty = not declarations and not self._problems
            if is_empty and not (stack_file.allow_empty or self._may_be_empty):
                hint = "add a resource, or say that it is meant: spec: {allowEmpty: true}"
                self._problems.append(Problem("the stack has no resource", stack_file.stack.place, hint))
        self._problems.extend(modules.inner_problems())
        if self._problems or stack_file is None:
            raise ManifestError(dict.fromkeys(self._problems))
        return stack_file, nodes

    def _read_stack_file(self) -> StackFile | None:
        found = [name for name in STACK_FILES if name in self._paths]
        if not self._paths:
            hint = "check the path of the source"
            self._problems.append(Problem("the directory is empty", Place("."), hint))
            return None
        if not found:
            hint = f"a stack is a directory with one of: {', '.join(STACK_FILES)}"
            self._problems.append(Problem("there is no stack file", Place("."), hint))
            return None
        if len(found) > 1:
            message = f"there are several stack files: {', '.join(found)}"
            self._problems.append(Problem(message, Place(found[1]), "keep one of them"))
            return None
        documents = parse_file(found[0], self._tree.read(found[0]), self._problems)
        if not documents:
            return None
        for extra in documents[1:]:
            message = "a stack file holds one document"
            self._problems.append(extra.problem(message, (), "move resources into files beside it"))
        document = documents[0]
        if not self._is_stack(document):
            return None

        def read_file(name: str) -> str:
            return self._library.read_text(name, document)

        files = read_values_files(self._values, self._tree, self._problems)
        return read_stack(
            document, self._catalog, self._tree.revision, read_file, self._problems, self._values, files
        )

    def _is_stack(self, document: SourceDocument) -> bool:
        expected = {"apiVersion": API_VERSION, "kind": "Stack"}
        before = len(self._problems)
        for key, value in expected.items():
            if document.value.get(key) != value:
                message = f"a stack file needs {key}: {value}"
                self._problems.append(document.problem(message, (key,), f"write {key}: {value}"))
        return len(self._problems) == before

    def _read_declarations(
        self, stack_file: StackFile | None, is_stack_sound: bool, files: Sequence[str]
    ) -> list[Declaration]:
        rendered = self._render(stack_file, files, is_stack_sound)
        documents = list(rendered.documents)
        for path in files:
            if path in rendered.claimed or not path.endswith(SUFFIXES):
                continue
            if path == SETTINGS_FILE:
                self._problems.extend(check_settings_file(self._tree.read(path)))
                continue
            before = len(self._problems)
            parsed = parse_file(path, self._tree.read(path), self._problems)
            documents += drop_encrypted(parsed, self._problems)
            self._is_partial = self._is_partial or len(self._problems) > before
        declarations = []
        providers = self._catalog.names()
        for document in documents:
            declaration = read_declaration(document, providers, self._problems)
            if declaration is not None:
                declarations.append(declaration)
            else:
                self._is_partial = True
        return declarations

    def _render(self, stack_file: StackFile | None, files: Sequence[str], is_stack_sound: bool) -> Rendered:
        """What kustomize and helm make of files of the stack, and which of these they own."""
        if stack_file is None or not is_stack_sound:
            return claim_unrendered(stack_file.render if stack_file else NO_RENDER, files)
        before = len(self._problems)
        may_be_empty = stack_file.allow_empty or self._may_be_empty
        rendered = render_stack(
            self._tree,
            stack_file.render,
            stack_file.stack,
            files,
            self._problems,
            may_be_empty=may_be_empty,
            may_fetch=self._may_fetch,
        )
        self._is_partial = self._is_partial or len(self._problems) > before
        return rendered

    def _check_left_out(self, files: ResourceFiles, modules: Modules) -> None:
        """What stands beside a module.yaml or a stack.yaml is left out, so that file has to be one."""
        for path in files.module_files:
            if not is_rendered(path, files.paths):
                modules.leave_out(self._library.stack_folder, path)
        for path in files.stack_files:
            if not is_rendered(path, files.paths):
                self._problems.extend(check_stack_file(path, self._tree.read(path)))

    def _make_nodes(
        self,
        stack_file: StackFile,
        declarations: Sequence[Declaration],
        validator: Validator,
        modules: Modules,
    ) -> tuple[Node, ...]:
        stack = stack_file.stack
        surroundings = Surroundings(stack_file.scope.data, NodeIndex(is_partial=self._is_partial))
        selector = TargetSelector(stack, self._catalog)
        expander = Expander(stack, selector, surroundings, self._library.read_text, self._problems)
        expanded: list[Expanded] = []
        for declaration in declarations:
            if declaration.is_module:
                expanded.extend(modules.expand(declaration, expander))
                continue
            made = expander.expand(declaration)
            self._problems.extend(validator.check_nodes(made))
            expanded.extend(made)
        self._problems.extend(validator.check_doubles(expanded))
        self._problems.extend(check_moves(expanded))
        asker = Address(stack_file.stack.name, "", "", "")
        expander.bind(stack_file.deferred, asker)
        if self._question is not None:
            filled = read_question(
                self._question, surroundings.data, selector.shown, self._library.read_text, self._problems
            )
            self.answer = filled.value
            expander.bind(filled.deferred, asker)
        nodes = tuple(item.expander.link(item) for item in expanded)
        modules.bind()
        return nodes
