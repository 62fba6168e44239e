"""The state store's contract: a cache that can be rebuilt, and the intents that make a crash harmless.

Called by reconcile and app. `state.open_store` picks the implementation by URL. Each write carries the
lease's epoch: a writer whose lease was taken over gets LeaseLost and changes nothing.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from trueup.model.address import Address
from trueup.model.outcome import Result, RunStatus
from trueup.model.plan import Decision as Decision
from trueup.model.plan import Pin as Pin
from trueup.model.plan import PinKind as PinKind
from trueup.model.plan import Verdict as Verdict
from trueup.model.quarantine import Quarantine as Quarantine
from trueup.model.values import Document, Value

# How much history a stack has, unless the settings say otherwise.
KEPT_RUNS = 1000


@dataclass(frozen=True)
class Record:
    """One row of the inventory: an object that this installation manages.

    `body` is what was last applied, sensitive values hashed (`model.values.to_record`). `target` is the
    target's definition (`name`, `provider`, `labels`, `config`), so that an object can be deleted after its
    target left the stack. `created` is false for an object that was there before and was adopted.
    `depends_on` orders deletes. `applied_at` is in seconds since the epoch. `triggers` has, for each node
    that triggers this one, the digest of its body that this one has reacted to; empty while a reaction is
    owed. `replacing` is the object that this one takes the place of, while both may live: its `external_id`,
    `api_version` and `body`. `commit`, `run` and `place` (`file:line:column`) say which run applied it last,
    and from where; run 0 and no place where an older version did.
    """

    address: Address
    api_version: str
    target: Document
    fingerprint: str
    external_id: str
    body: Document
    created: bool = True
    protect: bool = False
    on_delete: str = "delete"
    depends_on: tuple[Address, ...] = ()
    commit: str = ""
    applied_at: float = 0.0
    triggers: Mapping[str, str] = field(default_factory=dict)
    replacing: Document = field(default_factory=dict)
    place: str = ""
    run: int = 0

    @property
    def is_unproven(self) -> bool:
        """Whether only a recovery has found the object, and no run has looked at it since."""
        return self.external_id != "" and not self.applied_at


@dataclass(frozen=True)
class OpenIntent:
    """An intent whose outcome was never recorded: the process ended in between."""

    token: str
    address: Address
    action: str
    fingerprint: str
    run: int
    external_id: str = ""


@dataclass(frozen=True)
class Lease:
    """The right to write for one stack. `epoch` grows with each new holder: the fencing token."""

    stack: str
    holder: str
    epoch: int
    expires_at: float


@dataclass(frozen=True)
class Step:
    """One outcome of a run, as history keeps it. `fields` are the JSON of the change's fields, masked."""

    address: Address
    result: Result
    message: str = ""
    seconds: float = 0.0
    fields: Sequence[Document] = ()


@dataclass(frozen=True)
class RunRecord:
    """One run of the history. Times are in seconds since the epoch; `finished_at` 0 while it runs.

    `author` wrote the commit (`Name <mail>`), `approved_by` approved the plan although something held it.
    `trigger` is what made it run: `once`, `commit`, `interval`, `retry`, `rollback`, `destroy`, `forget`,
    `recover`; empty where that is not known.
    """

    id: int
    stack: str
    url: str
    commit: str
    digest: str
    status: RunStatus | None
    started_at: float
    finished_at: float = 0.0
    counts: Mapping[str, int] = field(default_factory=dict)
    author: str = ""
    trigger: str = ""
    approved_by: str = ""


@dataclass(frozen=True)
class PastStep:
    """One step together with the run that it was part of."""

    run: RunRecord
    step: Step


@dataclass(frozen=True)
class Event:
    """Something that happened outside of the steps of runs. No address: to the stack; run 0: in no run.

    The store gives `id` and, where it is 0, `at`.
    """

    kind: str
    message: str
    address: Address | None = None
    run: int = 0
    at: float = 0.0
    id: int = 0


@dataclass(frozen=True)
class Correction:
    """One field that was changed behind our back and set again. The store gives `at` where it is 0.

    `path` is as in a quarantine.
    """

    address: Address
    path: str
    writer: str = ""
    at: float = 0.0


@dataclass(frozen=True)
class Mark:
    """What a machine remembers of a stack, outside of the store: the latest run that it has begun.

    `at` is when that run began. Its run and installation tell that a store in this place is another one now,
    or an older copy of the same.
    """

    installation: str
    run: int
    at: float


@dataclass(frozen=True)
class Rebuilt:
    """What a recovery found for one stack: the rows as they are to be, and what history says of it.

    `installation` is the one whose markers were found. The store gives the records the id of their run.
    """

    installation: str
    records: Sequence[Record]
    steps: Sequence[Step]
    url: str
    commit: str
    author: str = ""
    digest: str = ""
    message: str = ""


