"""The whole loop over random graphs: edits, drift, faults of the world and kills, in any order.

After every run the invariants hold; once the faults stop it converges, then makes no write, and what lives is
what is declared. A kill is an exception that nothing handles, at a crash point; from then on the dead run can
write nothing more, since every durable step has a point before it.
"""

from __future__ import annotations

import contextlib
import shutil
import tempfile
from collections.abc import Collection
from pathlib import Path
from typing import Any

import yaml
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from tests.stress.invariants import check_always, check_at_rest, check_untouched, look

from trueup.app import App, SourceSpec
from trueup.errors import StalePlan
from trueup.model.change import Action
from trueup.model.outcome import RunStatus
from trueup.reconcile import crash_point
from trueup.reconcile.report import RunReport
from trueup.sdk.testing.memory import MemoryCatalog, MemoryProvider, MemorySession
from trueup.sdk.testing.memory_world import Entry, Fault, MemoryWorld

KINDS = ["Thing", "Named", "Shared", "Tagged", "Tokened"]
NAMES = ["a", "b", "c", "d", "e"]
RUNS_TO_CONVERGE = 5
# What fails, or shows late, makes each look another one as long as it lasts.
LOOKS = 40
# Where each commit of a store costs no disk; it is not the disk that is tested here.
MEMORY = Path("/dev/shm")
FOREIGN: dict[str, Entry] = {
    "Thing/nobody": {"id": "nobody", "version": 1, "owner": None, "spec": {"size": 7}},
    "Named/other": {
        "id": "other",
        "version": 1,
        "owner": ["another installation", "shop", "shop/Named/a@here"],
        "spec": {"name": "other"},
    },
}
# They say that nothing was made.
REFUSALS = ("Denied", "Invalid", "Blocked")


def _is_false_refusal(fault: Fault) -> bool:
    """A provider that has made what it says it has not: a person has to recover what has no name."""
    return fault.verb == "create" and fault.moment == "after" and fault.error in REFUSALS


FAULTS = st.builds(
    Fault,
    verb=st.sampled_from(["create", "update", "delete", "release", "observe", "connect"]),
    # Not those after which a call is repeated only after seconds.
    error=st.sampled_from(["Throttled", "Conflict", "Denied", "Invalid", "Blocked", "bug"]),
    moment=st.sampled_from(["before", "after"]),
    times=st.integers(1, 2),
    skip=st.integers(0, 2),
).filter(lambda fault: not _is_false_refusal(fault))


class Killed(BaseException):
    """The end of a run that nothing handles."""


