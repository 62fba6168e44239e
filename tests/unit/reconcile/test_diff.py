"""Whose an object is and what may be done to it: every combination of marker, record and lifecycle."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import pytest

from trueup.errors import Denied
from trueup.model.address import Address, Owner
from trueup.model.change import Action, Change
from trueup.model.observation import Absent, Failed, Observation, Observed
from trueup.model.resource import DEFAULT_LIFECYCLE, Drift, Lifecycle, Node, OnDelete, Replace, Target
from trueup.reconcile.diff import Standing, diff_node, diff_undeclared
from trueup.sdk.testing.memory import MemoryProvider, MemoryWorld
from trueup.state.store import Record

ADDRESS = Address("shop", "Thing", "a", "here")
OURS = Owner("inst", "shop", ADDRESS.text)
THEIRS = Owner("inst", "other", "other/Thing/a@here")
COPIED = Owner("inst", "shop", "shop/Thing/b@here")
PROVIDER = MemoryProvider(MemoryWorld())


@dataclass(frozen=True)
class Case:
    """One situation; the defaults are a node that is recorded, ours and true."""

    says: str
    action: Action
    problem: str = ""
    reason: str = ""
    live: dict[str, Any] | None = field(default_factory=lambda: {"value": 1})
    owner: Owner | None = OURS
    external_id: str = "id-1"
    recorded: dict[str, Any] | None = field(default_factory=lambda: {"value": 1})
    recorded_id: str = "id-1"
    desired: dict[str, Any] = field(default_factory=lambda: {"value": 1})
    lifecycle: Lifecycle = DEFAULT_LIFECYCLE
    drift: Drift = Drift.CORRECT
    kind: str = "Thing"
    is_drift: bool = False
    error: bool = False
    created: bool = True


def observe(case: Case) -> Observation:
    if case.error:
        return Failed(ADDRESS, Denied("no permission"))
    if case.live is None:
        return Absent(ADDRESS)
    return Observed(ADDRESS, {"spec": case.live}, case.external_id, case.owner)


def judge(case: Case, *, is_declared: bool) -> Change:
    body = {"spec": case.desired}
    node = Node(ADDRESS, "memory.trueup.dev/v1", Target("here", "memory"), body, case.lifecycle)
    kind = PROVIDER.kind(node.api_version, case.kind)
    assert kind is not None
    record = None
    if case.recorded is not None:
        record = Record(
            ADDRESS,
            node.api_version,
            {"name": "here", "provider": "memory"},
            "place",
            case.recorded_id,
            {"spec": case.recorded},
            created=case.created,
            protect=case.lifecycle.protect,
            on_delete=case.lifecycle.on_delete.value,
        )
    standing = Standing(kind, OURS, case.drift, body, record)
    if is_declared:
        return diff_node(node, observe(case), standing)
    return diff_undeclared(node, observe(case), standing, "it is no longer in Git")


DECLARED = [
    Case("ours and true", Action.NONE),
    Case("absent and never there", Action.CREATE, recorded=None, live=None, reason="does not exist yet"),
    Case(
        "absent, expected by an interrupted create",
        Action.CREATE,
        live=None,
        recorded_id="",
        reason="does not exist",
    ),
    Case("absent, but it was there", Action.CREATE, live=None, reason="is gone", is_drift=True),
    Case("unreadable", Action.UNKNOWN, error=True, problem="no permission"),
    Case("unreadable and new", Action.UNKNOWN, error=True, recorded=None, problem="no permission"),
    Case("foreign without a marker", Action.UNKNOWN, owner=None, recorded=None, problem="in the way"),
    Case("foreign and equal", Action.ADOPT, owner=None, recorded=None, lifecycle=Lifecycle(adopt=True)),
    Case(
        "foreign, different, to be adopted",
        Action.UPDATE,
        owner=None,
        recorded=None,
        live={"value": 2},
        lifecycle=Lifecycle(adopt=True),
    ),
    Case(
        "of another stack",
        Action.UNKNOWN,
        owner=THEIRS,
        recorded=None,
        problem="belongs to other/Thing/a@here",
    ),
    Case("of another stack, recorded as ours", Action.UNKNOWN, owner=THEIRS, problem="belongs to"),
    Case(
        "of another stack, to be adopted",
        Action.ADOPT,
        owner=THEIRS,
        recorded=None,
        lifecycle=Lifecycle(adopt=True),
    ),
    Case(
        "a copy of another object's marker", Action.UNKNOWN, owner=COPIED, recorded=None, problem="belongs to"
    ),
    Case("our marker, no row: the store was lost or a create was cut", Action.ADOPT, recorded=None),
    Case("our marker, a row without id: a create was cut", Action.ADOPT, recorded_id=""),
    Case("our marker, no row, different", Action.UPDATE, recorded=None, live={"value": 2}),
    Case("its marker was removed", Action.ADOPT, owner=None, reason="marker is gone"),
    Case(
        "replaced by a foreign object", Action.UNKNOWN, owner=None, external_id="id-2", problem="in the way"
    ),
    Case("made again by us", Action.NONE, external_id="id-2"),
    Case("changed in Git", Action.UPDATE, desired={"value": 2}, reason="the manifest changed"),
    Case("changed by hand", Action.UPDATE, live={"value": 2}, reason="outside of Git", is_drift=True),
    Case("changed by hand, reported", Action.NONE, live={"value": 2}, drift=Drift.REPORT, is_drift=True),
    Case(
        "changed by hand, corrected although the stack reports",
        Action.UPDATE,
        live={"value": 2},
        drift=Drift.REPORT,
        lifecycle=Lifecycle(drift=Drift.CORRECT),
        is_drift=True,
    ),
    Case("changed in Git where drift is reported", Action.UPDATE, desired={"value": 2}, drift=Drift.REPORT),
    Case(
        "an immutable field",
        Action.REPLACE,
        live={"value": 1, "zone": "a"},
        desired={"value": 1, "zone": "b"},
        reason="/spec/zone cannot be changed in place",
    ),
    Case(
        "an immutable field of a protected one",
        Action.UNKNOWN,
        live={"zone": "a"},
        desired={"zone": "b"},
        lifecycle=Lifecycle(protect=True),
        problem="lifecycle.protect: true forbids",
    ),
    Case(
        "an immutable field, replace denied",
        Action.UNKNOWN,
        live={"zone": "a"},
        desired={"zone": "b"},
        lifecycle=Lifecycle(replace=Replace.DENY),
        problem="lifecycle.replace: deny forbids",
    ),
    Case("a shared object that was there", Action.ADOPT, kind="Shared", owner=None, recorded=None),
    Case("a shared object without a marker, recorded", Action.NONE, kind="Shared", owner=None),
]

UNDECLARED = [
    Case("ours", Action.DELETE, reason="no longer in Git"),
    Case("gone already", Action.FORGET, live=None, reason="gone already"),
    Case("unreadable", Action.UNKNOWN, error=True, problem="no permission"),
    Case("protected", Action.NONE, lifecycle=Lifecycle(protect=True), reason="protected"),
    Case("orphaned", Action.FORGET, lifecycle=Lifecycle(on_delete=OnDelete.ORPHAN), reason="orphan"),
    Case("its marker was removed", Action.FORGET, owner=None, reason="no marker"),
    Case("taken over by another stack", Action.FORGET, owner=THEIRS, reason="belongs to other/Thing/a@here"),
    Case(
        "another object with a copied marker",
        Action.FORGET,
        owner=COPIED,
        reason="belongs to shop/Thing/b@here",
    ),
    Case("another object under the same name", Action.UNKNOWN, external_id="id-2", problem="not deleted"),
    Case("an interrupted create", Action.DELETE, recorded_id=""),
    Case(
        "a shared object that was there before",
        Action.FORGET,
        kind="Shared",
        created=False,
        reason="before trueup",
    ),
    Case("a shared object that we created", Action.DELETE, kind="Shared"),
    Case("an adopted object", Action.DELETE, created=False),
]


@pytest.mark.parametrize("case", DECLARED, ids=lambda case: case.says)
def test_a_declared_node_gets_what_its_situation_allows(case: Case) -> None:
    change = judge(case, is_declared=True)
    assert (change.action, change.is_drift) == (case.action, case.is_drift)
    assert case.problem in change.problem
    assert bool(case.problem) == bool(change.problem)
    assert case.reason in "; ".join(change.reasons)


@pytest.mark.parametrize("case", UNDECLARED, ids=lambda case: case.says)
def test_an_object_that_left_git_is_deleted_only_if_it_is_the_very_one(case: Case) -> None:
    change = judge(case, is_declared=False)
    assert change.action is case.action
    assert case.problem in change.problem
    assert bool(case.problem) == bool(change.problem)
    assert case.reason in "; ".join(change.reasons)


@pytest.mark.parametrize("case", [case for case in DECLARED if case.problem], ids=lambda case: case.says)
def test_a_refusal_changes_nothing(case: Case) -> None:
    assert not judge(case, is_declared=True).is_write
