"""Reads stacks from their sources, at the ref that they follow or the commit that they are pinned to.

Called by app. A pin must also be found while the files that the source has now cannot be read, or call the
stack otherwise: that is when people pin. So the store is asked which stack was run from there last.
"""

from __future__ import annotations

import fnmatch
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from functools import partial

from trueup.collector import paused_collector
from trueup.errors import PinnedStack, SourceError, TrueupError, UsageError
from trueup.graph.build import Graph, build_graph
from trueup.manifests.given_values import ValuesRequest
from trueup.manifests.load import load_stack
from trueup.manifests.question import Question
from trueup.model.plan import Pin
from trueup.model.resource import Grants, Stack
from trueup.model.tree import Tree
from trueup.model.values import Value
from trueup.reconcile.gather import check_outputs_read, find_secrets
from trueup.reconcile.grant import check_targets
from trueup.reconcile.pin import Return, find_earlier, is_of_place
from trueup.saved_plan import SourceSpec
from trueup.sdk.contracts import Catalog
from trueup.sdk.secrets import SecretSources
from trueup.secrets.check import CheckedSecrets, check_secrets
from trueup.sources.location import mask_credentials
from trueup.sources.open import (
    has_commits,
    is_local,
    latest_commit,
    name_place,
    open_commit,
    open_pinned,
    open_tree,
)
from trueup.state.store import Store
from trueup.views import Loaded


@dataclass(frozen=True)
class Reader:
    """What reading a stack needs to know of the installation.

    Its methods raise SourceError, ManifestError, PluginError.
    """

    catalog: Catalog
    secret_sources: SecretSources
    secret_settings: Mapping[str, Value]
    allow_targets: Grants | None
    allow_fetching: bool = False
    allow_modules: tuple[str, ...] | None = None

    def open(self, source: SourceSpec) -> Tree:
        """The files of the source, at its very commit where it has one."""
        if source.commit:
            return open_commit(
                source.location, source.commit, source.path, offline_ok=source.is_offline_allowed
            )
        return open_tree(source.location, source.ref, source.path, offline_ok=source.is_offline_allowed)

    def read(
        self,
        tree: Tree,
        source: SourceSpec,
        *,
        may_be_empty: bool = False,
        question: Question | None = None,
    ) -> Loaded:
        """The stack in these files, found to be valid."""
        with paused_collector():
            values = ValuesRequest(source.values, source.sets)
            loaded = load_stack(
                tree,
                self.catalog,
                values,
                may_be_empty=may_be_empty,
                may_fetch=self.allow_fetching,
                question=question,
                # A stack that comes over the network must not read the repositories of this machine.
                open_pinned=partial(
                    self._open_module,
                    allow_file_urls=is_local(source.location),
                    offline_ok=source.is_offline_allowed,
                ),
            )
            check_targets(loaded.stack, self.grants(source), self.catalog)
            graph = build_graph(loaded.nodes, self.catalog)
        check_outputs_read(loaded.stack, graph)
        secrets = self.check_secrets(loaded.stack, graph, tree, source)
        return Loaded(loaded.stack, loaded.revision, graph, secrets, answer=loaded.answer)

    def _open_module(
        self, location: str, ref: str, path: str = "", *, allow_file_urls: bool, offline_ok: bool
    ) -> Tree:
        """The files of a module of another repository, if modules may come from there."""
        allowed = self.allow_modules
        if allowed is not None and not any(fnmatch.fnmatchcase(location, each) for each in allowed):
            raise SourceError(
                f"modules may not come from {mask_credentials(location)}",
                hint="trueup.toml lists the repositories that they may come from: [sources] modules",
            )
        return open_pinned(location, ref, path, allow_file_urls=allow_file_urls, offline_ok=offline_ok)

    def grants(self, source: SourceSpec) -> tuple[Grants, ...]:
        """The lists of targets that a stack may use: of the installation, and of its own entry."""
        return tuple(each for each in (self.allow_targets, source.targets) if each is not None)

    def check_secrets(self, stack: Stack, graph: Graph, tree: Tree, source: SourceSpec) -> CheckedSecrets:
        settings = self.secret_settings
        grants = [each for each in (settings.get("allow"), source.secrets) if each is not None]
        found = find_secrets(stack, graph)
        return check_secrets(found, stack, self.secret_sources, settings, grants, tree.read)

    @contextmanager
    def follow(self, source: SourceSpec, store: Store) -> Iterator[tuple[Tree, Loaded]]:
        """The files and the stack as runs read them: where it is pinned, at that commit and at no other."""
        pins = {} if source.commit else store.pins()
        pin = pins.get(self._recall(source, store, {name: pin.commit for name, pin in pins.items()}))
        if pin is None:
            with closing(self.open(source)) as tree:
                loaded = self.read(tree, source)
                pin = pins.get(loaded.stack.name)
                if not _replaces_ref(pin, source):
                    yield tree, replace(loaded, pin=pin)
                    return
        with closing(self._open_pinned(source, pin)) as tree:
            loaded = self.read(tree, source)
            if pin is not None and loaded.stack.name != pin.stack and _replaces_ref(pin, source):
                raise SourceError(
                    f"stack {pin.stack!r} is pinned to {pin.commit[:12]}, "
                    f"whose files call it {loaded.stack.name!r}",
                    hint=_HINT,
                )
            yield tree, replace(loaded, pin=pin)

    def _open_pinned(self, source: SourceSpec, pin: Pin | None) -> Tree:
        if pin is None or not _replaces_ref(pin, source):
            return self.open(source)
        try:
            return self.open(replace(source, commit=pin.commit))
        except SourceError as error:
            message = (
                f"stack {pin.stack!r} is pinned to {pin.commit[:12]}, which cannot be read: {error.message}"
            )
            raise SourceError(message, hint=_HINT) from error

    def name(self, source: SourceSpec, store: Store) -> str:
        """The name of the stack, also where its files cannot be read now: then as it was run last."""
        try:
            with self.follow(replace(source, is_offline_allowed=True), store) as (_tree, loaded):
                return loaded.stack.name
        except TrueupError:
            known = self._recall(source, store, dict.fromkeys(store.stacks(), ""))
            if not known:
                raise
            return known

    def _recall(self, source: SourceSpec, store: Store, stacks: Mapping[str, str]) -> str:
        """Which of some stacks the source is, as it was run from there last; empty where it is none of them.

        Each stands with a commit to read, empty for that of its last run. One directory can be several
        stacks, by its values: so the name is read anew.
        """
        place = name_place(source.location, source.ref, source.path) if stacks else ("", "")
        for stack, commit in stacks.items():
            last = next(iter(store.runs(stack, 1)), None)
            if last is None or not is_of_place(last.url, *place):
                continue
            exact = replace(source, commit=commit or last.commit, is_offline_allowed=True)
            try:
                with closing(self.open(exact)) as tree:
                    found = self.read(tree, exact).stack.name
            except TrueupError:
                continue
            if found == stack:
                return stack
        return ""


