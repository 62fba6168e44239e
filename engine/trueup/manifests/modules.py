"""The modules that a stack uses: each read once, and expanded anew for each use. Called by `load`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from trueup.errors import Place, Problem, SourceError
from trueup.manifests.document import Path, kind_of_value
from trueup.manifests.encrypted import drop_encrypted
from trueup.manifests.expand import Expanded, Expander, Item, Surroundings
from trueup.manifests.expressions import Expression
from trueup.manifests.library import Folder, Library
from trueup.manifests.missing_fields import UNDECLARED
from trueup.manifests.module_file import MODULE_FILES, ModuleFile, read_module_file
from trueup.manifests.module_inputs import read_inputs
from trueup.manifests.module_moves import add_moves, read_former_uses
from trueup.manifests.outputs import read_outputs
from trueup.manifests.parse import SUFFIXES
from trueup.manifests.program import ExpressionError
from trueup.manifests.references import NodeIndex
from trueup.manifests.rendering.render import MARKERS, claim_unrendered
from trueup.manifests.rendering.settings import NO_RENDER
from trueup.manifests.resource import MODULE, Declaration, read_declaration
from trueup.manifests.resource_files import check_stack_file, select_resource_files
from trueup.manifests.templates import Filled, Scope
from trueup.manifests.validate import Validator
from trueup.model.address import Address
from trueup.model.values import UNKNOWN, Document, Value

_SOURCE: Path = ("spec", "source")
MAX_DEPTH = 10
MAX_USES = 10_000


@dataclass(frozen=True)
class _Module:
    """One module as it was read. `is_partial`: some of its files could not be."""

    file: ModuleFile
    declarations: Sequence[Declaration]
    is_partial: bool


@dataclass(frozen=True)
class Use:
    """One use of a module. `outer` is the use around it; `problems` are those inside of the module."""

    name: str
    call: Declaration
    folder: Folder
    outer: Use | None
    problems: list[Problem] = field(default_factory=list)

    @property
    def place(self) -> Place:
        return self.call.document.place

    @property
    def chain(self) -> list[Use]:
        """The use and those around it, the innermost first."""
        return [self, *(self.outer.chain if self.outer else ())]

    def tell(self, problem: Problem) -> Problem:
        """A problem inside of the module, with the calls that led there."""
        places = ", from ".join(str(use.place) for use in self.chain)
        message, hint = problem.message, problem.hint
        if hint == UNDECLARED:
            message = message.replace("there is no variable", "there is no input")
            hint = "declare it in the file of the module, under spec.inputs"
        return Problem(f"in module {self.name} ({places}): {message}", problem.place, hint)


@dataclass(frozen=True)
class _Binding:
    """Expressions in the inputs of a use: they are bound when all nodes are known."""

    expander: Expander
    expressions: Sequence[Expression]
    source: Address


class _Inputs:
    """The inputs of one use that read other nodes, for each target that its nodes are on."""

    def __init__(
        self, use: Use, file: ModuleFile, scope: Scope, caller: Expander, bindings: list[_Binding]
    ) -> None:
        self._use = use
        self._file = file
        self._scope = scope
        self._caller = caller
        self._bindings = bindings
        self._settled: dict[str, Value] = {}

    def on(self, target: str) -> Value:
        """The inputs, whose references will mean what is on the target."""
        if target not in self._settled:
            call, caller = self._use.call, self._caller
            # What is wrong with them was told when they were read for all targets.
            told: list[Problem] = []
            filled = call.body.fill(caller.surroundings.scope_on(target, self._scope), told)
            caller.count_text(call.document, filled.size)
            inputs = filled.value["spec"].get("inputs")
            self._settled[target] = read_inputs(call.document, inputs, self._file, told)
            source = Address(caller.stack.name, MODULE, self._use.name, target)
            self._bindings.append(_Binding(caller, filled.deferred, source))
        return self._settled[target]


class _Outputs:
    """What `ref()` gives of one use of a module, for each target that something reads it from."""

    def __init__(self, file: ModuleFile, inner: Expander, library: Library) -> None:
        self._file = file
        self._inner = inner
        self._library = library
        self._described: dict[str, Document] = {}

    def describe(self, target: str) -> Document:
        """The outputs, bound to what is on the target: called once all nodes are known."""
        if target not in self._described:
            surroundings = self._inner.surroundings
            scope = surroundings.scope_on(target, Scope(surroundings.data, self._read_text))
            problems = self._inner.problems
            filled = read_outputs(self._file.document, self._file.outputs, scope, problems)
            # Known before it is bound: the outputs of two modules may lead to each other.
            self._inner.count_text(self._file.document, filled.size)
            self._described[target] = {"outputs": filled.value}
            name = self._inner.index.prefix.removesuffix("/")
            source = Address(self._inner.stack.name, MODULE, name, target)
            self._inner.bind(filled.deferred, source)
        return self._described[target]

    def _read_text(self, name: str) -> str:
        return self._library.read_text(name, self._file.document)


class Modules:
    """The modules of one stack and their uses. What is wrong with a module itself goes to `problems`."""

    def __init__(
        self, library: Library, providers: Sequence[str], validator: Validator, problems: list[Problem]
    ) -> None:
        self._library = library
        self._providers = providers
        self._validator = validator
        self._problems = problems
        self._modules: dict[str, _Module | None] = {}
        self._uses: dict[str, Use] = {}
        self._bindings: list[_Binding] = []
        self._outputs: list[tuple[_Outputs, str]] = []
        self._left_out: dict[str, tuple[Folder, str, Use | None]] = {}

    def expand(self, call: Declaration, caller: Expander, outer: Use | None = None) -> list[Expanded]:
        """The nodes of all uses that one call makes, one for each item whose `when` holds."""
        before = len(caller.problems)
        made: list[Expanded] = []
        names = []
        is_broken = False
        for item in caller.items(call):
            caller.count_try(call.document)
            if not caller.is_wanted(call, item.scope):
                continue
            name = self._expand_use(call, item, caller, outer, made)
            names.append(name)
            is_broken = is_broken or name is None
        if is_broken or len(caller.problems) > before:
            caller.index.add_broken(MODULE, call.name)
        if names != [call.name]:
            caller.index.add_declared(MODULE, call.name, [expanded.node.address for expanded in made])
        return made

    def bind(self) -> None:
        """Says what the references in inputs and outputs mean, once all nodes are known."""
        for outputs, target in self._outputs:
            outputs.describe(target)
        # To bind one may need the inputs of another use, which are added meanwhile.
        for binding in self._bindings:
            binding.expander.bind(binding.expressions, binding.source)

    def leave_out(self, folder: Folder, path: str, use: Use | None = None) -> None:
        """Notes the module.yaml of a directory whose files are no resources of the directory around it."""
        self._left_out[folder.source.name_of(path).rpartition("/")[0]] = folder, path, use

    def inner_problems(self) -> list[Problem]:
        """What is wrong inside of the uses; the same in several uses is told for the first one.

        A directory that was left out must be a module's: its files would be missed in silence.
        """
        told: dict[Problem, Problem] = {}
        for name, (folder, path, around) in self._left_out.items():
            if name not in self._modules:
                wrong: list[Problem] = []
                self._read_file(folder, path, wrong)
                told.update((problem, around.tell(problem) if around else problem) for problem in wrong)
        for use in self._uses.values():
            for problem in use.problems:
                told.setdefault(problem, use.tell(problem))
        return list(told.values())

    def _expand_use(
        self, call: Declaration, item: Item, caller: Expander, outer: Use | None, made: list[Expanded]
    ) -> str | None:
        """Adds the nodes of one use to `made` and gives its name; None where it cannot be expanded."""
        before = len(caller.problems)
        filled = call.body.fill(item.scope, caller.problems)
        caller.count_text(call.document, filled.size)
        identity = caller.identity(call, filled.value, item)
        folder = self._find_folder(call, filled.value["spec"]["source"], caller)
        if identity is None:
            return None
        name, _namespace = identity
        path = f"{caller.index.prefix}{name}"
        use = Use(path, call, folder, outer) if folder is not None else None
        is_sound = use is not None and self._is_allowed(use, caller) and len(caller.problems) == before
        module = self._read(use) if use is not None and is_sound else None
        inner = None
        if use is not None and module is not None:
            self._uses[path] = use
            inner = self._enter(use, module, filled, item.scope, caller)
        if use is None or module is None or inner is None:
            caller.index.add_broken(MODULE, name)
            return None
        stack, prefix = caller.stack.name, caller.index.prefix
        formers = read_former_uses(call, item.scope, prefix, stack, caller.problems)
        nodes = add_moves(self._expand_members(module, inner, use), path, formers)
        made.extend(nodes)
        members = [expanded.node.address for expanded in nodes]
        outputs = _Outputs(module.file, inner, self._library)
        caller.index.add_module(name, members, outputs.describe)
        # Its own references are looked at also where nothing reads the outputs.
        self._outputs.append((outputs, members[0].target if members else ""))
        return name

    def _enter(
        self, use: Use, module: _Module, filled: Filled, scope: Scope, caller: Expander
    ) -> Expander | None:
        """What expands the documents of the module for one use; None where its call is wrong."""
        call = use.call
        before = len(caller.problems)
        inputs = filled.value["spec"].get("inputs")
        settled = read_inputs(call.document, inputs, module.file, caller.problems)
        targets = tuple(caller.targets(call, scope))
        waits = (*caller.dependencies(call, scope), *caller.surroundings.depends_on)
        if settled is None or len(caller.problems) > before:
            return None
        index = NodeIndex(f"{use.name}/", caller.index, module.is_partial)
        data = {"vars": settled, "git": caller.surroundings.data["git"]}
        vars_on = _Inputs(use, module.file, scope, caller, self._bindings).on if filled.deferred else None
        surroundings = Surroundings(data, index, targets, waits, vars_on)
        return Expander(caller.stack, caller.selector, surroundings, self._library.read_text, use.problems)

    def _find_folder(self, call: Declaration, text: Value, caller: Expander) -> Folder | None:
        path, document = _SOURCE, call.document
        if isinstance(text, Expression):
            caller.problems.append(text.refuse("in spec.source: it is needed before anything else"))
            return None
        if text is UNKNOWN:
            return None
        if not isinstance(text, str) or not text:
            what = "is empty" if text == "" else f"must be a string, not {kind_of_value(text)}"
            caller.problems.append(document.problem(f"spec.source {what}", path, "source: ../modules/site"))
            return None
        try:
            return self._library.find_folder(text, document)
        except ExpressionError as error:
            caller.problems.append(document.problem(error.message, path, error.hint))
            return None
        except SourceError as error:
            # Whether the server is down or the version is missing: it says nothing about the files here.
            place = document.place_of(path)
            raise SourceError(f"{place}: module {call.name}: {error.message}", hint=error.hint) from error

    def _is_allowed(self, use: Use, caller: Expander) -> bool:
        first = self._uses.get(use.name)
        document = use.call.document
        if first is not None:
            message = f"{MODULE}/{use.name} is declared twice, first at {first.place}"
            hint = "rename one of the two"
            if first.place == use.place:
                message = f"forEach gives several uses the name {MODULE}/{use.name}"
                hint = "put each.key into metadata.name"
            caller.problems.append(document.problem(message, ("metadata", "name"), hint))
            return False
        around = use.chain[1:]
        again = next((index for index, each in enumerate(around) if each.folder == use.folder), None)
        if again is not None:
            steps = [f"{each.folder.name} at {each.place}" for each in reversed(use.chain[: again + 2])]
            message = f"the module uses itself: {' -> '.join(steps)}"
            hint = "a module cannot use itself; forEach makes several uses side by side"
            caller.problems.append(document.problem(message, _SOURCE, hint))
            return False
        if len(around) >= MAX_DEPTH or len(self._uses) >= MAX_USES:
            message = f"modules are nested more than {MAX_DEPTH} deep"
            if len(around) < MAX_DEPTH:
                message = f"modules are used more than {MAX_USES} times"
            caller.problems.append(document.problem(message, _SOURCE, "use fewer modules"))
            return False
        return True

    def _read(self, use: Use) -> _Module | None:
        """The module in a folder, read for its first use; None where it cannot be used."""
        key = use.folder.name
        if key not in self._modules:
            wrong: list[Problem] = []
            paths = self._list_paths(use)
            self._modules[key] = self._read_module(use, paths, wrong) if paths else None
            self._problems.extend(use.tell(problem) for problem in wrong)
        return self._modules[key]

    def _list_paths(self, use: Use) -> Mapping[str, str]:
        """The files of a module as the tree names them, by their names in it; empty where there is none."""
        folder, document = use.folder, use.call.document
        try:
            paths = {folder.below(path): path for path in folder.paths()}
        except SourceError as error:
            self._problems.append(document.problem(error.message, _SOURCE, error.hint))
            return {}
        found = [name for name in MODULE_FILES if name in paths]
        if len(found) == 1:
            return paths
        message, hint = (
            f"there is no module.yaml in {folder.name}",
            "a module is a directory with a module.yaml",
        )
        if found:
            message = f"there are several files of a module in {folder.name}: {', '.join(found)}"
            hint = "keep one of them"
        self._problems.append(document.problem(message, _SOURCE, hint))
        return {}

    def _read_module(self, use: Use, paths: Mapping[str, str], wrong: list[Problem]) -> _Module | None:
        folder = use.folder
        own = next(name for name in MODULE_FILES if name in paths)
        file = self._read_file(folder, paths[own], wrong)
        selected = select_resource_files(paths, left_out=(own,))
        for path in selected.module_files:
            self.leave_out(folder, paths[path], use)
        for path in selected.stack_files:
            content = folder.source.tree.read(paths[path])
            wrong.extend(check_stack_file(folder.source.name_of(paths[path]), content))
        declarations: list[Declaration] = []
        before = len(wrong)
        foreign = claim_unrendered(NO_RENDER, selected.paths).claimed
        for path in selected.paths:
            if path.rpartition("/")[2] in MARKERS:
                hint = "name it in spec.render of the stack, or put the resources themselves into the module"
                place = Place(folder.source.name_of(paths[path]))
                wrong.append(Problem("kustomize and helm render for stacks, not for modules", place, hint))
            if path in foreign or not path.endswith(SUFFIXES):
                continue
            documents = self._library.parse(folder, paths[path], wrong)
            for document in drop_encrypted(documents, wrong):
                declaration = read_declaration(document, self._providers, wrong)
                if declaration is not None:
                    declarations.append(declaration)
        is_partial = len(wrong) > before
        for declaration in declarations:
            if not declaration.is_module:
                wrong.extend(self._validator.check_declaration(declaration))
        if file is None:
            return None
        if not declarations and not file.outputs and not wrong:
            hint = "add a resource beside its module.yaml"
            wrong.append(file.document.problem("the module has no resource", (), hint))
        return _Module(file, declarations, is_partial)

    def _read_file(self, folder: Folder, path: str, problems: list[Problem]) -> ModuleFile | None:
        """The module.yaml at a path."""
        documents = self._library.parse(folder, path, problems)
        for extra in documents[1:]:
            message = "the file of a module holds one document"
            problems.append(extra.problem(message, (), "move resources into files beside it"))
        return read_module_file(documents[0], problems) if documents else None

    def _expand_members(self, module: _Module, inner: Expander, use: Use) -> list[Expanded]:
        nodes: list[Expanded] = []
        for declaration in module.declarations:
            if declaration.is_module:
                nodes.extend(self.expand(declaration, inner, use))
                continue
            made = inner.expand(declaration)
            inner.problems.extend(self._validator.check_nodes(made))
            nodes.extend(made)
        return nodes
