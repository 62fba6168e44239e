"""Runs whose store fails in the middle: a world that knows whether each call was written down before it came.

A `Bench` is a stack, a world and the URL of a store. The run that fails updates one object, makes two and
deletes one; a fault is switched on at a named point of it, and off before the run that has to mend it all.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import yaml
from tests.stress.invariants import check_always, check_at_rest, check_removed, check_untouched, look

from trueup.app import App, SourceSpec
from trueup.errors import StoreError
from trueup.model.outcome import RunStatus
from trueup.reconcile import crash_point
from trueup.reconcile.report import RunReport
from trueup.sdk.testing.memory import MemoryCatalog, MemoryProvider, MemorySession
from trueup.sdk.testing.memory_world import Call, Entry, MemoryWorld

FOREIGN: dict[str, Entry] = {
    "Thing/nobody": {"id": "nobody", "version": 1, "owner": None, "spec": {"size": 7}},
    "Thing/other": {"id": "other", "version": 1, "owner": ["else", "shop", "shop/Thing/a@here"], "spec": {}},
}
BEFORE: dict[str, dict[str, Any]] = {"a": {"size": 1}, "b": {"size": 1}, "old": {"size": 1}}
AFTER: dict[str, dict[str, Any]] = {"a": {"size": 2}, "b": {"size": 1}, "c": {"size": 1}, "d": {"size": 1}}
# Where a fault begins: before there is an intent, between it and the call, between the call and its outcome.
POINTS = ("before-run", "before-intent", "after-intent", "after-call", "before-outcome", "before-finish")


class AnnouncedWorld(MemoryWorld):
    """Notes each change that came without an intent that lasts.

    `read_intents` asks the store past the engine.
    """

    def __init__(self) -> None:
        super().__init__(FOREIGN)
        self.read_intents: Callable[[], set[str]] | None = None
        self.unannounced: list[Call] = []

    def _write_call(self, call: Call) -> None:
        super()._write_call(call)
        read_intents = self.read_intents
        is_watched = call.is_write and read_intents is not None
        if is_watched and f"shop/{call.key}@here" not in read_intents():
            self.unannounced.append(call)

    def forget_removed(self) -> None:
        """What was removed so far was removed by right."""
        self._removed.clear()


class Bench:
    """One stack, its world and its store. `open` gives an engine, as a process that starts has it."""

    def __init__(self, folder: Path, store: str, parallelism: int = 2) -> None:
        self.parallelism = parallelism
        self.store = store
        self.folder = folder
        self.world = AnnouncedWorld()
        self.provider = MemoryProvider(self.world)
        self.source = SourceSpec(str(folder / "stack"))

    @contextmanager
    def open(self) -> Iterator[App]:
        with App(self.store, catalog=MemoryCatalog(self.provider), parallelism=self.parallelism) as app:
            yield app

    def declare(self, things: dict[str, dict[str, Any]]) -> None:
        stack = self.folder / "stack"
        stack.mkdir(exist_ok=True)
        for file in stack.iterdir():
            file.unlink()
        spec = {"targets": [{"name": "here", "provider": "memory"}], "allowEmpty": True}
        write(stack, "stack", {"apiVersion": "trueup.dev/v1", "kind": "Stack", "spec": spec}, "shop")
        for name, thing in things.items():
            write(stack, name, {"apiVersion": "memory.trueup.dev/v1", "kind": "Thing", "spec": thing}, name)

    def prepare(self) -> None:
        """What the run that fails comes upon; the store is closed again."""
        self.declare(BEFORE)
        with self.open() as app:
            assert app.reconcile(self.source).status is RunStatus.CONVERGED
        self.declare(AFTER)
        self.world.forget_removed()

    def fail(self, app: App, point: str, begin: Callable[[], object]) -> StoreError:
        """A run in which the fault begins at the first pass of a point; its error."""
        has_begun = False

        def reach(reached: str) -> None:
            nonlocal has_begun
            if reached == point and not has_begun:
                has_begun = True
                begin()

        crash_point.watch(reach)
        try:
            with pytest.raises(StoreError) as caught:
                app.reconcile(self.source)
        finally:
            crash_point.watch(None)
        assert has_begun, f"the run did not come to {point}"
        assert self.world.unannounced == []
        return caught.value

    def check(self, app: App) -> None:
        """What holds at every moment, as soon as the store can be read again."""
        check_always(self._look(app))
        self._check_world(app)

    def recover(self, app: App) -> RunReport:
        """The next run mends everything, and the one after it has nothing to do."""
        report = app.reconcile(self.source)
        assert report.status is RunStatus.CONVERGED, [outcome.message for outcome in report.outcomes]
        writes = self.world.count_writes()
        second = app.reconcile(self.source)
        assert (second.status, second.plan.has_changes) == (RunStatus.CONVERGED, False)
        assert self.world.count_writes() == writes, "I4: it writes although nothing is to be done"
        check_at_rest(self._look(app))
        self._check_world(app)
        assert sorted(set(self.world.list_keys()) - set(FOREIGN)) == [
            f"Thing/{name}" for name in sorted(AFTER)
        ]
        assert self.world.unannounced == []
        return report

    def _look(self, app: App) -> Any:
        session = MemorySession(self.world, f"{app.store.installation}/shop")
        return look(self.provider.kinds(), session, app.store, "shop")

    def _check_world(self, app: App) -> None:
        doomed = {entry["id"] for key, entry in self.world.removed() if key == "Thing/old"}
        check_removed(self.world, f"{app.store.installation}/shop", doomed)
        check_untouched(self.world, FOREIGN)


def write(folder: Path, name: str, document: dict[str, Any], called: str) -> None:
    (folder / f"{name}.yaml").write_text(yaml.safe_dump({**document, "metadata": {"name": called}}))


def check_words(error: StoreError, store: str) -> None:
    """An error of a store names it and says what to do."""
    assert store in error.message, error.message
    assert error.hint, error.message
