"""The whole loop over a world in memory: a stack in a directory, a real store, and a listener that notes."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from trueup.app import App, SourceSpec
from trueup.model.address import Address
from trueup.model.change import Change
from trueup.model.outcome import Outcome
from trueup.model.plan import Plan
from trueup.reconcile.report import EVERYTHING, RunReport, Selection
from trueup.sdk.testing.memory import MemoryCatalog, MemoryProvider
from trueup.sdk.testing.memory_world import MemoryWorld, World


class Notes:
    """A listener that keeps what it hears, as short lines."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def planned(self, plan: Plan) -> None:
        self.lines.append("planned")

    def started(self, change: Change) -> None:
        self.lines.append(f"started {change.address.name}")

    def waiting(self, address: Address, why: str) -> None:
        self.lines.append(f"waiting {address.name}: {why}")

    def finished(self, outcome: Outcome) -> None:
        self.lines.append(f"{outcome.result} {outcome.address.name}")


class Loop:
    """A stack named shop with one target, and everything around it."""

    def __init__(self, folder: Path, world: World) -> None:
        self.folder = folder
        self.world = world
        self.notes = Notes()
        self.stop = threading.Event()
        self.provider = MemoryProvider(world)
        self.app = App(str(folder / "store.db"), catalog=MemoryCatalog(self.provider))
        (folder / "stack").mkdir()
        self.write_stack()

    def write_stack(self, **spec: Any) -> None:
        """Writes stack.yaml; `spec` is laid over one target named here."""
        whole = {"targets": [{"name": "here", "provider": "memory"}], "allowEmpty": True, **spec}
        stack = {
            "apiVersion": "trueup.dev/v1",
            "kind": "Stack",
            "metadata": {"name": "shop"},
            "spec": whole,
        }
        (self.folder / "stack" / "stack.yaml").write_text(yaml.safe_dump(stack))

    def declare(
        self, name: str, spec: Mapping[str, Any] | None = None, *, kind: str = "Thing", **keys: Any
    ) -> None:
        """Writes one resource into a file of its own."""
        document = {
            "apiVersion": "memory.trueup.dev/v1",
            "kind": kind,
            "metadata": {"name": name},
            **keys,
            "spec": spec or {},
        }
        (self.folder / "stack" / f"{kind}-{name}.yaml").write_text(yaml.safe_dump(document))

    def undeclare(self, name: str, kind: str = "Thing") -> None:
        """Removes a resource from the files."""
        (self.folder / "stack" / f"{kind}-{name}.yaml").unlink()

    @property
    def source(self) -> SourceSpec:
        return SourceSpec(str(self.folder / "stack"))

    def plan(self, selection: Selection = EVERYTHING) -> Plan:
        return self.app.plan(self.source, selection)

    def run(self, selection: Selection = EVERYTHING, **options: Any) -> RunReport:
        self.notes.lines.clear()
        return self.app.reconcile(self.source, selection, listener=self.notes, stop=self.stop, **options)

    def destroy(self, selection: Selection = EVERYTHING) -> RunReport:
        return self.app.destroy(self.source, selection, confirm=lambda _plan: True)

    def spec(self, key: str) -> Mapping[str, Any]:
        """The live spec of an object such as `Thing/a`."""
        entry = self.world.peek(key)
        assert entry is not None, f"{key} is not there"
        spec: Mapping[str, Any] = entry["spec"]
        return spec

    def edit(self, key: str, **spec: Any) -> None:
        """Changes a live object by hand."""
        entry = self.world.peek(key)
        assert entry is not None
        self.world.put(key, {**entry, "spec": {**entry["spec"], **spec}, "version": entry["version"] + 1})

    def records(self) -> dict[str, Any]:
        return {address.name: record for address, record in self.app.store.inventory("shop").items()}


def results(report: RunReport) -> dict[str, str]:
    """Each node's name and what became of it."""
    return {outcome.address.name: outcome.result.value for outcome in report.outcomes}


@pytest.fixture
def loop(tmp_path: Path) -> Iterator[Loop]:
    loop = Loop(tmp_path, MemoryWorld())
    yield loop
    loop.app.close()
