"""What a provider's tests override of the contract suite: fixtures, cases, and how to meddle with the system.

The parents of `ProviderContract`'s promises share this class, so that each sees the same members.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import ClassVar

import pytest

from trueup.model.values import to_record
from trueup.sdk import (
    Absent,
    Action,
    Change,
    Conflict,
    Failed,
    Node,
    Observed,
    Provider,
    ProviderError,
    Target,
)
from trueup.sdk.testing.case import Case
from trueup.sdk.testing.rig import Rig, describe

FOREIGN_STACK = "foreigner"


class ContractHooks:
    """The members that a subclass of `ProviderContract` sets or overrides.

    `cases`: one or more examples of each kind; known at collection, so a class attribute.
    `patience`: seconds that a change may take to be visible and the object ready.
    `plugin_module`: the module of the plugin's hook; `sdk_modules`: what its import must not import.
    """

    cases: ClassVar[Sequence[Case]] = ()
    patience: ClassVar[float] = 60.0
    plugin_module: ClassVar[str] = ""
    sdk_modules: ClassVar[Sequence[str]] = ()

    # -- fixtures to override

    @pytest.fixture
    def provider(self) -> Provider:
        """A new provider, as the plugin's hook gives it. Required."""
        raise NotImplementedError("override the fixture `provider`")

    @pytest.fixture
    def target(self) -> Target:
        """A target that works, and in which no one else does anything. Required. Any scope will do."""
        raise NotImplementedError("override the fixture `target`")

    @pytest.fixture
    def unreachable_target(self) -> Target | None:
        """A target that does not answer: a closed port, a host that drops packets. None: not tested."""
        return None

    @pytest.fixture
    def denied_target(self) -> Target | None:
        """A target that refuses our credentials or permissions. None: not tested."""
        return None

    # -- hooks to override

    def prepare(self, rig: Rig, case: Case) -> Case:
        """The case as it is used: makes what it rests on (`rig.apply`) and puts ids into its bodies."""
        return case

    def count_writes(self, rig: Rig) -> int | None:
        """How many writing calls the system has seen so far; None where it cannot tell."""
        return None

    def snapshot(self, rig: Rig, node: Node) -> bytes:
        """The live object in a form in which any change shows. Better taken past the provider."""
        seen = rig.observe(node)
        if not isinstance(seen, Observed):
            return describe(seen).encode()
        parts = [seen.external_id, seen.version, repr(seen.owner), to_record(seen.body)]
        return json.dumps(parts, sort_keys=True).encode()

    def disturb(self, rig: Rig, node: Node, case: Case) -> None:
        """Changes at least one field that the node manages, behind trueup's back; the marker stays.

        The default writes the case's `changed` body through the provider itself.
        """
        changed = rig.node(case, case.changed, stack=node.address.stack)
        seen = rig.observed(node)
        rig.update(changed, rig.diff(changed, seen, to_record(node.body)))

    def plant_foreign(self, rig: Rig, node: Node, case: Case) -> str | None:
        """Makes an object of the node's identity that carries no marker and is otherwise as `case.body`.

        Gives its external id, which may be left out where the node leads to the object by name. The default
        creates it for another stack and takes the marker off. Better made past the provider.
        """
        foreign = rig.node(case, stack=FOREIGN_STACK)
        external_id = rig.apply(foreign).external_id
        rig.release(rig.recorded(foreign, external_id))
        return external_id

    def import_ids(self, rig: Rig, node: Node) -> Sequence[str]:
        """The ids by which `discover` finds the node's object: none, where it can list all of the kind."""
        return ()

    def remove(self, rig: Rig, node: Node) -> None:
        """Removes whatever lives under the node's identity, whoever it belongs to. Called after each test.

        The default deletes it as the stack that owns it, after taking it over where it has no owner.
        """
        seen = rig.observe(node)
        if isinstance(seen, Absent):
            return
        if isinstance(seen, Failed):
            raise seen.error
        keeper = next((made for made in rig.touched if rig.owner(made) == seen.owner), None)
        if keeper is None:
            adopting = replace(node, lifecycle=replace(node.lifecycle, adopt=True))
            rig.update(adopting, Change(node.address, Action.ADOPT, observed=seen))
        rig.delete(rig.recorded(keeper or node, seen.external_id))
        rig.expect_absent(node)

    # -- fixtures that the promises use

    @pytest.fixture
    def rig(self, provider: Provider, target: Target) -> Iterator[Rig]:
        """The provider at work on the target; what a test made is removed afterwards."""
        rig = Rig(provider, target, self.patience)
        try:
            yield rig
            self._remove_all(rig)
        finally:
            rig.close()

    @pytest.fixture
    def case(self, request: pytest.FixtureRequest, rig: Rig) -> Case:
        """Each case in turn, prepared."""
        case: Case = request.param
        return self.prepare(rig, case)

    # The same for the cases that have what a promise needs; see pytest_generate_tests.
    owned = changeable = driftable = replaceable = secretive = refreshable = case

    def pytest_generate_tests(self, metafunc: pytest.Metafunc) -> None:
        """One test for each case that has what the test needs; `bare` is a case that was not prepared."""
        wanted = {
            "case": list(self.cases),
            "owned": [case for case in self.cases if case.is_markable],
            "bare": list(self.cases),
            "changeable": [case for case in self.cases if case.changed is not None],
            "driftable": [case for case in self.cases if case.changed and case.is_drift_visible],
            "replaceable": [case for case in self.cases if case.replaced is not None],
            "secretive": [case for case in self.cases if case.sensitive],
            "refreshable": [case for case in self.cases if case.is_refreshable],
        }
        for name, cases in wanted.items():
            if name in metafunc.fixturenames:
                ids = [case.id for case in cases]
                metafunc.parametrize(name, cases, ids=ids, indirect=name != "bare")

    # -- what the promises share

    def expect_conflict(self, what: str, call: Callable[[], object]) -> Conflict:
        """Fails unless the call is refused with Conflict; gives the error."""
        __tracebackhide__ = True
        try:
            call()
        except Conflict as error:
            return error
        except ProviderError as error:
            raise AssertionError(f"{what} should be a Conflict, not {type(error).__name__}") from error
        raise AssertionError(f"{what} should be refused with Conflict, and was carried out")

    def plant(self, rig: Rig, node: Node, case: Case) -> str:
        """Plants a foreign object; gives its external id."""
        return self.plant_foreign(rig, node, case) or rig.observed(node).external_id

    def tolerate_conflict(self, call: Callable[[], object]) -> None:
        """Calls it; that it is refused is as good as that it does nothing."""
        with contextlib.suppress(Conflict):
            call()

    def _remove_all(self, rig: Rig) -> None:
        removed: set[str] = set()
        for node in reversed(rig.touched):
            if not rig.is_named(node):
                self.remove(rig, replace(node, external_id=rig.last_seen.get(node.address, "")))
                continue
            identity = rig.kind(node).identity(node) or node.address.text
            if identity not in removed:
                removed.add(identity)
                self.remove(rig, node)