class Store(Protocol):
    """Every method is one transaction, durable when it returns. Thread safe. Raises StoreError only."""

    @property
    def installation(self) -> str:
        """The id of this installation, made when the store was first opened; half of every owner marker."""

    @property
    def digest_key(self) -> bytes:
        """The key with which secrets are hashed, made when the store was first opened."""

    def inventory(self, stack: str) -> Mapping[Address, Record]:
        """All that the stack manages."""

    def addresses(self, stack: str) -> Sequence[str]:
        """The texts of the addresses of the inventory alone, which costs much less."""

    def stacks(self) -> Sequence[str]:
        """The names of all stacks that have records or runs."""

    def acquire_lease(self, stack: str, holder: str, ttl: float) -> Lease | None:
        """The lease, or None while another holder's has not expired. The same holder renews its own."""

    def lease(self, stack: str) -> Lease | None:
        """Who holds the stack now, if anyone does."""

    def renew_lease(self, lease: Lease, ttl: float) -> Lease:
        """The lease with a later expiry. Raises LeaseLost if it was taken over."""

    def release_lease(self, lease: Lease) -> None:
        """Gives the stack free. Not an error if the lease was lost."""

    def begin_run(
        self,
        lease: Lease,
        *,
        url: str,
        commit: str,
        digest: str,
        author: str = "",
        trigger: str = "",
        approved_by: str = "",
        plan: str = "",
    ) -> int:
        """A new run of the history; its id. `plan` is the plan's JSON document without secrets."""

    def write_intent(
        self,
        lease: Lease,
        run: int,
        address: Address,
        action: str,
        *,
        fingerprint: str,
        external_id: str = "",
    ) -> str:
        """The durable note before a mutation; gives its token.

        An open intent for the same address and action is taken up again and gives its old token.
        """

    def open_intents(self, stack: str) -> Sequence[OpenIntent]:
        """The intents without an outcome."""

    def close_intent(self, lease: Lease, token: str) -> None:
        """Drops an intent that an observation has settled."""

    def record_outcome(
        self, lease: Lease, run: int, step: Step, *, token: str = "", record: Record | None = None
    ) -> None:
        """The other half: in one transaction the step, the intent's end and the inventory's row.

        `record` is stored as it is; the row is removed where `step.result` is deleted or forgotten. A failed
        step with a token leaves its intent open.
        """

    def record_steps(self, lease: Lease, run: int, steps: Sequence[Step], records: Sequence[Record]) -> None:
        """Many outcomes at once, none of which had an intent."""

    def mark(self, stack: str) -> Mark | None:
        """What this machine remembers of the stack in this place; None where nothing, or where it cannot.

        Each run that begins is remembered.
        """

    def forget_mark(self, stack: str) -> None:
        """Drops what this machine remembers of the stack: nothing of it is managed any more."""

    def rebuild(self, lease: Lease, rebuilt: Rebuilt) -> int:
        """Writes what a recovery found: all of it, or nothing; the id of its run, of trigger `recover`.

        A store without records and intents becomes that of the installation; any other one raises StoreError.
        """

    def write_outputs(self, lease: Lease, values: Mapping[str, Value], commit: str) -> None:
        """What other stacks may read of this one, in place of what was written before.

        A sensitive value is kept as its hash, an unknown one as unknown (`model.values.to_record`).
        """

    def outputs(self, stack: str) -> Mapping[str, Value] | None:
        """What was written last; None where nothing ever was."""

    def finish_run(self, lease: Lease, run: int, status: RunStatus, counts: Mapping[str, int]) -> None:
        """Ends the run."""

    def runs(self, stack: str, limit: int = 20, *, trigger: str = "") -> Sequence[RunRecord]:
        """The latest runs, newest first; with a `trigger` only those of it."""

    def steps(self, run: int) -> Sequence[Step]:
        """The steps of one run, in the order in which they ended."""

    def run(self, run: int) -> RunRecord | None:
        """One run by its id; None where there is none (any more)."""

    def plan_of(self, run: int) -> str:
        """The plan's JSON document as `begin_run` got it; empty where none was kept."""

    def past_steps(
        self, address: Address, results: Collection[Result], limit: int = 20
    ) -> Sequence[PastStep]:
        """The latest steps of a node with one of these results, newest first."""

    def decide(self, stack: str, digest: str, verdict: Verdict, who: str, note: str = "") -> Decision:
        """Writes a verdict on a plan, in place of an earlier one. Needs no lease."""

    def decision(self, stack: str, digest: str) -> Decision | None:
        """The verdict on the plan with this digest, if somebody gave one."""

    def latest_decision(self, stack: str) -> Decision | None:
        """The verdict that was given last on any plan of the stack."""

    def spend_decision(self, lease: Lease, digest: str) -> None:
        """Drops the verdict on a plan that was carried out: the same plan once more is another matter."""

    def pin(self, stack: str, kind: PinKind, who: str, *, commit: str = "", reason: str = "") -> Pin:
        """Stops a stack from following its source, in place of an earlier pin. Needs no lease."""

    def unpin(self, stack: str) -> Pin | None:
        """Lets the stack follow its source again; the pin that was there. Needs no lease."""

    def pin_of(self, stack: str) -> Pin | None:
        """The stack's pin, if it has one."""

    def pins(self) -> Mapping[str, Pin]:
        """All pins, by the names of their stacks."""

    def add_events(self, stack: str, events: Sequence[Event]) -> None:
        """Adds to the events of the stack, of which the latest are kept. Needs no lease."""

    def events(self, stack: str, address: Address | None = None, limit: int = 100) -> Sequence[Event]:
        """The latest events of the stack, or those of one node; newest first."""

    def write_quarantine(self, lease: Lease, quarantine: Quarantine) -> None:
        """Puts a node into quarantine, in place of an earlier one."""

    def quarantines(self, stack: str) -> Mapping[Address, Quarantine]:
        """All quarantines of the stack, those that have run out too."""

    def clear_quarantine(self, address: Address) -> bool:
        """Ends a node's quarantine and forgets its corrections; whether there was one. Needs no lease."""

    def note_corrections(self, lease: Lease, corrections: Sequence[Correction]) -> None:
        """Adds corrections; those that are older than an hour are dropped."""

    def corrections(self, stack: str, since: float) -> Sequence[Correction]:
        """The corrections at or after a time, oldest first."""

    def close(self) -> None:
        """Gives back files and connections. May be called twice."""
