"""What App gives back of a stack: as it was read, and as it stands. Used by app, cli and daemon."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property

from trueup.graph.build import Graph
from trueup.model.change import Change
from trueup.model.observation import Health
from trueup.model.plan import Plan
from trueup.model.resource import Facts, Revision, Stack
from trueup.model.values import Value
from trueup.reconcile.gather import find_outputs_read
from trueup.secrets.check import NO_SECRETS, CheckedSecrets
from trueup.state.store import Record, RunRecord


@dataclass(frozen=True)
class Loaded:
    """A stack read from one revision and found to be valid. `secrets` are those to read, `facts` what was.

    `answer` is what the question comes to, where one was asked.
    """

    stack: Stack
    revision: Revision
    graph: Graph
    secrets: CheckedSecrets = NO_SECRETS
    facts: Facts = field(default_factory=Facts)
    answer: Value = None

    @cached_property
    def needs(self) -> tuple[str, ...]:
        """The names of the stacks that come first: those of `dependsOn`, and those whose outputs are read."""
        read = {reference.stack for reference in find_outputs_read(self.stack, self.graph)}
        return tuple(sorted({*self.stack.depends_on, *read}))


@dataclass(frozen=True)
class NodeStatus:
    """One node as it stands: what a plan would do to it, its health, and its inventory row if it has one.

    `is_ours`: the object carries the marker of this very node.
    """

    change: Change
    health: Health | None
    record: Record | None
    is_ours: bool = False


@dataclass(frozen=True)
class StackStatus:
    """A stack as it stands: the plan's changes with health, the last runs, who holds its lease."""

    plan: Plan
    nodes: tuple[NodeStatus, ...]
    runs: Sequence[RunRecord]
    lease_holder: str