class RandomWorlds(RuleBasedStateMachine):
    """`declared` are the resources by kind and name: what each says, and what it refers to."""

    def __init__(self) -> None:
        super().__init__()
        self._folder = Path(tempfile.mkdtemp(dir=MEMORY if MEMORY.is_dir() else None))
        (self._folder / "stack").mkdir()
        self._world = MemoryWorld(FOREIGN)
        self._provider = MemoryProvider(self._world)
        self._app = App(str(self._folder / "store.db"), catalog=MemoryCatalog(self._provider), parallelism=1)
        self._declared: dict[str, dict[str, Any]] = {}
        self._renames = 0
        self._has_run = False
        spec = {
            "targets": [{"name": "here", "provider": "memory"}],
            "allowEmpty": True,
            "guards": {"maxDeletes": 99},
        }
        stack = {"apiVersion": "trueup.dev/v1", "kind": "Stack", "metadata": {"name": "shop"}, "spec": spec}
        (self._folder / "stack" / "stack.yaml").write_text(yaml.safe_dump(stack))

    def teardown(self) -> None:
        try:
            self._come_to_rest()
        finally:
            crash_point.watch(None)
            self._app.close()
            shutil.rmtree(self._folder)

    # -- Git

    @initialize(kinds=st.lists(st.sampled_from(KINDS), min_size=1, max_size=4))
    def begin(self, kinds: list[str]) -> None:
        for name, kind in zip(NAMES, kinds, strict=False):
            self.declare(kind, name, 1, "x", None, False)

    @rule(
        kind=st.sampled_from(KINDS),
        name=st.sampled_from(NAMES),
        size=st.integers(1, 3),
        zone=st.sampled_from(["x", "y"]),
        uses=st.sampled_from([None, *NAMES]),
        is_new_first=st.booleans(),
    )
    def declare(
        self, kind: str, name: str, size: int, zone: str, uses: str | None, is_new_first: bool
    ) -> None:
        """A new resource, or another spec of one; it may refer to one whose name comes before its own."""
        key = f"{kind}/{name}"
        if any(key in each["lifecycle"].get("movedFrom", ()) for each in self._declared.values()):
            return  # an object cannot be both
        lifecycle: dict[str, Any] = {}
        if kind == "Named":
            spec: dict[str, Any] = {"name": f"{name}-{zone}", "size": size}
            if is_new_first:
                lifecycle["replace"] = "createFirst"
        else:
            spec = {"zone": zone, "size": size}
        before = self._declared.get(key, {}).get("lifecycle", {}).get("movedFrom")
        if before:
            lifecycle["movedFrom"] = before
        document = {
            "apiVersion": "memory.trueup.dev/v1",
            "kind": kind,
            "metadata": {"name": name},
            "spec": spec,
            "lifecycle": lifecycle,
        }
        used = [each for each in self._declared if uses and uses < name and each.split("/")[1] == uses]
        if used:
            spec["value"] = f"${{{{ ref('{used[0]}').status.id }}}}"
        self._declared[key] = document

    @precondition(lambda self: self._declared)
    @rule(data=st.data())
    def undeclare(self, data: st.DataObject) -> None:
        key = data.draw(st.sampled_from(sorted(self._declared)))
        begun = {intent.address.reference for intent in self._app.store.open_intents("shop")}
        if key.startswith("Tokened/") and key in begun:
            return  # it is refused until it is declared again: nothing else leads to its object
        del self._declared[key]
        self._drop_uses(key)

    @precondition(lambda self: self._renamable())
    @rule(data=st.data())
    def rename(self, data: st.DataObject) -> None:
        """The same object under another name."""
        key = data.draw(st.sampled_from(self._renamable()))
        document = self._declared.pop(key)
        self._drop_uses(key)
        self._renames += 1
        name = f"renamed-{self._renames}"
        before = [key, *document["lifecycle"].get("movedFrom", [])]
        lifecycle = {**document["lifecycle"], "movedFrom": before}
        self._declared[f"{document['kind']}/{name}"] = {
            **document,
            "metadata": {"name": name},
            "lifecycle": lifecycle,
        }

    def _renamable(self) -> list[str]:
        return sorted(key for key in self._declared if key.startswith(("Named/", "Tagged/")))

    def _drop_uses(self, key: str) -> None:
        for document in self._declared.values():
            if f"'{key}'" in str(document["spec"].get("value", "")):
                del document["spec"]["value"]

    # -- the world

    @precondition(lambda self: self._ours())
    @rule(data=st.data(), change=st.sampled_from(["size", "zone", "gone"]))
    def drift(self, data: st.DataObject, change: str) -> None:
        key = data.draw(st.sampled_from(self._ours()))
        entry = self._world.peek(key)
        assert entry is not None
        if change == "gone":
            self._world.put(key, None)
        elif change == "size" or not key.startswith(("Thing/", "Shared/")):
            spec = {**entry["spec"], "size": 17}
            self._world.put(key, {**entry, "spec": spec, "version": entry["version"] + 1})
        else:
            self._world.put(key, {**entry, "spec": {**entry["spec"], "zone": "z"}})

    @rule(fault=FAULTS)
    def fail(self, fault: Fault) -> None:
        self._world.inject(fault)

    @rule(reads=st.integers(0, 2))
    def show_late(self, reads: int) -> None:
        self._world.hide_reads = reads

    def _ours(self) -> list[str]:
        return [key for key in self._world.list_keys() if key not in FOREIGN]

    # -- runs

    @rule()
    def run(self) -> None:
        self._reconcile()

    @rule(point=st.sampled_from(crash_point.POINTS), passes=st.integers(1, 3))
    def run_and_be_killed(self, point: str, passes: int) -> None:
        left = passes

        def reach(reached: str) -> None:
            nonlocal left
            left -= reached == point
            if left <= 0:
                raise Killed

        crash_point.watch(reach)
        try:
            self._reconcile()
        except Killed:
            pass
        finally:
            crash_point.watch(None)

    def _write_files(self) -> None:
        file = self._folder / "stack" / "resources.yaml"
        file.unlink(missing_ok=True)
        if self._declared:
            file.write_text(yaml.safe_dump_all(list(self._declared.values())))

    def _reconcile(self) -> RunReport:
        self._has_run = True
        self._write_files()
        source = SourceSpec(str(self._folder / "stack"))
        # Whatever holds the plan, somebody approves it.
        for _ in range(LOOKS):
            digest = self._app.plan(source).digest
            with contextlib.suppress(StalePlan):
                return self._app.reconcile(source, approved=digest, approved_by="a test")
        raise AssertionError("each look gives another plan")

    @invariant()
    def nothing_is_double_lost_or_touched(self) -> None:
        if not self._has_run:
            return
        store = self._app.store
        session = MemorySession(MemoryWorld(dict(self._everything())), f"{store.installation}/shop")
        check_always(look(self._provider.kinds(), session, store, "shop"))
        check_untouched(self._world, FOREIGN)
        for key, entry in self._world.removed():
            assert entry["owner"], f"I3: {key} was deleted without a marker"
            assert entry["owner"][0] in self._installations(), f"I3: {key} of another was deleted"

    def _installations(self) -> Collection[str]:
        """Those whose objects are ours, or were."""
        return [self._app.store.installation]

    def _everything(self) -> list[tuple[str, Entry]]:
        """The objects as they are, past what is hidden and what is to fail."""
        found = [(key, self._world.peek(key)) for key in self._world.list_keys()]
        return [(key, {**entry, "hidden": 0}) for key, entry in found if entry is not None]

    def _come_to_rest(self) -> None:
        self._world._store_faults([])
        self._world.hide_reads = 0
        for _ in range(RUNS_TO_CONVERGE):
            report = self._reconcile()
            if report.status is RunStatus.CONVERGED:
                break
        problems = [f"{o.address}: {o.result} {o.message}" for o in report.outcomes if o.message]
        assert report.status is RunStatus.CONVERGED, f"I4: {problems}"
        writes = self._world.count_writes()
        report = self._reconcile()
        left = [
            f"{change.action} {change.address}: {change.reasons} {[field.path for field in change.fields]}"
            for change in report.plan.changes
            if change.action is not Action.NONE or change.problem
        ]
        assert (report.status, left) == (RunStatus.CONVERGED, []), f"I4: {left}"
        assert self._world.count_writes() == writes, "I4: it writes although nothing is to be done"
        session = MemorySession(MemoryWorld(dict(self._everything())), f"{self._app.store.installation}/shop")
        sight = look(self._provider.kinds(), session, self._app.store, "shop")
        check_at_rest(sight)
        live = sorted(owned.owner.address for owned in sight.owned)
        assert live == sorted(f"shop/{key}@here" for key in self._declared)
        assert len(self._ours()) == len(live), "an object without a marker is left over"
        self.nothing_is_double_lost_or_touched()


RandomWorlds.TestCase.settings = settings(
    max_examples=150,
    # A failure is shown as it was found: to make it smaller takes far longer than to find it.
    phases=[Phase.generate],
    stateful_step_count=12,
    deadline=None,
    database=None,
    derandomize=True,
    suppress_health_check=list(HealthCheck),
)
TestRandomWorlds = RandomWorlds.TestCase