def find_return(reader: Reader, source: SourceSpec, order: Return, store: Store) -> tuple[str, str]:
    """The stack and the whole commit that a rollback leads to, found to be readable.

    Raises PinnedStack for a suspended stack, UsageError where there is no such commit.
    """
    stack = reader.name(source, store)
    pin = store.pin_of(stack)
    if pin is not None and pin.is_suspended and not order.is_forced:
        raise PinnedStack(
            f"stack {stack!r} is suspended by {pin.who}" + (f": {pin.reason}" if pin.reason else ""),
            hint="--force takes it back all the same: it is pinned then, and no longer suspended",
        )
    url, path = name_place(source.location, source.ref, source.path)
    if not has_commits(source.location, source.ref):
        raise UsageError(
            f"{url} is a directory that is read as it is: it has no commits to go back to",
            hint="name the repository by its URL, or a branch of the directory with --ref",
        )
    if order.to:
        with closing(reader.open(replace(source, ref=order.to))) as tree:
            commit = tree.revision.commit
    else:
        pinned = pin.commit if pin is not None else ""
        head = "" if pinned else _find_head(source)
        commit = find_earlier(store, stack, url, path, head=head, pinned=pinned)
    exact = replace(source, commit=commit, is_offline_allowed=True)
    with closing(reader.open(exact)) as tree:
        found = reader.read(tree, exact).stack.name
    if found != stack:
        raise UsageError(f"at {commit[:12]} the files call the stack {found!r}, and not {stack!r}")
    return stack, commit


def _find_head(source: SourceSpec) -> str:
    """The commit that the source has now; empty where it cannot be asked."""
    try:
        return latest_commit(source.location, source.ref, source.path)
    except SourceError:
        return ""


_HINT = (
    "`trueup rollback SOURCE --to COMMIT` pins it to another commit, `trueup resume SOURCE` lets it follow "
    "its source again"
)


def _replaces_ref(pin: Pin | None, source: SourceSpec) -> bool:
    """Whether a pin says what is read."""
    return pin is not None and bool(pin.commit) and not source.is_ref_meant
