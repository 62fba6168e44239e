"""The whole loop over random worlds, whose store is lost or replaced by an old copy at any moment.

Where the machine remembers, nothing is called until `recover` ran. Where it does not, there is still no
duplicate and no delete of what is foreign. In both cases all invariants hold again once it has recovered.
"""

from __future__ import annotations

import shutil
from collections import Counter
from collections.abc import Collection
from pathlib import Path

from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import invariant, precondition, rule
from tests.stress.invariants import check_untouched
from tests.stress.test_the_loop_over_random_worlds import FOREIGN, RandomWorlds

from trueup.app import App, SourceSpec
from trueup.errors import StoreError, UsageError
from trueup.model.outcome import RunStatus
from trueup.reconcile.recover import Order, Recovery
from trueup.reconcile.report import RunReport
from trueup.sdk.testing.memory import MemoryCatalog


class LostStores(RandomWorlds):
    """`is_held`: the machine remembers more than the store knows. `is_dim`: only the world knows all."""

    def __init__(self) -> None:
        super().__init__()
        self.is_held = self.is_dim = False
        self.has_copy = False
        self.installations = [self._app.store.installation]
        self.refusals: tuple[str, ...] = ()

    # -- the store

    @rule()
    def copy_store(self) -> None:
        if self.is_dim:
            return
        self._app.close()
        shutil.copytree(
            self._folder, self._copy(), ignore=shutil.ignore_patterns("stack"), dirs_exist_ok=True
        )
        self.has_copy = True
        self._open()

    @precondition(lambda self: self.has_copy)
    @rule(forgets=st.booleans())
    def restore_copy(self, forgets: bool) -> None:
        mark, latest = self._app.store.mark("shop"), 0
        self._app.close()
        self._remove_store()
        shutil.copy(self._copy() / "store.db", self._folder / "store.db")
        self._open()
        latest = max((run.id for run in self._app.store.runs("shop")), default=0)
        is_older = mark is not None and (
            latest < mark.run or mark.installation != self._app.store.installation
        )
        self._lose_trust(forgets, is_older)

    @precondition(lambda self: self._has_run)
    @rule(forgets=st.booleans())
    def lose_store(self, forgets: bool) -> None:
        is_remembered = self._app.store.mark("shop") is not None
        self._app.close()
        self._remove_store()
        self._open()
        self._lose_trust(forgets, is_remembered)

    @rule()
    def recover(self) -> None:
        self._recover()

    def _lose_trust(self, forgets: bool, is_remembered: bool) -> None:
        self.installations.insert(0, self._app.store.installation)
        if forgets:
            self._app.store.forget_mark("shop")
        self.is_held = is_remembered and not forgets
        self.is_dim = True

    def _recover(self) -> bool:
        """Whether it could: where several installations have left markers, the one that is meant is named."""
        writes = self._world.count_writes()
        self._write_files()
        for key, entry in self._everything():
            if key not in FOREIGN:  # a recovery cannot wait for what lists do not show yet
                self._world.put(key, entry)
        owners = Counter(entry["owner"][0] for _, entry in self._everything() if entry["owner"])
        names = ["", *sorted(self.installations, key=lambda name: -owners[name])]
        has_run = any(self._recover_as(name) for name in names)
        assert self._world.count_writes() == writes, "a recovery wrote"
        if has_run:
            self.is_held = self.is_dim = False
        return has_run

    def _recover_as(self, installation: str) -> bool:
        def confirm(found: Recovery) -> bool:
            return found.installation in self.installations

        try:
            recovery = self._app.recover(
                SourceSpec(str(self._folder / "stack")), Order(installation, confirm)
            )
        except (UsageError, StoreError) as error:
            self.refusals = (str(error),)
            return False
        self.refusals = recovery.refusals
        return recovery.run > 0

    def _copy(self) -> Path:
        return self._folder / "copy"

    def _remove_store(self) -> None:
        for file in self._folder.glob("store.db*"):
            file.unlink()

    def _open(self) -> None:
        self._app = App(str(self._folder / "store.db"), catalog=MemoryCatalog(self._provider), parallelism=1)

    # -- what holds

    def _reconcile(self) -> RunReport:
        writes = self._world.count_writes()
        is_held = self.is_held or self._shows_loss()
        report = super()._reconcile()
        if is_held:
            assert report.status is RunStatus.HELD, report.status
            assert self._world.count_writes() == writes, "a held run wrote"
        return report

    def _ours(self) -> list[str]:
        """Without shared objects that were given free: that trueup made them stood in the lost store."""
        found = [(key, self._world.peek(key)) for key in super()._ours()]
        return [key for key, entry in found if entry and (entry["owner"] or not key.startswith("Shared/"))]

    def _installations(self) -> Collection[str]:
        return self.installations

    def _shows_loss(self) -> bool:
        """Whether the store is empty, and what is declared lives all the same, in sight of everybody."""
        store = self._app.store
        if store.addresses("shop") or store.open_intents("shop") or self._world._load_faults():
            return False
        declared = {f"shop/{key}@here" for key in self._declared}
        return any(
            entry["owner"] and entry["owner"][0] in self.installations and entry["owner"][2] in declared
            for key, entry in ((key, self._world.peek(key)) for key in super()._ours())
            if entry and not entry.get("hidden")
        )

    @invariant()
    def nothing_is_double_lost_or_touched(self) -> None:
        if not self.is_dim:
            super().nothing_is_double_lost_or_touched()
            return
        check_untouched(self._world, FOREIGN)
        for key, entry in self._world.removed():
            assert entry["owner"], f"I3: {key} was deleted without a marker"
            assert entry["owner"][0] in self.installations, f"I3: {key} of another was deleted"

    def _come_to_rest(self) -> None:
        self._world._store_faults([])
        self._world.hide_reads = 0
        for _ in range(3):
            if not self.is_dim or self._recover():
                break
        else:
            raise AssertionError(self.refusals)
        # What had left Git before a run with a new store saw it is left out, and somebody removes it.
        for key in self._ours():
            entry = self._world.peek(key)
            if entry and entry["owner"] and entry["owner"][0] != self._app.store.installation:
                self._world.put(key, None)
        super()._come_to_rest()


LostStores.TestCase.settings = settings(
    max_examples=60,
    phases=[Phase.generate],
    stateful_step_count=14,
    deadline=None,
    database=None,
    derandomize=True,
    suppress_health_check=list(HealthCheck),
)
TestLostStores = LostStores.TestCase
